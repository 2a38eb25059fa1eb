//! The examples of the pages, which run as tests of this crate.

#[doc = include_str!("../../../docs/bulkhead.md")]
struct Bulkhead;

#[doc = include_str!("../../../docs/circuit-breaker.md")]
struct CircuitBreaker;

#[doc = include_str!("../../../docs/policy.md")]
struct Policy;

#[doc = include_str!("../../../docs/rate-limit.md")]
struct RateLimit;

#[doc = include_str!("../../../docs/retry.md")]
struct Retry;

#[doc = include_str!("../../../docs/settings.md")]
struct Settings;

#[doc = include_str!("../../../docs/timeout.md")]
struct Timeout;
