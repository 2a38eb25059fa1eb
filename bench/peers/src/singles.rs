//! Libraries for one pattern, alone around the operation, as their users call them.
//!
//! Each is a contender, named after its library. Limits are so far away that none is ever met. What tower keeps
//! by service and not by clone (its rate limit) is made anew for each thread.

use std::{
    future::{Ready, ready},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use failsafe::{
    FailurePolicy, StateMachine, backoff,
    failure_policy::{consecutive_failures, success_rate_over_time_window},
    futures::CircuitBreaker,
};
use governor::{DefaultDirectRateLimiter, Quota};
use recloser::AsyncRecloser;
use tokio::{sync::Semaphore, time::timeout};
use tower::{
    Layer, Service, ServiceExt,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    retry::{
        Policy, RetryLayer,
        budget::{Budget, TpsBudget},
    },
    service_fn,
    timeout::TimeoutLayer,
};

use crate::{
    by_hand::recloser as breaker,
    contender::Contender,
    operation::{Broken, Operation},
    rows::{ANSWERED, ATTEMPT, PATIENCE, PLACES, RETRIES},
};

pub(crate) const BACKON: &str = "backon";
pub(crate) const FAILSAFE: &str = "failsafe";
pub(crate) const GOVERNOR: &str = "governor";
pub(crate) const RECLOSER: &str = "recloser";
pub(crate) const TOKIO: &str = "tokio";
pub(crate) const TOWER: &str = "tower";

/// Opens when half of the last hundred calls failed: the only rule it has.
pub(crate) fn recloser() -> Contender {
    let breaker = AsyncRecloser::from(breaker());
    Contender::new(RECLOSER, ANSWERED, move || {
        let breaker = breaker.clone();
        async move || breaker.call(Operation::Ready.run()).await
    })
}

/// Opens after five failures in a row.
pub(crate) fn failsafe_in_a_row() -> Contender {
    failsafe(failsafe_machine())
}

/// Opens when half of the calls of ten seconds failed; a moving average in whole seconds.
pub(crate) fn failsafe_over_time() -> Contender {
    let (window, again) = (Duration::from_secs(10), backoff::constant(PATIENCE));
    failsafe(machine(success_rate_over_time_window(0.5, 20, window, again)))
}

/// The machine behind it, which locks and shares itself.
pub(crate) fn failsafe_machine() -> StateMachine<impl FailurePolicy + Send + Sync + 'static, ()> {
    machine(consecutive_failures(5, backoff::constant(PATIENCE)))
}

/// Retries without a budget.
pub(crate) fn backon() -> Contender {
    let backoff = ExponentialBuilder::new()
        .with_jitter()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(60))
        .with_max_times(RETRIES);
    Contender::new(BACKON, ANSWERED, move || {
        async move || (|| Operation::Ready.run()).retry(backoff).await
    })
}

/// Retries with its budget of ten seconds.
pub(crate) fn tower_retry() -> Contender {
    let retry = RetryLayer::new(Budgeted(Arc::default()));
    tower(move || retry.layer(service_fn(Operation::run)))
}

/// Waits without a bound if there is no place.
pub(crate) fn semaphore() -> Contender {
    let places = Arc::new(Semaphore::new(PLACES));
    Contender::new(TOKIO, ANSWERED, move || {
        let places = places.clone();
        async move || {
            let _place = places.acquire().await.expect("nobody closes it");
            Operation::Ready.run().await
        }
    })
}

/// Likewise.
pub(crate) fn tower_concurrency() -> Contender {
    let limit = ConcurrencyLimitLayer::new(PLACES);
    let service = limit.layer(service_fn(Operation::run));
    tower(move || service.clone())
}

pub(crate) fn tokio_timeout() -> Contender {
    Contender::new(TOKIO, ANSWERED, || async || timeout(ATTEMPT, Operation::Ready.run()).await)
}

pub(crate) fn tower_timeout() -> Contender {
    let limit = TimeoutLayer::new(ATTEMPT);
    tower(move || limit.layer(service_fn(Operation::run)))
}

/// A leaky bucket as a meter, by the algorithm GCRA: what a token bucket admits.
pub(crate) fn governor() -> Contender {
    let limit = Arc::new(DefaultDirectRateLimiter::direct(wide_quota()));
    Contender::new(GOVERNOR, ANSWERED, move || {
        let limit = limit.clone();
        async move || match limit.check() {
            Ok(()) => Operation::Ready.run().await.map_err(|Broken| None),
            Err(not_until) => Err(Some(not_until)),
        }
    })
}

/// The same, which waits for its turn; bursts are allowed.
pub(crate) fn governor_waiting() -> Contender {
    let limit = Arc::new(DefaultDirectRateLimiter::direct(wide_quota()));
    Contender::new(GOVERNOR, ANSWERED, move || {
        let limit = limit.clone();
        async move || {
            limit.until_ready().await;
            Operation::Ready.run().await
        }
    })
}

/// A fixed window, which lets twice its rate through at its edges.
pub(crate) fn tower_rate_limit() -> Contender {
    tower(|| {
        RateLimitLayer::new(u64::MAX, Duration::from_secs(1)).layer(service_fn(Operation::run))
    })
}

/// A call a nanosecond, the finest governor counts.
pub(crate) const fn wide_quota() -> Quota {
    Quota::per_second(NonZeroU32::new(1_000_000_000).expect("it is not zero"))
}

fn failsafe<P: FailurePolicy + Send + Sync + 'static>(breaker: StateMachine<P, ()>) -> Contender {
    Contender::new(FAILSAFE, ANSWERED, move || {
        let breaker = breaker.clone();
        async move || breaker.call(Operation::Ready.run()).await
    })
}

fn machine<P: FailurePolicy>(policy: P) -> StateMachine<P, ()> {
    failsafe::Config::new().failure_policy(policy).build()
}

fn tower<S>(service: impl Fn() -> S + Send + Sync + 'static) -> Contender
where
    S: Service<Operation, Response = u64, Error: std::fmt::Debug> + 'static,
{
    Contender::new(TOWER, ANSWERED, move || {
        let mut service = service();
        async move || service.ready().await?.call(Operation::Ready).await
    })
}

/// tower's retry is a policy to be written: this is the one of its budget's own example, without a delay.
#[derive(Clone, Debug)]
struct Budgeted(Arc<TpsBudget>);

impl Policy<Operation, u64, Broken> for Budgeted {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Operation,
        answer: &mut Result<u64, Broken>,
    ) -> Option<Self::Future> {
        if answer.is_ok() {
            self.0.deposit();
            return None;
        }
        self.0.withdraw().then(|| ready(()))
    }

    fn clone_request(&mut self, operation: &Operation) -> Option<Operation> {
        Some(*operation)
    }
}
