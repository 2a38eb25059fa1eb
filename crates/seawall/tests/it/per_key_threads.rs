//! Many threads on many keys: no call is lost, no limit is passed, and nobody sleeps for ever.
//!
//! The threads are real and the clock is not; what is asserted is true however they are scheduled.

use std::{
    array,
    future::poll_fn,
    sync::{
        Arc, Barrier,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::Poll,
    thread,
};

use seawall::{
    BulkheadConfig, Clock, Error, Keyed, KeyedCell, ManualClock, PerKey, Policy, PolicyConfig,
    RateLimitConfig,
    core::{Draws, Instant, Rate, Reason},
};

use crate::world::SECOND;

const THREADS: u64 = 4;

fn tenants(config: PolicyConfig, max_keys: u32) -> PerKey {
    let clock = Clock::manual(&ManualClock::new());
    let builder = Policy::builder("tenants").config(config).clock(clock).seed(7);
    builder.per_key().max_keys(max_keys).build().expect("the settings make sense")
}

fn places(max_concurrent: u32, max_queue: u32) -> PolicyConfig {
    let bulkhead = BulkheadConfig { max_concurrent, max_queue, ..BulkheadConfig::default() };
    PolicyConfig { bulkhead: Some(bulkhead), ..PolicyConfig::default() }
}

/// So many threads, all at once, each with its number.
fn threads(work: impl Fn(u64) + Sync) {
    let begin = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (begin, work) = (&begin, &work);
            scope.spawn(move || {
                begin.wait();
                work(number);
            });
        }
    });
}

#[test]
fn no_call_is_lost_and_no_key_has_more_places_while_keys_come_and_go() {
    const ROUNDS: u64 = 5_000;
    const NAMES: usize = 8;
    let tenants = tenants(places(2, 0), 4);
    // Who runs, by key; those that share are one.
    let running: [AtomicU32; NAMES + 1] = array::from_fn(|_| AtomicU32::new(0));
    let (good, full) = (AtomicU64::new(0), AtomicU64::new(0));
    threads(|thread| {
        for round in 0..ROUNDS {
            let name = Draws::nth(thread, round).below(NAMES as u64) as usize;
            let key = tenants.key(&*name.to_string());
            let running = &running[if key.is_shared() { NAMES } else { name }];
            let answer = key.run_blocking(|| {
                assert!(running.fetch_add(1, SeqCst) < 2, "there are two places");
                thread::yield_now();
                running.fetch_sub(1, SeqCst);
                Ok::<_, ()>(())
            });
            match answer {
                Ok(()) => good.fetch_add(1, Relaxed),
                Err(Error::Refused(refused)) if refused.refusal.reason == Reason::Full => {
                    full.fetch_add(1, Relaxed)
                }
                Err(other) => panic!("{other:?}"),
            };
        }
    });
    let calls = tenants.counts().calls;
    assert_eq!((calls.started, calls.in_flight()), (THREADS * ROUNDS, 0));
    assert_eq!((calls.succeeded, calls.refused), (good.into_inner(), full.into_inner()));
    let seen = tenants.snapshot();
    assert_eq!(seen.keys, 4);
    // Nobody is left in a cell: all are as new, so each can be another's.
    let fresh: Vec<_> = (0..4).map(|n| tenants.key(&*format!("fresh {n}"))).collect();
    assert!(!fresh.iter().any(seawall::Key::is_shared));
    assert_eq!(tenants.snapshot().evicted, seen.evicted + 4);
}

#[test]
fn a_key_is_the_same_to_all_threads_and_a_flood_wins_none_a_fresh_limit() {
    const HOT: u64 = 16;
    const FLOOD: u64 = 1_000;
    let limit = RateLimitConfig {
        capacity: Some(50),
        rate: Some(Rate::per_second(1)),
        ..RateLimitConfig::default()
    };
    let config = PolicyConfig { rate_limit: Some(limit), ..PolicyConfig::default() };
    let tenants = tenants(config, 2 * HOT as u32);
    let ask = |key: &str| u64::from(tenants.key(key).run_blocking(|| Ok::<_, ()>(())).is_ok());
    // They are known before the flood begins.
    let passed: [AtomicU64; HOT as usize] = array::from_fn(|n| AtomicU64::new(ask(&n.to_string())));
    let flooded = AtomicU64::new(0);
    threads(|thread| {
        for round in 0..FLOOD {
            let hot = Draws::nth(thread, round).below(HOT);
            passed[hot as usize].fetch_add(ask(&hot.to_string()), Relaxed);
            flooded.fetch_add(ask(&format!("{thread} {round}")), Relaxed);
        }
    });
    assert_eq!(passed.map(AtomicU64::into_inner), [50; HOT as usize]);
    // A place for each of sixteen, who ask once; all others have one bucket together.
    assert_eq!(flooded.into_inner(), HOT + 50);
    let seen = tenants.snapshot();
    assert_eq!((seen.keys, seen.evicted), (2 * HOT as u32, 0));
    assert_eq!(seen.overflowed, THREADS * FLOOD - HOT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_waits_for_a_place_of_its_key_is_woken_on_whatever_thread() {
    const KEYS: u32 = 8;
    const CALLS: u32 = 100;
    // In a queue each of the other four classes keeps a place.
    let tenants = tenants(places(1, CALLS + 4), KEYS);
    let running: Arc<[AtomicU32; KEYS as usize]> = Arc::new(array::from_fn(|_| AtomicU32::new(0)));
    let calls: Vec<_> = (0..KEYS * CALLS)
        .map(|n| {
            let (key, running) = ((n % KEYS) as usize, running.clone());
            let policy = tenants.key(&*key.to_string());
            tokio::spawn(async move {
                let answer = policy.run(|| async {
                    assert_eq!(running[key].fetch_add(1, SeqCst), 0, "there is one place");
                    let mut again = true;
                    poll_fn(|cx| {
                        cx.waker().wake_by_ref();
                        if std::mem::take(&mut again) { Poll::Pending } else { Poll::Ready(()) }
                    })
                    .await;
                    running[key].fetch_sub(1, SeqCst);
                    Ok::<_, ()>(())
                });
                answer.await.is_ok()
            })
        })
        .collect();
    // On a clock that stands, one that is not woken waits for ever.
    let all = async {
        for call in calls {
            assert!(call.await.expect("it does not panic"));
        }
    };
    tokio::time::timeout(60 * SECOND, all).await.expect("nobody sleeps for ever");
    let calls = tenants.counts().calls;
    assert_eq!((calls.succeeded, calls.in_flight()), (u64::from(KEYS * CALLS), 0));
    assert_eq!(tenants.snapshot().overflowed, 0);
}

/// How often it was visited; never forgotten once it was.
#[derive(Clone, Default)]
struct Visits(u64);

impl KeyedCell for Visits {
    fn is_idle(&self, _now: Instant) -> bool {
        self.0 == 0
    }
}

#[test]
fn no_visit_to_a_map_of_machines_is_lost() {
    const ROUNDS: u64 = 20_000;
    let map = Keyed::<Box<str>, _>::new(4, Visits::default());
    let visit = |key: u64| {
        map.with(&*key.to_string(), Instant::ORIGIN, |cell| {
            cell.0 += 1;
            cell.0
        })
    };
    (0..4).for_each(|key| assert_eq!(visit(key), 1));
    let visits: [AtomicU64; 8] = array::from_fn(|_| AtomicU64::new(0));
    threads(|thread| {
        for round in 0..ROUNDS {
            let key = Draws::nth(thread, round).below(8);
            visit(key);
            visits[key as usize].fetch_add(1, Relaxed);
        }
    });
    let visits = visits.map(AtomicU64::into_inner);
    for key in 0..4 {
        assert_eq!(visit(key), visits[key as usize] + 2, "key {key}");
    }
    let shared: u64 = visits[4..].iter().sum();
    assert_eq!(visit(4), shared + 1);
    assert_eq!(map.snapshot().overflowed, shared + 1);
}
