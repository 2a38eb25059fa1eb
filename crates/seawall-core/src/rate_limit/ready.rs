//! When a call could go, asked without taking anything.

use core::time::Duration;

use super::{Kind, RateLimiter};
use crate::{Instant, Priority, Refusal};

impl RateLimiter {
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
}

impl Kind {
    /// How long until there are so many tokens.
    pub(super) fn time_until(&self, tokens: u64, now: Instant) -> Option<Duration> {
        match self {
            Self::TokenBucket(bucket) => bucket.time_until(tokens, now),
            Self::LeakyBucket(bucket) => bucket.room.time_until(tokens, now),
            Self::SlidingWindow(window) => window.time_until(tokens, now),
            // Nobody waits for its tokens: whoever still does is to look, and hear that.
            Self::Shaper => Some(Duration::ZERO),
        }
    }
}
