//! What a user can put together today: recloser, backon, tokio's semaphore and tokio's timeout.
//!
//! The same patterns in the same order, but for two that nobody offers on their own: a retry budget, and a
//! limit on attempts that is learned. So this contender does less work than ours, not more.

use std::{future::Future, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use recloser::{AsyncRecloser, Recloser};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    measure::{alone, begin_and_keep},
    operation::{Broken, Operation},
    rows::{ATTEMPT, DEADLINE, FAILURES_TO_OPEN, PLACES, RETRIES},
};

/// The parts.
#[derive(Clone, Debug)]
pub(crate) struct ByHand {
    breaker: AsyncRecloser,
    places: Arc<Semaphore>,
    backoff: ExponentialBuilder,
}

/// How a call ends without an answer.
#[derive(Debug)]
pub(crate) enum Error {
    Open,
    Full,
    TimedOut,
    Broken,
}

impl ByHand {
    pub(crate) fn new() -> Self {
        Self::with_places(PLACES)
    }

    /// With the breaker open.
    pub(crate) fn open() -> Self {
        let by_hand = Self::new();
        for _ in 0..FAILURES_TO_OPEN {
            drop(alone(std::pin::pin!(by_hand.full(Operation::Failing))));
        }
        by_hand
    }

    /// With the only place taken.
    pub(crate) fn crowded() -> Self {
        let by_hand = Self::with_places(1);
        let holder = by_hand.clone();
        begin_and_keep(async move { holder.full(Operation::Hanging).await });
        by_hand
    }

    /// Deadline, retry, circuit breaker, bulkhead, attempt limit.
    pub(crate) async fn full(&self, operation: Operation) -> Result<u64, Error> {
        let attempt = || async move {
            let _place = self.places.try_acquire().map_err(|_| Error::Full)?;
            limited(operation).await
        };
        timeout(DEADLINE, self.retried(attempt)).await.unwrap_or(Err(Error::TimedOut))
    }

    /// Retry, circuit breaker, attempt limit.
    pub(crate) fn four(
        &self,
        operation: Operation,
    ) -> impl Future<Output = Result<u64, Error>> + use<'_> {
        self.retried(move || limited(operation))
    }

    /// The circuit breaker.
    pub(crate) fn breaker(
        &self,
        operation: Operation,
    ) -> impl Future<Output = Result<u64, recloser::Error<Broken>>> + use<> {
        self.breaker.call(operation.run())
    }

    fn with_places(places: usize) -> Self {
        Self {
            breaker: AsyncRecloser::from(breaker()),
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
pub(crate) fn breaker() -> Recloser {
    Recloser::custom().open_wait(Duration::from_secs(600)).build()
}

async fn limited(operation: Operation) -> Result<u64, Error> {
    match timeout(ATTEMPT, operation.run()).await {
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
