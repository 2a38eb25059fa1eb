//! Transitions are told, in order, to whoever listens; who is too slow is told so.

use seawall::{
    CircuitBreakerConfig, Heard, Override, PolicyConfig, Registry,
    core::{Cause, Phase},
};

use crate::world::{SECOND, World};

fn config() -> PolicyConfig {
    PolicyConfig {
        circuit_breaker: Some(CircuitBreakerConfig::default()),
        ..PolicyConfig::default()
    }
}

#[test]
fn an_outage_is_told_as_three_transitions_in_words() {
    let mut world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let orders = registry.policy("orders", &config()).unwrap();
    let (mut all, mut own) = (registry.events(), orders.events());
    let caller = orders.clone();
    world.block_on(async move {
        for _ in 0..5 {
            let _ = caller.run(async || Err::<(), _>(())).await;
        }
    });
    world.pass(60 * SECOND);
    for _ in 0..3 {
        let caller = orders.clone();
        world.block_on(async move { caller.run(async || Ok::<_, ()>(())).await }).unwrap();
    }
    let told = world.block_on(async move {
        let mut told = Vec::new();
        for events in [&mut all, &mut own] {
            for _ in 0..3 {
                let Some(Heard::Change(change)) = events.next().await else { panic!("three each") };
                told.push((change.number, change.to_string()));
            }
        }
        told
    });
    let expected = [
        (1, "orders: circuit_breaker closed -> open (5 failures in a row)"),
        (2, "orders: circuit_breaker open -> half_open (open period over)"),
        (3, "orders: circuit_breaker half_open -> closed (3 probes succeeded)"),
    ];
    let expected = expected.map(|(number, text)| (number, text.to_owned()));
    assert_eq!(told, [expected.clone(), expected].concat());
}

#[test]
fn a_slow_listener_is_told_how_many_it_missed_and_hears_the_newest() {
    let mut world = World::default();
    let policy = world.policy().config(config()).build().unwrap();
    let mut events = policy.events();
    for _ in 0..1_000 {
        policy.force(Override::open("test"));
        policy.release();
    }
    let (missed, first, last) = world.block_on(async move {
        let Some(Heard::Missed(missed)) = events.next().await else { panic!("it was too slow") };
        let mut numbers = Vec::new();
        while numbers.last() != Some(&2_000) {
            let Some(Heard::Change(change)) = events.next().await else { panic!("no other gap") };
            assert_eq!(change.transition.cause, Cause::Override);
            numbers.push(change.number);
        }
        assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "without gaps");
        (missed, numbers[0], numbers[numbers.len() - 1])
    });
    assert_eq!((missed + 1, last), (first, 2_000));
    assert!(missed > 0 && first > 1, "{missed}");
}

#[test]
fn the_open_period_ends_for_whoever_looks_without_any_call() {
    let mut world = World::default();
    let policy = world.policy().config(config()).build().unwrap();
    let caller = policy.clone();
    world.block_on(async move {
        for _ in 0..5 {
            let _ = caller.run(async || Err::<(), _>(())).await;
        }
    });
    assert_eq!(policy.phase(), Some(Phase::Open));
    world.time.advance(60 * SECOND);
    assert_eq!(policy.phase(), Some(Phase::HalfOpen));
}
