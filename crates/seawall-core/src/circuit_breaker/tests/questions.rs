//! What it is asked without being changed.

use alloc::string::ToString;

use super::*;

#[test]
fn whether_it_would_admit_now_and_whether_later() {
    let mut breaker = opened();
    // Between the period's end and the visit that applies it, now is still refused.
    for (when, now, refused_for) in [
        (0, 0, Some(60)),
        (59, 0, Some(60)),
        (59, 20, Some(40)),
        (60, 0, None),
        (61, 0, None),
        (60, 60, Some(0)),
        (61, 61, Some(0)),
    ] {
        let ready = breaker.ready_by(at(when), at(now));
        let waits = ready.map_err(|no| (no.reason, no.retry_after));
        let expected = refused_for.map_or(Ok(()), |left| Err((Reason::Open, Some(SECOND * left))));
        assert_eq!(waits, expected, "at {when}, asked at {now}");
    }
    let probes = [(); 3].map(|()| admit(&mut breaker, at(60)).unwrap());
    for (when, now, ready) in [(60, 60, false), (61, 60, true), (59, 60, false)] {
        assert_eq!(breaker.ready_by(at(when), at(now)).is_ok(), ready, "at {when}, all are out");
    }
    let [one, ..] = probes;
    end(&mut breaker, one, Outcome::Ignored, at(60));
    assert_eq!(breaker.ready_by(at(60), at(60)), Ok(()), "a place is free");
    breaker.force(Override::open("").lasting(SECOND), at(60));
    assert_eq!(breaker.ready_by(at(62), at(62)).unwrap_err().retry_after, Some(Duration::ZERO));
}

#[test]
fn a_permit_of_another_breaker_panics_nobody() {
    let half_open = |half_open_calls| {
        let config = CircuitBreakerConfig { half_open_calls, ..CircuitBreakerConfig::default() };
        let mut breaker = breaker(config);
        for _ in 0..5 {
            call(&mut breaker, Outcome::Failure, at(0));
        }
        assert_eq!(breaker.phase(at(60)), Phase::HalfOpen);
        breaker
    };
    let mut many = half_open(255);
    let foreign: Vec<_> = (0..255).map(|_| admit(&mut many, at(60)).unwrap()).collect();
    let slow = CircuitBreakerConfig {
        slow_rate: Some(Ratio::ONE),
        slow_after: Some(SECOND),
        ..CircuitBreakerConfig::default()
    };
    for mut breaker in [half_open(1), breaker(slow)] {
        let _ = admit(&mut breaker, at(60));
        for permit in &foreign {
            let copy = || Permit::probe(breaker.epoch, permit.slot());
            let (flowing, ended, left) = (copy(), copy(), copy());
            let _ = breaker.ready_had_failed(&flowing, at(61), at(60));
            breaker.flows(&flowing, at(61));
            let _ = breaker.still_flows(&flowing, at(61));
            end(&mut breaker, ended, Outcome::Ignored, at(60));
            breaker.withdraw(&left);
        }
    }
}

#[test]
fn what_opened_it_until_it_closes() {
    let told = |breaker: &mut CircuitBreaker, now| admit(breaker, at(now)).unwrap_err().to_string();
    let mut breaker = opened();
    assert_eq!(
        told(&mut breaker, 59),
        "circuit_breaker open (5 failures in a row), retry after 1.0s"
    );
    let [probe, ..] = [(); 3].map(|()| admit(&mut breaker, at(60)).unwrap());
    assert_eq!(
        told(&mut breaker, 60),
        "circuit_breaker half-open, all probes out (5 failures in a row), retry after 1.0s"
    );
    end(&mut breaker, probe, Outcome::Failure, at(61));
    assert_eq!(told(&mut breaker, 61), "circuit_breaker open (probe failed), retry after 60.0s");
    let _hung = [(); 3].map(|()| admit(&mut breaker, at(121)).unwrap());
    assert_eq!(
        told(&mut breaker, 241),
        "circuit_breaker open (probe did not end in time), retry after 60.0s"
    );
    breaker.force(Override::open("moving"), at(241));
    assert_eq!(told(&mut breaker, 242), "circuit_breaker forced open (override)");
    breaker.release(at(243));
    for _ in 0..5 {
        call(&mut breaker, Outcome::Failure, at(243));
    }
    assert_eq!(admit(&mut breaker, at(243)).unwrap_err().cause, Some(Cause::Failures(5)));
}

#[test]
fn whether_calls_simply_flow_and_whether_one_would_be_a_probe() {
    let asked = |breaker: &CircuitBreaker| (breaker.is_closed(), breaker.is_half_open());
    let mut breaker = breaker(CircuitBreakerConfig::default());
    assert_eq!(asked(&breaker), (true, false));
    (0..5).for_each(|_| call(&mut breaker, Outcome::Failure, at(0)));
    assert_eq!(asked(&breaker), (false, false));
    assert!(breaker.advance(at(60)).is_some());
    assert_eq!(asked(&breaker), (false, true));
    breaker.force(Override::metrics_only(""), at(60));
    assert_eq!(asked(&breaker), (false, false), "an operator says so");
    (0..5).for_each(|_| call(&mut breaker, Outcome::Failure, at(60)));
    assert!(breaker.advance(at(120)).is_none(), "nothing is shown");
    let seen = breaker.snapshot(at(120));
    assert_eq!((seen.would_be, asked(&breaker)), (Some(Phase::HalfOpen), (false, false)));
}

#[test]
fn it_tells_what_it_calls_slow() {
    let (slow_rate, slow_after) = (Some(Ratio::percent(50)), Some(SECOND));
    let slow = CircuitBreakerConfig { slow_rate, slow_after, ..CircuitBreakerConfig::default() };
    assert_eq!(breaker(slow).slow_after(), slow_after);
    assert_eq!(breaker(CircuitBreakerConfig::default()).slow_after(), None);
}

#[test]
fn the_period_of_what_only_watches_is_nobodys() {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    breaker.force(Override::metrics_only(""), at(0));
    (0..5).for_each(|_| call(&mut breaker, Outcome::Failure, at(0)));
    let seen = breaker.snapshot(at(1));
    assert_eq!((seen.would_be, seen.open_period), (Some(Phase::Open), None));
}

#[test]
fn whether_anything_was_answered_since() {
    let rated =
        CircuitBreakerConfig { failure_rate: Some(Ratio::ONE), ..CircuitBreakerConfig::default() };
    for config in [CircuitBreakerConfig::default(), rated] {
        let mut breaker = breaker(config);
        let straggler = admit(&mut breaker, at(1)).unwrap();
        assert!(!breaker.has_answered_since(at(0)));
        call(&mut breaker, Outcome::Failure, at(2));
        call(&mut breaker, Outcome::Ignored, at(2));
        assert!(!breaker.has_answered_since(at(1)), "no success");
        call(&mut breaker, Outcome::Success, at(3));
        let since = [2, 3, 4].map(|then| breaker.has_answered_since(at(then)));
        assert_eq!(since, [true, false, false]);
        (0..5).for_each(|_| call(&mut breaker, Outcome::Failure, at(4)));
        end(&mut breaker, straggler, Outcome::Success, at(5));
        assert!(breaker.has_answered_since(at(4)), "a late answer is one");
    }
}

#[test]
fn whether_an_answer_that_began_well_is_still_read() {
    let mut breaker = breaker(CircuitBreakerConfig { successes: 1, ..Default::default() });
    let call_before = admit(&mut breaker, at(0)).unwrap();
    assert!(breaker.still_flows(&call_before, at(9)), "only a probe is judged by time");
    (0..5).for_each(|_| call(&mut breaker, Outcome::Failure, at(0)));
    let [probe, other] = [(); 2].map(|()| admit(&mut breaker, at(60)).unwrap());
    assert!(breaker.still_flows(&call_before, at(9)), "nor one of another epoch");
    assert!(!breaker.still_flows(&probe, at(70)), "it has not begun");
    breaker.flows(&probe, at(70));
    assert!(breaker.still_flows(&probe, at(70)));
    assert!(!breaker.still_flows(&probe, at(71)), "as was said");
    assert!(!breaker.still_flows(&other, at(70)), "of its own place");
    let told = breaker.advance(at(70)).unwrap();
    assert_eq!((told.to, told.at), (Phase::Closed, at(70)), "by then it has succeeded");
    assert!(breaker.still_flows(&probe, at(70)), "and is of another epoch");
}

#[test]
fn the_period_is_drawn_from_the_seed_and_the_epoch_that_begins() {
    let config = CircuitBreakerConfig { open_jitter: Ratio::ONE, ..Default::default() };
    for (seed, folded) in [(0, 0), (7, 7), (1 << 32, 1), (u64::MAX, 0), (3 << 32 | 1, 2)] {
        let mut breaker = CircuitBreaker::seeded(&config, seed).unwrap();
        // An override and its end are an epoch each.
        for (epoch, now) in [(1, at(0)), (4, at(1))] {
            (0..5).for_each(|_| call(&mut breaker, Outcome::Failure, now));
            let period = breaker.snapshot(now).open_period;
            assert_eq!(period, Some(config.period(0, crate::Draws::nth(folded, epoch))));
            breaker.force(Override::closed(""), now);
            breaker.release(now);
        }
    }
}

#[test]
fn calls_that_ran_before_it_joined_mean_nothing_to_it() {
    let config =
        CircuitBreakerConfig { failures: 1, half_open_calls: 3, ..CircuitBreakerConfig::default() };
    let mut old = breaker(config.clone());
    let before = [old.admit(at(0)).unwrap(), old.admit(at(0)).unwrap()];
    call(&mut old, Outcome::Failure, at(0));
    while old.advance(at(60)).is_some() {}
    let probes = [(); 3].map(|()| old.admit(at(60)).unwrap());
    assert_eq!((probes[2].is_probe(), probes[2].slot()), (true, 3));

    // With one place for a probe, and half-open too.
    let mut breaker = breaker(CircuitBreakerConfig { half_open_calls: 1, ..config }).joining(1);
    call(&mut breaker, Outcome::Failure, at(60));
    while breaker.advance(at(120)).is_some() {}
    let seen = breaker.snapshot(at(120));
    let until = at(180);
    for permit in before.into_iter().chain(probes).chain([Permit::new(0, 0)]) {
        breaker.flows(&permit, until);
        assert!(breaker.still_flows(&permit, until), "nothing is said of it here");
        assert!(breaker.ready_had_failed(&permit, at(120), at(120)).is_ok());
        breaker.withdraw(&permit);
        assert_eq!(breaker.report(permit, End::new(Outcome::Success, SECOND), at(121)), None);
    }
    assert!(!breaker.has_answered_since(at(0)));
    assert_eq!(breaker.snapshot(at(120)), seen, "not even counted");
    let probe = breaker.admit(at(121)).unwrap();
    assert!(breaker.admit(at(121)).is_err(), "all places are its own, and one is taken");
    end(&mut breaker, probe, Outcome::Failure, at(121));
    assert_eq!(breaker.phase(at(121)), Phase::Open);
}
