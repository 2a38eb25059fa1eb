//! The library's own file: one table per policy.
//!
//! ```toml
//! [policy.payments]
//! deadline        = "2s"
//! retry           = { max_retries = 2, on = ["connect", "503"] }
//! circuit_breaker = true                    # all its defaults
//! bulkhead        = "database"              # a preset by its name
//! rate_limit      = { capacity = 200, rate = "100/s" }
//! # timeout: not written, so not applied
//!
//! [policy.tenants]
//! max_keys        = 500                     # a policy for each key
//! bulkhead        = true
//! ```
//!
//! `retry.on` is the gateway's: without "timeout", attempts that ran into their limit are not retried. Who asks
//! for the rest of it: [`PolicyConfig::retry_on`].

use std::collections::BTreeMap;

use super::{
    CIRCUIT_BREAKER, Problems, RATE_LIMIT, RETRY, TIMEOUT, Table, Value, bulkhead,
    bulkhead_or_preset, circuit_breaker, rate_limit, read, retry, timeout,
};
use crate::{Algorithm, Origins, PolicyConfig};

/// Reads the policies in a text; `file` is what problems and origins call it.
///
/// # Errors
///
/// Everything that is wrong, by place.
pub fn parse(text: &str, file: &str) -> Result<Policies, Problems> {
    let (policies, origins) = read(text, file, |mut root| {
        let policies =
            root.named("policy", None).into_iter().map(|(name, table)| (name, policy(table)));
        let policies = policies.collect();
        root.end();
        policies
    })?;
    Ok(Policies { policies, origins })
}

/// The policies of a file.
///
/// ```
/// let registry = seawall::Registry::new();
/// let read = seawall::config::parse("[policy.payments]\nretry = true", "policies.toml").unwrap();
/// for (name, config) in &read.policies {
///     registry.policy_from(name, config, &read.origins)?;
/// }
/// assert!(registry.find("payments").is_some());
/// # Ok::<(), seawall::RegistryError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policies {
    /// By name.
    pub policies: BTreeMap<String, PolicyConfig>,
    /// Where each setting came from.
    pub origins: Origins,
}

fn policy(mut table: Table<'_>) -> PolicyConfig {
    let mut config = PolicyConfig::default();
    table.set("deadline", Value::duration_or_none, &mut config.deadline);
    table.set("max_keys", |value| value.count().map(Some), &mut config.max_keys);
    // The deadline alone: a pattern is checked where its own fields have their places.
    table.check(|found| config.check(found));
    let limit = |table: Table<'_>, base| rate_limit(table, base, &Algorithm::ALL);
    config.rate_limit =
        table.pattern("rate_limit", &RATE_LIMIT).on(false, Default::default(), limit);
    if let Some((retry, on)) = table.pattern("retry", &RETRY).on(false, Default::default(), retry) {
        (config.retry, config.retry_on) = (Some(retry), on);
    }
    config.circuit_breaker = table.pattern("circuit_breaker", &CIRCUIT_BREAKER).on(
        false,
        Default::default(),
        circuit_breaker,
    );
    config.bulkhead = bulkhead_or_preset(&mut table, false, Default::default(), bulkhead);
    config.timeout = table.pattern("timeout", &TIMEOUT).on(false, Default::default(), timeout);
    table.later(&["fallback", "health", "hedge", "idempotency"]);
    table.end();
    config
}
