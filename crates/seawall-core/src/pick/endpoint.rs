//! One endpoint: its breaker, what runs there, and how long it takes to answer.
//!
//! What is expected of it is a latency that fades: see [`Picker`](crate::Picker) for the rule.

use core::time::Duration;

use crate::{
    CircuitBreaker, CircuitBreakerSnapshot, End, Gate, Instant, Outcome, Refusal, time::nanos,
};

/// What one endpoint of a [`Picker`](crate::Picker) shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointSnapshot {
    /// Attempts running there.
    pub running: u32,
    /// Its latency as the picker sees it, failures counted as five seconds.
    pub latency: Duration,
    /// Attempts sent there, ever.
    pub attempts: u64,
    /// Its breaker.
    pub breaker: Option<CircuitBreakerSnapshot>,
}

#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) breaker: Option<CircuitBreaker>,
    pub(super) running: u32,
    pub(super) latency: u64,
    pub(super) seen: Instant,
    /// When it last answered well.
    pub(super) answered: Instant,
    /// Whether the newest attempt there has not been heard of.
    pub(super) asking: bool,
    pub(super) attempts: u64,
    /// Picks it may yet have before all others while half-open.
    pub(super) preferred: u32,
}

impl Endpoint {
    /// Half-open, and not all that came back said nothing: an endpoint that answers "later" for ever must not
    /// draw all traffic.
    pub(super) fn wants_probes(&self) -> bool {
        self.preferred > 0 && self.breaker.as_ref().is_some_and(CircuitBreaker::is_half_open)
    }

    pub(super) fn ready_by(&self, at: Instant, now: Instant) -> Result<(), Refusal> {
        self.breaker.ready_by(at, now)
    }

    pub(super) fn wake_at(&self) -> Instant {
        self.breaker.as_ref().and_then(CircuitBreaker::wake_at).unwrap_or(Instant::NEVER)
    }

    pub(super) fn learn(&mut self, end: End, now: Instant) {
        self.asking = false;
        let latency = self.latency_at(now);
        let sample = match end.outcome {
            Outcome::Success => nanos(end.took()),
            Outcome::Failure => nanos(end.took().max(FAILURE_COSTS)),
            // An attempt that was cut short says only that it would have taken longer.
            Outcome::Ignored => nanos(end.took()).max(latency),
        };
        self.latency =
            if sample >= latency { sample } else { latency - (latency - sample) / FASTER_BY };
        self.seen = now;
    }

    pub(super) fn latency_at(&self, now: Instant) -> u64 {
        let halvings = now.since(self.seen).as_secs() / HALF_LIFE.as_secs();
        self.latency.checked_shr(halvings.min(64) as u32).unwrap_or(0)
    }

    pub(super) fn load(&self, now: Instant) -> u64 {
        let latency = self.latency_at(now);
        // Nothing known, and one is already on its way to find out: the others first.
        if latency < UNKNOWN_BELOW && self.asking {
            return nanos(FAILURE_COSTS).saturating_add(u64::from(self.running));
        }
        latency.saturating_mul(u64::from(self.running) + 1)
    }
}

/// linkerd2-proxy's penalty for a failure.
pub(super) const FAILURE_COSTS: Duration = Duration::from_secs(5);
/// A failure's five seconds fade below a millisecond in about as long as the gateway's breaker stays open twice.
const HALF_LIFE: Duration = Duration::from_secs(1);
/// A faster answer moves the average by an eighth, TCP's weight for round trips (RFC 6298).
const FASTER_BY: u64 = 8;
/// Below ten microseconds no network answers: the average has faded.
const UNKNOWN_BELOW: u64 = 10_000;
