//! The rules on shares of calls: how many failed, how many were slow.
//!
//! ```text
//!   a call ends ──────────────────────▸ failure window: failed or not
//!     └─ unless counted already ──────▸ slow window: slow or not
//!   a call has run for slow_after ────▸ slow window: slow
//! ```
//!
//! Two windows, because the two verdicts fall at different times: with one, a hung callee would have to be judged
//! before it failed, or its slowness would wait for an end that never comes. A call counts once in each; one that
//! is ignored counts in neither, unless it was slow before.

use alloc::boxed::Box;

use super::{CircuitBreakerConfig, ledger::Ledger, ledger::Sum, running::Running};
use crate::{Cause, End, Instant, Outcome};

/// The windows that are configured, and the calls that run.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    pub(super) failure: Option<Box<Ledger>>,
    pub(super) slow: Option<Box<Ledger>>,
    pub(super) running: Running,
}

impl Rates {
    pub(super) fn new(config: &CircuitBreakerConfig, places: u8) -> Self {
        let ledger = || Box::new(Ledger::new(config.window));
        Self {
            failure: config.failure_rate.map(|_| ledger()),
            slow: config.slow_rate.map(|_| ledger()),
            running: Running::new(if config.slow_rate.is_some() { places } else { 0 }),
        }
    }

    /// The place of a call that starts, if it is to be looked at.
    pub(super) fn enter(&mut self, now: Instant) -> u8 {
        if self.slow.is_some() { self.running.enter(now) } else { 0 }
    }

    /// A call ended; the cause to open if a share is reached.
    pub(super) fn ended(
        &mut self,
        config: &CircuitBreakerConfig,
        place: u8,
        end: End,
        now: Instant,
    ) -> Option<Cause> {
        let counted = self.running.leave(place);
        if end.outcome == Outcome::Ignored {
            return None;
        }
        if let Some(failure) = &mut self.failure {
            failure.record(end.outcome == Outcome::Failure, now);
        }
        let by_failures = self.too_many_failed(config, |failure| failure.sum(now));
        if counted {
            return by_failures;
        }
        if let Some(slow) = &mut self.slow {
            slow.record(config.is_slow(end.took()), now);
        }
        by_failures.or_else(|| self.too_many_slow(config, |slow| slow.sum(now)))
    }

    /// Whether running calls are looked at, or some still have a place from when they were.
    pub(super) const fn watch(&self) -> bool {
        self.slow.is_some() || !self.running.is_empty()
    }

    /// A call succeeded, and running calls are not looked at: whether the share of failures is reached, now that there
    /// are calls enough.
    #[inline]
    pub(super) fn tips_with_success(
        &mut self,
        config: &CircuitBreakerConfig,
        now: Instant,
    ) -> bool {
        let (Some(failure), Some(rate)) = (&mut self.failure, config.failure_rate) else {
            return false;
        };
        failure.record(false, now);
        failure.sum(now).reaches(rate, config.minimum_calls)
    }

    /// A call has run for `slow_after`; the cause to open if that reaches the share.
    pub(super) fn crossed(
        &mut self,
        config: &CircuitBreakerConfig,
        place: u8,
        at: Instant,
    ) -> Option<Cause> {
        self.running.count(place);
        self.slow.as_mut()?.record(true, at);
        self.too_many_slow(config, |slow| slow.sum(at))
    }

    /// The share that the failure of the call at `place`, now, would reach, if any.
    pub(super) fn would_open(
        &self,
        config: &CircuitBreakerConfig,
        place: u8,
        now: Instant,
    ) -> Option<Cause> {
        let slow = || self.too_many_slow(config, |slow| slow.sum_with(false, now));
        let by_failures = self.too_many_failed(config, |failure| failure.sum_with(true, now));
        by_failures.or_else(|| if self.running.is_counted(place) { None } else { slow() })
    }

    /// When the next running call becomes slow, and its place.
    pub(super) fn next_crossing(&self, config: &CircuitBreakerConfig) -> Option<(Instant, u8)> {
        let slow_after = config.slow_after?;
        self.running.oldest().map(|(place, since)| (since + slow_after, place))
    }

    /// Goes on under another configuration: a window that stays the same keeps what it holds. Whether none was
    /// emptied.
    pub(super) fn reconfigure(
        &mut self,
        old: &CircuitBreakerConfig,
        new: &CircuitBreakerConfig,
        places: u8,
        now: Instant,
    ) -> bool {
        let fresh = Self::new(new, places);
        let same = old.window == new.window;
        let kept = |held: Option<Box<Ledger>>, fresh: Option<Box<Ledger>>| {
            // Turned off or on: nothing that goes on is emptied.
            let goes_on = held.is_some() && fresh.is_some();
            let held = held.filter(|_| same);
            (fresh.map(|fresh| held.unwrap_or(fresh)), same || !goes_on)
        };
        let (failure, kept_failures) = kept(self.failure.take(), fresh.failure);
        let (slow, kept_slow) = kept(self.slow.take(), fresh.slow);
        (self.failure, self.slow) = (failure, slow);
        if self.running.is_empty() {
            self.running = fresh.running;
        } else if let Some(slow_after) = new.slow_after {
            self.running.excuse(slow_after, now);
        }
        kept_failures && kept_slow
    }

    pub(super) fn too_many_failed(
        &self,
        config: &CircuitBreakerConfig,
        sum: impl FnOnce(&Ledger) -> Sum,
    ) -> Option<Cause> {
        let Sum { bad: failed, calls } =
            reached(config.failure_rate?, config, sum(self.failure.as_deref()?))?;
        Some(Cause::FailureRate { failed, calls })
    }

    fn too_many_slow(
        &self,
        config: &CircuitBreakerConfig,
        sum: impl FnOnce(&Ledger) -> Sum,
    ) -> Option<Cause> {
        let Sum { bad: slow, calls } =
            reached(config.slow_rate?, config, sum(self.slow.as_deref()?))?;
        Some(Cause::SlowRate { slow, calls })
    }
}

fn reached(rate: crate::Ratio, config: &CircuitBreakerConfig, sum: Sum) -> Option<Sum> {
    sum.reaches(rate, config.minimum_calls).then_some(sum)
}
