//! The project's task runner: `cargo xtask --help`.
//!
//! A command is a list of [`step`]s, and a step is a command line that is printed before it runs, so
//! nothing here is magic: whatever fails can be repeated by hand.

mod bench;
mod ci;
mod lint;
mod step;
mod test;

use std::process::ExitCode;

use clap::Parser;

/// The project's tasks. Every step prints the command it runs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Run all tests, those in the documentation included, and build the examples.
    Test,
    /// Check everything that is not a test: format, lints, docs, house rules, the core without std, each
    /// feature alone.
    Lint,
    /// Run `test`, then `lint`: all that a change has to pass.
    Ci,
    /// Build the comparison benchmark in release mode and run it.
    Bench {
        /// Arguments for the benchmark.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let passed = match Command::parse() {
        Command::Test => test::run(),
        Command::Lint => lint::run(),
        Command::Ci => ci::run(),
        Command::Bench { args } => bench::run(args),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
