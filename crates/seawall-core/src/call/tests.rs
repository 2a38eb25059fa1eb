//! The composition, driven by hand: a policy's machines in a `RefCell`, time as a number.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use proptest::prelude::*;

use super::*;

use crate::{
    AdaptiveTimeout, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Draw, Draws,
    End, EventRing, Phase, Picker, Plan, RateLimiter, Ratio, Retry, RetryBudget, RetryConfig,
    Stopped, TimeoutConfig, Verdict,
};

mod each_attempt;
mod endings;
mod facts;
mod panicking;
mod pausing;
mod queueing;
mod turns;

const MS: Duration = Duration::from_millis(1);

struct House<G> {
    machines: RefCell<Machines<G>>,
    plan: Plan,
    draws: Cell<u64>,
    repeatable: Cell<bool>,
    owed_since: Cell<Option<Instant>>,
    begun: Cell<bool>,
    woken: RefCell<Vec<(Line, usize)>>,
}

struct Machines<G> {
    limiter: Option<RateLimiter>,
    gate: G,
    budget: Option<RetryBudget>,
    bulkhead: Option<Bulkhead>,
    timeout: Option<AdaptiveTimeout>,
    counts: Counts,
    events: EventRing,
}

impl<G: Gate> Shared for House<G> {
    type Gate = G;

    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, G>) -> R) -> R {
        let Machines { limiter, gate, budget, bulkhead, timeout, counts, events } =
            &mut *self.machines.borrow_mut();
        let mut parts = Parts {
            plan: &self.plan,
            limiter: limiter.as_mut(),
            gate,
            budget: budget.as_mut(),
            bulkhead: bulkhead.as_mut(),
            timeout: timeout.as_mut(),
            counts,
            events,
        };
        parts.advance(now);
        let result = step(parts.reborrow());
        let mut woken = self.woken.borrow_mut();
        while let Some(called) = parts.settle(now) {
            woken.push(called);
        }
        result
    }

    fn draw(&self) -> Draw {
        self.draws.set(self.draws.get() + 1);
        Draws::nth(11, self.draws.get())
    }

    fn can_repeat(&self) -> bool {
        self.repeatable.get()
    }

    fn owed_since(&self) -> Option<Instant> {
        self.owed_since.get()
    }

    fn has_begun(&self) -> bool {
        self.begun.get()
    }
}

fn house<G>(gate: G, plan: Plan) -> House<G> {
    let machines = Machines {
        limiter: None,
        gate,
        budget: plan.retry.is_some().then(|| RetryBudget::new(Ratio::percent(10), false)),
        bulkhead: None,
        timeout: None,
        counts: Counts::default(),
        events: EventRing::new(),
    };
    House {
        machines: RefCell::new(machines),
        plan,
        draws: Cell::new(0),
        repeatable: Cell::new(true),
        owed_since: Cell::new(Some(Instant::ORIGIN)),
        begun: Cell::new(true),
        woken: RefCell::default(),
    }
}

/// With this limit on an attempt, and no other learned.
fn limited<G>(house: House<G>, attempt: Duration) -> House<G> {
    let config = TimeoutConfig { attempt, adaptive: false, ..TimeoutConfig::default() };
    house.machines.borrow_mut().timeout = Some(AdaptiveTimeout::new(config).unwrap());
    house
}

/// So many places, and no room to wait for one.
fn give_places<G>(house: &House<G>, max_concurrent: u32) {
    let config = BulkheadConfig { max_concurrent, max_queue: 0, ..BulkheadConfig::default() };
    house.machines.borrow_mut().bulkhead = Some(Bulkhead::new(&config).unwrap());
}

fn retry(max_retries: u32) -> Option<Retry> {
    let config = RetryConfig { max_retries, base_delay: 10 * MS, ..RetryConfig::default() };
    Some(Retry::new(&config).unwrap())
}

fn breaker() -> Option<CircuitBreaker> {
    Some(CircuitBreaker::new(&CircuitBreakerConfig::default()).unwrap())
}

fn picker(endpoints: usize) -> Picker {
    Picker::new(endpoints, Some(&CircuitBreakerConfig::default())).unwrap()
}

fn at(ms: u64) -> Instant {
    Instant::ORIGIN + MS * ms as u32
}

fn ended(attempt: u8, verdict: Verdict) -> Event {
    Event::Ended { attempt, verdict }
}

/// Runs one call whose every attempt answers with `verdict` after `took`; returns its end and when it came.
fn drive<G: Gate>(
    house: &House<G>,
    ask: Ask,
    mut now: Instant,
    took: Duration,
    verdict: Verdict,
) -> (Finish, Instant) {
    let mut call = Call::new(ask);
    let mut action = call.begin(house, now);
    let mut answer_at = None;
    loop {
        match action {
            Action::Start { attempt } => {
                answer_at = Some((attempt, now + took));
                action = Action::Wait;
            }
            Action::Cancel { attempt, .. } => {
                answer_at = None;
                action = call.on(house, Event::Cancelled { attempt }, now);
            }
            Action::Done(finish) => return (finish, now),
            Action::Wait => {
                let wake = call.wake_at();
                match answer_at {
                    Some((attempt, answer)) if answer <= wake => {
                        now = answer;
                        answer_at = None;
                        action = call.on(house, ended(attempt, verdict), now);
                    }
                    _ => {
                        now = now.max(wake);
                        action = call.on(house, Event::Tick, now);
                    }
                }
            }
        }
    }
}

fn phase<G: Gate>(house: &House<G>) -> Option<Phase> {
    house.machines.borrow().events.after(0).last().map(|numbered| numbered.transition.to)
}

#[test]
fn a_good_answer_takes_two_visits_and_one_attempt() {
    let house = house(breaker(), Plan { retry: retry(3), ..Plan::default() });
    let (finish, _) = drive(&house, Ask::default(), at(0), MS, Verdict::SUCCESS);
    assert_eq!(finish, Finish::Answer { attempt: 1, stopped: Stopped::Succeeded });
    let counts = house.machines.borrow().counts;
    assert_eq!((counts.calls.succeeded, counts.attempts.succeeded), (1, 1));
    assert_eq!((counts.calls.in_flight(), counts.attempts.in_flight()), (0, 0));
}

#[test]
fn each_end_says_why_nothing_followed() {
    let plan = Plan { retry: retry(1), deadline: Some(1_000 * MS), ..Plan::default() };
    let hint = Verdict::LATER.after(Some(2_000 * MS));
    let unless_reached = Ask { repeat: Repeat::IfUnreached, ..Ask::default() };
    let once = Ask { repeat: Repeat::Never, ..Ask::default() };
    for (ask, verdict, expected) in [
        (Ask::default(), Verdict::FAILURE, Stopped::MaxRetries),
        (Ask::default(), Verdict::PERMANENT, Stopped::NotRetryable),
        (Ask::default(), hint, Stopped::Deadline),
        (once, Verdict::UNREACHED, Stopped::NotRepeatable),
        (unless_reached, Verdict::FAILURE, Stopped::NotRepeatable),
        (unless_reached, Verdict::UNREACHED, Stopped::MaxRetries),
    ] {
        let house = house(breaker(), plan.clone());
        let (finish, _) = drive(&house, ask, at(0), MS, verdict);
        assert!(
            matches!(finish, Finish::Answer { stopped, .. } if stopped == expected),
            "{finish:?}"
        );
    }
    let house = house(breaker(), Plan::default());
    let (finish, _) = drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
    assert_eq!(finish, Finish::Answer { attempt: 1, stopped: Stopped::NoRetry });
}

#[test]
fn p14c_retries_stay_within_a_tenth_and_three_at_any_failure_rate() {
    for percent in [10, 50, 100] {
        for spread in [Duration::ZERO, 360 * MS] {
            let house = house(None, Plan { retry: retry(3), ..Plan::default() });
            let mut chance = Draws::seeded(percent);
            for n in 0..10_000u32 {
                let fails = chance.draw().below(100) < percent;
                let verdict = if fails { Verdict::FAILURE } else { Verdict::SUCCESS };
                drive(&house, Ask::default(), Instant::ORIGIN + spread * n, MS, verdict);
            }
            let counts = house.machines.borrow().counts;
            let retries = counts.attempts.started - 10_000;
            assert!(retries <= 1_003, "{percent} %, {spread:?} apart: {retries} retries");
            assert!(retries >= 900, "{percent} %: the budget is there to be used: {retries}");
        }
    }
}

#[test]
fn no_retry_starts_later_than_max_elapsed_and_the_end_says_so() {
    let config = RetryConfig {
        max_retries: 50,
        max_elapsed: Some(1_000 * MS),
        budget: Ratio::percent(1_000),
        ..RetryConfig::default()
    };
    for seed in 0..50 {
        let house =
            house(None, Plan { retry: Some(Retry::new(&config).unwrap()), ..Plan::default() });
        house.draws.set(seed);
        house.machines.borrow_mut().budget = None;
        let (finish, ended) = drive(&house, Ask::default(), at(5_000), 5 * MS, Verdict::FAILURE);
        assert!(
            matches!(finish, Finish::Answer { stopped: Stopped::MaxElapsed, .. }),
            "{finish:?}"
        );
        assert!(ended > at(5_100) && ended <= at(6_005), "{ended:?}");
    }
}

#[test]
fn p4_a_hung_callee_opens_the_breaker_although_only_the_deadline_cuts() {
    let house = house(breaker(), Plan { deadline: Some(1_000 * MS), ..Plan::default() });
    for n in 0..5 {
        let (finish, ended) =
            drive(&house, Ask::default(), at(n), Duration::from_secs(3_600), Verdict::SUCCESS);
        assert_eq!(finish, Finish::TimedOut { limit: Limit::Deadline, stopped: Stopped::Deadline });
        assert_eq!(ended, at(n + 1_000));
    }
    assert_eq!(phase(&house), Some(Phase::Open));
}

#[test]
fn a_caller_with_five_milliseconds_left_cannot_poison_the_breaker() {
    let house = house(breaker(), Plan { deadline: Some(1_000 * MS), ..Plan::default() });
    for n in 0..100 {
        let ask = Ask { give_up_at: at(n + 5), ..Ask::default() };
        drive(&house, ask, at(n), 20 * MS, Verdict::SUCCESS);
    }
    assert_eq!(phase(&house), None);
    assert_eq!(house.machines.borrow().counts.attempts.ignored, 100);
}

#[test]
fn p20_p23_what_is_dropped_gives_everything_back_and_a_panic_is_a_failure() {
    let house = house(breaker(), Plan { retry: retry(3), ..Plan::default() });
    give_places(&house, 1);
    for n in 0..100 {
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(n)), Action::Start { attempt: 1 });
        call.abandon(&house, at(n + 1), false);
    }
    assert_eq!(phase(&house), None, "leaving early says nothing about the callee");
    for n in 0..5 {
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(200 + n)), Action::Start { attempt: 1 });
        call.abandon(&house, at(200 + n), true);
    }
    assert_eq!(phase(&house), Some(Phase::Open));
    let counts = house.machines.borrow().counts;
    assert_eq!((counts.panicked, counts.calls.in_flight(), counts.attempts.in_flight()), (5, 0, 0));
}

#[test]
fn a_full_bulkhead_gives_the_probe_back_uncounted() {
    let house = house(breaker(), Plan::default());
    for _ in 0..5 {
        drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
    }
    give_places(&house, 0);
    for n in 0..10 {
        let (finish, _) = drive(&house, Ask::default(), at(61_000 + n), MS, Verdict::SUCCESS);
        let Finish::Refused(refusal) = finish else { panic!("{finish:?}") };
        assert_eq!(refusal.by, Pattern::Bulkhead, "all three probes are still there, call {n}");
    }
    assert_eq!(phase(&house), Some(Phase::HalfOpen));
}

/// A house that has learned a limit of 15 ms from answers of 10 ms.
fn learned<G: Gate>(gate: G, plan: Plan) -> House<G> {
    let house = house(gate, plan);
    house.machines.borrow_mut().timeout =
        Some(AdaptiveTimeout::new(TimeoutConfig::default()).unwrap());
    for n in 0..100 {
        drive(&house, Ask::default(), at(n), 10 * MS, Verdict::SUCCESS);
    }
    let limit =
        house.machines.borrow().timeout.as_ref().and_then(AdaptiveTimeout::learned).unwrap();
    assert!(limit.abs_diff(15 * MS) < MS / 2, "{limit:?}");
    house
}

#[test]
fn a_learned_limit_cuts_only_if_another_attempt_may_follow() {
    let plan = Plan::default();
    let slow = 60 * MS;
    let alone = learned(breaker(), plan.clone());
    let (finish, ended) = drive(&alone, Ask::default(), at(1_000), slow, Verdict::SUCCESS);
    assert_eq!(
        (finish, ended),
        (Finish::Answer { attempt: 1, stopped: Stopped::Succeeded }, at(1_060))
    );

    let house = learned(breaker(), Plan { retry: retry(1), ..plan });
    let (finish, _) = drive(&house, Ask::default(), at(1_000), slow, Verdict::SUCCESS);
    assert_eq!(
        finish,
        Finish::Answer { attempt: 2, stopped: Stopped::Succeeded },
        "the last one may take longer"
    );
    assert_eq!(house.machines.borrow().counts.timed_out, 1);

    while house.machines.borrow_mut().budget.as_mut().unwrap().charge(at(1_000)) {}
    let (finish, ended) = drive(&house, Ask::default(), at(2_000), slow, Verdict::SUCCESS);
    assert_eq!(
        (finish, ended),
        (Finish::Answer { attempt: 1, stopped: Stopped::Succeeded }, at(2_060))
    );
}

#[test]
fn a_learned_limit_leaves_routes_that_do_not_retry_timeouts_alone() {
    let plan = Plan { retry: retry(1), ..Plan::default() };
    let without = learned(breaker(), Plan { retry_timeouts: false, ..plan });
    let (finish, ended) = drive(&without, Ask::default(), at(1_000), 60 * MS, Verdict::SUCCESS);
    assert_eq!(
        (finish, ended),
        (Finish::Answer { attempt: 1, stopped: Stopped::Succeeded }, at(1_060))
    );
}

#[test]
fn a_free_retry_is_not_free_where_the_tried_are_forgotten() {
    let plan = Plan { retry: retry(20), free_if_unreached: true, ..Plan::default() };
    let house = house(Picker::new(6, None).unwrap(), plan);
    while house.machines.borrow_mut().budget.as_mut().unwrap().charge(at(0)) {}
    let (finish, _) = drive(&house, Ask::default(), at(0), MS, Verdict::UNREACHED);
    let Finish::Answer { attempt: 5, stopped: Stopped::Refused(refusal) } = finish else {
        panic!("{finish:?}")
    };
    assert_eq!(refusal.by, Pattern::RetryBudget);
}

#[test]
fn a_stall_of_our_own_with_forty_attempts_in_flight_opens_no_breaker() {
    let house =
        learned(picker(3), Plan { retry: retry(2), deadline: Some(1_000 * MS), ..Plan::default() });
    let mut calls: Vec<_> = (0..40).map(|_| Call::new(Ask::default())).collect();
    for call in &mut calls {
        assert_eq!(call.begin(&house, at(5_000)), Action::Start { attempt: 1 });
    }
    // Every answer came after 10 ms, but this process slept for 80 ms, and timers are served first.
    for call in &mut calls {
        assert_eq!(call.on(&house, Event::Tick, at(5_080)), Action::Wait, "its limit moves once");
        assert!(call.wake_at() > at(5_080), "others must run first to read the answer");
        assert_eq!(call.on(&house, Event::Tick, at(5_080)), Action::Wait);
    }
    for call in &mut calls {
        let action = call.on(&house, ended(1, Verdict::SUCCESS), at(5_081));
        assert!(matches!(action, Action::Done(_)), "{action:?}");
    }
    assert_eq!(phase(&house), None);
    let mut late = Call::new(Ask::default());
    assert_eq!(late.begin(&house, at(6_000)), Action::Start { attempt: 1 });
    assert_eq!(late.on(&house, Event::Tick, at(6_080)), Action::Wait);
    let again = late.wake_at() + 80 * MS;
    assert_eq!(
        late.on(&house, Event::Tick, again),
        Action::Cancel { attempt: 1, limit: Limit::Learned },
        "once, not for ever"
    );
}

#[test]
fn the_deadline_never_moves_however_late_we_are() {
    let house = house(breaker(), Plan { deadline: Some(100 * MS), ..Plan::default() });
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    assert_eq!(
        call.on(&house, Event::Tick, at(180)),
        Action::Cancel { attempt: 1, limit: Limit::Deadline }
    );
}

#[test]
fn p27_the_deadline_covers_the_waits_between_attempts() {
    let config =
        RetryConfig { max_retries: 50, budget: Ratio::percent(1_000), ..RetryConfig::default() };
    let retry = Some(Retry::new(&config).unwrap());
    for seed in 0..50 {
        let house = house(
            None,
            Plan { retry: retry.clone(), deadline: Some(1_000 * MS), ..Plan::default() },
        );
        house.draws.set(seed);
        house.machines.borrow_mut().budget = None;
        let (finish, ended) = drive(&house, Ask::default(), at(0), 5 * MS, Verdict::FAILURE);
        assert!(matches!(finish, Finish::Answer { stopped: Stopped::Deadline, .. }), "{finish:?}");
        assert!(
            ended < at(1_000),
            "it ends with the last answer instead of sleeping towards the deadline"
        );
    }
}

#[test]
fn a_retry_that_never_reached_its_callee_is_free_only_towards_another_endpoint() {
    let plan = Plan { retry: retry(2), free_if_unreached: true, ..Plan::default() };
    for (endpoints, verdict, free) in [
        (3, Verdict::UNREACHED, 2),
        (2, Verdict::UNREACHED, 1),
        (1, Verdict::UNREACHED, 0),
        (3, Verdict::FAILURE, 0),
    ] {
        let house = house(picker(endpoints), plan.clone());
        let (finish, _) = drive(&house, Ask::default(), at(0), MS, verdict);
        assert_eq!(finish, Finish::Answer { attempt: 3, stopped: Stopped::MaxRetries });
        let paid = house.machines.borrow().budget.as_ref().unwrap().snapshot().retries;
        assert_eq!(paid, 2 - free, "{endpoints} endpoints");
    }
}

#[test]
fn a_retry_that_is_refused_in_the_end_is_paid_back() {
    let house = house(breaker(), Plan { retry: retry(1), ..Plan::default() });
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    assert_eq!(call.on(&house, ended(1, Verdict::FAILURE), at(1)), Action::Wait);
    house.machines.borrow_mut().gate.as_mut().unwrap().force(crate::Override::open("test"), at(2));
    let Action::Done(Finish::Answer { attempt: 1, stopped: Stopped::Refused(refusal) }) =
        call.on(&house, Event::Tick, call.wake_at())
    else {
        panic!("the first attempt's answer is what the caller gets")
    };
    assert_eq!(refusal.reason, Reason::ForcedOpen);
    assert_eq!(house.machines.borrow().budget.as_ref().unwrap().snapshot().retries, 0);
}

#[test]
fn an_open_breaker_ends_the_retries_without_charging() {
    let house = house(breaker(), Plan { retry: retry(100), ..Plan::default() });
    house.machines.borrow_mut().budget = None;
    let (finish, _) = drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
    let Finish::Answer { attempt: 5, stopped: Stopped::Refused(refusal) } = finish else {
        panic!("{finish:?}")
    };
    assert_eq!((refusal.by, refusal.reason), (Pattern::CircuitBreaker, Reason::Open));
}

#[test]
fn the_last_four_picks_are_remembered() {
    let house = house(picker(3), Plan { retry: retry(9), ..Plan::default() });
    house.machines.borrow_mut().budget = None;
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    for attempt in 1..=6 {
        assert!(call.picked(attempt).is_some());
        assert_eq!(
            call.on(&house, ended(attempt, Verdict::LATER), call.wake_at().min(at(9_000))),
            Action::Wait
        );
        assert_eq!(
            call.on(&house, Event::Tick, call.wake_at()),
            Action::Start { attempt: attempt + 1 }
        );
    }
    assert_eq!((call.picked(0), call.picked(3), call.picked(8)), (None, None, None));
    let firsts: Vec<_> = (4..=7).filter_map(|attempt| call.picked(attempt)).collect();
    assert_eq!(firsts.len(), 4);
}

proptest! {
    /// Any interleaving of many calls, any events, sensible or not: nothing is lost, no limit is passed,
    /// and what is left in the end is nothing.
    #[test]
    fn nothing_is_lost_whatever_happens(
        steps in prop::collection::vec((0usize..12, 0u8..10, 0u64..400), 1..400), max_concurrent in 1u32..6,
    ) {
        let plan = Plan {
            retry: retry(2), deadline: Some(2_000 * MS), free_if_unreached: true,
            ..Plan::default()
        };
        let config = CircuitBreakerConfig { failures: 2, open_for: 300 * MS, ..CircuitBreakerConfig::default() };
        let house = limited(house(Picker::new(3, Some(&config)).unwrap(), plan), 700 * MS);
        give_places(&house, max_concurrent);
        let mut calls: Vec<Call<u16>> = (0..12).map(|_| Call::new(Ask::default())).collect();
        let mut attempts = [0u8; 12];
        let mut now = at(0);
        for (n, kind, wait) in steps {
            now = now + MS * wait as u32;
            let verdict = [Verdict::SUCCESS, Verdict::FAILURE, Verdict::LATER, Verdict::UNREACHED][usize::from(kind % 4)];
            let attempt = attempts[n];
            let mut action = match kind {
                0 | 1 => call_again(&mut calls[n], &house, now),
                2..=4 => calls[n].on(&house, ended(attempt, verdict), now),
                5 => calls[n].on(&house, Event::Head { attempt, verdict }, now),
                6..=8 => calls[n].on(&house, Event::Tick, now),
                _ => { calls[n].abandon(&house, now, wait % 2 == 0); Action::Wait }
            };
            while let Action::Cancel { attempt, .. } = action {
                action = calls[n].on(&house, Event::Cancelled { attempt }, now);
            }
            if let Action::Start { attempt } = action {
                attempts[n] = attempt;
            }
            let machines = house.machines.borrow();
            let running = machines.bulkhead.as_ref().unwrap().snapshot().running;
            prop_assert!(running <= max_concurrent);
            prop_assert_eq!(u64::from(running), machines.counts.attempts.in_flight());
            let at_endpoints: u32 = machines.gate.snapshot(now).map(|endpoint| endpoint.running).sum();
            prop_assert_eq!(at_endpoints, running);
            prop_assert!(machines.counts.calls.in_flight() <= 12);
            let first = machines.counts.calls.started - machines.counts.calls.refused;
            let paid = machines.budget.as_ref().unwrap().snapshot();
            prop_assert_eq!(paid.first_attempts, first);
            prop_assert!(paid.retries * 10 <= first + 30);
        }
        for call in &mut calls {
            call.abandon(&house, now, false);
        }
        let machines = house.machines.borrow();
        prop_assert_eq!(machines.counts.calls.in_flight(), 0);
        prop_assert_eq!(machines.counts.attempts.in_flight(), 0);
        prop_assert_eq!(machines.bulkhead.as_ref().unwrap().snapshot().running, 0);
    }

    /// Calls come and are cancelled at random while the breaker is half-open: never more than three alive.
    #[test]
    fn at_most_the_configured_probes_are_alive(leave in prop::collection::vec(any::<u8>(), 1_000)) {
        let house = house(breaker(), Plan::default());
        for _ in 0..5 {
            drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
        }
        let mut alive: Vec<Call> = Vec::new();
        for (n, leave) in leave.into_iter().enumerate() {
            let now = at(61_000 + n as u64 / 10);
            if leave < 30 && !alive.is_empty() {
                alive.remove(usize::from(leave) % alive.len()).abandon(&house, now, false);
            }
            let mut call = Call::new(Ask::default());
            let free = alive.len() < 3;
            prop_assert_eq!(matches!(call.begin(&house, now), Action::Start { .. }), free);
            if free {
                alive.push(call);
            }
        }
    }
}

/// A fresh call in the place of one that is over; one that is not over stays.
fn call_again(call: &mut Call<u16>, house: &House<Picker>, now: Instant) -> Action {
    if !matches!(call.state, State::Fresh | State::Over) {
        return Action::Wait;
    }
    *call = Call::new(Ask::default());
    call.begin(house, now)
}
