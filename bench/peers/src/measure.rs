//! How it is measured: every contender of a row once in each round, so that all of them meet the same noise.
//!
//! ```text
//!   round    one sample of each contender, starting with another one each time
//!   row      60 rounds: best and median of ns per call, allocations of all calls
//! ```
//!
//! Threads that are to meet do so only while both run, and the system may have given their time to others. A sample in which
//! they had less than half of it in common is taken again, and after a few times left out.

use std::{
    future::Future,
    iter::repeat_with,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};

use crate::contender::{Contender, Cost};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Samples of each contender.
    pub(crate) rounds: u32,
    /// How long a sample lasts at least.
    pub(crate) sample: Duration,
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
    /// Rounds that count: less than all where threads did not run at once.
    pub(crate) rounds: usize,
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
            let sample = || contenders[at].sample(threads, calls[at]);
            costs[at].extend(repeat_with(sample).take(TRIES).find(|costs| ran_at_once(costs)));
        }
    }
    let measured = contenders.iter().zip(&costs).zip(calls);
    measured.map(|((contender, costs), calls)| (contender.name, figures(costs, calls))).collect()
}

/// The figures of samples that made so many calls on each thread.
fn figures(samples: &[Vec<Cost>], calls: u64) -> Figures {
    let of_threads =
        |costs: &Vec<Cost>| costs.iter().map(|cost| cost.each).sum::<f64>() / costs.len() as f64;
    let mut each: Vec<f64> = samples.iter().map(of_threads).collect();
    each.sort_by(f64::total_cmp);
    let nth = |n: usize| each.get(n).copied().unwrap_or(f64::NAN);
    let median = f64::midpoint(nth(each.len().saturating_sub(1) / 2), nth(each.len() / 2));
    let costs = || samples.iter().flatten();
    let allocations: u64 = costs().map(|cost| cost.allocations).sum();
    Figures {
        best: nth(0),
        median,
        allocations: allocations as f64 / calls as f64 / costs().count() as f64,
        rounds: samples.len(),
    }
}

/// Whether the threads of a sample had at least half of their time in common.
fn ran_at_once(costs: &[Cost]) -> bool {
    let begun = costs.iter().map(|cost| cost.begun).max();
    let ended = costs.iter().map(|cost| cost.begun + cost.elapsed).min();
    let common = ended.zip(begun).map(|(ended, begun)| ended.saturating_duration_since(begun));
    costs.iter().all(|cost| common.is_some_and(|common| common >= cost.elapsed / 2))
}

/// Runs a future to its end, away from any measurement.
pub(crate) fn alone<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// Polls a future once and keeps it for ever, so that what it has taken stays taken. Tells its answer if it has one.
pub(crate) fn begin_and_keep<T: 'static>(future: impl Future<Output = T> + 'static) -> Option<T> {
    // Never dropped: neither what the future holds, nor the runtime with which its timer is armed.
    let mut kept = Pin::static_mut(Box::leak(Box::new(future)));
    let _here = Box::leak(Box::new(runtime())).enter();
    match kept.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// Timers, and one thread.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing")
}

/// Before a round is left out.
const TRIES: usize = 10;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn cost(nanos: u64, allocations: u64) -> Cost {
        let (begun, elapsed) = (Instant::now(), Duration::ZERO);
        Cost { begun, elapsed, each: nanos as f64, allocations }
    }

    #[test]
    fn figures_are_per_call_and_thread() {
        let samples = [
            vec![cost(10, 0), cost(30, 10)],
            vec![cost(90, 0), cost(90, 0)],
            vec![cost(40, 0), cost(40, 0)],
            vec![cost(60, 0), cost(60, 20)],
        ];
        let figures = figures(&samples, 10);
        assert_eq!((figures.best, figures.median, figures.allocations), (20.0, 50.0, 0.375));
        assert_eq!(figures.rounds, 4);
    }

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        let median = |each: &[u64]| {
            let samples: Vec<_> = each.iter().map(|&each| vec![cost(each, 0)]).collect();
            figures(&samples, 1).median
        };
        assert_eq!((median(&[9, 1, 2]), median(&[9, 1, 2, 4])), (2.0, 3.0));
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn threads_that_ran_one_after_the_other_do_not_count() {
        let start = Instant::now();
        let ran = |from, to| Cost {
            begun: start + Duration::from_millis(from),
            elapsed: Duration::from_millis(to - from),
            ..cost(1, 0)
        };
        assert!(ran_at_once(&[ran(0, 10)]));
        assert!(ran_at_once(&[ran(0, 10), ran(5, 15)]));
        assert!(!ran_at_once(&[ran(0, 10), ran(6, 16)]));
        assert!(!ran_at_once(&[ran(0, 10), ran(2, 4)]), "most of it was alone");
        assert!(!ran_at_once(&[ran(0, 10), ran(20, 30)]));
    }
}
