//! The rules on shares of calls, and the calls that never end.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Opens at half of the last 20 calls failed or slow, and not by failures in a row.
fn rated() -> CircuitBreakerConfig {
    CircuitBreakerConfig {
        failures: u32::MAX,
        failure_rate: Some(Ratio::percent(50)),
        slow_rate: Some(Ratio::percent(50)),
        slow_after: Some(SECOND),
        window: Window::Calls(20),
        successes: 1,
        half_open_calls: 1,
        ..CircuitBreakerConfig::default()
    }
}

fn changes(breaker: &mut CircuitBreaker, now: Instant) -> Vec<Transition> {
    core::iter::from_fn(|| breaker.advance(now)).collect()
}

/// A call of this duration that has just ended.
fn took(breaker: &mut CircuitBreaker, outcome: Outcome, took: Duration, now: Instant) {
    let permit = admit(breaker, now).unwrap();
    end_after(breaker, permit, outcome, took, now);
}

#[test]
fn a_rate_needs_its_minimum_of_calls_and_trips_at_exactly_its_share() {
    let alone = CircuitBreakerConfig { slow_rate: None, slow_after: None, ..rated() };
    for config in [rated(), alone] {
        let mut breaker = breaker(config);
        for n in 0..19 {
            assert_eq!(breaker.phase(at(0)), Phase::Closed, "{n}");
            call(&mut breaker, if n < 10 { Outcome::Failure } else { Outcome::Success }, at(0));
        }
        assert_eq!(breaker.phase(at(0)), Phase::Closed, "10 of 19, but 19 are too few");
        let last = admit(&mut breaker, at(0)).unwrap();
        let opens = breaker.report(last, End::new(Outcome::Success, MS), at(0)).unwrap();
        assert_eq!(opens.cause, Cause::FailureRate { failed: 10, calls: 20 });
        let seen = breaker.snapshot(at(0));
        assert_eq!((seen.phase, seen.failure_rate), (Phase::Open, Some(Ratio::percent(50))));
        assert_eq!(seen.window_calls, 20, "what opened it stays to be seen");
    }
}

#[test]
fn below_the_share_it_stays_closed_for_ever() {
    let mut breaker = breaker(rated());
    for n in 0..10_000 {
        call(&mut breaker, if n % 20 < 9 { Outcome::Failure } else { Outcome::Success }, at(n));
    }
    assert_eq!(breaker.phase(at(10_000)), Phase::Closed);
}

#[test]
fn a_rate_of_100_percent_can_trip() {
    for (outcome, length) in [(Outcome::Failure, MS), (Outcome::Success, SECOND)] {
        let mut breaker = breaker(CircuitBreakerConfig {
            failure_rate: Some(Ratio::ONE),
            slow_rate: Some(Ratio::ONE),
            ..rated()
        });
        for _ in 0..20 {
            assert_eq!(breaker.phase(at(0)), Phase::Closed);
            took(&mut breaker, outcome, length, at(0));
        }
        assert_eq!(breaker.phase(at(0)), Phase::Open);
    }
}

#[test]
fn ignored_calls_count_in_neither_window() {
    let mut breaker = breaker(rated());
    for _ in 0..1_000 {
        took(&mut breaker, Outcome::Ignored, 5 * SECOND, at(0));
    }
    let seen = breaker.snapshot(at(0));
    assert_eq!((seen.phase, seen.window_calls, seen.slow_rate), (Phase::Closed, 0, None));
}

#[test]
fn a_time_window_fades_although_nobody_calls() {
    let mut breaker =
        breaker(CircuitBreakerConfig { window: Window::Time(10 * SECOND), ..rated() });
    for _ in 0..19 {
        call(&mut breaker, Outcome::Failure, at(0));
    }
    assert_eq!(breaker.snapshot(at(9)).window_calls, 19);
    assert_eq!(breaker.snapshot(at(10)).window_calls, 0);
    assert_eq!(breaker.snapshot(at(10)).failure_rate, None);
    call(&mut breaker, Outcome::Failure, at(10));
    assert_eq!(breaker.phase(at(10)), Phase::Closed, "the old ones are forgotten");
}

#[test]
fn a_hung_callee_opens_it_without_any_completion() {
    let mut breaker = breaker(rated());
    let hung: Vec<_> = (0..20).map(|n| admit(&mut breaker, at(0) + MS * n).unwrap()).collect();
    assert_eq!(breaker.wake_at(), Some(at(1)));
    assert_eq!(breaker.phase(at(1) + 18 * MS), Phase::Closed, "19 are too few");
    let told = changes(&mut breaker, at(5));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].cause, Cause::SlowRate { slow: 20, calls: 20 });
    assert_eq!(told[0].at, at(1) + 19 * MS, "when it fell due, not when it was seen");
    assert_eq!(breaker.snapshot(at(5)).reopens, 0);
    for permit in hung {
        end_after(&mut breaker, permit, Outcome::Failure, 6 * SECOND, at(6));
    }
    assert_eq!(breaker.phase(at(6)), Phase::Open, "late results decide nothing");
}

#[test]
fn a_call_is_slow_once_at_its_crossing_or_at_its_end() {
    let mut breaker = breaker(CircuitBreakerConfig { minimum_calls: 20, ..rated() });
    let permits: Vec<_> = (0..3).map(|_| admit(&mut breaker, at(0)).unwrap()).collect();
    assert_eq!(breaker.snapshot(at(0) + 999 * MS).slow_calls, 0);
    let seen = breaker.snapshot(at(1));
    assert_eq!((seen.slow_calls, seen.running_slow, seen.window_calls), (3, 3, 0));
    for permit in permits {
        end_after(&mut breaker, permit, Outcome::Success, 3 * SECOND, at(3));
    }
    let seen = breaker.snapshot(at(3));
    assert_eq!((seen.slow_calls, seen.running_slow, seen.window_calls), (3, 0, 3));
    took(&mut breaker, Outcome::Success, SECOND, at(3));
    took(&mut breaker, Outcome::Success, 999 * MS, at(3));
    assert_eq!(breaker.snapshot(at(3)).slow_calls, 4);
    assert_eq!(breaker.snapshot(at(3)).slow_rate, Some(Ratio::percent(80)));
}

#[test]
fn a_call_that_finds_the_table_full_is_judged_when_it_ends() {
    let config = CircuitBreakerConfig { window: Window::Calls(1_024), ..rated() };
    let config = CircuitBreakerConfig { minimum_calls: 1_000, ..config };
    let mut breaker = breaker(config);
    let mut permits: Vec<_> = (0..100).map(|_| admit(&mut breaker, at(0)).unwrap()).collect();
    assert_eq!(breaker.snapshot(at(2)).slow_calls, 64);
    let beyond = permits.pop().unwrap();
    assert_eq!(beyond.slot(), 0);
    end_after(&mut breaker, beyond, Outcome::Success, 2 * SECOND, at(2));
    assert_eq!(breaker.snapshot(at(2)).slow_calls, 65);
    end(&mut breaker, permits.remove(7), Outcome::Ignored, at(2));
    assert_eq!(admit(&mut breaker, at(2)).unwrap().slot(), 8, "a place that is free is used again");
}

#[test]
fn an_answer_that_has_begun_is_not_slow_however_long_it_is_read() {
    let mut breaker = breaker(rated());
    let permit = admit(&mut breaker, at(0)).unwrap();
    breaker.flows(&permit, at(30));
    assert_eq!(breaker.snapshot(at(30)).slow_calls, 0);
    end_after(&mut breaker, permit, Outcome::Success, MS, at(30));
    let seen = breaker.snapshot(at(30));
    assert_eq!((seen.slow_calls, seen.slow_rate), (0, Some(Ratio::ZERO)));
}

#[test]
fn a_slow_probe_fails_at_its_crossing_or_at_its_end() {
    let half_open = || {
        let mut breaker = breaker(CircuitBreakerConfig { failures: 1, ..rated() });
        call(&mut breaker, Outcome::Failure, at(0));
        let probe = admit(&mut breaker, at(60)).unwrap();
        assert!(probe.is_probe());
        (breaker, probe)
    };
    let (mut breaker, probe) = half_open();
    assert_eq!(breaker.wake_at(), Some(at(61)));
    let told = changes(&mut breaker, at(70));
    assert_eq!((told[0].cause, told[0].at, told.len()), (Cause::ProbeSlow, at(61), 1));
    end(&mut breaker, probe, Outcome::Success, at(70));
    assert_eq!(breaker.phase(at(70)), Phase::Open);
    let (mut breaker, probe) = half_open();
    // Its queueing was not the callee's, or the clock stood still.
    end_after(&mut breaker, probe, Outcome::Success, SECOND, at(60));
    assert_eq!(breaker.phase(at(60)), Phase::Open);
    let (mut breaker, probe) = half_open();
    breaker.flows(&probe, at(65));
    assert_eq!(breaker.phase(at(64)), Phase::HalfOpen, "its answer has begun in time");
    assert_eq!(breaker.phase(at(65)), Phase::Closed);
}

#[test]
fn closing_starts_with_empty_windows() {
    let mut breaker = breaker(rated());
    for _ in 0..20 {
        call(&mut breaker, Outcome::Failure, at(0));
    }
    call(&mut breaker, Outcome::Success, at(60));
    let seen = breaker.snapshot(at(60));
    assert_eq!((seen.phase, seen.window_calls, seen.slow_rate), (Phase::Closed, 0, None));
    for _ in 0..19 {
        call(&mut breaker, Outcome::Failure, at(60));
    }
    assert_eq!(breaker.phase(at(60)), Phase::Closed);
}

#[test]
fn its_failure_asks_every_rule() {
    let one_short = |outcome, length| {
        let mut breaker = breaker(rated());
        for _ in 0..19 {
            took(&mut breaker, outcome, length, at(0));
        }
        breaker
    };
    for (mut breaker, opens) in [
        (one_short(Outcome::Failure, MS), true),
        (one_short(Outcome::Success, MS), false),
        (one_short(Outcome::Success, SECOND), true),
        (one_short(Outcome::Ignored, SECOND), false),
    ] {
        let permit = admit(&mut breaker, at(0)).unwrap();
        assert_eq!(breaker.ready_had_failed(&permit, at(0), at(0)).is_err(), opens);
        assert_eq!(breaker.ready_had_failed(&permit, at(60), at(0)), Ok(()));
        end_after(&mut breaker, permit, Outcome::Failure, MS, at(0));
        assert_eq!(breaker.phase(at(0)) == Phase::Open, opens, "and so it is");
    }
    let mut breaker = one_short(Outcome::Success, 999 * MS);
    let permit = admit(&mut breaker, at(0)).unwrap();
    assert!(changes(&mut breaker, at(1)).is_empty());
    assert_eq!(breaker.snapshot(at(1)).slow_calls, 1);
    assert_eq!(breaker.ready_had_failed(&permit, at(1), at(1)), Ok(()), "slow once");
}

#[test]
fn a_clock_that_stands_still_or_steps_back_makes_nobody_slow() {
    let mut breaker = breaker(rated());
    let permits: Vec<_> = (0..40).map(|_| admit(&mut breaker, at(100)).unwrap()).collect();
    for now in [100, 100, 50, 0, 99, 100] {
        assert!(changes(&mut breaker, at(now)).is_empty());
        assert_eq!(breaker.snapshot(at(now)).running_slow, 0);
    }
    for permit in permits {
        end(&mut breaker, permit, Outcome::Success, at(0));
    }
    assert_eq!(breaker.snapshot(at(0)).window_calls, 20);
    assert_eq!(breaker.phase(at(0)), Phase::Closed);
}

#[test]
fn without_rates_nothing_is_looked_at() {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    let permit = admit(&mut breaker, at(0)).unwrap();
    assert_eq!((permit.slot(), breaker.wake_at(), breaker.rates.is_none()), (0, None, true));
}

#[test]
fn a_withdrawn_call_is_looked_at_no_more() {
    let mut breaker = breaker(rated());
    let permit = admit(&mut breaker, at(0)).unwrap();
    breaker.withdraw(&permit);
    assert!(changes(&mut breaker, at(5)).is_empty());
    assert_eq!(breaker.snapshot(at(5)).slow_calls, 0);
    assert_eq!(breaker.wake_at(), None, "the bound was early, and is gone");
}
