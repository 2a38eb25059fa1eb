//! What the pages show: every file is read, every figure is there.

use std::collections::BTreeSet;

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, PolicyConfig, RateLimitConfig, Registry, RetryConfig,
    TimeoutConfig,
};
use seawall_gateway::Config;

use crate::kit::page::{blocks, page, pages, quoted, rows};

#[test]
fn every_file_shown_is_read() {
    let mut read = 0;
    for (path, text) in pages() {
        for (line, block) in blocks(&text, "toml") {
            if block.contains("[dependencies]") {
                continue; // for cargo
            }
            let problems = if block.contains("[policy.") {
                seawall::config::parse(&block, &path).err()
            } else {
                Config::from_toml(&block, &path).err()
            };
            if let Some(problems) = problems {
                panic!("{path}:{line}: this file has mistakes:\n{problems}");
            }
            read += 1;
        }
    }
    assert!(read >= 8, "only {read} files were found");
}

#[test]
fn the_statistics_told_are_those_there_are() {
    let config = PolicyConfig {
        rate_limit: Some(RateLimitConfig::default()),
        retry: Some(RetryConfig::default()),
        circuit_breaker: Some(CircuitBreakerConfig::default()),
        bulkhead: Some(BulkheadConfig::default()),
        timeout: Some(TimeoutConfig::default()),
        ..PolicyConfig::default()
    };
    let registry = Registry::new();
    registry.policy("p", &config).unwrap();
    let snapshot = serde_json::to_value(registry.snapshot()).unwrap();
    for (path, section) in SECTIONS {
        let told = rows(&page(path), &["statistic", "metric", "meaning"]);
        let told: BTreeSet<String> = told
            .into_iter()
            .map(|(_, row)| row["statistic"].trim_matches('`').to_owned())
            .collect();
        let there = snapshot[section]["p"].as_object().unwrap_or_else(|| panic!("no {section}"));
        let there: BTreeSet<String> = there.keys().cloned().collect();
        assert_eq!(told, there, "{path}");
    }
}

#[test]
fn every_metric_is_told_of_and_none_that_there_is_not() {
    let metrics = rows(&page("docs/metrics.md"), &["metric", "type", "labels"]);
    let there: BTreeSet<String> =
        metrics.into_iter().map(|(_, row)| row["metric"].trim_matches('`').to_owned()).collect();
    let mut told = BTreeSet::new();
    for (path, _) in SECTIONS {
        for [_, name, _] in quoted(&page(path)) {
            if name.starts_with("seawall_") {
                assert!(there.contains(name), "{path}: there is no metric {name}");
                told.insert(name.to_owned());
            }
        }
    }
    assert_eq!(told, there);
}

#[test]
fn the_readme_shows_lines_of_its_example() {
    let example = page("crates/seawall/examples/quickstart.rs");
    let example: Vec<_> = example.lines().map(str::trim).collect();
    let shown = blocks(&page("README.md"), "rust");
    let [(line, shown)] = shown.as_slice() else { panic!("{} blocks of Rust", shown.len()) };
    let shown: Vec<_> = shown.lines().map(str::trim).collect();
    let found = example.windows(shown.len()).any(|lines| lines == shown);
    assert!(found, "README.md:{line}: not in a row in the example");
}

#[test]
fn the_readme_and_the_crate_ask_for_the_same_dependencies() {
    let source = page("crates/seawall/src/lib.rs");
    let docs: String = source
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| line.trim_start().to_owned() + "\n")
        .collect();
    let shown = |text: &str| -> Vec<String> {
        let blocks = blocks(text, "toml").into_iter().map(|(_, block)| block);
        blocks.filter(|block| block.contains("[dependencies]")).collect()
    };
    let (readme, docs) = (shown(&page("README.md")), shown(&docs));
    assert_eq!((readme.len(), &readme), (1, &docs), "README.md, and the crate's docs");
}

/// Where the statistics of a page stand in the snapshot.
const SECTIONS: [(&str, &str); 6] = [
    ("docs/bulkhead.md", "bulkheads"),
    ("docs/circuit-breaker.md", "circuit_breakers"),
    ("docs/policy.md", "policies"),
    ("docs/rate-limit.md", "rate_limiters"),
    ("docs/retry.md", "retry_managers"),
    ("docs/timeout.md", "adaptive_timeouts"),
];
