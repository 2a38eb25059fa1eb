//! One name, one policy, one configuration; and the guide's statistics of all of them.

use std::time::Duration;

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, PolicyConfig, Registry, RegistryError, RetryConfig,
    TimeoutConfig,
};

use crate::world::{SECOND, World};

fn config() -> PolicyConfig {
    PolicyConfig {
        deadline: Some(SECOND),
        retry: Some(RetryConfig::default()),
        circuit_breaker: Some(CircuitBreakerConfig::default()),
        bulkhead: Some(BulkheadConfig::default()),
        timeout: Some(TimeoutConfig::default()),
    }
}

#[test]
fn the_same_name_with_the_same_configuration_is_the_same_policy() {
    let mut world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let (one, same) = (
        registry.policy("orders", &config()).unwrap(),
        registry.policy("orders", &config()).unwrap(),
    );
    let other = registry.policy("stock", &config()).unwrap();
    world.block_on(async move { one.run(async || Ok::<_, ()>(())).await }).unwrap();
    assert_eq!((same.counts().calls.succeeded, other.counts().calls.succeeded), (1, 0));
    assert_eq!(registry.find("orders").unwrap().counts().calls.succeeded, 1);
    assert!(registry.find("nobody").is_none(), "a look is not a creation");
}

#[test]
fn the_same_name_with_another_configuration_is_a_conflict_that_names_both() {
    let registry = Registry::new();
    registry.policy("orders", &config()).unwrap();
    let wanted = PolicyConfig { deadline: Some(3 * SECOND), ..config() };
    let conflict = registry.policy("orders", &wanted).unwrap_err();
    let text = conflict.to_string();
    assert!(
        text.contains("orders") && text.contains("Some(1s)") && text.contains("Some(3s)"),
        "{text}"
    );
    let RegistryError::Conflict { name, existing, wanted: asked } = conflict else {
        panic!("{text}")
    };
    assert_eq!((name.as_str(), *existing, *asked), ("orders", config(), wanted));
    assert_eq!(registry.find("orders").unwrap().config(), &config(), "the first one stays");
}

#[test]
fn settings_that_make_no_sense_create_nothing() {
    let registry = Registry::new();
    let config = PolicyConfig { deadline: Some(Duration::ZERO), ..config() };
    let invalid = registry.policy("orders", &config).unwrap_err();
    assert!(
        matches!(&invalid, RegistryError::Invalid(invalid) if invalid.field == "deadline"),
        "{invalid}"
    );
    assert!(registry.find("orders").is_none());
}

#[cfg(feature = "serde")]
#[test]
fn statistics_carry_the_guides_keys() {
    let registry = Registry::new();
    registry.policy("orders", &config()).unwrap();
    let stats = serde_json::to_value(registry.snapshot()).unwrap();
    assert!(stats["timestamp"].as_str().is_some_and(|text| text.ends_with('Z')), "{stats}");
    for (section, keys) in [
        (
            "retry_managers",
            &[
                "total_requests",
                "total_retries",
                "retry_rate_percent",
                "within_budget",
                "budget_percent",
            ][..],
        ),
        (
            "circuit_breakers",
            &[
                "state",
                "failure_count",
                "last_failure_time",
                "success_count",
                "name",
                "last_state_change",
            ],
        ),
        (
            "bulkheads",
            &["active_calls", "max_concurrent", "utilization_percent", "rejected_calls", "name"],
        ),
        (
            "adaptive_timeouts",
            &["p50", "p95", "p99", "p999", "current_timeout_ms", "adaptive_enabled", "samples"],
        ),
    ] {
        let fields = stats[section]["orders"].as_object().unwrap();
        for key in keys {
            assert!(fields.contains_key(*key), "{section} has no {key}: {fields:?}");
        }
    }
}

#[test]
fn statistics_are_those_of_every_policy_at_one_moment() {
    let mut world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let orders = registry.policy("orders", &config()).unwrap();
    registry.policy("stock", &PolicyConfig::default()).unwrap();
    world.block_on(async move {
        for _ in 0..150 {
            orders.run(async || Ok::<_, ()>(())).await.unwrap();
        }
    });
    let stats = registry.snapshot();
    let breaker = &stats.circuit_breakers["orders"];
    assert_eq!((breaker.state, breaker.failure_count, breaker.success_count), ("closed", 0, 150));
    assert_eq!(stats.retry_managers["orders"].total_requests, 150);
    assert_eq!(
        (stats.bulkheads["orders"].active_calls, stats.bulkheads["orders"].max_concurrent),
        (0, 100)
    );
    assert_eq!(stats.adaptive_timeouts["orders"].samples, 150);
    assert_eq!(stats.policies.keys().collect::<Vec<_>>(), ["orders", "stock"]);
    assert_eq!(stats.circuit_breakers.len(), 1, "what is not configured is not shown");
}
