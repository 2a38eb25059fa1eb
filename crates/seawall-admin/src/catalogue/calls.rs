//! Calls and attempts, the limits on them, the keys they were made for, and the endpoints they went to.

use seawall::snapshot::{CallStats, TimeoutStats};

use super::{Family, Kind, POLICY, Samples, Snapshot, counter, each, gauge};

/// How calls and attempts ended.
pub(super) static CALLS: &[Family] = &[
    counter(
        "seawall_calls_total",
        &["policy", "outcome"],
        "Calls that ended: succeeded, failed, refused before anything ran, or ignored because the end says nothing about the callee.",
        |seen, to| {
            for (name, CallStats { calls, .. }) in &seen.policies {
                to(&[name, "succeeded"], calls.succeeded as f64);
                to(&[name, "failed"], calls.failed as f64);
                to(&[name, "refused"], calls.refused as f64);
                to(&[name, "ignored"], calls.ignored as f64);
            }
        },
    ),
    gauge("seawall_calls_in_flight", POLICY, "Calls begun and not ended.", |seen, to| {
        each_policy(seen, to, |stats| stats.calls.in_flight);
    }),
    counter(
        "seawall_attempts_total",
        &["policy", "outcome"],
        "Attempts that ended: succeeded, failed, or ignored because the end says nothing about the callee.",
        |seen, to| {
            for (name, CallStats { attempts, .. }) in &seen.policies {
                to(&[name, "succeeded"], attempts.succeeded as f64);
                to(&[name, "failed"], attempts.failed as f64);
                to(&[name, "ignored"], attempts.ignored as f64);
            }
        },
    ),
    gauge("seawall_attempts_in_flight", POLICY, "Attempts begun and not ended.", |seen, to| {
        each_policy(seen, to, |stats| stats.attempts.in_flight);
    }),
    counter(
        "seawall_attempts_timed_out_total",
        POLICY,
        "Attempts cut by their own limit.",
        |seen, to| each_policy(seen, to, |stats| stats.timed_out),
    ),
    counter(
        "seawall_attempts_cut_wrongly_total",
        POLICY,
        "Attempts cut by the learned limit whose retry took longer than that and succeeded.",
        |seen, to| each_policy(seen, to, |stats| stats.false_timeouts),
    ),
    counter(
        "seawall_calls_deadline_passed_total",
        POLICY,
        "Calls cut by the deadline.",
        |seen, to| each_policy(seen, to, |stats| stats.deadline_passed),
    ),
    counter(
        "seawall_attempts_overran_total",
        POLICY,
        "Answers that came after the limit that should have cut them.",
        |seen, to| each_policy(seen, to, |stats| stats.overran),
    ),
    counter(
        "seawall_answers_broke_off_total",
        POLICY,
        "Answers that broke off after they had been judged good.",
        |seen, to| each_policy(seen, to, |stats| stats.broke_off_late),
    ),
    counter("seawall_panics_total", POLICY, "Operations that panicked.", |seen, to| {
        each_policy(seen, to, |stats| stats.panicked);
    }),
];

/// Learned limits and what they are learned from.
pub(super) static LIMITS: &[Family] = &[
    gauge(
        "seawall_attempt_limit_seconds",
        POLICY,
        "The limit on an attempt: learned, or as set until it is.",
        |seen, to| each(&seen.adaptive_timeouts, to, |stats| seconds(stats.current_timeout_ms)),
    ),
    Family {
        name: "seawall_attempt_latency_seconds",
        kind: Kind::Summary,
        labels: &["policy", "quantile"],
        help: "How long attempts took lately; a quantile is missing while unknown.",
        read: |seen, to| {
            for (name, stats) in &seen.adaptive_timeouts {
                for (quantile, value) in quantiles(stats) {
                    value.into_iter().for_each(|value| to(&[name, quantile], seconds(value)));
                }
            }
        },
    },
];

/// Policies for each key: how full they are.
pub(super) static KEYS: &[Family] = &[
    gauge("seawall_policy_keys", POLICY, "Keys with a policy of their own.", |seen, to| {
        each(&seen.per_key, to, |stats| stats.in_use.into());
    }),
    gauge(
        "seawall_policy_keys_capacity",
        POLICY,
        "Keys that may have a policy of their own.",
        |seen, to| each(&seen.per_key, to, |stats| stats.max_keys.into()),
    ),
    gauge(
        "seawall_policy_keys_open",
        POLICY,
        "Keys whose breaker refuses calls, open, half-open or forced open; those that share one count as one.",
        |seen, to| each(&seen.per_key, to, |stats| stats.open.into()),
    ),
    counter(
        "seawall_policy_keys_overflowed_total",
        POLICY,
        "Look-ups of keys for which there was no room, which share one policy.",
        |seen, to| each(&seen.per_key, to, |stats| stats.overflowed as f64),
    ),
    counter(
        "seawall_policy_keys_evicted_total",
        POLICY,
        "Keys forgotten to make room, which nobody used any more.",
        |seen, to| each(&seen.per_key, to, |stats| stats.evicted as f64),
    ),
];

/// Endpoints of upstreams.
pub(super) static ENDPOINTS: &[Family] = &[
    gauge(
        "seawall_endpoint_in_flight",
        ENDPOINT,
        "Attempts running at the endpoint.",
        |seen, to| {
            each(&seen.endpoints, to, |stats| stats.in_flight.into());
        },
    ),
    counter(
        "seawall_endpoint_attempts_total",
        ENDPOINT,
        "Attempts sent to the endpoint.",
        |seen, to| {
            each(&seen.endpoints, to, |stats| stats.attempts as f64);
        },
    ),
    gauge(
        "seawall_endpoint_latency_seconds",
        ENDPOINT,
        "The endpoint's latency as the picker weighs it, failures counted as slow; 0 while unknown.",
        |seen, to| each(&seen.endpoints, to, |stats| seconds(stats.latency_ms)),
    ),
];

fn each_policy(seen: &Snapshot, to: Samples<'_>, count: impl Fn(&CallStats) -> u64) {
    each(&seen.policies, to, |stats| count(stats) as f64);
}

fn quantiles(stats: &TimeoutStats) -> [(&'static str, Option<f64>); 4] {
    [("0.5", stats.p50), ("0.95", stats.p95), ("0.99", stats.p99), ("0.999", stats.p999)]
}

fn seconds(milliseconds: f64) -> f64 {
    milliseconds / 1_000.0
}

const ENDPOINT: &[&str] = &["endpoint"];
