//! The guide's names for what has another name here, and those that are the same, in one place to import from.
//!
//! ```text
//!   the guide's name ── pub use … as … ──▸ ours
//! ```
//!
//! Nothing but names: whoever knows the guide finds what it speaks of, and its documentation. What its methods and
//! settings are called, and which of them are in other units, is a table in `docs/guide.md`.
//!
//! ```
//! use seawall::guide::{CircuitBreaker, CircuitBreakerConfig, CircuitState};
//!
//! let breaker = CircuitBreaker::new("database", CircuitBreakerConfig::default())?;
//! assert_eq!(breaker.phase(), CircuitState::Closed);
//! # Ok::<(), seawall::Invalids>(())
//! ```

pub use crate::{
    AdaptiveTimeout, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, LeakyBucket,
    Priority as PriorityLevel, RateLimitConfig, Refused as BulkheadFullError,
    Refused as CircuitBreakerOpenError, Registry as DistributedResilienceService,
    Retry as RetryManager, RetryBudget, RetryConfig, SlidingWindowCounter,
    Strategy as RetryStrategy, TimeoutConfig, TokenBucket,
    core::{Phase as CircuitState, Refusal as RetryBudgetExhaustedError},
    registry::global as get_resilience_service,
};
