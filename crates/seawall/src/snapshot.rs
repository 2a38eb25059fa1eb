//! The statistics of everything by name, with the guide's keys.
//!
//! Read from the machines at one moment, elapsed time applied. Keys carry the guide's unit suffixes
//! (`latency_ms`, `utilization_percent`); configuration fields and Rust names elsewhere do not.

mod bulkhead;
mod calls;
mod circuit_breaker;
mod rate_limit;
mod retry;
mod timeout;
mod timestamp;

use std::{collections::BTreeMap, time::Duration};

use seawall_core::Ratio;

use self::timestamp::timestamp;
pub use self::{
    bulkhead::{BulkheadStats, ByClass},
    calls::{CallStats, EndpointStats, PerKeyStats, TallyStats},
    circuit_breaker::{CircuitBreakerStats, EndedStats, OverrideStats},
    rate_limit::{KeyStats, RateLimiterStats},
    retry::RetryStats,
    timeout::TimeoutStats,
};
use crate::Clock;

/// The statistics of everything in a registry. Sections are maps from a component's name.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// When it was taken, as `2025-11-06T19:45:00Z`.
    pub timestamp: String,
    /// Circuit breakers.
    pub circuit_breakers: BTreeMap<String, CircuitBreakerStats>,
    /// Retries and their budgets.
    pub retry_managers: BTreeMap<String, RetryStats>,
    /// Bulkheads.
    pub bulkheads: BTreeMap<String, BulkheadStats>,
    /// Rate limits.
    pub rate_limiters: BTreeMap<String, RateLimiterStats>,
    /// Learned limits.
    pub adaptive_timeouts: BTreeMap<String, TimeoutStats>,
    /// Calls and attempts by how they ended.
    pub policies: BTreeMap<String, CallStats>,
    /// How full a policy for each key is. The keys are not told one by one: of them there is no end.
    pub per_key: BTreeMap<String, PerKeyStats>,
    /// Endpoints of upstreams.
    pub endpoints: BTreeMap<String, EndpointStats>,
}

impl Snapshot {
    /// One with nothing in it yet.
    pub(crate) fn taken_now(clock: &Clock) -> Self {
        Self { timestamp: timestamp(clock.wall(clock.now())), ..Self::default() }
    }
}

/// Something with statistics.
pub trait Observed: Send + Sync {
    /// Adds its statistics as they stand.
    fn observe(&self, snapshot: &mut Snapshot);
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// 0 of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Exact where a factor times a hundred would not be: 0.35 is 35, not 35.00000000000001.
fn in_percent(ratio: Ratio) -> f64 {
    f64::from(ratio.ppm()) / f64::from(Ratio::percent(1).ppm())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert!((percent(45, 1_000) - 4.5).abs() < 1e-9);
        assert!(percent(3, 0).abs() < 1e-9);
    }
}
