//! The tables of the patterns: each is read onto a base value and checked by the config type itself.

mod bulkhead;
mod rate_limit;

use seawall_core::{CircuitBreakerConfig, Priority, RetryConfig, TimeoutConfig, Window};

use super::{MainKey, Table, Value};
use crate::RetryOn;

pub use bulkhead::{BULKHEAD, bulkhead, bulkhead_or_preset};
pub use rate_limit::{RATE_LIMIT, rate_limit};

/// Reads `retry = { … }` onto `base`, with `on` for what may be retried.
pub fn retry(mut table: Table<'_>, base: (RetryConfig, RetryOn)) -> (RetryConfig, RetryOn) {
    let (mut config, mut on) = base;
    table.set("max_retries", Value::count, &mut config.max_retries);
    table.set("base_delay", Value::duration, &mut config.base_delay);
    table.set("max_delay", Value::duration, &mut config.max_delay);
    table.set("jitter", Value::jitter, &mut config.jitter);
    table.set("strategy", Value::strategy, &mut config.strategy);
    table.set("max_elapsed", Value::duration_or_none, &mut config.max_elapsed);
    table.set("budget", Value::share, &mut config.budget);
    table.set("trickle", Value::flag, &mut config.trickle);
    table.set("on", retry_on, &mut on);
    table.check(|found| config.check(found));
    table.end();
    (config, on)
}

/// Reads `circuit_breaker = { … }` onto `base`.
pub fn circuit_breaker(mut table: Table<'_>, base: CircuitBreakerConfig) -> CircuitBreakerConfig {
    let mut config = base;
    let some_duration = |value: &Value<'_>| value.duration().map(Some);
    table.set("failures", Value::count, &mut config.failures);
    table.set("failure_rate", Value::share_or_none, &mut config.failure_rate);
    table.set("slow_rate", Value::share_or_none, &mut config.slow_rate);
    table.set("slow_after", Value::duration_or_none, &mut config.slow_after);
    table.set("over", window, &mut config.window);
    table.set("minimum_calls", Value::count, &mut config.minimum_calls);
    table.set("successes", Value::count, &mut config.successes);
    table.set("open_for", Value::duration, &mut config.open_for);
    table.set("max_open_for", Value::duration_or_none, &mut config.max_open_for);
    table.set("open_jitter", Value::share, &mut config.open_jitter);
    table.set("half_open_calls", Value::count, &mut config.half_open_calls);
    table.set("half_open_for", some_duration, &mut config.half_open_for);
    table.check(|found| config.check(found));
    table.end();
    config
}

/// Reads `timeout = { … }` onto `base`.
pub fn timeout(mut table: Table<'_>, base: TimeoutConfig) -> TimeoutConfig {
    let mut config = base;
    table.set("connect", Value::duration, &mut config.connect);
    table.set("read", Value::duration, &mut config.read);
    table.set("attempt", Value::duration, &mut config.attempt);
    table.set("adaptive", Value::flag, &mut config.adaptive);
    table.set("quantile", Value::quantile, &mut config.quantile);
    table.set("factor", Value::factor, &mut config.factor);
    table.set("warm_up", Value::count, &mut config.warm_up);
    table.set("floor", Value::duration, &mut config.floor);
    table.check(|found| config.check(found));
    table.end();
    config
}

/// `"10s"`, or a number of calls.
fn window(value: &Value<'_>) -> Option<Window> {
    let read = value.reader.quietly(|| {
        let calls = || value.count().map(Window::Calls);
        value.duration().map(Window::Time).or_else(calls)
    });
    read.or_else(|| value.expected("a duration in quotes such as \"10s\", or a number of calls"))
}

/// `{ critical = …, high = … }`: what is left out is as by default.
fn by_class<'r, T: Copy + Default>(
    value: &Value<'r>,
    read: impl Fn(&Value<'r>) -> Option<T>,
) -> Option<[T; 5]> {
    let mut table = value.table()?;
    let mut all = [T::default(); 5];
    let mut readable = true;
    for class in Priority::ALL {
        let Some(value) = table.take(class.name()) else { continue };
        match read(&value) {
            Some(read) => all[class.index()] = read,
            None => readable = false,
        }
    }
    table.end();
    readable.then_some(all)
}

/// `["connect", "reset", "timeout", "503"]`: what is not in the list is not retried.
fn retry_on(value: &Value<'_>) -> Option<RetryOn> {
    let mut on = RetryOn { connect: false, reset: false, timeout: false, statuses: Vec::new() };
    let mut readable = true;
    for entry in value.list()? {
        let Some(text) = entry.text() else {
            readable = false;
            continue;
        };
        match (text, status(text)) {
            ("connect", _) => on.connect = true,
            ("reset", _) => on.reset = true,
            ("timeout", _) => on.timeout = true,
            (_, Some(status)) => on.statuses.push(status),
            _ => {
                let meant = entry.meant(&["connect", "reset", "timeout"]);
                let right =
                    "\"connect\", \"reset\", \"timeout\" or a status from \"400\" to \"599\"";
                entry.expected::<()>(format_args!("{right}{meant}"));
                readable = false;
            }
        }
    }
    readable.then_some(on)
}

/// The status of an answer that is an error; no other is worth another attempt.
fn status(text: &str) -> Option<u16> {
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|status| digits && (400..600).contains(status))
}

/// The main key of `retry`.
pub const RETRY: MainKey =
    MainKey::new("max_retries", "3", |value: &Value<'_>| value.count().is_some());

/// The main key of `circuit_breaker`.
pub const CIRCUIT_BREAKER: MainKey =
    MainKey::new("failures", "5", |value: &Value<'_>| value.count().is_some());

/// The main key of `timeout`: of its limits, the one on a whole attempt.
pub const TIMEOUT: MainKey =
    MainKey::new("attempt", "\"5s\"", |value: &Value<'_>| value.duration().is_some());
