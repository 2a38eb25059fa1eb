//! What a rate limit shows.

use core::time::Duration;

use super::{Algorithm, Kind, RateLimiter, TokenBucket};
use crate::Instant;

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

impl RateLimiter {
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
            reset,
        }
    }
}

type Figures = (Algorithm, u64, u64, Option<Duration>, Option<Duration>);

fn figures(algorithm: Algorithm, bucket: &TokenBucket, now: Instant) -> Figures {
    let capacity = bucket.capacity();
    let until = |tokens| bucket.time_until(tokens, now);
    (algorithm, capacity, bucket.available(now), until(1), until(capacity))
}
