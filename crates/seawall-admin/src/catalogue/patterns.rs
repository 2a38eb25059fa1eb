//! The patterns that say no: breakers, retry budgets, bulkheads and rate limits.

use std::iter;

use seawall::snapshot::{BulkheadStats, CircuitBreakerStats, KeyStats};

use super::{Family, POLICY, Samples, Snapshot, counter, each, gauge};

/// Circuit breakers.
pub(super) static BREAKERS: &[Family] = &[
    gauge(
        "seawall_circuit_breaker_state",
        BREAKER,
        "Where the breaker stands: 0 closed, 1 half_open, 2 open, 3 forced_open, 4 forced_closed, 5 disabled, 6 metrics_only.",
        |seen, to| {
            each_breaker(seen, |labels, stats| {
                if let Some(state) = STATES.iter().position(|state| *state == stats.state) {
                    to(labels, state as f64);
                }
            });
        },
    ),
    counter(
        "seawall_circuit_breaker_transitions_total",
        BREAKER,
        "Changes of the breaker's state.",
        |seen, to| each_breaker(seen, |labels, stats| to(labels, stats.transitions as f64)),
    ),
    counter(
        "seawall_circuit_breaker_refused_total",
        BREAKER,
        "Attempts the breaker refused.",
        |seen, to| each_breaker(seen, |labels, stats| to(labels, stats.rejected_calls as f64)),
    ),
    counter(
        "seawall_circuit_breaker_calls_total",
        &["policy", "endpoint", "outcome"],
        "Calls that ended under the breaker: succeeded, failed, or ignored because the end says nothing about the callee.",
        |seen, to| {
            each_breaker(seen, |labels, CircuitBreakerStats { totals, .. }| {
                let [policy, endpoint] = *labels;
                to(&[policy, endpoint, "succeeded"], totals.successes as f64);
                to(&[policy, endpoint, "failed"], totals.failures as f64);
                to(&[policy, endpoint, "ignored"], totals.ignored as f64);
            });
        },
    ),
    gauge(
        "seawall_circuit_breaker_failure_ratio",
        BREAKER,
        "Share of failed calls in the window; missing without such a rule, and of no calls.",
        |seen, to| each_known(seen, to, |stats| Some(stats.failure_rate_percent? / 100.0)),
    ),
    gauge(
        "seawall_circuit_breaker_slow_ratio",
        BREAKER,
        "Share of slow calls in the window; missing without such a rule, and of no calls.",
        |seen, to| each_known(seen, to, |stats| Some(stats.slow_rate_percent? / 100.0)),
    ),
    gauge(
        "seawall_circuit_breaker_window_calls",
        BREAKER,
        "Calls in the window of failures; 0 without such a rule.",
        |seen, to| each_breaker(seen, |labels, stats| to(labels, stats.calls_in_window.into())),
    ),
    gauge(
        "seawall_circuit_breaker_slow_running",
        BREAKER,
        "Calls that still run and count as slow.",
        |seen, to| each_breaker(seen, |labels, stats| to(labels, stats.running_slow_calls.into())),
    ),
    gauge(
        "seawall_circuit_breaker_open_seconds",
        BREAKER,
        "How long this open period is as a whole; missing while it is not open.",
        |seen, to| each_known(seen, to, |stats| stats.open_for_seconds),
    ),
];

/// Retries and their budgets.
pub(super) static RETRIES: &[Family] = &[
    counter(
        "seawall_first_attempts_total",
        POLICY,
        "First attempts sent: what the retry budget is earned by.",
        |seen, to| each(&seen.retry_managers, to, |stats| stats.total_requests as f64),
    ),
    counter("seawall_retries_total", POLICY, "Retries the budget paid for.", |seen, to| {
        each(&seen.retry_managers, to, |stats| {
            (stats.total_retries + stats.refunded_retries) as f64
        })
    }),
    counter(
        "seawall_retries_refunded_total",
        POLICY,
        "Retries paid for and then never sent.",
        |seen, to| each(&seen.retry_managers, to, |stats| stats.refunded_retries as f64),
    ),
    gauge(
        "seawall_retry_budget_balance",
        POLICY,
        "Retries the budget would pay for now; below 1 none.",
        |seen, to| each(&seen.retry_managers, to, |stats| stats.balance),
    ),
    gauge(
        "seawall_retry_budget_ratio",
        POLICY,
        "Retries earned per first attempt, as set.",
        |seen, to| each(&seen.retry_managers, to, |stats| stats.budget_percent / 100.0),
    ),
    gauge(
        "seawall_retry_amplification",
        POLICY,
        "Attempts per call since the start; 1 without retries.",
        |seen, to| each(&seen.retry_managers, to, |stats| stats.amplification),
    ),
];

/// Bulkheads.
pub(super) static BULKHEADS: &[Family] = &[
    gauge("seawall_bulkhead_running", POLICY, "Calls in the bulkhead.", |seen, to| {
        each(&seen.bulkheads, to, |stats| stats.active_calls.into());
    }),
    gauge(
        "seawall_bulkhead_limit",
        POLICY,
        "Calls that may be in the bulkhead at once.",
        |seen, to| {
            each(&seen.bulkheads, to, |stats| stats.max_concurrent.into());
        },
    ),
    gauge("seawall_bulkhead_queued", CLASS, "Calls waiting for a place.", |seen, to| {
        for (name, stats) in &seen.bulkheads {
            for (class, queued) in stats.queued_by_class.named() {
                to(&[name, class], queued.into());
            }
        }
    }),
    counter(
        "seawall_bulkhead_admitted_total",
        CLASS,
        "Calls that got a place, at once or after a wait.",
        |seen, to| {
            for (name, stats) in &seen.bulkheads {
                for (class, admitted) in stats.admitted_by_class.named() {
                    to(&[name, class], admitted as f64);
                }
            }
        },
    ),
    counter(
        "seawall_bulkhead_completed_total",
        POLICY,
        "Calls that gave their place back.",
        |seen, to| each(&seen.bulkheads, to, |stats| stats.completed as f64),
    ),
    counter(
        "seawall_bulkhead_refused_total",
        &["policy", "reason"],
        "Calls the bulkhead refused: full, wait_over when their wait was, displaced by a more urgent call, or hopeless because their turn would have come too late.",
        |seen, to| {
            for (name, stats) in &seen.bulkheads {
                for (reason, refused) in refusals(stats) {
                    to(&[name, reason], refused as f64);
                }
            }
        },
    ),
    counter(
        "seawall_bulkhead_abandoned_total",
        POLICY,
        "Calls whose caller left while they waited for a place.",
        |seen, to| each(&seen.bulkheads, to, |stats| stats.abandoned as f64),
    ),
];

/// Rate limits.
pub(super) static RATE_LIMITS: &[Family] = &[
    counter(
        "seawall_rate_limiter_allowed_total",
        LIMITER,
        "Calls the rate limit let through.",
        |seen, to| each(&seen.rate_limiters, to, |stats| stats.allowed as f64),
    ),
    counter(
        "seawall_rate_limiter_refused_total",
        LIMITER,
        "Calls the rate limit refused.",
        |seen, to| each(&seen.rate_limiters, to, |stats| stats.rejected as f64),
    ),
    counter(
        "seawall_rate_limiter_abandoned_total",
        LIMITER,
        "Calls whose caller left while they waited for their turn.",
        |seen, to| each(&seen.rate_limiters, to, |stats| stats.abandoned as f64),
    ),
    gauge(
        "seawall_rate_limiter_waiting",
        LIMITER,
        "Callers that wait, for their turn at a shaper or for tokens.",
        |seen, to| each(&seen.rate_limiters, to, |stats| stats.waiting.into()),
    ),
    gauge(
        "seawall_rate_limiter_available",
        LIMITER,
        "Tokens left; of a shaper, places to wait in. Of a limit for each key, those of a new key.",
        |seen, to| each(&seen.rate_limiters, to, |stats| stats.available as f64),
    ),
    gauge(
        "seawall_rate_limiter_capacity",
        LIMITER,
        "The most tokens there can be; of a shaper, places to wait in.",
        |seen, to| each(&seen.rate_limiters, to, |stats| stats.limit as f64),
    ),
    gauge(
        "seawall_rate_limiter_keys",
        LIMITER,
        "Keys with an account of their own; missing without keys.",
        |seen, to| each_keyed(seen, to, |keys| keys.in_use.into()),
    ),
    counter(
        "seawall_rate_limiter_keys_overflowed_total",
        LIMITER,
        "Calls of keys for which there was no room, which share one account.",
        |seen, to| each_keyed(seen, to, |keys| keys.overflowed as f64),
    ),
    counter(
        "seawall_rate_limiter_keys_evicted_total",
        LIMITER,
        "Keys forgotten to make room, none of which had used anything.",
        |seen, to| each_keyed(seen, to, |keys| keys.evicted as f64),
    ),
];

/// One sample per breaker. An endpoint's breaker has the endpoint's label.
fn each_breaker(seen: &Snapshot, mut to: impl FnMut(&[&str; 2], &CircuitBreakerStats)) {
    for (name, stats) in &seen.circuit_breakers {
        if seen.endpoints.contains_key(name) {
            to(&["", name], stats);
        } else {
            to(&[name, ""], stats);
        }
    }
}

/// One sample per breaker of which there is something to tell.
fn each_known(
    seen: &Snapshot,
    to: Samples<'_>,
    value: impl Fn(&CircuitBreakerStats) -> Option<f64>,
) {
    each_breaker(seen, |labels, stats| {
        if let Some(value) = value(stats) {
            to(labels, value);
        }
    });
}

/// One sample per rate limit that has keys.
fn each_keyed(seen: &Snapshot, to: Samples<'_>, value: impl Fn(&KeyStats) -> f64) {
    for (name, stats) in &seen.rate_limiters {
        if let Some(keys) = &stats.keys {
            to(&[name], value(keys));
        }
    }
}

/// By reason. What has no reason of its own found the bulkhead and its queue full.
fn refusals(stats: &BulkheadStats) -> impl Iterator<Item = (&'static str, u64)> {
    let BulkheadStats { rejected_calls, waits_over, displaced, hopeless, .. } = *stats;
    let full = rejected_calls.saturating_sub(waits_over + displaced + hopeless);
    iter::once(("full", full)).chain([
        ("wait_over", waits_over),
        ("displaced", displaced),
        ("hopeless", hopeless),
    ])
}

const BREAKER: &[&str] = &["policy", "endpoint"];
const CLASS: &[&str] = &["policy", "class"];
const LIMITER: &[&str] = &["limiter"];

/// Each at its number.
pub(super) const STATES: [&str; 7] =
    ["closed", "half_open", "open", "forced_open", "forced_closed", "disabled", "metrics_only"];
