//! A dependency fails for ten seconds. Is the service well when the dependency is?
//!
//! `cargo run --release --example retry_storm -p seawall-sim [SEED]`: the same seed prints the same bytes.

use seawall_sim::{
    Scale, Stop,
    scenarios::{self, Protection},
};

fn main() -> Result<(), Stop> {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(42);
    println!("{}", OPENING.replace("{seed}", &seed.to_string()));
    for (protection, words, why) in [
        (
            Protection::Nothing,
            "5 retries, no budget, no breaker",
            "a call fails seconds after it came, when the last of its retries has: so failures begin late",
        ),
        (
            Protection::Budget,
            "5 retries within a budget of 10 %, no breaker",
            "most calls fail with their first attempt, for there is no budget for another",
        ),
        (
            Protection::Defaults,
            "the defaults, but the breaker open for 5 s instead of 60 s",
            "calls are refused while the breakers are open; what fails are attempts that open them, or probe",
        ),
    ] {
        let story = scenarios::retry_storm(protection).replay(seed)?;
        println!("{words}\n\n{}\n  {why}", story.chart(SCALE));
        match story.recovered_after(20, 5) {
            Some(0) => println!("  well again as soon as the dependency"),
            Some(after) => println!("  well again {after} s after the dependency"),
            None => println!("  not well again, 40 s after the dependency"),
        }
        let last = story.rows.iter().rev().take(10);
        let (offered, good) =
            last.fold((0, 0), |(offered, good), row| (offered + row.offered, good + row.good));
        println!("  in the last 10 s {offered} calls came, and {good} ended well\n");
    }
    Ok(())
}

const OPENING: &str = "\
A dependency at 70 % load fails every job from second 10 to second 20. Seed {seed}.

  10 workers, 100 ms a job on average: 100 jobs a second; 500 may wait.
  5 instances, together 70 calls a second; an attempt is given up after 1 s, a call after 10 s.
  The dependency works on for callers who have given up.

  One column is one second. In all pictures a full bar is 100 calls or attempts, what the dependency
  manages, and of the queue all 500 places; a digit is how many times a full bar.
  A call is offered in the second when it comes, and good, failed or refused in that when it ends. So
  more can end well than came; and a job that began before second 20 may still fail after it.
  Breakers: . all closed, o most of the others open, h half-open.
  Well again: nine of ten calls end well, over five seconds together.
";
/// What the dependency manages, and what may wait there.
const SCALE: Scale = Scale { calls: 100, waiting: 500 };
