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
mod shaper;
mod sliding_window;
#[cfg(test)]
mod tests;
mod token_bucket;
mod waiting;
mod window_log;
mod window_ring;

use alloc::boxed::Box;
use core::time::Duration;

use self::waiting::{Place, Waiting};
pub use self::{
    config::{Algorithm, RateLimitConfig, Reserve},
    memory::RateLimitMemory,
    rate::Rate,
    shaper::Shaper,
    sliding_window::SlidingWindowCounter,
    token_bucket::{LeakyBucket, TokenBucket},
};
use crate::{
    Admission, Instant, Invalid, Pattern, Permit, Priority, Reason, Refusal, Ticket,
    invalid::first,
    permit::{place_of, row_of},
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
    /// What was taken earlier was taken from another.
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

    /// The place of a ticket whose wait has ended, for its holder to be woken; each is given once. Call until `None`
    /// after every other verb.
    pub fn settle(&mut self, now: Instant) -> Option<usize> {
        if let Some(place) = self.call_up(now) {
            return Some(place);
        }
        self.shaper.settle(now).map(|row| place_of(row, self.era))
    }

    /// What has become of `ticket`: go, no, or wait on with the ticket.
    pub fn claim(&mut self, ticket: Ticket, now: Instant) -> Admission {
        let found = self.waiting.as_ref().and_then(|waiting| waiting.find(&ticket));
        let answer = match found {
            Some((place, waiter)) => self.look(ticket, place, waiter, now),
            None => self.shaper.claim(ticket.known(self.era), now).of(self.era),
        };
        self.count(&answer);
        answer
    }

    /// The holder of `ticket` has gone; its turn goes to the next.
    pub fn abandon(&mut self, ticket: Ticket) {
        if self.due(&ticket).is_none() {
            return;
        }
        self.abandoned += 1;
        if let Some(waiting) = &mut self.waiting
            && let Some((place, _)) = waiting.find(&ticket)
        {
            waiting.leave(place);
        } else {
            self.shaper.abandon(ticket.known(self.era));
        }
    }

    /// How long until a call of this class that costs `cost` could go, if no others come: zero if it could now, `None` if
    /// it never can. Of those who wait before it only the first is reckoned with, but in a shaper all.
    #[must_use]
    pub fn time_until(&self, cost: u64, priority: Priority, now: Instant) -> Option<Duration> {
        match self.kind {
            Kind::Shaper if cost.max(1) > self.shaper.capacity() => None,
            Kind::Shaper => self.shaper.idle_in(now),
            _ => {
                let alone = self.time_until_alone(cost, priority, now)?;
                Some(self.time_behind(cost, priority, now).map_or(alone, |wait| wait.max(alone)))
            }
        }
    }

    /// When a call of this class that costs `cost` could go, as of [`time_until`](Self::time_until).
    ///
    /// # Errors
    /// Not by `by`: the refusal of one that asks now.
    pub fn ready_by(
        &self,
        cost: u64,
        priority: Priority,
        by: Instant,
        now: Instant,
    ) -> Result<Instant, Refusal> {
        match self.time_until(cost, priority, now) {
            Some(wait) if now + wait <= by => Ok(now + wait),
            _ => Err(self.not_now(cost, priority, now)),
        }
    }

    /// Whether every attempt of a call is to pass, and not the call alone.
    #[inline]
    #[must_use]
    pub const fn limits_each_attempt(&self) -> bool {
        self.each_attempt
    }

    /// Whether anybody waits, or is to be told: then [`settle`](Self::settle) may have something to say.
    #[inline]
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.len() > 0) || self.shaper.is_asked()
    }

    /// Whether the one with this place ([`Ticket::place`]) still waits.
    #[must_use]
    pub fn waits(&self, place: usize) -> bool {
        match &self.waiting {
            Some(waiting) if Place::is_one(place) => waiting.sleeps(place, self.era),
            _ => self.shaper.waits(row_of(place, self.era)),
        }
    }

    /// The next moment when time alone ends a wait.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        let due = self.waiting.as_ref().and_then(|waiting| waiting.due());
        due.into_iter().chain(self.shaper.wake_at()).min()
    }

    /// Other settings. With the same algorithm what is used stays used and the balance is clamped; another algorithm
    /// starts as new. Who waits for tokens goes on waiting, but is refused by a shaper; who waits in a shaper is refused by
    /// anything else. Counts stay.
    ///
    /// # Errors
    /// The first setting that makes no sense; then nothing changes.
    pub fn reconfigure(&mut self, config: &RateLimitConfig, now: Instant) -> Result<(), Invalid> {
        first(|found| config.check(found))?;
        let (capacity, rate) = (config.capacity(), config.rate());
        let mut places = 0;
        match (&mut self.kind, config.algorithm) {
            (Kind::TokenBucket(bucket), Algorithm::TokenBucket) => {
                bucket.reconfigure(capacity, rate, now);
            }
            (Kind::LeakyBucket(bucket), Algorithm::LeakyBucket) => {
                bucket.reconfigure(capacity, rate, now);
            }
            (Kind::SlidingWindow(window), Algorithm::SlidingWindow) => {
                window.reconfigure(config.limit(), config.window(), config.buckets, now)?;
            }
            (_, Algorithm::Shaper) => {
                self.kind = Kind::Shaper;
                places = capacity;
            }
            (_, Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::SlidingWindow) => {
                self.kind = Self::new(config)?.kind;
            }
        }
        self.shaper.reconfigure(places, rate);
        self.floors = config.floors();
        self.each_attempt = config.limit_each_attempt;
        if let Some(waiting) = &mut self.waiting {
            waiting.forget_first();
        }
        Ok(())
    }

    /// Its figures.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> RateLimitSnapshot {
        let shaper = &self.shaper;
        let (algorithm, limit, available, retry_after, reset) = match &self.kind {
            Kind::TokenBucket(bucket) => figures(Algorithm::TokenBucket, bucket, now),
            Kind::LeakyBucket(bucket) => figures(Algorithm::LeakyBucket, &bucket.room, now),
            Kind::SlidingWindow(window) => (
                Algorithm::SlidingWindow,
                window.limit(),
                window.available(now),
                window.time_until(1, now),
                window.time_until(window.limit(), now),
            ),
            Kind::Shaper => (
                Algorithm::Shaper,
                shaper.capacity(),
                shaper.available(),
                shaper.room_in(1, now),
                shaper.idle_in(now),
            ),
        };
        RateLimitSnapshot {
            algorithm,
            allowed: self.allowed,
            refused: self.refused,
            abandoned: self.abandoned,
            waiting: shaper.waiting() + self.waiting.as_ref().map_or(0, |it| it.len() as u32),
            limit,
            available,
            retry_after,
            reset: reset.filter(|_| limit > 0),
        }
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

impl Kind {
    /// How long until there are so many tokens.
    fn time_until(&self, tokens: u64, now: Instant) -> Option<Duration> {
        match self {
            Self::TokenBucket(bucket) => bucket.time_until(tokens, now),
            Self::LeakyBucket(bucket) => bucket.room.time_until(tokens, now),
            Self::SlidingWindow(window) => window.time_until(tokens, now),
            // Nobody waits for its tokens: whoever still does is to look, and hear that.
            Self::Shaper => Some(Duration::ZERO),
        }
    }
}

/// What a [`RateLimiter`] shows. Calls that asked = allowed + refused + abandoned + waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimitSnapshot {
    /// How the limit is kept.
    pub algorithm: Algorithm,
    /// Calls let through, ever.
    pub allowed: u64,
    /// Calls refused, ever.
    pub refused: u64,
    /// Calls that gave up waiting, ever.
    pub abandoned: u64,
    /// Calls waiting for their turn, or called up and not gone yet.
    pub waiting: u32,
    /// The most tokens there can be; of a shaper, places to wait in.
    pub limit: u64,
    /// Tokens left, to the most urgent class; of a shaper, places to wait in.
    #[doc(alias = "remaining")]
    pub available: u64,
    /// How long until there is one: zero if there is, `None` if there never is.
    pub retry_after: Option<Duration>,
    /// How long until all are there again; of a shaper, until a call would go at once. `None` for never.
    pub reset: Option<Duration>,
}

/// What a class must leave.
#[inline]
fn floor(floors: &[u64; 4], class: Priority) -> u64 {
    class.index().checked_sub(1).map_or(0, |place| floors[place])
}

type Figures = (Algorithm, u64, u64, Option<Duration>, Option<Duration>);

fn figures(algorithm: Algorithm, bucket: &TokenBucket, now: Instant) -> Figures {
    let capacity = bucket.capacity();
    let until = |tokens| bucket.time_until(tokens, now);
    (algorithm, capacity, bucket.available(now), until(1), until(capacity))
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

/// The grain of time: what was taken in the moment it joined may have been another's, and is not given back.
const GRAIN: Duration = Duration::from_nanos(1);
