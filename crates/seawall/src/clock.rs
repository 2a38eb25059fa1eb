//! Where `now` comes from, and how to wait for a later one.
//!
//! ```text
//!   fast     the processor's time-stamp counter, or the system's monotonic clock where that is unreliable;
//!            waits are tokio sleeps
//!   tokio    tokio's clock, for tests that pause it
//!   manual   stands still until a test moves it
//! ```
//!
//! A closed set: the clock is read twice per call, and an indirect call would cost as much as reading it.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use pin_project_lite::pin_project;
use seawall_core::Instant;
use tokio::time::Sleep;

/// A monotonic clock. Cheap to clone; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Fast { clock: quanta::Clock, origin: quanta::Instant, wall: SystemTime },
    Tokio { origin: tokio::time::Instant, wall: SystemTime },
    Manual(ManualClock),
}

impl Clock {
    /// The default: about 10 ns to read where the processor's counter is reliable.
    #[must_use]
    pub fn fast() -> Self {
        let clock = quanta::Clock::new();
        let origin = clock.now();
        Self(Kind::Fast { clock, origin, wall: SystemTime::now() })
    }

    /// Tokio's clock, which `tokio::time::pause` stops.
    #[must_use]
    pub fn tokio() -> Self {
        Self(Kind::Tokio { origin: tokio::time::Instant::now(), wall: SystemTime::now() })
    }

    /// A clock that `manual` moves.
    #[must_use]
    pub fn manual(manual: &ManualClock) -> Self {
        Self(Kind::Manual(manual.clone()))
    }

    /// The time now, counted from when the clock was made.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::Fast { clock, origin, .. } => {
                after_origin(clock.now().saturating_duration_since(*origin))
            }
            Kind::Tokio { origin, .. } => after_origin(origin.elapsed()),
            Kind::Manual(manual) => manual.now(),
        }
    }

    /// The same moment on the calendar, by the system's clock when this one was made.
    #[must_use]
    pub fn wall(&self, at: Instant) -> SystemTime {
        let wall = match &self.0 {
            Kind::Fast { wall, .. } | Kind::Tokio { wall, .. } => *wall,
            Kind::Manual(manual) => manual.0.wall,
        };
        wall.checked_add(at.since(Instant::ORIGIN)).unwrap_or(wall)
    }

    /// Blocks the thread until `at`.
    pub(crate) fn block_until(&self, at: Instant) {
        match &self.0 {
            Kind::Fast { .. } | Kind::Tokio { .. } => sleep_thread(at.since(self.now())),
            Kind::Manual(manual) => manual.block_until(at),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::fast()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where a blocking call waits")]
fn sleep_thread(wait: Duration) {
    std::thread::sleep(wait);
}

fn after_origin(elapsed: Duration) -> Instant {
    Instant::ORIGIN + elapsed
}

pin_project! {
    /// One wait at a time on a [`Clock`]; nothing is armed before it is polled.
    #[derive(Debug)]
    pub(crate) struct Timer {
        clock: Clock,
        armed_for: Option<Instant>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl Timer {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, armed_for: None, sleep: None }
    }

    /// Ready once the clock shows `at`.
    pub(crate) fn poll_until(
        self: std::pin::Pin<&mut Self>,
        at: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut this = self.project();
        if let Kind::Manual(manual) = &this.clock.0 {
            return manual.poll_until(at, cx);
        }
        if *this.armed_for != Some(at) {
            let wait = at.since(this.clock.now());
            if wait.is_zero() {
                return Poll::Ready(());
            }
            this.sleep.set(Some(tokio::time::sleep(wait)));
            *this.armed_for = Some(at);
        }
        this.sleep.as_pin_mut().map_or(Poll::Pending, |sleep| sleep.poll(cx))
    }
}

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
pub struct ManualClock(Arc<Face>);

#[derive(Debug)]
struct Face {
    now: AtomicU64,
    wall: SystemTime,
    sleepers: Mutex<Vec<(Instant, Waker)>>,
    moved: Condvar,
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
            moved: Condvar::new(),
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
            sleepers.retain(|(at, waker)| {
                let waits = *at > now;
                if !waits {
                    due.push(waker.clone());
                }
                waits
            });
        }
        self.0.moved.notify_all();
        due.into_iter().for_each(Waker::wake);
    }

    /// The earliest moment anybody waits for.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.sleepers().iter().map(|(at, _)| *at).min()
    }

    fn poll_until(&self, at: Instant, cx: &Context<'_>) -> Poll<()> {
        let mut sleepers = self.sleepers();
        if self.now() >= at {
            return Poll::Ready(());
        }
        sleepers.retain(|(_, waker)| !waker.will_wake(cx.waker()));
        sleepers.push((at, cx.waker().clone()));
        Poll::Pending
    }

    fn block_until(&self, at: Instant) {
        let mut sleepers = self.sleepers();
        sleepers.push((at, Waker::noop().clone()));
        while self.now() < at {
            sleepers = self.0.moved.wait(sleepers).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn sleepers(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Waker)>> {
        self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}
