//! Turns that come otherwise than they were told, and what the visits of a call leave behind.

use super::{
    queueing::{begun, limited, narrow, queued, woken},
    *,
};
use crate::{Algorithm, Rate, RateLimitConfig};

fn rated(algorithm: Algorithm, rate: u64) -> RateLimitConfig {
    RateLimitConfig {
        algorithm,
        capacity: Some(10),
        rate: Some(Rate::per_second(rate)),
        ..RateLimitConfig::default()
    }
}

#[test]
fn whoever_becomes_the_first_is_told_when_to_look_again() {
    let house = limited(Algorithm::TokenBucket, 10, 10);
    let _takes_all = begun(&house, Ask { cost: 10, ..Ask::default() }, 0);
    let patient = Ask { patient: true, ..Ask::default() };
    let mut first = queued(&house, Ask { cost: 5, ..patient }, 0);
    let mut second = queued(&house, patient, 0);
    assert_eq!((first.wake_at(), second.wake_at()), (at(500), Instant::NEVER));
    first.abandon(&house, at(10), false);
    assert_eq!(woken(&house), [second.queued().unwrap()]);
    assert_eq!(second.on(&house, Event::Woken, at(10)), Action::Wait, "its token is not there");
    assert_eq!(second.wake_at(), at(100));
    assert_eq!(second.on(&house, Event::Tick, at(100)), Action::Start { attempt: 1 });
}

#[test]
fn a_turn_that_moved_away_is_waited_for_and_one_that_stands_is_not_looked_for_again() {
    let house = limited(Algorithm::Shaper, 10, 100);
    let _first = begun(&house, Ask::default(), 0);
    let mut second = queued(&house, Ask::default(), 0);
    let mut third = queued(&house, Ask::default(), 0);
    assert_eq!(third.on(&house, Event::Woken, at(5)), Action::Wait, "woken by mistake");
    assert_eq!(third.wake_at(), at(20), "its turn is where it was");
    let slower = rated(Algorithm::Shaper, 10);
    house.machines.borrow_mut().limiter.as_mut().unwrap().reconfigure(&slower, at(6)).unwrap();
    let turn = house.machines.borrow().limiter.as_ref().and_then(RateLimiter::wake_at).unwrap();
    assert!(turn > at(10), "{turn:?}");
    assert_eq!(second.on(&house, Event::Tick, at(10)), Action::Wait);
    assert_eq!(second.wake_at(), turn);
    assert_eq!(second.on(&house, Event::Tick, turn), Action::Start { attempt: 1 });
}

#[test]
fn a_turn_at_the_rate_limit_is_no_place_in_the_bulkhead() {
    let house = limited(Algorithm::Shaper, 10, 100);
    let one = BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() };
    house.machines.borrow_mut().bulkhead = Some(Bulkhead::new(&one).unwrap());
    let mut first = begun(&house, Ask::default(), 0);
    let mut second = queued(&house, Ask::default(), 0);
    assert_eq!(second.on(&house, Event::Tick, at(10)), Action::Wait);
    assert_eq!(second.queued().map(|(line, _)| line), Some(Line::Bulkhead));
    let _ = first.on(&house, ended(1, Verdict::SUCCESS), at(20));
    assert_eq!(second.on(&house, Event::Woken, at(20)), Action::Start { attempt: 1 });
}

#[test]
fn tokens_that_were_never_taken_are_not_given_back() {
    let house = narrow(breaker(), Plan::default());
    let _first = begun(&house, Ask::default(), 0);
    let mut second = queued(&house, Ask::default(), 1);
    let over = second.wake_at();
    // A limit comes by a reload, and is used by others.
    let mut limiter = RateLimiter::new(&rated(Algorithm::TokenBucket, 1)).unwrap();
    let _ = limiter.admit(4, Priority::Normal, Instant::NEVER, over);
    house.machines.borrow_mut().limiter = Some(limiter);
    assert!(matches!(second.on(&house, Event::Tick, over), Action::Done(Finish::Refused(_))));
    let limiter = &house.machines.borrow().limiter;
    assert_eq!(limiter.as_ref().unwrap().snapshot(over).available, 6);
}

#[test]
fn a_cut_lowers_the_limit_only_while_all_is_well() {
    for (calm, falls) in [(true, true), (false, false)] {
        let house = learned(breaker(), Plan::default());
        let limit = |house: &House<_>| {
            house.machines.borrow().timeout.as_ref().and_then(AdaptiveTimeout::learned).unwrap()
        };
        let before = limit(&house);
        house.visit(at(200), |parts| {
            let timeout = parts.timeout.expect("it has learned");
            (0..5_000).for_each(|_| timeout.record(MS, at(200)));
        });
        if !calm {
            let said = crate::Override::open("test");
            house.machines.borrow_mut().gate.as_mut().unwrap().force(said, at(300));
        }
        house.visit(at(1_900), |mut parts| parts.learn_cut((), 0, MS, at(1_900)));
        assert_eq!(limit(&house) < before, falls, "calm: {calm}");
    }
}

#[test]
fn a_call_that_does_not_start_waits_or_has_a_refusal() {
    let house = limited(Algorithm::TokenBucket, 1, 1);
    let patient = Ask { patient: true, ..Ask::default() };
    let [mut goes, mut waits, mut refused] =
        [Ask::default(), patient, Ask::default()].map(Call::new);
    assert!(goes.starts(&house, at(0)) && goes.refusal().is_none());
    assert!(!waits.starts(&house, at(0)) && waits.refusal().is_none());
    assert!(waits.queued().is_some());
    assert!(!refused.starts(&house, at(0)));
    assert_eq!(refused.refusal().map(|refusal| refusal.reason), Some(Reason::Limited));
}
