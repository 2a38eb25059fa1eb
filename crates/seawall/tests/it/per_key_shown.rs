//! A policy for each key in a registry: one name, one policy, and figures of all keys together.

use std::{pin::pin, sync::Arc, time::Duration};

use seawall::{
    CircuitBreakerConfig, Heard, Kind, Override, PerKey, Policy, PolicyConfig, RateLimitConfig,
    Registry, RegistryError, TimeoutConfig,
};

use crate::world::{MS, World, poll};

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

#[test]
fn one_of_a_name_is_the_same_for_all_who_ask_and_is_shown() {
    let world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let tenants = registry.per_key("tenants", &config()).unwrap();
    use_of_all_kinds(&world, &registry.per_key("tenants", &config()).unwrap());
    assert_eq!(registry.find_per_key("tenants").unwrap().counts(), tenants.counts());
    assert!(registry.find_per_key("others").is_none(), "a look is not a creation");
    shown(&registry);
    let mut events = registry.events();
    let _ = tenants.key("tenant down").run_blocking(|| Ok::<_, ()>(()));
    assert!(tenants.force("tenant down", Override::closed("works again")));
    let change = poll(&mut pin!(events.next()));
    let Some(Some(Heard::Change(change))) = change else { panic!("{change:?}") };
    assert_eq!((&*change.name, change.key.as_deref()), ("tenants", Some("tenant down")));
}

#[test]
fn its_name_is_its_own_and_other_settings_are_a_conflict() {
    let registry = Registry::new();
    registry.per_key("tenants", &config()).unwrap();
    let more = PolicyConfig { max_keys: Some(3), ..config() };
    let conflict = registry.per_key("tenants", &more).unwrap_err();
    let text = conflict.to_string();
    assert!(text.starts_with("policy for each key tenants exists with"), "{text}");
    assert!(text.contains("max_keys is 2") && text.contains("asked for was 3"), "{text}");
    assert!(matches!(conflict, RegistryError::Conflict { kind: Kind::PerKey, .. }));

    // Nothing else bears the name, and it bears no other's.
    let one = PolicyConfig { max_keys: None, ..config() };
    registry.policy("orders", &one).unwrap();
    registry.circuit_breaker("database", &CircuitBreakerConfig::default()).unwrap();
    let breaker = CircuitBreakerConfig::default();
    for (taken, existing, wanted) in [
        (registry.per_key("orders", &one).err(), Kind::Policy, Kind::PerKey),
        (registry.per_key("database", &one).err(), Kind::CircuitBreaker, Kind::PerKey),
        (registry.policy("tenants", &one).err(), Kind::PerKey, Kind::Policy),
        (registry.circuit_breaker("tenants", &breaker).err(), Kind::PerKey, Kind::CircuitBreaker),
    ] {
        match taken {
            Some(RegistryError::Taken { existing: (is, _), wanted: (asked, _), .. }) => {
                assert_eq!((is, asked), (existing, wanted));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(registry.find("tenants").is_none() && registry.find_per_key("orders").is_none());
    let wrong = PolicyConfig { deadline: Some(Duration::ZERO), ..config() };
    assert!(matches!(registry.per_key("new", &wrong), Err(RegistryError::Invalid(_))));
    assert!(registry.find_per_key("new").is_none());
}

#[cfg(feature = "config")]
#[test]
fn a_conflict_names_the_places_in_the_file() {
    let read = seawall::config::parse("[policy.tenants]\nmax_keys = 9\n", "a.toml").unwrap();
    let registry = Registry::new();
    registry.per_key_from("tenants", &read.policies["tenants"], &read.origins).unwrap();
    let wanted = PolicyConfig { max_keys: Some(3), ..PolicyConfig::default() };
    let text = registry.per_key("tenants", &wanted).unwrap_err().to_string();
    assert!(text.contains("max_keys is 9 (a.toml:2:12), asked for was 3 ("), "{text}");
    let same = &read.policies["tenants"];
    assert!(registry.per_key("tenants", same).is_ok(), "the same settings, wherever from");
}
