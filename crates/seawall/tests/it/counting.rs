//! Counters lose nothing: whatever operations and callers do, and on whatever runtime.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Policy, PolicyBuilder, RetryConfig, TimeoutConfig,
    core::{Draw, Draws, Verdict},
};

use crate::world::{MS, SECOND, Time, World, assert_nothing_is_left, caught, up_to};

/// What callers saw, counted apart from the policy's own counters.
#[derive(Debug, Default)]
struct Ledger {
    calls: AtomicU64,
    attempts: AtomicU64,
    good: AtomicU64,
    refused: AtomicU64,
    panicked: AtomicU64,
    other: AtomicU64,
}

#[derive(Debug)]
enum Bad {
    Failure,
    Ignored,
}

fn judge<T>(answer: &Result<T, Bad>) -> Verdict {
    match answer {
        Ok(_) => Verdict::SUCCESS,
        Err(Bad::Failure) => Verdict::FAILURE,
        Err(Bad::Ignored) => Verdict::IGNORED,
    }
}

fn build(policy: PolicyBuilder) -> Policy {
    let breaker = CircuitBreakerConfig { open_for: 500 * MS, ..CircuitBreakerConfig::default() };
    policy
        .deadline(2 * SECOND)
        .retry(RetryConfig::default())
        .circuit_breaker(breaker)
        .bulkhead(BulkheadConfig { max_concurrent: 20, ..BulkheadConfig::default() })
        .timeout(TimeoutConfig { attempt: 700 * MS, ..TimeoutConfig::default() })
        .build()
        .expect("the settings make sense")
}

/// One run of an operation that does anything.
async fn anything(draw: Draw, time: Time) -> Result<(), Bad> {
    match draw.below(20) {
        0..10 => Ok(()),
        10..12 => Err(Bad::Failure),
        12 => Err(Bad::Ignored),
        13 => pending().await,
        14 => panic!("a bug in the operation"),
        _ => {
            time.sleep(MS * draw.next().below(1_000) as u32).await;
            Ok(())
        }
    }
}

/// One caller: many calls, some of them dropped early, with pauses between them.
async fn caller(policy: Policy, time: Time, ledger: Arc<Ledger>, seed: u64) {
    let mut draws = Draws::seeded(seed);
    for _ in 0..CALLS_EACH {
        ledger.calls.fetch_add(1, Relaxed);
        let patience =
            if draws.draw().below(4) == 0 { 1 + draws.draw().below(4) } else { u64::MAX };
        let kinds = draws.draw();
        let call = policy.call().classify(&judge);
        let call = call.run_with(|attempt| {
            ledger.attempts.fetch_add(1, Relaxed);
            let draw = (0..attempt.number).fold(kinds, |draw, _| draw.next());
            // A panic before there is a future, too.
            assert!(draw.next().next().below(50) > 0, "a bug in making the operation");
            anything(draw, time.clone())
        });
        let patience = u32::try_from(patience).unwrap_or(u32::MAX);
        let count = match caught(up_to(patience, false, call)).await {
            Ok(Some(Ok(()))) => &ledger.good,
            Ok(Some(Err(Error::Refused(_)))) => &ledger.refused,
            Ok(Some(Err(_)) | None) => &ledger.other,
            Err(_) => &ledger.panicked,
        };
        count.fetch_add(1, Relaxed);
        time.sleep(MS * draws.draw().below(200) as u32).await;
    }
}

fn compare(policy: &Policy, ledger: &Ledger) {
    assert_nothing_is_left(policy);
    let counts = policy.counts();
    let Ledger { calls, attempts, good, refused, panicked, other } = ledger;
    let case = format!("{ledger:?}\n{counts:?}");
    assert_eq!(counts.calls.started, calls.load(Relaxed), "{case}");
    assert_eq!(counts.attempts.started, attempts.load(Relaxed), "{case}");
    assert_eq!(counts.calls.succeeded, good.load(Relaxed), "{case}");
    assert_eq!(counts.calls.refused, refused.load(Relaxed), "{case}");
    assert_eq!(counts.panicked, panicked.load(Relaxed), "{case}");
    let rest = panicked.load(Relaxed) + other.load(Relaxed);
    assert_eq!(counts.calls.failed + counts.calls.ignored, rest, "{case}");
    let ends = [good, refused, panicked, other];
    assert!(ends.iter().all(|end| end.load(Relaxed) > 0), "every kind of end came about: {case}");
    assert!(counts.timed_out > 0 && counts.attempts.ignored > 0, "{case}");
}

#[test]
fn counters_lose_nothing_on_a_manual_clock() {
    for seed in 0..10 {
        let mut world = World::default();
        let (policy, ledger) = (build(world.policy()), Arc::new(Ledger::default()));
        for n in 0..CALLERS {
            let seed = seed * CALLERS + n;
            world.spawn(caller(policy.clone(), world.time.clone(), Arc::clone(&ledger), seed));
        }
        world.run();
        compare(&policy, &ledger);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_lose_nothing_on_many_threads() {
    let time = Time::default();
    let policy = build(Policy::builder("orders").clock(time.clock()));
    let ledger = Arc::new(Ledger::default());
    let callers: Vec<_> = (0..CALLERS)
        .map(|n| caller(policy.clone(), time.clone(), Arc::clone(&ledger), n))
        .map(tokio::spawn)
        .collect();
    let begun = std::time::Instant::now();
    while !callers.iter().all(tokio::task::JoinHandle::is_finished) {
        assert!(begun.elapsed() < PATIENCE, "some caller hangs: {ledger:?}");
        time.step();
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    compare(&policy, &ledger);
}

const CALLERS: u64 = 64;
const CALLS_EACH: u32 = 50;
/// So that a hang is a failed test, not a hung one. Never waited for otherwise.
const PATIENCE: Duration = Duration::from_secs(120);
