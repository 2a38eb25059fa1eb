//! What the guide's own tests are said to cover, category by category, under the guide's names.
//!
//! Time is tokio's, paused: it jumps to the next timer when everybody waits, so nothing here sleeps for real.

#[path = "distributed_resilience/adaptive_timeout.rs"]
mod adaptive_timeout;
#[path = "distributed_resilience/bulkhead.rs"]
mod bulkhead;
#[path = "distributed_resilience/circuit_breaker.rs"]
mod circuit_breaker;
#[path = "distributed_resilience/integration.rs"]
mod integration;
#[path = "distributed_resilience/names.rs"]
mod names;
#[path = "distributed_resilience/rate_limiting.rs"]
mod rate_limiting;
#[path = "distributed_resilience/retry_manager.rs"]
mod retry_manager;

use std::time::Duration;

use seawall::Clock;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What the callee says when it is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Down;

/// Tokio's clock, which the paused runtime of a test moves.
fn clock() -> Clock {
    Clock::tokio()
}

/// Lets this much time pass.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
