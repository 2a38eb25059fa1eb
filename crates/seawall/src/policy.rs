//! A policy: patterns around an operation, in one fixed order, with the state they share.
//!
//! ```text
//!   deadline ▸ rate limit ▸ retry (budget) ▸ circuit breaker ▸ bulkhead ▸ attempt limit ▸ operation
//! ```
//!
//! The order does not depend on the order of the builder's lines: the breaker sees every attempt, an open one
//! ends the retries, and no wait is outside the deadline. State lives in the policy: cloned or used in ten
//! places, it is one limit and one breaker.

mod driven;

use std::{future::Future, sync::Arc};

use seawall_core::{
    AdaptiveTimeout, Bulkhead, CircuitBreaker, Counts, EventRing, Instant, Line, Override, Parts,
    Phase, Plan, RateLimiter, RetryBudget, Shared,
};

use crate::{
    Attempt, Clock, Error, Held, Plain, PolicyBuilder, PolicyConfig, Typed,
    attempt::KeptLimits,
    caller::Caller,
    observe::{Events, Stream},
    pooled::{Pool, PoolSnapshot},
    shared::Handles,
    shell::{Machines, Shell},
};

/// Patterns around an operation. Cheap to clone; clones share everything.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use seawall::{CircuitBreakerConfig, Policy, RetryConfig};
///
/// let payments = Policy::builder("payments")
///     .deadline(Duration::from_secs(2))
///     .retry(RetryConfig::default())
///     .circuit_breaker(CircuitBreakerConfig::default())
///     .build()?;
///
/// let quote = payments.run(|| async { Ok::<_, std::io::Error>(42) }).await?;
/// assert_eq!(quote, 42);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Policy(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) name: Arc<str>,
    pub(crate) config: PolicyConfig,
    pub(crate) clock: Clock,
    pub(crate) stream: Stream,
    pub(crate) shell: Shell<PolicyMachines>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) limits: KeptLimits,
    /// Parts that are others' too; `None` if all are its own.
    pub(crate) shared: Option<Box<Handles>>,
}

/// The machines of one policy. Each in a box: whether there is one is then the pointer itself, and to show them all
/// to a visitor costs a load for each.
#[derive(Debug)]
pub struct PolicyMachines {
    pub(crate) plan: Plan,
    /// Running calls that the breaker looks at.
    pub(crate) running: u8,
    /// With which other machines join; each reload begins one.
    pub(crate) era: u32,
    pub(crate) limiter: Option<Box<RateLimiter>>,
    pub(crate) breaker: Option<CircuitBreaker>,
    pub(crate) budget: Option<Box<RetryBudget>>,
    pub(crate) bulkhead: Option<Box<Bulkhead>>,
    pub(crate) timeout: Option<Box<AdaptiveTimeout>>,
    /// When its callee answered last, while what it learns is lent to others.
    pub(crate) answered: Instant,
    pub(crate) counts: Counts,
    pub(crate) events: EventRing,
}

impl Policy {
    /// Starts a policy with this name and no patterns.
    pub fn builder(name: impl Into<Arc<str>>) -> PolicyBuilder {
        PolicyBuilder::new(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The settings it was built from; of a part that is shared by handle, none.
    #[must_use]
    pub fn config(&self) -> &PolicyConfig {
        &self.0.config
    }

    /// Runs an operation under the policy. Called again for every attempt.
    ///
    /// # Errors
    /// [`Error::Refused`] if a pattern refused before anything ran, [`Error::TimedOut`] if a limit cut the last
    /// attempt, [`Error::Failed`] with the operation's own last error otherwise.
    pub fn run<T, E, F, Fut>(&self, mut operation: F) -> impl Future<Output = Result<T, Error<E>>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call().run_with(move |_| operation())
    }

    /// As [`run`](Self::run); the operation is told which attempt it is and how much time is left.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with<T, E, F, Fut>(&self, operation: F) -> impl Future<Output = Result<T, Error<E>>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call().run_with(operation)
    }

    /// As [`run_with`](Self::run_with) up to the head of a streamed answer: the call goes on, with its place in the
    /// bulkhead, until the [`Held`] beside the value is told how the rest went, or dropped.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_held<T, E, F, Fut>(&self, operation: F) -> Result<(T, Held<Self>), Error<E>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call().run_held(operation).await
    }

    /// Runs an operation on this thread. Waits between attempts obey the deadline; a running operation cannot be
    /// interrupted, and its answer counts and is returned however late it comes.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_blocking<T, E, F>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnMut() -> Result<T, E>,
    {
        self.call().run_blocking(operation)
    }

    /// As [`run_blocking`](Self::run_blocking); the operation is told what that of [`run_with`](Self::run_with) is.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_blocking_with<T, E, F>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnMut(Attempt) -> Result<T, E>,
    {
        self.call().run_blocking_with(operation)
    }

    /// Runs an operation on threads of the policy's own while this thread waits: unlike with
    /// [`run_blocking`](Self::run_blocking) a limit ends the wait. The thread cannot be killed and owns the operation
    /// until it ends; there are as many as the bulkhead has places, or 100.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use seawall::{Error, Policy};
    ///
    /// let slow = Policy::builder("slow").deadline(Duration::from_millis(10)).build()?;
    /// let late = slow.run_pooled(|| Ok::<_, ()>(std::thread::park_timeout(Duration::from_secs(1))));
    /// assert!(matches!(late, Err(Error::TimedOut(_))));
    /// # Ok::<(), seawall::Invalids>(())
    /// ```
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Panics
    /// If the operation does.
    pub fn run_pooled<T, E, F>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: Fn() -> Result<T, E> + Send + Sync + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        self.call().run_pooled(operation)
    }

    /// The threads of [`run_pooled`](Self::run_pooled).
    #[must_use]
    pub fn pool_snapshot(&self) -> PoolSnapshot {
        self.0.pool.snapshot()
    }

    /// One call, to be given what this caller knows: a deadline of its own, that it must not be repeated.
    pub fn call(&self) -> Caller<'_> {
        Caller::new(self, &Plain)
    }

    /// The policy with a classifier: what an answer means.
    #[must_use]
    pub fn typed<T, E>(&self) -> Typed<T, E, Plain> {
        Typed::new(self.clone())
    }

    /// Where its breaker stands; `None` without one.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        let now = self.0.clock.now();
        let phase =
            |machines: &PolicyMachines| machines.breaker.as_ref().map(|breaker| breaker.phase(now));
        self.whose(|shared| shared.breaker.as_ref()).read(phase)
    }

    /// Calls and attempts by how they ended.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.read(|machines| machines.counts)
    }

    /// Overrides its breaker until the time of that is over or [`release`](Self::release); nothing without a breaker.
    /// Reason and end are in its [`snapshot`](Self::snapshot).
    pub fn force(&self, said: Override) {
        self.with_breaker(|breaker, now| breaker.force(said, now));
    }

    /// Ends an override: closed, with nothing remembered.
    pub fn release(&self) {
        self.with_breaker(CircuitBreaker::release);
    }

    /// Transitions from now on; those of a shared breaker are told by its handle. Attempts that did not succeed too,
    /// if that is [asked for](Events::with_attempts).
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.stream.listen()
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn read<R>(&self, reader: impl FnOnce(&PolicyMachines) -> R) -> R {
        self.0.shell.read(reader)
    }

    /// Who keeps a part: another, if it is shared.
    pub(crate) fn whose(&self, part: impl FnOnce(&Handles) -> Option<&Self>) -> &Self {
        self.0.shared.as_deref().and_then(part).unwrap_or(self)
    }

    /// Who keeps a line.
    fn line(&self, line: Line) -> &Self {
        self.whose(|shared| match line {
            Line::RateLimit => shared.limiter.as_ref(),
            Line::Bulkhead => shared.bulkhead.as_ref(),
        })
    }

    fn with_breaker(
        &self,
        change: impl FnOnce(&mut CircuitBreaker, Instant) -> Option<seawall_core::Transition>,
    ) {
        let now = self.0.clock.now();
        self.visit(now, |parts| {
            if let Some(breaker) = parts.gate
                && let Some(transition) = change(breaker, now)
            {
                parts.events.push(0, transition);
            }
        });
    }
}

impl Machines for PolicyMachines {
    type Gate = Option<CircuitBreaker>;
    type View = ();

    #[inline]
    fn parts(&mut self, (): ()) -> Parts<'_, Self::Gate> {
        Parts {
            plan: &self.plan,
            limiter: self.limiter.as_deref_mut(),
            gate: &mut self.breaker,
            budget: self.budget.as_deref_mut(),
            bulkhead: self.bulkhead.as_deref_mut(),
            timeout: self.timeout.as_deref_mut(),
            counts: &mut self.counts,
            events: &mut self.events,
        }
    }
}
