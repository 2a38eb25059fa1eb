//! seawall beside the libraries one would use instead, in one process: `cargo xtask bench --help`.
//!
//! ```text
//!   operation                                        what is called
//!   floor  ours  by_hand  tower_resilience  singles  how it is called
//!   rows                                             which contenders do the same work, and the bars
//!   contender  measure  allocations                  interleaved rounds, best and median
//!   table                                            what was seen, for people and for programs
//! ```
//!
//! Hosts differ and so do minutes on one host, so nothing here is judged in nanoseconds: a bar is a ratio of
//! two medians from the same rounds.

mod allocations;
mod by_hand;
mod contender;
mod floor;
mod measure;
mod operation;
mod ours;
mod rows;
mod singles;
mod table;
mod tower_resilience;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

use crate::{measure::Effort, rows::rows, table::Seen};

/// Measures seawall beside the libraries one would use instead.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Flags {
    /// Only rows whose name contains this.
    #[arg(long, value_name = "NAME")]
    row: Option<String>,
    /// A few short rounds: to see that it runs, not to judge by.
    #[arg(long)]
    quick: bool,
    /// Rounds; every contender of a row is measured once in each.
    #[arg(long, default_value_t = ROUNDS, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Also write everything that was seen to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write the medians to this file, as a table for a page.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Fail if any bar is missed.
    #[arg(long)]
    strict: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let effort = if flags.quick {
        Effort { rounds: QUICK_ROUNDS, sample: QUICK_SAMPLE }
    } else {
        Effort { rounds: flags.rounds, sample: SAMPLE }
    };
    let wanted = flags.row.as_deref().unwrap_or_default();
    let mut seen = Vec::new();
    for row in rows().filter(|row| row.name.contains(wanted)) {
        let row = Seen::new(row, measure::measure(&(row.contenders)(), row.threads, effort));
        print!("{row}");
        seen.push(row);
    }
    if seen.is_empty() {
        let names = rows().map(|row| row.name).collect::<Vec<_>>().join(", ");
        eprintln!("no row is named like `{wanted}`; there are {names}");
        return ExitCode::FAILURE;
    }
    let texts = [
        flags.json.as_ref().map(|file| (file, format!("{:#}\n", table::json(&seen, effort)))),
        flags.markdown.as_ref().map(|file| (file, table::markdown(&seen))),
    ];
    for (file, text) in texts.into_iter().flatten() {
        if let Err(error) = fs::write(file, text) {
            eprintln!("{}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    let missed = seen.iter().map(Seen::missed).sum::<usize>();
    println!("\n{missed} missed of {} bars", seen.iter().map(Seen::bars).sum::<usize>());
    if flags.strict && missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Enough for a median that repeats to a few per cent on a shared machine.
const ROUNDS: u32 = 60;
/// Long beside a thread's start and the clock's grain, short beside a time slice of the system.
const SAMPLE: Duration = Duration::from_millis(2);
const QUICK_ROUNDS: u32 = 9;
const QUICK_SAMPLE: Duration = Duration::from_micros(300);
