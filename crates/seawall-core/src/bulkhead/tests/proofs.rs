//! Promises under any sequence of verbs, and every sequence of a small house.

use alloc::{vec, vec::Vec};
use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::{model::Pair, *};
use crate::Draws;

#[derive(Clone, Debug)]
enum Step {
    Admit { class: usize, give_up: Option<u64> },
    Leave { who: usize, ran: u64 },
    Claim { who: usize },
    Abandon { who: usize },
    Misuse { who: usize, claim: bool },
    Pass { by: i64 },
    Reconfigure(BulkheadConfig),
}

fn step() -> impl Strategy<Value = Step> {
    let who = any::<u16>().prop_map(usize::from);
    prop_oneof![
        8 => (0usize..5, prop::option::of(0u64..40))
            .prop_map(|(class, give_up)| Step::Admit { class, give_up }),
        5 => (who.clone(), 0u64..60).prop_map(|(who, ran)| Step::Leave { who, ran }),
        4 => who.clone().prop_map(|who| Step::Claim { who }),
        2 => who.clone().prop_map(|who| Step::Abandon { who }),
        1 => (who, any::<bool>()).prop_map(|(who, claim)| Step::Misuse { who, claim }),
        4 => (-10i64..30).prop_map(|by| Step::Pass { by }),
        1 => config().prop_map(Step::Reconfigure),
    ]
}

fn config() -> impl Strategy<Value = BulkheadConfig> {
    let reserves = prop_oneof![2 => Just([0; 5]), 1 => prop::array::uniform5(0u32..2)];
    (0u32..5, 0u32..9, 1u64..50, any::<bool>(), reserves).prop_map(
        |(max_concurrent, max_queue, max_wait, priority, reserves): (_, _, _, _, [u32; 5])| {
            let fits = priority && reserves.iter().sum::<u32>() <= max_concurrent;
            BulkheadConfig {
                max_concurrent,
                max_queue,
                max_wait: Duration::from_nanos(max_wait),
                max_run: None,
                priority,
                reserves: if fits { reserves } else { [0; 5] },
                pool_threads: None,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Agreement in every answer, figure and waking; no place lost, none too many, none idle while one waits
    /// who may use it; first come first served within a class; on any clock, through any change of settings.
    #[test]
    fn agrees_with_the_naive_queue(
        config in config(), steps in prop::collection::vec((step(), prop::bool::weighted(0.9)), 0..150),
    ) {
        let mut pair = Pair::new(&config);
        let mut now = Instant::from_nanos(1_000);
        for (id, (step, settle)) in steps.into_iter().enumerate() {
            let ticket = |pair: &Pair, who: usize| {
                pair.tickets.keys().nth(who % pair.tickets.len().max(1)).copied()
            };
            let running = pair.bulkhead.running;
            match step {
                Step::Admit { class, give_up } => {
                    let give_up_at = give_up
                        .map_or(Instant::NEVER, |give_up| now + Duration::from_nanos(give_up));
                    pair.admit(id as u32, Priority::ALL[class], give_up_at, now);
                }
                Step::Leave { who, ran } => if !pair.running.is_empty() {
                    pair.leave(who % pair.running.len(), Duration::from_nanos(ran));
                },
                Step::Claim { who } => if let Some(id) = ticket(&pair, who) {
                    pair.claim(id, now);
                },
                Step::Abandon { who } => if let Some(id) = ticket(&pair, who) {
                    pair.abandon(id);
                },
                Step::Misuse { who, claim } => pair.misuse(who, claim, now),
                Step::Pass { by } => now = Instant::from_nanos(now.as_nanos().saturating_add_signed(by)),
                Step::Reconfigure(config) => pair.reconfigure(&config, now),
            }
            if settle {
                pair.settle(now);
            }
            prop_assert!(pair.bulkhead.running <= pair.bulkhead.config.max_concurrent.max(running));
        }
        // Everybody looks or goes: nothing is left behind.
        now = now + Duration::from_secs(1);
        pair.settle(now);
        for id in pair.tickets.keys().copied().collect::<Vec<_>>() {
            pair.claim(id, now);
        }
        while !pair.running.is_empty() {
            pair.leave(0, Duration::ZERO);
        }
        pair.settle(now);
        prop_assert_eq!((pair.bulkhead.running, pair.bulkhead.queue.occupied()), (0, 0));
    }

    /// The order of ends is that of a sorted list.
    #[test]
    fn the_heap_knows_the_first_end(steps in prop::collection::vec((0u32..12, 0u64..30), 0..100)) {
        let (mut expiry, mut listed) = (expiry::Expiry::new(), Vec::new());
        for (place, end) in steps {
            let end = Instant::from_nanos(end);
            if let Some(at) = listed.iter().position(|&(_, listed)| listed == place) {
                expiry.remove(place);
                listed.remove(at);
            } else {
                expiry.add(place, end);
                listed.push((end, place));
            }
            prop_assert_eq!(expiry.first(), listed.iter().min().copied());
        }
    }
}

/// Every sequence of verbs of three callers (critical, normal, background), up to a depth, from any state that
/// differs in what can come next; in each the model agrees, and everybody can still leave.
fn explore(config: &BulkheadConfig, depth: usize) -> usize {
    const CLASSES: [Priority; 3] = [Critical, Normal, Background];
    let start = Instant::from_nanos(100);
    let mut seen = HashSet::new();
    let mut front = vec![(Pair::new(config), start)];
    seen.insert(front[0].0.state(start));
    for _ in 0..depth {
        let mut next: Vec<(Pair, Instant)> = Vec::new();
        for (pair, now) in front {
            let mut reach = |mut to: Pair, now: Instant| {
                to.settle(now);
                if seen.insert(to.state(now)) {
                    next.push((to, now));
                }
            };
            for by in [1i64, 2, 4, -1] {
                let now = Instant::from_nanos(now.as_nanos().saturating_add_signed(by));
                reach(pair.clone(), now);
            }
            for (caller, class) in CLASSES.into_iter().enumerate() {
                let caller = caller as u32;
                if let Some(at) = pair.running.iter().position(|one| one.0 == caller) {
                    let mut to = pair.clone();
                    to.leave(at, Duration::ZERO);
                    reach(to, now);
                } else if pair.tickets.contains_key(&caller) {
                    let (mut claimed, mut left) = (pair.clone(), pair.clone());
                    claimed.claim(caller, now);
                    left.abandon(caller);
                    reach(claimed, now);
                    reach(left, now);
                } else {
                    for give_up_at in [Instant::NEVER, now + Duration::from_nanos(3)] {
                        let mut to = pair.clone();
                        to.forget_the_order();
                        to.admit(caller, class, give_up_at, now);
                        reach(to, now);
                    }
                }
            }
        }
        front = next;
    }
    for (mut pair, now) in front {
        let now = now + Duration::from_secs(1);
        pair.settle(now);
        assert_eq!(pair.bulkhead.queue.len(), 0, "everybody has an exit");
    }
    seen.len()
}

#[test]
fn every_sequence_of_a_small_house() {
    let config = |max_concurrent, max_queue, priority, reserves| BulkheadConfig {
        max_concurrent,
        max_queue,
        max_wait: Duration::from_nanos(4),
        max_run: None,
        priority,
        reserves,
        pool_threads: None,
    };
    let states = [
        explore(&config(1, 2, true, [0; 5]), 8),
        explore(&config(1, 3, false, [0; 5]), 8),
        explore(&config(2, 1, true, [0; 5]), 8),
        explore(&config(2, 3, true, [1, 0, 0, 0, 0]), 8),
    ];
    assert_eq!(states, [34_070, 29_540, 3_849, 2_711]);
}

/// 1.8 times what ten places can do for an hour, all classes alike.
#[test]
fn under_overload_urgency_decides_and_nobody_starves() {
    for seed in 0..8 {
        let seen = overload(seed);
        let share = seen.map(|(served, asked)| f64::from(served) / f64::from(asked));
        assert!(share.windows(2).all(|pair| pair[0] >= pair[1]), "seed {seed}: {seen:?}");
        let served: u32 = seen.iter().map(|&(served, _)| served).sum();
        assert!(served > 35_000, "every place was used all the time, seed {seed}: {seen:?}");
        assert!(seen[4].0 > 0, "seed {seed}: {seen:?}");
    }
}

/// Of each class, the calls served and those answered.
fn overload(seed: u64) -> [(u32, u32); 5] {
    const SECOND: u64 = 1_000_000_000;
    let config = BulkheadConfig { max_concurrent: 10, ..BulkheadConfig::default() };
    let mut bulkhead = Bulkhead::new(&config).unwrap();
    let mut draws = Draws::seeded(seed);
    let mut seen = [(0, 0); 5];
    let mut running: Vec<(Instant, Instant, Permit)> = Vec::new();
    let mut tickets: HashMap<usize, (Priority, Instant, Ticket)> = HashMap::new();
    let (mut arrival, mut now) = (Instant::ORIGIN, Instant::ORIGIN);
    let end = Instant::ORIGIN + Duration::from_secs(3_600);
    while now < end {
        let leaves = running.iter().map(|run| run.0).min();
        now = [Some(arrival), leaves, bulkhead.wake_at()].into_iter().flatten().min().unwrap();
        let mut started = Vec::new();
        if let Some(at) = running.iter().position(|run| run.0 == now) {
            let (_, since, permit) = running.swap_remove(at);
            bulkhead.leave(permit, now.since(since));
        } else if arrival == now {
            arrival = now + Duration::from_nanos(draws.draw().below(SECOND / 9));
            let class = Priority::ALL[draws.draw().below(5) as usize];
            match bulkhead.admit(class, Instant::NEVER, now) {
                Admission::Go(permit) => started.push((class, permit)),
                Admission::Wait(ticket) => {
                    tickets.insert(ticket.place(), (class, now, ticket));
                }
                Admission::No(refusal) => {
                    assert!(matches!(refusal.reason, Reason::Full | Reason::Hopeless), "{refusal}");
                    seen[class.index()].1 += 1;
                }
            }
        }
        while let Some(place) = bulkhead.settle(now) {
            let (class, since, ticket) = tickets.remove(&place).unwrap();
            match bulkhead.claim(ticket, now) {
                Admission::Go(permit) => {
                    assert!(now.since(since) < config.max_wait);
                    started.push((class, permit));
                }
                Admission::No(refusal) => {
                    assert!(now.since(since) <= config.max_wait);
                    assert!(matches!(refusal.reason, Reason::Displaced | Reason::WaitOver));
                    seen[class.index()].1 += 1;
                }
                Admission::Wait(_) => panic!("told for nothing"),
            }
        }
        for (class, permit) in started {
            seen[class.index()].0 += 1;
            seen[class.index()].1 += 1;
            let ran = Duration::from_nanos(SECOND / 2 + draws.draw().below(SECOND));
            running.push((now + ran, now, permit));
        }
        assert!(running.len() <= 10);
    }
    seen
}
