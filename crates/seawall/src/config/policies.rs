//! The library's own file: one table per policy.
//!
//! ```toml
//! [policy.payments]
//! deadline        = "2s"
//! retry           = { max_retries = 2, on = ["connect", "503"] }
//! circuit_breaker = true                    # all its defaults
//! bulkhead        = { max_concurrent = 50 }
//! # timeout: not written, so not applied
//! ```

use std::collections::BTreeMap;

use super::{Origins, Problems, Table, Value, bulkhead, circuit_breaker, read, retry, timeout};
use crate::{PolicyConfig, RetryOn};

/// Reads the policies in a text; `file` is what problems and origins call it.
///
/// # Errors
///
/// Everything that is wrong, by place.
pub fn parse(text: &str, file: &str) -> Result<Policies, Problems> {
    let (policies, origins) = read(text, file, |mut root| {
        let policies = root.named("policy").into_iter().map(|(name, table)| (name, policy(table)));
        let policies = policies.collect();
        root.end();
        policies
    })?;
    Ok(Policies { policies, origins })
}

/// The policies of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policies {
    /// By name.
    pub policies: BTreeMap<String, PolicySettings>,
    /// Where each setting came from.
    pub origins: Origins,
}

/// What a file says of one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicySettings {
    /// Its patterns.
    pub config: PolicyConfig,
    /// `retry.on`, for [`ByStatus`](crate::ByStatus).
    pub retry_on: RetryOn,
}

fn policy(mut table: Table<'_>) -> PolicySettings {
    let mut config = PolicyConfig::default();
    table.set("deadline", Value::duration_or_none, &mut config.deadline);
    // The deadline alone: a pattern is checked where its own fields have their places.
    table.check(|found| config.check(found));
    let (retry, retry_on) = table.pattern("retry").on(false, Default::default(), retry).unzip();
    config.retry = retry;
    config.circuit_breaker =
        table.pattern("circuit_breaker").on(false, Default::default(), circuit_breaker);
    config.bulkhead = table.pattern("bulkhead").on(false, Default::default(), bulkhead);
    config.timeout = table.pattern("timeout").on(false, Default::default(), timeout);
    table.later(&["fallback", "health", "hedge", "idempotency", "rate_limit"]);
    table.end();
    PolicySettings { config, retry_on: retry_on.unwrap_or_default() }
}
