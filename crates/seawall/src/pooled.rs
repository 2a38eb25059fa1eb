//! Blocking operations on threads of the policy's own, so that a limit can end the wait for one.
//!
//! ```text
//!   caller   Start ▸ a job for the pool   Wait ▸ until it is done, or the moment the call named
//!                                         Cancel ▸ the job is left to itself, and the caller goes on
//!   pool     a thread per running job, at most so many; named after the policy; gone after ten idle seconds
//! ```
//!
//! A thread cannot be killed: a job that was left keeps its thread until it ends, and is counted. So at most as many
//! threads as the pool may have are ever lost to a callee that hangs, and other policies have their own.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
    thread,
    time::Duration,
};

use seawall_core::{Action, Ask, Event, Outcome};

use crate::{
    Attempted, Classify, Deadline, Ended, History, Protection, clock::Parker, guard::Guard,
    run::Ending,
};

/// Threads for the jobs of one policy.
#[derive(Debug)]
pub(crate) struct Pool {
    name: Arc<str>,
    inside: Mutex<Inside>,
    work: Condvar,
}

#[derive(Default)]
struct Inside {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    abandoned: u64,
}

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// What a pool shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSnapshot {
    /// Threads that exist.
    pub threads: usize,
    /// Of them, those without a job.
    pub idle: usize,
    /// Jobs that wait for a thread.
    pub waiting: usize,
    /// Jobs that were left to themselves because a limit had passed, ever.
    pub abandoned: u64,
}

impl Pool {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self { name, inside: Mutex::default(), work: Condvar::new() }
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        let inside = self.lock();
        let Inside { jobs, threads, idle, abandoned } = &*inside;
        PoolSnapshot { threads: *threads, idle: *idle, waiting: jobs.len(), abandoned: *abandoned }
    }

    /// Runs a job on a thread of its own, as soon as one of `most` is free.
    pub(crate) fn submit(self: &Arc<Self>, most: usize, job: Job) {
        let mut inside = self.lock();
        inside.jobs.push_back(job);
        if inside.idle >= inside.jobs.len() || inside.threads >= most.max(1) {
            self.work.notify_one();
            return;
        }
        inside.threads += 1;
        drop(inside);
        let pool = Arc::clone(self);
        let spawned =
            thread::Builder::new().name(self.name.to_string()).spawn(move || pool.serve());
        if spawned.is_err() {
            // The system has no thread left: the job waits for one of ours, or runs here if there is none.
            let mut inside = self.lock();
            inside.threads -= 1;
            let job = if inside.threads == 0 { inside.jobs.pop_front() } else { None };
            drop(inside);
            if let Some(job) = job {
                job();
            }
        }
    }

    /// Counts a job that is left to itself.
    pub(crate) fn abandon(&self) {
        self.lock().abandoned += 1;
    }

    /// Takes jobs until there has been none for a while.
    fn serve(&self) {
        let mut inside = self.lock();
        loop {
            if let Some(job) = inside.jobs.pop_front() {
                drop(inside);
                job();
                inside = self.lock();
                continue;
            }
            inside.idle += 1;
            let waited = self.work.wait_timeout(inside, IDLE_FOR);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            inside = woken;
            inside.idle -= 1;
            if timeout.timed_out() && inside.jobs.is_empty() {
                inside.threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inside").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// Where a job leaves what came of it: an answer, or a panic.
type Letter<T, E> = Arc<Mutex<Option<Result<Result<T, E>, Box<dyn Any + Send>>>>>;

/// Runs an operation to its end on the policy's threads; the caller's thread waits.
pub(crate) fn run_pooled<S, T, E, C, F>(
    shared: &S,
    ask: Ask,
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
    let mut guard = Guard::new(shared, ask);
    let begun = guard.clock().now();
    let (mut now, mut started) = (begun, begun);
    let mut answer = None;
    let mut history = History::default();
    let mut letter: Option<Letter<T, E>> = None;
    let mut action = guard.begin(now);
    loop {
        action = match action {
            Action::Start { .. } => {
                (started, answer) = (now, None);
                letter = Some(send(shared, guard.deadline(), &operation, &waker));
                Action::Wait
            }
            Action::Wait => {
                let came = letter.as_ref().and_then(|letter| open(letter).take());
                if let Some(came) = came {
                    letter = None;
                    let answered = match came {
                        Ok(answered) => answered,
                        Err(panic) => guard.watched(|| resume_unwind(panic)),
                    };
                    now = guard.clock().now();
                    let verdict = classify.classify(&answered);
                    let attempt = guard.call().attempt();
                    if verdict.outcome != Outcome::Success {
                        let ended = Ended::Answered(verdict.outcome);
                        let attempted = Attempted::new(attempt, begun, started, now, ended);
                        history.push(attempted.after(verdict.retry_after));
                    }
                    answer = Some(answered);
                    guard.on(Event::Ended { attempt, verdict }, now)
                } else {
                    // Woken by its job, it is looked at again.
                    let (event, seen) = guard.block(&parker);
                    now = seen;
                    event.map_or(Action::Wait, |event| guard.on(event, now))
                }
            }
            Action::Cancel { attempt, limit } => {
                letter = None;
                shared.abandon_job();
                let ended = Ended::Cut(limit);
                history.push(Attempted::new(attempt, begun, started, now, ended));
                guard.on(Event::Cancelled { attempt }, now)
            }
            Action::Done(finish) => {
                return Ending { answer, finish, history, took: now.since(begun) };
            }
        };
    }
}

/// Hands the operation to the pool, with the deadline that its own calls inherit.
fn send<S, T, E, F>(
    shared: &S,
    deadline: Deadline,
    operation: &Arc<F>,
    waker: &Waker,
) -> Letter<T, E>
where
    S: Protection,
    F: Fn() -> Result<T, E> + Send + Sync + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let letter: Letter<T, E> = Arc::default();
    let (reply, operation, waker) = (letter.clone(), operation.clone(), waker.clone());
    let job = Box::new(move || {
        let came = catch_unwind(AssertUnwindSafe(|| deadline.scope_blocking(|| operation())));
        // What the operation holds goes before its caller hears of its end.
        drop(operation);
        *open(&reply) = Some(came);
        waker.wake();
    });
    shared.submit(job);
    letter
}

fn open<T>(letter: &Mutex<T>) -> MutexGuard<'_, T> {
    letter.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Long enough to serve a next burst, short enough to give memory back.
const IDLE_FOR: Duration = Duration::from_secs(10);
