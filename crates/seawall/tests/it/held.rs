//! Streamed answers: the call goes on, with its place, until the last byte or whatever comes instead.

use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Held, Policy, RetryConfig,
    core::{Pattern, Phase},
};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, seen};

fn policy(world: &World) -> Policy {
    world
        .policy()
        .retry(RetryConfig::default())
        .circuit_breaker(CircuitBreakerConfig::default())
        .bulkhead(BulkheadConfig { max_concurrent: 10, max_queue: 0, ..BulkheadConfig::default() })
        .build()
        .expect("the settings make sense")
}

/// One call up to a good head.
fn head(world: &mut World, policy: &Policy) -> Result<Held<Policy>, Error<()>> {
    let policy = policy.clone();
    world
        .block_on(async move { policy.run_held(async |_| Ok::<_, ()>(())).await })
        .map(|((), held)| held)
}

#[test]
fn ten_held_answers_fill_a_bulkhead_of_ten_and_dropping_one_frees_one() {
    let mut world = World::default();
    let policy = policy(&world);
    let mut held: Vec<_> = (0..10).map(|_| head(&mut world, &policy).unwrap()).collect();
    assert_eq!(seen(&policy).bulkheads["orders"].active_calls, 10);
    let Err(Error::Refused(refused)) = head(&mut world, &policy) else { panic!("it is full") };
    assert_eq!(refused.refusal.by, Pattern::Bulkhead);
    held.pop();
    held.push(head(&mut world, &policy).unwrap());
    assert!(matches!(head(&mut world, &policy), Err(Error::Refused(_))), "one place, not two");
    held.drain(..5).for_each(Held::complete);
    held.drain(..).for_each(Held::broke_off);
    assert_eq!(policy.counts().calls.succeeded, 5);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_body_that_breaks_off_after_a_good_head_is_a_failure() {
    let mut world = World::default();
    let policy = policy(&world);
    for n in 0..5 {
        assert_eq!(policy.phase(), Some(Phase::Closed), "after {n}");
        let held = head(&mut world, &policy).unwrap();
        world.time.advance(MS);
        held.broke_off();
    }
    assert_eq!(policy.phase(), Some(Phase::Open));
    assert_eq!((policy.counts().calls.failed, policy.counts().broke_off_late), (5, 0));
    assert_nothing_is_left(&policy);
}

#[test]
fn a_body_that_flows_for_a_second_counts_as_a_success() {
    let mut world = World::default();
    let policy = policy(&world);
    let caller = policy.clone();
    let body = world.spawn(async move {
        let ((), mut held) = caller.run_held(async |_| Ok::<_, ()>(())).await.unwrap();
        poll_fn(|cx| {
            held.poll_flowing(cx);
            Poll::<()>::Pending
        })
        .await;
    });
    world.settle();
    world.time.advance(SECOND - MS);
    world.settle();
    assert_eq!(seen(&policy).circuit_breakers["orders"].success_count, 0);
    world.time.advance(MS);
    world.settle();
    assert_eq!(seen(&policy).circuit_breakers["orders"].success_count, 1);
    assert_eq!(policy.counts().calls.in_flight(), 1, "it still holds its place");
    assert_eq!(body.polls(), 2);
    world.cancel(&body);
    assert_eq!(policy.counts().calls.succeeded, 1);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_part_that_comes_after_a_second_counts_as_a_success_without_a_timer() {
    let mut world = World::default();
    let policy = policy(&world);
    let mut held = head(&mut world, &policy).unwrap();
    for (wait, successes) in [(SECOND - MS, 0), (MS, 1), (100 * SECOND, 1)] {
        world.time.advance(wait);
        held.flows();
        assert_eq!(seen(&policy).circuit_breakers["orders"].success_count, successes);
    }
    drop(held);
    assert_eq!(policy.counts().calls.succeeded, 1);
    assert_nothing_is_left(&policy);
}

#[test]
fn what_breaks_off_after_it_was_judged_good_is_counted_apart() {
    let mut world = World::default();
    let policy = policy(&world);
    let mut held = head(&mut world, &policy).unwrap();
    world.time.advance(2 * SECOND);
    held.poll_flowing(&mut Context::from_waker(Waker::noop()));
    held.broke_off();
    assert_eq!(seen(&policy).circuit_breakers["orders"].failure_count, 0);
    assert_eq!((policy.counts().calls.succeeded, policy.counts().broke_off_late), (1, 1));
    assert_nothing_is_left(&policy);
}

#[test]
fn a_reader_that_goes_away_says_nothing_about_the_callee() {
    let mut world = World::default();
    let policy = policy(&world);
    for (read, ignored, succeeded) in [(SECOND / 2, 100, 0), (100 * SECOND, 100, 100)] {
        for _ in 0..100 {
            let held = head(&mut world, &policy).unwrap();
            world.time.advance(read);
            drop(held);
        }
        // Before it has flowed long enough it says nothing; after, it was good whoever leaves.
        let calls = policy.counts().calls;
        assert_eq!((calls.ignored, calls.succeeded), (ignored, succeeded));
        assert_eq!(policy.phase(), Some(Phase::Closed));
    }
    assert_nothing_is_left(&policy);
}

#[test]
fn a_bad_head_is_retried_and_a_bad_last_one_holds_nothing() {
    let mut world = World::default();
    let policy = policy(&world);
    let caller = policy.clone();
    let ended = world.block_on(async move {
        let operation = async |attempt: seawall::Attempt| match attempt.number {
            1 => Err("busy"),
            number => Ok(number),
        };
        caller.run_held(operation).await.map(|(number, held)| {
            held.complete();
            number
        })
    });
    assert_eq!(ended.unwrap(), 2);
    let caller = policy.clone();
    let ended =
        world.block_on(async move { caller.run_held(async |_| Err::<(), _>("down")).await });
    assert_eq!(ended.map(|_| ()).unwrap_err().into_failed(), Some("down"));
    assert_eq!((policy.counts().calls.succeeded, policy.counts().calls.failed), (1, 1));
    assert_nothing_is_left(&policy);
}
