//! The bucketed window's memory: n + 1 counters, each for an n-th of the window.
//!
//! ```text
//!   bucket i is [i W/n, (i + 1) W/n)      now in bucket b      counted whole: b - n ..= b
//! ```
//!
//! The window that ends now begins in bucket b - n or later, so the count is never below the true one. The edges
//! are exact fractions: a width rounded up would let through less than promised, rounded down more.

use alloc::{boxed::Box, vec};

/// Counters around a circle.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    /// n + 1 of them; bucket i has place i mod (n + 1).
    counts: Box<[u64]>,
    window: u64,
    /// The newest bucket.
    current: u128,
    /// Its place.
    at: usize,
    /// Where it ends.
    until: u64,
    /// The sum of the counters.
    used: u64,
}

impl Ring {
    pub(super) fn new(buckets: u32, window: u64) -> Self {
        let counts = vec![0; buckets as usize + 1].into_boxed_slice();
        let mut ring = Self { counts, window, current: 0, at: 0, until: 0, used: 0 };
        ring.until = ring.start(1);
        ring
    }

    /// Whether bucket i of both is the same stretch of time.
    pub(super) fn same_grid(&self, other: &Self) -> bool {
        (self.window, self.counts.len()) == (other.window, other.counts.len())
    }

    /// What is counted, after [`roll`](Self::roll).
    #[inline]
    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// Empties the buckets that have left the window.
    #[inline]
    pub(super) fn roll(&mut self, now: u64) {
        if now >= self.until {
            self.roll_on(now);
        }
    }

    #[cold]
    fn roll_on(&mut self, now: u64) {
        let newest = self.index(now);
        for bucket in (self.current + 1..=newest).take(self.counts.len()) {
            // A circle later, each place holds the bucket that leaves.
            let place = self.place(bucket);
            self.used -= core::mem::take(&mut self.counts[place]);
        }
        self.current = newest;
        self.at = self.place(newest);
        self.until = self.start(newest + 1);
    }

    /// `tokens` were let through, in the newest bucket.
    #[inline]
    pub(super) fn record(&mut self, tokens: u64) {
        self.counts[self.at] += tokens;
        self.used += tokens;
    }

    /// Forgets `tokens` of the bucket of `taken_at`, if it is still in the window.
    pub(super) fn refund(&mut self, tokens: u64, taken_at: u64) {
        let bucket = self.index(taken_at);
        if (self.oldest()..=self.current).contains(&bucket) {
            let place = self.place(bucket);
            let forgotten = self.counts[place].min(tokens);
            self.counts[place] -= forgotten;
            self.used -= forgotten;
        }
    }

    /// What would be counted at `now`.
    pub(super) fn used_at(&self, now: u64) -> u64 {
        let newest = self.index(now).max(self.current);
        (self.oldest()..=self.current)
            .filter(|bucket| bucket + self.buckets() >= newest)
            .map(|bucket| self.counts[self.place(bucket)])
            .sum()
    }

    /// How long until at most `allowed` are counted.
    pub(super) fn time_until(&self, allowed: u64, now: u64) -> u64 {
        let mut used = self.used;
        for bucket in self.oldest()..=self.current {
            if used <= allowed {
                break;
            }
            used -= self.counts[self.place(bucket)];
            if used <= allowed {
                return self.start(bucket + self.buckets() + 1).saturating_sub(now);
            }
        }
        0
    }

    const fn buckets(&self) -> u128 {
        self.counts.len() as u128 - 1
    }

    /// The oldest bucket that is counted while the newest is the current one.
    const fn oldest(&self) -> u128 {
        self.current.saturating_sub(self.buckets())
    }

    fn place(&self, bucket: u128) -> usize {
        (bucket % self.counts.len() as u128) as usize
    }

    /// The bucket that `now` is in.
    const fn index(&self, now: u64) -> u128 {
        now as u128 * self.buckets() / self.window as u128
    }

    /// The first nanosecond of `bucket`.
    fn start(&self, bucket: u128) -> u64 {
        let start = (bucket * self.window as u128).div_ceil(self.buckets());
        u64::try_from(start).unwrap_or(u64::MAX)
    }
}
