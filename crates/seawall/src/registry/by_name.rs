//! Components by name: one of each kind, the same for all who ask.

use std::{fmt, panic::Location};

use seawall_core::{
    BulkheadConfig, CircuitBreakerConfig, RateLimitConfig, RetryConfig, TimeoutConfig,
};

use super::{Registry, RegistryError};
use crate::{AdaptiveTimeout, Bulkhead, CircuitBreaker, Origins, RateLimiter, Retry};

/// What a name in a registry is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A policy, and its parts.
    Policy,
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

/// `policy`, `circuit breaker`, as in a sentence.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Policy => "policy",
            Self::RateLimiter => "rate limiter",
            Self::Retry => "retry",
            Self::CircuitBreaker => "circuit breaker",
            Self::Bulkhead => "bulkhead",
            Self::AdaptiveTimeout => "learned limit",
        })
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
