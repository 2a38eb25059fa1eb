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

use std::{
    future::Future,
    marker::PhantomData,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use seawall_core::{Action, Ask, Event, Finish, Gate, Instant, Outcome, Refusal, Verdict};

use crate::{
    Attempt, Attempted, Classify, Driven, Ended, History,
    clock::Timer,
    guard::{Guard, Held},
};

/// How a call ended: the last attempt's answer, if one was answered last, and the core's word on it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ending<T, E> {
    /// The last attempt's answer.
    pub answer: Option<Result<T, E>>,
    /// How it ended.
    pub finish: Finish,
    /// Attempts that did not succeed.
    pub history: History,
    /// From its beginning to its end.
    pub took: Duration,
}

/// What a door makes of a call's end.
pub(crate) trait Door<S: Driven, T, E> {
    /// What its caller gets.
    type Out;

    /// What an answer is to the call: its end, or only its head.
    fn event(attempt: u8, verdict: Verdict) -> Event;

    /// Of a good answer, if there is nothing more to it; the value comes back where there is.
    fn good(value: T) -> Result<Self::Out, T>;

    /// Of a call that was refused before anything ran.
    fn refused(guard: &mut Option<Guard<S>>, refusal: Refusal) -> Poll<Self::Out> {
        let finish = Finish::Refused(refusal);
        let (history, took) = (History::default(), Duration::ZERO);
        Self::ended(guard, Ending { answer: None, finish, history, took })
    }

    /// Of any end. The guard is there to be taken.
    fn ended(guard: &mut Option<Guard<S>>, ending: Ending<T, E>) -> Poll<Self::Out>;
}

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

/// Runs an operation to the head of its answer. What the answer holds (its place in the bulkhead, the judgement
/// of its body) goes on in the [`Held`].
pub fn run_held<S, T, E, C, F, Fut>(
    shared: S,
    ask: Ask,
    classify: &C,
    operation: F,
) -> impl Future<Output = (Ending<T, E>, Held<S>)>
where
    S: Driven,
    C: Classify<T, E>,
    F: FnMut(Attempt<<S::Gate as Gate>::Pick>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    run::<Holding, _, _, _, _, _, _>(Guard::new(shared, ask), classify, operation)
}

/// The door that holds on to the call.
pub(crate) struct Holding;

impl<S: Driven, T, E> Door<S, T, E> for Holding {
    type Out = (Ending<T, E>, Held<S>);

    fn event(attempt: u8, verdict: Verdict) -> Event {
        Event::Head { attempt, verdict }
    }

    fn good(value: T) -> Result<Self::Out, T> {
        Err(value)
    }

    fn ended(guard: &mut Option<Guard<S>>, ending: Ending<T, E>) -> Poll<Self::Out> {
        guard.take().map_or(Poll::Pending, |guard| Poll::Ready((ending, Held::new(guard))))
    }
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
        timer: Timer,
        answer: Option<Result<T, E>>,
        history: History,
        door: PhantomData<fn() -> D>,
        // Gone once the call is over. Last, for fields are dropped in this order: nothing is given back while anything
        // of the operation is still there.
        guard: Option<Guard<S>>,
    }
}

impl<'c, S: Driven, T, E, C, F, Fut, D> Run<'c, S, T, E, C, F, Fut, D> {
    #[inline]
    fn new(guard: Guard<S>, classify: &'c C, operation: F) -> Self {
        Self {
            classify,
            operation,
            future: None,
            timer: Timer::default(),
            answer: None,
            history: History::default(),
            door: PhantomData,
            guard: Some(guard),
        }
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
        let this = self.as_mut().project();
        if let Some(guard) = this.guard
            && guard.call().is_fresh()
        {
            let now = guard.clock().now();
            if guard.starts(now) {
                self.as_mut().start(now);
            } else if let Some(&refusal) = guard.call().refusal() {
                return D::refused(this.guard, refusal);
            }
        }
        loop {
            let mut this = self.as_mut().project();
            // Polled again after its end, it has nothing more to say.
            let Some(guard) = this.guard else { return Poll::Pending };
            let end = match ready!(hear(guard, this.future.as_mut(), this.timer, cx)) {
                Heard::Answer(answer) => {
                    let now = guard.clock().now();
                    guard.watched(|| this.future.set(None));
                    let verdict = this.classify.classify(&answer);
                    if verdict.outcome == Outcome::Success {
                        let action = guard.on(D::event(guard.call().attempt(), verdict), now);
                        // The call is over: a good answer need not go by way of the ending.
                        *this.answer = Some(match answer.map(D::good) {
                            Ok(Ok(out)) => return Poll::Ready(out),
                            Ok(Err(value)) => Ok(value),
                            Err(error) => Err(error),
                        });
                        self.as_mut().obey(action, now)
                    } else {
                        self.as_mut().failed(answer, verdict, now)
                    }
                }
                Heard::CalledUp => {
                    let now = guard.clock().now();
                    let action = guard.on(Event::Woken, now);
                    self.as_mut().obey(action, now)
                }
                Heard::Tick => {
                    // Two clocks: the timer's may be ahead of ours.
                    let now = guard.clock().now().max(guard.call().wake_at());
                    let action = guard.on(Event::Tick, now);
                    self.as_mut().obey(action, now)
                }
            };
            if let Some(end) = end {
                return end;
            }
        }
    }
}

/// Methods take the driver by one pointer, not its parts by ten.
impl<S, T, E, C, F, Fut, D> Run<'_, S, T, E, C, F, Fut, D>
where
    S: Driven,
    F: FnMut(Attempt<<S::Gate as Gate>::Pick>) -> Fut,
    D: Door<S, T, E>,
{
    #[inline]
    fn start(self: Pin<&mut Self>, now: Instant) {
        let mut this = self.project();
        if let Some(guard) = this.guard {
            let operation = this.operation;
            let attempt = guard.attempt(now);
            this.future.set(Some(guard.watched(|| operation(attempt))));
        }
    }

    #[cold]
    fn failed(
        mut self: Pin<&mut Self>,
        answer: Result<T, E>,
        verdict: Verdict,
        now: Instant,
    ) -> Option<Poll<D::Out>> {
        self.as_mut().note(Ended::Answered(verdict.outcome), verdict.retry_after, now);
        let this = self.as_mut().project();
        *this.answer = Some(answer);
        let guard = this.guard.as_mut()?;
        let action = guard.on(D::event(guard.call().attempt(), verdict), now);
        self.obey(action, now)
    }

    /// Does as it is told, until it is told to wait or to return.
    #[inline(never)]
    fn obey(mut self: Pin<&mut Self>, mut action: Action, now: Instant) -> Option<Poll<D::Out>> {
        loop {
            action = match action {
                Action::Start { .. } => {
                    *self.as_mut().project().answer = None;
                    self.start(now);
                    return None;
                }
                Action::Wait => return None,
                Action::Cancel { attempt, limit } => {
                    self.as_mut().note(Ended::Cut(limit), None, now);
                    let mut this = self.as_mut().project();
                    *this.answer = None;
                    let guard = this.guard.as_mut()?;
                    guard.watched(|| this.future.set(None));
                    guard.on(Event::Cancelled { attempt }, now)
                }
                Action::Done(finish) => {
                    let this = self.project();
                    let (answer, history) = (this.answer.take(), mem::take(this.history));
                    let took = this.guard.as_ref().map(|guard| now.since(guard.call().begun()));
                    let took = took.unwrap_or_default();
                    return Some(D::ended(this.guard, Ending { answer, finish, history, took }));
                }
            };
        }
    }

    /// Writes down how the running attempt ended, if not well.
    fn note(self: Pin<&mut Self>, ended: Ended, retry_after: Option<Duration>, now: Instant) {
        let this = self.project();
        if let Some(guard) = this.guard {
            let call = guard.call();
            let started = call.started().unwrap_or(now);
            let attempted = Attempted::new(call.attempt(), call.begun(), started, now, ended);
            this.history.push(attempted.after(retry_after));
        }
    }
}

/// Asks the operation, and only if it is not ready the clock.
#[inline]
pub(crate) fn hear<S, T, E, Fut>(
    guard: &mut Guard<S>,
    future: Pin<&mut Option<Fut>>,
    timer: Pin<&mut Timer>,
    cx: &mut Context<'_>,
) -> Poll<Heard<T, E>>
where
    S: Driven,
    Fut: Future<Output = Result<T, E>>,
{
    if let Some(running) = future.as_pin_mut()
        && let Poll::Ready(answer) = guard.watched(|| running.poll(cx))
    {
        return Poll::Ready(Heard::Answer(answer));
    }
    if guard.poll_line(cx.waker()) {
        return Poll::Ready(Heard::CalledUp);
    }
    let wake_at = guard.call().wake_at();
    if wake_at == Instant::NEVER {
        return Poll::Pending;
    }
    ready!(timer.poll_until(guard.clock(), wake_at, cx));
    guard.leave_line();
    Poll::Ready(Heard::Tick)
}

/// What the operation, the line or the clock said.
pub(crate) enum Heard<T, E> {
    Answer(Result<T, E>),
    CalledUp,
    Tick,
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
