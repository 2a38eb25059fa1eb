//! In half-open exactly as many calls reach the operation as there are probes.

use std::{cell::Cell, future::pending, rc::Rc};

use seawall::{
    CircuitBreakerConfig, Error, Override, Policy, RetryConfig,
    core::{Draws, Pattern, Phase, Reason},
};

use crate::world::{Job, MS, SECOND, World, assert_nothing_is_left};

/// A policy whose breaker has been open for its whole period, with this many probes.
fn half_open(world: &mut World, half_open_calls: u32) -> Policy {
    let config = CircuitBreakerConfig { half_open_calls, ..CircuitBreakerConfig::default() };
    let policy = world
        .policy()
        .retry(RetryConfig::default())
        .circuit_breaker(config)
        .build()
        .expect("the settings make sense");
    let caller = policy.clone();
    world.block_on(async move {
        for _ in 0..5 {
            let _ = caller.call().no_retry().run(async || Err::<(), _>(())).await;
        }
    });
    assert_eq!(policy.phase(), Some(Phase::Open));
    world.pass(60 * SECOND);
    policy
}

type Answer = Result<(), Error<()>>;

/// Calls an operation that counts that it was reached, then never ends.
fn call_hung(world: &mut World, policy: &Policy, reached: &Rc<Cell<u32>>) -> Job<Answer> {
    let (policy, reached) = (policy.clone(), Rc::clone(reached));
    world.spawn(async move {
        policy
            .run(|| {
                reached.set(reached.get() + 1);
                pending()
            })
            .await
    })
}

#[test]
fn of_a_thousand_callers_exactly_k_reach_the_operation_while_none_has_ended() {
    for k in [1, 3, 10] {
        let mut world = World::default();
        let policy = half_open(&mut world, k);
        let reached = Rc::new(Cell::new(0));
        let calls: Vec<_> = (0..1_000).map(|_| call_hung(&mut world, &policy, &reached)).collect();
        world.settle();
        assert_eq!(reached.get(), k);
        let refusals = calls.iter().filter_map(Job::answer).map(|answer| match answer {
            Err(Error::Refused(refused)) => (refused.refusal.by, refused.refusal.reason),
            other => panic!("{other:?}"),
        });
        let refusals: Vec<_> = refusals.collect();
        assert_eq!(
            refusals,
            [(Pattern::CircuitBreaker, Reason::ProbesOut)].repeat(1_000 - k as usize)
        );
        calls.iter().for_each(|call| world.cancel(call));
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn a_probe_cancelled_early_frees_exactly_one_place() {
    for seed in 0..20 {
        let mut world = World::default();
        let policy = half_open(&mut world, 3);
        let mut draws = Draws::seeded(seed);
        let reached = Rc::new(Cell::new(0));
        let mut alive: Vec<Job<Answer>> = Vec::new();
        for _ in 0..200 {
            if !alive.is_empty() && draws.draw().below(3) == 0 {
                let probe = alive.swap_remove(draws.draw().below(alive.len() as u64) as usize);
                world.cancel(&probe);
            }
            let (free, before) = (alive.len() < 3, reached.get());
            let call = call_hung(&mut world, &policy, &reached);
            world.settle();
            assert_eq!(reached.get() - before, u32::from(free), "{} probes alive", alive.len());
            if free {
                alive.push(call);
            }
            world.time.advance(MS);
        }
        assert!(reached.get() > 20, "many were cancelled: {}", reached.get());
        assert_eq!(policy.phase(), Some(Phase::HalfOpen), "to leave early is no verdict");
        alive.iter().for_each(|call| world.cancel(call));
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn three_good_probes_close_it_whatever_the_pause_between_them() {
    let mut world = World::default();
    let policy = half_open(&mut world, 1);
    for n in 0..3 {
        assert_eq!(policy.phase(), Some(Phase::HalfOpen), "after {n}");
        let caller = policy.clone();
        world.block_on(async move { caller.run(async || Ok::<_, ()>(())).await }).unwrap();
        world.pass(600 * SECOND);
    }
    assert_eq!(policy.phase(), Some(Phase::Closed));
}

#[test]
fn p8_a_call_from_before_the_outage_neither_closes_nor_opens_it() {
    for late in [Ok(()), Err(())] {
        let mut world = World::default();
        let policy =
            world.policy().circuit_breaker(CircuitBreakerConfig::default()).build().unwrap();
        let (caller, time) = (policy.clone(), world.time.clone());
        let early = world.spawn(async move {
            caller
                .run(async || {
                    time.sleep(61 * SECOND).await;
                    late
                })
                .await
        });
        world.settle();
        let caller = policy.clone();
        world.spawn(async move {
            for _ in 0..5 {
                let _ = caller.run(async || Err::<(), _>(())).await;
            }
        });
        world.settle();
        assert_eq!(policy.phase(), Some(Phase::Open));
        world.pass(60 * SECOND);
        let reached = Rc::new(Cell::new(0));
        let probe = call_hung(&mut world, &policy, &reached);
        world.pass(2 * SECOND);
        assert!(early.answer().is_some());
        assert_eq!((policy.phase(), reached.get()), (Some(Phase::HalfOpen), 1));
        world.cancel(&probe);
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn p3_a_forced_state_stays_until_it_is_released() {
    let mut world = World::default();
    let policy = half_open(&mut world, 3);
    policy.force(Override::open("test"));
    world.pass(6_000 * SECOND);
    let caller = policy.clone();
    let ended = world.block_on(async move { caller.run(async || Ok::<_, ()>(())).await });
    let Err(Error::Refused(refused)) = ended else { panic!("{ended:?}") };
    assert_eq!((refused.refusal.reason, refused.refusal.retry_after), (Reason::ForcedOpen, None));
    policy.force(Override::closed("test"));
    assert_eq!(policy.phase(), Some(Phase::ForcedClosed));
    policy.release();
    assert_eq!(policy.phase(), Some(Phase::Closed));
}
