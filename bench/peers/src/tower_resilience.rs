//! tower-resilience: its own layers for the same patterns, without its metrics and tracing.
//!
//! Its budget is a token bucket; limits are fixed. The service is cloned once per thread and asked for
//! readiness before every call, as tower wants it.

use std::{fmt::Debug, time::Duration};

use tower::{
    Layer, Service, ServiceExt,
    util::{ServiceFn, service_fn},
};
use tower_resilience::{
    bulkhead::{BulkheadLayer, BulkheadServiceError},
    circuitbreaker::{
        CircuitBreakerError, CircuitBreakerLayer, DefaultClassifier, FnClassifier,
        SlidingWindowType,
    },
    ratelimiter::{RateLimiterConfigBuilder, RateLimiterLayer, WindowType},
    retry::{ExponentialRandomBackoff, RetryBudgetBuilder, RetryLayer},
    timelimiter::{FixedTimeout, TimeLimiterError, TimeLimiterLayer},
};

use crate::{
    contender::Contender,
    measure::{alone, begin_and_keep},
    operation::{Broken, Operation, Running},
    rows::{
        ANSWERED, ATTEMPT, DEADLINE, FAILURES_TO_OPEN, PATIENCE, PLACES, RETRIES, TOWER_RESILIENCE,
    },
};

/// A stack of layers around the operation.
pub(crate) trait Stack:
    Service<Operation, Response = u64, Error: Debug + Send, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Stack for S where
    S: Service<Operation, Response = u64, Error: Debug + Send, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// A stack whose answer to the operation, printed, contains `expected`.
pub(crate) fn contender(
    stack: impl Stack,
    expected: &'static str,
    operation: Operation,
) -> Contender {
    Contender::new(TOWER_RESILIENCE, expected, move || {
        let mut stack = stack.clone();
        async move || call(&mut stack, operation).await
    })
}

/// One layer around a ready operation.
pub(crate) fn alone_around_ready<L>(layer: L) -> Contender
where
    L: Layer<ServiceFn<fn(Operation) -> Running>, Service: Stack>,
{
    let operation = service_fn(Operation::run as fn(Operation) -> Running);
    contender(layer.layer(operation), ANSWERED, Operation::Ready)
}

/// Deadline, rate limit, retry, circuit breaker, bulkhead, attempt limit.
pub(crate) fn full() -> impl Stack {
    full_with(PLACES, token_bucket(wide()))
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
    let stack = full_with(1, token_bucket(wide()));
    let mut holder = stack.clone();
    begin_and_keep(async move { call(&mut holder, Operation::Hanging).await });
    stack
}

/// The same with this rate limit used up.
pub(crate) fn limited(limiter: RateLimiterLayer) -> impl Stack {
    let mut stack = full_with(PLACES, limiter);
    drop(alone(std::pin::pin!(call(&mut stack, Operation::Ready))));
    stack
}

/// Retry, circuit breaker, attempt limit.
pub(crate) fn four() -> impl Stack {
    retry(|error: &CircuitBreakerError<TimeLimiterError<Broken>>| {
        matches!(error, CircuitBreakerError::Inner(TimeLimiterError::Timeout))
    })
    .layer(breaker(Result::is_err).layer(time_limiter(ATTEMPT).layer(service_fn(Operation::run))))
}

/// Opens after five failures in a row.
pub(crate) fn breaker_in_a_row() -> CircuitBreakerLayer<DefaultClassifier> {
    let breaker = CircuitBreakerLayer::builder().consecutive_failures(5);
    breaker.build().expect("the settings are valid")
}

/// Opens when half of a window of calls failed.
pub(crate) fn breaker_over(window: SlidingWindowType) -> CircuitBreakerLayer<DefaultClassifier> {
    CircuitBreakerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_type(window)
        .sliding_window_size(100)
        .sliding_window_duration(Duration::from_secs(10))
        .minimum_number_of_calls(20)
        .build()
        .expect("the settings are valid")
}

/// Retries with a budget; the operation's own error is never retried.
pub(crate) fn retry_alone() -> RetryLayer<Operation, u64, Broken> {
    retry(|Broken| false)
}

/// A bulkhead in which calls wait without a bound.
pub(crate) fn bulkhead() -> BulkheadLayer {
    let bulkhead = BulkheadLayer::builder().max_concurrent_calls(PLACES);
    bulkhead.build().expect("there is at least one place")
}

/// A limit on what is inside.
pub(crate) fn time_limiter(limit: Duration) -> TimeLimiterLayer<FixedTimeout> {
    TimeLimiterLayer::builder().timeout_duration(limit).build()
}

/// A limit that is kept as a token bucket.
pub(crate) fn token_bucket(limit: RateLimiterConfigBuilder) -> RateLimiterLayer {
    limit.burst_size(0).build().expect("the settings are valid")
}

/// A limit that is kept as a window.
pub(crate) fn window(limit: RateLimiterConfigBuilder, kind: WindowType) -> RateLimiterLayer {
    limit.window_type(kind).build().expect("the settings are valid")
}

/// A limit that nobody here reaches; who does is refused at once.
pub(crate) fn wide() -> RateLimiterConfigBuilder {
    limit(1_000_000_000, Duration::from_secs(1))
}

/// The same in a window of which every call is kept: fifty calls a microsecond.
pub(crate) fn wide_log() -> RateLimiterConfigBuilder {
    limit(1_000, Duration::from_micros(20))
}

/// One call a day.
pub(crate) fn narrow() -> RateLimiterConfigBuilder {
    limit(1, PATIENCE)
}

async fn call<S: Stack>(stack: &mut S, operation: Operation) -> Result<u64, S::Error> {
    stack.ready().await?.call(operation).await
}

fn full_with(places: usize, limit: RateLimiterLayer) -> impl Stack {
    type Refused = BulkheadServiceError<TimeLimiterError<Broken>>;
    let bulkhead = BulkheadLayer::builder()
        .max_concurrent_calls(places)
        .reject_when_full()
        .build()
        .expect("there is at least one place");
    let attempt = time_limiter(ATTEMPT).layer(service_fn(Operation::run));
    let judged = breaker(|answer: &Result<u64, Refused>| {
        matches!(answer, Err(BulkheadServiceError::Inner(_)))
    });
    let retried = retry(|error: &CircuitBreakerError<Refused>| {
        use {BulkheadServiceError as Bulkhead, CircuitBreakerError as Breaker};
        matches!(error, Breaker::Inner(Bulkhead::Inner(TimeLimiterError::Timeout)))
    });
    let inner = retried.layer(judged.layer(bulkhead.layer(attempt)));
    time_limiter(DEADLINE).layer(limit.layer(inner))
}

fn limit(calls: usize, period: Duration) -> RateLimiterConfigBuilder {
    RateLimiterLayer::builder()
        .limit_for_period(calls)
        .refresh_period(period)
        .timeout_duration(Duration::ZERO)
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
        .wait_duration_in_open(PATIENCE)
        .failure_classifier(is_failure);
    breaker.build().expect("the settings are valid")
}
