//! One call with what its caller knows: a deadline of its own, that the operation must not be repeated.

use std::{future::Future, task::Poll, time::Duration};

use seawall_core::{Ask, Event, Finish, Priority, Repeat, Verdict};

use crate::{
    Attempt, Classify, Ending, Error, Held, History, Plain, Policy, Refused, TimedOut, blocking,
    guard::Guard,
    pooled,
    run::{self, Door},
};

/// One call about to be made. Made by [`Policy::call`].
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `run`"]
pub struct Caller<'p, C = Plain> {
    policy: &'p Policy,
    classify: &'p C,
    deadline: Option<Duration>,
    repeat: Repeat,
    priority: Priority,
    cost: u32,
}

impl<'p, C> Caller<'p, C> {
    pub(crate) const fn new(policy: &'p Policy, classify: &'p C) -> Self {
        Self {
            policy,
            classify,
            deadline: None,
            repeat: Repeat::Always,
            priority: Priority::Normal,
            cost: 1,
        }
    }

    /// This caller cannot wait longer. The policy's deadline applies as well.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The operation must run at most once.
    pub const fn no_retry(mut self) -> Self {
        self.repeat = Repeat::Never;
        self
    }

    /// How urgent it is, where calls wait for a place in the bulkhead or share a rate limit. Default normal.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// What it takes from the rate limit. Default 1.
    pub const fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// Judges the answer by `classify`.
    pub fn classify<D>(self, classify: &'p D) -> Caller<'p, D> {
        let Self { policy, deadline, repeat, priority, cost, .. } = self;
        Caller { policy, classify, deadline, repeat, priority, cost }
    }

    /// As [`Policy::run`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub fn run<T, E, F, Fut>(self, mut operation: F) -> impl Future<Output = Result<T, Error<E>>>
    where
        C: Classify<T, E>,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.run_with(move |_| operation())
    }

    /// As [`Policy::run_with`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub fn run_with<T, E, F, Fut>(self, operation: F) -> impl Future<Output = Result<T, Error<E>>>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let ask = self.ask();
        run::run::<Plainly, _, _, _, _, _, _>(self.policy, ask, self.classify, operation)
    }

    /// As [`run_with`](Self::run_with), and what there is to tell of a good call too: how many attempts it took, what
    /// became of the others, how long it lasted.
    pub fn run_reported<T, E, F, Fut>(
        self,
        operation: F,
    ) -> impl Future<Output = (Result<T, Error<E>>, Report)>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let ask = self.ask();
        run::run::<Reporting, _, _, _, _, _, _>(self.policy, ask, self.classify, operation)
    }

    /// As [`Policy::run_pooled`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub fn run_pooled<T, E, F>(self, operation: F) -> Result<T, Error<E>>
    where
        C: Classify<T, E>,
        F: Fn() -> Result<T, E> + Send + Sync + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (policy, ask) = (self.policy, self.ask());
        let ending = pooled::run_pooled(policy, ask, self.classify, operation);
        answer(policy, ending)
    }

    /// As [`Policy::run_held`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub async fn run_held<T, E, F, Fut>(self, operation: F) -> Result<(T, Held<Policy>), Error<E>>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (policy, ask) = (self.policy, self.ask());
        let (ending, held) = run::run_held(policy.clone(), ask, self.classify, operation).await;
        answer(policy, ending).map(|answer| (answer, held))
    }

    /// As [`Policy::run_blocking`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub fn run_blocking<T, E, F>(self, operation: F) -> Result<T, Error<E>>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Result<T, E>,
    {
        let (policy, ask) = (self.policy, self.ask());
        let ending = blocking::run_blocking(policy, ask, self.classify, operation);
        answer(policy, ending)
    }

    fn ask(&self) -> Ask {
        let Self { repeat, priority, cost, .. } = *self;
        let ask = Ask { repeat, priority, cost, ..Ask::default() };
        match self.deadline {
            Some(deadline) => Ask { give_up_at: self.policy.clock().now() + deadline, ..ask },
            None => ask,
        }
    }
}

/// The door of functions: a value or an error, and nothing held.
struct Plainly;

impl<T, E> Door<&Policy, T, E> for Plainly {
    type Out = Result<T, Error<E>>;

    #[inline]
    fn event(attempt: u8, verdict: Verdict) -> Event {
        Event::Ended { attempt, verdict }
    }

    #[inline]
    fn good(value: T) -> Result<Self::Out, T> {
        Ok(Ok(value))
    }

    #[inline]
    fn ended(guard: &mut Option<Guard<&Policy>>, ending: Ending<T, E>) -> Poll<Self::Out> {
        guard.as_ref().map_or(Poll::Pending, |guard| Poll::Ready(answer(guard.shared(), ending)))
    }
}

/// What there is to tell of a call besides its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Attempts that ran; 0 for a call that was refused.
    pub attempts: u8,
    /// Those that did not succeed, and why no other followed the last.
    pub history: History,
    /// From the call's beginning to its end, waits included.
    pub took: Duration,
}

/// The door of functions, with a report.
struct Reporting;

impl<T, E> Door<&Policy, T, E> for Reporting {
    type Out = (Result<T, Error<E>>, Report);

    fn event(attempt: u8, verdict: Verdict) -> Event {
        Event::Ended { attempt, verdict }
    }

    fn good(value: T) -> Result<Self::Out, T> {
        Err(value)
    }

    fn ended(guard: &mut Option<Guard<&Policy>>, ending: Ending<T, E>) -> Poll<Self::Out> {
        let Some(guard) = guard.as_ref() else { return Poll::Pending };
        let history = match ending.finish {
            Finish::Answer { stopped, .. } | Finish::TimedOut { stopped, .. } => {
                ending.history.clone().close(stopped)
            }
            Finish::Refused(_) => History::default(),
        };
        let report = Report { attempts: guard.call().attempt(), history, took: ending.took };
        Poll::Ready((answer(guard.shared(), ending), report))
    }
}

/// What the caller gets.
#[inline]
fn answer<T, E>(policy: &Policy, ending: Ending<T, E>) -> Result<T, Error<E>> {
    let Ending { answer, finish, history, took } = ending;
    let policy = || policy.name().clone();
    match (finish, answer) {
        (_, Some(Ok(answer))) => Ok(answer),
        (Finish::Answer { stopped, .. }, Some(Err(error))) => {
            Err(Error::Failed(error, history.close(stopped)))
        }
        (Finish::TimedOut { limit, stopped }, _) => {
            let history = history.close(stopped);
            Err(Error::TimedOut(TimedOut { policy: policy(), limit, after: took, history }))
        }
        (Finish::Refused(refusal), _) => Err(Error::Refused(Refused { policy: policy(), refusal })),
        (Finish::Answer { .. }, None) => {
            unreachable!("a call ends with an answer only after one came")
        }
    }
}
