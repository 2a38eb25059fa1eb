//! The command as its users meet it: the real program, real sockets, real signals.
//!
//! ```text
//!   client ──▶ seawall (a process of its own) ──▶ upstream
//!   test   ──▶ arguments, files, signals;  ◀── lines, exit code
//! ```

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod checking;
mod draining;
mod kit;
mod proxying;
mod serving;
mod usage;
