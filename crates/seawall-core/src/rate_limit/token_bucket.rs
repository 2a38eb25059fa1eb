//! The token bucket, and the leaky bucket, which is the same bucket seen from the other side.
//!
//! ```text
//!    rate ──▶ ┌───────────┐ capacity          ┌───────────┐ capacity ── admit: level + n <= capacity
//!             │           │                   │▓▓▓▓▓▓▓▓▓▓▓│
//!             │▓▓▓▓▓▓▓▓▓▓▓│ available         │▓▓▓▓▓▓▓▓▓▓▓│ level
//!             └─────┬─────┘                   └─────┬─────┘
//!                   ▼ admit: n <= available         ▼ rate
//! ```
//!
//! The balance is kept in parts of a token (see [`Rate`]), so time is credited whole at every look: a bucket
//! that rounds at each refill delivers two thirds of its rate when polled at the wrong moment. In any interval
//! d it lets through at most capacity + d x rate.
//!
//! Not GCRA, which is this in one number: its emission interval is a quotient, and keeping that exact takes the
//! same two numbers again.

use core::{mem::replace, time::Duration};

use super::{Rate, refused};
use crate::{Instant, Refusal};

/// Tokens that are earned at a steady rate and saved up to a capacity. Starts full. 80 bytes.
///
/// ```
/// use core::time::Duration;
/// use seawall_core::{Instant, Rate, TokenBucket};
///
/// let mut bucket = TokenBucket::new(2, Rate::per_second(100));
/// assert!(bucket.admit(2, Instant::ORIGIN).is_ok());
/// let refusal = bucket.admit(1, Instant::ORIGIN).unwrap_err();
/// assert_eq!(refusal.retry_after, Some(Duration::from_millis(10)));
/// ```
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate: Rate,
    /// 0 if the rate is: what is never filled again is never used.
    capacity: u64,
    /// In parts, like `full`; what is above that is cut off at the next look.
    credit: u128,
    full: u128,
    /// Until when time has been credited.
    credited: Instant,
}

impl TokenBucket {
    /// A full bucket of `capacity` tokens, filled at `rate`. If either is 0 it refuses everything.
    #[must_use]
    pub const fn new(capacity: u64, rate: Rate) -> Self {
        let capacity = if rate.is_zero() { 0 } else { capacity };
        let full = rate.price(capacity);
        Self { rate, capacity, credit: full, full, credited: Instant::ORIGIN }
    }

    /// Takes `tokens`, all or none.
    ///
    /// # Errors
    /// [`Reason::Limited`](crate::Reason::Limited) with the time until there are enough;
    /// [`Reason::TooLarge`](crate::Reason::TooLarge) without one if there never are.
    #[inline]
    pub fn admit(&mut self, tokens: u64, now: Instant) -> Result<(), Refusal> {
        self.admit_above(0, tokens, now)
    }

    /// Takes `tokens` if `floor` more are left afterwards.
    #[inline]
    pub(super) fn admit_above(
        &mut self,
        floor: u64,
        tokens: u64,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.takes_above(floor, tokens, now) {
            return Ok(());
        }
        Err(refused(self.time_until(tokens.saturating_add(floor), now), self.capacity))
    }

    /// As [`admit_above`](Self::admit_above), and no more than whether it did.
    #[inline]
    pub(super) fn takes_above(&mut self, floor: u64, tokens: u64, now: Instant) -> bool {
        self.refill(now);
        // Where there is nothing, not even what costs nothing passes.
        let there =
            self.capacity != 0 && self.rate.price(tokens.saturating_add(floor)) <= self.credit;
        if there {
            self.credit -= self.rate.price(tokens);
        }
        there
    }

    /// Takes as many whole tokens as there are, at most `tokens`, and says how many.
    #[must_use = "what was taken and is not used should be refunded"]
    pub fn take_up_to(&mut self, tokens: u64, now: Instant) -> u64 {
        self.refill(now);
        let taken = self.rate.whole(self.credit).min(tokens);
        self.credit -= self.rate.price(taken);
        taken
    }

    /// Puts back `tokens` that were taken and not used.
    pub fn refund(&mut self, tokens: u64) {
        self.credit = self.credit.saturating_add(self.rate.price(tokens));
    }

    /// The most tokens there can be.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whole tokens there are.
    #[must_use]
    pub fn available(&self, now: Instant) -> u64 {
        self.rate.whole(self.credit_at(now))
    }

    /// How long until there are `tokens`, if nobody else takes any: zero if there are, `None` if there never are.
    #[must_use]
    pub fn time_until(&self, tokens: u64, now: Instant) -> Option<Duration> {
        if tokens > self.capacity || self.capacity == 0 {
            return None;
        }
        let missing = self.rate.price(tokens).saturating_sub(self.credit_at(now));
        let wait = self.rate.time(missing)?;
        // A clock behind the last one seen must first come up to it.
        let behind = if wait > 0 { self.credited.since(now) } else { Duration::ZERO };
        Some(Duration::from_nanos(wait).saturating_add(behind))
    }

    /// Another capacity and rate. The tokens there are stay, as far as they fit.
    pub fn reconfigure(&mut self, capacity: u64, rate: Rate, now: Instant) {
        self.refill(now);
        let fresh = Self::new(capacity, rate);
        self.credit = self.rate.convert(self.credit, rate).min(fresh.full);
        (self.rate, self.capacity, self.full) = (rate, fresh.capacity, fresh.full);
    }

    /// What is in it.
    pub(super) const fn level(&self) -> Level {
        let credit = [self.credit as u64, (self.credit >> u64::BITS) as u64];
        Level { credit, credited: self.credited }
    }

    /// Puts down what is in it and takes up another.
    pub(super) const fn exchange(&mut self, level: &mut Level) {
        let Level { credit: [low, high], credited } = replace(level, self.level());
        self.credit = (high as u128) << u64::BITS | low as u128;
        self.credited = credited;
    }

    /// Credits the time that has passed.
    #[inline]
    fn refill(&mut self, now: Instant) {
        self.credit = self.credit_at(now);
        self.credited = self.credited.max(now);
    }

    #[inline]
    fn credit_at(&self, now: Instant) -> u128 {
        let passed = now.as_nanos().saturating_sub(self.credited.as_nanos());
        self.credit.saturating_add(self.rate.earned(passed)).min(self.full)
    }
}

/// What is in a bucket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    /// The halves of a 128-bit number, the lower first: whole, it would be padded.
    credit: [u64; 2],
    credited: Instant,
}

/// A bucket that calls fill and time empties: a meter, which never delays anything ([`Shaper`](super::Shaper)
/// does). Starts empty. 80 bytes.
#[derive(Clone, Debug)]
pub struct LeakyBucket {
    /// The room left in it is a bucket of tokens.
    pub(super) room: TokenBucket,
}

impl LeakyBucket {
    /// An empty bucket that holds `capacity` and leaks at `rate`. If either is 0 it refuses everything.
    #[must_use]
    pub const fn new(capacity: u64, rate: Rate) -> Self {
        Self { room: TokenBucket::new(capacity, rate) }
    }

    /// Pours in `amount`, all or nothing.
    ///
    /// # Errors
    /// [`Reason::Limited`](crate::Reason::Limited) with the time until it fits;
    /// [`Reason::TooLarge`](crate::Reason::TooLarge) without one if it never does.
    #[inline]
    pub fn admit(&mut self, amount: u64, now: Instant) -> Result<(), Refusal> {
        self.room.admit(amount, now)
    }

    /// Takes out `amount` that was poured in and not used.
    pub fn refund(&mut self, amount: u64) {
        self.room.refund(amount);
    }

    /// How much is in it; what has begun to leak counts as if it had not.
    #[must_use]
    pub fn level(&self, now: Instant) -> u64 {
        self.room.capacity() - self.available(now)
    }

    /// How much fits in.
    #[must_use]
    pub fn available(&self, now: Instant) -> u64 {
        self.room.available(now)
    }

    /// How long until `amount` fits, if nobody else pours: zero if it does, `None` if it never does.
    #[must_use]
    pub fn time_until(&self, amount: u64, now: Instant) -> Option<Duration> {
        self.room.time_until(amount, now)
    }

    /// Another capacity and rate. The room there is stays, as far as there is so much.
    pub fn reconfigure(&mut self, capacity: u64, rate: Rate, now: Instant) {
        self.room.reconfigure(capacity, rate, now);
    }
}
