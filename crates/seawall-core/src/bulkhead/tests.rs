//! Timelines; the promises under any sequence are in `proofs`, the naive queue they are held against in `model`.

mod joining;
mod model;
mod proofs;

use alloc::vec::Vec;

use super::*;
use crate::{Pattern, Reason, Refusal, Ticket};
use Priority::{Background, Critical, High, Low, Normal};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn small(max_concurrent: u32, max_queue: u32) -> BulkheadConfig {
    BulkheadConfig { max_concurrent, max_queue, ..BulkheadConfig::default() }
}

fn bulkhead(config: &BulkheadConfig) -> Bulkhead {
    Bulkhead::new(config).unwrap()
}

fn go(bulkhead: &mut Bulkhead, class: Priority, now: Instant) -> Permit {
    match bulkhead.admit(class, Instant::NEVER, now) {
        Admission::Go(permit) => permit,
        other => panic!("{other:?}"),
    }
}

fn wait(bulkhead: &mut Bulkhead, class: Priority, now: Instant) -> Ticket {
    match bulkhead.admit(class, Instant::NEVER, now) {
        Admission::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

fn no(admission: Admission) -> Reason {
    match admission {
        Admission::No(refusal) => {
            assert_eq!(refusal.by, Pattern::Bulkhead);
            refusal.reason
        }
        other => panic!("{other:?}"),
    }
}

fn refused(bulkhead: &mut Bulkhead, class: Priority, now: Instant) -> Reason {
    no(bulkhead.admit(class, Instant::NEVER, now))
}

fn told(bulkhead: &mut Bulkhead, now: Instant) -> Vec<usize> {
    core::iter::from_fn(|| bulkhead.settle(now)).collect()
}

/// Places of one-place bulkheads, in the order in which waiters get it when each leaves at once.
fn order(
    bulkhead: &mut Bulkhead,
    permit: Permit,
    tickets: Vec<Ticket>,
    now: Instant,
) -> Vec<usize> {
    let mut tickets: Vec<_> = tickets.into_iter().map(Some).collect();
    let (mut permit, mut order) = (Some(permit), Vec::new());
    while let Some(held) = permit.take() {
        bulkhead.leave(held, Duration::ZERO);
        for place in told(bulkhead, now) {
            let find =
                |ticket: &Option<Ticket>| ticket.as_ref().is_some_and(|t| t.place() == place);
            let at = tickets.iter().position(find).unwrap();
            let Admission::Go(next) = bulkhead.claim(tickets[at].take().unwrap(), now) else {
                panic!("told, but not to go");
            };
            order.push(at);
            permit = Some(next);
        }
    }
    order
}

#[test]
fn settings_that_make_no_sense_are_told_all() {
    let mut found = Vec::new();
    let config = BulkheadConfig {
        max_concurrent: 3,
        max_wait: Duration::ZERO,
        max_run: Some(Duration::ZERO),
        priority: false,
        reserves: [u32::MAX; 5],
        pool_threads: Some(0),
        ..BulkheadConfig::default()
    };
    config.check(&mut |invalid| found.push(std::format!("{invalid}")));
    let expected = [
        "bulkhead.max_wait is 0s, expected more than 0s",
        "bulkhead.max_run is 0s, expected more than 0s, or none",
        "bulkhead.pool_threads is 0, expected at least 1",
        "bulkhead.reserves is 21474836475 together, expected at most max_concurrent, which is 3",
        "bulkhead.reserves is 21474836475 together, expected none where priority is off",
    ];
    assert_eq!(found, expected);
    assert_eq!(Bulkhead::new(&config).unwrap_err().field, "bulkhead.max_wait");
    let mut sound = bulkhead(&small(1, 0));
    assert_eq!(sound.reconfigure(&config, at(0)).unwrap_err().field, "bulkhead.max_wait");
    assert_eq!(sound.snapshot(), bulkhead(&small(1, 0)).snapshot(), "nothing has changed");
    let all = BulkheadConfig { reserves: [1, 1, 1, 0, 0], ..small(3, 0) };
    assert!(Bulkhead::new(&all).is_ok(), "all may be reserved");
}

#[test]
fn the_guides_settings_and_the_presets() {
    let all = [
        BulkheadConfig::default(),
        BulkheadConfig::database(),
        BulkheadConfig::llm(),
        BulkheadConfig::external_api(),
        BulkheadConfig::file_operations(),
    ];
    let seen = all.map(|config| {
        assert!(config.priority && config.reserves == [0; 5]);
        let made = bulkhead(&config);
        assert_eq!((made.max_run(), made.pool_threads()), (Some(config.max_wait), None));
        (config.max_concurrent, config.max_queue, config.max_wait.as_secs())
    });
    assert_eq!(seen, [(100, 200, 30), (20, 50, 30), (10, 100, 60), (15, 50, 30), (5, 20, 20)]);
    let threads = BulkheadConfig { pool_threads: Some(8), ..BulkheadConfig::default() };
    assert_eq!(bulkhead(&threads).pool_threads(), Some(8));
}

#[test]
fn f28_a_hundred_run_two_hundred_wait_and_the_next_is_refused() {
    let mut bulkhead = bulkhead(&BulkheadConfig { priority: false, ..BulkheadConfig::default() });
    let permits: Vec<_> = (0..100).map(|_| go(&mut bulkhead, Normal, at(0))).collect();
    let tickets: Vec<_> = (0..200).map(|_| wait(&mut bulkhead, Normal, at(0))).collect();
    let refusal = bulkhead.admit(Critical, Instant::NEVER, at(0));
    assert_eq!(
        refusal,
        Admission::No(Refusal::new(Pattern::Bulkhead, Reason::Full)),
        "and no time is named"
    );
    assert_eq!(told(&mut bulkhead, at(1)), []);
    permits.into_iter().for_each(|permit| bulkhead.leave(permit, SECOND));
    assert_eq!(told(&mut bulkhead, at(1)), (0..100).collect::<Vec<_>>());
    for (n, ticket) in tickets.into_iter().enumerate() {
        let claimed = bulkhead.claim(ticket, at(1));
        assert_eq!(matches!(claimed, Admission::Go(_)), n < 100, "{n}");
    }
    let seen = bulkhead.snapshot();
    assert_eq!((seen.running, seen.queued, seen.queued_by_class), (100, 100, [0, 0, 100, 0, 0]));
    assert_eq!((seen.refused, seen.completed, seen.admitted_by_class[2]), (1, 100, 200));
}

#[test]
fn nothing_at_once_or_nobody_waiting() {
    let mut none = bulkhead(&small(0, 200));
    assert_eq!(refused(&mut none, Critical, at(0)), Reason::TooLarge, "no time helps");
    let mut no_queue = bulkhead(&small(1, 0));
    let permit = go(&mut no_queue, Normal, at(0));
    assert_eq!(refused(&mut no_queue, Critical, at(0)), Reason::Full);
    no_queue.leave(permit, SECOND);
    let _again = go(&mut no_queue, Background, at(0));
    assert_eq!(no_queue.snapshot().refused, 1);
}

#[test]
fn the_urgent_first_but_the_old_before_them() {
    let mut bulkhead = bulkhead(&small(1, 200));
    let permit = go(&mut bulkhead, Normal, at(0));
    let tickets = [(Background, 0), (Low, 5), (Normal, 6), (Critical, 7), (Normal, 7), (High, 8)];
    let tickets = tickets.map(|(class, from)| wait(&mut bulkhead, class, at(from)));
    // At 20 s those of 0 and of 5 have waited half of 30 s: the oldest first; then by class, then by age.
    let order = order(&mut bulkhead, permit, tickets.into(), at(20));
    assert_eq!(order, [0, 1, 3, 5, 2, 4]);
}

#[test]
fn without_priority_there_is_one_line() {
    let mut bulkhead = bulkhead(&BulkheadConfig { priority: false, ..small(1, 3) });
    let permit = go(&mut bulkhead, Normal, at(0));
    let tickets = [Background, Low, Critical].map(|class| wait(&mut bulkhead, class, at(0)));
    assert_eq!(refused(&mut bulkhead, Critical, at(0)), Reason::Full, "nobody is displaced");
    assert_eq!(bulkhead.snapshot().queued_by_class, [1, 0, 0, 1, 1]);
    assert_eq!(order(&mut bulkhead, permit, tickets.into(), at(0)), [0, 1, 2]);
}

#[test]
fn every_class_keeps_one_place_in_a_queue_of_five() {
    let mut bulkhead = bulkhead(&small(1, 5));
    let _permit = go(&mut bulkhead, Normal, at(0));
    let _critical = wait(&mut bulkhead, Critical, at(0));
    assert_eq!(refused(&mut bulkhead, Critical, at(0)), Reason::Full);
    for class in [Background, Low, High, Normal] {
        let _ticket = wait(&mut bulkhead, class, at(0));
        assert_eq!(refused(&mut bulkhead, class, at(0)), Reason::Full);
    }
    assert_eq!(bulkhead.snapshot().queued_by_class, [1; 5]);
}

#[test]
fn a_full_queue_displaces_the_youngest_of_the_least_urgent_that_has_more_than_one() {
    let mut bulkhead = bulkhead(&small(1, 8));
    let _permit = go(&mut bulkhead, Normal, at(0));
    let classes = [Background, Background, Low, Low, Low, Normal];
    let tickets = classes.map(|class| wait(&mut bulkhead, class, at(0)));
    assert_eq!(refused(&mut bulkhead, Background, at(0)), Reason::Full, "two places are kept");
    // The younger of the background; then that class has one left, and the low are next.
    for youngest in [1, 4] {
        let _normal = wait(&mut bulkhead, Normal, at(0));
        assert_eq!(told(&mut bulkhead, at(0)), [youngest]);
    }
    assert_eq!(refused(&mut bulkhead, Low, at(0)), Reason::Full, "its own class makes no room");
    let displaced = tickets.map(|ticket| match bulkhead.claim(ticket, at(0)) {
        Admission::No(refusal) => refusal.reason == Reason::Displaced,
        Admission::Go(_) | Admission::Wait(_) => false,
    });
    assert_eq!(displaced, [false, true, false, false, true, false]);
    assert_eq!(bulkhead.snapshot().queued_by_class, [0, 0, 3, 2, 1]);
    assert_eq!((bulkhead.snapshot().displaced, bulkhead.snapshot().refused), (2, 4));
    // The only one of its class stays, however little urgent.
    let mut two = Bulkhead::new(&small(1, 1)).unwrap();
    let _permit = go(&mut two, Normal, at(0));
    let _background = wait(&mut two, Background, at(0));
    assert_eq!(refused(&mut two, Critical, at(0)), Reason::Full);
}

#[test]
fn reserves_are_left_alone_until_they_are_used() {
    let config = BulkheadConfig { reserves: [1, 1, 0, 0, 0], ..small(4, 10) };
    let mut bulkhead = bulkhead(&config);
    let _first = go(&mut bulkhead, Normal, at(0));
    let second = go(&mut bulkhead, Normal, at(0));
    let normal = wait(&mut bulkhead, Normal, at(0));
    let critical = go(&mut bulkhead, Critical, at(0)); // though a normal one waits
    let urgent = wait(&mut bulkhead, Critical, at(0)); // the last place is reserved for another
    let _high = go(&mut bulkhead, High, at(0));
    bulkhead.leave(critical, SECOND);
    assert_eq!(told(&mut bulkhead, at(0)), [urgent.place()], "reserved for it");
    let _urgent = bulkhead.claim(urgent, at(0));
    bulkhead.leave(second, SECOND);
    assert_eq!(told(&mut bulkhead, at(0)), [normal.place()]);
}

#[test]
fn who_never_can_start_is_refused_at_once() {
    let config = BulkheadConfig { reserves: [1, 1, 0, 0, 0], ..small(2, 10) };
    let mut bulkhead = bulkhead(&config);
    assert_eq!(refused(&mut bulkhead, Normal, at(0)), Reason::TooLarge);
    let _critical = go(&mut bulkhead, Critical, at(0));
    let _waits = wait(&mut bulkhead, Critical, at(0));
}

#[test]
fn a_wait_ends_at_max_wait_or_at_the_deadline_and_not_later() {
    let mut bulkhead = bulkhead(&small(1, 10));
    let permit = go(&mut bulkhead, Normal, at(0));
    let usual = wait(&mut bulkhead, Normal, at(0));
    let Admission::Wait(short) = bulkhead.admit(Normal, at(7), at(1)) else { panic!() };
    let Admission::Wait(same) = bulkhead.admit(Normal, at(33), at(3)) else { panic!() };
    assert_eq!(no(bulkhead.admit(Normal, at(3), at(3))), Reason::TooLate, "before it waits");
    assert_eq!(bulkhead.wake_at(), Some(at(7)));
    assert_eq!(told(&mut bulkhead, at(7)), [short.place()]);
    assert_eq!(bulkhead.wake_at(), Some(at(30)));
    // A place that frees at the very end is too late.
    bulkhead.leave(permit, SECOND);
    assert_eq!(told(&mut bulkhead, at(33)), [usual.place(), same.place()]);
    assert_eq!(no(bulkhead.claim(short, at(40))), Reason::TooLate);
    assert_eq!(no(bulkhead.claim(usual, at(40))), Reason::WaitOver);
    assert_eq!(no(bulkhead.claim(same, at(40))), Reason::TooLate);
    let seen = bulkhead.snapshot();
    assert_eq!((seen.waits_over, seen.refused, seen.running, seen.queued), (4, 4, 0, 0));
    assert_eq!(bulkhead.wake_at(), None);
}

#[test]
fn a_turn_that_came_in_time_is_kept_though_the_waiter_looks_late() {
    let mut bulkhead = bulkhead(&small(1, 10));
    let permit = go(&mut bulkhead, Normal, at(0));
    let ticket = wait(&mut bulkhead, Normal, at(0));
    bulkhead.leave(permit, SECOND);
    assert_eq!(told(&mut bulkhead, at(29)), [0]);
    assert!(matches!(bulkhead.claim(ticket, at(31)), Admission::Go(_)));
}

#[test]
fn who_looks_before_it_is_told_is_not_told_again() {
    let mut bulkhead = bulkhead(&small(1, 10));
    let permit = go(&mut bulkhead, Normal, at(0));
    let [first, second] = [Normal, Normal].map(|class| wait(&mut bulkhead, class, at(0)));
    let Admission::Wait(second) = bulkhead.claim(second, at(0)) else { panic!("not its turn") };
    bulkhead.leave(permit, SECOND);
    let Admission::Go(permit) = bulkhead.claim(first, at(1)) else { panic!("its turn") };
    assert_eq!(told(&mut bulkhead, at(1)), []);
    bulkhead.leave(permit, SECOND);
    assert_eq!(told(&mut bulkhead, at(2)), [second.place()]);
}

#[test]
fn whether_anybody_asks_and_who_still_waits() {
    let mut bulkhead = bulkhead(&small(1, 10));
    let asked = |bulkhead: &Bulkhead| (bulkhead.is_asked(), bulkhead.waits(0), bulkhead.waits(1));
    assert_eq!(asked(&bulkhead), (false, false, false));
    let permit = go(&mut bulkhead, Normal, at(0));
    assert_eq!(asked(&bulkhead), (false, false, false), "who runs does not ask");
    let [first, second] = [Normal, Normal].map(|class| wait(&mut bulkhead, class, at(0)));
    assert_eq!(asked(&bulkhead), (true, true, true));
    bulkhead.leave(permit, SECOND);
    assert!(matches!(bulkhead.claim(first, at(0)), Admission::Go(_)));
    assert_eq!(asked(&bulkhead), (true, false, true));
    assert_eq!(bulkhead.settle(at(30)), Some(1), "its wait is over");
    assert_eq!(asked(&bulkhead), (false, false, false), "it was told, and may look later");
    assert_eq!(no(bulkhead.claim(second, at(30))), Reason::WaitOver);
    let ticket = wait(&mut bulkhead, Normal, at(30));
    bulkhead.end_waits(at(60));
    assert_eq!(asked(&bulkhead), (true, false, false), "nobody waits, but one is to be told");
    bulkhead.abandon(ticket);
    assert!(!bulkhead.is_asked());
}

#[test]
fn who_does_not_run_after_all_leaves_its_place_and_no_trace_of_a_run() {
    let mut bulkhead = bulkhead(&small(1, 10));
    let permit = go(&mut bulkhead, High, at(0));
    bulkhead.withdraw(permit);
    let seen = bulkhead.snapshot();
    assert_eq!((seen.running, seen.completed, bulkhead.run_time), (0, 0, 0));
    let _next = go(&mut bulkhead, Low, at(0));
}

#[test]
fn who_cannot_be_served_in_time_is_refused_at_once() {
    let mut bulkhead = bulkhead(&small(2, 100));
    for n in 0..20 {
        let permit = go(&mut bulkhead, Normal, at(0));
        bulkhead.leave(permit, 4 * SECOND);
        assert_eq!(bulkhead.expected_wait(Normal), Duration::ZERO, "nobody waits, {n}");
    }
    let _permits = [(); 2].map(|()| go(&mut bulkhead, Normal, at(0)));
    // 4 s each, two at a time, known to 7 %: fifteen ahead take 28 s, seventeen more than 30 s.
    let tickets: Vec<_> = (0..17).map(|_| wait(&mut bulkhead, Normal, at(0))).collect();
    let Admission::No(refusal) = bulkhead.admit(Normal, Instant::NEVER, at(0)) else { panic!() };
    let after = refusal.retry_after.unwrap();
    assert_eq!(refusal.reason, Reason::Hopeless);
    assert!(after > 30 * SECOND && after < 34 * SECOND, "{after:?}");
    assert_eq!(no(bulkhead.admit(Normal, at(20), at(0))), Reason::Hopeless, "by its deadline");
    assert_eq!(refused(&mut bulkhead, Background, at(0)), Reason::Hopeless);
    let _urgent = wait(&mut bulkhead, High, at(0));
    assert_eq!((bulkhead.snapshot().hopeless, tickets.len()), (3, 17));
}

#[test]
fn who_would_be_served_at_the_very_end_has_hope() {
    let mut bulkhead = bulkhead(&small(1, 100));
    for _ in 0..20 {
        let permit = go(&mut bulkhead, Normal, at(0));
        bulkhead.leave(permit, SECOND);
    }
    let _permit = go(&mut bulkhead, Normal, at(0));
    let _first = wait(&mut bulkhead, Normal, at(0));
    let expected = bulkhead.expected_wait(Normal);
    assert!(expected > SECOND * 9 / 10 && expected <= SECOND, "{expected:?}");
    let too_soon = at(0) + (expected - Duration::from_nanos(1));
    assert_eq!(no(bulkhead.admit(Normal, too_soon, at(0))), Reason::Hopeless);
    assert!(matches!(bulkhead.admit(Normal, at(0) + expected, at(0)), Admission::Wait(_)));
}

#[test]
fn hope_is_judged_by_the_places_that_others_leave() {
    let config = BulkheadConfig {
        max_concurrent: 10,
        max_run: None,
        reserves: [0, 6, 0, 3, 0],
        ..small(10, 100)
    };
    let mut bulkhead = bulkhead(&config);
    for _ in 0..20 {
        let permit = go(&mut bulkhead, Normal, at(0));
        bulkhead.leave(permit, 4 * SECOND);
    }
    let run_time = bulkhead.run_time >> DECAY_SHIFT;
    let _one = go(&mut bulkhead, Critical, at(0));
    let _high: Vec<_> = (0..6).map(|_| go(&mut bulkhead, High, at(0))).collect();
    let waits = [(Critical, 1), (High, 2), (Normal, 3)];
    let _tickets: Vec<_> = waits
        .iter()
        .flat_map(|&(class, times)| core::iter::repeat_n(class, times))
        .map(|class| wait(&mut bulkhead, class, at(0)))
        .collect();
    // Who waits as normal has the one place that nobody has reserved; for high there are seven, with low three more.
    for (class, ahead, places) in
        [(Critical, 1, 1), (High, 3, 7), (Normal, 3, 1), (Low, 3, 4), (Background, 3, 4)]
    {
        let expected = Duration::from_nanos(run_time * ahead / places);
        assert_eq!(bulkhead.expected_wait(class), expected, "{class:?}");
    }
}

#[test]
fn hope_is_not_judged_before_twenty_have_completed() {
    let mut bulkhead = bulkhead(&small(1, 100));
    for _ in 0..19 {
        let permit = go(&mut bulkhead, Normal, at(0));
        bulkhead.leave(permit, Duration::MAX);
    }
    let permit = go(&mut bulkhead, Normal, at(0));
    let [first, second] = [Normal, Normal].map(|class| wait(&mut bulkhead, class, at(0)));
    bulkhead.leave(permit, Duration::MAX);
    bulkhead.abandon(first);
    assert_eq!(told(&mut bulkhead, at(0)), [second.place()]);
    let _next = wait(&mut bulkhead, Normal, at(0));
    assert_eq!(refused(&mut bulkhead, Normal, at(0)), Reason::Hopeless, "and nothing overflows");
}

#[test]
fn a_cancelled_waiter_passes_its_place_on_granted_or_not() {
    let mut bulkhead = bulkhead(&small(1, 10));
    let permit = go(&mut bulkhead, Normal, at(0));
    let [first, second, third] =
        [Normal, Normal, Normal].map(|class| wait(&mut bulkhead, class, at(0)));
    bulkhead.abandon(first);
    bulkhead.leave(permit, SECOND);
    assert_eq!(told(&mut bulkhead, at(1)), [second.place()]);
    bulkhead.abandon(second);
    assert_eq!(told(&mut bulkhead, at(1)), [third.place()]);
    assert!(matches!(bulkhead.claim(third, at(1)), Admission::Go(_)));
    let seen = bulkhead.snapshot();
    assert_eq!((seen.abandoned, seen.refused, seen.running), (2, 0, 1));
}

#[test]
fn a_ticket_used_twice_does_no_harm() {
    let mut bulkhead = bulkhead(&small(1, 10));
    let permit = go(&mut bulkhead, Normal, at(0));
    let old = wait(&mut bulkhead, Normal, at(0));
    let copy = || Ticket::new(0, 0);
    bulkhead.abandon(old);
    let new = wait(&mut bulkhead, Normal, at(0));
    assert_eq!((new.place(), new.generation()), (0, 1), "the place is used again");
    bulkhead.abandon(copy());
    assert_eq!(no(bulkhead.claim(copy(), at(0))), Reason::WaitOver);
    assert_eq!(no(bulkhead.claim(Ticket::new(0, 77), at(0))), Reason::WaitOver);
    bulkhead.leave(permit, SECOND);
    assert_eq!(told(&mut bulkhead, at(0)), [new.place()]);
    bulkhead.abandon(copy());
    assert!(matches!(bulkhead.claim(new, at(0)), Admission::Go(_)));
    assert_eq!(bulkhead.snapshot().abandoned, 1);
}

#[test]
fn on_a_clock_that_steps_back_no_time_passes() {
    let mut bulkhead = bulkhead(&small(1, 10));
    let permit = go(&mut bulkhead, Normal, at(50));
    let old = wait(&mut bulkhead, Background, at(50));
    let young = wait(&mut bulkhead, Critical, at(40));
    assert_eq!(bulkhead.wake_at(), Some(at(80)), "both came at 50");
    assert_eq!(told(&mut bulkhead, at(0)), []);
    bulkhead.leave(permit, SECOND);
    assert_eq!(told(&mut bulkhead, at(30)), [young.place()]);
    assert_eq!(told(&mut bulkhead, at(80)), [old.place()]);
}

#[test]
fn a_lower_limit_is_reached_as_calls_end() {
    let mut bulkhead = bulkhead(&small(3, 10));
    let permits = [(); 3].map(|()| go(&mut bulkhead, Normal, at(0)));
    let ticket = wait(&mut bulkhead, Normal, at(0));
    bulkhead.reconfigure(&small(1, 10), at(0)).unwrap();
    assert_eq!((bulkhead.snapshot().running, bulkhead.snapshot().max_concurrent), (3, 1));
    let mut told_when = Vec::new();
    for permit in permits {
        bulkhead.leave(permit, SECOND);
        told_when.push(told(&mut bulkhead, at(1)).len());
    }
    assert_eq!(told_when, [0, 0, 1]);
    let _next = wait(&mut bulkhead, Normal, at(1));
    bulkhead.reconfigure(&small(2, 10), at(1)).unwrap();
    assert_eq!(told(&mut bulkhead, at(1)), [1], "and a higher one lets waiters in");
    assert!(matches!(bulkhead.claim(ticket, at(1)), Admission::Go(_)));
}

#[test]
fn a_shorter_queue_refuses_the_least_urgent_and_of_them_the_youngest() {
    let mut bulkhead = bulkhead(&small(1, 20));
    let _permit = go(&mut bulkhead, Normal, at(0));
    let classes = [Background, Background, Low, Low, Low, Critical, Critical];
    let tickets = classes.map(|class| wait(&mut bulkhead, class, at(0)));
    bulkhead.reconfigure(&small(1, 5), at(0)).unwrap();
    assert_eq!(told(&mut bulkhead, at(0)), [1, 4], "each class keeps one");
    bulkhead.reconfigure(&small(1, 2), at(0)).unwrap();
    assert_eq!(told(&mut bulkhead, at(0)), [0, 3, 2]);
    bulkhead.reconfigure(&small(0, 2), at(0)).unwrap();
    assert_eq!(
        told(&mut bulkhead, at(0)),
        [5, 6].map(|n| tickets[n].place()).into_iter().rev().collect::<Vec<_>>()
    );
    for (n, ticket) in tickets.into_iter().enumerate() {
        let reason = if n < 5 { Reason::Full } else { Reason::TooLarge };
        assert_eq!(no(bulkhead.claim(ticket, at(0))), reason);
    }
}

#[test]
fn other_waits_and_another_order_apply_to_those_who_wait() {
    let mut bulkhead = bulkhead(&small(1, 20));
    let permit = go(&mut bulkhead, Normal, at(0));
    let tickets = [(Low, 0), (Background, 1), (Critical, 2)]
        .map(|(class, from)| wait(&mut bulkhead, class, at(from)));
    let line = BulkheadConfig { priority: false, max_wait: 100 * SECOND, ..small(1, 20) };
    bulkhead.reconfigure(&line, at(3)).unwrap();
    assert_eq!(bulkhead.wake_at(), Some(at(100)));
    let mut other = bulkhead.clone();
    let copies = [0, 1, 2].map(|place| Ticket::new(0, place));
    assert_eq!(order(&mut other, Permit::new(0, 2), copies.into(), at(3)), [0, 1, 2]);
    bulkhead.reconfigure(&small(1, 20), at(3)).unwrap();
    let mut called: Vec<_> = core::iter::from_fn(|| bulkhead.settle(at(3))).collect();
    called.sort_unstable();
    assert_eq!(called, [0, 1, 2], "their waits end sooner");
    assert!((0..3).all(|place| !bulkhead.waits(place)));
    let tickets = tickets.map(|ticket| match bulkhead.claim(ticket, at(3)) {
        Admission::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    });
    assert!((0..3).all(|place| bulkhead.waits(place)));
    assert_eq!(order(&mut bulkhead, permit, tickets.into(), at(3)), [2, 0, 1]);
}

#[test]
fn memory_is_bounded_though_nobody_looks() {
    let mut bulkhead = bulkhead(&small(1, 5));
    let _permit = go(&mut bulkhead, Normal, at(0));
    for n in 0..100 {
        let _forgotten = bulkhead.admit(Priority::ALL[n % 5], Instant::NEVER, at(n as u64 * 40));
        let _untold = bulkhead.settle(at(n as u64 * 40));
    }
    assert_eq!(bulkhead.queue.occupied(), 10, "twice the queue");
}

#[test]
fn the_sizes_that_are_stated() {
    assert_eq!(size_of::<Bulkhead>(), 376);
    assert_eq!(queue::PLACE_BYTES, 40);
    assert_eq!(size_of::<(Instant, u32)>() + size_of::<usize>(), 24);
}

#[test]
fn who_does_not_wait_has_a_place_at_once_or_is_refused_and_counted() {
    let config = BulkheadConfig { reserves: [1, 0, 0, 0, 0], ..small(2, 3) };
    let mut bulkhead = bulkhead(&config);
    let mut asked = |class, s| bulkhead.admit_at_once(class, at(s));
    assert!(matches!(asked(Low, 0), Admission::Go(_)));
    assert_eq!(no(asked(Low, 0)), Reason::Full, "the other is kept for the critical");
    assert!(matches!(asked(Critical, 0), Admission::Go(_)));
    assert_eq!(no(asked(Critical, 0)), Reason::Full);
    let waits = [(); 3].map(|()| wait(&mut bulkhead, Low, at(0)));
    assert_eq!(no(bulkhead.admit_at_once(Critical, at(1))), Reason::Full);
    let seen = bulkhead.snapshot();
    assert_eq!((seen.running, seen.queued, seen.refused, seen.displaced), (2, 3, 3, 0));
    waits.into_iter().for_each(|ticket| bulkhead.abandon(ticket));

    let all_kept = BulkheadConfig { reserves: [2, 0, 0, 0, 0], ..small(2, 3) };
    bulkhead.reconfigure(&all_kept, at(1)).unwrap();
    assert_eq!(no(bulkhead.admit_at_once(Low, at(1))), Reason::TooLarge, "never");
}
