//! The statistics of everything by name, with the guide's keys.
//!
//! Read from the machines at one moment, elapsed time applied. Keys carry the guide's unit suffixes
//! (`latency_ms`, `utilization_percent`); configuration fields and Rust names elsewhere do not.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use seawall_core::{
    BulkheadSnapshot, CircuitBreakerSnapshot, Counts, EndpointSnapshot, Latencies,
    RetryBudgetSnapshot, Tally,
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
    /// Learned limits.
    pub adaptive_timeouts: BTreeMap<String, TimeoutStats>,
    /// Calls and attempts by how they ended.
    pub policies: BTreeMap<String, CallStats>,
    /// Endpoints of upstreams.
    pub endpoints: BTreeMap<String, EndpointStats>,
}

/// Something with statistics.
pub trait Observed: Send + Sync {
    /// Adds its statistics as they stand.
    fn observe(&self, snapshot: &mut Snapshot);
}

/// A circuit breaker.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the guide's keys, explained by the machine's snapshot")]
pub struct CircuitBreakerStats {
    pub name: String,
    pub state: &'static str,
    pub failure_count: u32,
    pub success_count: u64,
    pub half_open_successes: u32,
    pub last_failure_time: Option<String>,
    pub last_state_change: Option<String>,
    pub transitions: u64,
    pub rejected_calls: u64,
}

/// Retries and their budget.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the guide's keys, explained by the machine's snapshot")]
pub struct RetryStats {
    pub total_requests: u64,
    pub total_retries: u64,
    pub refunded_retries: u64,
    pub retry_rate_percent: f64,
    pub within_budget: bool,
    pub budget_percent: f64,
    pub balance: f64,
}

/// A bulkhead.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the guide's keys, explained by the machine's snapshot")]
pub struct BulkheadStats {
    pub name: String,
    pub active_calls: u32,
    pub max_concurrent: u32,
    pub utilization_percent: f64,
    pub rejected_calls: u64,
}

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

/// Calls and attempts of a policy or route by how they ended; started = the others added up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the keys are those of the counts, explained there")]
pub struct CallStats {
    pub calls: TallyStats,
    pub attempts: TallyStats,
    pub timed_out: u64,
    pub deadline_passed: u64,
    pub overran: u64,
    pub broke_off_late: u64,
    pub panicked: u64,
}

/// How many started, and how they ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the keys are those of the tally, explained there")]
pub struct TallyStats {
    pub started: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub refused: u64,
    pub ignored: u64,
    pub in_flight: u64,
}

/// One endpoint of an upstream.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the keys are those of the picker's snapshot, explained there")]
pub struct EndpointStats {
    pub state: &'static str,
    pub in_flight: u32,
    pub attempts: u64,
    pub latency_ms: f64,
}

impl CircuitBreakerStats {
    /// The breaker `name` as `seen`; instants on the calendar by `clock`.
    #[must_use]
    pub fn new(name: &str, seen: &CircuitBreakerSnapshot, clock: &Clock) -> Self {
        Self {
            name: name.to_owned(),
            state: seen.phase.name(),
            failure_count: seen.failures,
            success_count: seen.successes,
            half_open_successes: seen.half_open_successes,
            last_failure_time: seen.last_failure.map(|at| timestamp(clock.wall(at))),
            last_state_change: seen.last_change.map(|at| timestamp(clock.wall(at))),
            transitions: seen.transitions,
            rejected_calls: seen.refused,
        }
    }
}

impl From<RetryBudgetSnapshot> for RetryStats {
    fn from(seen: RetryBudgetSnapshot) -> Self {
        Self {
            total_requests: seen.first_attempts,
            total_retries: seen.retries,
            refunded_retries: seen.refunded,
            retry_rate_percent: percent(seen.retries, seen.first_attempts),
            within_budget: seen.within_budget,
            budget_percent: seen.ratio.as_f64() * 100.0,
            balance: seen.balance,
        }
    }
}

impl BulkheadStats {
    /// The bulkhead `name` as `seen`.
    #[must_use]
    pub fn new(name: &str, seen: &BulkheadSnapshot) -> Self {
        Self {
            name: name.to_owned(),
            active_calls: seen.running,
            max_concurrent: seen.max_concurrent,
            utilization_percent: percent(seen.running.into(), seen.max_concurrent.into()),
            rejected_calls: seen.refused,
        }
    }
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

impl From<Counts> for CallStats {
    fn from(seen: Counts) -> Self {
        Self {
            calls: seen.calls.into(),
            attempts: seen.attempts.into(),
            timed_out: seen.timed_out,
            deadline_passed: seen.deadline_passed,
            overran: seen.overran,
            broke_off_late: seen.broke_off_late,
            panicked: seen.panicked,
        }
    }
}

impl From<Tally> for TallyStats {
    fn from(seen: Tally) -> Self {
        Self {
            started: seen.started,
            succeeded: seen.succeeded,
            failed: seen.failed,
            refused: seen.refused,
            ignored: seen.ignored,
            in_flight: seen.in_flight(),
        }
    }
}

impl From<EndpointSnapshot> for EndpointStats {
    fn from(seen: EndpointSnapshot) -> Self {
        Self {
            state: seen.breaker.map_or("closed", |breaker| breaker.phase.name()),
            in_flight: seen.running,
            attempts: seen.attempts,
            latency_ms: millis(seen.latency),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// 0 of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// `2025-11-06T19:45:00Z`: whole seconds of UTC; the epoch for a clock set before it.
pub(crate) fn timestamp(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date so many days after 1970-01-01: years run from March, so that the leap day comes last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_whole_seconds_of_utc() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_762_458_300, "2025-11-06T19:45:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert!((percent(45, 1_000) - 4.5).abs() < 1e-9);
        assert!(percent(3, 0).abs() < 1e-9);
    }
}
