//! The connections that wait for a request: newest on top, oldest closed in time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::connection::Sender;

/// How many connections to keep, and for how long.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PoolLimits {
    /// Idle connections kept. Default 100, the default of concurrent calls to a callee.
    pub idle_max: usize,
    /// Connections open at once, idle ones included. Default 1024: a bulkhead should refuse long before,
    /// this only keeps a misconfiguration from using up all file descriptors.
    pub open_max: usize,
    /// How long a connection may be idle. Default 30 s: below the 60 s after which common servers and
    /// load balancers drop theirs, so that it is usually we who close first and no request is under way.
    /// More than a day is a day.
    pub idle_for: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { idle_max: 100, open_max: 1024, idle_for: Duration::from_secs(30) }
    }
}

/// The idle connections to one endpoint.
pub(super) struct Idle<B> {
    max: usize,
    idle_for: Duration,
    stack: Mutex<Stack<B>>,
}

struct Stack<B> {
    /// Oldest first; each with the moment it became idle.
    waiting: Vec<(Sender<B>, Instant)>,
    /// Waits for the oldest to expire.
    reaper: Option<AbortHandle>,
}

impl<B> Idle<B> {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self {
            max: limits.idle_max,
            idle_for: limits.idle_for.min(DAY),
            stack: Mutex::new(Stack { waiting: Vec::new(), reaper: None }),
        }
    }

    /// How many are still alive as far as is known.
    pub(super) fn count(&self) -> usize {
        self.stack().waiting.iter().filter(|(sender, _)| !sender.is_closed()).count()
    }

    /// The newest that is still alive as far as is known.
    pub(super) fn take(&self) -> Option<Sender<B>> {
        let mut stack = self.stack();
        while let Some((sender, _)) = stack.waiting.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Closes what has been idle too long. The moment the next one will have been, or `None` if none is
    /// left, which ends the reaper.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut stack = self.stack();
        let old = stack.waiting.partition_point(|(_, since)| *since + self.idle_for <= now);
        let expired: Vec<_> = stack.waiting.drain(..old).collect();
        let next = stack.waiting.first().map(|(_, since)| *since + self.idle_for);
        if next.is_none() {
            stack.reaper = None;
        }
        drop(stack);
        drop(expired);
        next
    }

    fn stack(&self) -> MutexGuard<'_, Stack<B>> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Send + 'static> Idle<B> {
    /// Keeps a connection that is ready for a request, or closes it if there are enough.
    pub(super) fn put(self: Arc<Self>, sender: Sender<B>) {
        let mut stack = self.stack();
        if stack.waiting.len() >= self.max {
            // Endpoints with short memories leave dead connections at the bottom.
            stack.waiting.retain(|(sender, _)| !sender.is_closed());
        }
        if stack.waiting.len() < self.max {
            stack.waiting.push((sender, Instant::now()));
            if stack.reaper.is_none() {
                let reaper = tokio::spawn(reap(Arc::downgrade(&self)));
                stack.reaper = Some(reaper.abort_handle());
            }
        }
    }
}

impl<B> Drop for Idle<B> {
    fn drop(&mut self) {
        if let Some(reaper) = self.stack().reaper.take() {
            reaper.abort();
        }
    }
}

/// Runs while there is anything idle, and not longer than the pool.
async fn reap<B>(idle: Weak<Idle<B>>) {
    while let Some(next) = idle.upgrade().and_then(|idle| idle.expire(Instant::now())) {
        sleep_until(next).await;
    }
}

/// Longer than any endpoint keeps an idle connection, and no sum with it overflows.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
