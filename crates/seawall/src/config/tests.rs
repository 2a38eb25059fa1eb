//! Every kind of mistake with its exact words and place; every field with its value.

use std::time::Duration;

use proptest::prelude::*;

use super::parse;
use crate::{
    BulkheadConfig, CircuitBreakerConfig, Jitter, Policy, PolicyConfig, Ratio, RetryConfig,
    RetryOn, Strategy, TimeoutConfig, Window,
    config::FILE_BYTES_MAX,
    core::{Algorithm, Rate, RateLimitConfig, Reserve},
};

const DURATION: &str = "a duration in quotes such as \"250ms\", \"1.5s\" or \"1m30s\"";

/// The problems of a text, one per line, without the file's name.
fn problems(text: &str) -> String {
    let problems = parse(text, "f").expect_err(text).to_string();
    problems.lines().map(|line| line.strip_prefix("f:").expect(line)).collect::<Vec<_>>().join("\n")
}

/// The problem of one field of one policy's table, as `line:column: message`.
fn of(pattern: &str, field: &str) -> String {
    problems(&format!("[policy.p.{pattern}]\n{field}\n"))
}

#[test]
fn everything_written_is_read() {
    let text = r#"
[policy.full]
deadline = "2s"
rate_limit = { capacity = 20, rate = "6000/m", reserves = { critical = "10%", normal = 3 }, limit_each_attempt = true }
retry = { max_retries = 4, base_delay = "10ms", max_delay = "1.5s", max_elapsed = "30s", jitter = 0.25, strategy = "linear", budget = "20%", trickle = true, on = ["reset", "503"] }

[policy.full.circuit_breaker]
failures = 7
failure_rate = "50%"
slow_rate = "99.5%"
slow_after = "800ms"
over = 100
minimum_calls = 30
successes = 2
open_for = "1m30s"
max_open_for = "10m"
open_jitter = "10%"
half_open_calls = 4
half_open_for = "9s"

[policy.full.bulkhead]
max_concurrent = 0x10
max_queue = 5
max_wait = "1s"
max_run = "none"
reserves = { critical = 2, high = 1 }
pool_threads = 8

[policy.full.timeout]
connect = "1s"
read = "2s"
attempt = "3s"
adaptive = false
quantile = "p99.9"
factor = 2
warm_up = 1_000
floor = "20ms"

[policy.defaults]
deadline = "none"
rate_limit = true
retry = true
circuit_breaker = {}
bulkhead = true
timeout = true

[policy.none]
max_keys = 500
retry = { max_elapsed = "none" }
circuit_breaker = { failure_rate = "none", slow_rate = "none", slow_after = "none", max_open_for = "none" }

[policy.off]
rate_limit = false
retry = false
circuit_breaker = false
bulkhead = false
"#;
    let read = parse(text, "a.toml").unwrap();
    let full = &read.policies["full"];
    assert_eq!(
        *full,
        PolicyConfig {
            deadline: Some(Duration::from_secs(2)),
            rate_limit: Some(RateLimitConfig {
                capacity: Some(20),
                rate: Rate::new(6_000, Duration::from_secs(60)),
                reserves: [
                    Reserve::Share(Ratio::percent(10)),
                    Reserve::Tokens(0),
                    Reserve::Tokens(3),
                    Reserve::Tokens(0),
                    Reserve::Tokens(0),
                ],
                limit_each_attempt: true,
                ..RateLimitConfig::default()
            }),
            retry: Some(RetryConfig {
                max_retries: 4,
                base_delay: Duration::from_millis(10),
                max_delay: Duration::from_millis(1_500),
                jitter: Jitter::Fraction(Ratio::percent(25)),
                strategy: Strategy::Linear,
                max_elapsed: Some(Duration::from_secs(30)),
                budget: Ratio::percent(20),
                trickle: true,
            }),
            retry_on: RetryOn { connect: false, reset: true, timeout: false, statuses: vec![503] },
            circuit_breaker: Some(CircuitBreakerConfig {
                failures: 7,
                failure_rate: Some(Ratio::percent(50)),
                slow_rate: Some(Ratio::from_ppm(995_000)),
                slow_after: Some(Duration::from_millis(800)),
                window: Window::Calls(100),
                minimum_calls: 30,
                successes: 2,
                open_for: Duration::from_secs(90),
                max_open_for: Some(Duration::from_secs(600)),
                open_jitter: Ratio::percent(10),
                half_open_calls: 4,
                half_open_for: Some(Duration::from_secs(9)),
            }),
            bulkhead: Some(BulkheadConfig {
                max_concurrent: 16,
                max_queue: 5,
                max_wait: Duration::from_secs(1),
                max_run: None,
                priority: true,
                reserves: [2, 1, 0, 0, 0],
                pool_threads: Some(8),
            }),
            timeout: Some(TimeoutConfig {
                connect: Duration::from_secs(1),
                read: Duration::from_secs(2),
                attempt: Duration::from_secs(3),
                adaptive: false,
                quantile: Ratio::from_ppm(999_000),
                factor: Ratio::percent(200),
                warm_up: 1_000,
                floor: Duration::from_millis(20),
            }),
            max_keys: None,
        }
    );
    let defaults = PolicyConfig {
        deadline: None,
        rate_limit: Some(RateLimitConfig::default()),
        retry: Some(RetryConfig::default()),
        retry_on: RetryOn::default(),
        circuit_breaker: Some(CircuitBreakerConfig::default()),
        bulkhead: Some(BulkheadConfig::default()),
        timeout: Some(TimeoutConfig::default()),
        max_keys: None,
    };
    assert_eq!(read.policies["defaults"], defaults);
    let none = PolicyConfig {
        max_keys: Some(500),
        retry: Some(RetryConfig::default()),
        circuit_breaker: Some(CircuitBreakerConfig::default()),
        ..PolicyConfig::default()
    };
    assert_eq!(read.policies["none"], none);
    assert_eq!(read.policies["off"], PolicyConfig::default());
    for (field, origin) in [
        ("policy.full.deadline", "a.toml:3:12"),
        ("policy.full.rate_limit.reserves.normal", "a.toml:4:88"),
        ("policy.full.retry.max_retries", "a.toml:5:25"),
        ("policy.full.circuit_breaker.over", "a.toml:12:8"),
        ("policy.full.timeout.floor", "a.toml:37:9"),
        ("policy.defaults.retry", "a.toml:42:9"),
        ("policy.defaults.retry.max_retries", "default"),
    ] {
        assert_eq!(read.origins.of(field).to_string(), origin, "{field}");
    }
}

#[test]
fn nothing_written_is_nothing() {
    for text in ["", "\n\n# a comment\n", "\u{feff}", "[policy]\n"] {
        assert_eq!(parse(text, "f"), Ok(super::Policies::default()), "{text:?}");
    }
    assert_eq!(parse("[policy.p]", "f").unwrap().policies["p"], PolicyConfig::default());
}

#[test]
fn a_list_without_timeout_switches_their_retries_off() {
    for (retry, retried) in [
        ("true", true),
        ("{ max_retries = 2 }", true),
        ("{ on = ['timeout'] }", true),
        ("{ on = ['connect', 'reset', '503'] }", false),
        ("{ on = [] }", false),
    ] {
        let read = parse(&format!("[policy.p]\nretry = {retry}"), "f").unwrap();
        let policy = Policy::builder("p").config(read.policies["p"].clone()).build().unwrap();
        let told = policy.read(|machines| machines.plan.retry_timeouts);
        assert_eq!(told, retried, "{retry}");
    }
}

#[test]
fn other_spellings_of_the_same_values() {
    for (written, jitter) in [
        ("\"full\"", Jitter::Full),
        ("\"equal\"", Jitter::Equal),
        ("0", Jitter::Fraction(Ratio::ZERO)),
        ("1", Jitter::Fraction(Ratio::ONE)),
        ("\"decorrelated\"", Jitter::Decorrelated),
    ] {
        let read = parse(&format!("[policy.p]\nretry.jitter = {written}"), "f").unwrap();
        assert_eq!(read.policies["p"].retry.as_ref().unwrap().jitter, jitter, "{written}");
    }
    let read =
        parse("[policy.p]\ntimeout = { quantile = 0.99 }\nretry.strategy = 'fibonacci'", "f");
    let config = &read.unwrap().policies["p"];
    assert_eq!(config.timeout.as_ref().unwrap().quantile, Ratio::percent(99));
    assert_eq!(config.retry.as_ref().unwrap().strategy, Strategy::Fibonacci);
    for (written, window) in [
        ("\"5s\"", Window::Time(Duration::from_secs(5))),
        ("20", Window::Calls(20)),
        ("1024", Window::Calls(1_024)),
    ] {
        let read = parse(&format!("[policy.p]\ncircuit_breaker.over = {written}"), "f").unwrap();
        assert_eq!(read.policies["p"].circuit_breaker.as_ref().unwrap().window, window);
    }
}

#[test]
fn each_algorithm_of_a_rate_limit_reads_its_own_fields() {
    let window = Some(Duration::from_secs(1));
    let of = |algorithm| RateLimitConfig { algorithm, ..RateLimitConfig::default() };
    let rate = Some(Rate::per_second(5));
    for (written, expected) in [
        ("algorithm = 'token_bucket'", of(Algorithm::TokenBucket)),
        (
            "algorithm = 'leaky_bucket', rate = '5/s', capacity = 0",
            RateLimitConfig { capacity: Some(0), rate, ..of(Algorithm::LeakyBucket) },
        ),
        ("algorithm = 'shaper', rate = '5/s'", RateLimitConfig { rate, ..of(Algorithm::Shaper) }),
        (
            "algorithm = 'sliding_window', limit = 9000000000, window = '1s', buckets = 10",
            RateLimitConfig {
                limit: Some(9_000_000_000),
                window,
                buckets: Some(10),
                ..of(Algorithm::SlidingWindow)
            },
        ),
    ] {
        let read = parse(&format!("[policy.p]\nrate_limit = {{ {written} }}"), "f");
        let read = read.unwrap_or_else(|problems| panic!("{written}: {problems}"));
        assert_eq!(read.policies["p"].rate_limit, Some(expected), "{written}");
    }
}

#[test]
fn a_bulkhead_can_be_called_by_the_name_of_a_preset() {
    for (name, preset) in [
        ("database", BulkheadConfig::database()),
        ("llm", BulkheadConfig::llm()),
        ("external_api", BulkheadConfig::external_api()),
        ("file_operations", BulkheadConfig::file_operations()),
    ] {
        let read = parse(&format!("[policy.p]\nbulkhead = '{name}'"), "f").unwrap();
        assert_eq!(read.policies["p"].bulkhead, Some(preset), "{name}");
        assert_eq!(read.origins.of("policy.p.bulkhead").to_string(), "f:2:12");
    }
}

#[test]
fn every_kind_of_wrong_value_says_what_would_be_right() {
    let duration = |of: &str| format!("2:14: retry.base_delay is {of}, expected {DURATION}");
    for (value, shown) in [
        ("100", "100"),
        ("\"100\"", "\"100\""),
        ("\"1 s\"", "\"1 s\""),
        ("\"soon\"", "\"soon\""),
        ("1.5", "1.5"),
        ("true", "true"),
        ("[1]", "a list"),
        ("{ s = 1 }", "a table"),
        ("2026-01-01", "a date"),
    ] {
        assert_eq!(of("retry", &format!("base_delay = {value}")), duration(shown));
    }
    let long = format!("base_delay = \"{}\"", "x".repeat(1_000));
    assert_eq!(of("retry", &long), duration(&format!("\"{}…\"", "x".repeat(40))));

    let whole = "expected a whole number, 0 to 4294967295";
    let share = "expected a share in quotes such as \"10%\"";
    let strategy = "expected \"exponential\", \"linear\" or \"fibonacci\"";
    let jitter = "expected \"full\", \"equal\", \"decorrelated\" or a number from 0 to 1";
    let over = "expected a duration in quotes such as \"10s\", or a number of calls";
    let rate = "expected a rate in quotes such as \"100/s\", \"6000/m\" or \"1/3s\"";
    let quantile = "expected a quantile such as \"p95\" or 0.95";
    for (pattern, field, problem) in [
        ("retry", "max_retries = -1", format!("2:15: retry.max_retries is -1, {whole}")),
        ("retry", "max_retries = 1.0", format!("2:15: retry.max_retries is 1.0, {whole}")),
        (
            "retry",
            "max_retries = 4294967296",
            format!("2:15: retry.max_retries is 4294967296, {whole}"),
        ),
        ("retry", "budget = 0.1", "2:10: retry.budget is 0.1, expected \"10%\"".into()),
        ("retry", "budget = 10", format!("2:10: retry.budget is 10, {share}")),
        ("retry", "budget = \"10\"", format!("2:10: retry.budget is \"10\", {share}")),
        ("retry", "trickle = 1", "2:11: retry.trickle is 1, expected true or false".into()),
        ("retry", "jitter = 1.5", format!("2:10: retry.jitter is 1.5, {jitter}")),
        ("retry", "jitter = nan", format!("2:10: retry.jitter is nan, {jitter}")),
        ("retry", "jitter = \"50%\"", format!("2:10: retry.jitter is \"50%\", {jitter}")),
        (
            "retry",
            "jitter = \"ful\"",
            format!("2:10: retry.jitter is \"ful\", {jitter}; did you mean \"full\"?"),
        ),
        ("retry", "strategy = \"exp\"", format!("2:12: retry.strategy is \"exp\", {strategy}")),
        (
            "retry",
            "strategy = \"liner\"",
            format!("2:12: retry.strategy is \"liner\", {strategy}; did you mean \"linear\"?"),
        ),
        (
            "retry",
            "strategy = \"custom\"",
            "2:12: retry.strategy = \"custom\" is a function: only code can set it".into(),
        ),
        ("circuit_breaker", "failure_rate = 0.5", "2:16: circuit_breaker.failure_rate is 0.5, expected \"50%\"".into()),
        ("circuit_breaker", "slow_after = 1", format!("2:14: circuit_breaker.slow_after is 1, expected {DURATION}, or \"none\"")),
        ("circuit_breaker", "over = \"10\"", format!("2:8: circuit_breaker.over is \"10\", {over}")),
        ("circuit_breaker", "over = -1", format!("2:8: circuit_breaker.over is -1, {over}")),
        ("circuit_breaker", "over = [1]", format!("2:8: circuit_breaker.over is a list, {over}")),
        ("circuit_breaker", "open_jitter = 10", format!("2:15: circuit_breaker.open_jitter is 10, {share}")),
        ("bulkhead", "max_run = 3", format!("2:11: bulkhead.max_run is 3, expected {DURATION}, or \"none\"")),
        ("bulkhead", "max_wait = \"none\"", format!("2:12: bulkhead.max_wait is \"none\", expected {DURATION}")),
        ("bulkhead", "reserves = 3", "2:12: bulkhead.reserves is 3, expected a table".into()),
        (
            "bulkhead",
            "reserves = { critical = \"2\", hgih = 1, high = -1 }",
            format!(
                "2:25: bulkhead.reserves.critical is \"2\", {whole}\n\
                 2:30: unknown field `bulkhead.reserves.hgih`, did you mean `high`?\n\
                 2:47: bulkhead.reserves.high is -1, {whole}"
            ),
        ),
        ("rate_limit", "limit_each_attempt = 1", "2:22: rate_limit.limit_each_attempt is 1, expected true or false".into()),
        ("rate_limit", "rate = 100", format!("2:8: rate_limit.rate is 100, {rate}")),
        ("rate_limit", "rate = \"0.5/s\"", format!("2:8: rate_limit.rate is \"0.5/s\", {rate}")),
        ("rate_limit", "rate = \"5/0s\"", format!("2:8: rate_limit.rate is \"5/0s\", {rate}")),
        (
            "rate_limit",
            "capacity = -1\nlimit = \"3\"\nbuckets = 1.5",
            format!(
                "2:12: rate_limit.capacity is -1, expected a whole number of tokens\n\
                 3:9: rate_limit.limit is \"3\", expected a whole number of tokens\n\
                 4:11: rate_limit.buckets is 1.5, {whole}"
            ),
        ),
        (
            "rate_limit",
            "algorithm = \"tokenbucket\"",
            "2:13: rate_limit.algorithm is \"tokenbucket\", expected \"token_bucket\", \"sliding_window\", \
             \"leaky_bucket\" or \"shaper\"; did you mean \"token_bucket\"?".into(),
        ),
        (
            "rate_limit",
            "algorithm = \"sliding_windw\"\nlimit = 5\nwindow = 1",
            format!(
                "2:13: rate_limit.algorithm is \"sliding_windw\", expected \"token_bucket\", \"sliding_window\", \
                 \"leaky_bucket\" or \"shaper\"; did you mean \"sliding_window\"?\n\
                 4:10: rate_limit.window is 1, expected {DURATION}"
            ),
        ),
        (
            "rate_limit",
            "reserves = { high = 0.1 }",
            "2:21: rate_limit.reserves.high is 0.1, expected a share in quotes such as \"10%\", or a number of tokens".into(),
        ),
        (
            "timeout",
            "factor = \"2\"",
            "2:10: timeout.factor is \"2\", expected a number such as 1.5".into(),
        ),
        (
            "timeout",
            "factor = inf",
            "2:10: timeout.factor is inf, expected a number such as 1.5".into(),
        ),
        ("timeout", "quantile = 95", format!("2:12: timeout.quantile is 95, {quantile}")),
        ("timeout", "quantile = \"95\"", format!("2:12: timeout.quantile is \"95\", {quantile}")),
    ] {
        assert_eq!(of(pattern, field), problem);
    }
    assert_eq!(
        problems("[policy.p]\ndeadline = \"never\""),
        format!("2:12: deadline is \"never\", expected {DURATION}, or \"none\"")
    );
    for (pattern, form) in [
        ("retry = 3", "is 3, expected a table such as { max_retries = 3 }"),
        ("retry = 3.5", "is 3.5, expected a table such as { max_retries = 3 }"),
        ("retry = [4]", "is a list, expected a table such as { max_retries = 3 }"),
        ("circuit_breaker = 7", "is 7, expected a table such as { failures = 7 }"),
        ("rate_limit = '5/s'", "is \"5/s\", expected a table such as { rate = \"5/s\" }"),
        ("rate_limit = 100", "is 100, expected a table such as { rate = \"100/s\" }"),
        ("timeout = '2s'", "is \"2s\", expected a table such as { attempt = \"2s\" }"),
        ("timeout = 'soon'", "is \"soon\", expected a table such as { attempt = \"5s\" }"),
    ] {
        let (name, _) = pattern.split_once(' ').unwrap();
        let told = format!("2:{}: {name} {form}, true or false", name.len() + 4);
        assert_eq!(problems(&format!("[policy.p]\n{pattern}")), told);
    }
    let presets = "true, false, \"database\", \"llm\", \"external_api\" or \"file_operations\"";
    for (written, told) in [
        ("50", format!("50, expected a table such as {{ max_concurrent = 50 }}, {presets}")),
        (
            "'databse'",
            format!(
                "\"databse\", expected a table such as {{ max_concurrent = 100 }}, {presets}; \
                 did you mean \"database\"?"
            ),
        ),
    ] {
        let told = format!("2:12: bulkhead is {told}");
        assert_eq!(problems(&format!("[policy.p]\nbulkhead = {written}")), told);
    }
    assert_eq!(problems("policy = 3"), "1:10: policy is 3, expected a table");
    assert_eq!(problems("policy.p = 3"), "1:12: policy.p is 3, expected a table");
    let no_name = "is no name, expected 1 to 64 letters, digits, `-` or `_`";
    assert_eq!(
        problems("[policy.\"a b\\u001b\"]"),
        format!("1:9: policy.\"a b\\u{{1b}}\" {no_name}")
    );
}

#[test]
fn retry_on_names_every_entry_that_is_wrong() {
    let right = "expected \"connect\", \"reset\", \"timeout\" or a status from \"400\" to \"599\"";
    assert_eq!(
        of("retry", "on = [\"conect\", \"503\", \"200\", 503, \"reset\", \"+50\"]"),
        format!(
            "2:7: retry.on is \"conect\", {right}; did you mean \"connect\"?\n\
             2:24: retry.on is \"200\", {right}\n\
             2:31: retry.on is 503, expected a text in quotes\n\
             2:45: retry.on is \"+50\", {right}"
        )
    );
    assert_eq!(of("retry", "on = \"503\""), "2:6: retry.on is \"503\", expected a list in [ ]");
    let none = parse("[policy.p]\nretry.on = []", "f").unwrap();
    let on = RetryOn { connect: false, reset: false, timeout: false, statuses: vec![] };
    assert_eq!(none.policies["p"].retry_on, on);
}

#[test]
fn the_types_own_checks_are_told_where_the_field_was_written() {
    for (pattern, fields, problem) in [
        (
            "circuit_breaker",
            "failures = 0",
            "2:12: circuit_breaker.failures is 0, expected at least 1",
        ),
        (
            "circuit_breaker",
            "half_open_for = \"0s\"",
            "2:17: circuit_breaker.half_open_for is 0s, expected more than 0s, such as 10s",
        ),
        ("retry", "max_retries = 101", "2:15: retry.max_retries is 101, expected 0 to 100"),
        (
            "retry",
            "base_delay = \"2m\"",
            "1:1: retry.max_delay is 60s by default, expected at least base_delay, which is 120s",
        ),
        (
            "retry",
            "base_delay = \"2s\"\nmax_delay = \"1s\"",
            "3:13: retry.max_delay is 1s, expected at least base_delay, which is 2s",
        ),
        (
            "retry",
            "jitter = \"decorrelated\"\nstrategy = \"linear\"",
            "3:12: retry.strategy is linear, expected none: decorrelated jitter grows by itself",
        ),
        (
            "retry",
            "max_elapsed = \"0s\"",
            "2:15: retry.max_elapsed is 0s, expected more than 0s, or none",
        ),
        (
            "circuit_breaker",
            "failure_rate = \"101%\"",
            "2:16: circuit_breaker.failure_rate is 101%, expected more than 0%, up to 100%",
        ),
        (
            "circuit_breaker",
            "slow_rate = \"50%\"",
            "1:1: circuit_breaker.slow_after is not set, expected a duration such as 1s, because slow_rate is set",
        ),
        (
            "circuit_breaker",
            "over = \"0s\"",
            "2:8: circuit_breaker.over is 0ns, expected at least 10ns, such as 10s",
        ),
        (
            "circuit_breaker",
            "over = \"9ns\"",
            "2:8: circuit_breaker.over is 9ns, expected at least 10ns, such as 10s",
        ),
        (
            "circuit_breaker",
            "over = 1025",
            "2:8: circuit_breaker.over is 1025, expected 1 to 1024 calls",
        ),
        (
            "circuit_breaker",
            "over = 10",
            "1:1: circuit_breaker.minimum_calls is 20 by default, expected at most the calls of over, which are 10",
        ),
        (
            "circuit_breaker",
            "max_open_for = \"1s\"",
            "2:16: circuit_breaker.max_open_for is 1s, expected at least open_for, which is 60s",
        ),
        ("bulkhead", "max_wait = \"0s\"", "2:12: bulkhead.max_wait is 0s, expected more than 0s"),
        (
            "bulkhead",
            "max_run = \"0s\"",
            "2:11: bulkhead.max_run is 0s, expected more than 0s, or none",
        ),
        (
            "bulkhead",
            "max_concurrent = 2\nreserves = { critical = 2, low = 1 }",
            "3:12: bulkhead.reserves is 3 together, expected at most max_concurrent, which is 2",
        ),
        (
            "bulkhead",
            "priority = false\nreserves.high = 1",
            "3:1: bulkhead.reserves is 1 together, expected none where priority is off",
        ),
        (
            "rate_limit",
            "algorithm = \"sliding_window\"\ncapacity = 5",
            "1:1: rate_limit.limit is not set, expected a number for a sliding window\n\
             3:12: rate_limit.capacity is set, expected not set: a sliding window has a limit and a window",
        ),
        (
            "rate_limit",
            "window = \"1s\"",
            "2:10: rate_limit.window is set, expected not set: only a sliding window uses it",
        ),
        (
            "rate_limit",
            "capacity = 10\nreserves = { critical = 5, high = \"50%\" }",
            "3:12: rate_limit.reserves is 10 together, expected less than the capacity or limit, which is 10",
        ),
        (
            "retry",
            "base_delay = \"2m\"\njitter = \"ful\"\non = [\"timeouts\"]",
            "1:1: retry.max_delay is 60s by default, expected at least base_delay, which is 120s\n\
             3:10: retry.jitter is \"ful\", expected \"full\", \"equal\", \"decorrelated\" or a number from 0 to 1; did \
             you mean \"full\"?\n\
             4:7: retry.on is \"timeouts\", expected \"connect\", \"reset\", \"timeout\" or a status from \"400\" to \
             \"599\"; did you mean \"timeout\"?",
        ),
        (
            "circuit_breaker",
            "slow_rate = \"5%\"\nfailures = \"x\"",
            "1:1: circuit_breaker.slow_after is not set, expected a duration such as 1s, because slow_rate is set\n\
             3:12: circuit_breaker.failures is \"x\", expected a whole number, 0 to 4294967295",
        ),
        // What could not be read might have made it right.
        (
            "retry",
            "base_delay = \"x\"\nmax_delay = \"1ms\"",
            "2:14: retry.base_delay is \"x\", expected a duration in quotes such as \"250ms\", \"1.5s\" or \"1m30s\"",
        ),
        (
            "circuit_breaker",
            "slow_rate = \"5%\"\nslow_after = 1",
            "3:14: circuit_breaker.slow_after is 1, expected a duration in quotes such as \"250ms\", \"1.5s\" or \
             \"1m30s\", or \"none\"",
        ),
        (
            "circuit_breaker",
            "window = 10",
            "2:1: unknown field `circuit_breaker.window`, here it is `circuit_breaker.over`",
        ),
        (
            "bulkhead",
            "reserves = { urgent = 1 }",
            "2:14: unknown field `bulkhead.reserves.urgent`, expected `background`, `critical`, `high`, `low` or `normal`",
        ),
        ("timeout", "factor = 0.5", "2:10: timeout.factor is 0.5, expected 1 to 100"),
        (
            "timeout",
            "attempt = \"5ms\"",
            "1:1: timeout.floor is 10ms by default, expected at most attempt, which is 5ms, below \
             the default floor of 10ms: lower both",
        ),
    ] {
        assert_eq!(of(pattern, fields), problem);
    }
    assert_eq!(
        problems("[policy.p]\ndeadline = \"0s\"\nretry = { max_retries = 999 }"),
        "2:12: deadline is 0s, expected more than 0s, or no deadline\n\
         3:25: retry.max_retries is 999, expected 0 to 100"
    );
    // What rests on a field that could not be read is not told.
    let misread = of("retry", "base_delay = \"2m\"\nmax_delay = \"90\"");
    assert_eq!(misread, format!("3:13: retry.max_delay is \"90\", expected {DURATION}"));
    assert_eq!(
        of("bulkhead", "max_concurrent = 2\nreserves = { critical = -1, high = 3 }"),
        "3:25: bulkhead.reserves.critical is -1, expected a whole number, 0 to 4294967295"
    );
}

#[test]
fn unknown_and_later_fields_are_told_at_their_names() {
    assert_eq!(
        problems(
            "polcy = 1\n[policy.p]\nrety = true\nhedge = { }\n[policy.p.bulkhead]\n\
             pool_threads = 0\nmax_concurent = 3\ncolour = 1\n[policy.p.circuit_breaker]\n\
             failure_rates = \"50%\"\n"
        ),
        "1:1: unknown field `polcy`, did you mean `policy`?\n\
         3:1: unknown field `rety`, did you mean `retry`?\n\
         4:1: `hedge` is not supported yet\n\
         6:16: bulkhead.pool_threads is 0, expected at least 1\n\
         7:1: unknown field `bulkhead.max_concurent`, did you mean `max_concurrent`?\n\
         8:1: unknown field `bulkhead.colour`\n\
         10:1: unknown field `circuit_breaker.failure_rates`, did you mean `failure_rate`?"
    );
}

#[test]
fn one_slip_of_syntax_is_one_error() {
    for (text, told) in [
        ("[policy.p]\nretry = yes\n", "2:9: `yes` is no value, did you mean true?"),
        ("[policy.p]\nretry = off\n", "2:9: `off` is no value, did you mean false?"),
        ("[policy.p]\ndeadline = 2s\n", "2:12: `2s` is no value; as text it needs quotes: \"2s\""),
        ("[policy.p]\ndeadline =\nretry = true\n", "2:11: a value is missing"),
        (
            "[policy.p]\ndeadline = \"2s\nretry = true\n",
            "2:15: invalid basic string, expected `\"`",
        ),
        ("[policy.p]\nretry = { on = [ \"503\", }\n\n[x]\n", "2:16: this `[` is never closed"),
        (
            "[policy.p]\nretry = {\n  max_retries = 1,\n[policy.q]\nx = 1\n",
            "2:9: this `{` is never closed",
        ),
        ("[policy.p]\nretry.on = [\"503\"\n[policy.q]\nx = 1\n", "2:12: this `[` is never closed"),
        ("[policy.p]\ndeadline = \"\"\"2s\"\nx = 1\n", "2:12: this `\"\"\"` is never closed"),
        ("[policy.p]\ndeadline = \"2s\"\ndeadline = \"3s\"\n", "3:1: duplicate key"),
        // What follows a broken header belongs nowhere, up to the next.
        ("[policy.p\nretires = 1\nx = 2\n[policy.q]\n", "1:10: unclosed table, expected `]`"),
        (
            "[policy.p]\nretires = 007 8\n",
            "2:11: `007 8` is no value; as text it needs quotes: \"007 8\"",
        ),
    ] {
        assert_eq!(problems(text), told, "{text}");
    }
    assert_eq!(
        problems("[policy.p]\nx y\ndeadline = 1s 2s\nrety = 1\n[policy.p.retry\non = 1\n[polcy]\n"),
        "2:3: key with no value, expected `=`\n\
         3:12: `1s 2s` is no value; as text it needs quotes: \"1s 2s\"\n\
         4:1: unknown field `rety`, did you mean `retry`?\n\
         5:16: unclosed table, expected `]`\n\
         7:2: unknown field `polcy`, did you mean `policy`?"
    );
    // Before the bracket that is never closed, what is wrong is wrong.
    assert_eq!(
        problems("a = 1s\nb = [\nc = 2s\n"),
        "1:5: `1s` is no value; as text it needs quotes: \"1s\"\n2:5: this `[` is never closed"
    );
}

#[test]
fn five_mistakes_are_five_lines() {
    let text = "[policy.é-shop]\nretry = true\n[policy.shop]\ndeadline = 2\nretry = { jitter = \"équal\", maxretries = 1 }\n\
                bulkhead = { pool_threads = 0 }\ncircuit_breaker.failures = 0\n";
    assert_eq!(
        problems(&text.replace("é-shop", "\"é-shop\"")),
        format!(
            "1:9: policy.\"é-shop\" is no name, expected 1 to 64 letters, digits, `-` or `_`\n\
             4:12: deadline is 2, expected {DURATION}, or \"none\"\n\
             5:20: retry.jitter is \"équal\", expected \"full\", \"equal\", \"decorrelated\" or a number from 0 to 1; did you mean \"equal\"?\n\
             5:29: unknown field `retry.maxretries`, did you mean `max_retries`?\n\
             6:29: bulkhead.pool_threads is 0, expected at least 1\n\
             7:28: circuit_breaker.failures is 0, expected at least 1"
        )
    );
}

#[test]
fn a_text_that_is_too_large_is_refused() {
    let text = "#".repeat(FILE_BYTES_MAX + 1);
    assert_eq!(problems(&text), "1:1: the file has 1048577 bytes, expected at most 1 MiB");
    assert!(parse(&text[1..], "f").is_ok());
}

const WHOLE: &str = r#"# é
[policy.full]
deadline = "2s"
retry = { max_retries = 4, base_delay = "10ms", jitter = 0.25, on = ["reset", "503"] }
[policy.full.timeout]
quantile = "p99.9"
read = """2s"""
factor = 2
[policy."x"]
bulkhead = { max_concurrent = 0x10, reserves = { high = 1 } }
rate_limit = { rate = "1/3s", reserves = { critical = "10%" } }
[policy.y]
bulkhead = "llm"
circuit_breaker = { over = 20, failure_rate = "50%" }
"#;

#[test]
fn a_file_cut_anywhere_is_read_or_refused() {
    assert!(parse(WHOLE, "f").is_ok());
    for (at, _) in WHOLE.char_indices() {
        if let Err(problems) = parse(&WHOLE[..at], "f") {
            let last = WHOLE[..at].lines().count() as u32;
            for problem in problems.as_slice() {
                assert!((1..=last.max(1)).contains(&problem.line), "{problem}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}|[\\[\\]{}\"'=.,#\\n\\\\ a1é_-]{0,200}") {
        let _ = parse(&text, "f");
    }

    #[test]
    fn no_change_of_a_good_file_panics(
        changes in prop::collection::vec((0..WHOLE.len(), "[\\[\\]{}\"'=.,#\\n\\\\ a1é_-]{0,3}", 0..8usize), 1..4),
    ) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, put, cut) in changes {
            let at = at.min(text.len());
            text.splice(at..(at + cut).min(text.len()), put.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = parse(&text, "f") {
            prop_assert!(problems.as_slice().is_sorted());
            let lines = text.bytes().filter(|byte| *byte == b'\n').count() as u32 + 1;
            prop_assert!(problems.as_slice().iter().all(|problem| problem.line <= lines));
        }
    }
}

#[test]
fn a_field_of_the_guides_is_told_by_its_name_here() {
    let text = "[policy.p]\ncircuit_breaker = { failure_threshold = 5, timeout_seconds = 60 }\ntimeout = { request_timeout_ms = 60000 }\nbulkhead = { timeout_ms = 30000 }\nrate_limit = { refill_rate = 100, leak_rate = 5, window_seconds = 60 }";
    let Err(problems) = parse(text, "f") else { panic!("these are not our names") };
    let told = problems.to_string();
    let told: Vec<_> = told.lines().collect();
    assert_eq!(
        told,
        [
            "f:2:21: unknown field `circuit_breaker.failure_threshold`, here it is `circuit_breaker.failures`",
            "f:2:44: unknown field `circuit_breaker.timeout_seconds`, here it is `circuit_breaker.open_for`",
            "f:3:13: unknown field `timeout.request_timeout_ms`, here it is `timeout.attempt`",
            "f:4:14: unknown field `bulkhead.timeout_ms`, here it is `bulkhead.max_wait`",
            "f:5:16: unknown field `rate_limit.refill_rate`, here it is `rate_limit.rate`",
            "f:5:35: unknown field `rate_limit.leak_rate`, here it is `rate_limit.rate`",
            "f:5:50: unknown field `rate_limit.window_seconds`, here it is `rate_limit.window`",
        ]
    );
}
