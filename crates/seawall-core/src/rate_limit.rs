//! Rate limiting: at most so many per so long, counted exactly.
//!
//! ```text
//!                   token_bucket    leaky_bucket    sliding_window       shaper
//!   at once         capacity        capacity        limit                1
//!   in an interval  capacity + d x rate             limit per window     d x rate
//!   too many        refused, or     refused, or     refused, or          waits for its turn
//!                   waits           waits           waits
//!   memory          80 bytes        80 bytes        8 x limit, or 8 x    its waiters
//!                                                   buckets
//! ```
//!
//! A [`RateLimiter`] is one of the four behind the same verbs. Nothing is rounded anywhere: whole numbers of
//! parts instead of fractions of tokens (see [`Rate`]), so the rate does not depend on when somebody looks.
//!
//! A class may use what there is only down to the reserves of the classes above it, so the most urgent class
//! always finds its own. Refusals say when to ask again, and a refusal that waiting cannot change says no time.

mod config;
mod line;
mod memory;
mod rate;
mod ready;
mod reconfigure;
mod shaper;
mod sliding_window;
mod snapshot;
#[cfg(test)]
mod tests;
mod tickets;
mod token_bucket;
mod waiting;
mod window_log;
mod window_ring;

use alloc::boxed::Box;
use core::time::Duration;

use self::waiting::Waiting;
pub use self::{
    config::{Algorithm, RateLimitConfig, Reserve},
    memory::RateLimitMemory,
    rate::Rate,
    shaper::Shaper,
    sliding_window::SlidingWindowCounter,
    snapshot::RateLimitSnapshot,
    token_bucket::{LeakyBucket, TokenBucket},
};
use crate::{
    Admission, Instant, Invalid, Pattern, Permit, Priority, Reason, Refusal, invalid::first,
};

/// A limit kept by the configured algorithm.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    kind: Kind,
    /// Idle unless it is the configured algorithm; here always, so that whoever waits when the algorithm changes
    /// is told.
    shaper: Shaper,
    /// Those who wait for tokens, once anybody has.
    waiting: Option<Box<Waiting>>,
    /// Of all limiters that have been here.
    era: u32,
    /// What was taken earlier was taken from another, or by another algorithm.
    since: Instant,
    /// What each class must leave, but the most urgent: it may use everything.
    floors: [u64; 4],
    each_attempt: bool,
    allowed: u64,
    refused: u64,
    abandoned: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    TokenBucket(TokenBucket),
    SlidingWindow(SlidingWindowCounter),
    LeakyBucket(LeakyBucket),
    Shaper,
}

impl RateLimiter {
    /// A limiter that has let nothing through.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn new(config: &RateLimitConfig) -> Result<Self, Invalid> {
        first(|found| config.check(found))?;
        let (kind, places) = match config.algorithm {
            Algorithm::TokenBucket => {
                (Kind::TokenBucket(TokenBucket::new(config.capacity(), config.rate())), 0)
            }
            Algorithm::LeakyBucket => {
                (Kind::LeakyBucket(LeakyBucket::new(config.capacity(), config.rate())), 0)
            }
            Algorithm::SlidingWindow => {
                let (limit, window) = (config.limit(), config.window());
                let counter = SlidingWindowCounter::build(limit, window, config.buckets)?;
                (Kind::SlidingWindow(counter), 0)
            }
            Algorithm::Shaper => (Kind::Shaper, config.capacity()),
        };
        Ok(Self {
            kind,
            shaper: Shaper::new(places, config.rate()),
            waiting: None,
            era: 0,
            since: Instant::ORIGIN,
            floors: config.floors(),
            each_attempt: config.limit_each_attempt,
            allowed: 0,
            refused: 0,
            abandoned: 0,
        })
    }

    /// The same limiter, to whom tickets of those that were here until now, and what was taken from them, mean nothing:
    /// `era` is another than theirs, and not 0, which is that of the first.
    #[must_use]
    pub fn joining(mut self, era: u32, now: Instant) -> Self {
        (self.era, self.since) = (era, now + GRAIN);
        self
    }

    /// Whether a call that costs `cost` tokens may proceed. Only a shaper lets it wait, and refuses it if its turn
    /// would come after `give_up_at`. The permit is not given back.
    #[inline]
    pub fn admit(
        &mut self,
        cost: u64,
        priority: Priority,
        give_up_at: Instant,
        now: Instant,
    ) -> Admission {
        if self.takes(cost, priority, now) {
            return Admission::Go(Permit::new(0, 0));
        }
        self.admit_otherwise(cost, priority, give_up_at, now)
    }

    /// Whether it lets a call pass that nobody waits before: most calls, and they pay for no more than that. The others
    /// are for [`admit_otherwise`](Self::admit_otherwise) or [`admit_or_wait`](Self::admit_or_wait).
    #[inline]
    pub(crate) fn takes(&mut self, cost: u64, priority: Priority, now: Instant) -> bool {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.len() > 0) {
            return false;
        }
        let floor = floor(&self.floors, priority);
        let taken = match &mut self.kind {
            Kind::TokenBucket(bucket) => bucket.takes_above(floor, cost, now),
            Kind::LeakyBucket(bucket) => bucket.room.takes_above(floor, cost, now),
            Kind::SlidingWindow(window) => window.takes_above(floor, cost, now),
            Kind::Shaper => false,
        };
        self.allowed += u64::from(taken);
        taken
    }

    /// What becomes of a call that it does not [let pass](Self::takes) at once.
    #[cold]
    pub(crate) fn admit_otherwise(
        &mut self,
        cost: u64,
        priority: Priority,
        give_up_at: Instant,
        now: Instant,
    ) -> Admission {
        let answer = match &self.waiting {
            Some(waiting) if waiting.is_before(priority) => {
                Admission::No(self.not_now(cost, priority, now))
            }
            _ => self.take(cost, priority, give_up_at, now),
        };
        self.count(&answer);
        answer
    }

    /// A call that cost `cost` and was let through at `taken_at` never ran. A shaper gives no turn back: the turn has
    /// passed, and another in its stead would follow too closely on the next.
    pub fn refund(&mut self, cost: u64, taken_at: Instant) {
        if taken_at < self.since {
            return;
        }
        match &mut self.kind {
            Kind::TokenBucket(bucket) => bucket.refund(cost),
            Kind::SlidingWindow(window) => window.refund(cost, taken_at),
            Kind::LeakyBucket(bucket) => bucket.refund(cost),
            Kind::Shaper => {}
        }
    }

    /// Whether every attempt of a call is to pass, and not the call alone.
    #[inline]
    #[must_use]
    pub const fn limits_each_attempt(&self) -> bool {
        self.each_attempt
    }

    /// The tokens, or a turn, without a look at who waits for tokens.
    #[inline]
    fn take(
        &mut self,
        cost: u64,
        priority: Priority,
        give_up_at: Instant,
        now: Instant,
    ) -> Admission {
        let floor = floor(&self.floors, priority);
        let answer = match &mut self.kind {
            Kind::TokenBucket(bucket) => bucket.admit_above(floor, cost, now),
            Kind::SlidingWindow(window) => window.admit_above(floor, cost, now),
            Kind::LeakyBucket(bucket) => bucket.room.admit_above(floor, cost, now),
            Kind::Shaper => return self.shaper.admit(cost, give_up_at, now).of(self.era),
        };
        answer.map_or_else(Admission::No, |()| Admission::Go(Permit::new(0, 0)))
    }

    pub(crate) const fn is_shaper(&self) -> bool {
        matches!(self.kind, Kind::Shaper)
    }

    #[inline]
    const fn count(&mut self, answer: &Admission) {
        match answer {
            Admission::Go(_) => self.allowed += 1,
            Admission::No(_) => self.refused += 1,
            Admission::Wait(_) => {}
        }
    }
}

/// What a class must leave.
#[inline]
fn floor(floors: &[u64; 4], class: Priority) -> u64 {
    class.index().checked_sub(1).map_or(0, |place| floors[place])
}

/// The refusal of a limit with `most` tokens, which has enough after `wait`.
#[inline]
fn refused(wait: Option<Duration>, most: u64) -> Refusal {
    match wait {
        Some(wait) => Refusal::new(Pattern::RateLimit, Reason::Limited).after(wait),
        None if most == 0 => Refusal::new(Pattern::RateLimit, Reason::Limited),
        None => Refusal::new(Pattern::RateLimit, Reason::TooLarge),
    }
}

/// The grain of time: what was taken in the very moment of a change may have been taken before it, and is not given back.
const GRAIN: Duration = Duration::from_nanos(1);
