//! What a bulkhead can be told.

use core::time::Duration;

use crate::Invalid;

/// Settings of a [`Bulkhead`](crate::Bulkhead). The defaults are the guide's, whose one `timeout_ms` is both
/// `max_wait` and `max_run` here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "configuration, written with struct update from Default"
)]
pub struct BulkheadConfig {
    /// Calls at once. Default 100. 0 refuses every call.
    pub max_concurrent: u32,
    /// Calls that may wait for a place. Default 200. 0: nobody waits, what finds no place is refused at once.
    pub max_queue: u32,
    /// How long one may wait for a place. Default 30 s; more than 0.
    pub max_wait: Duration,
    /// How long one may hold a place. Default 30 s; more than 0, or none. The machine only carries it: whoever
    /// drives the call cuts it.
    pub max_run: Option<Duration>,
    /// Whether more urgent calls go first. Default true. Without it there is one line, first come first served.
    pub priority: bool,
    /// Places kept free for each class, the most urgent first: what others leave untouched while the class runs
    /// fewer. Default none. Together at most `max_concurrent`; all 0 without `priority`.
    pub reserves: [u32; 5],
    /// Threads for blocking work that runs on the bulkhead's own. Default as many as `max_concurrent`; at least 1. The
    /// machine only carries it too: whoever drives the call has the threads.
    pub pool_threads: Option<u32>,
}

impl Default for BulkheadConfig {
    fn default() -> Self {
        Self::preset(100, 200, 30)
    }
}

impl BulkheadConfig {
    /// For a database: 20 at once, 50 waiting, 30 s.
    #[must_use]
    pub const fn database() -> Self {
        Self::preset(20, 50, 30)
    }

    /// For a language model: 10 at once, 100 waiting, 60 s.
    #[must_use]
    pub const fn llm() -> Self {
        Self::preset(10, 100, 60)
    }

    /// For somebody else's API: 15 at once, 50 waiting, 30 s.
    #[must_use]
    pub const fn external_api() -> Self {
        Self::preset(15, 50, 30)
    }

    /// For work on files: 5 at once, 20 waiting, 20 s.
    #[must_use]
    pub const fn file_operations() -> Self {
        Self::preset(5, 20, 20)
    }

    /// Tells every setting that makes no sense.
    pub fn check(&self, found: &mut dyn FnMut(Invalid)) {
        if self.max_wait.is_zero() {
            found(Invalid::new("bulkhead.max_wait", "0s", "more than 0s"));
        }
        if self.max_run == Some(Duration::ZERO) {
            found(Invalid::new("bulkhead.max_run", "0s", "more than 0s, or none"));
        }
        if self.pool_threads == Some(0) {
            found(Invalid::new("bulkhead.pool_threads", 0, "at least 1"));
        }
        let reserved: u64 = self.reserves.iter().map(|&places| u64::from(places)).sum();
        if reserved > u64::from(self.max_concurrent) {
            let value = alloc::format!("{reserved} together");
            let most = alloc::format!("at most max_concurrent, which is {}", self.max_concurrent);
            found(Invalid::new("bulkhead.reserves", value, most).beside(&["max_concurrent"]));
        }
        if reserved > 0 && !self.priority {
            let value = alloc::format!("{reserved} together");
            let expected = "none where priority is off";
            found(Invalid::new("bulkhead.reserves", value, expected).beside(&["priority"]));
        }
    }

    /// The order in which both the guide and the presets are written.
    const fn preset(max_concurrent: u32, max_queue: u32, seconds: u64) -> Self {
        Self {
            max_concurrent,
            max_queue,
            max_wait: Duration::from_secs(seconds),
            max_run: Some(Duration::from_secs(seconds)),
            priority: true,
            reserves: [0; 5],
            pool_threads: None,
        }
    }
}
