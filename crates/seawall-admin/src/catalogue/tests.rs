//! Names that agree with one another, and the page.

use std::fmt::Write;

use seawall::core::Phase;

use super::{patterns::STATES, *};

#[test]
fn names_kinds_and_units_agree() {
    let mut names: Vec<&str> = families().map(|family| family.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), families().count(), "a name twice");
    for Family { name, kind, labels, help, .. } in families() {
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
    let phases = [
        Phase::Closed,
        Phase::HalfOpen,
        Phase::Open,
        Phase::ForcedOpen,
        Phase::ForcedClosed,
        Phase::Disabled,
        Phase::MetricsOnly,
    ];
    assert_eq!(STATES, phases.map(Phase::name));
    let mapping: Vec<String> =
        STATES.iter().enumerate().map(|(number, state)| format!("{number} {state}")).collect();
    let state = families().find(|family| family.name == "seawall_circuit_breaker_state");
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
    for Family { name, kind, labels, help, .. } in families() {
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
- `class`: how urgent a call was: critical, high, normal, low or background.
- `limiter`: a rate limit. In the library the policy's name, in the gateway that of the route.
- `reason`: why a bulkhead refused.
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
| do keys share a policy because there are too many? | `rate(seawall_policy_keys_overflowed_total[5m]) > 0` |
| how many wait for a place? | `sum by (policy) (seawall_bulkhead_queued)` |
| who is refused by a full one, and why? | `sum by (policy, reason) (rate(seawall_bulkhead_refused_total[5m]))` |
| share of calls a rate limit refuses | `rate(seawall_rate_limiter_refused_total[5m]) / (rate(seawall_rate_limiter_allowed_total[5m]) + rate(seawall_rate_limiter_refused_total[5m]))` |
| share of calls that succeeded | `sum by (policy) (rate(seawall_calls_total{outcome="succeeded"}[5m])) / sum by (policy) (rate(seawall_calls_total[5m]))` |
"#;
