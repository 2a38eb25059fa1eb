//! By when what runs now must have ended, and how that travels to the calls it makes.
//!
//! ```text
//!   call, 2 s ──▸ operation ──▸ call, 5 s ──▸ operation     the inner call has what is left of the 2 s
//!                     ├── scope ──▸ another task, thread    carried by hand: it has them too
//!                     └── spawn ──▸ another task, thread    not carried: it has none
//! ```
//!
//! While an operation's own code runs, because its future is made, polled or dropped, the thread knows when its call
//! ends; a call that begins there ends by then too. A cell of the thread and not of the task: so no runtime has to
//! know of it, and a call without a deadline only looks at one word. An instant means something on its own clock
//! alone, so a call that goes by another one begins as if there were no deadline.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    time::Duration,
};

use seawall_core::Instant;

use crate::Clock;

/// When the call ends for which the code at hand runs. Calls that begin there, under whatever policy on the same
/// clock, end by then too; so only what is spawned or run on another thread must be given it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use seawall::{Attempt, Deadline, Policy};
///
/// let page = Policy::builder("page").deadline(Duration::from_secs(2)).build()?;
/// let quotes = Policy::builder("quotes").deadline(Duration::from_secs(5)).build()?;
/// page.run(|| async {
///     let left = |attempt: Attempt| async move { Ok::<_, std::io::Error>(attempt.remaining()) };
///     let left = quotes.run_with(left).await;
///     assert!(matches!(left, Ok(Some(left)) if left <= Duration::from_secs(2))); // of the page's
///
///     let elsewhere = async { Deadline::current().remaining() };
///     let carried = tokio::spawn(Deadline::current().scope(elsewhere)).await?;
///     assert!(carried.is_some());
///     Ok::<_, tokio::task::JoinError>(())
/// })
/// .await?;
/// assert_eq!(Deadline::current().remaining(), None);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deadline(Option<(Clock, Instant)>);

impl Deadline {
    /// That of the code which asks; none outside of every call that has one.
    #[must_use]
    pub fn current() -> Self {
        Self(match WITHIN.get() {
            Within::None => None,
            Within::Fast(at) => Some((Clock::fast(), at)),
            Within::Other(at) => other_clock().map(|clock| (clock, at)),
        })
    }

    /// Of a call that ends at `at`; if it ends at no time, of whoever made it.
    pub(crate) fn of(clock: &Clock, at: Instant) -> Self {
        if at == Instant::NEVER { Self::current() } else { Self(Some((clock.clone(), at))) }
    }

    /// How much time is left; zero once it has passed, `None` without a deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.0.as_ref().map(|(clock, at)| at.since(clock.now()))
    }

    /// Runs a future under this deadline wherever it is polled: what it calls ends by then. The future itself is not
    /// cut. No deadline, [`Deadline::default`], is one too: for work that may outlive its call.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| self.scope_blocking(|| future.as_mut().poll(cx))).await
    }

    /// As [`scope`](Self::scope), for code on this thread: what another thread begins with.
    ///
    /// ```
    /// use std::{thread, time::Duration};
    /// use seawall::{Deadline, Policy};
    ///
    /// let policy = Policy::builder("orders").deadline(Duration::from_secs(2)).build()?;
    /// let carried = policy.run_blocking(|| {
    ///     let deadline = Deadline::current();
    ///     let part = thread::spawn(move || deadline.scope_blocking(|| Deadline::current().remaining()));
    ///     part.join().map_err(|_| "panicked")
    /// });
    /// assert!(matches!(carried, Ok(Some(_))));
    /// # Ok::<(), seawall::Invalid>(())
    /// ```
    pub fn scope_blocking<R>(&self, code: impl FnOnce() -> R) -> R {
        let _entered = match &self.0 {
            Some((clock, at)) => enter(clock, *at),
            None => Entered { before: WITHIN.replace(Within::None), clock: None },
        };
        code()
    }
}

/// By when a call that begins here, on this clock, must end: the same as whoever made it.
#[inline]
pub(crate) fn inherited(clock: &Clock) -> Instant {
    match WITHIN.get() {
        Within::None => Instant::NEVER,
        Within::Fast(at) if clock.is_fast() => at,
        Within::Other(at) if !clock.is_fast() && other_clock().as_ref() == Some(clock) => at,
        Within::Fast(_) | Within::Other(_) => Instant::NEVER,
    }
}

/// The code that follows must end by `at`, until what this returns is dropped.
#[inline]
pub(crate) fn enter(clock: &Clock, at: Instant) -> Entered {
    if clock.is_fast() {
        return Entered { before: WITHIN.replace(Within::Fast(at)), clock: None };
    }
    // A thread that is ending has no such cell any more: then its calls inherit nothing.
    let clock = CLOCK.try_with(|cell| cell.replace(Some(clock.clone()))).ok();
    Entered { before: WITHIN.replace(Within::Other(at)), clock }
}

/// Dropped, it puts back what was there before, and so even when the code between panics.
#[derive(Debug)]
#[must_use = "dropped, it leaves again"]
pub(crate) struct Entered {
    before: Within,
    /// The other clock before, if that was changed too.
    clock: Option<Option<Clock>>,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        WITHIN.set(self.before);
        if let Some(before) = self.clock.take() {
            let _ = CLOCK.try_with(|cell| cell.set(before));
        }
    }
}

/// What the thread knows. One word to look at for a call on the fast clock, which all but tests are on.
#[derive(Clone, Copy, Debug)]
enum Within {
    None,
    /// On the fast clock.
    Fast(Instant),
    /// On the clock that is kept beside it.
    Other(Instant),
}

#[cold]
fn other_clock() -> Option<Clock> {
    let read = |cell: &Cell<Option<Clock>>| {
        let clock = cell.take();
        cell.set(clock.clone());
        clock
    };
    CLOCK.try_with(read).ok().flatten()
}

thread_local! {
    static WITHIN: Cell<Within> = const { Cell::new(Within::None) };
    static CLOCK: Cell<Option<Clock>> = const { Cell::new(None) };
}
