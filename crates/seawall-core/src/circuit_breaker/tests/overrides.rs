//! What an operator says, and that it leaves nothing behind.

use alloc::string::String;

use super::*;

type Said = fn(&'static str) -> Override;

const ALL: [(Said, Phase); 4] = [
    (Override::open, Phase::ForcedOpen),
    (Override::closed, Phase::ForcedClosed),
    (Override::disabled, Phase::Disabled),
    (Override::metrics_only, Phase::MetricsOnly),
];

#[test]
fn p3_a_forced_state_stays_until_it_is_released() {
    for (said, phase) in ALL {
        let mut breaker = opened();
        breaker.force(said("migration"), at(1));
        for hour in 0..24 {
            let now = at(hour * 3_600 + 2);
            assert_eq!(breaker.phase(now), phase);
            match admit(&mut breaker, now) {
                Ok(permit) => end(&mut breaker, permit, Outcome::Failure, now),
                Err(refusal) => {
                    assert_eq!((refusal.reason, refusal.retry_after), (Reason::ForcedOpen, None));
                }
            }
        }
        let released = breaker.release(at(90_000)).unwrap();
        assert_eq!((released.from, released.to), (phase, Phase::Closed));
        assert_eq!(breaker.snapshot(at(90_000)).failures, 0, "nothing is remembered");
        assert_eq!(breaker.phase(at(90_000)), Phase::Closed);
        assert!(breaker.release(at(90_000)).is_none());
    }
}

#[test]
fn an_override_ends_by_itself_and_a_refusal_says_when() {
    for (said, phase) in ALL {
        let mut breaker = breaker(CircuitBreakerConfig::default());
        let told = breaker.force(said("deploy").lasting(30 * SECOND), at(10)).unwrap();
        assert_eq!((told.from, told.to, told.cause), (Phase::Closed, phase, Cause::Override));
        let seen = breaker.snapshot(at(20)).overridden.unwrap();
        assert_eq!((&*seen.reason, seen.until), ("deploy", Some(at(40))));
        assert_eq!(breaker.wake_at(), Some(at(40)));
        let ready = breaker.ready_by(at(20), at(20)).map_err(|refusal| refusal.retry_after);
        let expected = if phase == Phase::ForcedOpen { Err(Some(20 * SECOND)) } else { Ok(()) };
        assert_eq!(ready, expected);
        assert_eq!(breaker.ready_by(at(39), at(20)).is_err(), phase == Phase::ForcedOpen);
        assert_eq!(breaker.ready_by(at(40), at(20)), Ok(()));
        assert_eq!(breaker.phase(at(39)), phase);
        assert_eq!(breaker.phase(at(40)), Phase::Closed, "reading applies elapsed time");
        let told = breaker.advance(at(50)).unwrap();
        assert_eq!((told.to, told.cause, told.at), (Phase::Closed, Cause::OverrideOver, at(40)));
        assert_eq!(breaker.snapshot(at(50)).overridden, None);
        assert_eq!(breaker.wake_at(), None);
    }
}

#[test]
fn results_from_before_and_under_an_override_decide_nothing_after_it() {
    for (said, _) in ALL {
        let mut breaker =
            breaker(CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() });
        let before = admit(&mut breaker, at(0)).unwrap();
        breaker.force(said(""), at(1));
        let under = admit(&mut breaker, at(1));
        breaker.release(at(2));
        end(&mut breaker, before, Outcome::Failure, at(3));
        if let Ok(under) = under {
            end(&mut breaker, under, Outcome::Failure, at(3));
        }
        assert_eq!(breaker.phase(at(3)), Phase::Closed);
        assert_eq!(breaker.snapshot(at(3)).failures, 0);
    }
}

#[test]
fn they_differ_in_what_they_record() {
    for (said, phase) in ALL {
        let mut breaker = breaker(CircuitBreakerConfig {
            failure_rate: Some(Ratio::ONE),
            window: Window::Calls(20),
            failures: 100,
            ..CircuitBreakerConfig::default()
        });
        breaker.force(said(""), at(0));
        for _ in 0..10 {
            if let Ok(permit) = admit(&mut breaker, at(0)) {
                end(&mut breaker, permit, Outcome::Failure, at(0));
            }
        }
        let seen = breaker.snapshot(at(0));
        let expected = match phase {
            Phase::ForcedOpen => (10, 0, 0, 0),
            Phase::ForcedClosed => (0, 10, 0, 0),
            Phase::MetricsOnly => (0, 10, 10, 10),
            _ => (0, 0, 0, 0),
        };
        assert_eq!(
            (seen.refused, seen.ended.failures, seen.window_calls, seen.failures),
            expected,
            "{phase}"
        );
    }
}

#[test]
fn metrics_only_shows_where_it_would_stand_and_refuses_nobody() {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    breaker.force(Override::metrics_only("trial"), at(0));
    let would_be = |breaker: &CircuitBreaker, now| {
        let seen = breaker.snapshot(now);
        assert_eq!(seen.phase, Phase::MetricsOnly);
        assert_eq!(seen.transitions, 1, "what it would do is told to nobody");
        seen.would_be.unwrap()
    };
    for _ in 0..5 {
        assert_eq!(would_be(&breaker, at(1)), Phase::Closed);
        call(&mut breaker, Outcome::Failure, at(1));
    }
    assert_eq!(would_be(&breaker, at(2)), Phase::Open);
    for _ in 0..100 {
        call(&mut breaker, Outcome::Success, at(2));
    }
    assert_eq!(would_be(&breaker, at(2)), Phase::Open, "in earnest these had been refused");
    assert_eq!(would_be(&breaker, at(61)), Phase::HalfOpen);
    let mut running: Vec<_> = (0..5).map(|_| admit(&mut breaker, at(61)).unwrap()).collect();
    assert_eq!(running.iter().filter(|permit| permit.is_probe()).count(), 3);
    end(&mut breaker, running.pop().unwrap(), Outcome::Failure, at(62));
    assert_eq!(would_be(&breaker, at(62)), Phase::HalfOpen, "that was not a probe");
    for permit in running {
        end(&mut breaker, permit, Outcome::Success, at(63));
    }
    assert_eq!(would_be(&breaker, at(63)), Phase::Closed);
    assert!(!breaker.is_closed() && !breaker.is_half_open(), "an operator decided");
}

#[test]
fn another_override_replaces_the_first() {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    breaker.force(Override::open("one").lasting(SECOND), at(0));
    assert!(breaker.force(Override::open("two"), at(0)).is_none(), "the phase is the same");
    assert_eq!(
        breaker.phase(at(100)),
        Phase::ForcedOpen,
        "the first one's time is not the second's"
    );
    assert_eq!(&*breaker.snapshot(at(100)).overridden.unwrap().reason, "two");
    let told = breaker.force(Override::closed("three"), at(100)).unwrap();
    assert_eq!((told.from, told.to), (Phase::ForcedOpen, Phase::ForcedClosed));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let long: String = core::iter::repeat_n('\u{e4}', 150).collect();
    assert_eq!(Override::open(long.clone()).reason().len(), 200);
    assert_eq!(Override::open(alloc::format!("x{long}")).reason().len(), 199);
    assert_eq!(Override::open("short").reason(), "short");
}

#[test]
fn its_failure_under_an_override_would_open_nothing() {
    let mut breaker = breaker(CircuitBreakerConfig { failures: 1, ..Default::default() });
    breaker.force(Override::metrics_only(""), at(0));
    let permit = admit(&mut breaker, at(0)).unwrap();
    assert_eq!(breaker.ready_had_failed(&permit, at(0), at(0)), Ok(()));
}
