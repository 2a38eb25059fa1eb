//! One way of doing the work of a row, and what so many calls of it cost.
//!
//! ```text
//!   sample   a fresh thread (or two at once): warm up ▸ all here? ▸ clock ▸ so many calls ▸ clock ▸ one more
//!            looked at             every answer                     none, counted                    its answer
//! ```
//!
//! To look at an answer would cost what is measured. So those before and after are: a refusal is the one that is
//! named. And in between ours counts by itself how calls end: as many more as were made have ended as the row says.
//!
//! Calls run on tokio's current-thread runtime, because timers need one, but a call that says "pending" is at
//! once asked again: the operation wakes itself, and a turn of the scheduler, the same for all, would only hide
//! what differs. Tokio's budget for fairness is off, or every 128th timer would cost such a turn.

use std::{
    fmt::Debug,
    future::{Future, poll_fn},
    hint::{black_box, spin_loop},
    pin::{Pin, pin},
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use tokio::task::unconstrained;

use crate::{allocations, measure::runtime};

/// One way of doing the work of a row.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// Makes what one thread runs.
    start: Box<dyn Fn() -> Calls + Send + Sync>,
    calls_min: u64,
    /// How many calls have ended as the row says, if it knows.
    ended: Option<Box<dyn Fn() -> u64 + Send + Sync>>,
}

/// Makes so many calls and tells what they cost; then one more, and looks at its answer.
type Calls = Box<dyn FnMut(u64) -> Cost>;

/// What some calls cost one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) begun: Instant,
    pub(crate) elapsed: Duration,
    /// Nanoseconds: the mean of all calls, or what 99 of 100 do not exceed.
    pub(crate) each: f64,
    pub(crate) allocations: u64,
}

impl Contender {
    /// Calls a future whose answer, printed, contains `expected`; `start` is called once per thread.
    pub(crate) fn new<C, T: Debug>(
        name: &'static str,
        expected: &'static str,
        start: impl Fn() -> C + Send + Sync + 'static,
    ) -> Self
    where
        C: AsyncFnMut() -> T + 'static,
    {
        let start = move || -> Calls {
            let runtime = runtime();
            let mut call = {
                let _here = runtime.enter();
                start()
            };
            Box::new(move |calls| {
                runtime.block_on(unconstrained(async {
                    let before = Before::now();
                    for _ in 0..calls {
                        insist(pin!(call())).await;
                    }
                    let cost = before.cost(calls);
                    check(name, expected, &call().await);
                    cost
                }))
            })
        };
        Self { name, start: Box::new(start), calls_min: 1, ended: None }
    }

    /// Calls a function whose answer, printed, contains `expected`.
    pub(crate) fn blocking<C, T: Debug>(
        name: &'static str,
        expected: &'static str,
        start: impl Fn() -> C + Send + Sync + 'static,
    ) -> Self
    where
        C: FnMut() -> T + 'static,
    {
        let start = move || -> Calls {
            let mut call = start();
            Box::new(move |calls| {
                let before = Before::now();
                for _ in 0..calls {
                    black_box(call());
                }
                let cost = before.cost(calls);
                check(name, expected, &call());
                cost
            })
        };
        Self { name, start: Box::new(start), calls_min: 1, ended: None }
    }

    /// Calls a future and times each call: its figure is what 99 of 100 calls do not exceed. A pending call leaves the
    /// turn to whatever else `start` has spawned.
    pub(crate) fn tail<C, T: Debug>(
        name: &'static str,
        expected: &'static str,
        start: impl AsyncFn() -> C + Send + Sync + 'static,
    ) -> Self
    where
        C: AsyncFnMut() -> T + 'static,
    {
        let start = move || -> Calls {
            let runtime = runtime();
            let mut call = runtime.block_on(start());
            Box::new(move |calls| {
                runtime.block_on(async {
                    let clock = quanta::Clock::new();
                    let mut took = Vec::with_capacity(calls as usize);
                    let before = Before::now();
                    for _ in 0..calls {
                        let begun = clock.raw();
                        black_box(&call().await);
                        took.push(clock.delta_as_nanos(begun, clock.raw()));
                    }
                    let cost = before.cost(calls);
                    check(name, expected, &call().await);
                    Cost { each: exceeded_by_one_in_a_hundred(&mut took), ..cost }
                })
            })
        };
        Self { name, start: Box::new(start), calls_min: TAIL_CALLS_MIN, ended: None }
    }

    /// Counts by itself how many calls have ended as the row says.
    #[must_use]
    pub(crate) fn counting(mut self, ended: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.ended = Some(Box::new(ended));
        self
    }

    /// So many calls on each of so many threads at once.
    pub(crate) fn sample(&self, threads: usize, calls: u64) -> Vec<Cost> {
        let ended = || self.ended.as_ref().map(|ended| ended());
        let warm_up = calls.min(WARM_UP);
        let before = ended();
        let costs = self.run(threads, warm_up, calls);
        if let Some((before, after)) = before.zip(ended()) {
            let made = threads as u64 * (warm_up + calls + 1);
            assert_eq!(after - before, made, "{}: some calls ended in another way", self.name);
        }
        costs
    }

    fn run(&self, threads: usize, warm_up: u64, calls: u64) -> Vec<Cost> {
        // Not a barrier that sleeps: the first to wake would be done before the last one runs.
        let arrived = AtomicUsize::new(0);
        let one = || {
            let mut run = (self.start)();
            for _ in 0..warm_up {
                run(0);
            }
            arrived.fetch_add(1, Ordering::AcqRel);
            while arrived.load(Ordering::Acquire) < threads {
                spin_loop();
            }
            run(calls)
        };
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            running.into_iter().map(|thread| thread.join().expect("no call panics")).collect()
        })
    }

    /// How many calls make a sample.
    pub(crate) fn calls(&self, threads: usize, sample: Duration) -> u64 {
        let mut calls = self.calls_min;
        loop {
            let costs = self.sample(threads, calls);
            if costs.iter().all(|cost| cost.elapsed >= sample) {
                return calls;
            }
            calls *= 2;
        }
    }
}

/// Not a number if nothing was measured.
fn exceeded_by_one_in_a_hundred(took: &mut [u64]) -> f64 {
    if took.is_empty() {
        return f64::NAN;
    }
    let rank = (took.len() * 99).div_ceil(100).saturating_sub(1);
    *took.select_nth_unstable(rank).1 as f64
}

fn check(name: &str, expected: &str, answer: &impl Debug) {
    let answer = format!("{answer:?}");
    assert!(answer.contains(expected), "{name}: expected {expected}, not {answer}");
}

/// Polls once more, and once more only, what says "pending". The answer is looked at where it lies: to move it
/// would charge a contender for the size of its errors a second time.
async fn insist(mut future: Pin<&mut impl Future>) {
    poll_fn(|cx| {
        let mut polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            polled = future.as_mut().poll(cx);
        }
        black_box(&polled);
        if polled.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

struct Before {
    allocations: u64,
    begun: Instant,
}

impl Before {
    fn now() -> Self {
        Self { allocations: allocations::so_far(), begun: Instant::now() }
    }

    fn cost(&self, calls: u64) -> Cost {
        let elapsed = self.begun.elapsed();
        let each = elapsed.as_nanos() as f64 / calls as f64;
        let allocations = allocations::so_far() - self.allocations;
        Cost { begun: self.begun, elapsed, each, allocations }
    }
}

/// Ten of them are in the tail.
const TAIL_CALLS_MIN: u64 = 1_000;
/// More samples than a learned limit wants before it is there.
const WARM_UP: u64 = 1_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::operation::Operation;

    #[test]
    fn a_pending_call_is_asked_again_at_once_and_allocations_are_counted() {
        let contender = Contender::new("boxes", "42", || {
            async || Box::new(Operation::PendingOnce.run().await.expect("it answers"))
        });
        for threads in [1, 2] {
            let costs = contender.sample(threads, 100);
            assert_eq!(costs.len(), threads);
            assert!(costs.iter().all(|cost| cost.allocations == 100), "{costs:?}");
        }
    }

    #[test]
    fn the_tail_is_what_one_call_in_a_hundred_exceeds() {
        let mut took: Vec<u64> = (1..=1_000).rev().collect();
        assert_eq!(exceeded_by_one_in_a_hundred(&mut took), 990.0);
        assert_eq!(exceeded_by_one_in_a_hundred(&mut [7]), 7.0);
        let slow_at_times = Contender::tail("slow at times", "()", async || {
            let mut calls = 0;
            async move || {
                calls += 1;
                let begun = Instant::now();
                while calls % 50 == 0 && begun.elapsed() < Duration::from_millis(2) {}
            }
        });
        let [cost] = slow_at_times.sample(1, 100)[..] else { panic!("one thread, one cost") };
        assert!(cost.each >= 2e6, "two of these hundred: {cost:?}");
    }

    #[test]
    fn an_answer_that_the_row_does_not_name_is_noticed_first_or_last_or_in_the_warm_up() {
        // Four before, four that are not looked at, and one more.
        for wrong in [0, 3, 8] {
            let other = Contender::blocking("other", "true", move || {
                let mut call = 0..;
                move || call.next() != Some(wrong)
            });
            assert!(panics(|| other.sample(1, 4)), "call {wrong}");
        }
    }

    #[test]
    fn every_call_that_is_measured_is_counted_and_one_that_ended_in_another_way_is_noticed() {
        for (threads, wrong) in [(1, 1_000), (1, 6), (2, 1_000), (2, 6)] {
            let calls = Arc::new(AtomicUsize::new(0));
            let ended = calls.clone();
            let contender = Contender::blocking("some", "()", move || {
                let calls = calls.clone();
                let mut call = 0..;
                move || {
                    if call.next() != Some(wrong) {
                        calls.fetch_add(1, Ordering::AcqRel);
                    }
                }
            });
            let contender = contender.counting(move || ended.load(Ordering::Acquire) as u64);
            assert_eq!(panics(|| contender.sample(threads, 4)), wrong == 6, "{threads} threads");
        }
    }

    fn panics<T>(work: impl FnOnce() -> T) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err()
    }
}
