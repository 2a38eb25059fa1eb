//! Another configuration, while calls run.

use super::*;

fn rated() -> CircuitBreakerConfig {
    CircuitBreakerConfig {
        failures: 100,
        failure_rate: Some(Ratio::percent(50)),
        ..CircuitBreakerConfig::default()
    }
}

#[test]
fn open_stays_open_with_its_old_end() {
    let mut breaker = opened();
    let shorter = CircuitBreakerConfig { open_for: SECOND, ..CircuitBreakerConfig::default() };
    assert_eq!(breaker.reconfigure(&shorter, at(10)), Ok(Windows::Kept));
    assert_eq!(admit(&mut breaker, at(20)).unwrap_err().retry_after, Some(40 * SECOND));
    assert_eq!(breaker.phase(at(60)), Phase::HalfOpen);
    call(&mut breaker, Outcome::Failure, at(60));
    assert_eq!(admit(&mut breaker, at(60)).unwrap_err().retry_after, Some(SECOND), "the next one");
}

#[test]
fn every_count_stays_and_permits_in_flight_are_valid() {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    for _ in 0..3 {
        call(&mut breaker, Outcome::Failure, at(0));
    }
    let running = admit(&mut breaker, at(0)).unwrap();
    let before = breaker.snapshot(at(1));
    let lower = CircuitBreakerConfig { failures: 4, ..CircuitBreakerConfig::default() };
    assert_eq!(breaker.reconfigure(&lower, at(1)), Ok(Windows::Kept));
    assert_eq!(breaker.snapshot(at(1)), before);
    end(&mut breaker, running, Outcome::Failure, at(2));
    assert_eq!(breaker.phase(at(2)), Phase::Open);
}

#[test]
fn a_window_of_another_kind_or_size_starts_empty_and_says_so() {
    let calls = |n| CircuitBreakerConfig { window: Window::Calls(n), ..rated() };
    let time = |n| CircuitBreakerConfig { window: Window::Time(SECOND * n), ..rated() };
    for (old, new, says) in [
        (calls(20), calls(20), Windows::Kept),
        (calls(20), calls(21), Windows::Emptied),
        (calls(20), time(10), Windows::Emptied),
        (time(10), time(10), Windows::Kept),
        (time(10), time(11), Windows::Emptied),
        (
            time(10),
            CircuitBreakerConfig { failure_rate: Some(Ratio::ONE), ..rated() },
            Windows::Kept,
        ),
        (CircuitBreakerConfig::default(), calls(20), Windows::Kept),
        (calls(20), CircuitBreakerConfig::default(), Windows::Kept),
    ] {
        let mut breaker = breaker(old.clone());
        call(&mut breaker, Outcome::Failure, at(0));
        let before = breaker.snapshot(at(0)).window_calls;
        assert_eq!(before, u32::from(old.failure_rate.is_some()));
        assert_eq!(breaker.reconfigure(&new, at(0)), Ok(says));
        let stays = says == Windows::Kept && new.failure_rate.is_some();
        assert_eq!(breaker.snapshot(at(0)).window_calls, if stays { before } else { 0 });
        assert_eq!(breaker.snapshot(at(0)).failures, 1);
    }
}

#[test]
fn a_rule_turned_off_and_on_does_not_mix_up_the_calls_that_run() {
    let slow = CircuitBreakerConfig {
        slow_rate: Some(Ratio::ONE),
        slow_after: Some(SECOND),
        minimum_calls: 2,
        ..CircuitBreakerConfig::default()
    };
    let mut breaker = breaker(slow.clone());
    let first = admit(&mut breaker, at(0)).unwrap();
    assert_eq!(breaker.reconfigure(&CircuitBreakerConfig::default(), at(0)), Ok(Windows::Kept));
    let between = admit(&mut breaker, at(0)).unwrap();
    assert_eq!(breaker.reconfigure(&slow, at(0)), Ok(Windows::Kept));
    let second = admit(&mut breaker, at(0)).unwrap();
    assert_ne!(first.slot(), second.slot());
    end(&mut breaker, first, Outcome::Ignored, at(0));
    end(&mut breaker, between, Outcome::Ignored, at(0));
    assert_eq!(breaker.snapshot(at(1)).running_slow, 1, "the second is still looked at");
    end(&mut breaker, second, Outcome::Ignored, at(1));
    assert_eq!(breaker.snapshot(at(1)).running_slow, 0);
}

#[test]
fn what_succeeded_while_nobody_looked_for_slow_calls_is_not_slow() {
    let failures = Some(Ratio::percent(50));
    for failure_rate in [None, failures] {
        let quiet = CircuitBreakerConfig { failure_rate, ..CircuitBreakerConfig::default() };
        let slow = CircuitBreakerConfig {
            slow_rate: Some(Ratio::percent(50)),
            slow_after: Some(SECOND),
            minimum_calls: 3,
            ..quiet.clone()
        };
        let mut breaker = breaker(slow.clone());
        let calls = [(); 3].map(|()| admit(&mut breaker, at(0)).unwrap());
        assert_eq!(breaker.reconfigure(&quiet, at(0)), Ok(Windows::Kept));
        assert!(!breaker.plain, "three still have a place");
        for permit in calls {
            end(&mut breaker, permit, Outcome::Success, at(0));
        }
        assert!(breaker.plain, "the last has left");
        assert_eq!(breaker.reconfigure(&slow, at(60)), Ok(Windows::Kept));
        assert_eq!((breaker.advance(at(90)), breaker.phase(at(90))), (None, Phase::Closed));
    }
}

#[test]
fn a_shorter_slow_limit_judges_nobody_for_the_past() {
    let slow = |seconds: u32| CircuitBreakerConfig {
        slow_rate: Some(Ratio::ONE),
        slow_after: Some(SECOND * seconds),
        minimum_calls: 1,
        open_for: SECOND,
        ..CircuitBreakerConfig::default()
    };
    let mut breaker = breaker(slow(60));
    let _hung = admit(&mut breaker, at(0)).unwrap();
    assert_eq!(breaker.reconfigure(&slow(2), at(30)), Ok(Windows::Kept));
    let told = breaker.advance(at(30)).unwrap();
    assert_eq!((told.to, told.at), (Phase::Open, at(30)));
}

#[test]
fn fewer_probes_are_for_those_that_come() {
    let mut breaker = opened();
    let mut probes: Vec<_> = (0..3).map(|_| admit(&mut breaker, at(60)).unwrap()).collect();
    let of = |half_open_calls| CircuitBreakerConfig { half_open_calls, ..Default::default() };
    assert_eq!(breaker.reconfigure(&of(1), at(60)), Ok(Windows::Kept));
    assert!(admit(&mut breaker, at(60)).is_err());
    end(&mut breaker, probes.remove(0), Outcome::Success, at(61));
    end(&mut breaker, probes.remove(0), Outcome::Ignored, at(61));
    assert!(admit(&mut breaker, at(61)).is_err(), "one is alive, and one may be");
    assert_eq!(breaker.reconfigure(&of(5), at(61)), Ok(Windows::Kept));
    let more = core::iter::from_fn(|| admit(&mut breaker, at(61)).ok()).count();
    assert_eq!(more, 4);
    end(&mut breaker, probes.remove(0), Outcome::Success, at(62));
    assert_eq!(breaker.snapshot(at(62)).half_open_successes, 2);
}

#[test]
fn nonsense_changes_nothing() {
    let mut breaker = opened();
    let before = breaker.snapshot(at(1));
    let wrong = CircuitBreakerConfig { successes: 0, half_open_calls: 9, ..Default::default() };
    assert_eq!(breaker.reconfigure(&wrong, at(1)).unwrap_err().field, "circuit_breaker.successes");
    assert_eq!(breaker.snapshot(at(1)), before);
    assert_eq!(breaker.config.half_open_calls, 3);
}
