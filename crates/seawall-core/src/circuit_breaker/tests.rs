//! The guide's timelines; the rest by subject below.

use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::{Cause, End, Outcome, Ratio, Reason, Transition};

mod exhaustive;
mod ledger;
mod model;
mod overrides;
mod periods;
mod questions;
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
) -> Option<Transition> {
    while breaker.advance(now).is_some() {}
    breaker.report(permit, End::new(outcome, took), now)
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
        let mut breaker = breaker(CircuitBreakerConfig {
            failures: 2,
            successes: 1,
            half_open_calls: 1,
            ..CircuitBreakerConfig::default()
        });
        let [while_open, while_half_open, after, again] =
            [(); 4].map(|()| admit(&mut breaker, at(0)).unwrap());
        (0..2).for_each(|_| call(&mut breaker, Outcome::Failure, at(0)));
        end(&mut breaker, while_open, late, at(30));
        assert_eq!(breaker.phase(at(30)), Phase::Open, "a late {late:?}");
        // A probe that expired is as late as a call from before the trip.
        let expired = admit(&mut breaker, at(60)).unwrap();
        assert_eq!(breaker.phase(at(180)), Phase::Open);
        let probe = admit(&mut breaker, at(240)).unwrap();
        end(&mut breaker, while_half_open, late, at(241));
        end(&mut breaker, expired, late, at(241));
        assert_eq!(breaker.phase(at(241)), Phase::HalfOpen, "a late {late:?} decides nothing");
        assert!(admit(&mut breaker, at(241)).is_err(), "and frees no place");
        end(&mut breaker, probe, Outcome::Success, at(242));
        assert_eq!(breaker.phase(at(242)), Phase::Closed);
        // Nor do they lengthen or end the row of failures of what is closed again.
        end(&mut breaker, after, late, at(243));
        call(&mut breaker, Outcome::Failure, at(243));
        end(&mut breaker, again, late, at(243));
        assert_eq!(breaker.snapshot(at(243)).failures, 1, "a late {late:?} is in no row");
        call(&mut breaker, Outcome::Failure, at(243));
        assert_eq!(breaker.phase(at(243)), Phase::Open);
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
fn one_good_probe_of_many_does_not_close_it_and_as_many_as_are_asked_for_do() {
    for (half_open_calls, successes) in [(5, 2), (2, 4), (1, 3), (3, 3)] {
        let mut breaker = breaker(CircuitBreakerConfig {
            failures: 1,
            successes,
            half_open_calls,
            ..CircuitBreakerConfig::default()
        });
        call(&mut breaker, Outcome::Failure, at(0));
        let mut alive = Vec::new();
        for good in 1..=successes {
            alive.extend(core::iter::from_fn(|| admit(&mut breaker, at(60)).ok()));
            assert_eq!(alive.len(), half_open_calls as usize, "before success {good}");
            end(&mut breaker, alive.remove(0), Outcome::Success, at(60));
            let phase = if good < successes { Phase::HalfOpen } else { Phase::Closed };
            assert_eq!(breaker.phase(at(60)), phase, "{good} of {successes}");
        }
    }
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
    let shown = |breaker: &CircuitBreaker, now| {
        let seen = breaker.snapshot(now);
        (seen.phase, seen.failures, seen.successes, seen.half_open_successes, seen.reopens)
    };
    (0..150).for_each(|_| call(&mut breaker, Outcome::Success, at(1)));
    assert_eq!(shown(&breaker, at(1)), (Phase::Closed, 0, 150, 0, 0), "the guide's sample");
    let unseen = breaker.snapshot(at(1));
    assert_eq!((unseen.last_failure, unseen.last_change, unseen.open_period), (None, None, None));
    (0..4).for_each(|_| call(&mut breaker, Outcome::Failure, at(6)));
    call(&mut breaker, Outcome::Success, at(6));
    assert_eq!(shown(&breaker, at(6)), (Phase::Closed, 0, 151, 0, 0), "in a row");
    (0..4).for_each(|_| call(&mut breaker, Outcome::Failure, at(7)));
    call(&mut breaker, Outcome::Ignored, at(8));
    assert_eq!(shown(&breaker, at(8)), (Phase::Closed, 4, 151, 0, 0));
    let seen = breaker.snapshot(at(8));
    assert_eq!((seen.last_failure, seen.last_change, seen.transitions), (Some(at(7)), None, 0));
    call(&mut breaker, Outcome::Failure, at(9));
    assert!(admit(&mut breaker, at(10)).is_err());
    assert_eq!(shown(&breaker, at(10)), (Phase::Open, 5, 0, 0, 0), "successes of this phase");
    let seen = breaker.snapshot(at(10));
    assert_eq!((seen.last_change, seen.open_period), (Some(at(9)), Some(60 * SECOND)));
    assert_eq!((seen.last_failure, seen.transitions, seen.refused), (Some(at(9)), 1, 1));
    call(&mut breaker, Outcome::Success, at(69));
    assert_eq!(shown(&breaker, at(69)), (Phase::HalfOpen, 5, 1, 1, 0));
    call(&mut breaker, Outcome::Failure, at(70));
    assert_eq!(shown(&breaker, at(70)), (Phase::Open, 5, 0, 0, 1));
    (0..3).for_each(|_| call(&mut breaker, Outcome::Success, at(130)));
    assert_eq!(shown(&breaker, at(130)), (Phase::Closed, 0, 0, 0, 0));
    let seen = breaker.snapshot(at(130));
    assert_eq!((seen.last_failure, seen.last_change), (Some(at(70)), Some(at(130))));
    assert_eq!((seen.transitions, seen.refused, seen.open_period), (5, 1, None));
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
            "over",
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
        (CircuitBreakerConfig { window: Window::Calls(0), ..base() }, "over"),
        (CircuitBreakerConfig { window: Window::Time(Duration::ZERO), ..base() }, "over"),
        (CircuitBreakerConfig { max_open_for: Some(59 * SECOND), ..base() }, "max_open_for"),
    ] {
        let told = first(config).unwrap();
        assert_eq!(told.strip_prefix("circuit_breaker."), Some(field));
    }
    for config in [
        CircuitBreakerConfig { window: Window::Calls(20), ..base() },
        CircuitBreakerConfig { failure_rate: Some(Ratio::ONE), ..base() },
        CircuitBreakerConfig { max_open_for: Some(60 * SECOND), open_jitter: Ratio::ONE, ..base() },
        CircuitBreakerConfig { half_open_calls: 255, window: Window::Calls(1_024), ..base() },
        CircuitBreakerConfig { window: Window::Time(Duration::from_nanos(10)), ..base() },
    ] {
        assert_eq!(first(config), None);
    }
}

#[test]
fn every_end_is_counted_once_whichever_phase_it_belongs_to() {
    let plain = CircuitBreakerConfig::default();
    let rated = CircuitBreakerConfig { failure_rate: Some(Ratio::ONE), ..plain.clone() };
    for config in [plain, rated] {
        let mut breaker = breaker(config);
        let ended = |breaker: &CircuitBreaker, now| {
            let seen = breaker.snapshot(now);
            (seen.ended.successes, seen.ended.failures, seen.ended.ignored, seen.successes)
        };
        let straggler = admit(&mut breaker, at(0)).unwrap();
        call(&mut breaker, Outcome::Success, at(0));
        call(&mut breaker, Outcome::Ignored, at(0));
        assert_eq!(ended(&breaker, at(0)), (1, 0, 1, 1));
        (0..5).for_each(|_| call(&mut breaker, Outcome::Failure, at(0)));
        assert_eq!(ended(&breaker, at(0)), (1, 5, 1, 0));
        end(&mut breaker, straggler, Outcome::Success, at(1));
        assert_eq!(ended(&breaker, at(1)), (2, 5, 1, 0), "of another phase");
        assert!(admit(&mut breaker, at(1)).is_err());
        let probes = [(); 3].map(|()| admit(&mut breaker, at(60)).unwrap());
        let [good, without_verdict, hung] = probes;
        end(&mut breaker, good, Outcome::Success, at(61));
        end(&mut breaker, without_verdict, Outcome::Ignored, at(61));
        assert_eq!(ended(&breaker, at(61)), (3, 5, 2, 1));
        assert_eq!(ended(&breaker, at(180)), (3, 5, 2, 0), "what hangs has not ended");
        end(&mut breaker, hung, Outcome::Failure, at(181));
        assert_eq!(ended(&breaker, at(181)), (3, 6, 2, 0));
        assert_eq!(breaker.snapshot(at(181)).refused, 1);
        assert_eq!(breaker.snapshot(at(181)).last_failure, Some(at(180)), "of this phase");
    }
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
        let rates = breaker.rates.as_ref().map_or(0, |rates| {
            let windows = [&rates.failure, &rates.slow].into_iter().flatten().count();
            size_of::<Rates>()
                + windows * size_of::<crate::circuit_breaker::ledger::Ledger>()
                + running
        });
        size_of::<Place>() * breaker.probes.len() + rates
    };
    let bare = breaker(CircuitBreakerConfig::default());
    assert_eq!(size_of::<CircuitBreaker>() + heap(&bare), 208);
    let config = CircuitBreakerConfig {
        failure_rate: Some(Ratio::ONE),
        slow_rate: Some(Ratio::ONE),
        slow_after: Some(SECOND),
        ..CircuitBreakerConfig::default()
    };
    let keyed = CircuitBreaker::sized(Arc::new(config.clone()), 0, 8).unwrap();
    assert_eq!(size_of::<CircuitBreaker>() + heap(&keyed), 536);
    let whole = CircuitBreaker::new(&config).unwrap();
    assert_eq!(size_of::<CircuitBreaker>() + heap(&whole), 984);
    assert_eq!(size_of::<CircuitBreakerMemory>(), 88);
    assert_eq!(size_of::<Rates>() + size_of::<crate::circuit_breaker::ledger::Ledger>(), 160);
}
