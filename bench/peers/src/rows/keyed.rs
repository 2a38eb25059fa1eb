//! What each of a hundred thousand keys has of its own: a limit, `now` given, or a whole policy.
//!
//! Keys are called up at random, so most of the time goes into waiting for memory. governor's maps keep every key for ever; ours has
//! a bound, and moves the key to the young end of a list on the way. By hand, a policy is found in a map behind one mutex, and
//! cloned to be used outside of it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use governor::{NotUntil, RateLimiter, nanos::Nanos};
use seawall::{
    Algorithm, Keyed, Policy,
    core::{self, Admission, Draws, Instant, Priority},
};

use super::{
    BY_HAND, Bar, FLOOR, OURS, Row, WELL,
    machines::{Given, STEP},
};
use crate::{
    by_hand::ByHand,
    contender::Contender,
    floor::Floor,
    operation::Operation,
    ours::{full, wide},
    singles::wide_quota,
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "keyed",
        holds: "a token bucket for each of 100 000 keys, `now` given",
        threads: 1,
        bars: &[Bar::NoAllocation],
        contenders: || vec![floor(), ours(), dash_map(), hash_map()],
    },
    Row {
        name: "keyed-policy",
        holds: "as full-ready, a policy for each of 100 000 keys",
        threads: 1,
        bars: &[Bar::NoAllocation],
        contenders: || vec![each_floor(), each_ours(), each_by_hand()],
    },
];

/// The way to a key's own, and then that of every call.
fn each_floor() -> Contender {
    let own = Mutex::new(copied().map(|key| (key, Floor::new())).collect::<HashMap<_, _>>());
    let own = Arc::new(own);
    Contender::new(FLOOR, WELL.printed, move || {
        let (own, mut next) = (own.clone(), scattered());
        async move || {
            let floor = found(&own, next());
            floor.call(Operation::Ready).await
        }
    })
}

fn each_ours() -> Contender {
    let config = full(wide(Algorithm::TokenBucket));
    let each =
        Policy::builder("ours").config(config).per_key::<Key>().max_keys(COUNT as u32).build();
    let each = each.expect("the settings are valid");
    for key in KEYS.iter() {
        drop(each.key(&**key));
    }
    let counting = each.clone();
    Contender::new(OURS, WELL.printed, move || {
        let (each, mut next) = (each.clone(), scattered());
        async move || each.key(&**next()).run(|| Operation::Ready.run()).await
    })
    .counting(move || {
        assert_eq!(counting.snapshot().overflowed, 0, "every key has its own");
        (WELL.counted)(&counting.counts().calls)
    })
}

fn each_by_hand() -> Contender {
    let own = Mutex::new(copied().map(|key| (key, ByHand::new())).collect::<HashMap<_, _>>());
    let own = Arc::new(own);
    Contender::new(BY_HAND, WELL.printed, move || {
        let (own, mut next) = (own.clone(), scattered());
        async move || {
            let by_hand = found(&own, next());
            by_hand.full(|| Operation::Ready.run()).await
        }
    })
}

fn found<V: Clone>(own: &Mutex<HashMap<Key, V>>, key: &str) -> V {
    own.lock().unwrap_or_else(PoisonError::into_inner)[key].clone()
}

fn floor() -> Contender {
    let map: HashMap<Key, u64> = copied().map(|key| (key, 0)).collect();
    let map = Arc::new(Mutex::new(map));
    Contender::blocking(FLOOR, TAKEN, move || {
        let (map, mut next) = (map.clone(), scattered());
        move || {
            let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
            map.get_mut(&**next()).map(|count| *count += 1)
        }
    })
}

fn ours() -> Contender {
    let fresh = core::RateLimiter::new(&wide(Algorithm::TokenBucket));
    let fresh = fresh.expect("the settings are valid");
    let limits = Arc::new(Keyed::<Key, _>::new(COUNT as u32, fresh));
    for key in KEYS.iter() {
        limits.with(&**key, Instant::ORIGIN, |_| ());
    }
    Contender::blocking(OURS, TAKEN, move || {
        let (limits, mut next) = (limits.clone(), scattered());
        let mut now = Instant::ORIGIN;
        move || {
            now = now + STEP;
            let admission = limits.with(&**next(), now, |limit| {
                limit.admit(1, Priority::Normal, Instant::NEVER, now)
            });
            matches!(admission, Admission::Go(_)).then_some(())
        }
    })
}

/// Its default: shards of maps, each behind a lock.
fn dash_map() -> Contender {
    let given = Given::default();
    let limits = Arc::new(RateLimiter::dashmap_with_clock(wide_quota(), given.clone()));
    governor("governor, DashMap", given, move |key| limits.check_key(key))
}

/// One map behind one lock.
fn hash_map() -> Contender {
    let given = Given::default();
    let limits = Arc::new(RateLimiter::hashmap_with_clock(wide_quota(), given.clone()));
    governor("governor, HashMap", given, move |key| limits.check_key(key))
}

fn governor(
    name: &'static str,
    given: Given,
    check: impl Fn(&Key) -> Result<(), NotUntil<Nanos>> + Clone + Send + Sync + 'static,
) -> Contender {
    for key in copied() {
        check(&key).expect("every key is new");
    }
    Contender::blocking(name, TAKEN, move || {
        let (given, check, mut next) = (given.clone(), check.clone(), scattered());
        move || {
            given.pass(STEP);
            check(next()).ok()
        }
    })
}

/// A key at random, the same ones for all.
fn scattered() -> impl FnMut() -> &'static Key {
    let mut draws = Draws::seeded(1);
    move || &KEYS[draws.draw().below(COUNT as u64) as usize]
}

/// A map's own keys, as if those that are looked up came from somewhere else.
fn copied() -> impl Iterator<Item = Key> {
    KEYS.iter().map(|key| Key::from(&**key))
}

type Key = Arc<str>;

static KEYS: LazyLock<Vec<Key>> =
    LazyLock::new(|| (0..COUNT).map(|n| format!("client-{n:08}").into()).collect());
const COUNT: usize = 100_000;
const TAKEN: &str = "Some(())";
