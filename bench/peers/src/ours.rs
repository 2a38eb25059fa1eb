//! seawall: the policies of the rows, with default settings.

use std::{future::Future, pin::pin};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Policy, PolicyBuilder, RetryConfig, TimeoutConfig,
};

use crate::{
    measure::alone,
    operation::{Broken, Operation},
    rows::{DEADLINE, FAILURES_TO_OPEN},
};

/// A policy that is called as its users call it.
#[derive(Clone, Debug)]
pub(crate) struct Ours(Policy);

impl Ours {
    /// Every pattern there is.
    pub(crate) fn full() -> Self {
        Self::build(full(BulkheadConfig::default()))
    }

    /// Circuit breaker, retry, budget, attempt limit.
    pub(crate) fn four() -> Self {
        Self::build(
            Policy::builder("four")
                .retry(RetryConfig::default())
                .circuit_breaker(CircuitBreakerConfig::default())
                .timeout(TimeoutConfig::default()),
        )
    }

    /// A circuit breaker.
    pub(crate) fn breaker() -> Self {
        Self::build(Policy::builder("breaker").circuit_breaker(CircuitBreakerConfig::default()))
    }

    /// Every pattern, and the breaker open.
    pub(crate) fn open() -> Self {
        let ours = Self::full();
        for _ in 0..FAILURES_TO_OPEN {
            let call = ours.0.call().no_retry();
            drop(alone(pin!(call.run(|| Operation::Failing.run()))));
        }
        ours
    }

    /// Every pattern, and the bulkhead's only place taken.
    pub(crate) fn crowded() -> Self {
        let ours =
            Self::build(full(BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() }));
        let holder = ours.clone();
        crate::measure::begin_and_keep(async move { holder.call(Operation::Hanging).await });
        ours
    }

    pub(crate) fn call(
        &self,
        operation: Operation,
    ) -> impl Future<Output = Result<u64, Error<Broken>>> {
        self.0.run(move || operation.run())
    }

    fn build(builder: PolicyBuilder) -> Self {
        Self(builder.build().expect("default settings are valid"))
    }
}

fn full(bulkhead: BulkheadConfig) -> PolicyBuilder {
    Policy::builder("full")
        .deadline(DEADLINE)
        .retry(RetryConfig::default())
        .circuit_breaker(CircuitBreakerConfig::default())
        .bulkhead(bulkhead)
        .timeout(TimeoutConfig::default())
}
