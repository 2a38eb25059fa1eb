//! Gives everything back, whatever happens: the owner of a running `Call`.
//!
//! Dropped before its end, a call is abandoned: its permit, its place and a retry it paid for return to their
//! machines. A flag around the operation's own code tells a panic in it from a caller that went away.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use seawall_core::{Action, Ask, Call, Event, Gate, Instant, Shared, Verdict};

use crate::{Clock, clock::Timer};

/// Machines that know the clock they go by.
pub trait Driven: Shared {
    /// The clock.
    fn clock(&self) -> &Clock;
}

impl<S: Driven> Driven for &S {
    #[inline]
    fn clock(&self) -> &Clock {
        (**self).clock()
    }
}

type Pick<S> = <<S as Shared>::Gate as Gate>::Pick;

/// A call with its machines.
pub(crate) struct Guard<S: Driven> {
    shared: S,
    call: Call<Pick<S>>,
    in_operation: bool,
}

impl<S: Driven> Guard<S> {
    #[inline]
    pub(crate) fn new(shared: S, ask: Ask) -> Self {
        Self { shared, call: Call::new(ask), in_operation: false }
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
        self.call.begin(&self.shared, now)
    }

    #[inline]
    pub(crate) fn on(&mut self, event: Event, now: Instant) -> Action {
        self.call.on(&self.shared, event, now)
    }

    #[inline]
    pub(crate) fn call(&self) -> &Call<Pick<S>> {
        &self.call
    }

    /// Runs the operation's own code.
    #[inline]
    pub(crate) fn watched<R>(&mut self, code: impl FnOnce(&Call<Pick<S>>) -> R) -> R {
        self.in_operation = true;
        let result = code(&self.call);
        self.in_operation = false;
        result
    }
}

impl<S: Driven> Drop for Guard<S> {
    #[inline]
    fn drop(&mut self) {
        if !self.call.is_over() {
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
