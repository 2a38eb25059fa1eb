//! How long it stays open: growth, cap, jitter, and that a refusal names the moment exactly.

use proptest::prelude::*;

use super::*;

/// Opens it at `now` from closed or half-open, and tells for how long.
fn open(breaker: &mut CircuitBreaker, now: Instant) -> Duration {
    call(breaker, Outcome::Failure, now);
    assert_eq!(breaker.phase(now), Phase::Open);
    admit(breaker, now).unwrap_err().retry_after.unwrap()
}

fn growing(cap: Option<Duration>, open_jitter: Ratio, seed: u64) -> CircuitBreaker {
    let config = CircuitBreakerConfig {
        failures: 1,
        successes: 1,
        open_for: 5 * SECOND,
        max_open_for: cap,
        open_jitter,
        ..CircuitBreakerConfig::default()
    };
    CircuitBreaker::seeded(&config, seed).unwrap()
}

#[test]
fn it_doubles_up_to_its_cap_and_closing_starts_again() {
    let mut breaker = growing(Some(30 * SECOND), Ratio::ZERO, 0);
    let mut now = at(0);
    for (reopens, seconds) in [5, 10, 20, 30, 30, 30].into_iter().enumerate() {
        let period = open(&mut breaker, now);
        assert_eq!(period, SECOND * seconds);
        let seen = breaker.snapshot(now);
        assert_eq!((seen.reopens, seen.open_period), (reopens as u32, Some(period)));
        now = now + period;
    }
    call(&mut breaker, Outcome::Success, now);
    let seen = breaker.snapshot(now);
    assert_eq!((seen.phase, seen.reopens, seen.open_period), (Phase::Closed, 0, None));
    assert_eq!(open(&mut breaker, now), 5 * SECOND);
}

#[test]
fn without_a_cap_it_is_constant() {
    let mut breaker = growing(None, Ratio::ZERO, 0);
    let mut now = at(0);
    for _ in 0..100 {
        assert_eq!(open(&mut breaker, now), 5 * SECOND);
        now = now + 5 * SECOND;
    }
}

#[test]
fn a_huge_base_and_many_reopens_saturate() {
    let config = CircuitBreakerConfig {
        failures: 1,
        open_for: Duration::MAX / 2,
        max_open_for: Some(Duration::MAX),
        ..CircuitBreakerConfig::default()
    };
    let mut breaker = breaker(config);
    breaker.reopens = u16::MAX;
    let period = open(&mut breaker, at(1));
    assert!(period > SECOND * 1_000_000);
}

#[test]
fn instances_with_other_seeds_probe_at_other_times() {
    let periods: std::collections::BTreeSet<Duration> =
        (0..100).map(|seed| open(&mut growing(None, Ratio::percent(20), seed), at(0))).collect();
    assert!(periods.len() > 90, "{} of 100", periods.len());
    let spread = *periods.last().unwrap() - *periods.first().unwrap();
    assert!(spread > SECOND * 8 / 10, "of 1 s: {spread:?}");
}

#[test]
fn a_call_that_would_open_it_knows_for_how_long() {
    for seed in 0..50 {
        let mut breaker = growing(Some(60 * SECOND), Ratio::percent(30), seed);
        let mut now = at(0);
        for _ in 0..3 {
            let permit = admit(&mut breaker, now).unwrap();
            let would = breaker.ready_had_failed(&permit, now, now).unwrap_err();
            assert_eq!(would.reason, Reason::Open);
            let period = would.retry_after.unwrap();
            assert_eq!(breaker.ready_had_failed(&permit, now + period, now), Ok(()));
            end(&mut breaker, permit, Outcome::Failure, now);
            assert_eq!(admit(&mut breaker, now).unwrap_err().retry_after, Some(period));
            now = now + period;
        }
    }
}

proptest! {
    #[test]
    fn the_period_is_inside_its_jitter_and_its_cap_and_exact(
        seed: u64, cap in 5u32..100, percent in 0u32..=100, reopens in 0u32..9,
    ) {
        let cap = SECOND * cap;
        let mut breaker = growing(Some(cap), Ratio::percent(percent), seed);
        let mut now = at(0);
        for n in 0..=reopens {
            let full = (5 * SECOND * (1 << n)).min(cap);
            let period = open(&mut breaker, now);
            let swing = full * percent / 100;
            prop_assert!(period >= full - swing && period <= (full + swing).min(cap), "{period:?}");
            let nearly = now + (period - Duration::from_nanos(1));
            prop_assert_eq!(breaker.phase(nearly), Phase::Open);
            prop_assert!(admit(&mut breaker, nearly).is_err());
            now = now + period;
            prop_assert_eq!(breaker.phase(now), Phase::HalfOpen);
        }
    }
}
