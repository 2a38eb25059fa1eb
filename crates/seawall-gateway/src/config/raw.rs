//! What was written: each table read onto its preset, with references still as text.

use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive, time::Duration};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, PolicyConfig, Ratio, RetryConfig, RetryOn, TimeoutConfig,
    config::{
        CIRCUIT_BREAKER, MainKey, Pattern, RATE_LIMIT, RETRY, TIMEOUT, Table, Value, bulkhead,
        bulkhead_or_preset, circuit_breaker, retry, timeout,
    },
};

use super::{
    EndpointConfig, PriorityBy, RouteConfig, RouteLimitConfig, RouteMatch, UpstreamConfig,
    matching::MATCH, preset,
};
use crate::listen::Limits;

/// A whole file.
#[derive(Debug)]
pub(super) struct Raw<'r> {
    pub(super) listen: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    pub(super) limits: Limits,
    pub(super) shutdown_delay: Duration,
    pub(super) upstreams: Vec<UpstreamConfig>,
    pub(super) routes: Vec<RawRoute<'r>>,
}

/// A route that does not know its upstream yet.
#[derive(Debug)]
pub(super) struct RawRoute<'r> {
    /// All but its upstream.
    pub(super) config: RouteConfig,
    /// Where its name is written.
    pub(super) name: Option<Value<'r>>,
    /// The name of its upstream.
    pub(super) upstream: Option<Value<'r>>,
}

impl<'r> Raw<'r> {
    pub(super) fn read(mut root: Table<'r>) -> Self {
        let mut listen = preset::LISTEN;
        root.set("listen", address, &mut listen);
        let admin = root.take("admin").and_then(|value| admin(&value, listen));
        let mut limits = Limits::default();
        let mut shutdown_delay = Duration::ZERO;
        let connections = |value: &Value<'_>| number(value, 1..=CONNECTIONS_MAX);
        let head_bytes = |value: &Value<'_>| {
            let size = value.size()?;
            let right = "\"8KiB\" to \"1MiB\"";
            within(value, size, &HEAD_BYTES, right)
        };
        root.set("max_connections", connections, &mut limits.connections_max);
        root.set("header_timeout", some_time, &mut limits.head_max);
        root.set("max_header_bytes", head_bytes, &mut limits.head_bytes_max);
        root.set("max_headers", |value| number(value, HEADERS), &mut limits.fields_max);
        root.set("drain_timeout", Value::duration, &mut limits.drain);
        root.set("shutdown_delay", Value::duration, &mut shutdown_delay);
        let upstreams = root.named("upstream", Some(&UPSTREAM));
        let upstreams: Vec<_> =
            upstreams.into_iter().map(|(name, table)| upstream(name, table)).collect();
        let routes = root.take("route").map(|value| routes(&value)).unwrap_or_default();
        if routes.is_empty() && root.peek("route").is_none_or(|value| value.is_list()) {
            root.missing("no [[route]]: every request would be answered with 404");
        }
        root.end();
        Self { listen, admin, limits, shutdown_delay, upstreams, routes }
    }
}

fn admin(value: &Value<'_>, listen: SocketAddr) -> Option<SocketAddr> {
    let mut table = value.table_with(&ADMIN)?;
    let written = table.take("listen");
    if written.is_none() {
        table.missing("admin.listen is missing, such as listen = \"127.0.0.1:9090\"");
    }
    table.later(&["token_env"]);
    table.end();
    let written = written?;
    let admin = address(&written)?;
    if admin == listen && admin.port() != 0 {
        return written.expected("another address than listen");
    }
    Some(admin)
}

fn upstream(name: String, mut table: Table<'_>) -> UpstreamConfig {
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
    let mut seen = std::collections::BTreeSet::new();
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

fn routes<'r>(value: &Value<'r>) -> Vec<RawRoute<'r>> {
    if value.is_table() {
        value.problem("route is a table, expected a list of tables: write [[route]]");
        return Vec::new();
    }
    let entries = value.list().unwrap_or_default();
    let route = |(n, entry): (usize, Value<'r>)| {
        // The name is part of the path of every field.
        let name = entry.table()?.peek("name").and_then(|value| Some((value.name()?, value)));
        let path = match &name {
            Some((name, _)) => format!("route.{name}"),
            None => format!("route.{n}"),
        };
        Some(route(entry.named(path, "").table()?, name))
    };
    entries.into_iter().enumerate().filter_map(route).collect()
}

fn route<'r>(mut table: Table<'r>, name: Option<(&str, Value<'r>)>) -> RawRoute<'r> {
    if table.take("name").is_none() {
        table.missing("a route without a name, expected such as name = \"orders\"");
    }
    let (name, written) = name.unzip();
    let mut config = preset::route(name.unwrap_or_default().to_owned(), 0);
    let upstream = table.take("upstream");
    if upstream.is_none() {
        table.missing("a route without an upstream, expected such as upstream = \"orders\"");
    }
    if let Some(matches) = table.take("match").and_then(|value| value.table_with(&MATCH)) {
        config.matches = RouteMatch::read(matches);
    }
    config.rate_limit = table.pattern("rate_limit", &RATE_LIMIT).on(
        false,
        RouteLimitConfig::default(),
        RouteLimitConfig::read,
    );
    table.set("priority", PriorityBy::read, &mut config.priority);
    read_limits(&mut table, &mut config);
    let owner = upstream.as_ref().filter(|value| !value.is_list()).and_then(Value::text);
    read_retry(&mut table, &mut config, owner.unwrap_or("NAME"));
    config.bulkhead = bulkhead_or_preset(&mut table, true, preset::bulkhead(), read_bulkhead);
    let kept = |value: &Value<'_>| {
        let right = "0 to \"16MiB\": it is kept for every request";
        within(value, value.size()?, &(0..=REPLAY_BYTES_MAX), right)
    };
    table.set("replay_buffer", kept, &mut config.replay_buffer);
    table.later(&["body_deadline", "fallback", "hedge", "idempotency", "rollback"]);
    table.end();
    RawRoute { config, name: written, upstream }
}

/// The deadline, and the limits of an attempt clipped to it.
fn read_limits(table: &mut Table<'_>, config: &mut RouteConfig) {
    let written = table.peek("deadline").is_some();
    let read = table.set("deadline", Value::duration_or_none, &mut config.deadline);
    let deadline = config.deadline;
    table.check(|found| PolicyConfig { deadline, ..PolicyConfig::default() }.check(found));
    // A deadline that makes no sense clips nothing.
    let deadline = deadline.filter(|deadline| !deadline.is_zero() && written == read);
    config.timeout = preset::timeout(deadline);
    let Some(limits) = table.take("timeout").and_then(|value| value.table_with(&TIMEOUT)) else {
        return;
    };
    let written = ["connect", "attempt"].map(|name| limits.peek(name));
    config.timeout = timeout(limits, config.timeout.clone());
    let TimeoutConfig { connect, attempt, .. } = &mut config.timeout;
    if written[0].is_none() {
        *connect = (*connect).min(*attempt);
    }
    for (written, limit) in written.iter().zip([*connect, *attempt]) {
        if let (Some(written), Some(deadline)) = (written, deadline)
            && limit > deadline
        {
            let name = written.label();
            written.problem(format_args!(
                "{name} is {limit:?}, expected at most the deadline of {deadline:?}"
            ));
        }
    }
}

/// Retries without their budget, which is the upstream's.
fn read_retry(table: &mut Table<'_>, config: &mut RouteConfig, upstream: &str) {
    for (field, what) in [("retry_budget", "the budget"), ("circuit_breaker", "the breaker")] {
        let right = format_args!(
            "{what} belongs to the upstream: write {field} under [upstream.{upstream}]"
        );
        table.refuse(field, format_args!("`{field}`: {right}"));
    }
    let read = |mut table: Table<'_>, base: (RetryConfig, RetryOn)| {
        for (field, ours) in [("budget", "retry_budget"), ("trickle", "retry_trickle")] {
            table.refuse(
                field,
                format_args!(
                    "`retry.{field}`: the budget belongs to the upstream: \
                     write {ours} under [upstream.{upstream}]"
                ),
            );
        }
        retry(table, base)
    };
    let pattern: Pattern<'_> = table.pattern("retry", &RETRY);
    match pattern.on(true, (preset::retry(), RetryOn::default()), read) {
        Some((retry, on)) => (config.retry, config.retry_on) = (Some(retry), on),
        None => config.retry = None,
    }
}

/// A bulkhead without threads of its own.
fn read_bulkhead(mut table: Table<'_>, base: BulkheadConfig) -> BulkheadConfig {
    let threads = "`bulkhead.pool_threads`: the gateway runs nothing on threads of a bulkhead";
    table.refuse("pool_threads", threads);
    bulkhead(table, base)
}

fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let address = value.text()?.parse().ok();
    address.or_else(|| value.expected("an address with a port such as \"127.0.0.1:8080\""))
}

/// A time that is not zero.
fn some_time(value: &Value<'_>) -> Option<Duration> {
    let time = value.duration()?;
    if time.is_zero() { value.expected("more than 0s") } else { Some(time) }
}

pub(super) fn number(value: &Value<'_>, range: RangeInclusive<usize>) -> Option<usize> {
    let right = format_args!("{} to {}", range.start(), range.end());
    within(value, usize::try_from(value.count()?).ok()?, &range, right)
}

fn within<T: PartialOrd>(
    value: &Value<'_>,
    read: T,
    range: &RangeInclusive<T>,
    right: impl Display,
) -> Option<T> {
    if range.contains(&read) { Some(read) } else { value.expected(right) }
}

const ADMIN: MainKey =
    MainKey::new("listen", "\"127.0.0.1:9090\"", |value: &Value<'_>| address(value).is_some());

const UPSTREAM: MainKey =
    MainKey::new("endpoints", "[\"http://10.0.0.1:8080\"]", |value: &Value<'_>| {
        !endpoints(value).is_empty()
    });

/// What the picker counts them with.
const ENDPOINTS: RangeInclusive<usize> = 1..=65_535;

/// As many as a kernel gives descriptors to a process at most by default.
const CONNECTIONS_MAX: usize = 1 << 20;

/// From what browsers send with their cookies to what no server takes.
const HEAD_BYTES: RangeInclusive<usize> = 8 << 10..=1 << 20;

/// More fields than this are an attack, and each costs memory before the request is known.
const HEADERS: RangeInclusive<usize> = 1..=1_000;

/// 16 MiB for each of 300 requests are 5 GB already.
const REPLAY_BYTES_MAX: usize = 16 << 20;
