//! What a rate limit remembers of one key, where one limiter serves many: its settings and figures are those of all.

use alloc::boxed::Box;
use core::mem::swap;

use super::{
    Kind, RateLimiter, Shaper, SlidingWindowCounter, token_bucket::Level, waiting::Waiting,
};

/// What a [`RateLimiter`] remembers of one of many. 48 bytes for a bucket; 80 more for a sliding window and 8 for each
/// of its stamps or counters; 144 more for a shaper, and 96 for each who ever waited at once.
///
/// The default is of no machine, and takes the place of one where there is none.
#[derive(Clone, Debug, Default)]
pub struct RateLimitMemory {
    level: Level,
    window: Option<Box<SlidingWindowCounter>>,
    /// None, unless it shapes or somebody has a ticket.
    shaper: Option<Box<Shaper>>,
    waiting: Option<Box<Waiting>>,
}

impl RateLimiter {
    /// What it remembers, without its settings and figures.
    #[must_use]
    pub fn into_memory(self) -> RateLimitMemory {
        let shapes = self.shapes();
        let (level, window) = match self.kind {
            Kind::TokenBucket(bucket) => (bucket.level(), None),
            Kind::LeakyBucket(bucket) => (bucket.room.level(), None),
            Kind::SlidingWindow(window) => (Level::default(), Some(Box::new(window))),
            Kind::Shaper => (Level::default(), None),
        };
        RateLimitMemory {
            level,
            window,
            shaper: shapes.then(|| Box::new(self.shaper)),
            waiting: self.waiting,
        }
    }

    /// Puts down what it remembers and takes up `memory`. Both are of limiters with the same settings. Figures stay: they
    /// are of all whose memories it had.
    pub fn exchange(&mut self, memory: &mut RateLimitMemory) {
        swap(&mut self.waiting, &mut memory.waiting);
        match (&mut self.kind, &mut memory.window) {
            (Kind::TokenBucket(bucket), _) => bucket.exchange(&mut memory.level),
            (Kind::LeakyBucket(bucket), _) => bucket.room.exchange(&mut memory.level),
            (Kind::SlidingWindow(window), Some(kept)) => swap(window, kept),
            // Of other settings, or all is in the shaper.
            (Kind::SlidingWindow(_), None) | (Kind::Shaper, _) => {}
        }
        let shapes = self.shapes();
        if shapes || memory.shaper.is_some() {
            let idle = || Box::new(self.shaper.fresh());
            let shaper = memory.shaper.get_or_insert_with(idle);
            swap(&mut self.shaper, shaper);
            if !shapes {
                memory.shaper = None;
            }
        }
    }

    /// Whether its shaper is not idle for good.
    fn shapes(&self) -> bool {
        matches!(self.kind, Kind::Shaper) || self.shaper.waiting() > 0
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{Admission, Algorithm, Instant, Priority, Rate, RateLimitConfig, Ticket};

    fn config(algorithm: Algorithm) -> RateLimitConfig {
        let window = algorithm == Algorithm::SlidingWindow;
        RateLimitConfig {
            algorithm,
            capacity: (!window).then_some(3),
            rate: (!window).then_some(Rate::per_second(3)),
            limit: window.then_some(3),
            window: window.then_some(Duration::from_secs(1)),
            ..RateLimitConfig::default()
        }
    }

    fn machine(algorithm: Algorithm) -> RateLimiter {
        RateLimiter::new(&config(algorithm)).unwrap()
    }

    proptest! {
        #[test]
        fn two_keys_in_one_limiter_are_answered_as_by_two_limiters(
            algorithm in prop::sample::select(Algorithm::ALL.to_vec()),
            steps in prop::collection::vec((0usize..2, 0u8..6, 0u64..400), 1..80),
        ) {
            let mut one = machine(algorithm);
            let mut memories = [(); 2].map(|()| machine(algorithm).into_memory());
            let mut two = [(); 2].map(|()| machine(algorithm));
            let mut tickets: [Vec<(Ticket, Ticket)>; 2] = Default::default();
            let mut now = Instant::ORIGIN;
            for (key, step, millis) in steps {
                now = now + Duration::from_millis(millis);
                let whole = &mut two[key];
                one.exchange(&mut memories[key]);
                let asked = match step {
                    0..=2 => {
                        let [mine, its] = [&mut one, &mut *whole]
                            .map(|limiter| limiter.admit(1, Priority::Normal, Instant::NEVER, now));
                        Some((mine, its))
                    }
                    5 => {
                        let [mine, its] = [&mut one, &mut *whole].map(|limiter| {
                            limiter.admit_or_wait(2, Priority::Normal, Instant::NEVER, now)
                        });
                        Some((mine, its))
                    }
                    3 if !tickets[key].is_empty() => {
                        let (mine, its) = tickets[key].remove(0);
                        Some((one.claim(mine, now), whole.claim(its, now)))
                    }
                    _ => {
                        one.refund(1, now);
                        whole.refund(1, now);
                        None
                    }
                };
                match asked {
                    Some((Admission::Wait(mine), Admission::Wait(its))) => tickets[key].push((mine, its)),
                    Some((mine, its)) => prop_assert_eq!(mine, its),
                    None => {}
                }
                while let Some(told) = one.settle(now) {
                    prop_assert_eq!(Some(told), whole.settle(now));
                }
                let [mine, its] = [&one, &*whole].map(|limiter| limiter.snapshot(now));
                prop_assert_eq!((mine.available, mine.waiting, mine.reset), (its.available, its.waiting, its.reset));
                one.exchange(&mut memories[key]);
            }
            let [mine, first, second] = [&one, &two[0], &two[1]].map(|limiter| limiter.snapshot(now));
            prop_assert_eq!(mine.allowed, first.allowed + second.allowed);
            prop_assert_eq!(mine.refused, first.refused + second.refused);
        }
    }

    #[test]
    fn what_was_used_before_it_became_a_memory_stays_used() {
        let now = Instant::ORIGIN;
        for algorithm in Algorithm::ALL {
            let [mut used, mut other] = [(); 2].map(|()| machine(algorithm));
            assert!(matches!(
                used.admit(2, Priority::Normal, Instant::NEVER, now),
                Admission::Go(_)
            ));
            let seen = used.snapshot(now);
            assert_ne!(seen.reset, Some(Duration::ZERO), "{algorithm:?}");
            other.exchange(&mut used.into_memory());
            let kept = other.snapshot(now);
            assert_eq!((kept.available, kept.reset), (seen.available, seen.reset), "{algorithm:?}");
        }
    }

    #[test]
    fn a_level_longer_than_a_word_is_kept() {
        let (all, now) = (1 << 40, Instant::ORIGIN);
        let config = RateLimitConfig {
            capacity: Some(all),
            rate: Some(Rate::new(1, Duration::from_hours(1)).unwrap()),
            ..RateLimitConfig::default()
        };
        let mut limiter = RateLimiter::new(&config).unwrap();
        let mut other = limiter.clone().into_memory();
        let half = limiter.admit(all / 2, Priority::Normal, Instant::NEVER, now);
        assert!(matches!(half, Admission::Go(_)));
        for available in [all, all / 2] {
            limiter.exchange(&mut other);
            assert_eq!(limiter.snapshot(now).available, available);
        }
    }

    #[test]
    fn a_shaper_is_kept_where_somebody_has_its_ticket_and_nowhere_else() {
        let now = Instant::ORIGIN;
        let mut bucket = machine(Algorithm::TokenBucket);
        let mut memory = machine(Algorithm::TokenBucket).into_memory();
        assert!(memory.shaper.is_none(), "a bucket needs none");
        bucket.exchange(&mut memory);
        assert!(memory.shaper.is_none(), "nor does one that is put down");

        // One that waits in a shaper which becomes a bucket has yet to hear of it.
        let mut limiter = machine(Algorithm::Shaper);
        let mut ask = || limiter.admit(1, Priority::Normal, Instant::NEVER, now);
        assert!(matches!(ask(), Admission::Go(_)));
        let Admission::Wait(ticket) = ask() else { panic!("its turn has not come") };
        limiter.reconfigure(&config(Algorithm::TokenBucket), now).unwrap();
        let mut waited_in = limiter.into_memory();
        for waiting in [1, 0, 1] {
            bucket.exchange(&mut waited_in);
            assert_eq!(bucket.snapshot(now).waiting, waiting);
            assert_eq!(waited_in.shaper.is_some(), waiting == 0, "it is in one of the two");
        }
        assert!(matches!(bucket.claim(ticket, now), Admission::No(_)));
        bucket.exchange(&mut waited_in);
        assert!(waited_in.shaper.is_none(), "everybody has been told");
    }

    #[test]
    fn it_is_as_small_as_it_says() {
        assert_eq!(size_of::<RateLimitMemory>(), 48);
    }
}
