//! A policy beside one whose workers all hang: what its slow calls take, and what they take while that one idles.
//!
//! ```text
//!   hung     A: every place taken by what never ends, calls waiting behind      B: calls, each timed
//!   idle     A: nothing                                                         B: calls, each timed
//! ```
//!
//! In tasks, both live on one thread of one runtime and a call of B is pending once, so the scheduler and its timers come
//! by. In threads, A has hung threads of its own and blocked callers, and B hands each call to a thread of its own.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use seawall::{Algorithm, BulkheadConfig, PolicyConfig};

use super::{Bar, OURS, PATIENCE, PLACES, Row, WELL, times};
use crate::{
    contender::Contender,
    operation::{Broken, Operation},
    ours::{Ours, full, wide},
};

const IDLE: &str = "neighbour idle";

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "neighbour-tasks",
        holds: "the 99th of 100 calls, in ns, beside a policy whose 100 tasks hang and 196 wait",
        threads: 1,
        bars: &[Bar::NoAllocation, times(IDLE, 1.2)],
        contenders: || vec![tasks(IDLE, false), tasks(OURS, true)],
    },
    Row {
        name: "neighbour-threads",
        holds: "the 99th of 100 pooled calls, in ns, beside a policy whose 8 threads hang and 8 wait",
        threads: 1,
        bars: &[times(IDLE, 1.2)],
        contenders: || vec![threads(IDLE, false), threads(OURS, true)],
    },
];

fn tasks(name: &'static str, hung: bool) -> Contender {
    let b = Ours::full();
    let ended = b.ended(WELL.counted);
    Contender::tail(name, WELL.printed, async move || {
        let a = patient(BulkheadConfig::default());
        for _ in 0..if hung { PLACES + 196 } else { 0 } {
            let a = a.clone();
            tokio::spawn(async move { a.call(|| Operation::Hanging.run()).await });
            tokio::task::yield_now().await;
        }
        assert_eq!(in_flight(&a), if hung { (296, 100) } else { (0, 0) });
        let b = b.clone();
        async move || b.call(|| Operation::PendingOnce.run()).await
    })
    .counting(ended)
}

fn threads(name: &'static str, hung: bool) -> Contender {
    let b = Ours::full();
    let ended = b.ended(WELL.counted);
    Contender::tail(name, WELL.printed, async move || {
        let a = hung.then(Hung::new);
        let b = b.clone();
        async move || {
            let _while_it_hangs = &a;
            b.policy().run_pooled(|| Ok::<_, Broken>(42))
        }
    })
    .counting(ended)
}

/// Threads that hang in a policy until this is dropped.
struct Hung {
    gate: Arc<(Mutex<bool>, Condvar)>,
    callers: Vec<JoinHandle<()>>,
}

impl Hung {
    fn new() -> Self {
        let bulkhead = BulkheadConfig {
            max_concurrent: 8,
            max_queue: 8,
            priority: false,
            ..BulkheadConfig::default()
        };
        let (a, gate) = (patient(bulkhead), Arc::<(Mutex<bool>, Condvar)>::default());
        let caller = || {
            let (a, gate) = (a.clone(), gate.clone());
            thread::spawn(move || drop(a.policy().run_pooled(move || pass(&gate))))
        };
        let callers = (0..16).map(|_| caller()).collect();
        while in_flight(&a) != (16, 8) {
            thread::yield_now();
        }
        Self { gate, callers }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        *self.gate.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.gate.1.notify_all();
        for caller in self.callers.drain(..) {
            caller.join().expect("no call panics");
        }
    }
}

/// Returns once the gate is open.
fn pass((open, opened): &(Mutex<bool>, Condvar)) -> Result<(), Broken> {
    let open = open.lock().unwrap_or_else(PoisonError::into_inner);
    drop(opened.wait_while(open, |open| !*open));
    Ok(())
}

/// Every pattern; nothing ends before the sample does.
fn patient(bulkhead: BulkheadConfig) -> Ours {
    let full = full(wide(Algorithm::TokenBucket));
    Ours::with(PolicyConfig { deadline: Some(PATIENCE), bulkhead: Some(bulkhead), ..full })
}

/// Calls that have begun and not ended, and those of them that have a place.
fn in_flight(ours: &Ours) -> (u64, u64) {
    let counts = ours.policy().counts();
    (counts.calls.in_flight(), counts.attempts.in_flight())
}
