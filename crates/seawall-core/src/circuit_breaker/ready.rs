//! Whether a call would be admitted, now or at a later moment, and after one more failure.
//!
//! ```text
//!   refused iff   forced open
//!                 open, and asked for a moment within the period
//!                 half-open, every probe out, and asked for now
//! ```
//!
//! A retry that would find the breaker open is not waited for, and neither is one whose own attempt, failing,
//! would open it. A refusal tells what opened it, or would. Of a later moment in half-open nobody can say more than that a probe may have ended by then.

use core::time::Duration;

use super::{CircuitBreaker, Place, transitions::State};
use crate::{Cause, Instant, Pattern, Permit, Phase, Reason, Refusal};

impl CircuitBreaker {
    /// Whether a call would be admitted at `at`, as far as can be said at `now`.
    ///
    /// # Errors
    /// The refusal it would get.
    #[inline]
    pub fn ready_by(&self, at: Instant, now: Instant) -> Result<(), Refusal> {
        if self.plain { Ok(()) } else { self.ready_by_other(at, now) }
    }

    #[inline]
    pub(super) fn ready_by_other(&self, at: Instant, now: Instant) -> Result<(), Refusal> {
        if let Some(overruled) = &self.overruled {
            let until = overruled.until;
            let refuses = overruled.said.phase() == Phase::ForcedOpen;
            return match until {
                _ if !refuses || until <= at && at > now => Ok(()),
                Instant::NEVER => Err(no(Reason::ForcedOpen, Cause::Override)),
                _ => Err(no(Reason::ForcedOpen, Cause::Override).after(until.since(now))),
            };
        }
        match self.state {
            State::Closed => Ok(()),
            State::Open { until, .. } if until <= at && at > now => Ok(()),
            State::Open { until, cause } => Err(no(Reason::Open, cause).after(until.since(now))),
            State::HalfOpen { .. } if self.has_place() || at > now => Ok(()),
            State::HalfOpen { cause, .. } => Err(no(Reason::ProbesOut, cause).after(PROBE_RETRY)),
        }
    }

    /// As [`ready_by`](Self::ready_by), had the call that holds `permit` failed now.
    ///
    /// # Errors
    /// The refusal it would get.
    pub fn ready_had_failed(
        &self,
        permit: &Permit,
        at: Instant,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.overruled.is_none()
            && permit.epoch() == self.epoch
            && let Some(cause) = self.would_open(permit, now)
        {
            let (_, period) = self.next_period();
            if at < now + period {
                return Err(no(Reason::Open, cause).after(period));
            }
        }
        self.ready_by(at, now)
    }

    /// The rule that this call's failure, now, would trip, if any.
    fn would_open(&self, permit: &Permit, now: Instant) -> Option<Cause> {
        match self.state {
            State::Closed => {
                let failures = self.failures.saturating_add(1);
                let rates = || self.rates.as_ref()?.would_open(&self.config, permit.slot(), now);
                let in_a_row = failures >= self.config.failures;
                in_a_row.then_some(Cause::Failures(failures)).or_else(rates)
            }
            State::HalfOpen { .. } => Some(Cause::ProbeFailed),
            State::Open { .. } => None,
        }
    }

    /// Whether one more probe may live.
    pub(super) fn has_place(&self) -> bool {
        let alive = self.probes.iter().filter(|place| **place != Place::FREE).count();
        (alive as u64) < u64::from(self.config.half_open_calls)
    }
}

const fn no(reason: Reason, cause: Cause) -> Refusal {
    Refusal::new(Pattern::CircuitBreaker, reason).because(cause)
}

/// Nobody can say when a probe ends; a second is short beside the open period a failed one brings.
const PROBE_RETRY: Duration = Duration::from_secs(1);
