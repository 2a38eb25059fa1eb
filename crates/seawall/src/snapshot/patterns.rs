//! The figures of each pattern.

use seawall_core::{
    BulkheadSnapshot, CircuitBreakerSnapshot, Ended, Latencies, Phase, Priority, RateLimitSnapshot,
    Ratio, RetryBudgetSnapshot,
};

use super::{millis, percent, timestamp};
use crate::{Clock, KeyedSnapshot};

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
    /// Attempts per call; 1 before the first.
    pub amplification: f64,
    pub within_budget: bool,
    pub budget_percent: f64,
    pub balance: f64,
}

/// A bulkhead. `rejected_calls` are all that were refused, `waits_over`, `displaced` and `hopeless` among them.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the guide's keys, explained by the machine's snapshot")]
pub struct BulkheadStats {
    pub name: String,
    pub active_calls: u32,
    pub max_concurrent: u32,
    pub utilization_percent: f64,
    pub queued: u32,
    pub queued_by_class: ByClass<u32>,
    pub admitted_by_class: ByClass<u64>,
    pub completed: u64,
    pub rejected_calls: u64,
    pub waits_over: u64,
    pub displaced: u64,
    pub hopeless: u64,
    pub abandoned: u64,
}

/// One figure for each class of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(clippy::exhaustive_structs, reason = "the guide's five classes")]
#[expect(missing_docs, reason = "the classes of `Priority`")]
pub struct ByClass<N> {
    pub critical: N,
    pub high: N,
    pub normal: N,
    pub low: N,
    pub background: N,
}

/// A rate limit. Calls that asked = allowed + rejected + abandoned + waiting.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the machine's own keys, explained by its snapshot")]
pub struct RateLimiterStats {
    pub algorithm: &'static str,
    pub allowed: u64,
    pub rejected: u64,
    pub abandoned: u64,
    pub waiting: u32,
    pub limit: u64,
    pub available: u64,
    pub retry_after_seconds: Option<f64>,
    pub keys: Option<KeyStats>,
}

/// How full the map of a limit for each key is. What the limit shows beside it counts all keys together; `limit` and
/// `available` are those of a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the map's own keys, explained by its snapshot")]
pub struct KeyStats {
    pub in_use: u32,
    pub max_keys: u32,
    pub overflowed: u64,
    pub evicted: u64,
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

impl From<RetryBudgetSnapshot> for RetryStats {
    fn from(seen: RetryBudgetSnapshot) -> Self {
        Self {
            total_requests: seen.first_attempts,
            total_retries: seen.retries,
            refunded_retries: seen.refunded,
            retry_rate_percent: percent(seen.retries, seen.first_attempts),
            amplification: seen.amplification(),
            within_budget: seen.within_budget,
            budget_percent: in_percent(seen.ratio),
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
            queued: seen.queued,
            queued_by_class: seen.queued_by_class.into(),
            admitted_by_class: seen.admitted_by_class.into(),
            completed: seen.completed,
            rejected_calls: seen.refused,
            waits_over: seen.waits_over,
            displaced: seen.displaced,
            hopeless: seen.hopeless,
            abandoned: seen.abandoned,
        }
    }
}

impl<N: Copy> ByClass<N> {
    /// The figures with the names of their classes, the most urgent first.
    #[must_use]
    pub fn named(&self) -> [(&'static str, N); 5] {
        let Self { critical, high, normal, low, background } = *self;
        let figures = [critical, high, normal, low, background];
        Priority::ALL.map(|class| (class.name(), figures[class.index()]))
    }
}

/// From figures in the order of [`Priority::ALL`].
impl<N> From<[N; 5]> for ByClass<N> {
    fn from([critical, high, normal, low, background]: [N; 5]) -> Self {
        Self { critical, high, normal, low, background }
    }
}

impl From<RateLimitSnapshot> for RateLimiterStats {
    fn from(seen: RateLimitSnapshot) -> Self {
        Self {
            algorithm: seen.algorithm.name(),
            allowed: seen.allowed,
            rejected: seen.refused,
            abandoned: seen.abandoned,
            waiting: seen.waiting,
            limit: seen.limit,
            available: seen.available,
            retry_after_seconds: seen.retry_after.map(|wait| wait.as_secs_f64()),
            keys: None,
        }
    }
}

impl From<KeyedSnapshot> for KeyStats {
    fn from(seen: KeyedSnapshot) -> Self {
        Self {
            in_use: seen.keys,
            max_keys: seen.max_keys,
            overflowed: seen.overflowed,
            evicted: seen.evicted,
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

/// Exact where a factor times a hundred would not be: 0.35 is 35, not 35.00000000000001.
fn in_percent(ratio: Ratio) -> f64 {
    f64::from(ratio.ppm()) / f64::from(Ratio::percent(1).ppm())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use seawall_core::{
        Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Instant, Override,
        RateLimitConfig, RateLimiter, RetryBudget,
    };

    use super::*;
    use crate::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn every_figure_of_a_bulkhead_is_in_its_place() {
        let mut seen = Bulkhead::new(&BulkheadConfig::default()).unwrap().snapshot();
        (seen.running, seen.max_concurrent, seen.refused) = (1, 4, 50);
        (seen.queued, seen.queued_by_class) = (15, [1, 2, 3, 4, 5]);
        (seen.admitted_by_class, seen.completed) = ([6, 7, 8, 9, 10], 39);
        (seen.waits_over, seen.displaced, seen.hopeless, seen.abandoned) = (11, 12, 13, 14);
        let shown = BulkheadStats {
            name: "b".to_owned(),
            active_calls: 1,
            max_concurrent: 4,
            utilization_percent: 25.0,
            queued: 15,
            queued_by_class: ByClass { critical: 1, high: 2, normal: 3, low: 4, background: 5 },
            admitted_by_class: ByClass { critical: 6, high: 7, normal: 8, low: 9, background: 10 },
            completed: 39,
            rejected_calls: 50,
            waits_over: 11,
            displaced: 12,
            hopeless: 13,
            abandoned: 14,
        };
        assert_eq!(BulkheadStats::new("b", &seen), shown);
        assert_eq!(
            shown.queued_by_class.named(),
            [("critical", 1), ("high", 2), ("normal", 3), ("low", 4), ("background", 5)]
        );
    }

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

    #[test]
    fn every_figure_of_a_rate_limit_is_in_its_place() {
        let limiter = RateLimiter::new(&RateLimitConfig::default()).unwrap();
        let mut seen = limiter.snapshot(Instant::ORIGIN);
        (seen.allowed, seen.refused, seen.abandoned, seen.waiting) = (1, 2, 3, 4);
        (seen.limit, seen.available, seen.retry_after) = (5, 6, Some(7 * SECOND));
        let shown = RateLimiterStats {
            algorithm: "token_bucket",
            allowed: 1,
            rejected: 2,
            abandoned: 3,
            waiting: 4,
            limit: 5,
            available: 6,
            retry_after_seconds: Some(7.0),
            keys: None,
        };
        assert_eq!(RateLimiterStats::from(seen), shown);
        seen.retry_after = None;
        assert_eq!(RateLimiterStats::from(seen).retry_after_seconds, None, "none is not zero");
    }

    #[test]
    fn amplification_is_attempts_per_call() {
        let mut seen = RetryBudget::new(Ratio::percent(10), false).snapshot();
        for (first, retries, amplification) in
            [(0, 0, 1.0), (8, 0, 1.0), (8, 2, 1.25), (8, 24, 4.0), (1_000, 45, 1.045)]
        {
            (seen.first_attempts, seen.retries) = (first, retries);
            let shown = RetryStats::from(seen);
            assert!((shown.amplification - amplification).abs() < 1e-12, "{first} {retries}");
        }
    }
}
