//! A policy: patterns around an operation, in one fixed order, with the state they share.
//!
//! ```text
//!   deadline ▸ retry (budget) ▸ circuit breaker ▸ bulkhead ▸ attempt limit ▸ operation
//! ```
//!
//! The order does not depend on the order of the builder's lines: the breaker sees every attempt, an open one
//! ends the retries, and no wait is outside the deadline. State lives in the policy: cloned or used in ten
//! places, it is one limit and one breaker.

use std::{future::Future, sync::Arc, time::Duration};

use seawall_core::{
    AdaptiveTimeout, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Counts, Draw,
    EventRing, Instant, Invalid, Parts, Phase, Plan, Retry, RetryBudget, RetryConfig, Shared,
    TimeoutConfig,
};

use crate::{
    Attempt, Classify, Clock, Error, Held, Plain, PolicyConfig,
    caller::Caller,
    observe::{Events, Stream, Teller},
    shell::{Machines, Shell, ShellVisit},
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
pub struct Policy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    config: PolicyConfig,
    plan: Plan,
    clock: Clock,
    stream: Stream,
    shell: Shell<PolicyMachines>,
}

/// The machines of one policy.
#[derive(Debug)]
pub struct PolicyMachines {
    pub(crate) breaker: Option<CircuitBreaker>,
    pub(crate) budget: Option<RetryBudget>,
    pub(crate) bulkhead: Option<Bulkhead>,
    pub(crate) timeout: Option<AdaptiveTimeout>,
    pub(crate) counts: Counts,
    events: EventRing,
}

impl Policy {
    /// Starts a policy with this name and no patterns.
    pub fn builder(name: impl Into<Arc<str>>) -> PolicyBuilder {
        PolicyBuilder {
            name: name.into(),
            config: PolicyConfig::default(),
            clock: None,
            seed: None,
            stream: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The settings it was built from.
    #[must_use]
    pub fn config(&self) -> &PolicyConfig {
        &self.0.config
    }

    /// Runs an operation under the policy. Called again for every attempt.
    ///
    /// # Errors
    /// [`Error::Refused`] if a pattern refused before anything ran, [`Error::TimedOut`] if a limit cut the last
    /// attempt, [`Error::Failed`] with the operation's own last error otherwise.
    pub async fn run<T, E, F, Fut>(&self, mut operation: F) -> Result<T, Error<E>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call().run_with(move |_| operation()).await
    }

    /// As [`run`](Self::run); the operation is told which attempt it is and how much time is left.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_with<T, E, F, Fut>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call().run_with(operation).await
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
    pub fn run_blocking<T, E, F>(&self, mut operation: F) -> Result<T, Error<E>>
    where
        F: FnMut() -> Result<T, E>,
    {
        self.call().run_blocking(move |_| operation())
    }

    /// One call, to be given what this caller knows: a deadline of its own, that it must not be repeated.
    pub fn call(&self) -> Caller<'_> {
        Caller::new(self, &Plain)
    }

    /// The policy with a classifier: what an answer means.
    #[must_use]
    pub fn typed<T, E>(&self) -> Typed<T, E, Plain> {
        Typed { policy: self.clone(), classify: Plain, types: std::marker::PhantomData }
    }

    /// Where its breaker stands; `None` without one.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        let now = self.0.clock.now();
        self.read(|machines| machines.breaker.as_ref().map(|breaker| breaker.phase(now)))
    }

    /// Calls and attempts by how they ended.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.read(|machines| machines.counts)
    }

    /// Forces its breaker open or closed until [`release`](Self::release); nothing without a breaker.
    pub fn force(&self, open: bool) {
        self.with_breaker(|breaker, now| Some(breaker.force(open, now)));
    }

    /// Ends a forced state: closed, with nothing remembered.
    pub fn release(&self) {
        self.with_breaker(CircuitBreaker::release);
    }

    /// Transitions from now on.
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

    fn with_breaker(
        &self,
        change: impl FnOnce(&mut CircuitBreaker, Instant) -> Option<seawall_core::Transition>,
    ) {
        let now = self.0.clock.now();
        let mut visit = self.0.shell.visit((), now);
        let parts = seawall_core::Visit::parts(&mut visit);
        if let Some(breaker) = parts.gate
            && let Some(transition) = change(breaker, now)
        {
            parts.events.push(0, transition);
        }
    }
}

impl Shared for Policy {
    type Gate = Option<CircuitBreaker>;
    type Visit<'a> = ShellVisit<'a, PolicyMachines>;

    #[inline]
    fn visit(&self, now: Instant) -> Self::Visit<'_> {
        self.0.shell.visit((), now)
    }

    #[inline]
    fn plan(&self) -> &Plan {
        &self.0.plan
    }

    #[inline]
    fn draw(&self) -> Draw {
        self.0.shell.draw()
    }
}

impl Machines for PolicyMachines {
    type Gate = Option<CircuitBreaker>;
    type View = ();

    #[inline]
    fn parts(&mut self, (): ()) -> Parts<'_, Self::Gate> {
        Parts {
            gate: &mut self.breaker,
            budget: self.budget.as_mut(),
            bulkhead: self.bulkhead.as_mut(),
            timeout: self.timeout.as_mut(),
            counts: &mut self.counts,
            events: &mut self.events,
        }
    }
}

/// A policy that knows the types of its answers and what they mean. A view: the state is the policy's.
#[derive(Clone, Debug)]
pub struct Typed<T, E, C> {
    policy: Policy,
    classify: C,
    types: std::marker::PhantomData<fn(T, E)>,
}

impl<T, E, C> Typed<T, E, C> {
    /// Judges answers by `classify`.
    pub fn classify<D: Classify<T, E>>(self, classify: D) -> Typed<T, E, D> {
        Typed { policy: self.policy, classify, types: self.types }
    }
}

impl<T, E, C: Classify<T, E>> Typed<T, E, C> {
    /// One call.
    pub fn call(&self) -> Caller<'_, C> {
        Caller::new(&self.policy, &self.classify)
    }

    /// As [`Policy::run`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub async fn run<F, Fut>(&self, mut operation: F) -> Result<T, Error<E>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call().run_with(move |_| operation()).await
    }

    /// As [`Policy::run_blocking`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub fn run_blocking<F>(&self, mut operation: F) -> Result<T, Error<E>>
    where
        F: FnMut() -> Result<T, E>,
    {
        self.call().run_blocking(move |_| operation())
    }
}

/// Builds a [`Policy`]. Decide, in this order: how long a caller can wait ([`deadline`](Self::deadline)); whether the
/// operation may run twice ([`retry`](Self::retry)); when to stop calling ([`circuit_breaker`](Self::circuit_breaker));
/// how many at once ([`bulkhead`](Self::bulkhead)); how long one attempt may take ([`timeout`](Self::timeout)).
#[derive(Clone, Debug)]
#[must_use = "nothing is built before `build`"]
pub struct PolicyBuilder {
    name: Arc<str>,
    config: PolicyConfig,
    clock: Option<Clock>,
    seed: Option<u64>,
    stream: Option<Stream>,
}

impl PolicyBuilder {
    /// Limits the whole call, waits included. More than 0; without this line there is no limit.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = Some(deadline);
        self
    }

    /// Repeats attempts that failed.
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.config.retry = Some(retry);
        self
    }

    /// Stops calling what fails.
    pub fn circuit_breaker(mut self, circuit_breaker: CircuitBreakerConfig) -> Self {
        self.config.circuit_breaker = Some(circuit_breaker);
        self
    }

    /// Limits how many calls run at once.
    pub fn bulkhead(mut self, bulkhead: BulkheadConfig) -> Self {
        self.config.bulkhead = Some(bulkhead);
        self
    }

    /// Limits each attempt.
    pub fn timeout(mut self, timeout: TimeoutConfig) -> Self {
        self.config.timeout = Some(timeout);
        self
    }

    /// All settings at once, in place of those above.
    pub fn config(mut self, config: PolicyConfig) -> Self {
        self.config = config;
        self
    }

    /// Uses this clock instead of a fast one of its own.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Fixes all random numbers.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Tells transitions on this stream as well as others do.
    pub fn stream(mut self, stream: Stream) -> Self {
        self.stream = Some(stream);
        self
    }

    /// The policy.
    ///
    /// # Errors
    /// The first setting that makes no sense; [`PolicyConfig::check`] tells all of them.
    pub fn build(self) -> Result<Policy, Invalid> {
        let Self { name, config, clock, seed, stream } = self;
        let mut first = None;
        config.check(&mut |invalid| {
            first.get_or_insert(invalid);
        });
        if let Some(invalid) = first {
            return Err(invalid);
        }
        let machines = PolicyMachines {
            breaker: config.circuit_breaker.as_ref().map(CircuitBreaker::new).transpose()?,
            budget: config
                .retry
                .as_ref()
                .map(|retry| RetryBudget::new(retry.budget, retry.trickle)),
            bulkhead: config.bulkhead.as_ref().map(Bulkhead::new).transpose()?,
            timeout: config.timeout.clone().map(AdaptiveTimeout::new).transpose()?,
            counts: Counts::default(),
            events: EventRing::new(),
        };
        let plan = Plan {
            deadline: config.deadline,
            retry: config.retry.as_ref().map(Retry::new).transpose()?,
            attempt: config.timeout.as_ref().map(|timeout| timeout.attempt),
            ..Plan::default()
        };
        let stream = stream.unwrap_or_default();
        let teller = Teller::new(name.clone(), Arc::new([]), &stream);
        let shell = Shell::new(machines, teller, seed);
        let clock = clock.unwrap_or_default();
        Ok(Policy(Arc::new(Inner { name, config, plan, clock, stream, shell })))
    }
}
