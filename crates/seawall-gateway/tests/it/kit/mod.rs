//! Both ends of the wire, in raw bytes, and the gateway between; and the pages.
//!
//! Nothing here waits for a time to pass: every wait is for a condition, with a bound far beyond what a
//! loaded machine needs, so that a failure is a failure and not a hang.

mod client;
mod message;
pub(crate) mod page;
mod proxy;
mod upstream;

use std::time::Duration;

pub(crate) use client::{Client, End};
pub(crate) use proxy::Proxy;
pub(crate) use upstream::{Act, Reads, Step, Upstream, refusing};

/// The bound on every wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what must happen.
pub(crate) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// Waits for a condition that no event announces.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
