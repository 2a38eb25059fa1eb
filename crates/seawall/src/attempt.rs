//! One attempt as its operation sees it, and the limits on its steps, which only the operation can tell apart.
//!
//! ```text
//!   deadline       ├──────────────────────── the call ────────────────────────┤
//!   attempt limit        ├───────────────── attempt ─────────────────┤
//!   connect              ├─ connect ─┤
//!   read                             ├─ read ─┤├─ read ─┤├─── read ───┤
//! ```
//!
//! A step that takes too long ends with [`LimitPassed`] in place of its answer, which is then the operation's to turn
//! into an error of its own. A step that is ready reads no clock and arms no timer, and what lies ready when we wake late
//! is taken before the limit is looked at. Each is cut by the deadline of whoever waits for it as well: so a body that
//! is read after the head of a held answer is bounded by its silence, not by the deadline of a call that is over.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use pin_project_lite::pin_project;
use seawall_core::{Call, Instant, Limit, TimeoutConfig};

use crate::{Clock, clock::Timer, deadline::inherited};

/// One attempt, as its operation sees it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), seawall::Invalids> {
/// use std::{future, io, time::Duration};
/// use seawall::{Error, LimitPassed, Policy, TimeoutConfig, core::Limit};
///
/// async fn connect() -> io::Result<()> { future::pending().await }
///
/// let limits = TimeoutConfig { connect: Duration::from_millis(20), ..TimeoutConfig::default() };
/// let mail = Policy::builder("mail").timeout(limits).build()?;
/// let sent = mail.run_with(|attempt| async move {
///     let _connection = attempt.connect(connect()).await??; // both are errors of I/O
///     Ok::<_, io::Error>(())
/// });
/// let Err(Error::Failed(error, _)) = sent.await else { panic!("nobody is there") };
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// let passed = error.get_ref().and_then(|inner| inner.downcast_ref::<LimitPassed>());
/// assert_eq!(passed.map(|passed| passed.limit), Some(Limit::Connect));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt<P = ()> {
    /// Counted from 1.
    pub number: u8,
    /// Where it goes, as the gate numbers it.
    pub pick: Option<P>,
    /// When it started.
    pub started: Instant,
    /// When the whole call ends; [`Instant::NEVER`] without a deadline.
    pub give_up_at: Instant,
    limits: StepLimits,
    clock: Clock,
}

impl<P: Copy + PartialEq> Attempt<P> {
    /// The attempt a call has just started.
    #[inline]
    pub(crate) fn of(call: &Call<P>, started: Instant, limits: StepLimits, clock: Clock) -> Self {
        let (number, give_up_at) = (call.attempt(), call.give_up_at());
        Self { number, pick: call.picked(number), started, give_up_at, limits, clock }
    }
}

impl<P> Attempt<P> {
    /// How much time the call has left now, to be passed on to whom the operation calls; zero once it has passed,
    /// `None` without a deadline. Reads the clock.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        (self.give_up_at != Instant::NEVER).then(|| self.give_up_at.since(self.clock.now()))
    }

    /// Limits connecting by `timeout.connect`, from its first poll on. A policy without a timeout has no such limit, but
    /// its deadline.
    ///
    /// # Errors
    /// [`LimitPassed`] in place of what was to come: [`Limit::Connect`], or [`Limit::Deadline`] if that was first.
    pub fn connect<F>(
        &self,
        connecting: F,
    ) -> impl Future<Output = Result<F::Output, LimitPassed>> + use<F, P>
    where
        F: Future,
    {
        Limited { step: connecting, patience: self.patience(Limit::Connect, self.limits.connect) }
    }

    /// As [`connect`](Self::connect), for one read: limits silence by `timeout.read`.
    ///
    /// # Errors
    /// [`LimitPassed`] in place of what was to come: [`Limit::Read`], or [`Limit::Deadline`] if that was first.
    pub fn read<F>(
        &self,
        reading: F,
    ) -> impl Future<Output = Result<F::Output, LimitPassed>> + use<F, P>
    where
        F: Future,
    {
        Limited { step: reading, patience: self.patience(Limit::Read, self.limits.read) }
    }

    /// Limits the silence before each item of a stream by `timeout.read`. While nobody asks for the next item no time is
    /// counted: a slow reader is no silent callee. After [`LimitPassed`] the stream has ended.
    pub fn read_stream<S: Stream>(&self, stream: S) -> ReadStream<S> {
        let patience = self.patience(Limit::Read, self.limits.read);
        ReadStream { stream, patience, over: false }
    }

    fn patience(&self, limit: Limit, nanos: u64) -> Patience {
        let (clock, most) = (self.clock.clone(), Duration::from_nanos(nanos));
        Patience { limit, most, clock, since: None, timer: Timer::default() }
    }
}

/// A limit passed before a step of an attempt had ended. The operation's to map; an error of the operation like any
/// other, it is a failure unless a classifier says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitPassed {
    /// Which: [`Limit::Connect`], [`Limit::Read`] or [`Limit::Deadline`].
    pub limit: Limit,
    /// How long was waited.
    pub after: Duration,
}

impl fmt::Display for LimitPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, after } = self;
        write!(f, "{limit} passed after {after:.1?}")
    }
}

impl std::error::Error for LimitPassed {}

/// Of the kind [`TimedOut`](io::ErrorKind::TimedOut).
impl From<LimitPassed> for io::Error {
    fn from(passed: LimitPassed) -> Self {
        Self::new(io::ErrorKind::TimedOut, passed)
    }
}

pin_project! {
    struct Limited<F> {
        #[pin]
        step: F,
        #[pin]
        patience: Patience,
    }
}

impl<F: Future> Future for Limited<F> {
    type Output = Result<F::Output, LimitPassed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.step.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.patience.poll_passed(cx).map(Err)
    }
}

pin_project! {
    /// A stream whose silences are limited. Made by [`Attempt::read_stream`].
    #[derive(Debug)]
    #[must_use = "nothing is read before it is polled"]
    pub struct ReadStream<S> {
        #[pin]
        stream: S,
        #[pin]
        patience: Patience,
        over: bool,
    }
}

impl<S: Stream> Stream for ReadStream<S> {
    type Item = Result<S::Item, LimitPassed>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if *this.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(item) = this.stream.poll_next(cx) {
            this.patience.rest();
            *this.over = item.is_none();
            return Poll::Ready(item.map(Ok));
        }
        let passed = ready!(this.patience.as_mut().poll_passed(cx));
        *this.over = true;
        Poll::Ready(Some(Err(passed)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // One more, if its limit passes.
        (0, self.stream.size_hint().1.and_then(|most| most.checked_add(1)))
    }
}

pin_project! {
    /// How long to wait for a step.
    #[derive(Debug)]
    struct Patience {
        limit: Limit,
        most: Duration,
        clock: Clock,
        // Since when it is waited for.
        since: Option<Instant>,
        #[pin]
        timer: Timer,
    }
}

impl Patience {
    /// To be asked while the step is pending; ready once a limit has passed.
    fn poll_passed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LimitPassed> {
        let this = self.project();
        let since = *this.since.get_or_insert_with(|| this.clock.now());
        let (own, deadline) = (since + *this.most, inherited(this.clock));
        let until = own.min(deadline);
        if until == Instant::NEVER {
            return Poll::Pending;
        }
        ready!(this.timer.poll_until(this.clock, until, cx));
        let limit = if own < deadline { *this.limit } else { Limit::Deadline };
        Poll::Ready(LimitPassed { limit, after: this.clock.now().max(until).since(since) })
    }

    /// The step is done: the next one is waited for anew.
    fn rest(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.since.take().is_some() {
            this.timer.set(Timer::default());
        }
    }
}

/// The limits on the steps of an attempt, as they are set now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimits {
    // In nanoseconds, as they are kept: hardly any operation asks for them.
    connect: u64,
    read: u64,
}

impl StepLimits {
    /// No limit on any.
    pub const NONE: Self = Self { connect: u64::MAX, read: u64::MAX };
}

impl From<&TimeoutConfig> for StepLimits {
    fn from(config: &TimeoutConfig) -> Self {
        let nanos = |limit: Duration| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Self { connect: nanos(config.connect), read: nanos(config.read) }
    }
}

/// Where a policy keeps them: read with every attempt, and so beside its lock.
#[derive(Debug)]
pub(crate) struct KeptLimits {
    connect: AtomicU64,
    read: AtomicU64,
}

impl KeptLimits {
    pub(crate) fn new(config: Option<&TimeoutConfig>) -> Self {
        let kept = Self { connect: AtomicU64::new(0), read: AtomicU64::new(0) };
        kept.set(config);
        kept
    }

    pub(crate) fn set(&self, config: Option<&TimeoutConfig>) {
        let StepLimits { connect, read } = config.map_or(StepLimits::NONE, StepLimits::from);
        self.connect.store(connect, Ordering::Relaxed);
        self.read.store(read, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn now(&self) -> StepLimits {
        // Each by itself: an attempt that sees one of them before a reload and one after it does no harm.
        let limit = |kept: &AtomicU64| kept.load(Ordering::Relaxed);
        StepLimits { connect: limit(&self.connect), read: limit(&self.read) }
    }
}
