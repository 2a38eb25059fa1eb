//! Gives everything back, whatever happens: the owner of a running `Call`.
//!
//! Dropped before its end, a call is abandoned: its permit, its place and a retry it paid for return to their
//! machines. A flag around the operation's own code tells a panic in it from a caller that went away. While that code
//! runs, the calls it makes inherit the deadline.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use seawall_core::{Action, Ask, Call, Event, Gate, Instant, Line, Permit, Shared, Verdict};

use crate::{
    Attempt, Clock, Deadline, StepLimits, Teller,
    clock::{Parker, Timer},
    deadline::{enter, inherited},
};

/// Machines that know the clock they go by.
pub trait Driven: Shared {
    /// The clock.
    fn clock(&self) -> &Clock;

    /// Keeps the waker of a call that waits in a line; `true` if it need not wait. See
    /// [`Shell::park`](crate::Shell::park).
    fn park(&self, line: Line, place: usize, waker: &Waker) -> bool;

    /// Forgets that waker again. See [`Shell::forget`](crate::Shell::forget).
    fn forget(&self, line: Line, place: usize);

    /// The limits on the steps of an attempt, for operations that ask for them. Default none.
    #[inline]
    fn limits(&self) -> StepLimits {
        StepLimits::NONE
    }

    /// Who tells of attempts that did not succeed. Default nobody.
    fn teller(&self) -> Option<&Teller> {
        None
    }

    /// Whose calls these are, where there are several keys; asked when there is something to tell. Default nobody's.
    fn whose(&self) -> Option<Arc<str>> {
        None
    }
}

impl<S: Driven> Driven for &S {
    #[inline]
    fn clock(&self) -> &Clock {
        (**self).clock()
    }

    fn park(&self, line: Line, place: usize, waker: &Waker) -> bool {
        (**self).park(line, place, waker)
    }

    fn forget(&self, line: Line, place: usize) {
        (**self).forget(line, place);
    }

    #[inline]
    fn limits(&self) -> StepLimits {
        (**self).limits()
    }

    fn teller(&self) -> Option<&Teller> {
        (**self).teller()
    }

    fn whose(&self) -> Option<Arc<str>> {
        (**self).whose()
    }
}

type Pick<S> = <<S as Shared>::Gate as Gate>::Pick;

/// A call with its machines.
pub(crate) struct Guard<S: Driven> {
    shared: S,
    call: Call<Pick<S>>,
    /// How long it may take from its beginning, if its caller said so.
    within: Option<Duration>,
    in_operation: bool,
}

impl<S: Driven> Guard<S> {
    #[inline]
    pub(crate) fn new(shared: S, ask: Ask) -> Self {
        Self { shared, call: Call::new(ask), within: None, in_operation: false }
    }

    /// It may take so long from its beginning, whenever that will be.
    #[inline]
    pub(crate) const fn within(mut self, within: Option<Duration>) -> Self {
        self.within = within;
        self
    }

    #[inline]
    pub(crate) fn shared(&self) -> &S {
        &self.shared
    }

    #[inline]
    pub(crate) fn clock(&self) -> &Clock {
        self.shared.clock()
    }

    #[inline]
    pub(crate) fn begin(&mut self, now: Instant) -> Action {
        self.bound(now);
        self.call.begin(&self.shared, now)
    }

    /// As [`Call::starts`].
    #[inline]
    pub(crate) fn starts(&mut self, now: Instant) -> bool {
        self.bound(now);
        self.call.starts(&self.shared, now)
    }

    #[inline]
    fn bound(&mut self, now: Instant) {
        self.call.end_by(inherited(self.shared.clock()));
        if let Some(within) = self.within {
            self.call.end_by(now + within);
        }
    }

    #[inline]
    pub(crate) fn on(&mut self, event: Event, now: Instant) -> Action {
        self.call.on(&self.shared, event, now)
    }

    /// If the call waits in a line: whether it has been called up, or else its waker is kept.
    fn poll_line(&self, waker: &Waker) -> bool {
        match self.call.queued() {
            Some((line, place)) => self.shared.park(line, place, waker),
            None => false,
        }
    }

    /// Waits until there is something to tell the call besides an answer: what, and when that was.
    pub(crate) fn poll_event(
        &self,
        timer: Pin<&mut Timer>,
        cx: &mut Context<'_>,
    ) -> Poll<(Event, Instant)> {
        if self.poll_line(cx.waker()) {
            return Poll::Ready((Event::Woken, self.clock().now()));
        }
        let wake_at = self.call.wake_at();
        if wake_at == Instant::NEVER {
            return Poll::Pending;
        }
        ready!(timer.poll_until(self.clock(), wake_at, cx));
        self.leave_line();
        // Two clocks: the timer's may be ahead of ours.
        Poll::Ready((Event::Tick, self.clock().now().max(wake_at)))
    }

    /// Blocks this thread until there is something to tell the call: what, and when that was. `None` if somebody woke
    /// the parker for another reason.
    pub(crate) fn block(&self, parker: &Arc<Parker>) -> (Option<Event>, Instant) {
        let wake_at = self.call.wake_at();
        if self.poll_line(&Waker::from(parker.clone())) {
            return (Some(Event::Woken), self.clock().now());
        }
        if self.clock().block(wake_at, parker) {
            self.leave_line();
            return (Some(Event::Tick), self.clock().now().max(wake_at));
        }
        (self.call.queued().map(|_| Event::Woken), self.clock().now())
    }

    /// As [`Call::keep_place`].
    pub(crate) const fn keep_place(&mut self) -> Option<Permit> {
        self.call.keep_place()
    }

    /// If it waits in a line: it looks by itself now.
    #[inline]
    pub(crate) fn leave_line(&self) {
        if let Some((line, place)) = self.call.queued() {
            self.shared.forget(line, place);
        }
    }

    #[inline]
    pub(crate) fn call(&self) -> &Call<Pick<S>> {
        &self.call
    }

    /// The attempt it has just started, for its operation.
    #[inline]
    pub(crate) fn attempt(&self, started: Instant) -> Attempt<Pick<S>> {
        Attempt::of(&self.call, started, self.shared.limits(), self.clock().clone())
    }

    /// The deadline of what runs for the call.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::of(self.clock(), self.call.give_up_at())
    }

    /// Runs the operation's own code, under the call's deadline.
    #[inline]
    pub(crate) fn watched<R>(&mut self, code: impl FnOnce(&Self) -> R) -> R {
        let _entered = enter(self.shared.clock(), self.call.give_up_at());
        self.in_operation = true;
        let result = code(self);
        self.in_operation = false;
        result
    }
}

impl<S: Driven> Drop for Guard<S> {
    #[inline]
    fn drop(&mut self) {
        if !self.call.is_over() {
            self.leave_line();
            self.call.abandon(&self.shared, self.shared.clock().now(), self.in_operation);
        }
    }
}

/// What a streamed answer holds until its last byte. Dropped, it says that the caller went away.
pub struct Held<S: Driven> {
    guard: Guard<S>,
    timer: Option<Pin<Box<Timer>>>,
}

impl<S: Driven> Held<S> {
    pub(crate) fn new(guard: Guard<S>) -> Self {
        Self { guard, timer: None }
    }

    /// The last byte came.
    pub fn complete(mut self) {
        self.end(Verdict::SUCCESS);
    }

    /// The answer broke off.
    pub fn broke_off(mut self) {
        self.end(Verdict::FAILURE);
    }

    /// Call while the answer is pending: once it has flowed long enough it counts as a success. Arms a timer
    /// only if that moment is still ahead.
    pub fn poll_flowing(&mut self, cx: &mut Context<'_>) {
        let wake_at = self.guard.call.wake_at();
        if wake_at == Instant::NEVER {
            return;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(Timer::default()));
        if let Poll::Ready(()) = timer.as_mut().poll_until(self.guard.clock(), wake_at, cx) {
            let now = self.guard.clock().now().max(wake_at);
            let _ = self.guard.on(Event::Tick, now);
        }
    }

    /// Call when a part of the answer came: a body that is always ready is never pending, and one that a slow
    /// reader does not ask for is not either. Reads the clock only until the answer is judged.
    pub fn flows(&mut self) {
        if self.guard.call.wake_at() != Instant::NEVER {
            let now = self.guard.clock().now();
            // Before its moment a tick changes nothing.
            let _ = self.guard.on(Event::Tick, now);
        }
    }

    fn end(&mut self, verdict: Verdict) {
        let event = Event::Ended { attempt: self.guard.call.attempt(), verdict };
        let now = self.guard.clock().now();
        let _ = self.guard.on(event, now);
    }
}

impl<S: Driven> fmt::Debug for Held<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}
