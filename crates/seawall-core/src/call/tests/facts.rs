//! What a call tells of itself, and what it does not listen to.

use super::*;

#[test]
fn it_knows_whether_it_is_over_and_which_attempt_runs() {
    let house = house(breaker(), Plan { retry: retry(1), ..Plan::default() });
    let mut call = Call::new(Ask::default());
    let told = |call: &Call<()>| (call.is_over(), call.attempt(), call.picked(call.attempt()));
    assert_eq!(told(&call), (true, 0, None), "not begun");
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    assert_eq!(told(&call), (false, 1, Some(())));
    assert_eq!(call.on(&house, ended(1, Verdict::FAILURE), at(1)), Action::Wait);
    assert_eq!(told(&call), (false, 1, Some(())), "it pauses");
    assert_eq!(call.on(&house, Event::Tick, call.wake_at()), Action::Start { attempt: 2 });
    assert_eq!(told(&call), (false, 2, Some(())));
    let head = Event::Head { attempt: 2, verdict: Verdict::SUCCESS };
    assert!(matches!(call.on(&house, head, at(90)), Action::Done(_)));
    assert_eq!(told(&call), (false, 2, Some(())), "its answer flows");
    assert_eq!(call.on(&house, ended(2, Verdict::SUCCESS), at(91)), Action::Wait);
    assert_eq!(told(&call), (true, 2, Some(())));
}

#[test]
fn news_of_another_attempt_changes_nothing() {
    let plan = Plan { retry: retry(3), ..Plan::default() };
    let house = limited(house(breaker(), plan), 100 * MS);
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    for other in [0, 2, 255] {
        let head = Event::Head { attempt: other, verdict: Verdict::SUCCESS };
        for news in [head, ended(other, Verdict::SUCCESS), Event::Cancelled { attempt: other }] {
            assert_eq!(call.on(&house, news, at(1)), Action::Wait);
        }
    }
    let cut = call.on(&house, Event::Tick, at(100));
    assert!(matches!(cut, Action::Cancel { attempt: 1, .. }), "it still runs: {cut:?}");
    assert_eq!(call.on(&house, Event::Cancelled { attempt: 2 }, at(100)), Action::Wait);
    assert_eq!(house.machines.borrow().counts.attempts.in_flight(), 1, "it is not gone yet");
    assert_eq!(call.on(&house, Event::Cancelled { attempt: 1 }, at(100)), Action::Wait);
    assert_eq!(house.machines.borrow().counts.attempts.in_flight(), 0);
    assert!(call.wake_at() > at(100), "and it pauses");
}

#[test]
fn the_last_four_picks_are_those_that_were_made() {
    let house = house(picker(9), Plan { retry: retry(9), ..Plan::default() });
    house.machines.borrow_mut().budget = None;
    let mut call = Call::new(Ask::default());
    let mut now = at(0);
    let mut action = call.begin(&house, now);
    let mut picks = Vec::new();
    while let Action::Start { attempt } = action {
        picks.push(call.picked(attempt).unwrap());
        for (made, pick) in picks.iter().enumerate() {
            let age = picks.len() - 1 - made;
            assert_eq!(call.picked(made as u8 + 1), (age < 4).then_some(*pick));
        }
        assert_eq!(call.on(&house, ended(attempt, Verdict::LATER), now), Action::Wait);
        now = call.wake_at();
        action = if attempt < 9 { call.on(&house, Event::Tick, now) } else { Action::Wait };
    }
    let different: alloc::collections::BTreeSet<_> = picks.iter().collect();
    assert!(picks.len() == 9 && different.len() > 4, "{picks:?}");
}

#[test]
fn an_answer_after_its_limit_is_an_overrun_and_one_at_it_is_not() {
    for (house, answered, overran) in [
        (limited(house(breaker(), Plan::default()), 100 * MS), 99, 0),
        (limited(house(breaker(), Plan::default()), 100 * MS), 100, 0),
        (limited(house(breaker(), Plan::default()), 100 * MS), 101, 1),
        (house(breaker(), Plan { deadline: Some(50 * MS), ..Plan::default() }), 50, 0),
        (house(breaker(), Plan { deadline: Some(50 * MS), ..Plan::default() }), 51, 1),
        (house(breaker(), Plan::default()), 1_000_000, 0),
    ] {
        for calls in 1..=2 {
            let mut call = Call::new(Ask::default());
            assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
            let _ = call.on(&house, ended(1, Verdict::SUCCESS), at(answered));
            let counts = house.machines.borrow().counts;
            assert_eq!(counts.overran, overran * calls, "answered after {answered} ms");
        }
    }
}

#[test]
fn a_limit_is_called_by_its_name() {
    let limits = [Limit::Attempt, Limit::Learned, Limit::Deadline, Limit::Connect, Limit::Read];
    let names = ["attempt limit", "learned limit", "deadline", "connect limit", "read limit"];
    assert_eq!(limits.map(Limit::name), names);
    assert_eq!(limits.map(|limit| alloc::format!("{limit}")), names);
}

#[test]
fn an_end_says_why_no_other_attempt_followed_if_one_ran() {
    let stopped = Stopped::MaxRetries;
    let refusal = Refusal::new(Pattern::Bulkhead, Reason::Full);
    assert_eq!(Finish::Answer { attempt: 2, stopped }.stopped(), Some(stopped));
    assert_eq!(Finish::TimedOut { limit: Limit::Read, stopped }.stopped(), Some(stopped));
    assert_eq!(Finish::Refused(refusal).stopped(), None);
}

#[test]
fn it_knows_when_the_attempt_that_runs_started() {
    let plan = Plan { retry: retry(1), ..Plan::default() };
    let house = limited(house(breaker(), plan), 50 * MS);
    let mut call = Call::new(Ask::default());
    assert_eq!(call.started(), None);
    assert!(call.is_fresh());
    assert_eq!(call.begin(&house, at(7)), Action::Start { attempt: 1 });
    assert_eq!((call.started(), call.is_fresh()), (Some(at(7)), false));
    assert!(matches!(call.on(&house, Event::Tick, at(57)), Action::Cancel { .. }));
    assert_eq!(call.started(), Some(at(7)), "it is not gone yet");
    assert_eq!(call.on(&house, Event::Cancelled { attempt: 1 }, at(57)), Action::Wait);
    assert_eq!(call.started(), None, "it pauses");
}

#[test]
fn each_retry_waits_as_long_as_its_number_says() {
    let config = RetryConfig {
        base_delay: 10 * MS,
        jitter: crate::Jitter::Fraction(Ratio::ZERO),
        ..RetryConfig::default()
    };
    let house = house(breaker(), Plan { retry: Retry::new(&config).ok(), ..Plan::default() });
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    for (attempt, wakes) in [(1, 10), (2, 30), (3, 70)] {
        let now = at([0, 10, 30][usize::from(attempt) - 1]);
        assert_eq!(call.on(&house, ended(attempt, Verdict::FAILURE), now), Action::Wait);
        assert_eq!(call.wake_at(), at(wakes));
        let next = call.on(&house, Event::Tick, at(wakes));
        assert_eq!(next, Action::Start { attempt: attempt + 1 });
    }
}

#[test]
fn five_milliseconds_late_is_late_and_more_is_our_own_fault() {
    let nano = Duration::from_nanos(1);
    for (late, moves) in [(Duration::ZERO, false), (5 * MS, false), (5 * MS + nano, true)] {
        let house = limited(house(breaker(), Plan::default()), 100 * MS);
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
        let now = at(100) + late;
        let action = call.on(&house, Event::Tick, now);
        assert_eq!(action == Action::Wait, moves, "{late:?} late: {action:?}");
        assert_eq!(call.wake_at(), if moves { now + late } else { Instant::NEVER });
    }
}

#[test]
fn what_we_were_late_is_given_again_and_no_more_than_the_limit_was() {
    for (late, again) in [(6, 6), (100, 100), (101, 100), (60_000, 100)] {
        let house = limited(house(breaker(), Plan::default()), 100 * MS);
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(7)), Action::Start { attempt: 1 });
        assert_eq!(call.on(&house, Event::Tick, at(107 + late)), Action::Wait);
        assert_eq!(call.wake_at(), at(107 + late + again), "{late} ms late");
        let cut = Action::Cancel { attempt: 1, limit: Limit::Attempt };
        assert_eq!(call.on(&house, Event::Tick, at(107 + late + again)), cut);
    }
}

#[test]
fn an_ordinary_attempt_whose_caller_is_slow_to_send_still_answers_for_its_callee() {
    let one = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
    let gate = Some(CircuitBreaker::new(&one).unwrap());
    let house = limited(house(gate, Plan::default()), 100 * MS);
    house.owed_since.set(None);
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    assert_eq!(call.on(&house, Event::Tick, at(100)), Action::Wait);
    house.owed_since.set(Some(at(120)));
    assert!(matches!(call.on(&house, ended(1, Verdict::FAILURE), at(130)), Action::Done(_)));
    assert_eq!(phase(&house), Some(Phase::Open));
}

#[test]
fn a_place_knows_whether_anybody_waits_and_who() {
    let house = house(breaker(), Plan::default());
    let narrow = BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() };
    house.machines.borrow_mut().bulkhead = Bulkhead::new(&narrow).ok();
    let asked = || house.visit(at(0), |parts| parts.is_asked());
    let waits = |place| {
        [Line::Bulkhead, Line::RateLimit]
            .map(|line| house.visit(at(0), |parts| parts.waits(line, place)))
    };
    let mut calls = [Call::new(Ask::default()), Call::new(Ask::default())];
    assert_eq!(calls[0].begin(&house, at(0)), Action::Start { attempt: 1 });
    assert_eq!((asked(), waits(0)), (false, [false, false]), "a place is taken, and nobody waits");
    assert_eq!(calls[1].begin(&house, at(0)), Action::Wait);
    let (line, place) = calls[1].queued().unwrap();
    assert_eq!((line, asked(), waits(place)), (Line::Bulkhead, true, [true, false]));
    assert!(matches!(calls[0].on(&house, ended(1, Verdict::SUCCESS), at(0)), Action::Done(_)));
    assert_eq!(waits(place), [false, false], "it is called up");
    assert_eq!(calls[1].on(&house, Event::Woken, at(0)), Action::Start { attempt: 1 });
    assert!(!asked());
}

#[test]
fn what_is_cut_counts_as_slower_than_that() {
    let plan = Plan { deadline: Some(60 * MS), ..Plan::default() };
    let house = learned(breaker(), plan);
    let slowest = || house.machines.borrow().timeout.as_ref().map(|it| it.snapshot().p99);
    assert!(slowest().flatten().is_some_and(|p99| p99 < 11 * MS));
    for n in 0..3 {
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(500 + n)), Action::Start { attempt: 1 });
        let cut = call.on(&house, Event::Tick, call.wake_at());
        assert!(matches!(cut, Action::Cancel { limit: Limit::Deadline, .. }));
        let _ = call.on(&house, Event::Cancelled { attempt: 1 }, at(560 + n));
    }
    assert!(slowest().flatten().is_none_or(|p99| p99 > 50 * MS), "{:?}", slowest());
}

#[test]
fn the_learned_limit_does_not_fall_while_the_breaker_is_not_closed() {
    for calm in [true, false] {
        let house = learned(breaker(), Plan::default());
        let limit = || {
            let machines = house.machines.borrow();
            machines.timeout.as_ref().and_then(AdaptiveTimeout::learned).unwrap()
        };
        let before = limit();
        if !calm {
            let said = crate::Override::closed("test");
            house.visit(at(900), |parts| {
                parts.gate.as_mut().and_then(|gate| gate.force(said, at(900)))
            });
        }
        for n in 0..20 {
            for _ in 0..100 {
                drive(&house, Ask::default(), at(1_000 + n * 1_000), MS, Verdict::SUCCESS);
            }
        }
        assert_eq!(limit() < before, calm, "{before:?}, then {:?}", limit());
    }
}

#[test]
fn where_the_learned_limit_is_all_there_is_it_cuts() {
    let house = learned(breaker(), Plan { enforces_learned: true, ..Plan::default() });
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(500)), Action::Start { attempt: 1 });
    let now = call.wake_at();
    assert!(now < at(520), "{now:?}");
    let cut = call.on(&house, Event::Tick, now);
    assert_eq!(cut, Action::Cancel { attempt: 1, limit: Limit::Learned });
    assert_eq!(call.started(), Some(at(500)), "it is not gone yet");
    let end = Finish::TimedOut { limit: Limit::Learned, stopped: Stopped::NoRetry };
    assert_eq!(call.on(&house, Event::Cancelled { attempt: 1 }, now), Action::Done(end));
}

#[test]
fn an_attempt_cut_for_another_still_runs_until_it_is_gone() {
    let house = learned(breaker(), Plan { retry: retry(1), ..Plan::default() });
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(500)), Action::Start { attempt: 1 });
    let now = call.wake_at();
    let cut = call.on(&house, Event::Tick, now);
    assert_eq!(cut, Action::Cancel { attempt: 1, limit: Limit::Learned });
    assert_eq!(call.started(), Some(at(500)));
    assert_eq!(call.on(&house, Event::Cancelled { attempt: 1 }, now), Action::Wait);
    assert_eq!(call.started(), None);
}

#[test]
fn where_timeouts_are_not_retried_the_first_is_the_last() {
    let plan = Plan { retry: retry(3), retry_timeouts: false, ..Plan::default() };
    let house = limited(house(breaker(), plan), 50 * MS);
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    assert!(matches!(call.on(&house, Event::Tick, at(50)), Action::Cancel { .. }));
    let end = Finish::TimedOut { limit: Limit::Attempt, stopped: Stopped::NotRetryable };
    assert_eq!(call.on(&house, Event::Cancelled { attempt: 1 }, at(50)), Action::Done(end));
}

#[test]
fn each_limit_has_words_of_its_own() {
    let limits = [Limit::Deadline, Limit::Attempt, Limit::Learned, Limit::Connect, Limit::Read];
    let mut words = limits.map(Limit::name);
    assert!(words.iter().all(|word| word.len() > 3));
    words.sort_unstable();
    assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
}

/// A place that says no more than it has to.
struct Bare(House<Option<CircuitBreaker>>);

impl Shared for Bare {
    type Gate = Option<CircuitBreaker>;

    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, Self::Gate>) -> R) -> R {
        self.0.visit(now, step)
    }

    fn draw(&self) -> Draw {
        self.0.draw()
    }
}

#[test]
fn a_reference_to_a_place_says_what_the_place_says() {
    fn told(place: impl Shared) -> (bool, Option<Instant>, bool) {
        (place.can_repeat(), place.owed_since(), place.has_begun())
    }
    let house = house(breaker(), Plan::default());
    for (repeatable, owed_since, begun) in [(true, Some(at(3)), true), (false, None, false)] {
        house.repeatable.set(repeatable);
        house.owed_since.set(owed_since);
        house.begun.set(begun);
        assert_eq!(told(&house), (repeatable, owed_since, begun));
    }
    // One that says nothing can repeat, and has sent all there is.
    assert_eq!(told(Bare(house)), (true, Some(Instant::ORIGIN), true));
}
