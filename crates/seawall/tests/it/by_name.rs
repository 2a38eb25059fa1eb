//! Components by name: one of each kind, and one for the process.

use std::{
    pin::pin,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Events, Heard, Kind, Origin, Policy, PolicyConfig,
    Registry, RegistryError, RetryConfig, TimeoutConfig,
    core::{Phase, Priority, Rate, RateLimitConfig, Reason},
};

use crate::world::{MS, SECOND, World, poll};

fn one_failure() -> CircuitBreakerConfig {
    CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() }
}

fn one_place() -> BulkheadConfig {
    BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() }
}

/// The error as text, its places in this file as `line:column` and without its end, which says why.
fn told(error: &RegistryError) -> String {
    let text = error.to_string().replace(&format!("{}:", file!()), "");
    text.trim_end_matches(": the parts of a policy bear its name").to_owned()
}

#[test]
fn f68_there_is_one_registry_and_it_can_be_made_as_new() {
    let barrier = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                barrier.wait();
                let breaker = Registry::global().circuit_breaker("once", &one_failure()).unwrap();
                breaker.permit().unwrap().success();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let registry = Registry::global();
    let before = registry.find_circuit_breaker("once").unwrap();
    assert_eq!(before.snapshot().successes, 8);

    registry.set_ready(false);
    registry.show(Arc::new(before.clone()));
    registry.reset();
    assert!(registry.find_circuit_breaker("once").is_none() && registry.is_ready());
    assert!(registry.snapshot().circuit_breakers.is_empty());
    let after = registry.circuit_breaker("once", &CircuitBreakerConfig::default()).unwrap();
    before.permit().unwrap().failure();
    assert_eq!((before.phase(), after.phase()), (Phase::Open, Phase::Closed));
}

#[test]
fn f69_a_breaker_of_one_name_is_one_breaker() {
    let mut world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let mut events = registry.events();
    let made = line!() + 1;
    let [one, same] = [(); 2].map(|()| registry.circuit_breaker("db", &one_failure()).unwrap());
    let other = registry.circuit_breaker("cache", &one_failure()).unwrap();
    one.permit().unwrap().failure();
    assert_eq!((same.phase(), other.phase()), (Phase::Open, Phase::Closed));
    assert_eq!(registry.find_circuit_breaker("db").unwrap().phase(), Phase::Open);
    assert!(registry.find_circuit_breaker("nobody").is_none() && registry.find("db").is_none());

    let asked = line!() + 1;
    let conflict = registry.circuit_breaker("db", &Default::default()).unwrap_err();
    let expected = format!(
        "circuit breaker db exists with another configuration: \
         circuit_breaker.failures is 1 ({made}:49), asked for was 5 ({asked}:29)"
    );
    assert_eq!(told(&conflict), expected);

    let heard = world.block_on(async move { events.next().await });
    let Some(Heard::Change(change)) = heard else { panic!("{heard:?}") };
    assert_eq!(change.to_string(), "db: circuit_breaker closed -> open (1 failure)");
    world.time.advance(60 * SECOND);
    let seen = registry.snapshot();
    assert_eq!(seen.circuit_breakers["db"].state, "half_open", "it goes by the registry's clock");
    assert_eq!(seen.policies.len(), 0, "a component is no policy");
}

#[test]
fn f70_a_retry_manager_of_one_name_has_one_budget() {
    let world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let config = RetryConfig { base_delay: Duration::ZERO, ..RetryConfig::default() };
    let [one, same] = [(); 2].map(|()| registry.retry("db", &config).unwrap());
    let breaker = registry.circuit_breaker("db", &one_failure()).unwrap();
    assert!(one.run_blocking(|| Err::<(), _>("down")).is_err());
    assert!(!same.budget().snapshot().within_budget, "three retries, and all are spent");
    assert_eq!(breaker.snapshot().failures, 0, "of the same name, and something else");
    assert_eq!(registry.find_retry("db").unwrap().budget().snapshot().retries, 3);
    assert_eq!(registry.snapshot().retry_managers["db"].total_retries, 3);

    let fewer = RetryConfig { max_retries: 1, ..config.clone() };
    let Err(RegistryError::Conflict { kind, name, existing, wanted, differences }) =
        registry.retry("db", &fewer)
    else {
        panic!("another configuration")
    };
    assert_eq!((kind, name.as_str()), (Kind::Retry, "db"));
    assert_eq!((existing.retry, wanted.retry), (Some(config), Some(fewer)));
    assert_eq!(differences.len(), 1, "{differences:?}");
}

#[test]
fn f71_a_bulkhead_of_one_name_has_its_places_once() {
    let world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let [one, same] = [(); 2].map(|()| registry.bulkhead("db", &one_place()).unwrap());
    let slot = one.try_acquire(Priority::Normal).unwrap();
    let refused = same.try_acquire(Priority::Normal).unwrap_err();
    assert_eq!((&*refused.policy, refused.refusal.reason), ("db", Reason::Full));
    assert_eq!(registry.snapshot().bulkheads["db"].active_calls, 1);
    drop(slot);
    assert!(registry.find_bulkhead("db").unwrap().try_acquire(Priority::Normal).is_ok());
    let conflict = registry.bulkhead("db", &BulkheadConfig::database()).unwrap_err();
    assert!(told(&conflict).starts_with("bulkhead db exists"), "{conflict}");

    // Other settings while it runs are no conflict: what counts is what it was made with.
    one.reconfigure(BulkheadConfig::database()).unwrap();
    let found = registry.bulkhead("db", &one_place()).unwrap();
    assert_eq!(found.snapshot().max_concurrent, 20);
}

#[test]
fn f78_registries_share_nothing() {
    let world = World::default();
    let [one, other] = [(); 2].map(|()| Registry::with_clock(world.time.clock()));
    let (mut heard, mut elsewhere) = (one.events(), other.events());
    let [breaker, same_name] =
        [&one, &other].map(|registry| registry.circuit_breaker("api", &one_failure()).unwrap());
    assert!(breaker.run_blocking(|| Err::<(), _>(())).is_err());
    assert_eq!((breaker.phase(), same_name.phase()), (Phase::Open, Phase::Closed));
    assert_eq!(one.find_circuit_breaker("api").map(|it| it.phase()), Some(Phase::Open));
    let heard_now = |events: &mut Events| poll(&mut pin!(events.next())).is_some();
    assert!(heard_now(&mut heard) && !heard_now(&mut elsewhere));
    one.retry("db", &RetryConfig::default()).unwrap();
    assert!(other.find_retry("db").is_none() && Registry::global().find_retry("db").is_none());
    one.set_ready(false);
    assert!(other.is_ready());
    other.reset();
    assert!(one.find_retry("db").is_some());
}

#[test]
fn f72_rate_limiters_and_learned_limits_are_found_by_name_too() {
    let world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let config = RateLimitConfig {
        capacity: Some(2),
        rate: Some(Rate::per_second(1)),
        ..RateLimitConfig::default()
    };
    let [one, same] = [(); 2].map(|()| registry.rate_limiter("db", &config).unwrap());
    one.try_acquire(2).unwrap();
    assert_eq!(same.try_acquire(1).unwrap_err().retry_after, Some(SECOND));
    assert_eq!(registry.find_rate_limiter("db").unwrap().snapshot().available, 0);

    let quick = TimeoutConfig { warm_up: 1, ..TimeoutConfig::default() };
    let [one, same] = [(); 2].map(|()| registry.adaptive_timeout("db", &quick).unwrap());
    one.record(100 * MS);
    assert!(same.current_limit() < SECOND);
    assert_eq!(registry.find_adaptive_timeout("db").unwrap().snapshot().samples, 1);

    let seen = registry.snapshot();
    assert_eq!((seen.rate_limiters["db"].allowed, seen.adaptive_timeouts["db"].samples), (1, 1));
    let nothing = RateLimitConfig { limit: Some(1), ..config.clone() };
    assert!(matches!(registry.rate_limiter("web", &nothing), Err(RegistryError::Invalid(_))));
    assert!(registry.find_rate_limiter("web").is_none());
    assert!(registry.rate_limiter("db", &RateLimitConfig::default()).is_err());
    assert!(registry.adaptive_timeout("db", &TimeoutConfig::default()).is_err());
}

#[test]
fn a_learned_limit_from_a_registry_cuts_as_one_alone_does() {
    let mut world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let quick = TimeoutConfig { warm_up: 1, ..TimeoutConfig::default() };
    let timeout = registry.adaptive_timeout("search", &quick).unwrap();
    timeout.record(100 * MS);
    let hung = std::future::pending::<Result<(), ()>>;
    let ended = world.block_on(async move { timeout.run(hung).await });
    assert!(matches!(ended, Err(seawall::Error::TimedOut(_))), "{ended:?}");
    assert!(world.time.passed() < SECOND);
}

#[test]
fn a_name_is_a_policys_or_its_components_and_both_are_told() {
    let registry = Registry::new();
    let made = line!() + 1;
    registry.policy("orders", &PolicyConfig::default()).unwrap();
    let asked = line!() + 1;
    let taken = registry.bulkhead("orders", &one_place()).unwrap_err();
    let expected =
        format!("orders is the name of a policy ({made}:14), so not of a bulkhead ({asked}:26)");
    assert_eq!(told(&taken), expected);
    let asked = line!() + 1;
    registry.retry("db", &RetryConfig::default()).unwrap();
    let taken = registry.policy("db", &PolicyConfig::default()).unwrap_err();
    let RegistryError::Taken { name, existing, wanted } = taken else { panic!("{taken}") };
    assert_eq!((name.as_str(), existing.0, wanted.0), ("db", Kind::Retry, Kind::Policy));
    assert!(matches!(existing.1, Origin::Code(line) if line.line() == asked));
    assert!(registry.find("db").is_none() && registry.find_bulkhead("orders").is_none());
}

#[test]
fn a_component_of_a_registry_can_be_part_of_policies() {
    let world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let breaker = registry.circuit_breaker("db", &one_failure()).unwrap();
    let [read, write] = ["read", "write"]
        .map(|name| Policy::builder(name).circuit_breaker(&breaker).build().unwrap());
    assert!(write.run_blocking(|| Err::<(), _>("down")).is_err());
    let refused = read.run_blocking(|| Ok::<_, &str>(())).unwrap_err();
    assert_eq!(refused.retry_after(), Some(60 * SECOND));
    registry.show(Arc::new(read));
    let seen = registry.snapshot();
    assert_eq!(seen.circuit_breakers.len(), 1, "under its own name, once");
    assert_eq!(seen.policies["read"].calls.refused, 1);
}
