//! A policy that knows what answers mean: a view, so that ten operations with ten kinds of answer share one state.

use std::{fmt, future::Future, marker::PhantomData};

use crate::{Caller, Classify, Error, Plain, Policy, Protection};

/// A policy that knows the types of its answers and what they mean. A view: the state is the policy's.
pub struct Typed<T, E, C, S = Policy> {
    shared: S,
    classify: C,
    types: PhantomData<fn(T, E)>,
}

// Not derived: that would ask of answers and errors what only the classifier needs.
impl<T, E, C: Clone, S: Clone> Clone for Typed<T, E, C, S> {
    fn clone(&self) -> Self {
        let Self { shared, classify, types } = self;
        Self { shared: shared.clone(), classify: classify.clone(), types: *types }
    }
}

impl<T, E, C, S: Protection> fmt::Debug for Typed<T, E, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed").field("policy", self.shared.name()).finish_non_exhaustive()
    }
}

impl<T, E, S: Protection> Typed<T, E, Plain, S> {
    pub(crate) const fn new(shared: S) -> Self {
        Self { shared, classify: Plain, types: PhantomData }
    }
}

impl<T, E, C, S: Protection> Typed<T, E, C, S> {
    /// Judges answers by `classify`.
    pub fn classify<D: Classify<T, E>>(self, classify: D) -> Typed<T, E, D, S> {
        Typed { shared: self.shared, classify, types: self.types }
    }
}

impl<T, E, C: Classify<T, E>, S: Protection> Typed<T, E, C, S> {
    /// One call.
    pub const fn call(&self) -> Caller<'_, C, S> {
        Caller::new(&self.shared, &self.classify)
    }

    /// As [`Policy::run`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub fn run<F, Fut>(&self, mut operation: F) -> impl Future<Output = Result<T, Error<E>>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call().run_with(move |_| operation())
    }

    /// As [`Policy::run_blocking`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub fn run_blocking<F>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnMut() -> Result<T, E>,
    {
        self.call().run_blocking(operation)
    }
}
