//! A call may be dropped at any of its await points, and everything returns.

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Policy, RetryConfig, TimeoutConfig, core::Phase,
};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, up_to};

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
    world.block_on(up_to(polls, async move {
        policy
            .run_with(async |attempt| {
                time.sleep(10 * MS).await;
                match attempt.number {
                    1 => time.sleep(10 * MS).await,
                    2 => std::future::pending().await,
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
