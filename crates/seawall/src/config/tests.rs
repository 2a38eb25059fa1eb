//! Every kind of mistake with its exact words and place; every field with its value.

use std::time::Duration;

use proptest::prelude::*;

use super::parse;
use crate::{
    BulkheadConfig, CircuitBreakerConfig, Jitter, Policy, PolicyConfig, Ratio, RetryConfig,
    RetryOn, Strategy, TimeoutConfig, config::FILE_BYTES_MAX,
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
retry = { max_retries = 4, base_delay = "10ms", max_delay = "1.5s", jitter = 0.25, strategy = "linear", budget = "20%", trickle = true, on = ["reset", "503"] }

[policy.full.circuit_breaker]
failures = 7
successes = 2
open_for = "1m30s"
half_open_calls = 4
half_open_for = "9s"

[policy.full.bulkhead]
max_concurrent = 0x10

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
retry = true
circuit_breaker = {}
bulkhead = true
timeout = true

[policy.off]
retry = false
circuit_breaker = false
"#;
    let read = parse(text, "a.toml").unwrap();
    let full = &read.policies["full"];
    assert_eq!(
        *full,
        PolicyConfig {
            deadline: Some(Duration::from_secs(2)),
            retry: Some(RetryConfig {
                max_retries: 4,
                base_delay: Duration::from_millis(10),
                max_delay: Duration::from_millis(1_500),
                jitter: Jitter::Fraction(Ratio::percent(25)),
                strategy: Strategy::Linear,
                budget: Ratio::percent(20),
                trickle: true,
            }),
            retry_on: RetryOn { connect: false, reset: true, timeout: false, statuses: vec![503] },
            circuit_breaker: Some(CircuitBreakerConfig {
                failures: 7,
                successes: 2,
                open_for: Duration::from_secs(90),
                half_open_calls: 4,
                half_open_for: Some(Duration::from_secs(9)),
            }),
            bulkhead: Some(BulkheadConfig { max_concurrent: 16 }),
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
        }
    );
    let defaults = PolicyConfig {
        deadline: None,
        retry: Some(RetryConfig::default()),
        retry_on: RetryOn::default(),
        circuit_breaker: Some(CircuitBreakerConfig::default()),
        bulkhead: Some(BulkheadConfig::default()),
        timeout: Some(TimeoutConfig::default()),
    };
    assert_eq!(read.policies["defaults"], defaults);
    assert_eq!(read.policies["off"], PolicyConfig::default());
    for (field, origin) in [
        ("policy.full.deadline", "a.toml:3:12"),
        ("policy.full.retry.max_retries", "a.toml:4:25"),
        ("policy.full.timeout.floor", "a.toml:24:9"),
        ("policy.defaults.retry", "a.toml:28:9"),
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
        assert_eq!(policy.0.plan.retry_timeouts, retried, "{retry}");
    }
}

#[test]
fn other_spellings_of_the_same_values() {
    for (written, jitter) in [
        ("\"full\"", Jitter::Full),
        ("\"equal\"", Jitter::Equal),
        ("0", Jitter::Fraction(Ratio::ZERO)),
        ("1", Jitter::Fraction(Ratio::ONE)),
    ] {
        let read = parse(&format!("[policy.p]\nretry.jitter = {written}"), "f").unwrap();
        assert_eq!(read.policies["p"].retry.as_ref().unwrap().jitter, jitter, "{written}");
    }
    let read =
        parse("[policy.p]\ntimeout = { quantile = 0.99 }\nretry.strategy = 'fibonacci'", "f");
    let config = &read.unwrap().policies["p"];
    assert_eq!(config.timeout.as_ref().unwrap().quantile, Ratio::percent(99));
    assert_eq!(config.retry.as_ref().unwrap().strategy, Strategy::Fibonacci);
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
    let jitter = "expected \"full\", \"equal\" or a number from 0 to 1";
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
        (
            "retry",
            "jitter = \"decorrelated\"",
            "2:10: retry.jitter = \"decorrelated\" is not supported yet".into(),
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
        ("bulkhead = 50", "is 50, expected a table such as { max_concurrent = 50 }"),
        ("timeout = '2s'", "is \"2s\", expected a table such as { attempt = \"2s\" }"),
        ("timeout = 'soon'", "is \"soon\", expected a table such as { attempt = \"5s\" }"),
    ] {
        let (name, _) = pattern.split_once(' ').unwrap();
        let told = format!("2:{}: {name} {form}, true or false", name.len() + 4);
        assert_eq!(problems(&format!("[policy.p]\n{pattern}")), told);
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
            "1:1: retry.max_delay is 60s by default, expected at least base_delay",
        ),
        (
            "retry",
            "base_delay = \"2s\"\nmax_delay = \"1s\"",
            "3:13: retry.max_delay is 1s, expected at least base_delay",
        ),
        ("timeout", "factor = 0.5", "2:10: timeout.factor is 0.5, expected 1 to 100"),
        (
            "timeout",
            "attempt = \"5ms\"",
            "1:1: timeout.floor is 10ms by default, expected at most timeout.attempt, which is below \
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
}

#[test]
fn unknown_and_later_fields_are_told_at_their_names() {
    assert_eq!(
        problems(
            "polcy = 1\n[policy.p]\nrety = true\nhedge = { }\n[policy.p.bulkhead]\n\
             max_queue = 5\nmax_concurent = 3\ncolour = 1\n[policy.p.circuit_breaker]\n\
             failure_rate = \"50%\"\n"
        ),
        "1:1: unknown field `polcy`, did you mean `policy`?\n\
         3:1: unknown field `rety`, did you mean `retry`?\n\
         4:1: `hedge` is not supported yet\n\
         6:1: `bulkhead.max_queue` is not supported yet\n\
         7:1: unknown field `bulkhead.max_concurent`, did you mean `max_concurrent`?\n\
         8:1: unknown field `bulkhead.colour`\n\
         10:1: `circuit_breaker.failure_rate` is not supported yet"
    );
}

#[test]
fn one_slip_of_syntax_is_one_error() {
    for (text, told) in [
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
                bulkhead = { max_queue = 5 }\ncircuit_breaker.failures = 0\n";
    assert_eq!(
        problems(&text.replace("é-shop", "\"é-shop\"")),
        format!(
            "1:9: policy.\"é-shop\" is no name, expected 1 to 64 letters, digits, `-` or `_`\n\
             4:12: deadline is 2, expected {DURATION}, or \"none\"\n\
             5:20: retry.jitter is \"équal\", expected \"full\", \"equal\" or a number from 0 to 1\n\
             5:29: unknown field `retry.maxretries`, did you mean `max_retries`?\n\
             6:14: `bulkhead.max_queue` is not supported yet\n\
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
bulkhead = { max_concurrent = 0x10 }
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
    let text = "[policy.p]\ncircuit_breaker = { failure_threshold = 5, timeout_seconds = 60 }\ntimeout = { request_timeout_ms = 60000 }";
    let Err(problems) = parse(text, "f") else { panic!("these are not our names") };
    let told = problems.to_string();
    let told: Vec<_> = told.lines().collect();
    assert_eq!(
        told,
        [
            "f:2:21: unknown field `circuit_breaker.failure_threshold`, here it is `circuit_breaker.failures`",
            "f:2:44: unknown field `circuit_breaker.timeout_seconds`, here it is `circuit_breaker.open_for`",
            "f:3:13: unknown field `timeout.request_timeout_ms`, here it is `timeout.attempt`",
        ]
    );
}
