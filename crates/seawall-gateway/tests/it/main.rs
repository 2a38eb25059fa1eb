//! The gateway on real sockets: raw bytes in, raw bytes out, and scripted upstreams behind it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod breaking;
mod failing_over;
mod framing;
mod kit;
mod limiting;
mod operating;
mod pages;
mod passing;
mod pooling;
mod queueing;
mod replaying;
mod serving;
mod settings;
mod surviving;
