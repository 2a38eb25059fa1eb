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
        "  5 instances, 70 calls a second; an attempt is given up after 1 s, a call after 10 s."
    );
    println!(
        "  The dependency works on for callers who have given up. One column is one second.\n"
    );
    for (protection, words) in [
        (Protection::Nothing, "5 retries, no budget, no breaker"),
        (Protection::Budget, "5 retries within a budget of 10 %, no breaker"),
        (Protection::Defaults, "the defaults, but the breaker open for 5 s instead of 60 s"),
    ] {
        let story = scenarios::retry_storm(protection).replay(seed)?;
        println!("{words}\n\n{}", story.chart());
        match story.recovered_after(20, 5) {
            Some(0) => println!("  well again at once"),
            Some(after) => println!("  well again {after} s after the dependency"),
            None => println!("  not well again, 40 s after the dependency"),
        }
        println!("  goodput of the last 10 s: {:.1} %\n", story.goodput_of_last(10) * 100.0);
    }
    Ok(())
}
