//! The blocking driver: no runtime, the caller's thread, the same rules.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Policy,
    core::{Phase, Stopped},
};

use crate::world::{MS, SECOND, Time, assert_nothing_is_left, exact_retry};

fn policy(time: &Time) -> Policy {
    Policy::builder("orders")
        .deadline(SECOND)
        .retry(exact_retry())
        .circuit_breaker(CircuitBreakerConfig::default())
        .bulkhead(BulkheadConfig { max_concurrent: 2, ..BulkheadConfig::default() })
        .clock(time.clock())
        .build()
        .expect("the settings make sense")
}

/// Does `work` while another thread moves the clock to whatever `work` waits for.
fn while_time_passes<R>(time: &Time, work: impl FnOnce() -> R) -> R {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                time.step();
                thread::yield_now();
            }
        });
        let result = catch_unwind(AssertUnwindSafe(work));
        over.store(true, Ordering::Release);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn attempts_on_this_thread_follow_the_configured_delays() {
    let time = Time::default();
    let policy = policy(&time);
    let mut begun = Vec::new();
    let ended = while_time_passes(&time, || {
        policy.run_blocking(|| {
            begun.push(time.passed());
            if begun.len() < 3 { Err("busy") } else { Ok(begun.len()) }
        })
    });
    assert_eq!(ended.unwrap(), 3);
    assert_eq!(begun, [Duration::ZERO, 100 * MS, 300 * MS]);
    assert_nothing_is_left(&policy);
}

#[test]
fn waits_on_this_thread_obey_the_deadline() {
    let time = Time::default();
    let policy = policy(&time);
    let ended = while_time_passes(&time, || {
        policy.run_blocking(|| {
            time.advance(400 * MS);
            Err::<(), _>("busy")
        })
    });
    // 0 to 400, 500 to 900; the next could begin at 1 100.
    let error = ended.unwrap_err();
    assert_eq!(error.history().stopped(), Some(Stopped::Deadline));
    assert_eq!((error.history().attempts().len(), time.passed()), (2, 900 * MS));
    assert_nothing_is_left(&policy);
}

#[test]
fn an_answer_after_the_deadline_is_returned_and_the_overrun_counted() {
    let time = Time::default();
    let policy = policy(&time);
    let late = policy.run_blocking(|| {
        time.advance(2 * SECOND);
        Ok::<_, ()>(42)
    });
    assert_eq!((late.unwrap(), policy.counts().overran), (42, 1));
    let late = policy.run_blocking(|| {
        time.advance(2 * SECOND);
        Err::<(), _>("too late")
    });
    assert_eq!(late.unwrap_err().into_failed(), Some("too late"));
    assert_eq!((policy.counts().overran, policy.counts().calls.failed), (2, 1));
    assert_nothing_is_left(&policy);
}

#[test]
fn panics_on_this_thread_are_passed_on_and_open_the_breaker() {
    let time = Time::default();
    let policy = policy(&time);
    for _ in 0..5 {
        let call =
            || policy.run_blocking(|| -> Result<(), ()> { panic!("a bug in the operation") });
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    }
    assert_eq!((policy.phase(), policy.counts().panicked), (Some(Phase::Open), 5));
    assert!(matches!(policy.run_blocking(|| Ok::<_, ()>(())), Err(Error::Refused(_))));
    assert_nothing_is_left(&policy);
}

#[test]
fn a_blocking_operation_that_calls_its_own_policy_does_not_deadlock() {
    let policy = policy(&Time::default());
    let runs = Cell::new(0);
    let ended = policy.run_blocking(|| {
        policy.run_blocking(|| {
            runs.set(runs.get() + 1);
            Ok::<_, ()>(runs.get())
        })
    });
    assert_eq!((ended.unwrap(), runs.get()), (1, 1));
    assert_nothing_is_left(&policy);
}

#[test]
fn a_callers_own_deadline_and_number_of_runs_hold_on_this_thread() {
    let time = Time::default();
    let policy = policy(&time);
    let call = policy.call().deadline(50 * MS);
    let ended = call.run_blocking_with(|attempt| {
        assert_eq!(attempt.remaining(), Some(50 * MS));
        Err::<(), _>("busy")
    });
    assert_eq!(ended.unwrap_err().history().stopped(), Some(Stopped::Deadline));
    let ended = policy.call().no_retry().run_blocking(|| Err::<(), _>("busy"));
    assert_eq!(ended.unwrap_err().history().stopped(), Some(Stopped::NotRepeatable));
    assert_nothing_is_left(&policy);
}
