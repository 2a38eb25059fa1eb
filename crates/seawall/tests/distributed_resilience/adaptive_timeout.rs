//! Adaptive timeout: percentiles, the learned limit, and that it cuts.

use std::{
    future::{pending, ready},
    time::Duration,
};

use seawall::{
    Error,
    guide::{AdaptiveTimeout, TimeoutConfig},
};
use tokio::time::Instant;

use crate::{Down, MS, SECOND, clock, pass};

fn timeout(config: TimeoutConfig) -> AdaptiveTimeout {
    AdaptiveTimeout::with_clock("search", config, clock()).expect("the settings make sense")
}

/// 1 to 100 ms, each once.
fn seen() -> AdaptiveTimeout {
    let timeout = timeout(TimeoutConfig::default());
    (1..=100).for_each(|ms| timeout.record(ms * MS));
    timeout
}

/// Read to a hundredth, which is what the sketch promises.
fn near(seen: Duration, expected: Duration) -> bool {
    seen.abs_diff(expected) <= expected / 80
}

#[tokio::test(start_paused = true)]
async fn before_a_hundred_samples_the_limit_is_the_configured_one() {
    let timeout = timeout(TimeoutConfig::default());
    (0..99).for_each(|_| timeout.record(120 * MS));
    assert_eq!(timeout.current_limit(), 60 * SECOND);
    timeout.record(120 * MS);
    assert!(near(timeout.current_limit(), 180 * MS), "{:?}", timeout.current_limit());
}

#[tokio::test(start_paused = true)]
async fn percentiles_are_those_of_a_sorted_list() {
    let latencies = seen().snapshot();
    for (seen, expected) in [
        (latencies.p50, 50 * MS),
        (latencies.p95, 95 * MS),
        (latencies.p99, 99 * MS),
        (latencies.p999, 100 * MS),
    ] {
        let seen = seen.unwrap();
        assert!(near(seen, expected) || near(seen, expected + MS), "{seen:?}, not {expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_one_and_a_half_times_the_p95() {
    let limit = seen().current_limit();
    assert!(near(limit, 95 * MS * 3 / 2) || near(limit, 96 * MS * 3 / 2), "{limit:?}");
}

#[tokio::test(start_paused = true)]
async fn percentiles_of_nothing_are_unknown() {
    let latencies = timeout(TimeoutConfig::default()).snapshot();
    assert_eq!((latencies.p50, latencies.p999, latencies.samples), (None, None, 0));
}

#[tokio::test(start_paused = true)]
async fn the_limit_stays_between_floor_and_cap() {
    let fast = timeout(TimeoutConfig::default());
    (0..200).for_each(|_| fast.record(MS / 10));
    assert_eq!(fast.current_limit(), 10 * MS);
    let slow = timeout(TimeoutConfig { attempt: SECOND, ..TimeoutConfig::default() });
    (0..200).for_each(|_| slow.record(5 * SECOND));
    assert_eq!(slow.current_limit(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_adaptive_keeps_its_limit_and_measures() {
    let fixed = timeout(TimeoutConfig { adaptive: false, ..TimeoutConfig::default() });
    (0..200).for_each(|_| fixed.record(10 * MS));
    assert_eq!(fixed.current_limit(), 60 * SECOND);
    assert!(near(fixed.snapshot().p95.unwrap(), 10 * MS));
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_cut_at_the_limit() {
    let timeout = seen();
    let (limit, begun) = (timeout.current_limit(), Instant::now());
    let cut = timeout.run(pending::<Result<(), Down>>).await;
    assert!(matches!(cut, Err(Error::TimedOut(_))));
    let late = begun.elapsed() - limit;
    assert!(late <= 2 * MS, "{late:?} after the limit; timers have a grain of a millisecond");
}

#[tokio::test(start_paused = true)]
async fn calls_it_runs_are_learned_from() {
    let timeout = timeout(TimeoutConfig::default());
    for _ in 0..100 {
        let call = || async {
            pass(20 * MS).await;
            Ok::<_, Down>(())
        };
        timeout.run(call).await.unwrap();
    }
    let (limit, samples) = (timeout.current_limit(), timeout.snapshot().samples);
    assert!((30 * MS..33 * MS).contains(&limit), "{limit:?}");
    assert_eq!(samples, 100);
    assert!(timeout.run(|| ready(Ok::<_, Down>(()))).await.is_ok());
}
