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
    let plan = Plan { retry: retry(3), attempt: Some(100 * MS), ..Plan::default() };
    let house = house(breaker(), plan);
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
    for (limited, answered, overran) in [
        (Plan { attempt: Some(100 * MS), ..Plan::default() }, 99, 0),
        (Plan { attempt: Some(100 * MS), ..Plan::default() }, 100, 0),
        (Plan { attempt: Some(100 * MS), ..Plan::default() }, 101, 1),
        (Plan { deadline: Some(50 * MS), ..Plan::default() }, 50, 0),
        (Plan { deadline: Some(50 * MS), ..Plan::default() }, 51, 1),
        (Plan::default(), 1_000_000, 0),
    ] {
        let house = house(breaker(), limited);
        for calls in 1..=2 {
            let mut call = Call::new(Ask::default());
            assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
            let _ = call.on(&house, ended(1, Verdict::SUCCESS), at(answered));
            let counts = house.machines.borrow().counts;
            assert_eq!(counts.overran, overran * calls, "answered after {answered} ms");
        }
    }
}
