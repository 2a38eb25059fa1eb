//! The figures of a circuit breaker.

use seawall_core::{CircuitBreakerSnapshot, Ended, Phase};

use super::{in_percent, timestamp};
use crate::Clock;

/// A circuit breaker. `None` stands where there is no such rule, or nothing to tell.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the guide's keys, explained by the machine's snapshot")]
pub struct CircuitBreakerStats {
    pub name: String,
    pub state: &'static str,
    pub would_be_state: Option<&'static str>,
    #[cfg_attr(feature = "serde", serde(rename = "override"))]
    pub overridden: Option<OverrideStats>,
    pub failure_count: u32,
    pub success_count: u64,
    pub half_open_successes: u32,
    pub failure_rate_percent: Option<f64>,
    pub slow_rate_percent: Option<f64>,
    pub calls_in_window: u32,
    pub slow_calls: u32,
    pub running_slow_calls: u32,
    pub reopens: u32,
    pub open_for_seconds: Option<f64>,
    pub last_failure_time: Option<String>,
    pub last_state_change: Option<String>,
    pub transitions: u64,
    pub rejected_calls: u64,
    pub totals: EndedStats,
}

/// What an operator said about a breaker, while it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OverrideStats {
    /// The state it brings.
    pub phase: &'static str,
    /// Why.
    pub reason: String,
    /// When it ends by itself, if it does.
    pub until: Option<String>,
}

/// Calls of a breaker by how they ended, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the machine's own keys, explained there")]
pub struct EndedStats {
    pub successes: u64,
    pub failures: u64,
    pub ignored: u64,
}

impl CircuitBreakerStats {
    /// The breaker `name` as `seen`; instants on the calendar by `clock`.
    #[must_use]
    pub fn new(name: &str, seen: &CircuitBreakerSnapshot, clock: &Clock) -> Self {
        let calendar = |at| timestamp(clock.wall(at));
        Self {
            name: name.to_owned(),
            state: seen.phase.name(),
            would_be_state: seen.would_be.map(Phase::name),
            overridden: seen.overridden.as_ref().map(|said| OverrideStats {
                phase: seen.phase.name(),
                reason: said.reason.to_string(),
                until: said.until.map(calendar),
            }),
            failure_count: seen.failures,
            success_count: seen.successes,
            half_open_successes: seen.half_open_successes,
            failure_rate_percent: seen.failure_rate.map(in_percent),
            slow_rate_percent: seen.slow_rate.map(in_percent),
            calls_in_window: seen.window_calls,
            slow_calls: seen.slow_calls,
            running_slow_calls: seen.running_slow,
            reopens: seen.reopens,
            open_for_seconds: seen.open_period.map(|period| period.as_secs_f64()),
            last_failure_time: seen.last_failure.map(calendar),
            last_state_change: seen.last_change.map(calendar),
            transitions: seen.transitions,
            rejected_calls: seen.refused,
            totals: seen.ended.into(),
        }
    }
}

impl From<Ended> for EndedStats {
    fn from(Ended { successes, failures, ignored, .. }: Ended) -> Self {
        Self { successes, failures, ignored }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use seawall_core::{CircuitBreaker, CircuitBreakerConfig, Instant, Override, Ratio};

    use super::*;
    use crate::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn every_figure_of_a_breaker_is_in_its_place() {
        let clock = ManualClock::at(UNIX_EPOCH);
        let mut breaker = CircuitBreaker::new(&CircuitBreakerConfig::default()).unwrap();
        let said = Override::metrics_only("a look").lasting(60 * SECOND);
        breaker.force(said, Instant::ORIGIN);
        let mut seen = breaker.snapshot(Instant::ORIGIN);
        (seen.failures, seen.successes, seen.half_open_successes) = (1, 2, 3);
        (seen.failure_rate, seen.slow_rate) = (Some(Ratio::percent(35)), None);
        (seen.window_calls, seen.slow_calls, seen.running_slow, seen.reopens) = (6, 7, 8, 9);
        seen.open_period = Some(10 * SECOND + SECOND / 2);
        seen.last_failure = Some(Instant::ORIGIN + 11 * SECOND);
        seen.last_change = Some(Instant::ORIGIN + 12 * SECOND);
        (seen.transitions, seen.refused) = (13, 14);
        (seen.ended.successes, seen.ended.failures, seen.ended.ignored) = (15, 16, 17);
        let shown = CircuitBreakerStats {
            name: "b".to_owned(),
            state: "metrics_only",
            would_be_state: Some("closed"),
            overridden: Some(OverrideStats {
                phase: "metrics_only",
                reason: "a look".to_owned(),
                until: Some("1970-01-01T00:01:00Z".to_owned()),
            }),
            failure_count: 1,
            success_count: 2,
            half_open_successes: 3,
            failure_rate_percent: Some(35.0),
            slow_rate_percent: None,
            calls_in_window: 6,
            slow_calls: 7,
            running_slow_calls: 8,
            reopens: 9,
            open_for_seconds: Some(10.5),
            last_failure_time: Some("1970-01-01T00:00:11Z".to_owned()),
            last_state_change: Some("1970-01-01T00:00:12Z".to_owned()),
            transitions: 13,
            rejected_calls: 14,
            totals: EndedStats { successes: 15, failures: 16, ignored: 17 },
        };
        assert_eq!(CircuitBreakerStats::new("b", &seen, &Clock::manual(&clock)), shown);
    }
}
