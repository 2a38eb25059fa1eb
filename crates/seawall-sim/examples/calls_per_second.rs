//! How many calls one core simulates in a second: traffic, dependency, machines, and the check after every event.
//!
//! `cargo run --release --example calls_per_second -p seawall-sim [ROUNDS]`: the best and the middle one of so many rounds of
//! each story. To be judged where little else runs.

use std::time::{Duration, Instant};

use seawall_sim::{
    Client, Clock, Dependency, Latency, Scenario, Stop, Traffic,
    scenarios::{self, Protection},
};

fn main() -> Result<(), Stop> {
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    println!("Calls simulated in a second, in millions, on one core; {rounds} rounds.\n");
    println!("  {:28}{:>8}{:>8}", "", "best", "median");
    let every = show("all is well, every pattern", &well(Client::default()), rounds)?;
    show("all is well, no pattern", &well(bare()), rounds)?;
    for (words, protection) in [
        ("a retry storm, the defaults", Protection::Defaults),
        ("a retry storm, unprotected", Protection::Nothing),
    ] {
        show(words, &scenarios::retry_storm(protection), rounds)?;
    }
    let verdict = if every >= BAR { "pass" } else { "MISS" };
    println!("\n  {verdict}  at least {BAR} M, all well, with every pattern: {every:.2} M");
    Ok(())
}

/// Prints a line, and tells its median.
fn show(words: &str, scenario: &Scenario, rounds: u64) -> Result<f64, Stop> {
    let mut seen = (0..rounds.max(1))
        .map(|seed| calls_per_second(scenario, seed))
        .collect::<Result<Vec<_>, _>>()?;
    seen.sort_by(f64::total_cmp);
    let (best, median) = (seen[seen.len() - 1] / 1e6, seen[seen.len() / 2] / 1e6);
    println!("  {words:28}{best:>8.2}{median:>8.2}");
    Ok(median)
}

fn calls_per_second(scenario: &Scenario, seed: u64) -> Result<f64, Stop> {
    let begun = Instant::now();
    let story = scenario.replay(seed)?;
    Ok(story.totals.offered as f64 / begun.elapsed().as_secs_f64())
}

/// A hundred thousand calls that meet no fault and hardly ever a line.
fn well(client: Client) -> Scenario {
    Scenario {
        name: "all is well".into(),
        lasts: Duration::from_secs(100),
        client,
        dependencies: vec![Dependency {
            workers: 100,
            latency: Latency::Exponential(Duration::from_millis(20)),
            ..Dependency::default()
        }],
        traffic: vec![Traffic { rate: 1_000, ..Traffic::default() }],
        clock: Clock::default(),
    }
}

fn bare() -> Client {
    Client {
        deadline: None,
        retry: None,
        circuit_breaker: None,
        bulkhead: None,
        timeout: None,
        ..Client::default()
    }
}

/// Enough for a median that repeats to some per cent.
const ROUNDS: u64 = 20;
/// Millions of calls a second: an hour of a thousand calls a second in four seconds.
const BAR: f64 = 1.0;
