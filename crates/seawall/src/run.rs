//! The one async driver of a call: obeys the core's `Call`, and knows nothing of retries or breakers.
//!
//! ```text
//!   Start   make the operation's future
//!   Wait    poll it, or see whether its turn has come; if not, wait for that or for the moment the call named
//!   Cancel  drop the future, then say so
//!   Done    hand out the answer or the error
//! ```
//!
//! The operation is polled before any timer exists, so a ready one costs two clock reads, two short locks and
//! no allocation.

mod door;

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use seawall_core::{Action, Event, Gate, Instant, Outcome, Verdict};

pub(crate) use self::door::{Door, Holding};
pub use self::door::{Ending, run_held};

use crate::{Attempt, Classify, Driven, Ended, clock::Timer, guard::Guard, observe::Trail};

/// Runs an operation to its end, or to the head of its answer if `D` holds on to the call.
#[inline]
pub(crate) fn run<D, S, T, E, C, F, Fut>(
    guard: Guard<S>,
    classify: &C,
    operation: F,
) -> impl Future<Output = D::Out> + use<'_, D, S, T, E, C, F, Fut>
where
    D: Door<S, T, E>,
    S: Driven,
    C: Classify<T, E>,
    F: FnMut(Attempt<<S::Gate as Gate>::Pick>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    Run::<_, _, _, _, _, _, D>::new(guard, classify, operation)
}

pin_project! {
    /// The driver, written by hand: nested async functions would move the caller, the ending and the answer
    /// from one state into the next, which costs more than all decisions of a call together.
    struct Run<'c, S: Driven, T, E, C, F, Fut, D> {
        classify: &'c C,
        operation: F,
        #[pin]
        future: Option<Fut>,
        #[pin]
        later: Option<Later<T, E>>,
        door: PhantomData<fn() -> D>,
        // Gone once the call is over. Last, for fields are dropped in this order: nothing is given back while anything
        // of the operation is still there.
        guard: Option<Guard<S>>,
    }
}

pin_project! {
    /// What only a call has that does not end well at its first poll. Together, for most calls have none of it: so they
    /// neither write nor look at more than that.
    #[project = LaterParts]
    struct Later<T, E> {
        #[pin]
        timer: Timer,
        answer: Option<Result<T, E>>,
        trail: Trail,
    }
}

impl<T, E> Default for Later<T, E> {
    fn default() -> Self {
        Self { timer: Timer::default(), answer: None, trail: Trail::default() }
    }
}

impl<'c, S: Driven, T, E, C, F, Fut, D> Run<'c, S, T, E, C, F, Fut, D> {
    #[inline]
    fn new(guard: Guard<S>, classify: &'c C, operation: F) -> Self {
        let (future, later, door) = (None, None, PhantomData);
        Self { classify, operation, future, later, door, guard: Some(guard) }
    }
}

impl<S, T, E, C, F, Fut, D> Future for Run<'_, S, T, E, C, F, Fut, D>
where
    S: Driven,
    C: Classify<T, E>,
    F: FnMut(Attempt<<S::Gate as Gate>::Pick>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    D: Door<S, T, E>,
{
    type Output = D::Out;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<D::Out> {
        let mut starts = None;
        let this = self.as_mut().project();
        if let Some(guard) = this.guard
            && guard.call().is_fresh()
        {
            let now = guard.clock().now();
            if guard.starts(now) {
                starts = Some(now);
            } else if let Some(&refusal) = guard.call().refusal() {
                return D::refused(this.guard, refusal);
            }
        }
        loop {
            let this = self.as_mut().project();
            // Polled again after its end, it has nothing more to say.
            let Some(guard) = this.guard else { return Poll::Pending };
            let (operation, mut future) = (this.operation, this.future);
            let starts_now = starts.take();
            // All of the operation's own code in one go: to watch over it costs something.
            let answered = guard.watched(|guard| {
                if let Some(now) = starts_now {
                    future.set(Some(operation(guard.attempt(now))));
                }
                let Poll::Ready(answer) = future.as_mut().as_pin_mut()?.poll(cx) else {
                    return None;
                };
                let now = guard.clock().now();
                future.set(None);
                Some((answer, now))
            });
            let next = match answered {
                Some((answer, now)) => {
                    let verdict = this.classify.classify(&answer);
                    if verdict.outcome == Outcome::Success {
                        let action = guard.on(D::event(guard.call().attempt(), verdict), now);
                        // The call is over: a good answer need not go by way of the ending.
                        let answer = match answer.map(D::good) {
                            Ok(Ok(out)) => return Poll::Ready(out),
                            Ok(Err(value)) => Ok(value),
                            Err(error) => Err(error),
                        };
                        self.as_mut().kept(answer, action, now)
                    } else {
                        self.as_mut().failed(answer, verdict, now)
                    }
                }
                None => ready!(self.as_mut().wait(cx)),
            };
            match next {
                Next::Go(start) => starts = start,
                Next::End(end) => return end,
            }
        }
    }
}

/// Where the driver goes on.
enum Next<Out> {
    /// With an attempt that starts now, or with the one that runs.
    Go(Option<Instant>),
    End(Poll<Out>),
}

/// Methods take the driver by one pointer, not its parts by ten.
impl<S, T, E, C, F, Fut, D> Run<'_, S, T, E, C, F, Fut, D>
where
    S: Driven,
    D: Door<S, T, E>,
{
    /// A good answer that is not handed out at once.
    #[cold]
    fn kept(
        mut self: Pin<&mut Self>,
        answer: Result<T, E>,
        action: Action,
        now: Instant,
    ) -> Next<D::Out> {
        *self.as_mut().later().answer = Some(answer);
        self.obey(action, now)
    }

    #[cold]
    fn failed(
        mut self: Pin<&mut Self>,
        answer: Result<T, E>,
        verdict: Verdict,
        now: Instant,
    ) -> Next<D::Out> {
        self.as_mut().note(Ended::Answered(verdict.outcome), verdict.retry_after, now);
        *self.as_mut().later().answer = Some(answer);
        let Some(guard) = self.as_mut().project().guard else { return Next::End(Poll::Pending) };
        let action = guard.on(D::event(guard.call().attempt(), verdict), now);
        self.obey(action, now)
    }

    /// The operation is pending, or there is none: waits in line, or for the moment the call named.
    #[inline(never)]
    fn wait(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<D::Out>> {
        let this = self.as_mut().project();
        let Some(guard) = this.guard else { return Poll::Pending };
        let (event, now) = ready!(guard.poll_event(later(this.later).timer, cx));
        let action = guard.on(event, now);
        Poll::Ready(self.obey(action, now))
    }

    /// Does as it is told, until it is told to start, to wait or to return.
    #[inline(never)]
    fn obey(mut self: Pin<&mut Self>, mut action: Action, now: Instant) -> Next<D::Out> {
        loop {
            action = match action {
                Action::Start { .. } => {
                    let later = self.later();
                    *later.answer = None;
                    later.trail.retried(now);
                    return Next::Go(Some(now));
                }
                Action::Wait => return Next::Go(None),
                Action::Cancel { attempt, limit } => {
                    self.as_mut().note(Ended::Cut(limit), None, now);
                    *self.as_mut().later().answer = None;
                    let mut this = self.as_mut().project();
                    let Some(guard) = this.guard else { return Next::End(Poll::Pending) };
                    guard.watched(|_| this.future.set(None));
                    guard.on(Event::Cancelled { attempt }, now)
                }
                Action::Done(finish) => {
                    let this = self.project();
                    let later = later(this.later);
                    let (answer, history) = (later.answer.take(), later.trail.end(finish));
                    let took = this.guard.as_ref().map(|guard| now.since(guard.call().begun()));
                    let took = took.unwrap_or_default();
                    let ending = Ending { answer, finish, history, took };
                    return Next::End(D::ended(this.guard, ending));
                }
            };
        }
    }

    /// Writes down how the running attempt ended, if not well.
    fn note(self: Pin<&mut Self>, ended: Ended, retry_after: Option<Duration>, now: Instant) {
        let this = self.project();
        if let Some(guard) = this.guard {
            let started = guard.call().started().unwrap_or(now);
            later(this.later).trail.push(guard, ended, retry_after, started, now);
        }
    }

    fn later(self: Pin<&mut Self>) -> LaterParts<'_, T, E> {
        later(self.project().later)
    }
}

/// Made when it is first needed.
#[inline(never)]
fn later<T, E>(mut later: Pin<&mut Option<Later<T, E>>>) -> LaterParts<'_, T, E> {
    if later.is_none() {
        later.set(Some(Later::default()));
    }
    match later.as_pin_mut() {
        Some(later) => later.project(),
        None => unreachable!("it has just been made"),
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, pin::pin, task::Waker};

    use super::*;
    use crate::{
        BulkheadConfig, CircuitBreakerConfig, Clock, ManualClock, Policy, RetryConfig,
        TimeoutConfig,
    };

    #[test]
    fn a_ready_operation_costs_two_readings_of_the_clock_its_steps_included() {
        let manual = ManualClock::new();
        let policy = Policy::builder("orders")
            .deadline(Duration::from_secs(2))
            .retry(RetryConfig::default())
            .circuit_breaker(CircuitBreakerConfig::default())
            .bulkhead(BulkheadConfig::default())
            .timeout(TimeoutConfig::default())
            .clock(Clock::manual(&manual))
            .build()
            .unwrap();
        for n in 1..=200 {
            let steps = |attempt: Attempt| {
                let connecting = attempt.connect(ready(()));
                async move {
                    connecting.await?;
                    attempt.read(ready(())).await
                }
            };
            let mut call = pin!(policy.run_with(steps));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
            assert_eq!(manual.reads(), 2 * n);
        }
    }
}
