//! Blocking operations on threads of the policy's own, so that a limit can end the wait for one.
//!
//! ```text
//!   caller   Start ▸ a job for the pool   Wait ▸ until it is done, or the moment the call named
//!                                         Cancel ▸ the job is left, and the caller goes on
//!   job      waits for a thread: nothing is owed yet, and left then it never runs
//!            has begun: limits and latency run from here; left now, it keeps its place in the bulkhead until it returns
//!   pool     a thread per running job, at most so many; named after the policy; gone after ten idle seconds
//! ```
//!
//! A thread cannot be killed: a job that was left keeps its thread until it ends, and is counted. As it keeps its place
//! too, a callee that hangs fills the bulkhead, where calls are refused, and not a queue behind it. So at most as many
//! threads as the pool may have are ever lost to it, and other policies have their own.

mod pool;

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use seawall_core::{Action, Draw, Event, Instant, Line, Outcome, Parts, Permit, Shared};

pub use self::pool::PoolSnapshot;
pub(crate) use self::pool::{Job, Pool};
use crate::{
    Classify, Clock, Deadline, Driven, Ended, Protection, StepLimits, Teller, clock::Parker,
    guard::Guard, observe::Trail, run::Ending,
};

/// Runs an operation to its end on the policy's threads; the caller's thread waits.
pub(crate) fn run_pooled<S, T, E, C, F>(
    mut guard: Guard<Pooled<'_, S>>,
    classify: &C,
    operation: F,
) -> Ending<T, E>
where
    S: Protection,
    C: Classify<T, E>,
    F: Fn() -> Result<T, E> + Send + Sync + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let operation = Arc::new(operation);
    let parker = Arc::new(Parker::here());
    let waker = Waker::from(parker.clone());
    let begun = guard.clock().now();
    let (mut now, mut started) = (begun, begun);
    let mut answer = None;
    let mut trail = Trail::default();
    let mut sent: Option<Sent<T, E, S>> = None;
    let mut action = guard.begin(now);
    loop {
        action = match action {
            Action::Start { .. } => {
                (started, answer) = (now, None);
                trail.retried(now);
                sent = Some(Sent::new(guard.shared().shared, guard.deadline(), &operation, &waker));
                Action::Wait
            }
            Action::Wait => {
                let came = sent.as_ref().and_then(Sent::answer);
                guard.shared().begun.set(sent.as_ref().and_then(Sent::begun));
                if let Some(came) = came {
                    sent = None;
                    let answered = match came {
                        Ok(answered) => answered,
                        Err(panic) => guard.watched(|_| resume_unwind(panic)),
                    };
                    now = guard.clock().now();
                    let verdict = classify.classify(&answered);
                    let attempt = guard.call().attempt();
                    if verdict.outcome != Outcome::Success {
                        let ended = Ended::Answered(verdict.outcome);
                        trail.push(&guard, ended, verdict.retry_after, started, now);
                    }
                    answer = Some(answered);
                    guard.on(Event::Ended { attempt, verdict }, now)
                } else {
                    // Woken by its job, it is looked at again.
                    let (event, seen) = guard.block(&parker);
                    now = seen;
                    guard.shared().begun.set(sent.as_ref().and_then(Sent::begun));
                    event.map_or(Action::Wait, |event| guard.on(event, now))
                }
            }
            Action::Cancel { attempt, limit } => {
                if let Some(sent) = sent.take() {
                    sent.leave(&mut guard);
                }
                trail.push(&guard, Ended::Cut(limit), None, started, now);
                guard.on(Event::Cancelled { attempt }, now)
            }
            Action::Done(finish) => {
                let history = trail.end(finish);
                return Ending { answer, finish, history, took: now.since(begun) };
            }
        };
    }
}

/// The job of one attempt, as its caller sees it.
struct Sent<T, E, S: Protection> {
    number: u32,
    letter: Letter<T, E, S>,
}

impl<T, E, S> Sent<T, E, S>
where
    S: Protection,
    T: Send + 'static,
    E: Send + 'static,
{
    /// Hands the operation to the pool, with the deadline that its own calls inherit.
    fn new<F>(shared: &S, deadline: Deadline, operation: &Arc<F>, waker: &Waker) -> Self
    where
        F: Fn() -> Result<T, E> + Send + Sync + 'static,
    {
        let letter: Letter<T, E, S> = Arc::default();
        let (reply, operation, waker) = (letter.clone(), operation.clone(), waker.clone());
        let clock = shared.clock().clone();
        let job = Box::new(move || {
            open(&reply).begun = Some(clock.now());
            let came = catch_unwind(AssertUnwindSafe(|| deadline.scope_blocking(|| operation())));
            // What the operation holds goes before its caller hears of its end, and before its place is another's.
            drop(operation);
            let kept = {
                let mut inside = open(&reply);
                inside.came = Some(came);
                inside.kept.take()
            };
            drop(kept);
            waker.wake();
        });
        Self { number: shared.submit(job), letter }
    }
}

impl<T, E, S: Protection> Sent<T, E, S> {
    fn answer(&self) -> Option<Came<T, E>> {
        open(&self.letter).came.take()
    }

    fn begun(&self) -> Option<Instant> {
        open(&self.letter).begun
    }

    /// Its caller goes on. A job that runs has the place from now on.
    fn leave(self, guard: &mut Guard<Pooled<'_, S>>) {
        let shared = guard.shared().shared;
        if !shared.leave_job(self.number) {
            return;
        }
        let since = guard.call().started().unwrap_or(Instant::ORIGIN);
        let Some(place) = guard.keep_place() else { return };
        let kept = Kept { shared: shared.clone(), place: Some(place), since };
        let mut inside = open(&self.letter);
        if inside.came.is_none() {
            inside.kept = Some(kept);
        } else {
            // It ended just now: dropped, and not under the lock.
            drop(inside);
            drop(kept);
        }
    }
}

/// Where a job says how far it is, and finds what it has to keep.
type Letter<T, E, S> = Arc<Mutex<Inside<T, E, S>>>;

/// An answer, or a panic.
type Came<T, E> = Result<Result<T, E>, Box<dyn Any + Send>>;

struct Inside<T, E, S: Protection> {
    begun: Option<Instant>,
    came: Option<Came<T, E>>,
    kept: Option<Kept<S>>,
}

impl<T, E, S: Protection> Default for Inside<T, E, S> {
    fn default() -> Self {
        Self { begun: None, came: None, kept: None }
    }
}

/// The place of a job that was left; dropped, it is free.
struct Kept<S: Protection> {
    shared: S,
    place: Option<Permit>,
    since: Instant,
}

impl<S: Protection> Drop for Kept<S> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let now = self.shared.clock().now();
            self.shared.visit(now, |mut parts| parts.give_back(place, now.since(self.since)));
        }
    }
}

/// The policy, as a call sees it whose attempts may have to wait for a thread.
pub(crate) struct Pooled<'s, S> {
    shared: &'s S,
    /// Since when the job runs, as of the last look: what is judged is what was seen.
    begun: Cell<Option<Instant>>,
}

impl<'s, S> Pooled<'s, S> {
    pub(crate) const fn new(shared: &'s S) -> Self {
        Self { shared, begun: Cell::new(None) }
    }
}

impl<S: Protection> Shared for Pooled<'_, S> {
    type Gate = S::Gate;

    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, Self::Gate>) -> R) -> R {
        self.shared.visit(now, step)
    }

    fn draw(&self) -> Draw {
        self.shared.draw()
    }

    fn can_repeat(&self) -> bool {
        self.shared.can_repeat()
    }

    fn owed_since(&self) -> Option<Instant> {
        self.begun.get()
    }

    fn has_begun(&self) -> bool {
        self.begun.get().is_some()
    }
}

impl<S: Protection> Driven for Pooled<'_, S> {
    fn clock(&self) -> &Clock {
        self.shared.clock()
    }

    fn park(&self, line: Line, place: usize, waker: &Waker) -> bool {
        self.shared.park(line, place, waker)
    }

    fn forget(&self, line: Line, place: usize) {
        self.shared.forget(line, place);
    }

    fn limits(&self) -> StepLimits {
        self.shared.limits()
    }

    fn teller(&self) -> Option<&Teller> {
        self.shared.teller()
    }

    fn whose(&self) -> Option<Arc<str>> {
        self.shared.whose()
    }
}

fn open<T>(letter: &Mutex<T>) -> MutexGuard<'_, T> {
    letter.lock().unwrap_or_else(PoisonError::into_inner)
}
