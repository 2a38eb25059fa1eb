//! `rate_limit = { … }`: a limit on calls, kept by one of four algorithms.

use seawall_core::{Algorithm, RateLimitConfig, Reserve};

use super::by_class;
use crate::config::{MainKey, Table, Value};

/// Reads `rate_limit = { … }` onto `base`; `offered` are the algorithms to tell of where none is known by its name.
#[must_use]
pub fn rate_limit(
    mut table: Table<'_>,
    base: RateLimitConfig,
    offered: &[Algorithm],
) -> RateLimitConfig {
    let mut config = base;
    let algorithm = |value: &Value<'_>| algorithm(value, offered);
    let is_known = table.peek("algorithm").is_none();
    let is_known = table.set("algorithm", algorithm, &mut config.algorithm) || is_known;
    table.set("capacity", |value| value.tokens().map(Some), &mut config.capacity);
    table.set("rate", |value| value.rate().map(Some), &mut config.rate);
    table.set("limit", |value| value.tokens().map(Some), &mut config.limit);
    table.set("window", |value| value.duration().map(Some), &mut config.window);
    table.set("buckets", |value| value.count().map(Some), &mut config.buckets);
    table.set("reserves", |value| by_class(value, reserve), &mut config.reserves);
    table.set("limit_each_attempt", Value::flag, &mut config.limit_each_attempt);
    // Another algorithm may be meant, of which other settings are right.
    if is_known {
        table.check(|found| config.check(found));
    }
    table.end();
    config
}

fn algorithm(value: &Value<'_>, offered: &[Algorithm]) -> Option<Algorithm> {
    let known = Algorithm::parse(value.text()?);
    known.or_else(|| {
        let names: Vec<_> = offered.iter().map(|offered| offered.name()).collect();
        value.unknown(&names)
    })
}

/// A share in quotes, or a number of tokens.
fn reserve(value: &Value<'_>) -> Option<Reserve> {
    let read = value.reader.quietly(|| {
        let tokens = || value.tokens().map(Reserve::Tokens);
        value.share().map(Reserve::Share).or_else(tokens)
    });
    read.or_else(|| value.expected("a share in quotes such as \"10%\", or a number of tokens"))
}

/// The main key of `rate_limit`.
pub const RATE_LIMIT: MainKey =
    MainKey::new("rate", "\"100/s\"", |value: &Value<'_>| value.rate().is_some());
