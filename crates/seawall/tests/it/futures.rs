//! The future of a call: small, `Send`, polled no oftener than something happened.

use std::{
    future::{Future, ready},
    task::Poll,
};

use seawall::{BulkheadConfig, CircuitBreakerConfig, Clock, Policy, TimeoutConfig, core::Phase};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, exact_retry};

fn full(policy: seawall::PolicyBuilder) -> Policy {
    policy
        .deadline(2 * SECOND)
        .retry(exact_retry())
        .circuit_breaker(CircuitBreakerConfig::default())
        .bulkhead(BulkheadConfig::default())
        .timeout(TimeoutConfig::default())
        .build()
        .expect("the settings make sense")
}

#[test]
fn the_future_of_a_small_operation_fits_in_a_kilobyte() {
    let policy = full(Policy::builder("orders"));
    let size = size_of_val(&policy.run(|| ready(Ok::<u64, u64>(1))));
    assert!(size <= SIZE_MAX_BYTES, "{size}");
    let large = size_of_val(&policy.run(async || {
        let page = [0u8; 4_096];
        ready(()).await;
        Ok::<u8, u8>(page[0])
    }));
    assert!(
        large <= SIZE_MAX_BYTES + 4_096 + 64,
        "the operation is in it once, not twice: {large}"
    );
}

#[tokio::test]
async fn a_call_may_be_spawned_and_borrow_what_its_task_owns() {
    fn send<F: Future + Send>(future: F) -> F {
        future
    }
    let policy = full(Policy::builder("orders").clock(Clock::tokio()));
    let basket = vec![20, 22];
    let local = send(policy.run(async || Ok::<u32, ()>(basket.iter().sum())));
    assert_eq!(local.await.unwrap(), 42);

    let owned = policy.clone();
    let spawned = tokio::spawn(async move {
        let basket = basket;
        let sum = async |basket: &[u32]| Ok::<u32, ()>(basket.iter().sum());
        let by_closure = owned.run(|| async { sum(&basket).await }).await;
        let by_attempt = owned.run_with(|_| async { sum(&basket).await }).await;
        let typed = owned.typed::<u32, ()>();
        let by_view = typed.run(|| async { sum(&basket).await }).await;
        let held = owned.run_held(|_| async { sum(&basket).await }).await;
        let (by_head, held) = held?;
        held.complete();
        Ok::<_, seawall::Error<()>>([by_closure?, by_attempt?, by_view?, by_head])
    });
    assert_eq!(spawned.await.unwrap().unwrap(), [42; 4]);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_waiter_is_polled_at_most_three_times() {
    let mut world = World::default();
    let policy = full(world.policy());
    let (caller, time) = (policy.clone(), world.time.clone());
    let asleep = world.spawn(async move {
        caller
            .run(async || {
                time.sleep(MS).await;
                Ok::<_, ()>(())
            })
            .await
    });
    let caller = policy.clone();
    let retried = world.spawn(async move {
        let mut answers = [Ok(()), Err(())].into_iter().cycle().skip(1);
        caller.run(|| ready(answers.next().unwrap())).await
    });
    let caller = policy.clone();
    let cut = world.spawn(async move {
        caller.call().no_retry().run(std::future::pending::<Result<(), ()>>).await
    });
    world.run();
    assert!(asleep.answer().unwrap().is_ok() && retried.answer().unwrap().is_ok());
    assert!(cut.answer().unwrap().is_err());
    for polls in [asleep.polls(), retried.polls(), cut.polls()] {
        assert!(polls <= 3, "{polls}");
    }
}

#[test]
fn two_calls_in_one_task_each_wake_at_their_own_time() {
    let mut world = World::default();
    let (policy, time) = (full(world.policy()), world.time.clone());
    let ends = world.block_on(async move {
        let retried = async |retry_after: u32| {
            let answers = policy.typed::<(), ()>().classify(move |_: &Result<(), ()>| {
                seawall::core::Verdict::FAILURE.after(Some(MS * retry_after))
            });
            let mut runs = Vec::new();
            let _ = answers
                .run(|| {
                    runs.push(time.passed());
                    ready(Err(()))
                })
                .await;
            runs[1]
        };
        tokio::join!(retried(100), retried(200))
    });
    assert!(ends.0 <= 150 * MS && ends.1 >= 200 * MS, "{ends:?}");
}

#[test]
fn nobody_waits_on_the_clock_for_a_call_that_is_over() {
    let mut world = World::default();
    let policy = full(world.policy());
    let mut turns = 0;
    let ended = world.spawn(async move {
        policy
            .run(|| {
                std::future::poll_fn(move |cx| {
                    turns += 1;
                    cx.waker().wake_by_ref();
                    if turns < 3 { Poll::Pending } else { Poll::Ready(Ok::<_, ()>(turns)) }
                })
            })
            .await
    });
    world.settle();
    assert_eq!(ended.answer().unwrap().unwrap(), 3);
    assert_eq!(world.time.manual.next_wake(), None);
}

#[test]
fn a_policy_nobody_calls_waits_for_no_moment() {
    let mut world = World::default();
    let policy = full(world.policy());
    let caller = policy.clone();
    let failed = world.spawn(async move {
        for _ in 0..5 {
            let _ = caller.call().no_retry().run(|| ready(Err::<(), _>(()))).await;
        }
    });
    world.run();
    assert!(failed.answer().is_some());
    // Its breaker is open, its budget has been charged, its sketch has samples to forget: all of it can wait.
    assert_eq!(policy.phase(), Some(Phase::Open));
    for _ in 0..1_000 {
        assert_eq!(world.time.manual.next_wake(), None);
        world.time.advance(SECOND);
    }
    assert_eq!(policy.phase(), Some(Phase::HalfOpen), "whoever looks is told");
}

#[test]
fn a_typed_view_is_cloned_whatever_its_types() {
    struct Opaque;
    let typed = full(Policy::builder("orders")).typed::<Opaque, Opaque>();
    let clone = typed.clone();
    assert!(clone.run_blocking(|| Ok(Opaque)).is_ok());
    assert!(format!("{typed:?}").contains("orders"));
}

/// Measured: 712 and, with the page, 4 784; the rest is room for a newer compiler.
const SIZE_MAX_BYTES: usize = 1_024;
