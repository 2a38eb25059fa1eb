//! An upstream as it is written: its endpoints, and the patterns that belong to them.
//!
//! Breaker and budget of retries are read here and not with a route: both are about a callee, whoever asks it.

use std::{collections::BTreeSet, ops::RangeInclusive};

use seawall::{
    CircuitBreakerConfig, Ratio,
    config::{CIRCUIT_BREAKER, MainKey, Table, Value, circuit_breaker},
};

use super::{CONNECTIONS_MAX, number, some_time, within};
use crate::config::{EndpointConfig, UpstreamConfig, preset};

pub(super) fn upstream(name: String, mut table: Table<'_>) -> UpstreamConfig {
    let mut config = preset::upstream(name, Vec::new());
    match table.take("endpoints") {
        Some(value) => config.endpoints = endpoints(&value),
        None => table.missing(format_args!(
            "upstream.{} has no endpoints, such as endpoints = [\"http://10.0.0.1:8080\"]",
            config.name
        )),
    }
    config.circuit_breaker = table.pattern("circuit_breaker", &CIRCUIT_BREAKER).on(
        true,
        preset::circuit_breaker(),
        breaker,
    );
    let budget = |value: &Value<'_>| {
        let right = "\"0%\" to \"1000%\" of first attempts";
        within(value, value.share()?, &(Ratio::ZERO..=Ratio::percent(1_000)), right)
    };
    let connections = |value: &Value<'_>| number(value, 1..=CONNECTIONS_MAX);
    table.set("retry_budget", budget, &mut config.retry_budget);
    table.set("retry_trickle", Value::flag, &mut config.retry_trickle);
    table.set("max_connections", connections, &mut config.max_connections);
    table.set("idle_timeout", some_time, &mut config.idle_timeout);
    table.set("balance", balance, &mut ());
    for field in ["bulkhead", "deadline", "priority", "rate_limit", "retry", "timeout"] {
        let right = format_args!(
            "belongs to the route: write it under the [[route]] with upstream = \"{}\"",
            config.name
        );
        table.refuse(field, format_args!("`{field}` {right}"));
    }
    table.later(&["health", "outlier"]);
    table.end();
    config
}

/// The preset's cap on the open period gives way to a longer period.
fn breaker(table: Table<'_>, mut base: CircuitBreakerConfig) -> CircuitBreakerConfig {
    let open_for = table.peek("open_for").and_then(|value| value.duration());
    base.max_open_for = base.max_open_for.max(open_for);
    circuit_breaker(table, base)
}

fn balance(value: &Value<'_>) -> Option<()> {
    match value.text()? {
        "p2c_ewma" => Some(()),
        "round_robin" | "least_in_flight" | "hash" => value.unsupported(),
        _ => value.unknown(&["p2c_ewma"]),
    }
}

fn endpoints(value: &Value<'_>) -> Vec<EndpointConfig> {
    let entries = value.list();
    if entries.as_ref().is_some_and(|entries| !ENDPOINTS.contains(&entries.len())) {
        value.problem(format_args!(
            "endpoints has {} entries, expected 1 to 65535",
            entries.as_ref().map_or(0, Vec::len)
        ));
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut endpoints = Vec::new();
    for entry in entries.into_iter().flatten() {
        let Some((url, endpoint)) = endpoint(&entry) else { continue };
        if seen.insert(endpoint.authority.clone()) {
            endpoints.push(endpoint);
        } else {
            url.problem(format_args!("endpoint {} is written twice", endpoint.authority));
        }
    }
    endpoints
}

/// A URL, or a table with one.
fn endpoint<'r>(entry: &Value<'r>) -> Option<(Value<'r>, EndpointConfig)> {
    let url = if entry.is_table() {
        let mut table = entry.table()?;
        let url = table.take("url");
        if url.is_none() {
            table.missing("endpoints.url is missing, such as url = \"http://10.0.0.1:8080\"");
        }
        table.later(&["priority", "region", "weight"]);
        table.end();
        url?
    } else {
        entry.clone()
    };
    let text = url.text()?;
    match EndpointConfig::from_url(text) {
        Ok(endpoint) => Some((url, endpoint)),
        Err(error) => {
            url.problem(format_args!("endpoint {}: {error}", url.shown()));
            None
        }
    }
}

pub(super) const UPSTREAM: MainKey =
    MainKey::new("endpoints", "[\"http://10.0.0.1:8080\"]", |value: &Value<'_>| {
        !endpoints(value).is_empty()
    });

/// What the picker counts them with.
const ENDPOINTS: RangeInclusive<usize> = 1..=65_535;
