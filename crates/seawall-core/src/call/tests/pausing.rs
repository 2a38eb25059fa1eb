//! Between two attempts: what is paid, and that nothing is sent before its time.

use super::*;

#[test]
fn a_timer_that_fires_early_sends_nothing_before_the_callees_hint() {
    for hint in [MS, 7_000 * MS, 7_000 * MS + Duration::from_nanos(1)] {
        let house = house(breaker(), Plan { retry: retry(3), ..Plan::default() });
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
        let later = Verdict::LATER.after(Some(hint));
        assert_eq!(call.on(&house, ended(1, later), at(2)), Action::Wait);
        let due = call.wake_at();
        assert!(due >= at(2) + hint, "{due:?}");
        let before = |nanos| Instant::from_nanos(due.as_nanos() - nanos);
        // A coarse timer, or one that rounds down to its grain; a clock that steps back as well.
        for early in [at(0), at(2), before(1_000_000), before(1)] {
            assert_eq!(call.on(&house, Event::Tick, early), Action::Wait, "{early:?}");
            assert_eq!(call.wake_at(), due, "and it is to be woken again");
        }
        assert_eq!(call.on(&house, Event::Tick, due), Action::Start { attempt: 2 });
    }
}

#[test]
fn a_retry_may_start_at_max_elapsed_and_not_after_it() {
    for (elapsed, ends) in [(11, false), (10, true)] {
        let config = RetryConfig {
            base_delay: 10 * MS,
            max_elapsed: Some(MS * elapsed),
            jitter: crate::Jitter::Fraction(Ratio::ZERO),
            ..RetryConfig::default()
        };
        let house = house(breaker(), Plan { retry: Retry::new(&config).ok(), ..Plan::default() });
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
        let action = call.on(&house, ended(1, Verdict::FAILURE), at(1));
        let stopped = Stopped::MaxElapsed;
        let over = Action::Done(Finish::Answer { attempt: 1, stopped });
        assert_eq!(action, if ends { over } else { Action::Wait });
    }
}

#[test]
fn retries_that_still_wait_are_paid_already() {
    let house = house(None, Plan { retry: retry(3), ..Plan::default() });
    let mut calls: Vec<_> = (0..100).map(|_| Call::new(Ask::default())).collect();
    for call in &mut calls {
        assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    }
    // All fail in one moment: had the sleepers not paid, every one of them would come back.
    let failed = calls.iter_mut().map(|call| call.on(&house, ended(1, Verdict::FAILURE), at(1)));
    let waiting = failed.filter(|action| *action == Action::Wait).count();
    assert_eq!(waiting, 13, "a tenth of a hundred, and three");
    let paid = |house: &House<Option<CircuitBreaker>>| {
        house.machines.borrow().budget.as_ref().unwrap().snapshot().retries
    };
    assert_eq!((paid(&house), house.machines.borrow().counts.attempts.started), (13, 100));
    // Who leaves during the pause has sent nothing.
    calls.iter_mut().for_each(|call| call.abandon(&house, at(2), false));
    assert_eq!(paid(&house), 0);
}

#[test]
fn a_free_retry_is_paid_for_after_all_if_there_is_no_elsewhere_any_more() {
    for (credit, starts) in [(1, true), (0, false)] {
        let plan = Plan { retry: retry(1), free_if_unreached: true, ..Plan::default() };
        let house = house(picker(2), plan);
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
        assert_eq!(call.on(&house, ended(1, Verdict::UNREACHED), at(1)), Action::Wait);
        let tried = [call.picked(1)];
        house.visit(at(2), |parts| {
            // The other one opens while it waits.
            for _ in 0..5 {
                let (pick, permit) = parts.gate.admit(&tried, at(2), || Draw::new(0)).unwrap();
                parts.gate.report(pick, permit, End::new(Outcome::Failure, MS), at(2));
                parts.gate.leave(pick);
            }
            let budget = parts.budget.expect("retries are paid for");
            (credit..3).for_each(|_| assert!(budget.charge(at(2))));
        });
        let action = call.on(&house, Event::Tick, call.wake_at());
        assert_eq!(action == Action::Start { attempt: 2 }, starts, "{action:?}");
        let paid = house.machines.borrow().budget.as_ref().unwrap().snapshot().retries;
        assert_eq!(paid, 3, "by this call or by those before it");
    }
}
