//! A callee that never answers: the breaker sees it although only the caller's patience ends the calls.

use std::{cell::Cell, future::pending, rc::Rc, time::Duration};

use seawall::{
    AdaptiveTimeout, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Clock, Ended,
    Error, Policy, Retry, RetryConfig, TimeoutConfig,
    core::{Limit, Pattern, Phase, Stopped, Verdict},
};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, exact_retry};

fn breaker() -> CircuitBreakerConfig {
    CircuitBreakerConfig::default()
}

fn on_tokio(deadline: Option<Duration>, breaker: CircuitBreakerConfig) -> Policy {
    let policy = Policy::builder("orders").circuit_breaker(breaker).clock(Clock::tokio());
    match deadline {
        Some(deadline) => policy.deadline(deadline),
        None => policy,
    }
    .build()
    .expect("the settings make sense")
}

#[test]
fn p4_a_hung_callee_opens_the_breaker_although_only_the_deadline_cuts() {
    let mut world = World::default();
    let policy = world.policy().deadline(SECOND).circuit_breaker(breaker()).build().unwrap();
    for n in 1..=5u32 {
        assert_eq!(policy.phase(), Some(Phase::Closed));
        let caller = policy.clone();
        let ended = world.block_on(async move { caller.run(pending::<Result<(), ()>>).await });
        let Err(Error::TimedOut(late)) = ended else { panic!("{ended:?}") };
        assert_eq!((late.limit, late.after), (Limit::Deadline, SECOND));
        assert_eq!(world.time.passed(), SECOND * n);
    }
    assert_eq!(policy.phase(), Some(Phase::Open));
    assert_eq!(policy.counts().deadline_passed, 5);
    assert_nothing_is_left(&policy);
}

#[tokio::test(start_paused = true)]
async fn p4_a_hung_callee_opens_the_breaker_although_the_caller_drops_the_call() {
    for (deadline, patience) in [(Some(SECOND), 600 * MS), (None, 1_200 * MS)] {
        let policy = on_tokio(deadline, breaker());
        for _ in 0..5 {
            assert_eq!(policy.phase(), Some(Phase::Closed));
            let call = policy.run(pending::<Result<(), ()>>);
            assert!(tokio::time::timeout(patience, call).await.is_err());
        }
        assert_eq!(policy.phase(), Some(Phase::Open), "deadline {deadline:?}");
        assert_nothing_is_left(&policy);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_five_milliseconds_left_cannot_poison_the_breaker() {
    let policy = on_tokio(Some(SECOND), breaker());
    for _ in 0..100 {
        let call = policy.call().deadline(5 * MS).run(pending::<Result<(), ()>>);
        assert!(matches!(call.await, Err(Error::TimedOut(_))));
        let call = policy.run(pending::<Result<(), ()>>);
        assert!(tokio::time::timeout(5 * MS, call).await.is_err());
    }
    assert_eq!(policy.phase(), Some(Phase::Closed));
    assert_eq!(policy.counts().attempts.ignored, 200);
    assert_nothing_is_left(&policy);
}

#[tokio::test(start_paused = true)]
async fn p24_a_hung_probe_that_is_dropped_late_is_a_failed_probe() {
    let policy = on_tokio(Some(SECOND), CircuitBreakerConfig { half_open_calls: 1, ..breaker() });
    for _ in 0..5 {
        let _ = policy.run(async || Err::<(), _>(())).await;
    }
    tokio::time::advance(60 * SECOND).await;
    assert_eq!(policy.phase(), Some(Phase::HalfOpen));
    let reached = Cell::new(0);
    for _ in 0..50 {
        let call = policy.run(|| {
            reached.set(reached.get() + 1);
            pending::<Result<(), ()>>()
        });
        let _ = tokio::time::timeout(600 * MS, call).await;
        tokio::time::advance(600 * MS).await;
    }
    assert_eq!((reached.get(), policy.phase()), (1, Some(Phase::Open)));
    assert_nothing_is_left(&policy);
}

#[test]
fn p2_a_probe_that_hangs_for_ever_does_not_lock_the_breaker() {
    let mut world = World::default();
    let config = CircuitBreakerConfig { half_open_calls: 1, ..breaker() };
    let policy = world.policy().circuit_breaker(config).build().unwrap();
    let caller = policy.clone();
    world.block_on(async move {
        for _ in 0..5 {
            let _ = caller.run(async || Err::<(), _>(())).await;
        }
    });
    world.pass(60 * SECOND);
    let caller = policy.clone();
    let probe = world.spawn(async move { caller.run(pending::<Result<(), ()>>).await });
    world.settle();
    world.time.advance(120 * SECOND);
    assert_eq!(policy.phase(), Some(Phase::Open), "the probe has outlived its limit");
    world.time.advance(60 * SECOND);
    for _ in 0..3 {
        let caller = policy.clone();
        let call = world.spawn(async move { caller.run(async || Ok::<_, ()>(())).await });
        world.settle();
        assert!(
            call.answer().is_some_and(|answer| answer.is_ok()),
            "while the old probe still hangs"
        );
    }
    assert_eq!(policy.phase(), Some(Phase::Closed));
    world.cancel(&probe);
    assert_nothing_is_left(&policy);
}

#[test]
fn p27_a_wait_that_cannot_end_before_the_deadline_is_not_begun() {
    for hint in [None, Some(5 * SECOND)] {
        let mut world = World::default();
        let delay = if hint.is_some() { 10 * MS } else { 5 * SECOND };
        let retry = RetryConfig { base_delay: delay, ..RetryConfig::default() };
        let policy = world.policy().deadline(SECOND).retry(retry).build().unwrap();
        let typed = policy
            .typed::<(), ()>()
            .classify(move |_: &Result<(), ()>| Verdict::FAILURE.after(hint));
        let ended = world.block_on(async move { typed.run(async || Err(())).await });
        assert_eq!(ended.unwrap_err().history().stopped(), Some(Stopped::Deadline));
        assert_eq!(world.time.passed(), Duration::ZERO);
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn p27_the_deadline_covers_attempts_and_the_waits_between_them() {
    let mut world = World::default();
    let retry = RetryConfig { max_retries: 100, ..exact_retry() };
    let retry = RetryConfig { budget: seawall::Ratio::percent(1_000), ..retry };
    let policy = world.policy().deadline(SECOND).retry(retry).build().unwrap();
    let (caller, time) = (policy.clone(), world.time.clone());
    let ended = world.block_on(async move {
        caller
            .run_with(async |_| {
                time.sleep(300 * MS).await;
                Err::<(), _>(())
            })
            .await
    });
    // 0 to 300, 400 to 700, 900 to the deadline.
    let Err(Error::TimedOut(late)) = ended else { panic!("{ended:?}") };
    assert_eq!((late.limit, late.after, world.time.passed()), (Limit::Deadline, SECOND, SECOND));
    let begun: Vec<_> = late.history.attempts().iter().map(|attempt| attempt.started).collect();
    assert_eq!(begun, [Duration::ZERO, 400 * MS, 900 * MS]);
    assert_nothing_is_left(&policy);
}

#[test]
fn f43_every_component_and_every_door_lets_go_of_a_hang_at_the_deadline() {
    type Hung = Result<(), Error<()>>;
    let mut world = World::default();
    let hang = pending::<Result<(), ()>>;
    let clock = || world.time.clock();
    let breaker = CircuitBreaker::with_clock("breaker", breaker(), clock()).unwrap();
    let bulkhead = Bulkhead::with_clock("bulkhead", BulkheadConfig::default(), clock()).unwrap();
    let retry = Retry::with_clock("retry", RetryConfig::default(), clock()).unwrap();
    let timeout =
        AdaptiveTimeout::with_clock("timeout", TimeoutConfig::default(), clock()).unwrap();
    let policy = world.policy().build().unwrap();
    let time = world.time.clone();
    let ended = async move {
        let let_go = |door: &str, ended: Hung, doors: u32| {
            let Err(Error::TimedOut(late)) = ended else { panic!("{door}: {ended:?}") };
            assert_eq!((late.limit, late.after), (Limit::Deadline, SECOND), "{door}");
            assert_eq!(time.passed(), SECOND * doors, "{door}");
        };
        let_go("a breaker", breaker.call().deadline(SECOND).run(hang).await, 1);
        let_go("a bulkhead", bulkhead.call().deadline(SECOND).run(hang).await, 2);
        let_go("retries", retry.call().deadline(SECOND).run(hang).await, 3);
        let_go("a timeout", timeout.call().deadline(SECOND).run(hang).await, 4);
        let call = || policy.call().deadline(SECOND);
        let_go("run_with", call().run_with(|_| hang()).await, 5);
        let_go("run_reported", call().run_reported(|_| hang()).await.0, 6);
        let_go("run_held", call().run_held(|_| hang()).await.map(|_| ()), 7);
        assert_nothing_is_left(&policy);
    };
    world.block_on(ended);
}

#[test]
fn p27_a_full_bulkhead_refuses_at_once() {
    let mut world = World::default();
    let bulkhead = BulkheadConfig { max_concurrent: 1, max_queue: 0, ..BulkheadConfig::default() };
    let policy = world.policy().deadline(20 * MS).bulkhead(bulkhead).build().unwrap();
    let (first, second) = (policy.clone(), policy.clone());
    let holder = world.spawn(async move { first.run(pending::<Result<(), ()>>).await });
    let refused = world.spawn(async move { second.run(pending::<Result<(), ()>>).await });
    world.settle();
    let Some(Err(Error::Refused(refused))) = refused.answer() else { panic!("it must not wait") };
    assert_eq!((refused.refusal.by, refused.refusal.retry_after), (Pattern::Bulkhead, None));
    world.run();
    assert!(matches!(holder.answer(), Some(Err(Error::TimedOut(_)))));
    assert_nothing_is_left(&policy);
}

#[test]
fn a_call_that_begins_after_its_deadline_is_refused_and_nothing_runs() {
    let mut world = World::default();
    let policy = world.policy().build().unwrap();
    let caller = policy.clone();
    let ended = world.block_on(async move {
        caller.call().deadline(Duration::ZERO).run(async || Ok::<_, ()>(())).await
    });
    let Err(Error::Refused(refused)) = ended else { panic!("{ended:?}") };
    assert_eq!(refused.refusal.by, Pattern::Deadline);
    assert_eq!((policy.counts().calls.refused, policy.counts().attempts.started), (1, 0));
}

#[test]
fn an_attempt_over_its_limit_is_dropped_before_the_next_begins() {
    let mut world = World::default();
    let timeout = TimeoutConfig { attempt: 50 * MS, ..TimeoutConfig::default() };
    let policy = world.policy().retry(RetryConfig::default()).timeout(timeout).build().unwrap();
    let alive = Rc::new(());
    let (caller, shared) = (policy.clone(), Rc::clone(&alive));
    let ended = world.block_on(async move {
        caller
            .run(|| {
                assert_eq!(Rc::strong_count(&shared), 2, "the one before is gone");
                let held = Rc::clone(&shared);
                async move {
                    pending::<()>().await;
                    drop(held);
                    Ok::<(), ()>(())
                }
            })
            .await
    });
    let Err(Error::TimedOut(late)) = ended else { panic!("{ended:?}") };
    assert_eq!((late.limit, late.history.stopped()), (Limit::Attempt, Some(Stopped::MaxRetries)));
    let cuts: Vec<_> = late.history.attempts().iter().map(|cut| (cut.took, cut.ended)).collect();
    assert_eq!(cuts, [(50 * MS, Ended::Cut(Limit::Attempt)); 4]);
    assert_eq!((Rc::strong_count(&alive), policy.counts().timed_out), (1, 4));
    assert_nothing_is_left(&policy);
}

/// Whether a call that its caller leaves after `age` without an answer is held against the callee.
fn is_held_against(world: &mut World, policy: &Policy, age: Duration) -> bool {
    let (caller, before) = (policy.clone(), policy.counts().attempts);
    // Its own deadline is later or earlier than any limit: it does not matter.
    let patience = if before.started.is_multiple_of(2) { 3_600 * SECOND } else { age + MS };
    let call = world.spawn(async move {
        caller.call().deadline(patience).run(pending::<Result<(), ()>>).await
    });
    world.settle();
    world.pass(age);
    world.cancel(&call);
    let after = policy.counts().attempts;
    assert_eq!(after.failed + after.ignored, before.failed + before.ignored + 1);
    after.failed > before.failed
}

#[test]
fn what_is_left_unanswered_is_late_after_a_second_or_half_the_policys_deadline_or_the_learned_limit()
 {
    let built = |world: &World, deadline: Option<Duration>| {
        let limits = TimeoutConfig { attempt: 20 * SECOND, ..TimeoutConfig::default() };
        let policy = world.policy().timeout(limits).retry(exact_retry());
        deadline.into_iter().fold(policy, |policy, deadline| policy.deadline(deadline)).build()
    };
    for (deadline, late_after) in [
        (None, SECOND),
        (Some(10 * SECOND), SECOND),
        (Some(2 * SECOND), SECOND),
        (Some(SECOND), 500 * MS),
        (Some(10 * MS), 5 * MS),
    ] {
        let mut world = World::default();
        let policy = built(&world, deadline).unwrap();
        for (age, held) in [(late_after - MS, false), (late_after, true)] {
            for _ in 0..2 {
                let judged = is_held_against(&mut world, &policy, age);
                assert_eq!(judged, held, "{age:?} of a deadline of {deadline:?}");
            }
        }
    }

    let mut world = World::default();
    let policy = built(&world, Some(30 * SECOND)).unwrap();
    let (caller, time) = (policy.clone(), world.time.clone());
    world.block_on(async move {
        for _ in 0..100 {
            caller
                .run(async || {
                    time.sleep(200 * MS).await;
                    Ok::<_, ()>(())
                })
                .await
                .unwrap();
        }
    });
    assert!(!is_held_against(&mut world, &policy, 250 * MS));
    assert!(is_held_against(&mut world, &policy, 310 * MS), "learned: 200 ms and a half");
}
