//! A rate limit under other settings: what is used stays used, who waits goes on waiting.

use super::{Algorithm, GRAIN, Kind, RateLimitConfig, RateLimiter};
use crate::{Instant, Invalid, invalid::first};

impl RateLimiter {
    /// Other settings. With the same algorithm what is used stays used and the balance is clamped; another algorithm
    /// starts as new, and what was taken before is not given back to it. Who waits for tokens goes on waiting, but is
    /// refused by a shaper; who waits in a shaper is refused by anything else. Counts stay.
    ///
    /// # Errors
    /// The first setting that makes no sense; then nothing changes.
    pub fn reconfigure(&mut self, config: &RateLimitConfig, now: Instant) -> Result<(), Invalid> {
        first(|found| config.check(found))?;
        let (capacity, rate) = (config.capacity(), config.rate());
        let (mut places, mut goes_on) = (0, true);
        match (&mut self.kind, config.algorithm) {
            (Kind::TokenBucket(bucket), Algorithm::TokenBucket) => {
                bucket.reconfigure(capacity, rate, now);
            }
            (Kind::LeakyBucket(bucket), Algorithm::LeakyBucket) => {
                bucket.reconfigure(capacity, rate, now);
            }
            (Kind::SlidingWindow(window), Algorithm::SlidingWindow) => {
                goes_on = window.change(config.limit(), config.window(), config.buckets, now)?;
            }
            (_, Algorithm::Shaper) => {
                self.kind = Kind::Shaper;
                places = capacity;
            }
            (_, Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::SlidingWindow) => {
                self.kind = Self::new(config)?.kind;
                goes_on = false;
            }
        }
        if !goes_on {
            self.since = self.since.max(now + GRAIN);
        }
        self.shaper.reconfigure(places, rate);
        self.floors = config.floors();
        self.each_attempt = config.limit_each_attempt;
        if let Some(waiting) = &mut self.waiting {
            waiting.forget_first();
        }
        Ok(())
    }
}
