//! Building a policy for each key: as a policy, and only with what fits many times.

use std::{marker::PhantomData, sync::Arc};

use seawall_core::{Algorithm, CircuitBreakerConfig, Invalid, RateLimitConfig, Window};

use super::{AnyKey, Inner, PerKey, machines::KeyedMachines};
use crate::{
    Invalids, PolicyBuilder, PolicyConfig, attempt::KeptLimits, builder::Built, pooled::Pool,
    shell::Shell,
};

/// Builds a [`PerKey`]. Made by [`PolicyBuilder::per_key`].
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct PerKeyBuilder<K: AnyKey> {
    policy: PolicyBuilder,
    max_keys: Option<u32>,
    keys: PhantomData<fn(K)>,
}

impl<K: AnyKey> PerKeyBuilder<K> {
    pub(crate) const fn new(policy: PolicyBuilder) -> Self {
        Self { policy, max_keys: None, keys: PhantomData }
    }

    /// How many keys have state of their own, instead of [as many as the settings say](PolicyConfig::max_keys).
    pub const fn max_keys(mut self, max_keys: u32) -> Self {
        self.max_keys = Some(max_keys);
        self
    }

    /// The policy for each key.
    ///
    /// # Errors
    /// All settings that make no sense for each of many keys: as of a policy, and a sliding window of a rate
    /// limit has at most 15 buckets, or an exact limit of 16; a window of a breaker at most 256 calls; at most 16
    /// probes at once; and no part is shared by handle.
    pub fn build(self) -> Result<PerKey<K>, Invalids> {
        let name = self.policy.name().clone();
        Invalids::check(&name, |found| {
            self.policy.check(found);
            check(self.policy.settings(), found);
            if self.policy.shares() {
                let expected = "settings for each of many keys, no handle of a part";
                found(Invalid::new("per_key", "sharing a part by handle", expected));
            }
        })?;
        self.checked().map_err(|invalid| Invalids::one(&name, invalid))
    }

    fn checked(self) -> Result<PerKey<K>, Invalid> {
        let Built { name, mut config, plan, clock, seed, stream, teller, .. } =
            self.policy.parts()?;
        config.max_keys = self.max_keys.or(config.max_keys);
        let machines = KeyedMachines::new(&config, plan, seed)?;
        let shell = Shell::new(machines, teller, Some(seed));
        let pool = Arc::new(Pool::new(name.clone()));
        let limits = KeptLimits::new(config.timeout.as_ref());
        Ok(PerKey(Arc::new(Inner { name, config, clock, stream, shell, pool, limits })))
    }
}

/// Tells every setting that makes no sense for one or, if it does for one, for many.
pub(super) fn check(config: &PolicyConfig, found: &mut dyn FnMut(Invalid)) {
    let mut told = Vec::new();
    config.check(&mut |invalid| {
        told.push(invalid.field);
        found(invalid);
    });
    let mut found = |invalid: Invalid| {
        if !told.contains(&invalid.field) {
            found(invalid);
        }
    };
    if let Some(rate_limit) = &config.rate_limit {
        check_rate_limit(rate_limit, &mut found);
    }
    if let Some(breaker) = &config.circuit_breaker {
        check_circuit_breaker(breaker, &mut found);
    }
}

fn check_rate_limit(config: &RateLimitConfig, found: &mut dyn FnMut(Invalid)) {
    let exact = config.limit.unwrap_or(0);
    match (config.algorithm, config.buckets) {
        (Algorithm::SlidingWindow, Some(buckets)) if u64::from(buckets) >= COUNTERS_MAX => {
            let expected = "at most 15 for each of many keys";
            found(Invalid::new("rate_limit.buckets", buckets, expected));
        }
        (Algorithm::SlidingWindow, None) if exact > COUNTERS_MAX => {
            let expected = "at most 16 for an exact window of each of many keys: set rate_limit.buckets, up to 15";
            found(Invalid::new("rate_limit.limit", exact, expected));
        }
        _ => {}
    }
}

fn check_circuit_breaker(config: &CircuitBreakerConfig, found: &mut dyn FnMut(Invalid)) {
    match config.window {
        Window::Calls(calls) if calls > CALLS_MAX => {
            let expected = "at most 256 calls for each of many keys, or a time such as 10s";
            found(Invalid::new("circuit_breaker.over", calls, expected));
        }
        Window::Calls(_) | Window::Time(_) => {}
    }
    if config.half_open_calls > PROBES_MAX {
        let expected = "at most 16 for each of many keys";
        found(Invalid::new("circuit_breaker.half_open_calls", config.half_open_calls, expected));
    }
}

/// 128 bytes of counters or stamps: a quarter of what a key may take.
const COUNTERS_MAX: u64 = 16;
/// A bit each, twice: 64 bytes.
const CALLS_MAX: u32 = 256;
/// 256 bytes, while half-open.
const PROBES_MAX: u32 = 16;
