//! The patterns one by one, for whoever needs no policy, or drives by hand.
//!
//! ```text
//!   CircuitBreaker    run · permit, and say how it went
//!   Bulkhead          run · acquire a slot, which is free again when it is dropped
//!   RateLimiter       run · try_acquire · acquire, which waits for the tokens
//!   Retry             run
//!   AdaptiveTimeout   run · record, and ask for the limit
//! ```
//!
//! A component is a policy of one pattern: it runs an operation through the same engine, and by hand through the same
//! machine of a call, whose operation is then the caller's own code. So nothing is decided twice, and the rules of how
//! an attempt ends hold here too. Cheap to clone; clones are the same component.

mod bulkhead;
mod by_hand;
mod circuit_breaker;
mod rate_limiter;
mod retry;
mod timeout;

pub use self::{
    bulkhead::{Bulkhead, Slot},
    by_hand::Acquire,
    circuit_breaker::{CircuitBreaker, Permit},
    rate_limiter::{LeakyBucket, RateLimiter, Shaper, SlidingWindowCounter, TokenBucket},
    retry::{Retry, RetryBudget},
    timeout::AdaptiveTimeout,
};

/// What all components can do: be made, be told apart, run an operation, be seen.
macro_rules! component {
    ($component:ident, $pattern:ident: $config:ty, built by $builder:expr) => {
        impl $component {
            /// With this name, on the fast clock.
            ///
            /// # Errors
            /// All settings that make no sense, and a name that is none.
            pub fn new(
                name: impl Into<std::sync::Arc<str>>,
                config: $config,
            ) -> Result<Self, crate::Invalids> {
                Self::with_clock(name, config, crate::Clock::default())
            }

            /// With this name, on this clock.
            ///
            /// # Errors
            /// All settings that make no sense, and a name that is none.
            pub fn with_clock(
                name: impl Into<std::sync::Arc<str>>,
                config: $config,
                clock: crate::Clock,
            ) -> Result<Self, crate::Invalids> {
                Self::builder(name.into(), Self::alone(config)).clock(clock).build().map(Self)
            }

            /// Its name, as refusals and statistics tell it.
            #[must_use]
            pub fn name(&self) -> &std::sync::Arc<str> {
                self.0.name()
            }

            /// Its clock.
            #[must_use]
            pub fn clock(&self) -> &crate::Clock {
                self.0.clock()
            }

            /// Runs an operation under it.
            ///
            /// # Errors
            /// As [`Policy::run`](crate::Policy::run).
            pub fn run<T, E, F, Fut>(
                &self,
                operation: F,
            ) -> impl Future<Output = Result<T, crate::Error<E>>>
            where
                F: FnMut() -> Fut,
                Fut: Future<Output = Result<T, E>>,
            {
                self.0.run(operation)
            }

            /// Runs an operation under it on this thread, which nothing can interrupt. Needs no runtime.
            ///
            /// # Errors
            /// As [`Policy::run`](crate::Policy::run).
            pub fn run_blocking<T, E, F>(&self, operation: F) -> Result<T, crate::Error<E>>
            where
                F: FnMut() -> Result<T, E>,
            {
                self.0.run_blocking(operation)
            }

            /// One call, to be given what this caller knows: a deadline, how urgent it is, what an answer means.
            pub fn call(&self) -> crate::Caller<'_> {
                self.0.call()
            }

            /// Goes on under other settings of its one pattern, for all who share it; as
            /// [`Policy::reload`](crate::Policy::reload) has it, which takes those of all patterns of a policy.
            ///
            /// # Errors
            /// All settings that make no sense; then nothing has changed.
            pub fn reconfigure(
                &self,
                config: $config,
            ) -> Result<crate::Reloaded, crate::Invalids> {
                self.0.reload(&Self::alone(config))
            }

            /// Settings with this pattern alone.
            pub(crate) fn alone(config: $config) -> crate::PolicyConfig {
                crate::PolicyConfig { $pattern: Some(config), ..crate::PolicyConfig::default() }
            }

            /// One with the settings of this pattern alone.
            pub(crate) fn builder(
                name: std::sync::Arc<str>,
                config: crate::PolicyConfig,
            ) -> crate::PolicyBuilder {
                $builder(crate::Policy::builder(name).config(config))
            }
        }

        impl crate::Observed for $component {
            fn observe(&self, snapshot: &mut crate::Snapshot) {
                self.0.observe_patterns(snapshot);
            }
        }
    };
    ($component:ident, $pattern:ident: $config:ty) => {
        component!($component, $pattern: $config, built by std::convert::identity);
    };
}
pub(crate) use component;

/// A component is made with its machine, and other settings keep it.
const KEPT: &str = "a component keeps its machine";
