//! What a user can put together today: governor, backon, recloser, tokio's semaphore and tokio's timeout.
//!
//! The same patterns in the same order, but for two: a retry budget by ratio, which would have to be shared by hand, and a
//! limit on attempts that is learned, which nobody offers. And nobody waits at its bulkhead. So this contender
//! does less work than ours, not more.

use std::{future::Future, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use governor::{DefaultDirectRateLimiter, Quota};
use recloser::{AsyncRecloser, Recloser};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    contender::Contender,
    measure::{alone, begin_and_keep},
    operation::{Broken, Operation, Running},
    rows::{ATTEMPT, BY_HAND, DEADLINE, FAILURES_TO_OPEN, PATIENCE, PLACES, RETRIES},
    singles::wide_quota,
};

/// The parts.
#[derive(Clone, Debug)]
pub(crate) struct ByHand {
    limit: Arc<DefaultDirectRateLimiter>,
    breaker: AsyncRecloser,
    places: Arc<Semaphore>,
    backoff: ExponentialBuilder,
}

/// How a call ends without an answer.
#[derive(Debug)]
pub(crate) enum Error {
    Limited,
    Open,
    Full,
    TimedOut,
    Broken,
}

impl ByHand {
    pub(crate) fn new() -> Self {
        Self::with(PLACES, wide_quota())
    }

    /// With the rate limit used up.
    pub(crate) fn limited() -> Self {
        let by_hand = Self::with(PLACES, Quota::with_period(PATIENCE).expect("it is not zero"));
        drop(alone(std::pin::pin!(by_hand.full(|| Operation::Ready.run()))));
        by_hand
    }

    /// With the breaker open.
    pub(crate) fn open() -> Self {
        let by_hand = Self::new();
        for _ in 0..FAILURES_TO_OPEN {
            drop(alone(std::pin::pin!(by_hand.full(|| Operation::Failing.run()))));
        }
        by_hand
    }

    /// With the only place taken.
    pub(crate) fn crowded() -> Self {
        let by_hand = Self::with(1, wide_quota());
        let holder = by_hand.clone();
        begin_and_keep(async move { holder.full(|| Operation::Hanging.run()).await });
        by_hand
    }

    /// The stack, whose answer to the operation, printed, contains `expected`.
    pub(crate) fn contender(self, expected: &'static str, operation: Operation) -> Contender {
        Contender::new(BY_HAND, expected, move || {
            let by_hand = self.clone();
            async move || by_hand.full(|| operation.run()).await
        })
    }

    /// Rate limit, deadline, retry, circuit breaker, bulkhead, attempt limit. The limit never waits, so it is asked before
    /// there is a timer.
    pub(crate) async fn full(&self, operation: impl Fn() -> Running) -> Result<u64, Error> {
        self.limit.check().map_err(|_| Error::Limited)?;
        let attempt = || async {
            let _place = self.places.try_acquire().map_err(|_| Error::Full)?;
            limited(&operation).await
        };
        timeout(DEADLINE, self.retried(attempt)).await.unwrap_or(Err(Error::TimedOut))
    }

    /// Retry, circuit breaker, attempt limit.
    pub(crate) async fn four(&self, operation: impl Fn() -> Running) -> Result<u64, Error> {
        self.retried(|| limited(&operation)).await
    }

    fn with(places: usize, quota: Quota) -> Self {
        Self {
            limit: Arc::new(DefaultDirectRateLimiter::direct(quota)),
            breaker: AsyncRecloser::from(recloser()),
            places: Arc::new(Semaphore::new(places)),
            backoff: ExponentialBuilder::new()
                .with_jitter()
                .with_min_delay(Duration::from_millis(100))
                .with_max_delay(Duration::from_secs(60))
                .with_max_times(RETRIES),
        }
    }

    async fn retried<F, Fut>(&self, mut attempt: F) -> Result<u64, Error>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<u64, Error>>,
    {
        let attempt = || self.breaker.call_with(is_failure, attempt());
        let answer = attempt.retry(self.backoff).when(is_retryable).await;
        answer.map_err(|error| match error {
            recloser::Error::Rejected => Error::Open,
            recloser::Error::Inner(error) => error,
        })
    }
}

/// A breaker of recloser's, which opens when half of the last hundred calls failed.
pub(crate) fn recloser() -> Recloser {
    Recloser::custom().open_wait(PATIENCE).build()
}

async fn limited(operation: impl Fn() -> Running) -> Result<u64, Error> {
    match timeout(ATTEMPT, operation()).await {
        Ok(answer) => answer.map_err(|Broken| Error::Broken),
        Err(_) => Err(Error::TimedOut),
    }
}

/// Our own refusals are not the callee's failures.
const fn is_failure(error: &Error) -> bool {
    matches!(error, Error::TimedOut | Error::Broken)
}

const fn is_retryable(error: &recloser::Error<Error>) -> bool {
    matches!(error, recloser::Error::Inner(Error::TimedOut))
}
