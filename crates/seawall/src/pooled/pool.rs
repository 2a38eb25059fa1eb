//! Threads for the jobs of one policy.
//!
//! ```text
//!   submit ▸ waiting ── a thread is free ─▸ begun ▸ done
//!               └ leave ▸ gone, never to run  └ leave ▸ counted, for a thread cannot be killed
//! ```
//!
//! Whoever waits for a thread has a caller that waits for it: so no more wait than there are callers, and of them no
//! more than the bulkhead lets in.
//!
//! What a job drops is code that is not ours: an answer nobody waits for, or a waker it wakes. Where that panics the job
//! is over, and its thread takes the next.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// The threads.
#[derive(Debug)]
pub(crate) struct Pool {
    name: Arc<str>,
    inside: Mutex<Inside>,
    work: Condvar,
}

#[derive(Default)]
struct Inside {
    jobs: VecDeque<(u32, Job)>,
    /// The number of the last. It comes again after four billion, when no job of that number waits any more.
    submitted: u32,
    threads: u32,
    idle: u32,
    abandoned: u32,
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
    /// Jobs that wait for a thread, each with its caller.
    pub waiting: usize,
    /// Jobs that had begun and were left to themselves because a limit had passed, ever.
    pub abandoned: u64,
}

impl Pool {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self { name, inside: Mutex::default(), work: Condvar::new() }
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        let inside = self.lock();
        let Inside { jobs, threads, idle, abandoned, .. } = &*inside;
        PoolSnapshot {
            threads: *threads as usize,
            idle: *idle as usize,
            waiting: jobs.len(),
            abandoned: (*abandoned).into(),
        }
    }

    /// Runs a job on a thread of its own, as soon as one of `most` is free. Its number.
    pub(crate) fn submit(self: &Arc<Self>, most: u32, job: Job) -> u32 {
        let (number, grows) = self.push(most, job);
        if grows && self.grow().is_err() {
            self.shrink();
        }
        number
    }

    /// Lets a job wait: its number, and whether there is to be a thread more for it, which counts from now on.
    fn push(&self, most: u32, job: Job) -> (u32, bool) {
        let mut inside = self.lock();
        inside.submitted = inside.submitted.wrapping_add(1);
        let number = inside.submitted;
        inside.jobs.push_back((number, job));
        if inside.idle as usize >= inside.jobs.len() || inside.threads >= most.max(1) {
            self.work.notify_one();
            return (number, false);
        }
        inside.threads += 1;
        (number, true)
    }

    fn grow(self: &Arc<Self>) -> io::Result<()> {
        let pool = Arc::clone(self);
        let named = thread::Builder::new().name(self.name.to_string());
        named.spawn(move || pool.serve()).map(drop)
    }

    /// The system had no thread left: the jobs wait for one of ours, or run here if there is none, and with them those
    /// that have come meanwhile and relied on this one.
    #[cold]
    fn shrink(&self) {
        let mut inside = self.lock();
        inside.threads -= 1;
        while inside.threads == 0
            && let Some((_, job)) = inside.jobs.pop_front()
        {
            drop(inside);
            run(job);
            inside = self.lock();
        }
    }

    /// The caller of this job has gone: one that has not begun never runs, and another is counted. Whether it had
    /// begun.
    pub(crate) fn leave(&self, number: u32) -> bool {
        let mut inside = self.lock();
        let waiting = inside.jobs.iter().position(|(waiting, _)| *waiting == number);
        let job = waiting.and_then(|place| inside.jobs.remove(place));
        let begun = job.is_none();
        inside.abandoned = inside.abandoned.saturating_add(u32::from(begun));
        drop(inside);
        begun
    }

    /// Takes jobs until there has been none for a while.
    fn serve(&self) {
        let mut inside = self.lock();
        loop {
            if let Some((_, job)) = inside.jobs.pop_front() {
                drop(inside);
                run(job);
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

/// Runs a job to its end. The panic of an operation is its caller's, and in its letter; any other has been told by the
/// panic hook, and is nobody's.
fn run(job: Job) {
    let _ = catch_unwind(AssertUnwindSafe(job));
}

/// Long enough to serve a next burst, short enough to give memory back.
const IDLE_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_job_that_relied_on_a_thread_that_never_came_runs_too() {
        let pool = Pool::new("orders".into());
        let (done, is_done) = mpsc::sync_channel(2);
        let job = |n| {
            let done = done.clone();
            Box::new(move || assert!(done.send(n).is_ok()))
        };
        assert!(pool.push(1, job(1)).1, "there is to be a thread for it");
        assert!(!pool.push(1, job(2)).1, "there may be only one");
        pool.shrink();
        assert_eq!(is_done.try_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!((pool.snapshot().threads, pool.snapshot().waiting), (0, 0));
    }
}
