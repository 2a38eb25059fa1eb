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

mod manual;

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::SystemTime,
};

use pin_project_lite::pin_project;
use seawall_core::Instant;
use tokio::time::Sleep;

pub use self::manual::ManualClock;
use self::manual::Place;

/// A monotonic clock. Cheap to clone. Two are equal if they are one: they show the same time, always.
///
/// ```
/// use seawall::{Clock, ManualClock};
///
/// assert_eq!(Clock::fast(), Clock::fast()); // a process has one
/// assert_ne!(Clock::manual(&ManualClock::new()), Clock::manual(&ManualClock::new()));
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Kind);

/// Two words each, so that a clock can travel with every attempt.
#[derive(Clone, Debug)]
enum Kind {
    Fast(&'static Fast),
    Tokio(Arc<Paused>),
    Manual(ManualClock),
}

/// The one fast clock of the process: an instant means the same to all that go by it.
#[derive(Debug)]
struct Fast {
    clock: quanta::Clock,
    origin: u64,
    wall: SystemTime,
}

/// A clock that its runtime can stop. Each runtime has its own time, so no two runtimes can share one.
#[derive(Debug)]
struct Paused {
    origin: tokio::time::Instant,
    wall: SystemTime,
}

impl Clock {
    /// The default: about 10 ns to read where the processor's counter is reliable. The process has one, which starts
    /// when it is first asked for.
    #[must_use]
    pub fn fast() -> Self {
        Self(Kind::Fast(FAST.get_or_init(|| {
            let clock = quanta::Clock::new();
            let origin = clock.raw();
            Fast { clock, origin, wall: SystemTime::now() }
        })))
    }

    /// Tokio's clock, which `tokio::time::pause` stops. A new one each time: policies that call each other are given
    /// clones of one.
    #[must_use]
    pub fn tokio() -> Self {
        let (origin, wall) = (tokio::time::Instant::now(), SystemTime::now());
        Self(Kind::Tokio(Arc::new(Paused { origin, wall })))
    }

    /// A clock that `manual` moves.
    #[must_use]
    pub fn manual(manual: &ManualClock) -> Self {
        Self(Kind::Manual(manual.clone()))
    }

    /// The time now, counted from when the clock started.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::Fast(Fast { clock, origin, .. }) => {
                Instant::from_nanos(clock.delta_as_nanos(*origin, clock.raw()))
            }
            Kind::Tokio(paused) => Instant::ORIGIN + paused.origin.elapsed(),
            Kind::Manual(manual) => {
                #[cfg(test)]
                manual.0.reads.fetch_add(1, Ordering::Relaxed);
                manual.now()
            }
        }
    }

    #[inline]
    pub(crate) const fn is_fast(&self) -> bool {
        matches!(self.0, Kind::Fast(_))
    }

    /// The same moment on the calendar, by the system's clock when this one started.
    #[must_use]
    pub fn wall(&self, at: Instant) -> SystemTime {
        let wall = match &self.0 {
            Kind::Fast(fast) => fast.wall,
            Kind::Tokio(paused) => paused.wall,
            Kind::Manual(manual) => manual.0.wall,
        };
        wall.checked_add(at.since(Instant::ORIGIN)).unwrap_or(wall)
    }

    /// Blocks the thread until `at`, or until its parker is woken: `false` if it was.
    pub(crate) fn block(&self, at: Instant, parker: &Arc<Parker>) -> bool {
        match &self.0 {
            Kind::Manual(manual) => {
                let place = manual.place();
                let waker = Waker::from(parker.clone());
                loop {
                    // Whoever moves the clock wakes, and so does whoever calls up.
                    if place.poll_until(at, &Context::from_waker(&waker)).is_ready() {
                        return true;
                    }
                    if parker.take() {
                        return false;
                    }
                    std::thread::park();
                }
            }
            Kind::Fast(_) | Kind::Tokio(_) => loop {
                if parker.take() {
                    return false;
                }
                let wait = at.since(self.now());
                if wait.is_zero() {
                    return true;
                }
                std::thread::park_timeout(wait);
            },
        }
    }
}

impl PartialEq for Clock {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Fast(_), Kind::Fast(_)) => true,
            (Kind::Tokio(one), Kind::Tokio(other)) => one.origin == other.origin,
            (Kind::Manual(one), Kind::Manual(other)) => Arc::ptr_eq(&one.0, &other.0),
            (Kind::Fast(_) | Kind::Tokio(_) | Kind::Manual(_), _) => false,
        }
    }
}

impl Eq for Clock {}

/// Wakes a thread that blocks.
#[derive(Debug)]
pub(crate) struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Parker {
    /// Of this thread.
    pub(crate) fn here() -> Self {
        Self { thread: std::thread::current(), woken: AtomicBool::new(false) }
    }

    /// Whether it was woken since it was last asked.
    fn take(&self) -> bool {
        self.woken.swap(false, Ordering::Acquire)
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::fast()
    }
}

pin_project! {
    /// One wait at a time on a [`Clock`], always the same one; nothing is armed before it is polled.
    #[project = Armed]
    #[derive(Debug, Default)]
    pub(crate) enum Timer {
        #[default]
        Idle,
        Sleeping { until: Instant, #[pin] sleep: Sleep },
        Manual { place: Place },
    }
}

impl Timer {
    /// Ready once the clock shows `at`.
    pub(crate) fn poll_until(
        mut self: Pin<&mut Self>,
        clock: &Clock,
        at: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            match (self.as_mut().project(), &clock.0) {
                (Armed::Manual { place }, _) => return place.poll_until(at, cx),
                (Armed::Sleeping { until, sleep }, _) if *until == at => return sleep.poll(cx),
                (_, Kind::Manual(manual)) => self.set(Self::Manual { place: manual.place() }),
                (_, Kind::Fast(_) | Kind::Tokio(_)) => {
                    let wait = at.since(clock.now());
                    if wait.is_zero() {
                        return Poll::Ready(());
                    }
                    self.set(Self::Sleeping { until: at, sleep: tokio::time::sleep(wait) });
                }
            }
        }
    }
}

static FAST: OnceLock<Fast> = OnceLock::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fast_clocks_are_one_and_show_one_time() {
        let (one, other) = (Clock::fast(), Clock::fast());
        assert_eq!(one, other);
        let times = [one.now(), other.now(), one.now(), other.now()];
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(one.wall(times[0]), other.wall(times[0]));
    }

    #[test]
    fn a_clock_is_equal_to_its_clones_alone() {
        let (manual, other) = (ManualClock::new(), ManualClock::new());
        let clocks = [Clock::fast(), Clock::tokio(), Clock::manual(&manual), Clock::manual(&other)];
        for (n, one) in clocks.iter().enumerate() {
            for (m, other) in clocks.iter().enumerate() {
                assert_eq!(one == &other.clone(), n == m, "{one:?} {other:?}");
            }
        }
        assert_eq!(Clock::manual(&manual), Clock::manual(&manual.clone()));
    }
}
