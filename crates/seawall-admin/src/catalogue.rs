//! Every metric: its name, kind, labels and meaning, and where in the snapshot its value is.
//!
//! ```text
//!   CATALOGUE ─▶ exposition: /metrics
//!           └──▶ docs/metrics.md          a test compares them
//! ```
//!
//! One row is one family, and there is no other place that names a metric. Seconds are the unit of time,
//! counters end in `_total`, and labels take only names that the configuration chose, so their number is
//! bounded by it.
//!
//! A breaker's phase is one number. One metric per phase, each 0 or 1, has to be kept consistent by whoever
//! sets them, and then reads open and closed at once.

use std::collections::BTreeMap;

use seawall::{
    Snapshot,
    snapshot::{CallStats, CircuitBreakerStats, TimeoutStats},
};

/// One metric family.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The names of the values each sample comes with.
    pub(crate) labels: &'static [&'static str],
    /// What it means, in one line without backslashes.
    pub(crate) help: &'static str,
    /// Tells its samples: the values of the labels, and the number.
    pub(crate) read: fn(&Snapshot, Samples<'_>),
}

/// Takes samples.
pub(crate) type Samples<'a> = &'a mut dyn FnMut(&[&str], f64);

/// How a family's numbers move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only up, from 0 at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Quantiles.
    Summary,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
        }
    }
}

/// The families, in the order of the text.
pub(crate) static CATALOGUE: &[Family] = &[
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
    gauge(
        "seawall_circuit_breaker_state",
        BREAKER,
        "Where the breaker stands: 0 closed, 1 half_open, 2 open, 3 forced_open, 4 forced_closed.",
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
    counter(
        "seawall_bulkhead_refused_total",
        POLICY,
        "Calls the full bulkhead refused.",
        |seen, to| {
            each(&seen.bulkheads, to, |stats| stats.rejected_calls as f64);
        },
    ),
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

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Snapshot, Samples<'_>),
) -> Family {
    Family { name, kind: Kind::Counter, labels, help, read }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Snapshot, Samples<'_>),
) -> Family {
    Family { name, kind: Kind::Gauge, labels, help, read }
}

/// One sample per component of a section.
fn each<S>(section: &BTreeMap<String, S>, to: Samples<'_>, value: impl Fn(&S) -> f64) {
    section.iter().for_each(|(name, stats)| to(&[name], value(stats)));
}

fn each_policy(seen: &Snapshot, to: Samples<'_>, count: impl Fn(&CallStats) -> u64) {
    each(&seen.policies, to, |stats| count(stats) as f64);
}

/// One sample per breaker. An endpoint's breaker has the endpoint's label.
fn each_breaker(seen: &Snapshot, mut to: impl FnMut(&[&str], &CircuitBreakerStats)) {
    for (name, stats) in &seen.circuit_breakers {
        if seen.endpoints.contains_key(name) {
            to(&["", name], stats);
        } else {
            to(&[name, ""], stats);
        }
    }
}

fn quantiles(stats: &TimeoutStats) -> [(&'static str, Option<f64>); 4] {
    [("0.5", stats.p50), ("0.95", stats.p95), ("0.99", stats.p99), ("0.999", stats.p999)]
}

fn seconds(milliseconds: f64) -> f64 {
    milliseconds / 1_000.0
}

const POLICY: &[&str] = &["policy"];
const ENDPOINT: &[&str] = &["endpoint"];
const BREAKER: &[&str] = &["policy", "endpoint"];

/// Each at its number.
const STATES: [&str; 5] = ["closed", "half_open", "open", "forced_open", "forced_closed"];

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use seawall::core::Phase;

    use super::*;

    #[test]
    fn names_kinds_and_units_agree() {
        let mut names: Vec<&str> = CATALOGUE.iter().map(|family| family.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CATALOGUE.len(), "a name twice");
        for Family { name, kind, labels, help, .. } in CATALOGUE {
            assert!(name.starts_with("seawall_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(labels.contains(&"quantile"), *kind == Kind::Summary, "{name}");
            for word in ["limit_", "latency_"] {
                assert!(!name.contains(word) || name.ends_with("_seconds"), "{name}");
            }
            assert!(!help.contains(['\\', '\n', '|']) && help.ends_with('.'), "{name}: {help}");
        }
    }

    #[test]
    fn every_phase_has_its_number_and_the_help_tells_it() {
        let phases =
            [Phase::Closed, Phase::HalfOpen, Phase::Open, Phase::ForcedOpen, Phase::ForcedClosed];
        assert_eq!(STATES, phases.map(Phase::name));
        let mapping: Vec<String> =
            STATES.iter().enumerate().map(|(number, state)| format!("{number} {state}")).collect();
        let state = CATALOGUE.iter().find(|family| family.name == "seawall_circuit_breaker_state");
        assert!(state.unwrap().help.ends_with(&format!(": {}.", mapping.join(", "))));
    }

    /// Run with `SEAWALL_WRITE_PAGES=1` to write the page anew.
    #[test]
    fn the_page_is_the_catalogue() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("SEAWALL_WRITE_PAGES").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        for (written, expected) in written.lines().zip(page().lines()) {
            assert_eq!(written, expected, "docs/metrics.md");
        }
        assert_eq!(written.len(), page().len(), "docs/metrics.md is longer or shorter");
    }

    fn page() -> String {
        let mut page = PAGE_HEAD.to_owned();
        for Family { name, kind, labels, help, .. } in CATALOGUE {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            let (kind, labels) = (kind.name(), labels.join(", "));
            writeln!(page, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
        }
        page + PAGE_FOOT
    }

    const PAGE_HEAD: &str = "\
# Metrics

`GET /metrics` on the admin address answers in Prometheus text 0.0.4, from the same snapshot as `/stats`. A component is read under
one lock, so its numbers agree. This page is written from the table in the code, and a test compares them.

| metric | type | labels | meaning |
| --- | --- | --- | --- |
";

    const PAGE_FOOT: &str = r#"
## Labels

Every label takes only names from the configuration or the fixed words below, so their number is bounded.

- `policy`: the policy. In the gateway the route, and for the retry budget the upstream it belongs to.
- `endpoint`: in the gateway, the upstream and one of its endpoints, as `orders 10.0.0.1:80`. A breaker has either
  `policy` or `endpoint`.
- `outcome`: how it ended. Begun = all outcomes + in flight, for calls and for attempts.
- `quantile`: of the latencies of the last seconds, as the learned limit sees them.

`seawall_retries_total` never falls: what was paid for and then never sent is counted beside it, in `seawall_retries_refunded_total`.
`total_retries` of `/stats` is the difference.

## Questions

| question | expression |
| --- | --- |
| which breakers refuse calls? | `seawall_circuit_breaker_state == 2 or seawall_circuit_breaker_state == 3` |
| retries per first attempt | `rate(seawall_retries_total[5m]) / rate(seawall_first_attempts_total[5m])` |
| how full are the bulkheads? | `seawall_bulkhead_running / seawall_bulkhead_limit` |
| share of calls that succeeded | `sum by (policy) (rate(seawall_calls_total{outcome="succeeded"}[5m])) / sum by (policy) (rate(seawall_calls_total[5m]))` |
"#;
}
