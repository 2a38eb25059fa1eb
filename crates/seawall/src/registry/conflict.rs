//! What two configurations of one name differ in: field by field, each with where it came from.
//!
//! Both are written out, a row for each field, and the rows are compared. A pattern that is off has no settings:
//! then that it is off is the difference.

use std::{collections::BTreeMap, fmt};

use seawall_core::{
    BulkheadConfig, CircuitBreakerConfig, Jitter, Priority, RateLimitConfig, Reserve, RetryConfig,
    Strategy, TimeoutConfig, Window,
};

use crate::{Origin, Origins, PolicyConfig, RetryOn};

/// One field that two configurations of a policy set differently.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The field, as it is named in configuration (`retry.max_retries`).
    pub field: &'static str,
    /// How the policy that exists is set.
    pub existing: Setting,
    /// What was asked for.
    pub wanted: Setting,
}

/// A value, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// As text.
    pub value: String,
    /// Where it was written; of a field that was left out, the table around it.
    pub origin: Origin,
}

impl Difference {
    /// All between two configurations, each with its origins.
    pub(super) fn all(
        existing: (&PolicyConfig, &Origins),
        wanted: (&PolicyConfig, &Origins),
    ) -> Vec<Self> {
        let asked: BTreeMap<_, _> = rows(wanted.0).into_iter().collect();
        let difference = |(field, is): (&'static str, Row)| {
            let asked = asked.get(field).filter(|asked| **asked != is)?;
            let setting = |row: &Row, origins: &Origins| Setting {
                value: row.value.clone(),
                origin: origins.nearest(field).clone(),
            };
            let (existing, wanted) = (setting(&is, existing.1), setting(asked, wanted.1));
            Some(Self { field, existing, wanted })
        };
        rows(existing.0).into_iter().filter_map(difference).collect()
    }
}

/// `deadline is 1s (policies.toml:3:12), asked for was 3s (src/main.rs:20:9)`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, existing, wanted } = self;
        write!(f, "{field} is {existing}, asked for was {wanted}")?;
        // Nothing but functions can look alike and differ.
        if existing.value == wanted.value {
            f.write_str(", and two functions are the same only if one is a clone of the other")?;
        }
        Ok(())
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.value, self.origin)
    }
}

/// A value to show and to compare: functions look alike and are not equal.
#[derive(PartialEq)]
struct Row {
    value: String,
    function: Option<Strategy>,
}

/// Every field, by its name in configuration. Nothing is left out: a new field does not compile until it is here.
fn rows(config: &PolicyConfig) -> Vec<(&'static str, Row)> {
    let PolicyConfig {
        deadline,
        rate_limit,
        retry,
        retry_on,
        circuit_breaker,
        bulkhead,
        timeout,
        max_keys,
    } = config;
    let mut rows = vec![
        ("deadline", optional(deadline.as_ref())),
        ("rate_limit", switch(rate_limit.is_some())),
        ("retry", switch(retry.is_some())),
        ("retry.on", plain(list(retry_on))),
        ("circuit_breaker", switch(circuit_breaker.is_some())),
        ("bulkhead", switch(bulkhead.is_some())),
        ("timeout", switch(timeout.is_some())),
        ("max_keys", written(*max_keys)),
    ];
    rows.extend(rate_limit.iter().flat_map(limiter));
    rows.extend(retry.iter().flat_map(retries));
    rows.extend(circuit_breaker.iter().flat_map(breaker));
    rows.extend(bulkhead.iter().flat_map(places));
    rows.extend(timeout.iter().flat_map(limits));
    rows
}

fn limiter(rate_limit: &RateLimitConfig) -> [(&'static str, Row); 8] {
    let RateLimitConfig {
        algorithm,
        capacity,
        rate,
        limit,
        window,
        buckets,
        reserves,
        limit_each_attempt,
    } = rate_limit;
    [
        ("rate_limit.algorithm", plain(algorithm.name())),
        ("rate_limit.capacity", written(*capacity)),
        ("rate_limit.rate", written(*rate)),
        ("rate_limit.limit", written(*limit)),
        ("rate_limit.window", optional(window.as_ref())),
        ("rate_limit.buckets", written(*buckets)),
        ("rate_limit.reserves", by_class(reserves.map(kept))),
        ("rate_limit.limit_each_attempt", plain(limit_each_attempt)),
    ]
}

fn retries(retry: &RetryConfig) -> [(&'static str, Row); 8] {
    let RetryConfig {
        max_retries,
        base_delay,
        max_delay,
        jitter,
        strategy,
        max_elapsed,
        budget,
        trickle,
    } = retry;
    [
        ("retry.max_retries", plain(max_retries)),
        ("retry.base_delay", plain(format_args!("{base_delay:?}"))),
        ("retry.max_delay", plain(format_args!("{max_delay:?}"))),
        ("retry.jitter", plain(scatter(*jitter))),
        ("retry.strategy", growth(strategy)),
        ("retry.max_elapsed", optional(max_elapsed.as_ref())),
        ("retry.budget", plain(budget)),
        ("retry.trickle", plain(trickle)),
    ]
}

fn breaker(breaker: &CircuitBreakerConfig) -> [(&'static str, Row); 12] {
    let CircuitBreakerConfig {
        failures,
        failure_rate,
        slow_rate,
        slow_after,
        window,
        minimum_calls,
        successes,
        open_for,
        max_open_for,
        open_jitter,
        half_open_calls,
        half_open_for,
    } = breaker;
    [
        ("circuit_breaker.failures", plain(failures)),
        ("circuit_breaker.failure_rate", written(*failure_rate)),
        ("circuit_breaker.slow_rate", written(*slow_rate)),
        ("circuit_breaker.slow_after", optional(slow_after.as_ref())),
        ("circuit_breaker.over", span(*window)),
        ("circuit_breaker.minimum_calls", plain(minimum_calls)),
        ("circuit_breaker.successes", plain(successes)),
        ("circuit_breaker.open_for", plain(format_args!("{open_for:?}"))),
        ("circuit_breaker.max_open_for", optional(max_open_for.as_ref())),
        ("circuit_breaker.open_jitter", plain(open_jitter)),
        ("circuit_breaker.half_open_calls", plain(half_open_calls)),
        ("circuit_breaker.half_open_for", optional(half_open_for.as_ref())),
    ]
}

fn places(bulkhead: &BulkheadConfig) -> [(&'static str, Row); 7] {
    let BulkheadConfig {
        max_concurrent,
        max_queue,
        max_wait,
        max_run,
        priority,
        reserves,
        pool_threads,
    } = bulkhead;
    [
        ("bulkhead.max_concurrent", plain(max_concurrent)),
        ("bulkhead.max_queue", plain(max_queue)),
        ("bulkhead.max_wait", plain(format_args!("{max_wait:?}"))),
        ("bulkhead.max_run", optional(max_run.as_ref())),
        ("bulkhead.priority", plain(priority)),
        ("bulkhead.reserves", by_class(reserves.map(|places| places.to_string()))),
        ("bulkhead.pool_threads", optional(pool_threads.as_ref())),
    ]
}

fn limits(timeout: &TimeoutConfig) -> [(&'static str, Row); 8] {
    let TimeoutConfig { connect, read, attempt, adaptive, quantile, factor, warm_up, floor } =
        timeout;
    [
        ("timeout.connect", plain(format_args!("{connect:?}"))),
        ("timeout.read", plain(format_args!("{read:?}"))),
        ("timeout.attempt", plain(format_args!("{attempt:?}"))),
        ("timeout.adaptive", plain(adaptive)),
        ("timeout.quantile", plain(quantile.as_f64())),
        ("timeout.factor", plain(factor.as_f64())),
        ("timeout.warm_up", plain(warm_up)),
        ("timeout.floor", plain(format_args!("{floor:?}"))),
    ]
}

fn plain(value: impl fmt::Display) -> Row {
    Row { value: value.to_string(), function: None }
}

fn optional(value: Option<&impl fmt::Debug>) -> Row {
    value.map_or_else(|| plain("not set"), |value| plain(format_args!("{value:?}")))
}

fn written(value: Option<impl fmt::Display>) -> Row {
    value.map_or_else(|| plain("not set"), plain)
}

fn kept(reserve: Reserve) -> String {
    match reserve {
        Reserve::Share(share) => share.to_string(),
        Reserve::Tokens(tokens) => tokens.to_string(),
    }
}

/// As a file would write it, without those that keep nothing.
fn by_class(reserves: [String; 5]) -> Row {
    let classes = Priority::ALL.iter().zip(reserves).filter(|(_, kept)| kept != "0");
    let classes: Vec<_> = classes.map(|(class, kept)| format!("{class} = {kept}")).collect();
    if classes.is_empty() { plain("none") } else { plain(classes.join(", ")) }
}

fn span(window: Window) -> Row {
    match window {
        Window::Calls(calls) => plain(format_args!("{calls} calls")),
        Window::Time(time) => plain(format_args!("{time:?}")),
    }
}

fn switch(on: bool) -> Row {
    plain(if on { "on" } else { "off" })
}

fn growth(strategy: &Strategy) -> Row {
    match strategy {
        Strategy::Custom(_) => {
            Row { value: "a function".to_owned(), function: Some(strategy.clone()) }
        }
        named => plain(named.name()),
    }
}

fn scatter(jitter: Jitter) -> String {
    match jitter {
        Jitter::Fraction(part) => part.as_f64().to_string(),
        named => format!("{named:?}").to_lowercase(),
    }
}

fn list(RetryOn { connect, reset, timeout, statuses }: &RetryOn) -> String {
    let ways = [(*connect, "connect"), (*reset, "reset"), (*timeout, "timeout")];
    let ways = ways.into_iter().filter(|(on, _)| *on).map(|(_, way)| way.to_owned());
    let all: Vec<_> = ways.chain(statuses.iter().map(u16::to_string)).collect();
    format!("{all:?}")
}
