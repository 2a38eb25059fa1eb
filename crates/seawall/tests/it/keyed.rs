//! A machine for each key: bounded whatever the keys are, and nothing that is in use is ever forgotten.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use proptest::prelude::*;
use seawall::{
    Keyed, KeyedCell, KeyedSnapshot,
    core::{
        Admission, Algorithm, Draws, Instant, Priority, Rate, RateLimitConfig, RateLimiter, Reason,
    },
};

use crate::{
    allocator::{allocations, bytes_kept_by},
    world::{MS, SECOND},
};

/// In use until a moment; counts who asks.
#[derive(Clone, Default)]
struct Lamp {
    lit_until: u64,
    visits: u32,
    asked: Arc<AtomicU64>,
}

impl KeyedCell for Lamp {
    fn is_idle(&self, now: Instant) -> bool {
        self.asked.fetch_add(1, Relaxed);
        self.lit_until <= now.as_nanos()
    }
}

/// Visits the cell of `key` and has it lit until `until`: how often the cell was visited before.
fn light(lamps: &Keyed<Box<str>, Lamp>, key: &str, now: u64, until: u64) -> u32 {
    lamps.with(key, Instant::from_nanos(now), |lamp| {
        (lamp.lit_until, lamp.visits) = (until.max(lamp.lit_until), lamp.visits + 1);
        lamp.visits - 1
    })
}

fn numbers(seen: KeyedSnapshot) -> (u32, u64, u64) {
    (seen.keys, seen.overflowed, seen.evicted)
}

#[test]
fn the_oldest_idle_one_gives_its_place_and_a_visit_makes_young() {
    let lamps = Keyed::new(3, Lamp::default());
    for key in ["a", "b", "c", "a"] {
        light(&lamps, key, 0, 0);
    }
    assert_eq!(numbers(lamps.snapshot()), (3, 0, 0));
    assert_eq!(light(&lamps, "d", 0, 0), 0);
    assert_eq!(numbers(lamps.snapshot()), (3, 0, 1));
    // b went: a and c are remembered, and b is new.
    assert_eq!((light(&lamps, "a", 0, 0), light(&lamps, "c", 0, 0)), (2, 1));
    assert_eq!(light(&lamps, "b", 0, 0), 0);
    assert_eq!(lamps.snapshot().max_keys, 3);
}

#[test]
fn one_in_use_stays_however_old_and_an_idle_one_behind_it_goes() {
    let lamps = Keyed::new(2, Lamp::default());
    light(&lamps, "used", 0, 100);
    light(&lamps, "idle", 0, 0);
    for n in 0..50 {
        assert_eq!(light(&lamps, &format!("new {n}"), 99, 0), 0);
    }
    assert_eq!(light(&lamps, "used", 99, 0), 1);
    assert_eq!(numbers(lamps.snapshot()), (2, 0, 50));
}

#[test]
fn where_nothing_may_go_newcomers_share_one_cell_and_are_counted() {
    let lamps = Keyed::new(2, Lamp::default());
    light(&lamps, "a", 0, 100);
    light(&lamps, "b", 0, 100);
    // Each finds what the one before has left, and knows no cell of its own.
    assert_eq!(light(&lamps, "c", 50, 0), 0);
    assert_eq!(light(&lamps, "d", 50, 0), 1);
    assert_eq!(light(&lamps, "c", 50, 0), 2);
    assert_eq!(numbers(lamps.snapshot()), (2, 3, 0));
    // Once one is idle there is room again, and what the shared cell has seen is not the newcomer's.
    assert_eq!(light(&lamps, "c", 100, 0), 0);
    assert_eq!(numbers(lamps.snapshot()), (2, 3, 1));
}

#[test]
fn with_no_keys_at_all_everybody_shares() {
    let lamps = Keyed::new(0, Lamp::default());
    assert_eq!((light(&lamps, "a", 0, 0), light(&lamps, "b", 0, 0)), (0, 1));
    assert_eq!(numbers(lamps.snapshot()), (0, 2, 0));
}

#[test]
fn an_insertion_looks_at_sixteen_cells_and_the_next_one_at_the_next_sixteen() {
    let fresh = Lamp::default();
    let asked = Arc::clone(&fresh.asked);
    let lamps = Keyed::new(100, fresh);
    for n in 0..100 {
        light(&lamps, &n.to_string(), 0, if n == 40 { 0 } else { 100 });
    }
    assert_eq!(asked.load(Relaxed), 0, "there was room");
    for (insertion, looks) in [(1, 16), (2, 32), (3, 41)] {
        light(&lamps, "new", 50, 100);
        assert_eq!(asked.load(Relaxed), looks, "insertion {insertion}");
    }
    assert_eq!(numbers(lamps.snapshot()), (100, 2, 1));
    light(&lamps, "new", 50, 0);
    assert_eq!(asked.load(Relaxed), 41, "it is known by now");
}

#[test]
fn a_visit_that_panics_leaves_the_map_whole() {
    let lamps = Keyed::new(2, Lamp::default());
    for key in ["a", "b", "c"] {
        let visit = || lamps.with(key, Instant::ORIGIN, |_: &mut Lamp| panic!("in a visit"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(visit)).is_err());
    }
    light(&lamps, "c", 0, 0);
    assert_eq!(light(&lamps, "c", 0, 0), 1);
    assert_eq!(numbers(lamps.snapshot()), (2, 0, 1));
}

proptest! {
    /// The same as a list that is searched from its old end.
    #[test]
    fn it_agrees_with_a_plain_list(
        max_keys in 0_u32..40,
        steps in prop::collection::vec((0_u32..60, 0_u64..4, prop::bool::weighted(0.7)), 1..400),
    ) {
        let lamps = Keyed::new(max_keys, Lamp::default());
        let mut plain = Plain { max_keys: max_keys as usize, ..Plain::default() };
        let mut now = 0;
        for (key, passed, lit) in steps {
            now += passed;
            let until = if lit { now + 40 } else { 0 };
            let key = key.to_string();
            prop_assert_eq!(light(&lamps, &key, now, until), plain.light(&key, now, until));
            let seen = lamps.snapshot();
            prop_assert_eq!(numbers(seen), (plain.list.len() as u32, plain.overflowed, plain.evicted));
            prop_assert!(seen.keys <= max_keys);
        }
    }
}

/// The rule written down without a thought for its cost.
#[derive(Default)]
struct Plain {
    max_keys: usize,
    /// The oldest first.
    list: Vec<(String, Lamp)>,
    overflow: Lamp,
    overflowed: u64,
    evicted: u64,
}

impl Plain {
    fn light(&mut self, key: &str, now: u64, until: u64) -> u32 {
        let lamp = self.lamp(key, now);
        (lamp.lit_until, lamp.visits) = (until.max(lamp.lit_until), lamp.visits + 1);
        lamp.visits - 1
    }

    fn lamp(&mut self, key: &str, now: u64) -> &mut Lamp {
        if let Some(at) = self.list.iter().position(|(known, _)| known == key) {
            let known = self.list.remove(at);
            self.list.push(known);
            return &mut self.list.last_mut().expect("just pushed").1;
        }
        if self.list.len() == self.max_keys {
            let looked = self.list.iter().take(16);
            let in_use = looked.take_while(|(_, lamp)| lamp.lit_until > now).count();
            self.list.rotate_left(in_use.min(self.max_keys));
            if in_use == self.max_keys.min(16) {
                self.overflowed += 1;
                return &mut self.overflow;
            }
            self.list.remove(0);
            self.evicted += 1;
        }
        self.list.push((key.to_owned(), Lamp::default()));
        &mut self.list.last_mut().expect("just pushed").1
    }
}

/// What a gateway keeps: short keys as they are.
type Limits = Keyed<Arc<[u8]>, RateLimiter>;

fn limits(max_keys: u32, capacity: u64, rate: Rate) -> Limits {
    let each = RateLimitConfig {
        capacity: Some(capacity),
        rate: Some(rate),
        ..RateLimitConfig::default()
    };
    Keyed::new(max_keys, RateLimiter::new(&each).expect("it makes sense"))
}

fn passes(limits: &Limits, key: &[u8], now: Instant) -> bool {
    let answer = limits.with(key, now, |cell| cell.admit(1, Priority::Normal, now, now));
    matches!(answer, Admission::Go(_))
}

/// A key of 64 bytes nobody has had before.
fn made_up(number: u64) -> [u8; 64] {
    let mut key = [0; 64];
    for (n, part) in key.chunks_mut(8).enumerate() {
        part.copy_from_slice(&Draws::nth(number, n as u64).below(u64::MAX).to_le_bytes());
    }
    key
}

#[test]
fn a_million_made_up_keys_stay_in_bounds_and_a_hot_key_stays_limited() {
    const KEYS: u32 = 10_000;
    let mut now = Instant::ORIGIN;
    let mut hot = 0;
    let mut map = None;
    // Ten thousand flood keys a second, the hot one each millisecond: a tenth of it may pass.
    let bytes = bytes_kept_by(|| {
        let limits = limits(KEYS, 10, Rate::per_second(100));
        for number in 0..1_000_000 {
            now = now + Duration::from_micros(100);
            assert!(passes(&limits, &made_up(number), now), "a new key has a whole bucket");
            if number % 10 == 0 {
                hot += u32::from(passes(&limits, b"hot", now));
            }
        }
        map = Some(limits);
    });
    let seen = map.unwrap().snapshot();
    assert_eq!((seen.keys, seen.overflowed), (KEYS, 0));
    assert_eq!(seen.evicted, 1_000_001 - u64::from(KEYS));
    // 100 s at 100/s, and the 10 of the full bucket.
    assert!((10_000..=10_010).contains(&hot), "{hot}");

    assert!(bytes <= 512 * i64::from(KEYS), "{} bytes a key", bytes / i64::from(KEYS));
}

#[test]
fn a_flood_of_keys_in_use_gives_nobody_a_fresh_limit_and_shares_one() {
    let limits = limits(1_000, 2, Rate::new(1, Duration::from_secs(3_600)).unwrap());
    let now = Instant::ORIGIN;
    assert_eq!([0; 3].map(|_| passes(&limits, b"hot", now)), [true, true, false]);
    let passed = (0..100_000).filter(|number| passes(&limits, &made_up(*number), now)).count();
    // 999 places are left, and the shared cell has its two tokens.
    assert_eq!(passed, 999 + 2);
    let seen = limits.snapshot();
    assert_eq!((seen.keys, seen.overflowed, seen.evicted), (1_000, 100_000 - 999, 0));
    assert!(!passes(&limits, b"hot", now), "it is still known");
    // Two hours later all are idle.
    let later = now + 7_200 * SECOND;
    assert!(passes(&limits, b"late", later));
    assert_eq!(limits.snapshot().evicted, 1);
}

#[test]
fn a_limiter_is_idle_when_it_is_as_new() {
    let new = |config: RateLimitConfig| RateLimiter::new(&config).unwrap();
    let bucket = RateLimitConfig {
        capacity: Some(3),
        rate: Some(Rate::per_second(100)),
        ..RateLimitConfig::default()
    };
    let leaky = RateLimitConfig { algorithm: Algorithm::LeakyBucket, ..bucket.clone() };
    let window = RateLimitConfig {
        algorithm: Algorithm::SlidingWindow,
        limit: Some(3),
        window: Some(20 * MS),
        ..RateLimitConfig::default()
    };
    let start = Instant::ORIGIN + SECOND;
    for (config, again) in [(bucket.clone(), 20), (leaky, 20), (window, 20)] {
        let mut limiter = new(config);
        assert!(limiter.is_idle(start));
        for _ in 0..2 {
            let answer = limiter.admit(1, Priority::Normal, start, start);
            assert!(matches!(answer, Admission::Go(_)));
        }
        let back = start + again * MS;
        assert!(!limiter.is_idle(Instant::from_nanos(back.as_nanos() - 1)), "{limiter:?}");
        assert!(limiter.is_idle(back), "{limiter:?}");
    }
    let mut nothing = new(RateLimitConfig { capacity: Some(0), ..bucket.clone() });
    assert!(nothing.is_idle(start));
    let Admission::No(refusal) = nothing.admit(1, Priority::Normal, start, start) else { panic!() };
    assert_eq!(refusal.reason, Reason::Limited);

    let mut shaper = new(RateLimitConfig { algorithm: Algorithm::Shaper, ..bucket });
    let mut ask = |now| shaper.admit(1, Priority::Normal, Instant::NEVER, now);
    assert!(matches!(ask(start), Admission::Go(_)));
    let Admission::Wait(ticket) = ask(start) else { panic!("the next turn is 10 ms away") };
    let later = start + SECOND;
    assert!(!shaper.is_idle(later), "somebody waits");
    assert_eq!(shaper.settle(later), Some(ticket.place()));
    assert!(!shaper.is_idle(later), "somebody has been called up");
    assert!(matches!(shaper.claim(ticket, later), Admission::Go(_)));
    assert!(shaper.is_idle(later));
    assert!(matches!(shaper.admit(1, Priority::Normal, later, later), Admission::Go(_)));
    assert!(!shaper.is_idle(later + 9 * MS), "the next turn is to come");
    assert!(shaper.is_idle(later + 10 * MS));
}

#[test]
fn a_known_key_and_a_refused_one_allocate_nothing() {
    let limits = limits(10, 5, Rate::per_second(1));
    assert!(passes(&limits, b"a", Instant::ORIGIN));
    let mut passed = 0;
    let again =
        || (0..1_000).for_each(|_| passed += u32::from(passes(&limits, b"a", Instant::ORIGIN)));
    assert_eq!(allocations(again), 0);
    assert_eq!(passed, 4);
}
