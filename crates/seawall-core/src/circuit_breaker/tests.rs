//! The guide's timelines; the rest by subject below.

use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::{Cause, End, Outcome, Ratio, Reason};

mod exhaustive;
mod ledger;
mod model;
mod overrides;
mod periods;
mod rates;
mod reconfigure;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + SECOND * seconds as u32
}

fn breaker(config: CircuitBreakerConfig) -> CircuitBreaker {
    CircuitBreaker::new(&config).unwrap()
}

/// What every door does: elapsed time first.
fn admit(breaker: &mut CircuitBreaker, now: Instant) -> Result<Permit, Refusal> {
    while breaker.advance(now).is_some() {}
    breaker.admit(now)
}

fn end(breaker: &mut CircuitBreaker, permit: Permit, outcome: Outcome, now: Instant) {
    end_after(breaker, permit, outcome, Duration::ZERO, now);
}

fn end_after(
    breaker: &mut CircuitBreaker,
    permit: Permit,
    outcome: Outcome,
    took: Duration,
    now: Instant,
) {
    while breaker.advance(now).is_some() {}
    breaker.report(permit, End::new(outcome, took), now);
}

fn call(breaker: &mut CircuitBreaker, outcome: Outcome, now: Instant) {
    let permit = admit(breaker, now).unwrap();
    end(breaker, permit, outcome, now);
}

fn opened() -> CircuitBreaker {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    for _ in 0..5 {
        call(&mut breaker, Outcome::Failure, at(0));
    }
    breaker
}

#[test]
fn the_guides_timeline() {
    let mut breaker = opened();
    assert_eq!(breaker.phase(at(0)), Phase::Open);
    let refusal = admit(&mut breaker, at(20)).unwrap_err();
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::Open, Some(40 * SECOND)));
    assert_eq!(breaker.phase(at(60)), Phase::HalfOpen, "reading applies elapsed time");
    for _ in 0..3 {
        call(&mut breaker, Outcome::Success, at(61));
    }
    assert_eq!(breaker.phase(at(61)), Phase::Closed);
    assert_eq!(breaker.snapshot(at(61)).transitions, 3);
}

#[test]
fn p1_good_weather_then_five_failures_open_it() {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    for _ in 0..100_000 {
        call(&mut breaker, Outcome::Success, at(0));
    }
    for n in 1..=5 {
        assert_eq!(breaker.phase(at(0)), Phase::Closed, "before failure {n}");
        call(&mut breaker, Outcome::Failure, at(0));
    }
    assert_eq!(breaker.phase(at(0)), Phase::Open);
}

#[test]
fn p2_probes_slower_than_the_open_period_still_close_it() {
    let mut breaker = opened();
    for n in 0..3 {
        let permit = admit(&mut breaker, at(60 + n * 90)).unwrap();
        end(&mut breaker, permit, Outcome::Success, at(60 + n * 90 + 89));
    }
    assert_eq!(breaker.phase(at(400)), Phase::Closed);
}

#[test]
fn p8_results_of_calls_older_than_the_trip_are_ignored() {
    for late in [Outcome::Success, Outcome::Failure] {
        let mut breaker =
            breaker(CircuitBreakerConfig { successes: 1, ..CircuitBreakerConfig::default() });
        let straggler = admit(&mut breaker, at(0)).unwrap();
        for _ in 0..5 {
            call(&mut breaker, Outcome::Failure, at(0));
        }
        let probe = admit(&mut breaker, at(60)).unwrap();
        end(&mut breaker, straggler, late, at(61));
        assert_eq!(breaker.phase(at(61)), Phase::HalfOpen, "a late {late:?} decides nothing");
        end(&mut breaker, probe, Outcome::Success, at(62));
        assert_eq!(breaker.phase(at(62)), Phase::Closed);
    }
}

#[test]
fn p24_a_hung_probe_keeps_its_place_and_expires_as_a_failure() {
    let mut breaker = opened();
    let probes: Vec<_> = (0..3).map(|_| admit(&mut breaker, at(60)).unwrap()).collect();
    for _ in 0..97 {
        assert_eq!(admit(&mut breaker, at(61)).unwrap_err().reason, Reason::ProbesOut);
    }
    assert_eq!(breaker.wake_at(), Some(at(180)), "half_open_for is twice open_for");
    assert_eq!(breaker.phase(at(179)), Phase::HalfOpen);
    assert_eq!(breaker.phase(at(180)), Phase::Open);
    for probe in probes {
        end(&mut breaker, probe, Outcome::Success, at(181));
    }
    assert_eq!(breaker.phase(at(181)), Phase::Open, "an expired probe has nothing more to say");
    assert_eq!(breaker.phase(at(240)), Phase::HalfOpen, "and it is tried again");
}

#[test]
fn a_cancelled_probe_frees_exactly_one_place() {
    let mut breaker = opened();
    let mut probes: Vec<_> = (0..3).map(|_| admit(&mut breaker, at(60)).unwrap()).collect();
    end(&mut breaker, probes.remove(1), Outcome::Ignored, at(61));
    assert!(admit(&mut breaker, at(61)).is_ok());
    assert!(admit(&mut breaker, at(61)).is_err());
}

#[test]
fn statistics_mean_what_they_say() {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    for _ in 0..150 {
        call(&mut breaker, Outcome::Success, at(1));
    }
    let seen = breaker.snapshot(at(1));
    assert_eq!(
        (seen.phase, seen.failures, seen.successes),
        (Phase::Closed, 0, 150),
        "the guide's sample"
    );
    for _ in 0..4 {
        call(&mut breaker, Outcome::Failure, at(7));
    }
    let seen = breaker.snapshot(at(8));
    assert_eq!((seen.failures, seen.last_failure, seen.last_change), (4, Some(at(7)), None));
    call(&mut breaker, Outcome::Failure, at(9));
    let seen = breaker.snapshot(at(10));
    assert_eq!((seen.phase, seen.failures, seen.last_change), (Phase::Open, 5, Some(at(9))));
}

#[test]
fn every_senseless_setting_is_told() {
    let config = CircuitBreakerConfig {
        failures: 0,
        successes: 0,
        open_for: Duration::ZERO,
        half_open_calls: 256,
        half_open_for: Some(Duration::ZERO),
        failure_rate: Some(Ratio::ZERO),
        slow_rate: Some(Ratio::percent(101)),
        slow_after: None,
        window: Window::Calls(1_025),
        minimum_calls: 0,
        max_open_for: None,
        open_jitter: Ratio::percent(101),
    };
    let mut fields = Vec::new();
    config.check(&mut |invalid| fields.push(invalid.field));
    assert_eq!(
        fields,
        [
            "failures",
            "failure_rate",
            "slow_rate",
            "slow_after",
            "window",
            "minimum_calls",
            "successes",
            "open_for",
            "open_jitter",
            "half_open_calls",
            "half_open_for"
        ]
        .map(|field| alloc::format!("circuit_breaker.{field}"))
    );
    assert!(CircuitBreaker::new(&config).is_err());
}

#[test]
fn settings_that_only_together_make_no_sense_are_told() {
    let first = |config: CircuitBreakerConfig| CircuitBreaker::new(&config).err().map(|e| e.field);
    let base = CircuitBreakerConfig::default;
    for (config, field) in [
        (CircuitBreakerConfig { slow_after: Some(SECOND), ..base() }, "slow_rate"),
        (
            CircuitBreakerConfig {
                slow_after: Some(Duration::ZERO),
                slow_rate: Some(Ratio::ONE),
                ..base()
            },
            "slow_after",
        ),
        (CircuitBreakerConfig { window: Window::Calls(19), ..base() }, "minimum_calls"),
        (CircuitBreakerConfig { window: Window::Calls(0), ..base() }, "window"),
        (CircuitBreakerConfig { window: Window::Time(Duration::ZERO), ..base() }, "window"),
        (CircuitBreakerConfig { max_open_for: Some(59 * SECOND), ..base() }, "max_open_for"),
    ] {
        let told = first(config).unwrap();
        assert_eq!(told.strip_prefix("circuit_breaker."), Some(field));
    }
    for config in [
        CircuitBreakerConfig { window: Window::Calls(20), ..base() },
        CircuitBreakerConfig { failure_rate: Some(Ratio::ONE), ..base() },
        CircuitBreakerConfig { max_open_for: Some(60 * SECOND), open_jitter: Ratio::ONE, ..base() },
    ] {
        assert_eq!(first(config), None);
    }
}

#[test]
fn every_end_is_counted_once_whichever_phase_it_belongs_to() {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    let straggler = admit(&mut breaker, at(0)).unwrap();
    call(&mut breaker, Outcome::Success, at(0));
    call(&mut breaker, Outcome::Ignored, at(0));
    for _ in 0..5 {
        call(&mut breaker, Outcome::Failure, at(0));
    }
    end(&mut breaker, straggler, Outcome::Success, at(1));
    let refused = admit(&mut breaker, at(1));
    let probe = admit(&mut breaker, at(60)).unwrap();
    assert_eq!(breaker.phase(at(180)), Phase::Open, "the probe has expired");
    end(&mut breaker, probe, Outcome::Success, at(180));
    let seen = breaker.snapshot(at(180));
    let Ended { successes, failures, ignored } = seen.ended;
    assert_eq!((successes, failures, ignored, seen.refused), (3, 5, 1, 1));
    assert!(refused.is_err());
    assert_eq!((seen.successes, seen.last_failure), (0, Some(at(180))), "of this phase");
}

#[test]
fn a_withdrawn_permit_leaves_no_trace() {
    let mut breaker = opened();
    let before = breaker.snapshot(at(60));
    let probes: Vec<_> = (0..3).map(|_| admit(&mut breaker, at(60)).unwrap()).collect();
    probes.iter().for_each(|probe| breaker.withdraw(probe));
    assert_eq!(breaker.snapshot(at(60)), before);
    assert!(admit(&mut breaker, at(60)).is_ok());
}

#[test]
fn a_probe_that_may_live_for_ever_still_has_its_place() {
    let mut breaker = breaker(CircuitBreakerConfig {
        failures: 1,
        half_open_calls: 1,
        half_open_for: Some(Duration::MAX),
        ..CircuitBreakerConfig::default()
    });
    call(&mut breaker, Outcome::Failure, at(0));
    let probe = admit(&mut breaker, at(60)).unwrap();
    assert_eq!(admit(&mut breaker, at(61)).unwrap_err().reason, Reason::ProbesOut);
    breaker.flows(&probe, Instant::NEVER);
    assert_eq!(admit(&mut breaker, at(61)).unwrap_err().reason, Reason::ProbesOut);
    end(&mut breaker, probe, Outcome::Ignored, at(62));
    assert!(admit(&mut breaker, at(62)).is_ok());
}

#[test]
fn a_clock_that_steps_back_opens_and_closes_nothing() {
    for back in 0..60 {
        let mut breaker = opened();
        assert!(breaker.advance(at(back)).is_none());
        assert_eq!(breaker.phase(at(59)), Phase::Open);
        assert!(breaker.advance(at(60)).is_some());
        assert!(breaker.advance(at(back)).is_none());
        assert_eq!(breaker.phase(at(back)), Phase::HalfOpen);
        call(&mut breaker, Outcome::Ignored, at(back));
        assert_eq!(breaker.phase(at(back)), Phase::HalfOpen);
    }
}

#[test]
fn a_clock_that_jumps_far_hurts_nobody() {
    let mut breaker = opened();
    let far = Instant::from_nanos(u64::MAX / 2);
    let told: Vec<_> = core::iter::from_fn(|| breaker.advance(far)).collect();
    assert_eq!((told.len(), told[0].to, told[0].at), (1, Phase::HalfOpen, at(60)));
    for _ in 0..3 {
        call(&mut breaker, Outcome::Success, far);
    }
    assert_eq!(breaker.phase(far), Phase::Closed);
    for _ in 0..5 {
        call(&mut breaker, Outcome::Failure, Instant::NEVER);
    }
    assert_eq!(breaker.phase(Instant::NEVER), Phase::Open, "where time ends there is no later");
    assert!(breaker.advance(Instant::NEVER).is_none());
}

#[test]
fn it_is_as_small_as_it_says() {
    let heap = |breaker: &CircuitBreaker| {
        let running = size_of::<Instant>() * usize::from(breaker.places);
        let rates = breaker.rates.as_ref().map_or(0, |_| size_of::<Rates>() + running);
        size_of::<Place>() * breaker.probes.len() + rates
    };
    let bare = breaker(CircuitBreakerConfig::default());
    assert_eq!(size_of::<CircuitBreaker>() + heap(&bare), 200);
    let config = CircuitBreakerConfig {
        failure_rate: Some(Ratio::ONE),
        slow_rate: Some(Ratio::ONE),
        slow_after: Some(SECOND),
        ..CircuitBreakerConfig::default()
    };
    let keyed = CircuitBreaker::sized(Arc::new(config.clone()), 0, 8).unwrap();
    assert_eq!(size_of::<CircuitBreaker>() + heap(&keyed), 512);
    let whole = CircuitBreaker::new(&config).unwrap();
    assert_eq!(size_of::<CircuitBreaker>() + heap(&whole), 960);
}
