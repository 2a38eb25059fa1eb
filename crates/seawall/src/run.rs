//! The one async driver of a call: obeys the core's `Call`, and knows nothing of retries or breakers.
//!
//! ```text
//!   Start   make the operation's future
//!   Wait    poll it; if pending, wait for it or for the moment the call named
//!   Cancel  drop the future, then say so
//!   Done    hand out the answer or the error
//! ```
//!
//! The operation is polled before any timer exists, so a ready one costs two clock reads, two short locks and
//! no allocation.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use seawall_core::{Action, Ask, Call, Event, Finish, Gate, Instant, Outcome, Shared};

use crate::{
    Attempted, Classify, Clock, Ended, History,
    clock::Timer,
    guard::{Guard, Held},
};

/// One attempt, as its operation sees it.
#[derive(Clone, Copy, Debug)]
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
}

impl<P: Copy + PartialEq> Attempt<P> {
    /// The attempt a call has just started.
    #[inline]
    pub(crate) fn of(call: &Call<P>, started: Instant) -> Self {
        let number = call.attempt();
        Self { number, pick: call.picked(number), started, give_up_at: call.give_up_at() }
    }

    /// How much time the call has left from the start of this attempt; `None` without a deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<std::time::Duration> {
        (self.give_up_at != Instant::NEVER).then(|| self.give_up_at.since(self.started))
    }
}

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
    pub took: std::time::Duration,
}

/// Runs an operation to its end.
pub(crate) async fn run<S, T, E, C, F, Fut>(
    shared: S,
    clock: &Clock,
    ask: Ask,
    classify: &C,
    operation: F,
) -> Ending<T, E>
where
    S: Shared,
    C: Classify<T, E>,
    F: FnMut(Attempt<<S::Gate as Gate>::Pick>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut guard = Guard::new(shared, clock.clone(), ask);
    drive(&mut guard, classify, operation, false).await
}

/// Runs an operation to the head of its answer. What the answer holds (its place in the bulkhead, the judgement
/// of its body) goes on in the [`Held`].
pub async fn run_held<S, T, E, C, F, Fut>(
    shared: S,
    clock: &Clock,
    ask: Ask,
    classify: &C,
    operation: F,
) -> (Ending<T, E>, Held<S>)
where
    S: Shared,
    C: Classify<T, E>,
    F: FnMut(Attempt<<S::Gate as Gate>::Pick>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut guard = Guard::new(shared, clock.clone(), ask);
    let ending = drive(&mut guard, classify, operation, true).await;
    (ending, Held::new(guard))
}

/// Asks the operation, and only if it is not ready the clock.
fn poll<S, T, E, Fut>(
    guard: &mut Guard<S>,
    future: Pin<&mut Option<Fut>>,
    timer: Pin<&mut Timer>,
    cx: &mut Context<'_>,
) -> Poll<Heard<T, E>>
where
    S: Shared,
    Fut: Future<Output = Result<T, E>>,
{
    if let Some(running) = future.as_pin_mut()
        && let Poll::Ready(answer) = guard.watched(|_| running.poll(cx))
    {
        return Poll::Ready(Heard::Answer(answer));
    }
    let wake_at = guard.call().wake_at();
    if wake_at == Instant::NEVER {
        return Poll::Pending;
    }
    timer.poll_until(wake_at, cx).map(|()| Heard::Tick)
}

/// What the operation or the clock said.
enum Heard<T, E> {
    Answer(Result<T, E>),
    Tick,
}

async fn drive<S, T, E, C, F, Fut>(
    guard: &mut Guard<S>,
    classify: &C,
    mut operation: F,
    heads: bool,
) -> Ending<T, E>
where
    S: Shared,
    C: Classify<T, E>,
    F: FnMut(Attempt<<S::Gate as Gate>::Pick>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let begun = guard.clock.now();
    let mut now = begun;
    let mut started = begun;
    let mut answer = None;
    let mut history = History::default();
    let mut future = pin!(None::<Fut>);
    let mut timer = pin!(Timer::new(guard.clock.clone()));
    let mut action = guard.begin(now);
    loop {
        action = match action {
            Action::Start { .. } => {
                started = now;
                answer = None;
                future.set(Some(guard.watched(|call| operation(Attempt::of(call, started)))));
                Action::Wait
            }
            Action::Wait => {
                let heard = poll_fn(|cx| poll(guard, future.as_mut(), timer.as_mut(), cx)).await;
                now = guard.clock.now();
                match heard {
                    Heard::Answer(heard) => {
                        future.set(None);
                        let verdict = classify.classify(&heard);
                        let attempt = guard.call().attempt();
                        if verdict.outcome != Outcome::Success {
                            let ended = Ended::Answered(verdict.outcome);
                            history.push(Attempted::new(attempt, begun, started, now, ended));
                        }
                        answer = Some(heard);
                        guard.on(
                            if heads {
                                Event::Head { attempt, verdict }
                            } else {
                                Event::Ended { attempt, verdict }
                            },
                            now,
                        )
                    }
                    Heard::Tick => {
                        // Two clocks: the timer's may be ahead of ours.
                        now = now.max(guard.call().wake_at());
                        guard.on(Event::Tick, now)
                    }
                }
            }
            Action::Cancel { attempt, limit } => {
                guard.watched(|_| future.set(None));
                answer = None;
                history.push(Attempted::new(attempt, begun, started, now, Ended::Cut(limit)));
                guard.on(Event::Cancelled { attempt }, now)
            }
            Action::Done(finish) => {
                return Ending { answer, finish, history, took: now.since(begun) };
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        task::{Context, Waker},
    };

    use super::*;
    use crate::{
        BulkheadConfig, CircuitBreakerConfig, ManualClock, Policy, RetryConfig, TimeoutConfig,
    };

    #[test]
    fn a_ready_operation_costs_two_readings_of_the_clock() {
        let manual = ManualClock::new();
        let policy = Policy::builder("orders")
            .deadline(std::time::Duration::from_secs(2))
            .retry(RetryConfig::default())
            .circuit_breaker(CircuitBreakerConfig::default())
            .bulkhead(BulkheadConfig::default())
            .timeout(TimeoutConfig::default())
            .clock(Clock::manual(&manual))
            .build()
            .unwrap();
        for n in 1..=200 {
            let mut call = pin!(policy.run(|| ready(Ok::<_, ()>(()))));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
            assert_eq!(manual.reads(), 2 * n);
        }
    }
}
