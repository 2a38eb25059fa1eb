//! A small world for tests: tasks, and a clock that moves only when all of them wait.
//!
//! ```text
//!   settle   poll whoever was woken until nobody is
//!   step     move the clock to the next moment anybody waits for
//!   run      settle and step until every task has ended; a world in which nobody will ever wake is a failed test
//! ```
//!
//! No runtime: on a manual clock the library needs none. Tasks are polled in the order they were spawned.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use seawall::{
    Clock, Jitter, ManualClock, Observed, Policy, PolicyBuilder, Ratio, RetryConfig, Snapshot,
    core::Instant,
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A manual clock that operations can sleep on.
#[derive(Clone, Default)]
pub(crate) struct Time {
    pub(crate) manual: ManualClock,
    sleepers: Arc<Mutex<Vec<(Instant, Waker)>>>,
}

impl Time {
    pub(crate) fn clock(&self) -> Clock {
        Clock::manual(&self.manual)
    }

    /// Since the beginning of the world.
    pub(crate) fn passed(&self) -> Duration {
        self.manual.now().since(Instant::ORIGIN)
    }

    pub(crate) fn sleep(&self, wait: Duration) -> impl Future<Output = ()> + use<> {
        let (time, until) = (self.clone(), self.manual.now() + wait);
        poll_fn(move |cx| {
            let mut sleepers = time.sleepers();
            if time.manual.now() >= until {
                return Poll::Ready(());
            }
            sleepers.push((until, cx.waker().clone()));
            Poll::Pending
        })
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.manual.advance(by);
        let now = self.manual.now();
        let due: Vec<_> = self.sleepers().extract_if(.., |(until, _)| *until <= now).collect();
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Moves to the next moment anybody waits for; `false` if nobody waits.
    pub(crate) fn step(&self) -> bool {
        let asleep = self.sleepers().iter().map(|(until, _)| *until).min();
        let next = asleep.into_iter().chain(self.manual.next_wake()).min();
        if let Some(next) = next {
            self.advance(next.since(self.manual.now()));
        }
        next.is_some()
    }

    fn sleepers(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Waker)>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) time: Time,
    tasks: Vec<Option<Task>>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
    polls: Rc<Cell<u32>>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// A task as its spawner sees it.
pub(crate) struct Job<T> {
    index: usize,
    answer: Rc<RefCell<Option<T>>>,
    polls: Rc<Cell<u32>>,
}

impl<T> Job<T> {
    /// What it ended with; `None` while it runs, after it was cancelled, and the second time.
    pub(crate) fn answer(&self) -> Option<T> {
        self.answer.borrow_mut().take()
    }

    pub(crate) fn polls(&self) -> u32 {
        self.polls.get()
    }
}

impl World {
    /// A policy of this world, with fixed random numbers.
    pub(crate) fn policy(&self) -> PolicyBuilder {
        Policy::builder("orders").clock(self.time.clock()).seed(7)
    }

    pub(crate) fn spawn<T: 'static>(
        &mut self,
        future: impl Future<Output = T> + 'static,
    ) -> Job<T> {
        let (answer, polls): (Rc<RefCell<_>>, Rc<_>) = (Rc::default(), Rc::default());
        let place = Rc::clone(&answer);
        let future = Box::pin(async move {
            let ended = future.await;
            *place.borrow_mut() = Some(ended);
        });
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.tasks.push(Some(Task { future, woken, polls: Rc::clone(&polls) }));
        Job { index: self.tasks.len() - 1, answer, polls }
    }

    /// Drops the task's future, whatever it waits for.
    pub(crate) fn cancel<T>(&mut self, job: &Job<T>) {
        self.tasks[job.index] = None;
    }

    /// Polls whoever was woken until nobody is.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut any = false;
            for place in &mut self.tasks {
                let Some(task) = place else { continue };
                if !task.woken.0.swap(false, Ordering::AcqRel) {
                    continue;
                }
                any = true;
                task.polls.set(task.polls.get() + 1);
                let waker = Waker::from(Arc::clone(&task.woken));
                if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    *place = None;
                }
            }
            if !any {
                return;
            }
        }
        panic!("some task wakes itself for ever");
    }

    /// Runs until every task has ended.
    pub(crate) fn run(&mut self) {
        loop {
            self.settle();
            if self.tasks.iter().all(Option::is_none) {
                return;
            }
            assert!(self.time.step(), "a task waits, and nothing will ever wake it");
        }
    }

    /// Lets this much time pass, with everything that happens in it.
    pub(crate) fn pass(&mut self, wait: Duration) {
        let woken = self.spawn(self.time.sleep(wait));
        loop {
            self.settle();
            if woken.answer().is_some() {
                return;
            }
            self.time.step();
        }
    }

    /// Runs this and everything else to the end.
    pub(crate) fn block_on<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> T {
        let job = self.spawn(future);
        self.run();
        job.answer().expect("every task has ended")
    }
}

/// Polls it once, with nobody to wake: its answer, if it has one.
pub(crate) fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// The future's answer, or the panic it ended in.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// Polls a future at most so often, then drops it: at once, or when it is woken. The answer, or `None`.
pub(crate) async fn up_to<T>(
    mut polls: u32,
    when_woken: bool,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        match future.as_mut().poll(cx) {
            Poll::Pending if polls > 0 || when_woken => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
        }
    })
    .await
}

/// The statistics of one policy.
pub(crate) fn seen(policy: &Policy) -> Snapshot {
    let mut snapshot = Snapshot::default();
    policy.observe(&mut snapshot);
    snapshot
}

/// Every permit, place and unused retry has come back.
pub(crate) fn assert_nothing_is_left(policy: &Policy) {
    let counts = policy.counts();
    assert_eq!((counts.calls.in_flight(), counts.attempts.in_flight()), (0, 0), "{counts:?}");
    let seen = seen(policy);
    assert!(seen.bulkheads.values().all(|bulkhead| bulkhead.active_calls == 0), "{seen:?}");
    // Not counted as sent: what was refused, and who left while still in line.
    let most = counts.calls.started - counts.calls.refused;
    for retries in seen.retry_managers.values() {
        assert!(
            retries.total_requests <= most && retries.total_requests + counts.calls.ignored >= most
        );
        assert_eq!(retries.total_requests + retries.total_retries, counts.attempts.started);
    }
}

/// The defaults without chance: waits of 100, 200 and 400 ms.
pub(crate) fn exact_retry() -> RetryConfig {
    RetryConfig { jitter: Jitter::Fraction(Ratio::ZERO), ..RetryConfig::default() }
}

/// Far more than any test needs between two moments.
const ROUNDS_MAX: u32 = 1_000_000;
