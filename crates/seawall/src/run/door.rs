//! What a door makes of a call's end: functions get a value or an error, streams go on after the head of their answer.

use std::{future::Future, task::Poll, time::Duration};

use seawall_core::{Ask, Event, Finish, Gate, Refusal, Verdict};

use super::run;
use crate::{
    Attempt, Classify, Driven, History,
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
