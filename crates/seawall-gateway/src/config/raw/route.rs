//! A route as it is written: what it serves, and the patterns around each of its requests.
//!
//! The limits of an attempt are read with the deadline they lie in: one that was not written gives way to it, one
//! that was must fit.

use seawall::{
    BulkheadConfig, PolicyConfig, RetryConfig, RetryOn, TimeoutConfig,
    config::{
        Pattern, RATE_LIMIT, RETRY, TIMEOUT, Table, Value, bulkhead, bulkhead_or_preset, retry,
        timeout,
    },
};

use super::{RawRoute, within};
use crate::config::{
    PriorityBy, RouteConfig, RouteLimitConfig, RouteMatch, UpstreamConfig, matching::MATCH, preset,
};

/// The routes to these upstreams.
pub(super) fn routes<'r>(value: &Value<'r>, upstreams: &[UpstreamConfig]) -> Vec<RawRoute<'r>> {
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
        Some(route(entry.named(path, "").table()?, name, upstreams))
    };
    entries.into_iter().enumerate().filter_map(route).collect()
}

fn route<'r>(
    mut table: Table<'r>,
    name: Option<(&str, Value<'r>)>,
    upstreams: &[UpstreamConfig],
) -> RawRoute<'r> {
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
    // A mistyped one is told as such, and not to be written under.
    let owner = owner.filter(|owner| upstreams.iter().any(|upstream| upstream.name == *owner));
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

/// 16 MiB for each of 300 requests are 5 GB already.
const REPLAY_BYTES_MAX: usize = 16 << 20;
