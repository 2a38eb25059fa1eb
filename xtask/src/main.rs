//! The project's task runner: `cargo xtask --help`.
//!
//! A command is a list of [`step`]s, and a step is a command line that is printed before it runs, so
//! nothing here is magic: whatever fails can be repeated by hand.

mod bench;
mod binaries;
mod ci;
mod coverage;
mod flaky;
mod fuzz;
mod lint;
mod loom;
mod mutants;
mod planted;
mod promises;
mod step;
mod test;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

/// The project's tasks. Every step prints the command it runs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Run all tests, those in the documentation included, build the examples, replay the inputs fuzzing has
    /// found, and see that planted defects are noticed.
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
    /// Break the code and see that a test notices.
    Mutants {
        /// Break every kept promise once, as docs/promises.md says. At most three minutes.
        #[arg(long, conflicts_with = "file", required_unless_present = "file")]
        planted: bool,
        /// Break one file in every way `cargo mutants` knows, and tell the score. Takes up where it stopped.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Build the tests once and run all of them ten times beside four busy threads.
    Flaky,
    /// Look for inputs that break a promise, with `cargo fuzz`.
    Fuzz {
        /// How long to look, for each target.
        #[arg(long, default_value_t = 30)]
        seconds: u32,
        /// This target alone.
        #[arg(long)]
        target: Option<String>,
    },
    /// Have threads meet at every point of the lock around machines, in each order.
    Loom,
    /// Tell how much of each file the tests reach.
    Coverage,
}

fn main() -> ExitCode {
    let passed = match Command::parse() {
        Command::Test => test::run(),
        Command::Lint => lint::run(),
        Command::Ci => ci::run(),
        Command::Bench { args } => bench::run(args),
        Command::Mutants { file: Some(file), .. } => mutants::run(&file),
        Command::Mutants { file: None, .. } => planted::run(),
        Command::Flaky => flaky::run(),
        Command::Fuzz { seconds, target } => fuzz::run(seconds, target.as_deref()),
        Command::Loom => loom::run(),
        Command::Coverage => coverage::run(),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
