//! The `seawall` command: one file per command, one table of flags.
//!
//! Exit codes: 0 it went well, 1 the answer is no, 2 wrong usage or configuration.

mod check;
mod demo;
mod flags;
mod gate;
mod proxy;
mod serve;
mod serving;

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use flags::{Command, Flags};

fn main() -> ExitCode {
    let Flags { command } = Flags::parse();
    match command {
        Command::Demo(demo) => gate::demo(&demo),
        Command::Proxy(proxy) => proxy::proxy(&proxy),
        Command::Serve(serve) => serve::serve(&serve),
        Command::Check(check) => check::check(&check),
    }
}

/// The answer is no.
const NO: u8 = 1;
/// Wrong usage or configuration.
const WRONG: u8 = 2;

/// Says why on standard error, and gives the exit code.
fn fail(code: u8, why: impl Display) -> ExitCode {
    say(format_args!("seawall: {why}"));
    ExitCode::from(code)
}

/// A line on standard error. `eprintln!` would panic once nobody reads it, and a gateway outlives its log.
fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
