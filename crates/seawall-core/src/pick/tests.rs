//! Who is chosen, who is not offered, and what is remembered of each.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::{endpoint::FAILURE_COSTS, *};
use crate::{Draws, Phase, Ratio};

const MS: Duration = Duration::from_millis(1);

fn picker(endpoints: usize) -> Picker {
    let config = CircuitBreakerConfig { open_for: 5_000 * MS, ..CircuitBreakerConfig::default() };
    Picker::new(endpoints, Some(&config)).unwrap()
}

/// Sends `calls` one after the other, 1 ms apart, each taking `took(endpoint)`; returns how many went where.
fn send(picker: &mut Picker, calls: u64, end: impl Fn(u16) -> (Outcome, Duration)) -> Vec<u64> {
    let mut seen = alloc::vec![0; picker.endpoints.len()];
    let mut running: Vec<(Instant, u16, Permit, End)> = Vec::new();
    for n in 0..calls {
        let now = Instant::ORIGIN + MS * n as u32;
        picker.advance(now, |_, _| {});
        running.sort_by_key(|(at, ..)| core::cmp::Reverse(*at));
        while running.last().is_some_and(|(at, ..)| *at <= now) {
            let (at, pick, permit, end) = running.pop().unwrap();
            picker.report(pick, permit, end, at);
            picker.leave(pick);
        }
        if let Ok((pick, permit)) = picker.admit(&[], now, || Draws::nth(5, n)) {
            let (outcome, took) = end(pick);
            seen[usize::from(pick)] += 1;
            running.push((now + took, pick, permit, End::new(outcome, took)));
        }
    }
    seen
}

#[test]
fn equal_endpoints_get_equal_shares() {
    let seen = send(&mut picker(4), 8_000, |_| (Outcome::Success, 5 * MS));
    assert!(seen.iter().all(|n| (1_700..2_300).contains(n)), "{seen:?}");
}

#[test]
fn a_ten_times_slower_endpoint_gets_less_than_a_fifth_of_its_share() {
    let seen =
        send(&mut picker(4), 8_000, |n| (Outcome::Success, if n == 2 { 50 * MS } else { 5 * MS }));
    assert!(seen[2] < 2_000 / 5, "{seen:?}");
    assert!(seen[2] > 0, "it is still looked at: {seen:?}");
}

#[test]
fn an_endpoint_that_fails_fast_attracts_nothing() {
    let without = Picker::new(3, None).unwrap();
    let seen = send(&mut without.clone(), 3_000, |n| {
        if n == 0 { (Outcome::Failure, MS / 10) } else { (Outcome::Success, 5 * MS) }
    });
    assert!(seen[0] < 3_000 / 20, "{seen:?}");
}

#[test]
fn an_endpoint_not_tried_goes_first_and_an_open_one_is_not_offered() {
    let mut picker = picker(3);
    for _ in 0..5 {
        let (pick, permit) =
            picker.admit(&[Some(1), Some(2)], Instant::ORIGIN, || Draw::new(7)).unwrap();
        assert_eq!(pick, 0);
        picker.report(pick, permit, End::new(Outcome::Failure, MS), Instant::ORIGIN);
        picker.leave(pick);
    }
    assert_eq!(
        picker.snapshot(Instant::ORIGIN).next().unwrap().breaker.unwrap().phase,
        Phase::Open
    );
    for n in 0..100 {
        let (pick, _) = picker.admit(&[Some(1)], Instant::ORIGIN, || Draws::nth(1, n)).unwrap();
        assert_eq!(pick, 2);
        let (pick, _) =
            picker.admit(&[Some(1), Some(2)], Instant::ORIGIN, || Draws::nth(1, n)).unwrap();
        assert_ne!(pick, 0, "all but the open one were tried: one of them again");
    }
    assert!(picker.has_fresh(&[Some(1)], Instant::ORIGIN));
    assert!(!picker.has_fresh(&[Some(1), Some(2)], Instant::ORIGIN));
}

#[test]
fn when_nobody_admits_the_soonest_is_named_and_probes_go_first_after_it() {
    let mut picker = picker(2);
    for wait in [0u32, 1] {
        let now = Instant::ORIGIN + 1_000 * MS * wait;
        for _ in 0..5 {
            let (pick, permit) =
                picker.admit(&[Some(1 - wait as u16)], now, || Draw::new(0)).unwrap();
            picker.report(pick, permit, End::new(Outcome::Failure, MS), now);
            picker.leave(pick);
        }
    }
    let now = Instant::ORIGIN + 2_000 * MS;
    let refusal = picker.admit(&[], now, || Draw::new(0)).unwrap_err();
    assert_eq!((refusal.by, refusal.retry_after), (Pattern::Pick, Some(3_000 * MS)));
    let refused = picker.snapshot(now).map(|endpoint| endpoint.breaker.unwrap().refused);
    assert_eq!(refused.collect::<Vec<_>>(), [1, 1]);
    assert_eq!(picker.ready_by(now + 3_000 * MS, now), Ok(()));
    assert!(picker.ready_by(now + 2_999 * MS, now).is_err());
    assert_eq!(picker.wake_at(), Some(Instant::ORIGIN + 5_000 * MS));

    let mut late = picker.clone();
    late.advance(Instant::ORIGIN + 5_001 * MS, |n, to| {
        assert_eq!((n, to.to), (0, Phase::HalfOpen))
    });
    assert_eq!(late.wake_at(), Some(Instant::ORIGIN + 6_000 * MS), "a timer may be late");
    let now = Instant::ORIGIN + 5_000 * MS;
    let mut changed = Vec::new();
    picker.advance(now, |n, transition| changed.push((n, transition.to)));
    assert_eq!(changed, [(0, Phase::HalfOpen)]);
    let probes: Vec<_> = (0..3).map(|_| picker.admit(&[], now, || Draw::new(1)).unwrap()).collect();
    assert!(probes.iter().all(|(pick, _)| *pick == 0));
    assert_eq!(picker.admit(&[], now, || Draw::new(1)).unwrap_err().reason, Reason::ProbesOut);
}

#[test]
fn a_half_open_endpoint_that_says_later_does_not_draw_all_traffic() {
    let mut picker = picker(3);
    for _ in 0..5 {
        let (pick, permit) =
            picker.admit(&[Some(1), Some(2)], Instant::ORIGIN, || Draw::new(7)).unwrap();
        picker.report(pick, permit, End::new(Outcome::Failure, MS), Instant::ORIGIN);
        picker.leave(pick);
    }
    let mut seen = [0; 3];
    for n in 0..2_000u32 {
        let now = Instant::ORIGIN + 5_000 * MS + 5 * MS * n;
        picker.advance(now, |_, _| {});
        let (pick, permit) = picker.admit(&[], now, || Draws::nth(5, u64::from(n))).unwrap();
        let outcome = if pick == 0 { Outcome::Ignored } else { Outcome::Success };
        picker.report(pick, permit, End::new(outcome, 3 * MS), now);
        picker.leave(pick);
        seen[usize::from(pick)] += 1;
    }
    assert!(seen[0] < 1_200 && seen[1] > 200 && seen[2] > 200, "{seen:?}");
}

/// Sends an attempt to this one of two endpoints.
fn enter(picker: &mut Picker, want: u16, now: Instant) -> Permit {
    let (pick, permit) = picker.admit(&[Some(1 - want)], now, || Draw::new(0)).unwrap();
    assert_eq!(pick, want);
    permit
}

fn fails(picker: &mut Picker, pick: u16, now: Instant) {
    let permit = enter(picker, pick, now);
    picker.report(pick, permit, End::new(Outcome::Failure, MS), now);
    picker.leave(pick);
}

#[test]
fn there_are_one_to_65_535_endpoints() {
    let made = |endpoints| Picker::new(endpoints, None).is_ok();
    assert_eq!([0, 1, 65_535, 65_536].map(made), [false, true, true, false]);
}

#[test]
fn it_tells_of_the_endpoint_it_is_asked_about() {
    let mut picker = picker(2);
    let at = |ms: u32| Instant::ORIGIN + MS * ms;
    let permit = enter(&mut picker, 0, at(1));
    picker.report(0, permit, End::new(Outcome::Success, MS), at(9));
    (0..5).for_each(|_| fails(&mut picker, 1, at(9)));
    assert_eq!([0, 1, 7].map(|pick| picker.is_calm(pick)), [true, false, true]);
    let since = |ms| [0, 1, 7].map(|pick| picker.has_answered_since(pick, at(ms)) == Some(true));
    assert_eq!((since(8), since(9)), ([true, false, false], [false; 3]));
    assert_eq!([0, 1, 7].map(<Picker as Gate>::endpoint), [0, 1, 7]);
    picker.leave(0);
    let running: Vec<_> = picker.snapshot(at(9)).map(|endpoint| endpoint.running).collect();
    assert_eq!(running, [0, 0]);
}

#[test]
fn a_slower_answer_counts_at_once_a_faster_one_by_an_eighth_and_silence_halves() {
    let mut picker = Picker::new(2, None).unwrap();
    let now = Instant::ORIGIN;
    let mut told = |outcome, took: u32, seen: u32| {
        let permit = enter(&mut picker, 0, now);
        picker.report(0, permit, End::new(outcome, MS * took), now);
        picker.leave(0);
        picker.snapshot(now + MS * seen).next().unwrap().latency
    };
    assert_eq!(told(Outcome::Success, 80, 0), 80 * MS);
    assert_eq!(told(Outcome::Success, 160, 0), 160 * MS);
    assert_eq!(told(Outcome::Success, 80, 0), 150 * MS);
    assert_eq!(told(Outcome::Ignored, 10, 0), 150 * MS, "it would have taken longer");
    assert_eq!(told(Outcome::Ignored, 240, 999), 240 * MS);
    assert_eq!(told(Outcome::Ignored, 240, 1_000), 120 * MS);
    assert_eq!(told(Outcome::Ignored, 240, 3_999), 30 * MS);
    assert_eq!(told(Outcome::Failure, 1, 0), FAILURE_COSTS);
    assert_eq!(told(Outcome::Failure, 6_000, 100_000), Duration::ZERO);
}

#[test]
fn of_whom_nothing_is_known_one_attempt_is_enough_to_find_out() {
    let micros = Duration::from_micros;
    // An endpoint that is asked for the first time, one that took this long, and one that took 30 us.
    for (took, next) in [(None, 1), (Some(micros(9)), 1), (Some(micros(10)), 0)] {
        let mut picker = Picker::new(2, None).unwrap();
        for (pick, took) in [(0, took), (1, Some(micros(30)))] {
            let Some(took) = took else { continue };
            let permit = enter(&mut picker, pick, Instant::ORIGIN);
            picker.report(pick, permit, End::new(Outcome::Success, took), Instant::ORIGIN);
            picker.leave(pick);
        }
        let _asks = enter(&mut picker, 0, Instant::ORIGIN);
        let picked = |n| picker.clone().admit(&[], Instant::ORIGIN, || Draws::nth(5, n)).unwrap().0;
        assert!((0..20).all(|n| picked(n) == next), "{took:?}");
    }
}

#[test]
fn instead_of_one_only_another_will_do() {
    let mut picker = picker(2);
    let now = Instant::ORIGIN;
    let permit = enter(&mut picker, 0, now);
    let instead = |picker: &Picker, pick| picker.ready_instead(pick, &permit, now, now).is_ok();
    assert!(instead(&picker, 0) && instead(&picker, 1));
    (0..5).for_each(|_| fails(&mut picker, 1, now));
    assert!(!instead(&picker, 0), "the other is open");
    assert!(instead(&picker, 1), "and this one is not");
}

#[test]
fn a_half_open_endpoint_gets_its_probes_first_and_one_that_was_withdrawn_again() {
    let mut picker = picker(2);
    (0..5).for_each(|_| fails(&mut picker, 1, Instant::ORIGIN));
    let now = picker.wake_at().unwrap();
    picker.advance(now, |_, _| {});
    let mut probes = Vec::new();
    let mut pick = |picker: &mut Picker, n| {
        let (pick, permit) = picker.admit(&[], now, || Draws::nth(5, n)).unwrap();
        if pick == 1 {
            probes.push(permit);
        } else {
            picker.report(pick, permit, End::new(Outcome::Success, MS), now);
            picker.leave(pick);
        }
        pick
    };
    assert_eq!([0, 1, 2].map(|n| pick(&mut picker, n)), [1, 1, 1], "as many as it may have");
    assert!((0..20).all(|n| pick(&mut picker, n) == 0), "and no more");
    picker.withdraw(1, probes.pop().unwrap(), now);
    let again = |n| picker.clone().admit(&[], now, || Draws::nth(5, n)).unwrap().0;
    assert!((0..20).all(|n| again(n) == 1));
    let _again = picker.admit(&[], now, || Draw::new(0));
    let seen = picker.snapshot(now).nth(1).unwrap();
    assert_eq!((seen.running, seen.attempts), (3, 8), "what was withdrawn was never sent");
}

#[test]
fn a_refusal_tells_what_opened_the_endpoint_that_is_back_first() {
    use crate::Cause::{Failures, ProbeFailed};
    let mut picker = picker(2);
    let at = |ms: u32| Instant::ORIGIN + MS * ms;
    (0..5).for_each(|_| fails(&mut picker, 0, at(0)));
    (0..5).for_each(|_| fails(&mut picker, 1, at(2_000)));
    for (pick, now, wait, cause) in [(0, 5_000, 2_000, Failures(5)), (1, 7_000, 3_000, ProbeFailed)]
    {
        picker.advance(at(now), |_, _| {});
        fails(&mut picker, pick, at(now));
        let refusal = picker.admit(&[], at(now), || Draw::new(0)).unwrap_err();
        assert_eq!((refusal.retry_after, refusal.cause), (Some(MS * wait), Some(cause)));
    }
}

#[test]
fn what_is_slow_is_said_by_the_breaker_of_each_endpoint() {
    let (slow_rate, slow_after) = (Some(Ratio::percent(50)), Some(300 * MS));
    let config = CircuitBreakerConfig { slow_rate, slow_after, ..CircuitBreakerConfig::default() };
    let slow_after = |config| Picker::new(2, config).unwrap().slow_after(1);
    assert_eq!([Some(&config), None].map(slow_after), [config.slow_after, None]);
}

#[test]
fn a_probe_that_flows_long_enough_is_judged_by_time_at_its_endpoint() {
    let config = CircuitBreakerConfig { successes: 2, ..CircuitBreakerConfig::default() };
    let mut picker = Picker::new(2, Some(&config)).unwrap();
    (0..5).for_each(|_| fails(&mut picker, 1, Instant::ORIGIN));
    let now = picker.wake_at().unwrap();
    picker.advance(now, |_, _| {});
    let mut told = Vec::new();
    for until in [now + 1_000 * MS, now + 2_000 * MS] {
        let probe = enter(&mut picker, 1, now);
        picker.flows(1, &probe, until);
        assert!(picker.still_flows(1, &probe, until) && told.is_empty());
        picker.advance(until, |pick, transition| told.push((pick, transition.to)));
        let judged = !picker.still_flows(1, &probe, until);
        assert!(judged || !told.is_empty(), "time has judged it, or it is of a phase that is over");
    }
    assert_eq!(told, [(1, Phase::Closed)], "two successes");
}

#[test]
fn endpoints_that_fail_together_do_not_probe_together() {
    let config = CircuitBreakerConfig {
        failures: 1,
        open_jitter: Ratio::percent(20),
        ..CircuitBreakerConfig::default()
    };
    let periods = |seed| {
        let mut picker = Picker::seeded(3, Some(&config), seed).unwrap();
        for endpoint in &mut picker.endpoints {
            let breaker = endpoint.breaker.as_mut().unwrap();
            let permit = breaker.admit(Instant::ORIGIN).unwrap();
            breaker.report(permit, End::new(Outcome::Failure, MS), Instant::ORIGIN);
        }
        let seen = picker.snapshot(Instant::ORIGIN);
        seen.map(|seen| seen.breaker.unwrap().open_period.unwrap()).collect::<Vec<_>>()
    };
    let (one, other) = (periods(1), periods(99));
    assert!(one[0] != one[1] && one[1] != one[2] && one[0] != one[2], "{one:?}");
    assert_ne!(one, other);
    assert_eq!(one, periods(1));
}

proptest! {
    #[test]
    fn what_entered_leaves_and_nobody_open_is_picked(
        endpoints in 1usize..5, steps in prop::collection::vec((0u8..4, any::<u64>(), 0u64..2_000), 0..300),
    ) {
        let mut picker = picker(endpoints);
        let (mut now, mut held) = (Instant::ORIGIN, Vec::new());
        for (kind, bits, wait) in steps {
            now = now + MS * wait as u32;
            picker.advance(now, |_, _| {});
            if kind == 0 || held.is_empty() {
                if let Ok((pick, permit)) = picker.admit(&[], now, || Draw::new(bits)) {
                    let phase = picker.endpoints[usize::from(pick)].breaker.as_ref().unwrap().phase(now);
                    prop_assert!(phase != Phase::Open);
                    held.push((pick, permit));
                }
            } else {
                let (pick, permit) = held.remove(bits as usize % held.len());
                let outcome = [Outcome::Success, Outcome::Failure, Outcome::Ignored][usize::from(kind) - 1];
                picker.report(pick, permit, End::new(outcome, MS), now);
                picker.leave(pick);
            }
            let running: u32 = picker.endpoints.iter().map(|endpoint| endpoint.running).sum();
            prop_assert_eq!(running as usize, held.len());
        }
    }
}
