//! What a circuit breaker shows to people and gauges: figures, and nothing that decides.

use alloc::boxed::Box;
use core::time::Duration;

use super::{CircuitBreaker, State, ledger::Ledger};
use crate::{Instant, Phase, Ratio};

/// What a [`CircuitBreaker`] shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitBreakerSnapshot {
    /// Where it stands.
    pub phase: Phase,
    /// Where it would stand, while an override only lets it watch.
    pub would_be: Option<Phase>,
    /// What an operator said, while that holds.
    pub overridden: Option<Overridden>,
    /// Failures in a row: so far while closed, else those there were when it opened.
    pub failures: u32,
    /// Successes since the last transition.
    pub successes: u64,
    /// Successes of probes in this half-open phase.
    pub half_open_successes: u32,
    /// The share of failed calls in the window; `None` without that rule, or of no calls.
    pub failure_rate: Option<Ratio>,
    /// Calls in the window of failures.
    pub window_calls: u32,
    /// The share of slow calls in the window; `None` without that rule, or of no calls.
    pub slow_rate: Option<Ratio>,
    /// Slow calls in the window.
    pub slow_calls: u32,
    /// Calls that still run and were counted as slow.
    pub running_slow: u32,
    /// Half-open phases that failed since it was last closed.
    pub reopens: u32,
    /// How long this open period is; `None` while it is not open.
    pub open_period: Option<Duration>,
    /// When it last saw a failure.
    pub last_failure: Option<Instant>,
    /// When its phase last changed.
    pub last_change: Option<Instant>,
    /// Changes of phase, ever.
    pub transitions: u64,
    /// Calls refused, ever.
    pub refused: u64,
    /// Calls that ended, ever, whichever phase they belonged to; none that ended while it was disabled.
    pub ended: Ended,
}

/// Calls by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// The callee did its work.
    pub successes: u64,
    /// The callee did not do its work.
    pub failures: u64,
    /// Said nothing about the callee.
    pub ignored: u64,
}

/// An override that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overridden {
    /// Why.
    pub reason: Box<str>,
    /// When it ends by itself; `None`: only a release ends it.
    pub until: Option<Instant>,
}

impl CircuitBreaker {
    /// Its figures at `now`, elapsed time applied.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> CircuitBreakerSnapshot {
        if now >= self.due {
            return self.elapsed(now).seen(now);
        }
        self.seen(now)
    }

    fn seen(&self, now: Instant) -> CircuitBreakerSnapshot {
        let sum =
            |ledger: Option<&Ledger>| ledger.map(|ledger| ledger.sum(now)).unwrap_or_default();
        let rates = self.rates.as_ref();
        let failure = sum(rates.and_then(|rates| rates.failure.as_deref()));
        let slow = sum(rates.and_then(|rates| rates.slow.as_deref()));
        let overruled = self.overruled.as_deref();
        CircuitBreakerSnapshot {
            phase: self.shown(),
            would_be: (self.shown() == Phase::MetricsOnly).then(|| self.state.phase()),
            overridden: overruled.map(|overruled| Overridden {
                reason: overruled.said.reason().into(),
                until: past(overruled.until),
            }),
            failures: self.failures,
            successes: self.successes,
            half_open_successes: match self.state {
                State::HalfOpen { successes, .. } => successes,
                State::Closed | State::Open { .. } => 0,
            },
            failure_rate: failure.rate(),
            window_calls: failure.calls,
            slow_rate: slow.rate(),
            slow_calls: slow.bad,
            running_slow: rates.map_or(0, |rates| rates.running.slow()),
            reopens: self.reopens.into(),
            open_period: match self.state {
                State::Open { until, .. } if overruled.is_none() => {
                    Some(until.since(self.last_change))
                }
                State::Closed | State::Open { .. } | State::HalfOpen { .. } => None,
            },
            last_failure: past(self.last_failure),
            last_change: past(self.last_change),
            transitions: self.transitions.into(),
            refused: self.refused,
            ended: Ended { successes: self.ended.successes + self.successes, ..self.ended },
        }
    }
}

/// `NEVER` marks what has not happened.
fn past(at: Instant) -> Option<Instant> {
    (at != Instant::NEVER).then_some(at)
}
