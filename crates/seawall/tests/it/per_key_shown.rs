//! A policy for each key in a registry: one name, one policy, and figures of all keys together.

use std::sync::Arc;

use seawall::{
    CircuitBreakerConfig, PerKey, Policy, PolicyConfig, RateLimitConfig, Registry, TimeoutConfig,
};

use crate::world::{MS, World};

/// Room for two keys, and a breaker that opens at the first failure.
fn config() -> PolicyConfig {
    PolicyConfig {
        rate_limit: Some(RateLimitConfig::default()),
        circuit_breaker: Some(CircuitBreakerConfig {
            failures: 1,
            ..CircuitBreakerConfig::default()
        }),
        timeout: Some(TimeoutConfig { warm_up: 2, ..TimeoutConfig::default() }),
        max_keys: Some(2),
        ..PolicyConfig::default()
    }
}

/// Two that fail, two for which there is no room, and one that comes when another has been forgotten.
fn use_of_all_kinds(world: &World, tenants: &PerKey) {
    let call = |key: &str, answer| {
        let work = || {
            world.time.advance(20 * MS);
            answer
        };
        tenants.key(&*format!("tenant {key}")).run_blocking(work).is_ok()
    };
    assert!(call("forgotten", Ok(())) && !call("down", Err(())) && call("new", Ok(())));
    let _held = tenants.key("tenant new");
    assert!(!call("late", Err(())), "no room");
    assert!(!call("later", Ok(())), "what they share is open");
}

fn shown(registry: &Registry) {
    let seen = registry.snapshot();
    let keys = &seen.per_key["tenants"];
    assert_eq!((keys.in_use, keys.max_keys, keys.overflowed, keys.evicted), (2, 2, 2, 1));
    assert_eq!(keys.open, 2, "one, and those that share one");
    let calls = &seen.policies["tenants"].calls;
    assert_eq!((calls.started, calls.succeeded, calls.failed, calls.refused), (5, 2, 2, 1));
    assert_eq!(seen.adaptive_timeouts["tenants"].samples, 2);
    // The machines are those of whichever key came last.
    assert!(seen.rate_limiters.is_empty() && seen.circuit_breakers.is_empty());
}

#[test]
fn one_that_is_shown_has_its_figures_and_none_of_one_key() {
    let world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let tenants = Policy::builder("tenants").config(config()).clock(world.time.clock());
    let tenants = tenants.per_key::<Arc<str>>().build().unwrap();
    registry.show(Arc::new(tenants.clone()));
    use_of_all_kinds(&world, &tenants);
    shown(&registry);
    let written = format!("{:?}", registry.snapshot());
    assert!(!written.contains("tenant "), "{written}");
}
