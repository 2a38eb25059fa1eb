//! The settings of one policy, as code writes them and files are read into.

use std::time::Duration;

use seawall_core::{
    BulkheadConfig, CircuitBreakerConfig, Invalid, RateLimitConfig, RetryConfig, TimeoutConfig,
};

use crate::RetryOn;

/// Which patterns a policy has and how they are set. A pattern that is `None` is not applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyConfig {
    /// Limit on the whole call, waits included. Default none; more than 0.
    pub deadline: Option<Duration>,
    /// How many calls in how much time; retries too, if [`limit_each_attempt`](RateLimitConfig::limit_each_attempt).
    pub rate_limit: Option<RateLimitConfig>,
    /// Retries and their budget.
    pub retry: Option<RetryConfig>,
    /// What is retried (`retry.on`). Default everything another attempt may mend.
    ///
    /// The policy itself asks for `timeout`: whether another attempt follows one that ran into its limit. What
    /// answers mean is the classifier's: give the same to [`ByStatus`](crate::ByStatus), which asks for the
    /// statuses. `connect` and `reset` are for a classifier that can tell them, as the gateway's can.
    pub retry_on: RetryOn,
    /// The circuit breaker.
    pub circuit_breaker: Option<CircuitBreakerConfig>,
    /// The bulkhead.
    pub bulkhead: Option<BulkheadConfig>,
    /// Limits on one attempt.
    pub timeout: Option<TimeoutConfig>,
    /// How many keys have state of their own, in a [policy for each key](crate::PerKey): 10 000 unless it is said here.
    /// With 0 all share one. One policy for all calls has no such setting.
    pub max_keys: Option<u32>,
}

impl PolicyConfig {
    /// Tells every setting that makes no sense.
    pub fn check(&self, found: &mut dyn FnMut(Invalid)) {
        if self.deadline == Some(Duration::ZERO) {
            found(Invalid::new("deadline", "0s", "more than 0s, or no deadline"));
        }
        if let Some(rate_limit) = &self.rate_limit {
            rate_limit.check(found);
        }
        if let Some(retry) = &self.retry {
            retry.check(found);
        }
        if let Some(breaker) = &self.circuit_breaker {
            breaker.check(found);
        }
        if let Some(bulkhead) = &self.bulkhead {
            bulkhead.check(found);
        }
        if let Some(timeout) = &self.timeout {
            timeout.check(found);
        }
    }
}
