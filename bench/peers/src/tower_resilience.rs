//! tower-resilience: its own layers for the same patterns, without its metrics and tracing.
//!
//! Its budget is a token bucket; limits are fixed. The service is cloned once per thread and asked for
//! readiness before every call, as tower wants it.

use std::time::Duration;

use tower::{Layer, Service, ServiceExt, service_fn};
use tower_resilience::{
    bulkhead::{BulkheadLayer, BulkheadServiceError},
    circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer, FnClassifier},
    retry::{ExponentialRandomBackoff, RetryBudgetBuilder, RetryLayer},
    timelimiter::{FixedTimeout, TimeLimiterError, TimeLimiterLayer},
};

use crate::{
    measure::{alone, begin_and_keep},
    operation::{Broken, Operation},
    rows::{ATTEMPT, DEADLINE, FAILURES_TO_OPEN, PLACES, RETRIES},
};

/// A stack of layers around the operation.
pub(crate) trait Stack:
    Service<Operation, Response = u64, Error: Send, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Stack for S where
    S: Service<Operation, Response = u64, Error: Send, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// One call.
pub(crate) async fn call<S: Stack>(stack: &mut S, operation: Operation) -> Result<u64, S::Error> {
    stack.ready().await?.call(operation).await
}

/// Deadline, retry, circuit breaker, bulkhead, attempt limit.
pub(crate) fn full() -> impl Stack {
    full_with_places(PLACES)
}

/// The same with the breaker open.
pub(crate) fn open() -> impl Stack {
    let mut stack = full();
    for _ in 0..FAILURES_TO_OPEN {
        drop(alone(std::pin::pin!(call(&mut stack, Operation::Failing))));
    }
    stack
}

/// The same with the only place taken.
pub(crate) fn crowded() -> impl Stack {
    let stack = full_with_places(1);
    let mut holder = stack.clone();
    begin_and_keep(async move { call(&mut holder, Operation::Hanging).await });
    stack
}

/// Retry, circuit breaker, attempt limit.
pub(crate) fn four() -> impl Stack {
    retry(|error: &CircuitBreakerError<TimeLimiterError<Broken>>| {
        matches!(error, CircuitBreakerError::Inner(TimeLimiterError::Timeout))
    })
    .layer(breaker(Result::is_err).layer(limiter(ATTEMPT).layer(service_fn(Operation::run))))
}

/// The circuit breaker.
pub(crate) fn breaker_alone() -> impl Stack {
    breaker(Result::is_err).layer(service_fn(Operation::run))
}

fn full_with_places(places: usize) -> impl Stack {
    type Refused = BulkheadServiceError<TimeLimiterError<Broken>>;
    let bulkhead = BulkheadLayer::builder()
        .max_concurrent_calls(places)
        .reject_when_full()
        .build()
        .expect("there is at least one place");
    let attempt = limiter(ATTEMPT).layer(service_fn(Operation::run));
    let judged = breaker(|answer: &Result<u64, Refused>| {
        matches!(answer, Err(BulkheadServiceError::Inner(_)))
    });
    let retried = retry(|error: &CircuitBreakerError<Refused>| {
        use {BulkheadServiceError as Bulkhead, CircuitBreakerError as Breaker};
        matches!(error, Breaker::Inner(Bulkhead::Inner(TimeLimiterError::Timeout)))
    });
    limiter(DEADLINE).layer(retried.layer(judged.layer(bulkhead.layer(attempt))))
}

fn retry<E>(
    is_retryable: impl Fn(&E) -> bool + Send + Sync + 'static,
) -> RetryLayer<Operation, u64, E> {
    let (first, most) = (Duration::from_millis(100), Duration::from_secs(60));
    let backoff = ExponentialRandomBackoff::new(first, 0.5).expect("half is a share");
    let budget = RetryBudgetBuilder::new().token_bucket().build().expect("its own defaults");
    RetryLayer::builder()
        .max_attempts(1 + RETRIES)
        .backoff(backoff.max_interval(most))
        .retry_on(is_retryable)
        .budget(budget)
        .build()
}

fn breaker<E, F>(is_failure: F) -> CircuitBreakerLayer<FnClassifier<F>>
where
    F: Fn(&Result<u64, E>) -> bool + Send + Sync + 'static,
{
    let breaker = CircuitBreakerLayer::builder()
        .consecutive_failures(5)
        .wait_duration_in_open(Duration::from_secs(600))
        .failure_classifier(is_failure);
    breaker.build().expect("the settings are valid")
}

fn limiter(limit: Duration) -> TimeLimiterLayer<FixedTimeout> {
    TimeLimiterLayer::builder().timeout_duration(limit).build()
}
