//! The contract of the door, and what its pages say after scripted calls.

use std::{
    collections::BTreeSet,
    future::pending,
    pin::{Pin, pin},
    sync::Arc,
    task::Waker,
    time::{Duration, UNIX_EPOCH},
};

use seawall::{
    BulkheadConfig, ByStatus, CircuitBreakerConfig, Clock, ManualClock, Override, Policy,
    PolicyConfig, RetryConfig, Status, TimeoutConfig,
    core::{Phase, Picker, RateLimitConfig},
    snapshot::CircuitBreakerStats,
};
use serde_json::Value;

use super::*;

// The contract.

#[test]
fn it_is_always_ready_and_clones_are_the_same_door() {
    let (registry, _) = registry();
    let mut door = Admin::new(registry.clone());
    let mut clone = door.clone();
    let mut cx = Context::from_waker(Waker::noop());
    registry.set_ready(false);
    for door in [&mut door, &mut clone] {
        for _ in 0..2 {
            let ready = <Admin as Service<Request<String>>>::poll_ready(door, &mut cx);
            assert_eq!(ready, Poll::Ready(Ok(())), "unready is an answer");
        }
        let asked = Request::get("/readyz").body("a body of any type".to_owned()).unwrap();
        let Ok(answer) = door.call(asked).into_inner();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[test]
fn liveness_is_not_readiness() {
    let (registry, _) = registry();
    let broken = policy(&registry, "broken", &everything());
    for _ in 0..5 {
        let _ = broken.run_blocking(|| Err::<(), _>("down"));
    }
    assert_eq!(broken.phase().map(Phase::name), Some("open"));
    let door = Admin::new(registry.clone());
    for (path, ready, status, body) in [
        ("/livez", true, 200, "ok\n"),
        ("/readyz", true, 200, "ok\n"),
        ("/healthz", true, 200, "ok\n"),
        ("/readyz?verbose", true, 200, "[+]serving ok\n"),
        ("/livez", false, 200, "ok\n"),
        ("/healthz", false, 200, "ok\n"),
        ("/readyz", false, 503, "failed\n"),
        ("/readyz?a=b&verbose=1", false, 503, "[-]serving failed\n"),
        ("/livez?verbose", false, 200, "[+]process ok\n"),
    ] {
        registry.set_ready(ready);
        let (answered, _, text) = ask(&door, Method::GET, path);
        assert_eq!((answered, text.as_str()), (status, body), "{path}, ready: {ready}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let (registry, _) = registry();
    policy(&registry, "orders", &everything());
    let door = Admin::new(registry);
    for path in TOPICS.map(|(path, ..)| path).into_iter().chain(["/nowhere"]) {
        let (status, headers, body) = ask(&door, Method::GET, path);
        assert!(!body.is_empty(), "{path}");
        assert_eq!(headers[CONTENT_LENGTH], body.len().to_string(), "{path}");
        assert_eq!(headers[CACHE_CONTROL], "no-store", "{path}");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(ask(&door, Method::HEAD, path), (status, headers, String::new()), "{path}");
    }
}

#[test]
fn pages_say_what_they_are() {
    let door = Admin::new(Registry::new());
    for (path, kind) in [
        ("/", "text/plain; charset=utf-8"),
        ("/livez", "text/plain; charset=utf-8"),
        ("/stats", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
    ] {
        assert_eq!(ask(&door, Method::GET, path).1[CONTENT_TYPE], kind, "{path}");
    }
    let (_, _, contents) = ask(&door, Method::GET, "/");
    for (path, ..) in TOPICS {
        assert!(contents.lines().any(|line| line.split(' ').next() == Some(path)), "{path}");
    }
}

#[test]
fn what_is_not_there_and_what_may_not_be_done() {
    let door = Admin::new(Registry::new());
    for (method, path, status) in [
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/livez/", 404),
        (Method::POST, "/reload", 404),
        (Method::DELETE, "/", 405),
        (Method::POST, "/stats", 405),
        (Method::OPTIONS, "/metrics", 405),
    ] {
        let (answered, headers, _) = ask(&door, method.clone(), path);
        assert_eq!(answered, status, "{method} {path}");
        let allow = headers.get(ALLOW).map(HeaderValue::as_bytes);
        assert_eq!(allow, (status == 405).then_some(&b"GET, HEAD"[..]), "{method} {path}");
    }
}

#[test]
fn pages_of_other_sites_are_refused() {
    let door = Admin::new(Registry::new());
    for (site, status) in
        [("cross-site", 403), ("same-origin", 200), ("same-site", 200), ("none", 200)]
    {
        let request = Request::get("/stats").header("Sec-Fetch-Site", site).body(()).unwrap();
        assert_eq!(door.answer(&request).status(), status, "{site}");
    }
}

// The statistics.

#[test]
fn the_guides_statistics_can_be_produced() {
    let (registry, _) = registry();
    let api = policy(&registry, "api", &breaker());
    for _ in 0..150 {
        api.run_blocking(|| Ok::<_, ()>(())).unwrap();
    }
    one_thousand_requests_with_45_retries(&registry);
    // The sample's bulkhead turns calls away at once.
    let bulkhead =
        BulkheadConfig { max_concurrent: 100, max_queue: 0, ..BulkheadConfig::default() };
    let cache = PolicyConfig { bulkhead: Some(bulkhead), ..PolicyConfig::default() };
    let cache = policy(&registry, "cache", &cache);
    let mut running: Vec<_> =
        (0..105).map(|_| Box::pin(cache.run(pending::<Result<(), ()>>))).collect();
    let refused: usize =
        running.iter_mut().map(|call| usize::from(poll(call.as_mut()).is_ready())).sum();
    assert_eq!(refused, 5);
    running.truncate(23);

    let (_, _, json) = ask(&Admin::new(registry), Method::GET, "/stats");
    let json: Value = serde_json::from_str(&json).unwrap();
    for (path, expected) in [
        ("/timestamp", Value::from("2025-11-06T19:45:00Z")),
        ("/circuit_breakers/api/state", "closed".into()),
        ("/circuit_breakers/api/failure_count", 0.into()),
        ("/circuit_breakers/api/success_count", 150.into()),
        ("/retry_managers/db/total_requests", 1000.into()),
        ("/retry_managers/db/total_retries", 45.into()),
        ("/retry_managers/db/retry_rate_percent", 4.5.into()),
        ("/retry_managers/db/amplification", 1.045.into()),
        ("/retry_managers/db/within_budget", true.into()),
        ("/retry_managers/db/budget_percent", 10.0.into()),
        ("/bulkheads/cache/active_calls", 23.into()),
        ("/bulkheads/cache/max_concurrent", 100.into()),
        ("/bulkheads/cache/utilization_percent", 23.0.into()),
        ("/bulkheads/cache/rejected_calls", 5.into()),
    ] {
        assert_eq!(json.pointer(path), Some(&expected), "{path}");
    }
}

#[test]
fn the_guides_other_keys_are_there() {
    let (registry, _) = registry();
    policy(&registry, "orders", &everything());
    let (_, _, json) = ask(&Admin::new(registry), Method::GET, "/stats");
    let json: Value = serde_json::from_str(&json).unwrap();
    for (section, keys) in [
        ("circuit_breakers", &["name", "last_failure_time", "last_state_change"][..]),
        (
            "circuit_breakers",
            &["failure_rate_percent", "slow_rate_percent", "calls_in_window", "open_for_seconds"],
        ),
        ("circuit_breakers", &["override", "totals"]),
        ("bulkheads", &["name", "queued", "queued_by_class", "admitted_by_class", "completed"]),
        ("bulkheads", &["waits_over", "displaced", "hopeless", "abandoned"]),
        ("rate_limiters", &["algorithm", "allowed", "rejected", "available"]),
        ("rate_limiters", &["retry_after_seconds", "waiting"]),
        (
            "adaptive_timeouts",
            &["p50", "p95", "p99", "p999", "current_timeout_ms", "adaptive_enabled", "samples"],
        ),
    ] {
        for key in keys {
            assert!(json[section]["orders"].get(key).is_some(), "{section} {key}");
        }
    }
}

#[test]
fn a_policy_for_each_key_tells_how_many_and_not_which() {
    let (registry, _) = registry();
    let tenants = Policy::builder("tenants").per_key::<Arc<str>>().max_keys(2);
    let tenants = tenants.build().unwrap();
    registry.show(Arc::new(tenants.clone()));
    for key in ["acme", "globex", "initech"] {
        tenants.key(key).run_blocking(|| Ok::<_, ()>(())).unwrap();
    }
    let door = Admin::new(registry);
    let (_, _, json) = ask(&door, Method::GET, "/stats");
    let (_, _, metrics) = ask(&door, Method::GET, "/metrics");
    assert!(!format!("{json}{metrics}").contains("acme"));
    let json: Value = serde_json::from_str(&json).unwrap();
    let expected =
        serde_json::json!({"in_use": 2, "max_keys": 2, "overflowed": 0, "evicted": 1, "open": 0});
    assert_eq!(json["per_key"]["tenants"], expected);
    assert_eq!(json["policies"]["tenants"]["calls"]["succeeded"], 3);
    let of = |name| value(&door, name, &[("policy", "tenants")]);
    assert_eq!((of("seawall_policy_keys"), of("seawall_policy_keys_evicted_total")), (2.0, 1.0));
}

/// Every 22nd answer is a 503, mended by the second attempt.
fn one_thousand_requests_with_45_retries(registry: &Registry) {
    let config = PolicyConfig { retry: Some(at_once()), ..PolicyConfig::default() };
    let db =
        policy(registry, "db", &config).typed::<Answer, Answer>().classify(ByStatus::default());
    for request in 1..=1_000 {
        let mut statuses = if request % 22 == 0 { vec![200, 503] } else { vec![200] };
        let answer = db.run_blocking(|| Ok(Answer(statuses.pop().unwrap())));
        assert_eq!(answer.ok().and_then(|answer| answer.status()), Some(200));
    }
}

struct Answer(u16);

impl Status for Answer {
    fn status(&self) -> Option<u16> {
        Some(self.0)
    }
}

// The metrics.

#[test]
fn a_breakers_gauge_reads_one_value_through_a_full_cycle() {
    let (registry, clock) = registry();
    let api = policy(&registry, "api", &breaker());
    let door = Admin::new(registry);
    let state = || {
        let samples = samples(&door);
        let mut states =
            samples.iter().filter(|(name, ..)| name.starts_with("seawall_circuit_breaker_state"));
        let (labels, value) = states.next().map(|(_, labels, value)| (labels, *value)).unwrap();
        assert_eq!(*labels, [("policy".to_owned(), "api".to_owned())]);
        assert!(states.next().is_none(), "one gauge for one breaker");
        value
    };
    let mut seen = vec![state()];
    for _ in 0..5 {
        let _ = api.run_blocking(|| Err::<(), _>(()));
    }
    seen.push(state());
    clock.advance(Duration::from_secs(60));
    seen.push(state());
    for _ in 0..3 {
        api.run_blocking(|| Ok::<_, ()>(())).unwrap();
    }
    seen.push(state());
    api.force(Override::open("test"));
    seen.push(state());
    api.force(Override::closed("test"));
    seen.push(state());
    api.release();
    seen.push(state());
    assert_eq!(seen, [0.0, 2.0, 1.0, 0.0, 3.0, 4.0, 0.0]);
    assert_eq!(
        value(&door, "seawall_circuit_breaker_transitions_total", &[("policy", "api")]),
        6.0
    );
}

#[test]
fn metrics_are_those_of_the_calls() {
    let (registry, clock) = registry();
    let orders = policy(&registry, "orders", &everything());
    for _ in 0..200 {
        let work = || {
            clock.advance(Duration::from_millis(20));
            Ok::<_, ()>(())
        };
        orders.run_blocking(work).unwrap();
    }
    for _ in 0..5 {
        let _ = orders.call().no_retry().run_blocking(|| Err::<(), _>(()));
    }
    assert!(orders.run_blocking(|| Ok::<_, ()>(())).is_err(), "the breaker is open");
    let door = Admin::new(registry);
    let of = |name: &str| value(&door, name, &[("policy", "orders")]);
    let ended =
        |name: &str, how: &str| value(&door, name, &[("policy", "orders"), ("outcome", how)]);
    assert_eq!(ended("seawall_calls_total", "succeeded"), 200.0);
    assert_eq!(ended("seawall_calls_total", "failed"), 5.0);
    assert_eq!(ended("seawall_calls_total", "refused"), 1.0);
    assert_eq!(ended("seawall_calls_total", "ignored"), 0.0);
    assert_eq!(ended("seawall_attempts_total", "failed"), 5.0);
    assert_eq!(of("seawall_calls_in_flight"), 0.0);
    assert_eq!(of("seawall_circuit_breaker_refused_total"), 1.0);
    assert_eq!(of("seawall_first_attempts_total"), 205.0);
    assert_eq!(of("seawall_retry_budget_ratio"), 0.1);
    assert_eq!(of("seawall_bulkhead_limit"), 100.0);
    let median = value(
        &door,
        "seawall_attempt_latency_seconds",
        &[("policy", "orders"), ("quantile", "0.5")],
    );
    assert!((0.0198..=0.0202).contains(&median), "20 ms within a hundredth: {median}");
    let limit = of("seawall_attempt_limit_seconds");
    assert!((0.0297..=0.0303).contains(&limit), "the 95th percentile and a half: {limit}");
}

#[test]
fn a_refund_does_not_make_the_counter_fall() {
    let (registry, _) = registry();
    let retry = RetryConfig::default();
    let config = PolicyConfig { retry: Some(retry), ..PolicyConfig::default() };
    let db = policy(&registry, "db", &config);
    let door = Admin::new(registry);
    let counted = || value(&door, "seawall_retries_total", &[("policy", "db")]);
    let exact = || {
        let json: Value = serde_json::from_str(&ask(&door, Method::GET, "/stats").2).unwrap();
        json["retry_managers"]["db"]["total_retries"].as_u64()
    };
    {
        let mut waiting = pin!(db.run(|| async { Err::<(), _>(()) }));
        assert!(poll(waiting.as_mut()).is_pending(), "it waits for the second attempt");
        assert_eq!((counted(), exact()), (1.0, Some(1)));
    }
    assert_eq!((counted(), exact()), (1.0, Some(0)), "dropped while it waited");
    assert_eq!(value(&door, "seawall_retries_refunded_total", &[("policy", "db")]), 1.0);
}

#[test]
fn an_endpoints_breaker_has_the_endpoints_label() {
    let (registry, _) = registry();
    policy(&registry, "orders", &breaker());
    registry.show(Arc::new(Upstream(registry.clock().clone())));
    let door = Admin::new(registry);
    for (name, label, of) in [
        ("seawall_circuit_breaker_state", "policy", "orders"),
        ("seawall_circuit_breaker_state", "endpoint", "orders 10.0.0.1:80"),
        ("seawall_endpoint_in_flight", "endpoint", "orders 10.0.0.1:80"),
        ("seawall_endpoint_attempts_total", "endpoint", "orders 10.0.0.1:80"),
        ("seawall_endpoint_latency_seconds", "endpoint", "orders 10.0.0.1:80"),
    ] {
        assert_eq!(value(&door, name, &[(label, of)]), 0.0, "{name}");
    }
}

/// One endpoint nobody has called.
struct Upstream(Clock);

impl seawall::Observed for Upstream {
    fn observe(&self, snapshot: &mut Snapshot) {
        let picker = Picker::new(1, Some(&CircuitBreakerConfig::default())).unwrap();
        let name = "orders 10.0.0.1:80".to_owned();
        for seen in picker.snapshot(self.0.now()) {
            let stats = CircuitBreakerStats::new(&name, seen.breaker.as_ref().unwrap(), &self.0);
            snapshot.circuit_breakers.insert(name.clone(), stats);
            snapshot.endpoints.insert(name.clone(), seen.into());
        }
    }
}

#[test]
fn names_survive_the_text() {
    let (registry, _) = registry();
    let names = ["a", "-_9Z", &"x".repeat(64)];
    for name in names {
        policy(&registry, name, &everything());
    }
    for none in ["say \"no\"", "c:\\new\nline", "größe {a=\"1\",b}=3", "a b", "\\", ""] {
        assert!(registry.policy(none, &everything()).is_err(), "{none}");
    }
    let samples = samples(&Admin::new(registry));
    let of = |(name, labels, _): &Sample| {
        (name == "seawall_bulkhead_limit").then(|| labels[0].1.clone())
    };
    let read: BTreeSet<String> = samples.iter().filter_map(of).collect();
    assert_eq!(read, names.map(String::from).into());
}

#[test]
fn the_checker_refuses_what_is_no_metrics_text() {
    let head = "# HELP a_total A.\n# TYPE a_total counter\n";
    assert_eq!(parse(&format!("{head}a_total 1\n")).map(|samples| samples.len()), Ok(1));
    for wrong in [
        "a_total 1",
        "a_total one\n",
        "a_total\n",
        "b_total 1\n",
        "a_total{b=\"c} 1\n",
        "a_total{b=\"c\"\"} 1\n",
        "a_total{1=\"c\"} 1\n",
        "a_total{b=\"\\c\"} 1\n",
        "a_total 1\na_total 2\n",
        "# TYPE a_total counter\n",
        "# HELP a_total A.\n# TYPE a_total counter\n",
        "# HELP b B.\n# TYPE b counter\n",
        "# HELP b_total B.\n# TYPE b_total gauge\n",
        "# HELP b B.\n# TYPE c gauge\n",
        "\n",
    ] {
        let text = format!("{head}{wrong}");
        assert!(parse(&text).is_err(), "{text}");
    }
}

// What the tests are written with.

fn registry() -> (Registry, ManualClock) {
    let clock = ManualClock::at(UNIX_EPOCH + Duration::from_secs(1_762_458_300));
    (Registry::with_clock(Clock::manual(&clock)), clock)
}

fn policy(registry: &Registry, name: &str, config: &PolicyConfig) -> Policy {
    registry.policy(name, config).unwrap()
}

fn breaker() -> PolicyConfig {
    PolicyConfig {
        circuit_breaker: Some(CircuitBreakerConfig::default()),
        ..PolicyConfig::default()
    }
}

fn everything() -> PolicyConfig {
    PolicyConfig {
        deadline: None,
        rate_limit: Some(RateLimitConfig::default()),
        retry: Some(at_once()),
        circuit_breaker: Some(CircuitBreakerConfig::default()),
        bulkhead: Some(BulkheadConfig::default()),
        timeout: Some(TimeoutConfig::default()),
        ..PolicyConfig::default()
    }
}

/// Retries without a wait, since nobody moves the clock during one.
fn at_once() -> RetryConfig {
    RetryConfig { base_delay: Duration::ZERO, ..RetryConfig::default() }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn ask(door: &Admin, method: Method, path: &str) -> (u16, HeaderMap, String) {
    let request = Request::builder().method(method).uri(path).body(()).unwrap();
    let (head, body) = door.answer(&request).into_parts();
    let body = body.into_inner().unwrap_or_default();
    (head.status.as_u16(), head.headers, String::from_utf8(body.into()).unwrap())
}

/// A metric's name, labels and value.
type Sample = (String, Vec<(String, String)>, f64);

fn samples(door: &Admin) -> Vec<Sample> {
    parse(&ask(door, Method::GET, "/metrics").2).unwrap()
}

fn value(door: &Admin, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: Vec<_> = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let samples = samples(door);
    let of = samples.iter().find(|(other, with, _)| other == name && *with == labels);
    of.unwrap_or_else(|| panic!("no {name} {labels:?} in {samples:?}")).2
}

/// Reads metrics text strictly: each family once, `HELP` and `TYPE` before its samples, no sample twice.
fn parse(text: &str) -> Result<Vec<Sample>, String> {
    if !text.ends_with('\n') {
        return Err("no end of line at the end".to_owned());
    }
    let (mut families, mut keys, mut samples) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let (mut help, mut family) = ("", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').ok_or(line)?.0;
            family = "";
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or(line)?;
            let fits = match kind {
                "counter" => name.ends_with("_total"),
                "gauge" | "summary" => !name.ends_with("_total"),
                _ => false,
            };
            if !fits || name != help || !families.insert(name) {
                return Err(line.to_owned());
            }
            family = name;
        } else {
            let sample = sample(line).ok_or(line)?;
            if sample.0 != family || !keys.insert((sample.0.clone(), sample.1.clone())) {
                return Err(line.to_owned());
            }
            samples.push(sample);
        }
    }
    Ok(samples)
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(within) = rest.strip_prefix('{') {
        rest = within;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = unescaped(after)?;
            labels.push((word(label)?.to_owned(), value));
            match after.strip_prefix(',') {
                Some(after) => rest = after,
                None => break rest = after.strip_prefix('}')?,
            }
        }
    }
    Some((word(name)?.to_owned(), labels, rest.strip_prefix(' ')?.parse().ok()?))
}

/// The text up to the closing quote, and what follows.
fn unescaped(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
}

fn word(text: &str) -> Option<&str> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let fits = text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit());
    fits.then_some(text)
}
