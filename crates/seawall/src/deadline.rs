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
//! know of it, and a call pays a word read and written back. An instant means something on its own clock alone, so a
//! call that goes by another one begins as if there were no deadline.

use std::{
    cell::{Cell, RefCell},
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// On the fast clock.
    fast: Instant,
    /// On another, if a call is made by one.
    other: Option<(Clock, Instant)>,
}

/// None.
impl Default for Deadline {
    fn default() -> Self {
        Self { fast: Instant::NEVER, other: None }
    }
}

impl Deadline {
    /// That of the code which asks; none outside of every call that has one.
    #[must_use]
    pub fn current() -> Self {
        Self { fast: FAST.get(), other: other() }
    }

    /// Of a call that ends at `at`; if it ends at no time, of whoever made it.
    pub(crate) fn of(clock: &Clock, at: Instant) -> Self {
        let current = Self::current();
        if at == Instant::NEVER {
            current
        } else if clock.is_fast() {
            Self { fast: at, ..current }
        } else {
            Self { other: Some((clock.clone(), at)), ..current }
        }
    }

    /// How much time is left, on the clock that leaves least; zero once it has passed, `None` without a deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let fast = (self.fast != Instant::NEVER).then(|| self.fast.since(Clock::fast().now()));
        let other = self.other.as_ref().map(|(clock, at)| at.since(clock.now()));
        fast.into_iter().chain(other).min()
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
    /// # Ok::<(), seawall::Invalids>(())
    /// ```
    pub fn scope_blocking<R>(&self, code: impl FnOnce() -> R) -> R {
        let _entered = Entered { before: FAST.replace(self.fast), other: push(self.other.clone()) };
        code()
    }
}

/// By when a call that begins here, on this clock, must end: the same as whoever made it.
#[inline]
pub(crate) fn inherited(clock: &Clock) -> Instant {
    if clock.is_fast() { FAST.get() } else { inherited_from_other(clock) }
}

/// The code that follows must end by `at`, until what this returns is dropped. On the fast clock that is so even
/// without a deadline: a call that has none was made by none that has one.
#[inline]
pub(crate) fn enter(clock: &Clock, at: Instant) -> Entered {
    if clock.is_fast() {
        Entered { before: FAST.replace(at), other: false }
    } else {
        enter_other(clock, at)
    }
}

/// Dropped, it puts back what was there before, and so even when the code between panics.
#[derive(Debug)]
#[must_use = "dropped, it leaves again"]
pub(crate) struct Entered {
    before: Instant,
    /// Whether the other clocks' have one more.
    other: bool,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        FAST.set(self.before);
        if self.other {
            leave_other();
        }
    }
}

#[cold]
fn inherited_from_other(clock: &Clock) -> Instant {
    let inherited = OTHERS.try_with(|others| {
        // Calls by still other clocks may stand between; whoever said that there is no deadline ends the search.
        let others = others.borrow();
        let mut entered = others.iter().rev().map_while(Option::as_ref);
        entered.find(|(other, _)| other == clock).map(|(_, at)| *at)
    });
    inherited.ok().flatten().unwrap_or(Instant::NEVER)
}

#[cold]
fn enter_other(clock: &Clock, at: Instant) -> Entered {
    let other = at != Instant::NEVER && push(Some((clock.clone(), at)));
    Entered { before: FAST.get(), other }
}

#[cold]
fn leave_other() {
    let left = OTHERS.try_with(|others| others.borrow_mut().pop());
    drop(left);
}

fn other() -> Option<(Clock, Instant)> {
    OTHERS.try_with(|others| others.borrow().last().cloned().flatten()).ok().flatten()
}

/// Whether it could be kept: a thread that is ending keeps nothing any more, and its calls inherit nothing.
fn push(other: Option<(Clock, Instant)>) -> bool {
    OTHERS.try_with(|others| others.borrow_mut().push(other)).is_ok()
}

thread_local! {
    /// On the fast clock, which all but tests are on.
    static FAST: Cell<Instant> = const { Cell::new(Instant::NEVER) };
    /// On other clocks, the innermost last.
    static OTHERS: RefCell<Vec<Option<(Clock, Instant)>>> = const { RefCell::new(Vec::new()) };
}
