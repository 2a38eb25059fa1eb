//! The budget bounds retries; delays keep their cap; what is not a success is still the caller's answer.

use std::{
    cell::Cell,
    future::{pending, ready},
    rc::Rc,
    time::Duration,
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Ratio, RetryConfig, RetryOn, Strategy,
    TimeoutConfig,
    core::{Draws, Limit, Outcome, Pattern, Stopped, Verdict},
};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, exact_retry};

/// Ten thousand calls from so many tasks, begun evenly over `spread`; how many retries were sent.
fn retries(percent: u64, tasks: u32, spread: Duration) -> u64 {
    let mut world = World::default();
    let policy =
        world.policy().retry(RetryConfig::default()).build().expect("the settings make sense");
    let chance = Rc::new(Cell::new(0));
    for task in 0..tasks {
        let (policy, time, chance) = (policy.clone(), world.time.clone(), Rc::clone(&chance));
        world.spawn(async move {
            for _ in (task..CALLS).step_by(tasks as usize) {
                let _ = policy
                    .run(async || {
                        chance.set(chance.get() + 1);
                        let fails = Draws::nth(percent, chance.get()).below(100) < percent;
                        if fails { Err(()) } else { Ok(()) }
                    })
                    .await;
                time.sleep(spread / CALLS * tasks).await;
            }
        });
    }
    world.run();
    assert_nothing_is_left(&policy);
    assert_eq!(policy.counts().calls.started, u64::from(CALLS));
    policy.counts().attempts.started - u64::from(CALLS)
}

#[test]
fn p14c_retries_stay_within_a_tenth_and_three_at_any_rate_from_any_number_of_tasks() {
    for percent in [10, 50, 100] {
        for tasks in [1, 64] {
            for spread in [Duration::ZERO, Duration::from_secs(3_600)] {
                let sent = retries(percent, tasks, spread);
                let case = format!("{percent} % of calls fail, {tasks} tasks, {spread:?}: {sent}");
                assert!(sent <= u64::from(CALLS) / 10 + 3, "{case}");
                assert!(sent >= 900, "the budget is there to be used: {case}");
            }
        }
    }
}

#[test]
fn p14a_no_wait_is_longer_than_the_cap_jitter_included() {
    let mut world = World::default();
    let config = RetryConfig {
        max_retries: 50,
        max_delay: SECOND,
        budget: Ratio::percent(1_000),
        ..RetryConfig::default()
    };
    let policy = world.policy().retry(config).build().unwrap();
    let begun = Rc::new(Cell::new(None));
    for _ in 0..20 {
        let (policy, time, begun) = (policy.clone(), world.time.clone(), Rc::clone(&begun));
        let longest = world.block_on(async move {
            let mut longest = Duration::ZERO;
            begun.set(None);
            let _ = policy
                .run(|| {
                    let now = time.passed();
                    longest = longest.max(now - begun.replace(Some(now)).unwrap_or(now));
                    async { Err::<(), _>(()) }
                })
                .await;
            longest
        });
        assert!(longest <= SECOND, "{longest:?}");
        assert!(longest > 100 * MS, "it did wait: {longest:?}");
    }
}

#[test]
fn attempts_follow_the_configured_delays() {
    let mut world = World::default();
    let config = exact_retry();
    let policy = world.policy().retry(config).build().unwrap();
    let (caller, time) = (policy.clone(), world.time.clone());
    let begun = world.block_on(async move {
        let mut begun = Vec::new();
        let _ = caller
            .run_with(|attempt| {
                begun.push((attempt.number, time.passed()));
                async { Err::<(), _>(()) }
            })
            .await;
        begun
    });
    assert_eq!(begun, [(1, Duration::ZERO), (2, 100 * MS), (3, 300 * MS), (4, 700 * MS)]);
    assert_nothing_is_left(&policy);
}

#[test]
fn no_retry_starts_after_max_elapsed_though_it_had_to_queue() {
    let mut world = World::default();
    let one = BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() };
    let retry = RetryConfig { max_elapsed: Some(SECOND), ..exact_retry() };
    let policy = world.policy().bulkhead(one).retry(retry).build().unwrap();
    let (retries, attempts) = (policy.clone(), Rc::new(Cell::new(0)));
    let (runs, time) = (attempts.clone(), world.time.clone());
    let call = world.spawn(async move {
        let failing = || {
            runs.set(runs.get() + 1);
            ready(Err::<(), _>(()))
        };
        let _ = retries.run(failing).await;
        time.passed()
    });
    let (holds, time) = (policy.clone(), world.time.clone());
    world.spawn(async move {
        let operation = || async {
            time.sleep(10 * SECOND).await;
            Ok::<_, ()>(())
        };
        holds.run(operation).await.unwrap();
    });
    world.run();
    assert_eq!((attempts.get(), call.answer()), (1, Some(SECOND)));
    assert_nothing_is_left(&policy);
}

#[test]
fn an_open_breaker_ends_the_retries_and_keeps_the_callees_error() {
    let mut world = World::default();
    let policy = world
        .policy()
        .retry(RetryConfig { strategy: Strategy::Exponential, ..RetryConfig::default() })
        .circuit_breaker(CircuitBreakerConfig { failures: 2, ..CircuitBreakerConfig::default() })
        .build()
        .unwrap();
    let caller = policy.clone();
    let ended = world.block_on(async move { caller.run(async || Err::<(), _>("down")).await });
    let Err(Error::Failed("down", history)) = ended else { panic!("{ended:?}") };
    assert_eq!(history.attempts().len(), 2);
    let Some(Stopped::Refused(refusal)) = history.stopped() else { panic!("{history:?}") };
    assert_eq!(refusal.by, Pattern::CircuitBreaker);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_call_that_must_not_be_repeated_runs_once() {
    let mut world = World::default();
    let policy = world.policy().retry(RetryConfig::default()).build().unwrap();
    let caller = policy.clone();
    let ended = world
        .block_on(async move { caller.call().no_retry().run(async || Err::<(), _>(())).await });
    let stopped = ended.unwrap_err().history().stopped();
    assert_eq!((stopped, policy.counts().attempts.started), (Some(Stopped::NotRepeatable), 1));
}

#[test]
fn attempts_cut_by_their_limit_are_retried_unless_timeouts_are_left_out() {
    for (timeout, attempts, stopped) in
        [(true, 4, Stopped::MaxRetries), (false, 1, Stopped::NotRetryable)]
    {
        let mut world = World::default();
        let retry = RetryConfig { budget: Ratio::percent(1_000), ..exact_retry() };
        let limit = TimeoutConfig { attempt: SECOND, ..TimeoutConfig::default() };
        let on = RetryOn { timeout, ..RetryOn::default() };
        let policy = world.policy().retry(retry).retry_on(on).timeout(limit).build().unwrap();
        let caller = policy.clone();
        let ended = world.block_on(async move { caller.run(pending::<Result<(), ()>>).await });
        let Err(Error::TimedOut(late)) = ended else { panic!("{ended:?}") };
        assert_eq!((late.limit, late.history.stopped()), (Limit::Attempt, Some(stopped)));
        assert_eq!(policy.counts().attempts.started, attempts);
        // What is left out is the timeout alone.
        let caller = policy.clone();
        let _ = world.block_on(async move { caller.run(async || Err::<(), _>(())).await });
        assert_eq!(policy.counts().attempts.started, attempts + 4);
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn an_ok_judged_a_failure_is_returned_as_ok_when_retries_end() {
    let mut world = World::default();
    let policy = world.policy().retry(RetryConfig::default()).build().unwrap();
    let typed = policy.typed::<u16, ()>().classify(|answer: &Result<u16, ()>| match answer {
        Ok(200..500) => Verdict::SUCCESS,
        _ => Verdict::FAILURE,
    });
    let ended = world.block_on(async move { typed.run(async || Ok(503)).await });
    assert_eq!(ended.unwrap(), 503, "the caller wants the answer it got, not a word about it");
    let counts = policy.counts();
    assert_eq!((counts.attempts.failed, counts.calls.failed, counts.calls.succeeded), (4, 1, 0));
}

#[test]
fn an_error_without_meaning_counts_for_nothing_and_is_not_repeated() {
    let mut world = World::default();
    let policy = world
        .policy()
        .retry(RetryConfig::default())
        .circuit_breaker(CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() })
        .build()
        .unwrap();
    let typed = policy.typed::<(), &str>().classify(|_: &Result<(), &str>| Verdict::IGNORED);
    let ended = world.block_on(async move { typed.run(async || Err("no such order")).await });
    let error = ended.unwrap_err();
    assert_eq!(error.history().attempts()[0].ended, seawall::Ended::Answered(Outcome::Ignored));
    assert_eq!(error.history().stopped(), Some(Stopped::NotRetryable));
    assert_eq!(error.into_failed(), Some("no such order"));
    assert_eq!((policy.counts().calls.ignored, policy.counts().attempts.ignored), (1, 1));
    assert_eq!(policy.phase(), Some(seawall::core::Phase::Closed));
}

const CALLS: u32 = 10_000;
