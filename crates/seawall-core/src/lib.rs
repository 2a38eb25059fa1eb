//! Failure engineering as pure machines: they decide, something else acts.
//!
//! ```text
//!   words        time  ratio  draw  outcome  permit  refusal  event  invalid
//!   arithmetic   backoff  budget  quantile
//!   machines     retry  circuit_breaker  bulkhead  rate_limit  timeout  pick
//!   composition  gate  plan  call
//! ```
//!
//! No clock, no random numbers, no locks, no I/O, no callbacks: all of these are arguments or results. So a
//! machine runs the same under a hardware clock, in a simulation of a million calls, and in a test that
//! writes the instants down.
//!
//! # Driving a machine
//!
//! 1. `new(config)` checks every setting; afterwards nothing is checked again.
//! 2. `advance(now)` until it returns `None`: what elapsed time has changed.
//! 3. `admit(now)`: a [`Permit`] or a [`Refusal`] that says who, why, and when to come back.
//! 4. `report(permit, end, now)` gives the permit back. A permit of an older epoch frees what it held and
//!    decides nothing.
//! 5. `wake_at()` is the next moment when time alone changes the answer.
//!
//! `now` may step back: then no time has passed. Changes of phase come back as [`Transition`]s, never through
//! a callback.
//!
//! ```
//! use core::time::Duration;
//! use seawall_core::{CircuitBreaker, CircuitBreakerConfig, End, Instant, Outcome, Phase};
//!
//! let mut breaker = CircuitBreaker::new(&CircuitBreakerConfig::default())?;
//! let mut now = Instant::ORIGIN;
//! for _ in 0..5 {
//!     let permit = breaker.admit(now)?;
//!     breaker.report(permit, End::new(Outcome::Failure, Duration::from_millis(30)), now);
//! }
//! assert_eq!(breaker.phase(now), Phase::Open);
//!
//! now = now + Duration::from_secs(60);
//! assert_eq!(breaker.phase(now), Phase::HalfOpen);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Call`] composes them, in one order, for every kind of driver.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod backoff;
mod budget;
mod bulkhead;
mod call;
mod circuit_breaker;
mod draw;
mod event;
mod gate;
mod invalid;
mod outcome;
mod permit;
mod pick;
mod plan;
mod priority;
mod quantile;
mod rate_limit;
mod ratio;
mod refusal;
mod retry;
mod time;
mod timeout;

pub use backoff::{Backoff, CustomBackoff, Jitter, Strategy};
pub use budget::{RetryBudget, RetryBudgetMemory, RetryBudgetSnapshot};
pub use bulkhead::{Bulkhead, BulkheadConfig, BulkheadMemory, BulkheadSnapshot};
pub use call::{
    Action, Ask, Call, Counts, Event, Finish, Limit, Line, Parts, Repeat, Shared, Tally, WAKE_LATE,
};
pub use circuit_breaker::{
    CircuitBreaker, CircuitBreakerConfig, CircuitBreakerMemory, CircuitBreakerSnapshot, Ended,
    Overridden, Override, Window, Windows,
};
pub use draw::{Draw, Draws};
pub use event::{Cause, EventRing, Numbered, Phase, Transition};
pub use gate::Gate;
pub use invalid::Invalid;
pub use outcome::{End, Outcome, Verdict};
pub use permit::{Admission, Permit, Ticket};
pub use pick::{EndpointSnapshot, Picker};
pub use plan::Plan;
pub use priority::Priority;
pub use quantile::Sketch;
pub use rate_limit::{
    Algorithm, LeakyBucket, Rate, RateLimitConfig, RateLimitMemory, RateLimitSnapshot, RateLimiter,
    Reserve, Shaper, SlidingWindowCounter, TokenBucket,
};
pub use ratio::Ratio;
pub use refusal::{Pattern, Reason, Refusal};
pub use retry::{Retry, RetryConfig, Stopped};
pub use time::Instant;
pub use timeout::{AdaptiveTimeout, Latencies, TimeoutConfig};
