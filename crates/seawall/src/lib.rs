//! Failure engineering for calls to other services: one [`Policy`] around an operation.
//!
//! ```text
//!   doors     component one pattern by itself, driven by hand or around an operation
//!             caller    run · run_held · run_blocking, and what one caller knows
//!   engine    run       the async driver      blocking   the same on a thread
//!             attempt   what an operation is told, and limits on its steps
//!             guard     gives everything back, whatever happens
//!             deadline  by when what runs now must end, and how calls inside it inherit that
//!   judging   classify  what an answer means  error      what the caller reads
//!             typed     a policy that knows its answers
//!   state     builder   which patterns        policy     their state, shared by all clones
//!             shared    parts that are others' too  per_key    a policy for each key
//!             shell     behind a short mutex  keyed      one machine for each key, bounded
//!             clock     now, and waiting for later
//!   seeing    registry  all by name           snapshot   statistics      observe   transitions, attempts
//!   settings  policy_config                   origin     where each came from
//!             name      what one may be called   invalids  all that makes no sense, and whose
//!             config    from files (feature `config`)
//!   names     guide     the guide's, for what has another here
//!   ─────────────────────────────────────────────────────────────────────────────────────────
//!   core      decides; knows no clock, lock or runtime
//! ```
//!
//! In a project beside a checkout of this one, or with `{ git = "…" }` in place of the path:
//!
//! ```toml
//! [dependencies]
//! seawall = { path = "../seawall/crates/seawall" }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread", "time"] }
//! ```
//!
#![doc = "```"]
#![doc = include_str!("../examples/thirty_lines.rs")]
#![doc = "```"]
//!
//! - `run`, `run_blocking` and `run_pooled` take a closure without an argument, called anew for each attempt. `run_with`,
//!   `run_blocking_with`, `run_reported` and `run_held` hand it the [`Attempt`]. So it is after [`Policy::call`] too, which adds
//!   what one caller knows: `priority`, `deadline`, `cost`, `no_retry`, `classify`.
//! - The future may borrow what is outside the closure; what a closure by `move` owns it clones for each attempt.
//! - Shares and factors are a [`Ratio`]: `Ratio::percent(10)`, or `Ratio::from_f64(1.5)`, an `Option`. The other settings
//!   that are not plain: [`Rate`], [`Jitter`], [`Window`], and `Some(…)` where a setting can be absent.
//!
//! # The order of the patterns
//!
//! Outside in, whatever the order of the builder's lines:
//!
//! ```text
//!   deadline ▸ rate limit ▸ retry (budget) ▸ circuit breaker ▸ bulkhead ▸ attempt limit ▸ operation
//! ```
//!
//! So a rate limit counts calls, and attempts only if [`limit_each_attempt`](RateLimitConfig::limit_each_attempt) says so;
//! the breaker judges every attempt, an open one ends the retries, a full bulkhead says nothing about the
//! callee, and no wait is outside the deadline. Build a policy once and clone it: clones share all state. A
//! policy built anew for every call remembers nothing and protects nothing.
//!
//! # Parts that several share
//!
//! A [`CircuitBreaker`], [`Bulkhead`], [`RateLimiter`], [`RetryBudget`] or [`AdaptiveTimeout`] of its own name can be given to several
//! policies instead of settings. What one of them does to it, all see; it is shown, told and set anew by its own handle,
//! and a reload of a policy leaves it alone. All go by one clock.
//!
//! # How an attempt ends
//!
//! | end | for the breaker | for the caller |
//! | --- | --- | --- |
//! | an answer | as the classifier says; `Ok` good, `Err` bad without one | the last answer, when nothing follows |
//! | its own limit passes, as configured | a failure | a retry, or [`Error::TimedOut`] |
//! | the learned limit cuts it, so that another may follow | by its age: a failure once it is *late*, else nothing | a retry |
//! | the deadline passes, or the caller goes away | by its age: a failure once it is *late*, else nothing | [`Error::TimedOut`], or nothing |
//! | a panic | a failure | the same panic |
//!
//! *Late* is the breaker's [`slow_after`](CircuitBreakerConfig::slow_after) if that is set and below the policy's deadline; else
//! the learned limit; until there is one a second, or half the policy's deadline if that is less. Where another call has succeeded
//! since it began, nothing is late before that second, or half. However it ends, the operation's future is dropped first
//! and every permit returns. A thread cannot be cut: [`run_blocking`](Policy::run_blocking) returns late answers and
//! counts them.
//!
//! # Deadlines
//!
//! A call ends by the least of its own deadline, its policy's, and that of the call whose operation it is made in.
//! Across `spawn` or to another thread, [`Deadline`] carries it. What such an inner call then cannot do any more says
//! nothing about the callee: a failure that comes with the deadline is judged by its age, like what was cut.
//!
//! # Budgets
//!
//! Retries are at most a tenth of the calls, and three. When a service is down, "retry_budget exhausted" in an
//! error means that the policy is holding back: first attempts are never refused by the budget, and it
//! recovers with traffic. Turn [`trickle`](RetryConfig::trickle) on for a service with few calls.
//!
//! # Clocks
//!
//! [`Clock::fast`] is the default and waits by tokio's timers, so async calls need a runtime with time. Tests
//! use [`Clock::manual`], which needs none, or [`Clock::tokio`] with a paused runtime.
//!
//! # At night
//!
//! [`Policy::phase`] is where the breaker stands, [`Policy::counts`] how calls ended, [`Registry::snapshot`] all
//! of it by name. [`Policy::force`] overrides a breaker until [`Policy::release`]. What each refusal and figure means,
//! and what to do, is in the project's pages: `docs/policy.md`, and one for each pattern beside it.

mod attempt;
mod blocking;
mod builder;
mod caller;
mod classify;
mod clock;
mod component;
#[cfg(feature = "config")]
pub mod config;
mod deadline;
mod error;
mod guard;
pub mod guide;
mod invalids;
mod keyed;
mod name;
mod observe;
mod origin;
#[cfg(doctest)]
mod pages;
mod per_key;
mod policy;
mod policy_config;
mod pooled;
mod registry;
mod reload;
mod retry_on;
mod run;
mod shared;
mod shell;
pub mod snapshot;
mod sync;
mod typed;

pub use attempt::{Attempt, LimitPassed, ReadStream, StepLimits};
pub use builder::PolicyBuilder;
pub use caller::{Caller, Protection, Report};
pub use classify::{ByStatus, Classify, Nested, Plain, Status};
pub use clock::{Clock, ManualClock};
pub use component::{
    Acquire, AdaptiveTimeout, Bulkhead, CircuitBreaker, LeakyBucket, Permit, RateLimiter, Retry,
    RetryBudget, Shaper, SlidingWindowCounter, Slot, TokenBucket,
};
pub use deadline::Deadline;
pub use error::{Attempted, Ended, Error, History, Refused, TimedOut};
pub use guard::{Driven, Held};
pub use invalids::Invalids;
pub use keyed::{Keyed, KeyedCell, KeyedSnapshot};
pub use observe::{Change, Events, Followed, Heard, Stream, Teller, Tried};
pub use origin::{Origin, Origins};
pub use per_key::{AnyKey, Key, PerKey, PerKeyBuilder, PerKeySnapshot};
pub use policy::{Policy, PolicyMachines};
pub use policy_config::PolicyConfig;
pub use pooled::PoolSnapshot;
pub use registry::{Difference, Kind, Registry, RegistryError, Setting};
pub use reload::Reloaded;
pub use retry_on::RetryOn;
pub use run::{Ending, run_held};
pub use seawall_core as core;
pub use seawall_core::{
    Algorithm, BulkheadConfig, CircuitBreakerConfig, Invalid, Jitter, Override, Priority, Rate,
    RateLimitConfig, Ratio, Reserve, RetryConfig, Strategy, TimeoutConfig, Window,
};
pub use shared::Part;
pub use shell::{Machines, Shell, Whose, random_seed};
pub use snapshot::{Observed, Snapshot};
pub use typed::Typed;
