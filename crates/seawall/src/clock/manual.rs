//! The clock of tests, and who waits on it.
//!
//! ```text
//!   advance(by)   move the hands ▸ take out whoever waited for a moment that has come ▸ unlock ▸ wake them
//! ```
//!
//! The hands move only under the lock of the sleepers: who looks, and then lies down, misses no moment in between.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use seawall_core::Instant;

/// A clock for tests: it stands still until it is moved.
///
/// ```
/// use std::time::Duration;
/// use seawall::{Clock, ManualClock};
///
/// let manual = ManualClock::new();
/// let clock = Clock::manual(&manual);
/// let start = clock.now();
/// manual.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().since(start), Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(pub(super) Arc<Face>);

#[derive(Debug)]
pub(super) struct Face {
    now: AtomicU64,
    pub(super) wall: SystemTime,
    sleepers: Mutex<Sleepers>,
    #[cfg(test)]
    pub(super) reads: AtomicU64,
}

/// Who waits, and for when. Kept by ticket and not by waker: two calls in one task have the same waker.
#[derive(Debug, Default)]
struct Sleepers {
    tickets: u64,
    waiting: Vec<(u64, Instant, Waker)>,
}

impl Sleepers {
    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Its waker, to be dropped without the lock: with it may go a whole task and the task's own timers.
    #[must_use]
    fn forget(&mut self, ticket: u64) -> Option<Waker> {
        let place = self.waiting.iter().position(|(other, ..)| *other == ticket)?;
        Some(self.waiting.swap_remove(place).2)
    }
}

impl ManualClock {
    /// A clock at its origin, which is now on the calendar.
    #[must_use]
    pub fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// A clock at its origin, which is `wall` on the calendar.
    #[must_use]
    pub fn at(wall: SystemTime) -> Self {
        Self(Arc::new(Face {
            now: AtomicU64::new(0),
            wall,
            sleepers: Mutex::default(),
            #[cfg(test)]
            reads: AtomicU64::new(0),
        }))
    }

    /// The time it shows.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.0.now.load(Ordering::Acquire))
    }

    /// Moves it forward and wakes whoever waited for a moment that has come.
    pub fn advance(&self, by: Duration) {
        let mut due = Vec::new();
        {
            let mut sleepers = self.sleepers();
            let now = self.now() + by;
            self.0.now.store(now.as_nanos(), Ordering::Release);
            due.extend(sleepers.waiting.extract_if(.., |(_, at, _)| *at <= now));
        }
        due.into_iter().for_each(|(.., waker)| waker.wake());
    }

    /// The earliest moment anybody waits for.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.sleepers().waiting.iter().map(|(_, at, _)| *at).min()
    }

    pub(super) fn place(&self) -> Place {
        Place { manual: self.clone(), ticket: self.sleepers().ticket() }
    }

    /// How often the clocks it moves were read.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::Relaxed)
    }

    fn sleepers(&self) -> MutexGuard<'_, Sleepers> {
        self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the sleepers of a manual clock, left when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    manual: ManualClock,
    ticket: u64,
}

impl Place {
    pub(super) fn poll_until(&self, at: Instant, cx: &Context<'_>) -> Poll<()> {
        let Self { manual, ticket } = self;
        let _forgotten = manual.sleepers().forget(*ticket);
        let mut sleepers = manual.sleepers();
        if manual.now() >= at {
            return Poll::Ready(());
        }
        sleepers.waiting.push((*ticket, at, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _forgotten = self.manual.sleepers().forget(self.ticket);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}
