//! Components by name, one of each kind, and policies for each key; the same for all who ask.

use std::{fmt, panic::Location};

use seawall_core::{
    BulkheadConfig, CircuitBreakerConfig, RateLimitConfig, RetryConfig, TimeoutConfig,
};

use super::{Registry, RegistryError, policy};
use crate::{
    AdaptiveTimeout, Bulkhead, CircuitBreaker, Origins, PerKey, PolicyConfig, RateLimiter, Retry,
};

/// What a name in a registry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A policy, and its parts.
    Policy,
    /// A policy for each key.
    PerKey,
    /// A rate limiter.
    RateLimiter,
    /// A retry with its budget.
    Retry,
    /// A circuit breaker.
    CircuitBreaker,
    /// A bulkhead.
    Bulkhead,
    /// A learned limit.
    AdaptiveTimeout,
}

impl Kind {
    /// Whether figures of several patterns are shown under its name.
    pub(super) fn has_parts(self) -> bool {
        matches!(self, Self::Policy | Self::PerKey)
    }
}

/// `policy`, `circuit breaker`, as in a sentence.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Policy => "policy",
            Self::PerKey => "policy for each key",
            Self::RateLimiter => "rate limiter",
            Self::Retry => "retry",
            Self::CircuitBreaker => "circuit breaker",
            Self::Bulkhead => "bulkhead",
            Self::AdaptiveTimeout => "learned limit",
        })
    }
}

/// Policies for each key, each of which is text. One for other keys is [built](crate::PolicyBuilder::per_key) on the
/// registry's clock and stream and [shown](Registry::show).
impl Registry {
    /// The policy for each key of this name, created with `config` if there is none yet, with room for as many keys as
    /// [`max_keys`](PolicyConfig::max_keys) says.
    ///
    /// # Errors
    /// As [`policy`](Self::policy), and [`RegistryError::Taken`] if the name is that of a policy or component.
    ///
    /// ```
    /// use seawall::{CircuitBreakerConfig, PolicyConfig, Registry};
    ///
    /// let registry = Registry::new();
    /// let circuit_breaker = Some(CircuitBreakerConfig::default());
    /// let tenants = registry.per_key("tenants", &PolicyConfig { circuit_breaker, ..PolicyConfig::default() })?;
    /// assert!(tenants.key("acme").run_blocking(|| Ok::<_, ()>(())).is_ok());
    /// assert_eq!(registry.snapshot().per_key["tenants"].in_use, 1);
    /// # Ok::<(), seawall::RegistryError>(())
    /// ```
    #[track_caller]
    pub fn per_key(&self, name: &str, config: &PolicyConfig) -> Result<PerKey, RegistryError> {
        let line = Location::caller();
        self.get_or_create((Kind::PerKey, name), config, policy, || Origins::code(line))
    }

    /// As [`per_key`](Self::per_key), with settings that are the policy of this name in a file.
    ///
    /// # Errors
    /// As [`per_key`](Self::per_key).
    pub fn per_key_from(
        &self,
        name: &str,
        config: &PolicyConfig,
        origins: &Origins,
    ) -> Result<PerKey, RegistryError> {
        let origins = || origins.within(&format!("policy.{name}"));
        self.get_or_create((Kind::PerKey, name), config, policy, origins)
    }

    /// The policy for each key of this name, if there is one.
    #[must_use]
    pub fn find_per_key(&self, name: &str) -> Option<PerKey> {
        self.find_kind(Kind::PerKey, name)
    }
}

/// Getting, creating and finding components.
macro_rules! by_name {
    ($($kind:ident($config:ident), $what:literal: $create:ident, $find:ident, alias $alias:literal;)+) => {
        /// Components. Each is created on the registry's clock; its transitions are told, and its figures shown, with those
        /// of the policies.
        impl Registry {
            $(
                #[doc = concat!("The ", $what, " of this name, created with `config` if there is none yet.")]
                ///
                /// # Errors
                /// As [`policy`](Self::policy), and [`RegistryError::Taken`] if the name is a policy's.
                #[doc(alias = $alias)]
                #[track_caller]
                pub fn $create(&self, name: &str, config: &$config) -> Result<$kind, RegistryError> {
                    let (line, config) = (Location::caller(), $kind::alone(config.clone()));
                    let origins = || Origins::code(line);
                    self.get_or_create((Kind::$kind, name), &config, $kind::builder, origins).map($kind)
                }

                #[doc = concat!("The ", $what, " of this name, if there is one.")]
                #[must_use]
                pub fn $find(&self, name: &str) -> Option<$kind> {
                    self.find_kind(Kind::$kind, name).map($kind)
                }
            )+
        }
    };
}

by_name! {
    CircuitBreaker(CircuitBreakerConfig), "circuit breaker":
        circuit_breaker, find_circuit_breaker, alias "get_or_create_circuit_breaker";
    Retry(RetryConfig), "retry":
        retry, find_retry, alias "get_or_create_retry_manager";
    Bulkhead(BulkheadConfig), "bulkhead":
        bulkhead, find_bulkhead, alias "get_or_create_bulkhead";
    AdaptiveTimeout(TimeoutConfig), "learned limit":
        adaptive_timeout, find_adaptive_timeout, alias "get_or_create_adaptive_timeout";
    RateLimiter(RateLimitConfig), "rate limiter":
        rate_limiter, find_rate_limiter, alias "get_or_create_rate_limiter";
}
