//! A dependency fails for ten seconds. Is the service well when the dependency is?
//!
//! `cargo run --release --example retry_storm -p seawall-sim [SEED]`: the same seed prints the same bytes.

use seawall_sim::{
    Stop,
    scenarios::{self, Protection},
};

fn main() -> Result<(), Stop> {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(42);
    println!(
        "A dependency at 70 % load fails every job from second 10 to second 20. Seed {seed}.\n"
    );
    println!("  10 workers, 100 ms a job on average: 100 jobs a second; 500 may wait.");
    println!(
        "  5 instances, together 70 calls a second; an attempt is given up after 1 s, a call after 10 s."
    );
    println!("  The dependency works on for callers who have given up.\n");
    println!("  One column is one second; each picture has a scale of its own, stated below it.");
    println!(
        "  A call is offered when it comes, and good, failed or refused when it ends: one that the fault"
    );
    println!("  met may fail seconds later, when its last retry has.");
    println!("  Breakers: . all closed, o open, h half-open. Well: nine of ten calls, for 5 s.\n");
    for (protection, words) in [
        (Protection::Nothing, "5 retries, no budget, no breaker"),
        (Protection::Budget, "5 retries within a budget of 10 %, no breaker"),
        (Protection::Defaults, "the defaults, but the breaker open for 5 s instead of 60 s"),
    ] {
        let story = scenarios::retry_storm(protection).replay(seed)?;
        println!("{words}\n\n{}", story.chart());
        match story.recovered_after(20, 5) {
            Some(0) => println!("  well again as soon as the dependency"),
            Some(after) => println!("  well again {after} s after the dependency"),
            None => println!("  not well again, 40 s after the dependency"),
        }
        let last = story.rows.iter().rev().take(10);
        let (offered, good) =
            last.fold((0, 0), |(offered, good), row| (offered + row.offered, good + row.good));
        println!("  the last 10 s: {offered} calls came, {good} ended well\n");
    }
    Ok(())
}
