//! How it is measured: every contender of a row once in each round, so that all of them meet the same noise.
//!
//! ```text
//!   sample   a fresh thread (or two at once): warm up ▸ all here? ▸ clock ▸ so many calls ▸ clock
//!   round    one sample of each contender, starting with another one each time
//!   row      60 rounds: best and median of ns per call, allocations of all calls
//! ```
//!
//! Calls run on tokio's current-thread runtime, because timers need one, but a call that says "pending" is at
//! once asked again: the operation wakes itself, and a turn of the scheduler, the same for all, would only hide
//! what differs. Tokio's budget for fairness is off, or every 128th timer would cost such a turn.

use std::{
    future::{Future, poll_fn},
    hint::{black_box, spin_loop},
    pin::{Pin, pin},
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    task::unconstrained,
};

use crate::allocations;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Samples of each contender.
    pub(crate) rounds: u32,
    /// How long a sample lasts at least.
    pub(crate) sample: Duration,
}

/// One way of doing the work of a row.
pub(crate) struct Contender {
    name: &'static str,
    /// Makes what one thread runs.
    start: Box<dyn Fn() -> Calls + Send + Sync>,
}

/// Makes so many calls and tells what they cost.
type Calls = Box<dyn FnMut(u64) -> Cost>;

/// What some calls cost one thread.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    elapsed: Duration,
    allocations: u64,
}

impl Contender {
    /// Calls a future; `start` is called once per thread.
    pub(crate) fn new<C, T>(
        name: &'static str,
        start: impl Fn() -> C + Send + Sync + 'static,
    ) -> Self
    where
        C: AsyncFnMut() -> T + 'static,
    {
        let start = move || -> Calls {
            let (runtime, mut call) = (runtime(), start());
            Box::new(move |calls| {
                runtime.block_on(unconstrained(async {
                    let before = Before::now();
                    for _ in 0..calls {
                        insist(pin!(call())).await;
                    }
                    before.cost()
                }))
            })
        };
        Self { name, start: Box::new(start) }
    }

    /// Calls a function.
    pub(crate) fn blocking<C, T>(
        name: &'static str,
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
                before.cost()
            })
        };
        Self { name, start: Box::new(start) }
    }

    /// So many calls on each of so many threads at once.
    fn sample(&self, threads: usize, calls: u64) -> Vec<Cost> {
        // Not a barrier that sleeps: the first to wake would be done before the last one runs.
        let arrived = AtomicUsize::new(0);
        let one = || {
            let mut run = (self.start)();
            run(calls.min(WARM_UP));
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
    fn calls(&self, threads: usize, sample: Duration) -> u64 {
        let mut calls = 1;
        loop {
            let costs = self.sample(threads, calls);
            if costs.iter().all(|cost| cost.elapsed >= sample) {
                return calls;
            }
            calls *= 2;
        }
    }
}

/// What one contender's calls cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Nanoseconds a call, in the best round.
    pub(crate) best: f64,
    /// Nanoseconds a call, in the middle round.
    pub(crate) median: f64,
    /// Allocations a call, over all rounds.
    pub(crate) allocations: f64,
}

/// Measures contenders side by side, and names each.
pub(crate) fn measure(
    contenders: &[Contender],
    threads: usize,
    effort: Effort,
) -> Vec<(&'static str, Figures)> {
    let calls: Vec<u64> =
        contenders.iter().map(|contender| contender.calls(threads, effort.sample)).collect();
    let mut costs: Vec<Vec<Vec<Cost>>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..effort.rounds as usize {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            costs[at].push(contenders[at].sample(threads, calls[at]));
        }
    }
    let measured = contenders.iter().zip(&costs).zip(calls);
    measured
        .map(|((contender, costs), calls)| (contender.name, figures(costs, calls as f64)))
        .collect()
}

/// The figures of samples that made so many calls on each thread.
fn figures(samples: &[Vec<Cost>], calls: f64) -> Figures {
    let mut each: Vec<f64> = samples
        .iter()
        .map(|threads| {
            let elapsed: Duration = threads.iter().map(|cost| cost.elapsed).sum();
            elapsed.as_nanos() as f64 / calls / threads.len() as f64
        })
        .collect();
    each.sort_by(f64::total_cmp);
    let middle = each.len() / 2;
    let median = if each.len() % 2 == 1 {
        each[middle]
    } else {
        f64::midpoint(each[middle - 1], each[middle])
    };
    let costs = || samples.iter().flatten();
    let allocations: u64 = costs().map(|cost| cost.allocations).sum();
    Figures {
        best: each[0],
        median,
        allocations: allocations as f64 / calls / costs().count() as f64,
    }
}

/// Runs a future to its end, away from any measurement.
pub(crate) fn alone<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// Polls a future once and keeps it for ever, so that what it has taken stays taken.
pub(crate) fn begin_and_keep<T: 'static>(future: impl Future<Output = T> + 'static) {
    let kept: &'static mut _ = Box::leak(Box::new(future));
    // Not asked to end in time: it would end at its deadline, and nobody polls it again.
    let mut kept = Pin::static_mut(kept);
    let runtime = Box::leak(Box::new(runtime()));
    let _here = runtime.enter();
    let begun = kept.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.is_pending(), "it hangs");
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

    fn cost(&self) -> Cost {
        Cost {
            elapsed: self.begun.elapsed(),
            allocations: allocations::so_far() - self.allocations,
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing")
}

/// More samples than a learned limit wants before it is there.
const WARM_UP: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Operation;

    fn cost(nanos: u64, allocations: u64) -> Cost {
        Cost { elapsed: Duration::from_nanos(nanos), allocations }
    }

    #[test]
    fn figures_are_per_call_and_thread() {
        let samples = [
            vec![cost(100, 0), cost(300, 10)],
            vec![cost(900, 0), cost(900, 0)],
            vec![cost(400, 0), cost(400, 0)],
            vec![cost(600, 0), cost(600, 20)],
        ];
        let figures = figures(&samples, 10.0);
        assert_eq!((figures.best, figures.median, figures.allocations), (20.0, 50.0, 0.375));
    }

    #[test]
    fn a_pending_call_is_asked_again_at_once_and_allocations_are_counted() {
        let contender = Contender::new("boxes", || {
            async || Box::new(Operation::PendingOnce.run().await.expect("it answers"))
        });
        for threads in [1, 2] {
            let costs = contender.sample(threads, 100);
            assert_eq!(costs.len(), threads);
            assert!(costs.iter().all(|cost| cost.allocations == 100), "{costs:?}");
        }
    }
}
