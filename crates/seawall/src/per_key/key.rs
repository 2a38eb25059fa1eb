//! The policy of one key: a place in the table, held for as long as anybody may come back to it.

use std::{
    fmt::{self, Display},
    future::Future,
    hash::Hash,
    sync::Arc,
    task::Waker,
};

use seawall_core::{CircuitBreaker, Draw, Instant, Line, Parts, Phase, Shared, Transition};

use super::{Inner, machines::KeyedMachines};
use crate::{
    Attempt, Caller, Clock, Driven, Error, Held, Machines, Plain, Protection, StepLimits, Teller,
    Typed, keyed::OVERFLOW, pooled::Job,
};

/// What a key can be. Written out in events, so one that is a secret should be of a type that does not print it. How it
/// is written is its own affair; how it is hashed, compared, cloned, made and dropped must not come back to its policy,
/// which is locked meanwhile.
///
/// [`PerKey::key`](super::PerKey::key) asks by a borrowed form and makes the key of it only if it is new, so the key is
/// `From` a reference to what it is asked by: an `Arc<str>` or a `String` by `&str`. A number is not, and needs a type:
///
/// ```
/// # use seawall::{Policy, RetryConfig};
/// #[derive(Clone, PartialEq, Eq, Hash)]
/// struct Tenant(u64);
///
/// impl From<&Tenant> for Tenant {
///     fn from(tenant: &Tenant) -> Self {
///         tenant.clone()
///     }
/// }
///
/// impl std::fmt::Display for Tenant {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         self.0.fmt(f)
///     }
/// }
///
/// let tenants = Policy::builder("tenants").retry(RetryConfig::default()).per_key::<Tenant>().build()?;
/// assert!(tenants.key(&Tenant(7)).run_blocking(|| Ok::<_, ()>(())).is_ok());
/// # Ok::<(), seawall::Invalids>(())
/// ```
pub trait AnyKey: Hash + Eq + Clone + Display + Send + 'static {}

impl<K: Hash + Eq + Clone + Display + Send + 'static> AnyKey for K {}

/// The policy of one key. Made by [`PerKey::key`](super::PerKey::key).
pub struct Key<K: AnyKey = Arc<str>> {
    shared: Arc<Inner<K>>,
    place: u32,
}

impl<K: AnyKey> Key<K> {
    /// Takes over one use of the place.
    pub(super) const fn new(shared: Arc<Inner<K>>, place: u32) -> Self {
        Self { shared, place }
    }

    /// Whether there was no room for the key, and it shares one cell with all others of which that is true.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.place == OVERFLOW
    }

    /// Where its breaker stands; `None` without one.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        let now = self.clock().now();
        self.visit(now, |parts| parts.gate.as_ref().map(|breaker| breaker.phase(now)))
    }

    /// As [`Policy::run`](crate::Policy::run).
    ///
    /// # Errors
    /// As [`Policy::run`](crate::Policy::run).
    pub fn run<T, E, F, Fut>(&self, operation: F) -> impl Future<Output = Result<T, Error<E>>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call().run(operation)
    }

    /// As [`Policy::run_with`](crate::Policy::run_with).
    ///
    /// # Errors
    /// As [`Policy::run`](crate::Policy::run).
    pub fn run_with<T, E, F, Fut>(&self, operation: F) -> impl Future<Output = Result<T, Error<E>>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call().run_with(operation)
    }

    /// As [`Policy::run_held`](crate::Policy::run_held).
    ///
    /// # Errors
    /// As [`Policy::run`](crate::Policy::run).
    pub async fn run_held<T, E, F, Fut>(&self, operation: F) -> Result<(T, Held<Self>), Error<E>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call().run_held(operation).await
    }

    /// As [`Policy::run_blocking`](crate::Policy::run_blocking).
    ///
    /// # Errors
    /// As [`Policy::run`](crate::Policy::run).
    pub fn run_blocking<T, E, F>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnMut() -> Result<T, E>,
    {
        self.call().run_blocking(operation)
    }

    /// As [`Policy::run_blocking_with`](crate::Policy::run_blocking_with).
    ///
    /// # Errors
    /// As [`Policy::run`](crate::Policy::run).
    pub fn run_blocking_with<T, E, F>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnMut(Attempt) -> Result<T, E>,
    {
        self.call().run_blocking_with(operation)
    }

    /// As [`Policy::run_pooled`](crate::Policy::run_pooled). The threads are those of all keys.
    ///
    /// # Errors
    /// As [`Policy::run`](crate::Policy::run).
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

    /// One call, to be given what this caller knows.
    pub const fn call(&self) -> Caller<'_, Plain, Self> {
        Caller::new(self, &Plain)
    }

    /// The policy of this key with a classifier: what an answer means.
    #[must_use]
    pub fn typed<T, E>(&self) -> Typed<T, E, Plain, Self> {
        Typed::new(self.clone())
    }

    /// Whether there is a breaker to change.
    pub(super) fn with_breaker(
        &self,
        change: impl FnOnce(&mut CircuitBreaker, Instant) -> Option<Transition>,
    ) -> bool {
        let now = self.clock().now();
        self.visit(now, |parts| {
            let Some(breaker) = parts.gate else { return false };
            if let Some(transition) = change(breaker, now) {
                parts.events.push(0, transition);
            }
            true
        })
    }
}

impl<K: AnyKey> Clone for Key<K> {
    fn clone(&self) -> Self {
        self.shared.shell.with(|machines| machines.enter_again(self.place));
        Self { shared: self.shared.clone(), place: self.place }
    }
}

impl<K: AnyKey> Drop for Key<K> {
    #[inline]
    fn drop(&mut self) {
        self.shared.shell.with(|machines| machines.leave(self.place));
    }
}

impl<K: AnyKey> fmt::Debug for Key<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shared, place } = self;
        f.debug_struct("Key").field("policy", &shared.name).field("place", place).finish()
    }
}

impl<K: AnyKey> Shared for Key<K> {
    type Gate = Option<CircuitBreaker>;

    #[inline]
    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, Self::Gate>) -> R) -> R {
        self.shared.shell.visit(self.place, now, step)
    }

    #[inline]
    fn draw(&self) -> Draw {
        self.shared.shell.draw()
    }
}

impl<K: AnyKey> Driven for Key<K> {
    #[inline]
    fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    fn park(&self, line: Line, place: usize, waker: &Waker) -> bool {
        self.shared.shell.park(self.place, line, place, waker)
    }

    fn forget(&self, line: Line, place: usize) {
        self.shared.shell.forget(self.place, line, place);
    }

    #[inline]
    fn limits(&self) -> StepLimits {
        self.shared.limits.now()
    }

    fn teller(&self) -> Option<&Teller> {
        Some(self.shared.shell.teller())
    }

    fn whose(&self) -> Option<Arc<str>> {
        let write = self.shared.shell.read(|machines| machines.whose(self.place));
        write.map(|write| write())
    }
}

impl<K: AnyKey> Protection for Key<K> {
    #[inline]
    fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    fn is_shared(&self) -> bool {
        // Its own, which everybody can ask.
        Self::is_shared(self)
    }

    fn submit(&self, job: Job) -> u32 {
        let threads = self.shared.shell.read(KeyedMachines::pool_threads);
        self.shared.pool.submit(threads.unwrap_or(THREADS), job)
    }

    fn leave_job(&self, number: u32) -> bool {
        self.shared.pool.leave(number)
    }
}

/// As many as of a policy without a bulkhead: the keys' own say how many calls of a key run, not of all.
const THREADS: u32 = 100;
