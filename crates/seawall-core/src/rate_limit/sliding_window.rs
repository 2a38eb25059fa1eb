//! The sliding window: at most `limit` in any stretch of time as long as the window, wherever it begins.
//!
//! ```text
//!   exact     ·  ·· ·   |·   · ·· ·|          one stamp for each of the last `limit` tokens; the n-th oldest
//!                        now - W   now        must be a window old before n more are let through
//!   buckets   [ 3 ][ 2 ][ 4 ][ 1 ][ 2 ]       n + 1 counters of W / n; every one that touches the window
//!                  |··············|           counts whole
//! ```
//!
//! Exact costs 8 bytes for each token of the limit. Buckets cost 8 bytes each whatever the limit, and free a
//! token up to W / n late: at least limit / (W x (1 + 1 / n)) is sustained. Neither ever lets more than the
//! limit into a window. The usual two counters, the elder of them weighted, do: up to twice the limit.

use core::time::Duration;

use super::{refused, window_log::Log, window_ring::Ring};
use crate::{Instant, Invalid, Refusal, invalid::first, time::nanos};

/// So many tokens in any window of so long.
///
/// ```
/// use core::time::Duration;
/// use seawall_core::{Instant, SlidingWindowCounter};
///
/// let minute = Duration::from_secs(60);
/// let mut window = SlidingWindowCounter::new(2, minute)?;
/// assert!(window.admit(2, Instant::ORIGIN).is_ok());
/// assert_eq!(window.time_until(1, Instant::ORIGIN), Some(minute));
/// # Ok::<(), seawall_core::Invalid>(())
/// ```
#[derive(Clone, Debug)]
pub struct SlidingWindowCounter {
    limit: u64,
    kept: Kept,
    /// The latest time seen; a clock behind it stands.
    seen: Instant,
}

/// What is remembered of the tokens let through.
#[derive(Clone, Debug)]
enum Kept {
    Log(Log),
    Ring(Ring),
}

impl SlidingWindowCounter {
    /// An exact window: `limit` tokens in any `window`. Takes 8 bytes a token at once, so that none is ever
    /// allocated later. A limit of 0 refuses everything.
    ///
    /// # Errors
    /// An empty window; a limit above 100 000, which is for [`with_buckets`](Self::with_buckets).
    pub fn new(limit: u64, window: Duration) -> Result<Self, Invalid> {
        Self::build(limit, window, None)
    }

    /// A window counted in `buckets` (1 to 1000) parts: any limit in constant memory.
    ///
    /// # Errors
    /// An empty window; too few or too many buckets.
    pub fn with_buckets(limit: u64, window: Duration, buckets: u32) -> Result<Self, Invalid> {
        Self::build(limit, window, Some(buckets))
    }

    pub(super) fn build(
        limit: u64,
        window: Duration,
        buckets: Option<u32>,
    ) -> Result<Self, Invalid> {
        first(|found| check(limit, window, buckets, found))?;
        let kept = match buckets {
            None => Kept::Log(Log::new(limit as usize, nanos(window))),
            Some(buckets) => Kept::Ring(Ring::new(buckets, nanos(window))),
        };
        Ok(Self { limit, kept, seen: Instant::ORIGIN })
    }

    /// Lets `tokens` through, all or none.
    ///
    /// # Errors
    /// [`Reason::Limited`](crate::Reason::Limited) with the time until there is room;
    /// [`Reason::TooLarge`](crate::Reason::TooLarge) without one if there never is.
    #[inline]
    pub fn admit(&mut self, tokens: u64, now: Instant) -> Result<(), Refusal> {
        self.admit_above(0, tokens, now)
    }

    /// Lets `tokens` through if there is room for `floor` more afterwards.
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
        Err(refused(self.time_until(tokens.saturating_add(floor), now), self.limit))
    }

    /// As [`admit_above`](Self::admit_above), and no more than whether it did.
    #[inline]
    pub(super) fn takes_above(&mut self, floor: u64, tokens: u64, now: Instant) -> bool {
        self.seen = self.seen.max(now);
        let wanted = tokens.saturating_add(floor);
        let at = self.seen.as_nanos();
        // Where there is nothing, not even what costs nothing passes.
        let fits = match &mut self.kept {
            _ if self.limit == 0 => false,
            Kept::Log(log) => log.has_room(wanted, at),
            Kept::Ring(ring) => {
                ring.roll(at);
                wanted <= self.limit.saturating_sub(ring.used())
            }
        };
        if fits {
            self.record(tokens);
        }
        fits
    }

    /// Forgets `tokens` that were let through at `taken_at` and not used. Once they have left the window there is
    /// nothing to forget. An exact window forgets the oldest it has, whichever they are: the ones that stay leave
    /// later, so no window ever holds more than the limit.
    pub fn refund(&mut self, tokens: u64, taken_at: Instant) {
        let (taken_at, seen) = (taken_at.as_nanos(), self.seen.as_nanos());
        match &mut self.kept {
            Kept::Log(log) => log.refund(tokens, taken_at, seen),
            Kept::Ring(ring) => ring.refund(tokens, taken_at),
        }
    }

    /// The most tokens in a window.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Tokens there is room for.
    #[must_use]
    pub fn available(&self, now: Instant) -> u64 {
        self.limit.saturating_sub(self.used(now))
    }

    /// How long until there is room for `tokens`, if no others come: zero if there is, `None` if there never is.
    #[must_use]
    pub fn time_until(&self, tokens: u64, now: Instant) -> Option<Duration> {
        if tokens > self.limit || self.limit == 0 {
            return None;
        }
        let seen = self.seen.max(now).as_nanos();
        let wait = match &self.kept {
            Kept::Log(log) => log.time_until(tokens, seen),
            Kept::Ring(ring) => ring.time_until(self.limit - tokens, seen),
        };
        // A clock behind the last one seen must first come up to it.
        let behind = if wait > 0 { self.seen.since(now) } else { Duration::ZERO };
        Some(Duration::from_nanos(wait).saturating_add(behind))
    }

    /// Another limit, window, or way of counting. An exact window keeps its stamps. Otherwise, unless only the
    /// limit changes, what is used stays used as if it had been let through just now, as far as it fits, and is not to
    /// be [given back](Self::refund).
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`with_buckets`](Self::with_buckets); then nothing changes.
    pub fn reconfigure(
        &mut self,
        limit: u64,
        window: Duration,
        buckets: Option<u32>,
        now: Instant,
    ) -> Result<(), Invalid> {
        self.change(limit, window, buckets, now).map(drop)
    }

    /// As [`reconfigure`](Self::reconfigure); says whether it still knows when what is used was let through.
    pub(super) fn change(
        &mut self,
        limit: u64,
        window: Duration,
        buckets: Option<u32>,
        now: Instant,
    ) -> Result<bool, Invalid> {
        let mut fresh = Self::build(limit, window, buckets)?;
        fresh.seen = self.seen.max(now);
        let mut knows = true;
        match (&self.kept, &mut fresh.kept) {
            (Kept::Log(old), Kept::Log(new)) => new.copy(old, fresh.seen.as_nanos()),
            (Kept::Ring(old), Kept::Ring(new)) if old.same_grid(new) => *new = old.clone(),
            (_, Kept::Log(_) | Kept::Ring(_)) => {
                if let Kept::Ring(ring) = &mut fresh.kept {
                    ring.roll(fresh.seen.as_nanos());
                }
                fresh.record(self.used(now).min(limit));
                knows = false;
            }
        }
        *self = fresh;
        Ok(knows)
    }

    #[inline]
    fn record(&mut self, tokens: u64) {
        match &mut self.kept {
            Kept::Log(log) => log.record(tokens, self.seen.as_nanos()),
            Kept::Ring(ring) => ring.record(tokens),
        }
    }

    fn used(&self, now: Instant) -> u64 {
        let now = self.seen.max(now).as_nanos();
        match &self.kept {
            Kept::Log(log) => log.used(now),
            Kept::Ring(ring) => ring.used_at(now),
        }
    }
}

/// Tells everything that is wrong with a window's settings.
pub(super) fn check(
    limit: u64,
    window: Duration,
    buckets: Option<u32>,
    found: &mut dyn FnMut(Invalid),
) {
    if window.is_zero() {
        found(Invalid::new("rate_limit.window", "0s", "more than 0"));
    }
    match buckets {
        None if limit > EXACT_MAX => found(Invalid::new(
            "rate_limit.limit",
            limit,
            "at most 100000 for an exact window: set rate_limit.buckets (10 frees tokens at most 10% late)",
        )
        .beside(&["buckets"])),
        Some(buckets) if !(1..=BUCKETS_MAX).contains(&buckets) => {
            found(Invalid::new("rate_limit.buckets", buckets, "1 to 1000"));
        }
        None | Some(_) => {}
    }
}

/// 800 KB of stamps; more is worth the ten per cent that buckets cost.
const EXACT_MAX: u64 = 100_000;
/// A thousandth of the window is finer than anybody can see, and 8 KB.
const BUCKETS_MAX: u32 = 1_000;
