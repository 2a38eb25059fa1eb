//! The gateway's parts on real sockets: raw bytes in, raw bytes out, and scripted upstreams between.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod breaking;
mod framing;
mod kit;
mod passing;
mod pooling;
mod replaying;
mod serving;
