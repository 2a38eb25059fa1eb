//! The figures of a learned limit.

use seawall_core::Latencies;

use super::millis;

/// A learned limit and the latencies it is learned from, in milliseconds; `null` when unknown.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the guide's keys, explained by the machine's snapshot")]
pub struct TimeoutStats {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub current_timeout_ms: f64,
    pub adaptive_enabled: bool,
    pub samples: u64,
}

impl From<Latencies> for TimeoutStats {
    fn from(seen: Latencies) -> Self {
        Self {
            p50: seen.p50.map(millis),
            p95: seen.p95.map(millis),
            p99: seen.p99.map(millis),
            p999: seen.p999.map(millis),
            current_timeout_ms: millis(seen.limit),
            adaptive_enabled: seen.adaptive,
            samples: seen.samples,
        }
    }
}
