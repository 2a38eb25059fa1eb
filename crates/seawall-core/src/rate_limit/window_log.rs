//! The exact window's memory: the stamps of the last tokens, in a ring for as many as the limit.
//!
//! ```text
//!   oldest ─▶ [ 3 7 7 9 . . . . ] ◀─ next      room for n: n places are empty or hold stamps a window old
//! ```
//!
//! Stamps are in order, so one of them answers for all older ones: nothing is swept, and the decision costs the
//! same after an hour's silence as after a nanosecond's. A limit that is lowered keeps the stamps above it, so that what is
//! given back of them makes no room for others.

use alloc::{boxed::Box, vec};

/// Stamps in nanoseconds, in order.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// Room for the limit, or for those there were when it was lowered.
    stamps: Box<[u64]>,
    limit: usize,
    /// Where the next one goes.
    next: usize,
    len: usize,
    window: u64,
}

impl Log {
    pub(super) fn new(limit: usize, window: u64) -> Self {
        Self { stamps: vec![0; limit].into_boxed_slice(), limit, next: 0, len: 0, window }
    }

    /// Whether `tokens` more may be let through.
    #[inline]
    pub(super) fn has_room(&self, tokens: u64, now: u64) -> bool {
        tokens <= self.limit as u64 && self.time_until(tokens, now) == 0
    }

    /// How long until `tokens`, at most the limit, may be let through.
    #[inline]
    pub(super) fn time_until(&self, tokens: u64, now: u64) -> u64 {
        match (tokens as usize + self.len).checked_sub(self.limit + 1) {
            None => 0,
            Some(nth) => self.window.saturating_sub(now - self.oldest(nth)),
        }
    }

    pub(super) fn used(&self, now: u64) -> u64 {
        (self.len - self.older_than(self.window, now)) as u64
    }

    /// `tokens` were let through; `now` is not before any stamp.
    #[inline]
    pub(super) fn record(&mut self, tokens: u64, now: u64) {
        for _ in 0..tokens {
            self.push(now);
        }
    }

    /// Forgets the oldest `tokens` of the window that ends at `seen`, if those of `taken_at` are still in it.
    pub(super) fn refund(&mut self, tokens: u64, taken_at: u64, seen: u64) {
        if seen.saturating_sub(taken_at) < self.window {
            let expired = self.older_than(self.window, seen);
            let rest = self.len - expired;
            self.len = rest - rest.min(usize::try_from(tokens).unwrap_or(usize::MAX));
        }
    }

    /// An empty one takes over the stamps of `other` that are in its window, and of the older ones as many as the limit.
    pub(super) fn copy(&mut self, other: &Self, now: u64) {
        let inside = other.len - other.older_than(self.window, now);
        let kept = inside.max(other.len.min(self.limit));
        self.stamps = vec![0; kept.max(self.limit)].into_boxed_slice();
        for nth in other.len - kept..other.len {
            self.push(other.oldest(nth));
        }
    }

    #[inline]
    fn push(&mut self, stamp: u64) {
        self.stamps[self.next] = stamp;
        self.next = if self.next + 1 == self.stamps.len() { 0 } else { self.next + 1 };
        self.len = (self.len + 1).min(self.stamps.len());
    }

    /// Stamps that are a window old.
    fn older_than(&self, window: u64, now: u64) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if now - self.oldest(middle) >= window {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The `nth` oldest stamp, counted from 0.
    #[inline]
    fn oldest(&self, nth: usize) -> u64 {
        let at = self.next + self.stamps.len() - self.len + nth;
        self.stamps[if at >= self.stamps.len() { at - self.stamps.len() } else { at }]
    }
}
