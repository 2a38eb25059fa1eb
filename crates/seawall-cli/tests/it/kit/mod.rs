//! The program, and what stands on both sides of it.
//!
//! Every wait is for a condition, with a bound far beyond what a loaded machine needs, so that a failure is
//! a failure and not a hang.

mod client;
mod program;
mod upstream;

use std::time::Duration;

pub(crate) use client::{Answer, ask, asking, refused};
pub(crate) use program::{Seawall, ended, ended_into, file};
pub(crate) use upstream::Upstream;

/// Waits for what must happen.
pub(crate) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// Asks again and again until the answer is the one that must come.
pub(crate) async fn until<T>(
    what: &str,
    mut asked: impl AsyncFnMut() -> T,
    right: impl Fn(&T) -> bool,
) -> T {
    within(what, async {
        loop {
            let answer = asked().await;
            if right(&answer) {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await
}

/// The bound on every wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what no event announces.
const PAUSE: Duration = Duration::from_millis(20);
