//! A call may be dropped at any of its await points, and everything returns.

use std::{cell::Cell, future::pending, rc::Rc, time::Duration};

use seawall::{
    Attempt, BulkheadConfig, CircuitBreakerConfig, Error, Policy, RateLimitConfig, RetryConfig,
    TimeoutConfig,
    core::{Algorithm, Phase, Rate},
};

use crate::world::{Job, MS, SECOND, World, assert_nothing_is_left, poll, seen, up_to};

fn policy(world: &World, failures: u32) -> Policy {
    world
        .policy()
        .deadline(10 * SECOND)
        .retry(RetryConfig::default())
        .circuit_breaker(CircuitBreakerConfig { failures, ..CircuitBreakerConfig::default() })
        .bulkhead(BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() })
        .timeout(TimeoutConfig { attempt: 500 * MS, ..TimeoutConfig::default() })
        .build()
        .expect("the settings make sense")
}

/// One scripted call, dropped after so many polls: fails after two waits, hangs into its limit, then answers
/// after one wait.
fn call(world: &mut World, policy: &Policy, polls: u32) -> Option<Result<u8, Error<()>>> {
    let (policy, time) = (policy.clone(), world.time.clone());
    world.block_on(up_to(polls, false, async move {
        policy
            .run_with(async |attempt| {
                time.sleep(10 * MS).await;
                match attempt.number {
                    1 => time.sleep(10 * MS).await,
                    2 => pending().await,
                    last => return Ok(last),
                }
                Err(())
            })
            .await
    }))
}

#[test]
fn a_call_dropped_after_any_number_of_polls_gives_everything_back() {
    let mut polls = 0;
    loop {
        let mut world = World::default();
        let policy = policy(&world, 5);
        let ended = call(&mut world, &policy, polls);
        assert_nothing_is_left(&policy);
        let counts = policy.counts();
        assert_eq!(counts.calls.started, u64::from(polls > 0), "a future not polled has not begun");
        assert_eq!(policy.phase(), Some(Phase::Closed));
        if let Some(ended) = ended {
            assert_eq!((ended.unwrap(), counts.attempts.started), (3, 3));
            break;
        }
        assert_eq!(counts.calls.ignored, counts.calls.started, "dropped after {polls} polls");
        polls += 1;
    }
    assert!(polls >= 7, "each of its seven waits was a place to drop it: {polls}");
}

#[test]
fn after_any_number_of_dropped_calls_the_next_one_is_served() {
    let mut world = World::default();
    let policy = policy(&world, u32::MAX);
    for polls in (0..7).cycle().take(700) {
        // In the end the budget is used up and calls end early, with an error.
        let _ = call(&mut world, &policy, polls);
    }
    let caller = policy.clone();
    let ended = world.block_on(async move { caller.run(async || Ok::<_, ()>("served")).await });
    assert_eq!(ended.unwrap(), "served");
    assert_nothing_is_left(&policy);
}

/// Dropped, it writes down how many places are taken then.
struct Looks(Policy, Rc<Cell<Option<u32>>>);

impl Drop for Looks {
    fn drop(&mut self) {
        self.1.set(Some(seen(&self.0).bulkheads["orders"].active_calls));
    }
}

#[test]
fn a_dropped_call_keeps_its_place_until_its_operation_is_gone() {
    let world = World::default();
    let policy = world.policy().bulkhead(BulkheadConfig::default()).build().unwrap();
    let [of_the_future, of_the_operation] = [Rc::default(), Rc::default()];
    let in_the_future = Looks(policy.clone(), Rc::clone(&of_the_future));
    let in_the_operation = Looks(policy.clone(), Rc::clone(&of_the_operation));
    let mut once = Some(in_the_future);
    let mut call = Box::pin(policy.run(move || {
        let (in_the_future, _captured) = (once.take(), &in_the_operation);
        async move {
            pending::<()>().await;
            drop(in_the_future);
            Ok::<_, ()>(())
        }
    }));
    assert!(poll(&mut call).is_none());
    drop(call);
    assert_eq!((of_the_future.get(), of_the_operation.get()), (Some(1), Some(1)));
    assert_nothing_is_left(&policy);
}

/// Patterns a policy may have, as bits; every combination of them is a policy here.
const RETRY: u32 = 1;
const BREAKER: u32 = 1 << 1;
const BULKHEAD: u32 = 1 << 2;
const TIMEOUT: u32 = 1 << 3;
const SHAPER: u32 = 1 << 4;
const DEADLINE: u32 = 1 << 5;

fn combined(world: &World, patterns: u32) -> Policy {
    let mut policy = world.policy();
    if patterns & RETRY != 0 {
        policy = policy.retry(RetryConfig::default());
    }
    if patterns & BREAKER != 0 {
        policy = policy.circuit_breaker(CircuitBreakerConfig::default());
    }
    if patterns & BULKHEAD != 0 {
        policy = policy.bulkhead(BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() });
    }
    if patterns & TIMEOUT != 0 {
        policy = policy.timeout(TimeoutConfig { attempt: 500 * MS, ..TimeoutConfig::default() });
    }
    if patterns & SHAPER != 0 {
        policy = policy.rate_limit(RateLimitConfig {
            algorithm: Algorithm::Shaper,
            rate: Some(Rate::per_second(20)),
            ..RateLimitConfig::default()
        });
    }
    if patterns & DEADLINE != 0 {
        policy = policy.deadline(10 * SECOND);
    }
    policy.build().expect("the settings make sense")
}

/// A call that works for so long and succeeds.
fn working(world: &mut World, policy: &Policy, wait: Duration) -> Job<Result<(), Error<()>>> {
    let (policy, time) = (policy.clone(), world.time.clone());
    world.spawn(async move {
        let work = || {
            let worked = time.sleep(wait);
            async move {
                worked.await;
                Ok::<_, ()>(())
            }
        };
        policy.run(work).await
    })
}

/// A call behind one that works, before another: dropped after so many polls, at once or, when it has been woken
/// (its turn has come, its pause is over), before it looks. `None` if it was dropped.
fn dropped(
    world: &mut World,
    policy: &Policy,
    polls: u32,
    when_woken: bool,
) -> Option<Result<u8, Error<()>>> {
    let before = working(world, policy, 70 * MS);
    let (caller, time) = (policy.clone(), world.time.clone());
    let call = async move {
        let work = async |attempt: Attempt| {
            time.sleep(10 * MS).await;
            if attempt.number == 1 { Err(()) } else { Ok(attempt.number) }
        };
        caller.run_with(work).await
    };
    let dropped = world.spawn(up_to(polls, when_woken, call));
    let after = working(world, policy, 10 * MS);
    world.run();
    for served in [before, after] {
        served.answer().expect("it has ended").expect("it is served");
    }
    dropped.answer().expect("it has ended")
}

#[test]
fn under_any_patterns_a_call_dropped_at_any_moment_leaves_all_as_it_was() {
    let mut most = 0;
    for patterns in 0..64 {
        for when_woken in [false, true] {
            let polls = (0..).find(|&polls| {
                let mut world = World::default();
                let policy = combined(&world, patterns);
                let ended = dropped(&mut world, &policy, polls, when_woken);
                let what = format!("patterns {patterns:06b}, {polls} polls, woken {when_woken}");
                assert_all_is_as_it_was(&policy, &what);
                // Whoever comes next waits for nobody.
                world.pass(SECOND);
                let begun = world.time.passed();
                let next = working(&mut world, &policy, 5 * MS);
                world.run();
                assert!(matches!(next.answer(), Some(Ok(()))), "{what}");
                assert_eq!(world.time.passed() - begun, 5 * MS, "{what}");
                ended.is_some()
            });
            most = most.max(polls.unwrap_or(0));
        }
    }
    assert!(most >= 5, "a line, a turn, the operation twice and a pause: {most}");
}

/// Nobody runs, waits or holds anything; what was charged was sent.
fn assert_all_is_as_it_was(policy: &Policy, what: &str) {
    assert_nothing_is_left(policy);
    assert_eq!(policy.phase().unwrap_or(Phase::Closed), Phase::Closed, "{what}");
    let seen = seen(policy);
    for bulkhead in seen.bulkheads.values() {
        assert_eq!((bulkhead.active_calls, bulkhead.queued), (0, 0), "{what}");
        let admitted = bulkhead.admitted_by_class.normal;
        assert_eq!((admitted, bulkhead.rejected_calls), (bulkhead.completed, 0), "{what}");
    }
    for limiter in seen.rate_limiters.values() {
        assert_eq!((limiter.waiting, limiter.rejected), (0, 0), "{what}");
    }
}
