//! Calls that wait for a place or for their turn, and what becomes of what they hold meanwhile.

use super::*;
use crate::{Algorithm, Priority, Rate, RateLimitConfig};

/// A house with one place, and room to wait.
pub(super) fn narrow<G: Gate>(gate: G, plan: Plan) -> House<G> {
    let house = house(gate, plan);
    let config =
        BulkheadConfig { max_concurrent: 1, max_wait: 1_000 * MS, ..BulkheadConfig::default() };
    house.machines.borrow_mut().bulkhead = Some(Bulkhead::new(&config).unwrap());
    house
}

pub(super) fn limited(
    algorithm: Algorithm,
    capacity: u64,
    rate: u64,
) -> House<Option<CircuitBreaker>> {
    let house = house(breaker(), Plan { retry: retry(1), ..Plan::default() });
    let config = RateLimitConfig {
        algorithm,
        capacity: Some(capacity),
        rate: Some(Rate::per_second(rate)),
        ..RateLimitConfig::default()
    };
    house.machines.borrow_mut().limiter = Some(RateLimiter::new(&config).unwrap());
    house
}

pub(super) fn begun<G: Gate>(house: &House<G>, ask: Ask, now: u64) -> Call<G::Pick> {
    let mut call = Call::new(ask);
    assert_eq!(call.begin(house, at(now)), Action::Start { attempt: 1 });
    call
}

pub(super) fn queued<G: Gate>(house: &House<G>, ask: Ask, now: u64) -> Call<G::Pick> {
    let mut call = Call::new(ask);
    assert_eq!(call.begin(house, at(now)), Action::Wait);
    assert!(call.queued().is_some());
    call
}

pub(super) fn woken<G>(house: &House<G>) -> Vec<(Line, usize)> {
    house.woken.take()
}

#[test]
fn the_next_in_line_is_called_up_when_a_place_is_free() {
    let house = narrow(breaker(), Plan::default());
    let mut first = begun(&house, Ask::default(), 0);
    let mut low = queued(&house, Ask { priority: Priority::Low, ..Ask::default() }, 1);
    let mut high = queued(&house, Ask { priority: Priority::High, ..Ask::default() }, 2);
    assert_eq!(low.wake_at(), at(1_001));
    let _ = first.on(&house, ended(1, Verdict::SUCCESS), at(10));
    assert_eq!(woken(&house), [high.queued().unwrap()], "the more urgent one, once");
    assert_eq!(low.on(&house, Event::Woken, at(10)), Action::Wait, "it was not its turn");
    assert_eq!(high.on(&house, Event::Woken, at(11)), Action::Start { attempt: 1 });
    let _ = high.on(&house, ended(1, Verdict::SUCCESS), at(20));
    assert_eq!(woken(&house), [low.queued().unwrap()]);
    assert_eq!(low.on(&house, Event::Woken, at(20)), Action::Start { attempt: 1 });
    let _ = low.on(&house, ended(1, Verdict::SUCCESS), at(30));
    let machines = house.machines.borrow();
    assert_eq!(machines.counts.calls.succeeded, 3);
    assert_eq!(machines.bulkhead.as_ref().unwrap().snapshot().running, 0);
}

#[test]
fn a_wait_ends_at_max_wait_or_at_the_deadline_with_a_refusal() {
    for (deadline, reason, over) in
        [(None, Reason::WaitOver, 1_001), (Some(500 * MS), Reason::TooLate, 501)]
    {
        let house = narrow(breaker(), Plan { deadline, ..Plan::default() });
        let _first = begun(&house, Ask::default(), 0);
        let mut second = queued(&house, Ask::default(), 1);
        assert_eq!(second.wake_at(), at(over));
        let Action::Done(Finish::Refused(refusal)) = second.on(&house, Event::Tick, at(over))
        else {
            panic!("its wait is over")
        };
        assert_eq!((refusal.by, refusal.reason), (Pattern::Bulkhead, reason));
        assert_eq!(house.machines.borrow().counts.calls.refused, 1);
    }
}

#[test]
fn a_learned_limit_cuts_nothing_at_a_callee_that_is_busy_but_what_hangs() {
    for (answers, in_line, cuts) in
        [(true, true, false), (true, false, true), (false, true, true), (false, false, true)]
    {
        let house = learned(breaker(), Plan { retry: retry(2), ..Plan::default() });
        let config =
            BulkheadConfig { max_concurrent: 2, max_run: None, ..BulkheadConfig::default() };
        house.machines.borrow_mut().bulkhead = Some(Bulkhead::new(&config).unwrap());
        let mut late = begun(&house, Ask::default(), 2_000);
        let mut other = begun(&house, Ask::default(), 2_000);
        if answers {
            let _ = other.on(&house, ended(1, Verdict::SUCCESS), at(2_009));
            let _takes_its_place = begun(&house, Ask::default(), 2_009);
        }
        let _waits = in_line.then(|| queued(&house, Ask::default(), 2_010));
        let action = late.on(&house, Event::Tick, late.wake_at());
        let cut = matches!(action, Action::Cancel { limit: Limit::Learned, .. });
        assert_eq!(cut, cuts, "answers: {answers}, in line: {in_line}: {action:?}");
        let retries = house.machines.borrow().budget.as_ref().unwrap().snapshot().retries;
        assert_eq!(retries, u64::from(cuts), "what is not cut pays for no other");
        if !cuts {
            assert_eq!(late.wake_at(), at(62_000), "it has as long as is configured");
            let action = late.on(&house, ended(1, Verdict::SUCCESS), at(2_100));
            assert!(matches!(action, Action::Done(Finish::Answer { attempt: 1, .. })));
        }
    }
}

#[test]
fn a_callee_without_a_breaker_is_busy_too_while_it_answers_others() {
    for (answers, cuts) in [(true, false), (false, true)] {
        let house = learned(None::<CircuitBreaker>, Plan { retry: retry(2), ..Plan::default() });
        let config =
            BulkheadConfig { max_concurrent: 2, max_run: None, ..BulkheadConfig::default() };
        house.machines.borrow_mut().bulkhead = Some(Bulkhead::new(&config).unwrap());
        let mut late = begun(&house, Ask::default(), 2_000);
        let mut other = begun(&house, Ask::default(), 2_000);
        let verdict = if answers { Verdict::SUCCESS } else { Verdict::PERMANENT };
        let _ = other.on(&house, ended(1, verdict), at(2_009));
        let _takes_its_place = begun(&house, Ask::default(), 2_009);
        let _waits = queued(&house, Ask::default(), 2_010);
        let action = late.on(&house, Event::Tick, late.wake_at());
        let cut = matches!(action, Action::Cancel { limit: Limit::Learned, .. });
        assert_eq!(cut, cuts, "answers: {answers}: {action:?}");
    }
}

#[test]
fn a_turn_that_came_in_time_is_given_back_by_one_that_comes_after_its_deadline() {
    let plan = || Plan { deadline: Some(100 * MS), ..Plan::default() };
    let house = narrow(breaker(), plan());
    let mut first = begun(&house, Ask::default(), 0);
    let mut late = queued(&house, Ask::default(), 1);
    let mut next = queued(&house, Ask::default(), 90);
    let _ = first.on(&house, ended(1, Verdict::SUCCESS), at(95));
    assert_eq!(woken(&house), [late.queued().unwrap()]);
    let Action::Done(Finish::Refused(refusal)) = late.on(&house, Event::Woken, at(101)) else {
        panic!("its deadline has passed")
    };
    assert_eq!((refusal.by, refusal.reason), (Pattern::Deadline, Reason::TooLate));
    assert_eq!(woken(&house), [next.queued().unwrap()], "its place is there for others");
    assert_eq!(next.on(&house, Event::Woken, at(102)), Action::Start { attempt: 1 });

    for (algorithm, left) in [(Algorithm::TokenBucket, 10), (Algorithm::Shaper, 10)] {
        let house = House { plan: plan(), ..limited(algorithm, 10, 100) };
        let cost = if algorithm == Algorithm::Shaper { 1 } else { 10 };
        let _takes_all = begun(&house, Ask { cost, ..Ask::default() }, 0);
        let mut late = queued(&house, Ask { patient: true, ..Ask::default() }, 0);
        assert!(late.wake_at() <= at(100));
        let action = late.on(&house, Event::Tick, at(5_000));
        assert!(matches!(action, Action::Done(Finish::Refused(_))), "{algorithm:?}: {action:?}");
        let seen = house.machines.borrow().limiter.as_ref().unwrap().snapshot(at(5_000));
        assert_eq!((seen.available, seen.waiting), (left, 0), "{algorithm:?}: it took nothing");
    }
}

#[test]
fn a_retry_whose_turn_comes_after_the_deadline_leaves_the_answer_before_it() {
    let plan = Plan { retry: retry(1), deadline: Some(100 * MS), ..Plan::default() };
    let house = narrow(breaker(), plan);
    let mut first = begun(&house, Ask::default(), 0);
    let action = first.on(&house, ended(1, Verdict::FAILURE), at(1));
    assert_eq!(action, Action::Wait);
    let mut holds = begun(&house, Ask::default(), 2);
    assert_eq!(first.on(&house, Event::Tick, first.wake_at()), Action::Wait);
    assert!(first.queued().is_some());
    let _ = holds.on(&house, ended(1, Verdict::SUCCESS), at(50));
    let action = first.on(&house, Event::Woken, at(100));
    let stopped = Stopped::Deadline;
    assert_eq!(action, Action::Done(Finish::Answer { attempt: 1, stopped }));
    let machines = house.machines.borrow();
    assert_eq!(machines.bulkhead.as_ref().unwrap().snapshot().running, 0);
    assert_eq!(machines.budget.as_ref().unwrap().snapshot().retries, 0, "it is not paid for");
}

#[test]
fn no_retry_waits_in_line_beyond_max_elapsed_or_starts_later() {
    let config =
        RetryConfig { base_delay: 10 * MS, max_elapsed: Some(100 * MS), ..RetryConfig::default() };
    for called_up in [false, true] {
        let plan = Plan { retry: Some(Retry::new(&config).unwrap()), ..Plan::default() };
        let house = narrow(breaker(), plan);
        let mut call = begun(&house, Ask::default(), 0);
        assert_eq!(call.on(&house, ended(1, Verdict::FAILURE), at(1)), Action::Wait);
        let mut holds = begun(&house, Ask::default(), 2);
        assert_eq!(call.on(&house, Event::Tick, call.wake_at()), Action::Wait);
        assert_eq!((call.queued().is_some(), call.wake_at()), (true, at(100)));
        let action = if called_up {
            let _ = holds.on(&house, ended(1, Verdict::SUCCESS), at(90));
            call.on(&house, Event::Woken, at(101))
        } else {
            call.on(&house, Event::Tick, at(100))
        };
        let Action::Done(Finish::Answer { attempt: 1, stopped }) = action else {
            panic!("called up: {called_up}: {action:?}")
        };
        assert_eq!(stopped == Stopped::MaxElapsed, called_up, "{stopped:?}");
        assert_eq!(house.machines.borrow().budget.as_ref().unwrap().snapshot().retries, 0);
    }
}

#[test]
fn a_pause_that_a_stall_prolongs_beyond_max_elapsed_ends_without_a_retry() {
    let config =
        RetryConfig { base_delay: 10 * MS, max_elapsed: Some(100 * MS), ..RetryConfig::default() };
    let plan = Plan { retry: Some(Retry::new(&config).unwrap()), ..Plan::default() };
    let house = house(breaker(), plan);
    let stopped = Stopped::MaxElapsed;
    let over = Action::Done(Finish::Answer { attempt: 1, stopped });
    for (late, expected) in [(100, Action::Start { attempt: 2 }), (101, over)] {
        let mut call = begun(&house, Ask::default(), 0);
        assert_eq!(call.on(&house, ended(1, Verdict::FAILURE), at(1)), Action::Wait);
        assert_eq!(call.on(&house, Event::Tick, at(late)), expected);
    }
}

#[test]
fn who_leaves_the_line_passes_the_place_on_granted_or_not() {
    for granted in [false, true] {
        let house = narrow(breaker(), Plan::default());
        let mut first = begun(&house, Ask::default(), 0);
        let mut second = queued(&house, Ask::default(), 1);
        let mut third = queued(&house, Ask::default(), 2);
        if granted {
            let _ = first.on(&house, ended(1, Verdict::SUCCESS), at(10));
            assert_eq!(woken(&house), [second.queued().unwrap()]);
            second.abandon(&house, at(11), false);
        } else {
            second.abandon(&house, at(9), false);
            let _ = first.on(&house, ended(1, Verdict::SUCCESS), at(10));
        }
        assert_eq!(woken(&house), [third.queued().unwrap()]);
        assert_eq!(third.on(&house, Event::Woken, at(12)), Action::Start { attempt: 1 });
        assert_eq!(house.machines.borrow().counts.calls.ignored, 1);
    }
}

#[test]
fn an_open_breaker_is_no_reason_to_wait_and_one_that_opens_meanwhile_refuses() {
    let house = narrow(breaker(), Plan::default());
    let mut first = begun(&house, Ask::default(), 0);
    let mut second = queued(&house, Ask::default(), 1);
    house.machines.borrow_mut().gate.as_mut().unwrap().force(crate::Override::open("test"), at(2));
    let mut third = Call::new(Ask::default());
    let Action::Done(Finish::Refused(refusal)) = third.begin(&house, at(3)) else { panic!("open") };
    assert_eq!(refusal.by, Pattern::CircuitBreaker);
    let _ = first.on(&house, ended(1, Verdict::SUCCESS), at(10));
    let Action::Done(Finish::Refused(refusal)) = second.on(&house, Event::Woken, at(10)) else {
        panic!("its place is there, its way is not")
    };
    assert_eq!(refusal.by, Pattern::CircuitBreaker);
    assert_eq!(house.machines.borrow().bulkhead.as_ref().unwrap().snapshot().running, 0);
}

#[test]
fn no_probe_is_held_in_a_line() {
    let house = narrow(breaker(), Plan::default());
    for _ in 0..5 {
        drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
    }
    let _first = begun(&house, Ask::default(), 61_000);
    for n in 0..10 {
        let _waiting = queued(&house, Ask::default(), 61_001 + n);
    }
    let machines = house.machines.borrow();
    let probes = machines.gate.as_ref().unwrap();
    assert!(probes.ready_by(at(61_100), at(61_100)).is_ok(), "two of three places are free");
}

#[test]
fn a_retry_that_waits_keeps_the_answer_before_it() {
    let house = narrow(breaker(), Plan { retry: retry(1), ..Plan::default() });
    let mut call = begun(&house, Ask::default(), 0);
    assert_eq!(call.on(&house, ended(1, Verdict::FAILURE), at(1)), Action::Wait);
    let _other = begun(&house, Ask::default(), 2);
    let now = call.wake_at();
    assert_eq!(call.on(&house, Event::Tick, now), Action::Wait);
    assert_eq!(call.queued().map(|(line, _)| line), Some(Line::Bulkhead));
    let over = call.wake_at();
    let Action::Done(Finish::Answer { attempt: 1, stopped: Stopped::Refused(refusal) }) =
        call.on(&house, Event::Tick, over)
    else {
        panic!("the first attempt's answer")
    };
    assert_eq!(refusal.reason, Reason::WaitOver);
    let machines = house.machines.borrow();
    assert_eq!(machines.budget.as_ref().unwrap().snapshot().retries, 0, "paid back");
    assert_eq!(machines.counts.calls.failed, 1);
}

#[test]
fn the_rate_limit_is_passed_once_and_given_back_if_nothing_ran() {
    let house = limited(Algorithm::TokenBucket, 3, 1);
    let (finish, _) = drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
    assert!(matches!(finish, Finish::Answer { attempt: 2, .. }), "a retry does not pass it again");
    let available = |house: &House<_>| {
        house.machines.borrow().limiter.as_ref().unwrap().snapshot(at(0)).available
    };
    assert_eq!(available(&house), 2);
    house.machines.borrow_mut().gate.as_mut().unwrap().force(crate::Override::open("test"), at(0));
    let mut refused = Call::new(Ask { cost: 2, ..Ask::default() });
    assert!(matches!(refused.begin(&house, at(0)), Action::Done(Finish::Refused(_))));
    assert_eq!(available(&house), 2, "given back");
    house.machines.borrow_mut().gate.as_mut().unwrap().release(at(0));
    let _two = begun(&house, Ask { cost: 2, ..Ask::default() }, 0);
    let Action::Done(Finish::Refused(refusal)) = Call::new(Ask::default()).begin(&house, at(0))
    else {
        panic!("nothing is left")
    };
    assert_eq!((refusal.by, refusal.reason), (Pattern::RateLimit, Reason::Limited));
    assert_eq!(refusal.retry_after, Some(1_000 * MS));
    let too_large = Call::new(Ask { cost: 4, ..Ask::default() }).begin(&house, at(0));
    let Action::Done(Finish::Refused(refusal)) = too_large else { panic!("more than there is") };
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::TooLarge, None));
}

#[test]
fn a_shaper_spaces_calls_and_each_waits_for_its_own_turn() {
    let house = limited(Algorithm::Shaper, 10, 100);
    let _first = begun(&house, Ask::default(), 0);
    let mut calls: Vec<_> = (0..5).map(|_| queued(&house, Ask::default(), 0)).collect();
    for (n, call) in calls.iter_mut().enumerate() {
        let turn = call.wake_at();
        assert_eq!(turn, at(10 * (n as u64 + 1)));
        assert_eq!(call.on(&house, Event::Tick, turn), Action::Start { attempt: 1 }, "turn {n}");
    }
    let asked = Ask { give_up_at: at(60), ..Ask::default() };
    let _last_in_time = queued(&house, asked, 51);
    let Action::Done(Finish::Refused(refusal)) = Call::new(asked).begin(&house, at(51)) else {
        panic!("its turn would come after its deadline")
    };
    assert_eq!(refusal.reason, Reason::Hopeless);
}

proptest! {
    /// Many calls, few places, any order of events: nothing is lost, no limit is passed, nobody waits beside a free
    /// place, and in the end everybody has ended.
    #[test]
    fn nothing_is_lost_in_lines(
        steps in prop::collection::vec((0usize..16, 0u8..8, 0u64..200), 1..400),
        max_concurrent in 1u32..4, max_queue in 0u32..8,
    ) {
        let house = house(picker(2), Plan { retry: retry(2), deadline: Some(3_000 * MS), ..Plan::default() });
        let config = BulkheadConfig { max_concurrent, max_queue, max_wait: 500 * MS, ..BulkheadConfig::default() };
        house.machines.borrow_mut().bulkhead = Some(Bulkhead::new(&config).unwrap());
        let mut calls: Vec<Call<u16>> = (0..16).map(|_| Call::new(Ask::default())).collect();
        let mut now = at(0);
        for (n, kind, wait) in steps {
            now = now + MS * wait as u32;
            let attempt = calls[n].attempt();
            let mut action = match kind {
                0..=2 if calls[n].is_over() => {
                    calls[n] = Call::new(Ask { priority: Priority::ALL[n % 5], ..Ask::default() });
                    calls[n].begin(&house, now)
                }
                0..=3 => calls[n].on(&house, ended(attempt, Verdict::SUCCESS), now),
                4 => calls[n].on(&house, ended(attempt, Verdict::FAILURE), now),
                5 => calls[n].on(&house, Event::Woken, now),
                6 => calls[n].on(&house, Event::Tick, now),
                _ => { calls[n].abandon(&house, now, false); Action::Wait }
            };
            while let Action::Cancel { attempt, .. } = action {
                action = calls[n].on(&house, Event::Cancelled { attempt }, now);
            }
            let machines = house.machines.borrow();
            let seen = machines.bulkhead.as_ref().unwrap().snapshot();
            prop_assert!(seen.running <= max_concurrent && seen.queued <= max_queue);
            prop_assert!(seen.queued == 0 || seen.running == max_concurrent);
            prop_assert!(machines.counts.calls.in_flight() <= 16);
            let at_endpoints: u32 = machines.gate.snapshot(now).map(|endpoint| endpoint.running).sum();
            prop_assert_eq!(u64::from(at_endpoints), machines.counts.attempts.in_flight());
        }
        for call in &mut calls {
            call.abandon(&house, now, false);
        }
        let machines = house.machines.borrow();
        prop_assert_eq!(machines.counts.calls.in_flight() + machines.counts.attempts.in_flight(), 0);
        let seen = machines.bulkhead.as_ref().unwrap().snapshot();
        prop_assert_eq!((seen.running, seen.queued), (0, 0));
    }
}
