//! Retries under a rate limit that limits each attempt.

use super::*;
use crate::{Algorithm, Rate, RateLimitConfig};

const EACH: RateLimitConfig = RateLimitConfig {
    algorithm: Algorithm::TokenBucket,
    capacity: Some(2),
    rate: Some(Rate::per_second(1)),
    limit: None,
    window: None,
    buckets: None,
    reserves: [crate::Reserve::Tokens(0); 5],
    limit_each_attempt: true,
};

fn plan(max_retries: u32) -> Plan {
    Plan { retry: retry(max_retries), deadline: Some(5_000 * MS), ..Plan::default() }
}

fn limited(config: &RateLimitConfig, plan: Plan) -> House<Option<CircuitBreaker>> {
    let house = house(breaker(), plan);
    house.machines.borrow_mut().limiter = Some(RateLimiter::new(config).unwrap());
    house
}

fn available<G>(house: &House<G>, now: Instant) -> u64 {
    house.machines.borrow().limiter.as_ref().unwrap().snapshot(now).available
}

/// Takes all that is there.
fn drain<G>(house: &House<G>, now: Instant) {
    let left = available(house, now);
    let mut machines = house.machines.borrow_mut();
    let limiter = machines.limiter.as_mut().unwrap();
    let taken = limiter.admit(left, Priority::Critical, now, now);
    assert!(matches!(taken, crate::Admission::Go(_)));
}

/// A call whose first attempt has failed, and which pauses.
fn paused<G: Gate>(house: &House<G>, ask: Ask, now: Instant) -> Call<G::Pick> {
    let mut call = Call::new(ask);
    assert_eq!(call.begin(house, now), Action::Start { attempt: 1 });
    assert_eq!(call.on(house, ended(1, Verdict::FAILURE), now), Action::Wait);
    call
}

fn stopped(action: Action) -> Stopped {
    match action {
        Action::Done(Finish::Answer { attempt: 1, stopped }) => stopped,
        other => panic!("the first attempt's answer, not {other:?}"),
    }
}

fn by_the_limit(stopped: Stopped) -> Refusal {
    match stopped {
        Stopped::Refused(refusal) if refusal.by == Pattern::RateLimit => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_attempt_takes_its_cost_and_the_first_alone_without() {
    for (limit_each_attempt, left) in [(false, 8), (true, 4)] {
        let house =
            limited(&RateLimitConfig { capacity: Some(10), limit_each_attempt, ..EACH }, plan(2));
        let ask = Ask { cost: 2, ..Ask::default() };
        let (finish, ended) = drive(&house, ask, at(0), MS, Verdict::FAILURE);
        assert_eq!(finish, Finish::Answer { attempt: 3, stopped: Stopped::MaxRetries });
        assert!(ended < at(900), "before anything is earned");
        assert_eq!(available(&house, at(0)), left);
    }
}

#[test]
fn a_retry_is_not_sent_before_the_limit_lets_it_through() {
    let house = limited(&RateLimitConfig { capacity: Some(1), ..EACH }, plan(1));
    let mut call = paused(&house, Ask::default(), at(0));
    assert_eq!(call.wake_at(), at(1_000), "not after 10 ms");
    assert_eq!(call.on(&house, Event::Tick, at(999)), Action::Wait);
    assert_eq!(call.on(&house, Event::Tick, at(1_000)), Action::Start { attempt: 2 });
    assert_eq!(available(&house, at(1_000)), 0);
}

#[test]
fn the_pause_stays_as_long_as_it_was_where_the_limit_has_enough() {
    let with = limited(&EACH, plan(1));
    let without = limited(&RateLimitConfig { limit_each_attempt: false, ..EACH }, plan(1));
    let [with, without] =
        [with, without].map(|house| paused(&house, Ask::default(), at(0)).wake_at());
    assert_eq!(with, without);
}

#[test]
fn what_others_took_meanwhile_refuses_the_retry_and_leaves_the_answer_before_it() {
    let house = limited(&EACH, plan(1));
    let mut call = paused(&house, Ask::default(), at(0));
    drain(&house, at(0));
    let now = call.wake_at();
    let refusal = by_the_limit(stopped(call.on(&house, Event::Tick, now)));
    assert_eq!(refusal.reason, Reason::Limited);
    assert_eq!(refusal.retry_after, Some(at(1_000).since(now)));
    let machines = house.machines.borrow();
    assert_eq!(machines.budget.as_ref().unwrap().snapshot().retries, 0, "paid back");
    assert_eq!((machines.counts.calls.failed, machines.counts.calls.in_flight()), (1, 0));
    drop(machines);
    assert_eq!(available(&house, at(1_000)), 1, "what was not taken is not given back");
}

#[test]
fn a_retry_that_the_limit_lets_through_too_late_or_never_is_not_waited_for() {
    let soon = RetryConfig { max_elapsed: Some(900 * MS), ..RetryConfig::default() };
    let elapses = Plan { retry: Retry::new(&soon).ok(), ..Plan::default() };
    let deadline = Plan { deadline: Some(900 * MS), ..plan(1) };
    for (plan, rate, wait) in
        [(elapses, 1, Some(1_000 * MS)), (deadline, 1, Some(1_000 * MS)), (plan(1), 0, None)]
    {
        let one = RateLimitConfig { capacity: Some(1), ..EACH };
        let house = limited(&one, plan);
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
        // A bucket that is never filled is so only once the first attempt is through.
        let config = RateLimitConfig { rate: Some(Rate::per_second(rate)), ..one };
        let mut machines = house.machines.borrow_mut();
        machines.limiter.as_mut().unwrap().reconfigure(&config, at(0)).unwrap();
        drop(machines);
        let refusal = by_the_limit(stopped(call.on(&house, ended(1, Verdict::FAILURE), at(0))));
        assert_eq!((refusal.reason, refusal.retry_after), (Reason::Limited, wait));
        let retries = house.machines.borrow().budget.as_ref().unwrap().snapshot().retries;
        assert_eq!(retries, 0, "what is not granted is not paid for");
    }
}

#[test]
fn who_may_wait_waits_for_the_tokens_of_its_retry_and_keeps_its_place() {
    let house = limited(&RateLimitConfig { capacity: Some(1), ..EACH }, plan(1));
    let mut call = paused(&house, Ask { patient: true, ..Ask::default() }, at(0));
    let now = call.wake_at();
    assert!(now < at(20), "the pause is the retry's alone");
    assert_eq!(call.on(&house, Event::Tick, now), Action::Wait);
    assert_eq!(call.queued().map(|(line, _)| line), Some(Line::RateLimit));
    let mut other = Call::new(Ask::default());
    let refused = other.begin(&house, at(1_000));
    assert!(matches!(refused, Action::Done(Finish::Refused(_))), "it does not overtake");
    assert_eq!(call.wake_at(), at(1_000));
    assert_eq!(call.on(&house, Event::Tick, at(1_000)), Action::Start { attempt: 2 });
    assert_eq!(available(&house, at(1_000)), 0);
}

#[test]
fn a_wait_for_tokens_ends_when_no_retry_may_start_any_more() {
    let config = RetryConfig { max_elapsed: Some(1_500 * MS), ..RetryConfig::default() };
    let house = limited(
        &RateLimitConfig { capacity: Some(1), ..EACH },
        Plan { retry: Retry::new(&config).ok(), ..Plan::default() },
    );
    let mut call = paused(&house, Ask { patient: true, ..Ask::default() }, at(0));
    let now = call.wake_at();
    assert_eq!(call.on(&house, Event::Tick, now), Action::Wait);
    // The next token is for one more urgent, and the one after that comes too late.
    let mut urgent = Call::new(Ask { priority: Priority::Critical, ..Ask::default() });
    assert_eq!(urgent.begin(&house, at(1_000)), Action::Start { attempt: 1 });
    let refusal = by_the_limit(stopped(call.on(&house, Event::Tick, at(1_000))));
    assert_eq!(refusal.reason, Reason::TooLate);
}

#[test]
fn retries_leave_a_shaper_one_by_one_with_everybody_else() {
    let config = RateLimitConfig { algorithm: Algorithm::Shaper, capacity: Some(9), ..EACH };
    let house = limited(&config, plan(1));
    let mut call = paused(&house, Ask::default(), at(0));
    let mut other = Call::new(Ask::default());
    assert_eq!(other.begin(&house, at(1)), Action::Wait);
    let now = call.wake_at();
    assert!(now < at(20), "it stands in line, and does not come back when nobody does");
    assert_eq!(call.on(&house, Event::Tick, now), Action::Wait);
    assert_eq!(other.on(&house, Event::Tick, at(1_000)), Action::Start { attempt: 1 });
    assert_eq!(call.on(&house, Event::Woken, at(1_999)), Action::Wait);
    assert_eq!(call.on(&house, Event::Tick, at(2_000)), Action::Start { attempt: 2 });
}

#[test]
fn a_retry_refused_behind_the_limit_gives_its_tokens_back_and_only_those() {
    let house = limited(&RateLimitConfig { capacity: Some(5), ..EACH }, plan(1));
    let mut call = paused(&house, Ask { cost: 2, ..Ask::default() }, at(0));
    let override_ = crate::Override::open("test");
    house.machines.borrow_mut().gate.as_mut().unwrap().force(override_, at(1));
    let now = call.wake_at();
    let stopped = stopped(call.on(&house, Event::Tick, now));
    assert!(matches!(stopped, Stopped::Refused(refusal) if refusal.by == Pattern::CircuitBreaker));
    assert_eq!(available(&house, at(1)), 3, "those of the attempt that ran stay taken");
}

#[test]
fn a_retry_that_waited_for_tokens_gives_them_back_if_its_breaker_has_opened_meanwhile() {
    let house = limited(&RateLimitConfig { capacity: Some(1), ..EACH }, plan(1));
    let mut call = paused(&house, Ask { patient: true, ..Ask::default() }, at(0));
    let now = call.wake_at();
    assert_eq!(call.on(&house, Event::Tick, now), Action::Wait);
    assert_eq!(call.queued().map(|(line, _)| line), Some(Line::RateLimit));
    house.machines.borrow_mut().gate.as_mut().unwrap().force(crate::Override::open("test"), now);
    let stopped = stopped(call.on(&house, Event::Tick, at(1_000)));
    assert!(matches!(stopped, Stopped::Refused(refusal) if refusal.by == Pattern::CircuitBreaker));
    assert_eq!(available(&house, at(1_000)), 1, "what it waited for is there for others");
}

#[test]
fn a_retry_that_is_not_sent_gives_nothing_back_that_it_did_not_take() {
    for limit_each_attempt in [false, true] {
        let config = RateLimitConfig { limit_each_attempt, ..EACH };
        let house = limited(&config, plan(1));
        let mut outgrown = paused(&house, Ask::default(), at(0));
        house.repeatable.set(false);
        let now = outgrown.wake_at();
        assert_eq!(stopped(outgrown.on(&house, Event::Tick, now)), Stopped::NotRepeatable);
        assert_eq!(available(&house, at(0)), 1);
        house.repeatable.set(true);
        paused(&house, Ask { patient: true, ..Ask::default() }, at(0)).abandon(
            &house,
            at(1),
            false,
        );
        assert_eq!(available(&house, at(1)), 0);
    }
}

#[test]
fn nothing_is_cut_for_a_retry_that_the_limit_would_keep_waiting() {
    for (capacity, cut) in [(101, false), (1_000, true)] {
        let house = house(breaker(), plan(1));
        house.machines.borrow_mut().limiter =
            Some(RateLimiter::new(&RateLimitConfig { capacity: Some(capacity), ..EACH }).unwrap());
        house.machines.borrow_mut().timeout =
            Some(AdaptiveTimeout::new(TimeoutConfig::default()).unwrap());
        for _ in 0..100 {
            drive(&house, Ask::default(), at(0), 10 * MS, Verdict::SUCCESS);
        }
        let mut slow = Call::new(Ask::default());
        assert_eq!(slow.begin(&house, at(0)), Action::Start { attempt: 1 });
        let action = slow.on(&house, Event::Tick, slow.wake_at());
        assert_eq!(matches!(action, Action::Cancel { .. }), cut, "{action:?}");
    }
}

proptest! {
    /// Any order of answers, wake-ups and callers that leave: what is taken is what ran, and what is about to.
    #[test]
    fn as_much_is_taken_as_attempts_ran(
        steps in prop::collection::vec((0usize..12, 0u8..10, 0u64..200), 1..400),
        max_concurrent in 1u32..4, rate in 5u64..200, cost in 1u32..4, patient: bool,
    ) {
        const FULL: u64 = 1_000_000;
        let house = house(picker(2), plan(3));
        let bulkhead = BulkheadConfig { max_concurrent, max_queue: 4, max_wait: 500 * MS, ..BulkheadConfig::default() };
        let each = RateLimitConfig { capacity: Some(FULL), rate: Some(Rate::per_second(rate)), ..EACH };
        house.machines.borrow_mut().bulkhead = Some(Bulkhead::new(&bulkhead).unwrap());
        house.machines.borrow_mut().limiter = Some(RateLimiter::new(&each).unwrap());
        // Nearly empty, so that there is always some to wait for, and it never overflows.
        drain(&house, at(0));
        let ask = Ask { cost, patient, ..Ask::default() };
        let mut calls: Vec<Call<u16>> = (0..12).map(|_| Call::new(ask)).collect();
        let (mut now, mut waited) = (at(0), false);
        for (n, kind, wait) in steps {
            now = now + MS * wait as u32;
            let attempt = calls[n].attempt();
            let mut action = match kind {
                0..5 if calls[n].is_over() => {
                    calls[n] = Call::new(ask);
                    calls[n].begin(&house, now)
                }
                0..2 => calls[n].on(&house, ended(attempt, Verdict::SUCCESS), now),
                2..5 => calls[n].on(&house, ended(attempt, Verdict::FAILURE), now),
                5 => calls[n].on(&house, Event::Woken, now),
                6..=8 => calls[n].on(&house, Event::Tick, now),
                _ => { calls[n].abandon(&house, now, false); Action::Wait }
            };
            while let Action::Cancel { attempt, .. } = action {
                action = calls[n].on(&house, Event::Cancelled { attempt }, now);
            }
            let line = |call: &Call<u16>, line| call.queued().is_some_and(|(its, _)| its == line);
            let about_to = calls.iter().filter(|call| line(call, Line::Bulkhead)).count() as u64;
            waited |= calls.iter().any(|call| line(call, Line::RateLimit));
            let ran = house.machines.borrow().counts.attempts.started;
            let earned = rate * now.since(at(0)).as_millis() as u64 / 1_000;
            prop_assert_eq!(earned - available(&house, now), (ran + about_to) * u64::from(cost));
        }
        prop_assert!(!waited || patient);
        for call in &mut calls {
            call.abandon(&house, now, false);
        }
        let machines = house.machines.borrow();
        let ran = machines.counts.attempts.started * u64::from(cost);
        let earned = rate * now.since(at(0)).as_millis() as u64 / 1_000;
        let limiter = machines.limiter.as_ref().unwrap().snapshot(now);
        prop_assert_eq!((earned - limiter.available, limiter.waiting), (ran, 0));
        prop_assert_eq!(machines.counts.calls.in_flight() + machines.counts.attempts.in_flight(), 0);
    }
}
