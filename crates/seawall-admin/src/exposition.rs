//! The catalogue filled with one snapshot, as Prometheus text 0.0.4.
//!
//! ```text
//!   # HELP seawall_calls_total Calls that ended, by how.
//!   # TYPE seawall_calls_total counter
//!   seawall_calls_total{policy="orders",outcome="succeeded"} 150
//! ```
//!
//! Written by hand: the format is three kinds of line and one rule of escaping, and values come from the
//! snapshot, so that a metrics library's own registry would only be a second copy to keep true.

use std::fmt::Write;

use seawall::Snapshot;

use crate::catalogue::families;

/// The text.
pub(crate) fn exposition(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for family in families() {
        let (name, kind) = (family.name, family.kind.name());
        push(&mut text, format_args!("# HELP {name} {}\n# TYPE {name} {kind}\n", family.help));
        (family.read)(snapshot, &mut |values, value| {
            text.push_str(name);
            labels(&mut text, family.labels, values);
            push(&mut text, format_args!(" {value}\n"));
        });
    }
    text
}

/// `{policy="orders",outcome="failed"}`. A label without a value is one that is not there.
fn labels(text: &mut String, names: &[&str], values: &[&str]) {
    let mut before = '{';
    for (name, value) in names.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        push(text, format_args!("{before}{name}=\"{}\"", escaped(value)));
        before = ',';
    }
    if before == ',' {
        text.push('}');
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A string takes whatever it is given.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use seawall::{
        BulkheadConfig, CircuitBreakerConfig, Clock, Keyed, ManualClock, Policy, PolicyConfig,
        Registry, RetryConfig, TimeoutConfig,
        core::{Instant, Picker, RateLimitConfig, RateLimiter},
        snapshot::{EndpointStats, KeyStats, PerKeyStats},
    };

    use super::*;

    #[test]
    fn labels_are_escaped_and_empty_ones_left_out() {
        for (values, expected) in [
            (["orders", "failed"], r#"{a="orders",b="failed"}"#),
            (["", "failed"], r#"{b="failed"}"#),
            (["orders", ""], r#"{a="orders"}"#),
            (["", ""], ""),
            (["say \"no\"", "c:\\new\nline"], r#"{a="say \"no\"",b="c:\\new\nline"}"#),
            (["größe {1,2}=3", "\\\""], r#"{a="größe {1,2}=3",b="\\\""}"#),
        ] {
            let mut text = String::new();
            labels(&mut text, &["a", "b"], &values);
            assert_eq!(text, expected);
        }
    }

    /// Each figure has a number of its own, so that none can stand in another's place.
    #[test]
    fn every_figure_is_in_its_place() {
        let text = exposition(&numbered());
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = r#"
seawall_calls_total{policy="p",outcome="succeeded"} 11
seawall_calls_total{policy="p",outcome="failed"} 12
seawall_calls_total{policy="p",outcome="refused"} 13
seawall_calls_total{policy="p",outcome="ignored"} 14
seawall_calls_in_flight{policy="p"} 50
seawall_attempts_total{policy="p",outcome="succeeded"} 21
seawall_attempts_total{policy="p",outcome="failed"} 22
seawall_attempts_total{policy="p",outcome="ignored"} 24
seawall_attempts_in_flight{policy="p"} 33
seawall_attempts_timed_out_total{policy="p"} 41
seawall_attempts_cut_wrongly_total{policy="p"} 46
seawall_calls_deadline_passed_total{policy="p"} 42
seawall_attempts_overran_total{policy="p"} 43
seawall_answers_broke_off_total{policy="p"} 44
seawall_panics_total{policy="p"} 45
seawall_circuit_breaker_state{endpoint="e"} 2
seawall_circuit_breaker_state{policy="p"} 1
seawall_circuit_breaker_transitions_total{endpoint="e"} 51
seawall_circuit_breaker_transitions_total{policy="p"} 53
seawall_circuit_breaker_refused_total{endpoint="e"} 52
seawall_circuit_breaker_refused_total{policy="p"} 54
seawall_circuit_breaker_calls_total{endpoint="e",outcome="succeeded"} 55
seawall_circuit_breaker_calls_total{endpoint="e",outcome="failed"} 56
seawall_circuit_breaker_calls_total{endpoint="e",outcome="ignored"} 57
seawall_circuit_breaker_calls_total{policy="p",outcome="succeeded"} 0
seawall_circuit_breaker_calls_total{policy="p",outcome="failed"} 0
seawall_circuit_breaker_calls_total{policy="p",outcome="ignored"} 0
seawall_circuit_breaker_failure_ratio{endpoint="e"} 0.58
seawall_circuit_breaker_slow_ratio{endpoint="e"} 0.59
seawall_circuit_breaker_window_calls{endpoint="e"} 580
seawall_circuit_breaker_window_calls{policy="p"} 0
seawall_circuit_breaker_slow_running{endpoint="e"} 59
seawall_circuit_breaker_slow_running{policy="p"} 0
seawall_circuit_breaker_open_seconds{endpoint="e"} 60
seawall_first_attempts_total{policy="p"} 61
seawall_retries_total{policy="p"} 65
seawall_retries_refunded_total{policy="p"} 3
seawall_retry_budget_balance{policy="p"} 6.25
seawall_retry_budget_ratio{policy="p"} 0.5
seawall_retry_amplification{policy="p"} 1.63
seawall_bulkhead_running{policy="p"} 71
seawall_bulkhead_limit{policy="p"} 72
seawall_bulkhead_queued{policy="p",class="critical"} 131
seawall_bulkhead_queued{policy="p",class="high"} 132
seawall_bulkhead_queued{policy="p",class="normal"} 133
seawall_bulkhead_queued{policy="p",class="low"} 134
seawall_bulkhead_queued{policy="p",class="background"} 135
seawall_bulkhead_admitted_total{policy="p",class="critical"} 141
seawall_bulkhead_admitted_total{policy="p",class="high"} 142
seawall_bulkhead_admitted_total{policy="p",class="normal"} 143
seawall_bulkhead_admitted_total{policy="p",class="low"} 144
seawall_bulkhead_admitted_total{policy="p",class="background"} 145
seawall_bulkhead_completed_total{policy="p"} 78
seawall_bulkhead_refused_total{policy="p",reason="full"} 73
seawall_bulkhead_refused_total{policy="p",reason="wait_over"} 74
seawall_bulkhead_refused_total{policy="p",reason="displaced"} 75
seawall_bulkhead_refused_total{policy="p",reason="hopeless"} 76
seawall_bulkhead_abandoned_total{policy="p"} 77
seawall_rate_limiter_allowed_total{limiter="k"} 101
seawall_rate_limiter_allowed_total{limiter="p"} 0
seawall_rate_limiter_refused_total{limiter="k"} 102
seawall_rate_limiter_refused_total{limiter="p"} 0
seawall_rate_limiter_abandoned_total{limiter="k"} 103
seawall_rate_limiter_abandoned_total{limiter="p"} 0
seawall_rate_limiter_waiting{limiter="k"} 104
seawall_rate_limiter_waiting{limiter="p"} 0
seawall_rate_limiter_available{limiter="k"} 105
seawall_rate_limiter_available{limiter="p"} 1000
seawall_rate_limiter_capacity{limiter="k"} 106
seawall_rate_limiter_capacity{limiter="p"} 1000
seawall_rate_limiter_keys{limiter="k"} 107
seawall_rate_limiter_keys_overflowed_total{limiter="k"} 108
seawall_rate_limiter_keys_evicted_total{limiter="k"} 109
seawall_attempt_limit_seconds{policy="p"} 0.0815
seawall_attempt_latency_seconds{policy="p",quantile="0.5"} 0.082
seawall_attempt_latency_seconds{policy="p",quantile="0.95"} 0.083
seawall_attempt_latency_seconds{policy="p",quantile="0.999"} 0.085
seawall_policy_keys{policy="t"} 111
seawall_policy_keys_capacity{policy="t"} 112
seawall_policy_keys_open{policy="t"} 113
seawall_policy_keys_overflowed_total{policy="t"} 114
seawall_policy_keys_evicted_total{policy="t"} 115
seawall_endpoint_in_flight{endpoint="e"} 91
seawall_endpoint_attempts_total{endpoint="e"} 92
seawall_endpoint_latency_seconds{endpoint="e"} 0.093
"#;
        assert_eq!(samples, expected.trim().lines().collect::<Vec<_>>());
    }

    fn numbered() -> Snapshot {
        let registry = Registry::with_clock(Clock::manual(&ManualClock::new()));
        let config = PolicyConfig {
            rate_limit: Some(RateLimitConfig::default()),
            retry: Some(RetryConfig::default()),
            circuit_breaker: Some(CircuitBreakerConfig::default()),
            bulkhead: Some(BulkheadConfig::default()),
            timeout: Some(TimeoutConfig::default()),
            ..PolicyConfig::default()
        };
        registry.policy("p", &config).unwrap();
        let mut seen = registry.snapshot();

        let counts = seen.policies.get_mut("p").unwrap();
        let tally = &mut counts.calls;
        (tally.succeeded, tally.failed, tally.refused, tally.ignored) = (11, 12, 13, 14);
        tally.in_flight = 50;
        let tally = &mut counts.attempts;
        (tally.succeeded, tally.failed, tally.ignored, tally.in_flight) = (21, 22, 24, 33);
        (counts.timed_out, counts.deadline_passed, counts.overran) = (41, 42, 43);
        (counts.broke_off_late, counts.panicked) = (44, 45);
        counts.false_timeouts = 46;

        let breaker = seen.circuit_breakers.get_mut("p").unwrap();
        (breaker.state, breaker.transitions, breaker.rejected_calls) = ("open", 51, 52);
        let mut endpoints = breaker.clone();
        (breaker.state, breaker.transitions, breaker.rejected_calls) = ("half_open", 53, 54);
        let totals = &mut endpoints.totals;
        (totals.successes, totals.failures, totals.ignored) = (55, 56, 57);
        (endpoints.failure_rate_percent, endpoints.slow_rate_percent) = (Some(58.0), Some(59.0));
        (endpoints.calls_in_window, endpoints.running_slow_calls) = (580, 59);
        endpoints.open_for_seconds = Some(60.0);
        seen.circuit_breakers.insert("e".to_owned(), endpoints);

        let retries = seen.retry_managers.get_mut("p").unwrap();
        (retries.total_requests, retries.total_retries, retries.refunded_retries) = (61, 62, 3);
        (retries.balance, retries.budget_percent, retries.amplification) = (6.25, 50.0, 1.63);

        let bulkhead = seen.bulkheads.get_mut("p").unwrap();
        (bulkhead.active_calls, bulkhead.max_concurrent) = (71, 72);
        bulkhead.rejected_calls = 73 + 74 + 75 + 76;
        (bulkhead.waits_over, bulkhead.displaced, bulkhead.hopeless) = (74, 75, 76);
        (bulkhead.abandoned, bulkhead.completed) = (77, 78);
        bulkhead.queued_by_class = [131, 132, 133, 134, 135].into();
        bulkhead.admitted_by_class = [141, 142, 143, 144, 145].into();

        let mut limiter = seen.rate_limiters["p"].clone();
        (limiter.allowed, limiter.rejected, limiter.abandoned) = (101, 102, 103);
        (limiter.waiting, limiter.available, limiter.limit) = (104, 105, 106);
        let each = RateLimiter::new(&RateLimitConfig::default()).unwrap();
        let mut keys = KeyStats::from(Keyed::<u8, _>::new(1, each).snapshot());
        (keys.in_use, keys.overflowed, keys.evicted) = (107, 108, 109);
        limiter.keys = Some(keys);
        seen.rate_limiters.insert("k".to_owned(), limiter);

        let timeout = seen.adaptive_timeouts.get_mut("p").unwrap();
        timeout.current_timeout_ms = 81.5;
        (timeout.p50, timeout.p95, timeout.p99, timeout.p999) =
            (Some(82.0), Some(83.0), None, Some(85.0));

        let tenants = Policy::builder("t").per_key::<Arc<str>>().build().unwrap();
        let mut keys = PerKeyStats::from(tenants.snapshot());
        (keys.in_use, keys.max_keys, keys.open) = (111, 112, 113);
        (keys.overflowed, keys.evicted) = (114, 115);
        seen.per_key.insert("t".to_owned(), keys);

        let picker = Picker::new(1, None).unwrap();
        let mut endpoint = EndpointStats::from(picker.snapshot(Instant::ORIGIN).next().unwrap());
        (endpoint.in_flight, endpoint.attempts, endpoint.latency_ms) = (91, 92, 93.0);
        seen.endpoints.insert("e".to_owned(), endpoint);
        seen
    }
}
