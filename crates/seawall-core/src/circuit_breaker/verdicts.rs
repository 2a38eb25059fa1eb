//! How calls end, and what follows from it.
//!
//! ```text
//!   closed      a call's end or its slowness ▸ any rule trips ▸ open
//!   half-open   a probe's end or its time    ▸ failed, slow   ▸ open
//!                                            ▸ the last success needed ▸ closed
//!   else, or of an older epoch               ▸ counted, and nothing; not even that if another let it through
//! ```

use core::{mem, time::Duration};

use super::{CircuitBreaker, Place, transitions::State};
use crate::{Cause, End, Instant, Outcome, Permit, Phase, Transition};

impl CircuitBreaker {
    /// The end of a call it admitted.
    #[inline]
    pub fn report(&mut self, permit: Permit, end: End, now: Instant) -> Option<Transition> {
        // Closed stays closed; a success ends the row of failures.
        let good = end.outcome == Outcome::Success && self.rates.is_none();
        if permit.epoch() == self.epoch && self.plain && good {
            self.failures = 0;
            self.successes += 1;
            self.last_success = now;
            return None;
        }
        self.report_to_rates(&permit, end, now)
    }

    /// As above, but for a share of failures. A step of its own, or the report were in line nowhere.
    #[inline(never)]
    fn report_to_rates(&mut self, permit: &Permit, end: End, now: Instant) -> Option<Transition> {
        if self.plain
            && permit.epoch() == self.epoch
            && end.outcome == Outcome::Success
            && let Some(rates) = &mut self.rates
        {
            self.failures = 0;
            self.successes += 1;
            self.last_success = now;
            let tips = rates.tips_with_success(&self.config, now);
            return if tips { self.trip(now) } else { None };
        }
        self.report_other(permit, end, now)
    }

    /// Closed ▸ open at the success that makes the share of failures one of enough calls.
    #[cold]
    fn trip(&mut self, now: Instant) -> Option<Transition> {
        let cause = self.rates.as_ref()?.too_many_failed(&self.config, |sum| sum.sum(now))?;
        self.open(cause, now)
    }

    #[cold]
    fn report_other(&mut self, permit: &Permit, end: End, now: Instant) -> Option<Transition> {
        if !permit.is_of_the_era_of(self.epoch) {
            return None; // let through by another
        }
        let current = permit.epoch() == self.epoch;
        if end.outcome == Outcome::Success {
            self.last_success = now;
        }
        if self.shown() != Phase::Disabled {
            match end.outcome {
                Outcome::Success if current => self.successes += 1,
                Outcome::Success => self.ended.successes += 1,
                Outcome::Failure => self.ended.failures += 1,
                Outcome::Ignored => self.ended.ignored += 1,
            }
        }
        if !current || self.is_suspended() {
            return None;
        }
        match self.state {
            State::Closed => self.closed_ended(permit.slot(), end, now),
            State::HalfOpen { .. } if permit.is_probe() => {
                *self.place(permit)? = Place::FREE;
                self.probe_ended(end, now)
            }
            // It only watches, and would have refused this call.
            State::HalfOpen { .. } | State::Open { .. } => None,
        }
    }

    /// Closed ▸ open at the call that trips a rule.
    fn closed_ended(&mut self, place: u8, end: End, now: Instant) -> Option<Transition> {
        match end.outcome {
            Outcome::Success => self.failures = 0,
            Outcome::Failure => {
                self.failures = self.failures.saturating_add(1);
                self.last_failure = now;
            }
            Outcome::Ignored => {}
        }
        let in_a_row = end.outcome == Outcome::Failure && self.failures >= self.config.failures;
        let rates = self.rates.as_mut();
        let by_rate = rates.and_then(|rates| rates.ended(&self.config, place, end, now));
        if self.rates.as_ref().is_some_and(|rates| !rates.watch()) {
            // The last that was looked at has ended.
            self.refresh();
        }
        let cause = in_a_row.then_some(Cause::Failures(self.failures)).or(by_rate)?;
        self.open(cause, now)
    }

    fn probe_ended(&mut self, end: End, now: Instant) -> Option<Transition> {
        match end.outcome {
            // Half-open ▸ open at a probe that is slow, though it did its work.
            Outcome::Success if self.config.is_slow(end.took()) => self.open(Cause::ProbeSlow, now),
            Outcome::Success => self.probe_succeeded(now),
            // Half-open ▸ open at any failure.
            Outcome::Failure => {
                self.last_failure = now;
                self.open(Cause::ProbeFailed, now)
            }
            // Half-open stays; the place is free again.
            Outcome::Ignored => None,
        }
    }

    fn probe_succeeded(&mut self, now: Instant) -> Option<Transition> {
        let State::HalfOpen { successes, .. } = &mut self.state else { return None };
        *successes += 1;
        let successes = *successes;
        if successes < self.config.successes {
            return None;
        }
        // Half-open ▸ closed at the last success needed.
        self.enter(State::Closed, Cause::ProbesSucceeded(successes), now)
    }

    /// A probe of which nothing was heard until `at`.
    pub(super) fn judge_by_time(&mut self, n: usize, at: Instant) -> Option<Transition> {
        if mem::replace(&mut self.probes[n], Place::FREE).good {
            return self.probe_succeeded(at);
        }
        // Half-open ▸ open when a probe outlives its limit, or the moment at which it is slow.
        let slow = self.config.slow_after.is_some_and(|after| after <= self.config.probe_for());
        if !slow {
            self.last_failure = at;
        }
        self.open(if slow { Cause::ProbeSlow } else { Cause::ProbeExpired }, at)
    }

    /// Closed ▸ open at the running call whose slowness reaches the share.
    pub(super) fn cross(&mut self, place: u8, at: Instant) -> Option<Transition> {
        let cause = self.rates.as_mut()?.crossed(&self.config, place, at)?;
        self.open(cause, at)
    }

    /// The streamed answer of an admitted call began well: it has succeeded if nothing else is reported before
    /// `until`. Of a probe this is remembered here; a report that comes later must not carry its place, see
    /// [`Permit::overtaken`]. Of another call it says that the callee was not slow until now.
    pub(crate) fn flows(&mut self, permit: &Permit, until: Instant) {
        if permit.epoch() != self.epoch {
            return;
        }
        if permit.is_probe() {
            if let Some(place) = self.place(permit) {
                *place = Place::taken(until, true);
                self.due = self.due.min(until);
            }
        } else if let Some(rates) = &mut self.rates {
            rates.running.settle(permit.slot());
        }
    }

    /// Whether what [`flows`](Self::flows) said of this permit still stands. A permit without a place for a probe is
    /// never judged by time.
    pub(crate) fn still_flows(&self, permit: &Permit, until: Instant) -> bool {
        let probe = permit.epoch() == self.epoch && permit.is_probe();
        let place = usize::from(permit.slot()).checked_sub(1).and_then(|n| self.probes.get(n));
        !probe || place == Some(&Place::taken(until, true))
    }

    /// Whether a success was reported since `at`.
    #[must_use]
    pub fn has_answered_since(&self, at: Instant) -> bool {
        self.last_success > at
    }

    /// How long a call runs before it is slow.
    pub(crate) fn slow_after(&self) -> Option<Duration> {
        self.config.slow_after
    }

    /// A call it admitted does not start after all: as if it had not been admitted.
    pub(crate) fn withdraw(&mut self, permit: &Permit) {
        if permit.epoch() != self.epoch {
            return;
        }
        if permit.is_probe() {
            if let Some(place) = self.place(permit) {
                *place = Place::FREE;
            }
        } else if let Some(rates) = &mut self.rates {
            rates.running.leave(permit.slot());
        }
    }

    /// A probe's place; `None` of a permit that another breaker gave.
    fn place(&mut self, permit: &Permit) -> Option<&mut Place> {
        self.probes.get_mut(usize::from(permit.slot()).checked_sub(1)?)
    }
}
