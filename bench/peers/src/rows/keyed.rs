//! A limit for each of a hundred thousand keys: find the key's own, take one token, `now` given.
//!
//! Keys are called up at random, so most of the time goes into waiting for memory. governor's maps keep every key for ever; ours has
//! a bound, and moves the key to the young end of a list on the way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use governor::{NotUntil, RateLimiter, nanos::Nanos};
use seawall::{
    Algorithm, Keyed,
    core::{self, Admission, Draws, Instant, Priority},
};

use super::{
    Bar, FLOOR, OURS, Row,
    machines::{Given, STEP},
};
use crate::{contender::Contender, ours::wide, singles::wide_quota};

pub(super) const ROWS: &[Row] = &[Row {
    name: "keyed",
    holds: "a token bucket for each of 100 000 keys, `now` given",
    threads: 1,
    bars: &[Bar::NoAllocation],
    contenders: || vec![floor(), ours(), dash_map(), hash_map()],
}];

fn floor() -> Contender {
    let map: HashMap<Key, u64> = keys().into_iter().map(|key| (key, 0)).collect();
    let map = Arc::new(Mutex::new(map));
    Contender::blocking(FLOOR, TAKEN, move || {
        let (map, keys, mut next) = (map.clone(), keys(), scattered());
        move || {
            let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
            map.get_mut(&*keys[next()]).map(|count| *count += 1)
        }
    })
}

fn ours() -> Contender {
    let fresh = core::RateLimiter::new(&wide(Algorithm::TokenBucket));
    let fresh = fresh.expect("the settings are valid");
    let limits = Arc::new(Keyed::<Key, _>::new(KEYS as u32, fresh));
    for key in keys() {
        limits.with(&*key, Instant::ORIGIN, |_| ());
    }
    Contender::blocking(OURS, TAKEN, move || {
        let (limits, keys, mut next) = (limits.clone(), keys(), scattered());
        let mut now = Instant::ORIGIN;
        move || {
            now = now + STEP;
            let admission = limits.with(&*keys[next()], now, |limit| {
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
    for key in keys() {
        check(&key).expect("every key is new");
    }
    Contender::blocking(name, TAKEN, move || {
        let (given, check, keys, mut next) = (given.clone(), check.clone(), keys(), scattered());
        move || {
            given.pass(STEP);
            check(&keys[next()]).ok()
        }
    })
}

/// The number of a key, the same ones for all.
fn scattered() -> impl FnMut() -> usize {
    let mut draws = Draws::seeded(1);
    move || draws.draw().below(KEYS as u64) as usize
}

fn keys() -> Vec<Key> {
    (0..KEYS).map(|n| format!("client-{n:08}").into()).collect()
}

type Key = Arc<str>;

const KEYS: usize = 100_000;
const TAKEN: &str = "Some(())";
