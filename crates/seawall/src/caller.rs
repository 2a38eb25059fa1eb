//! One call with what its caller knows: a deadline of its own, that the operation must not be repeated.

use std::{future::Future, sync::Arc, task::Poll, time::Duration};

use seawall_core::{Ask, Event, Finish, Gate, Priority, Refusal, Repeat, Verdict};

use crate::{
    Attempt, Classify, Driven, Ending, Error, Held, History, Plain, Policy, Refused, TimedOut,
    blocking,
    guard::Guard,
    pooled::{self, Pooled},
    run::{self, Door, Holding},
};

/// What a call can be made under: a policy.
pub trait Protection: Driven<Gate: Gate<Pick = ()>> + Clone + Send + 'static {
    /// Its name, as refusals tell it.
    fn name(&self) -> &Arc<str>;

    /// Whether it is one for many keys, for none of which there was room. Default no.
    fn is_shared(&self) -> bool {
        false
    }

    /// Runs a job on a thread of its own, as soon as one is free. Its number.
    fn submit(&self, job: Box<dyn FnOnce() + Send>) -> u32;

    /// The caller of the job with this number goes: one that still waits for a thread never runs, one that runs is
    /// counted. Whether it had begun.
    fn leave_job(&self, number: u32) -> bool;
}

/// One call about to be made. Made by [`Policy::call`].
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `run`"]
pub struct Caller<'p, C = Plain, S = Policy> {
    shared: &'p S,
    classify: &'p C,
    deadline: Option<Duration>,
    repeat: Repeat,
    priority: Priority,
    cost: u32,
}

impl<'p, C, S: Protection> Caller<'p, C, S> {
    pub(crate) const fn new(shared: &'p S, classify: &'p C) -> Self {
        Self {
            shared,
            classify,
            deadline: None,
            repeat: Repeat::Always,
            priority: Priority::Normal,
            cost: 1,
        }
    }

    /// This caller cannot wait longer, from when the call begins: a future, when it is first polled. The policy's deadline
    /// applies as well.
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
    pub fn classify<D>(self, classify: &'p D) -> Caller<'p, D, S> {
        let Self { shared, deadline, repeat, priority, cost, .. } = self;
        Caller { shared, classify, deadline, repeat, priority, cost }
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
        run::run::<Plainly, _, _, _, _, _, _>(self.guard(self.shared), self.classify, operation)
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
        run::run::<Reporting, _, _, _, _, _, _>(self.guard(self.shared), self.classify, operation)
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
        let guard = self.guard(Pooled::new(self.shared));
        answer(self.shared, pooled::run_pooled(guard, self.classify, operation))
    }

    /// As [`Policy::run_held`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub async fn run_held<T, E, F, Fut>(self, operation: F) -> Result<(T, Held<S>), Error<E>>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let guard = self.guard(self.shared.clone());
        let (ending, held) =
            run::run::<Holding, _, _, _, _, _, _>(guard, self.classify, operation).await;
        answer(self.shared, ending).map(|answer| (answer, held))
    }

    /// As [`Policy::run_blocking`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub fn run_blocking<T, E, F>(self, mut operation: F) -> Result<T, Error<E>>
    where
        C: Classify<T, E>,
        F: FnMut() -> Result<T, E>,
    {
        self.run_blocking_with(move |_| operation())
    }

    /// As [`Policy::run_blocking_with`].
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub fn run_blocking_with<T, E, F>(self, operation: F) -> Result<T, Error<E>>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Result<T, E>,
    {
        let guard = self.guard(self.shared);
        answer(self.shared, blocking::run_blocking(guard, self.classify, operation))
    }

    /// The call, which may begin long after it was made.
    fn guard<D: Driven>(&self, shared: D) -> Guard<D> {
        let Self { deadline, repeat, priority, cost, .. } = *self;
        Guard::new(shared, Ask { repeat, priority, cost, ..Ask::default() }).within(deadline)
    }
}

/// The door of functions: a value or an error, and nothing held.
struct Plainly;

impl<S: Protection, T, E> Door<&S, T, E> for Plainly {
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
    fn refused(guard: &mut Option<Guard<&S>>, refusal: Refusal) -> Poll<Self::Out> {
        let Some(guard) = guard else { return Poll::Pending };
        Poll::Ready(Err(refused(*guard.shared(), refusal)))
    }

    #[inline]
    fn ended(guard: &mut Option<Guard<&S>>, ending: Ending<T, E>) -> Poll<Self::Out> {
        guard.as_ref().map_or(Poll::Pending, |guard| Poll::Ready(answer(*guard.shared(), ending)))
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

impl<S: Protection, T, E> Door<&S, T, E> for Reporting {
    type Out = (Result<T, Error<E>>, Report);

    fn event(attempt: u8, verdict: Verdict) -> Event {
        Event::Ended { attempt, verdict }
    }

    fn good(value: T) -> Result<Self::Out, T> {
        Err(value)
    }

    fn ended(guard: &mut Option<Guard<&S>>, ending: Ending<T, E>) -> Poll<Self::Out> {
        let Some(guard) = guard.as_ref() else { return Poll::Pending };
        let stopped = ending.finish.stopped();
        let history = stopped.map(|stopped| ending.history.clone().close(stopped));
        let history = history.unwrap_or_default();
        let report = Report { attempts: guard.call().attempt(), history, took: ending.took };
        Poll::Ready((answer(*guard.shared(), ending), report))
    }
}

fn refused<S: Protection, E>(shared: &S, refusal: Refusal) -> Error<E> {
    let (policy, is_shared) = (shared.name().clone(), shared.is_shared());
    Error::Refused(Refused { policy, refusal, is_shared })
}

/// What the caller gets.
#[inline]
fn answer<S: Protection, T, E>(shared: &S, ending: Ending<T, E>) -> Result<T, Error<E>> {
    let Ending { answer, finish, history, took } = ending;
    let policy = || shared.name().clone();
    match (finish, answer) {
        (_, Some(Ok(answer))) => Ok(answer),
        (Finish::Answer { stopped, .. }, Some(Err(error))) => {
            Err(Error::Failed(error, history.close(stopped)))
        }
        (Finish::TimedOut { limit, stopped }, _) => {
            let history = history.close(stopped);
            Err(Error::TimedOut(TimedOut { policy: policy(), limit, after: took, history }))
        }
        (Finish::Refused(refusal), _) => Err(refused(shared, refusal)),
        (Finish::Answer { .. }, None) => {
            unreachable!("a call ends with an answer only after one came")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;
    use crate::{Clock, ManualClock};

    fn at_once<T>(call: impl Future<Output = T>) -> T {
        match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("it is ready"),
        }
    }

    /// A way to call, and what its operation sees.
    type Way = fn(Caller<'_>, ManualClock) -> Result<u64, Error<()>>;

    /// How often the clock was read before the operation ran.
    fn reads(way: Way, deadline: Option<Duration>) -> u64 {
        let manual = ManualClock::new();
        let policy = Policy::builder("orders").clock(Clock::manual(&manual)).build();
        let policy = policy.expect("the settings make sense");
        let caller = match deadline {
            Some(deadline) => policy.call().deadline(deadline),
            None => policy.call(),
        };
        way(caller, manual).expect("it ends well")
    }

    #[test]
    fn a_callers_own_deadline_reads_no_clock_whichever_way_it_calls() {
        let ways: [Way; 5] = [
            |call, time| at_once(call.run(|| ready(Ok(time.reads())))),
            |call, time| at_once(call.run_reported(|_| ready(Ok(time.reads())))).0,
            |call, time| {
                at_once(call.run_held(|_| ready(Ok(time.reads())))).map(|(reads, _)| reads)
            },
            |call, time| call.run_blocking(|| Ok(time.reads())),
            |call, time| call.run_pooled(move || Ok(time.reads())),
        ];
        for (n, way) in ways.into_iter().enumerate() {
            assert_eq!(reads(way, Some(Duration::from_secs(1))), reads(way, None), "way {n}");
        }
    }
}
