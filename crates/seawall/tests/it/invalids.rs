//! Settings that make no sense: all of them at once, each with its field, its value and what would be right, and whose
//! they are.

use std::time::Duration;

use seawall::{
    Algorithm, Bulkhead, BulkheadConfig, CircuitBreakerConfig, Invalids, Policy, PolicyConfig,
    RateLimitConfig, Registry, RegistryError, RetryConfig, TimeoutConfig, Window,
};

/// A mistake or two in each pattern.
fn wrong() -> PolicyConfig {
    PolicyConfig {
        deadline: Some(Duration::ZERO),
        rate_limit: Some(RateLimitConfig {
            algorithm: Algorithm::SlidingWindow,
            limit: Some(1),
            window: Some(Duration::ZERO),
            ..RateLimitConfig::default()
        }),
        retry: Some(RetryConfig { max_retries: 101, ..RetryConfig::default() }),
        circuit_breaker: Some(CircuitBreakerConfig {
            failures: 0,
            successes: 0,
            ..CircuitBreakerConfig::default()
        }),
        bulkhead: Some(no_wait()),
        timeout: Some(TimeoutConfig { warm_up: 0, ..TimeoutConfig::default() }),
        ..PolicyConfig::default()
    }
}

fn no_wait() -> BulkheadConfig {
    BulkheadConfig {
        max_wait: Duration::ZERO,
        max_run: Some(Duration::ZERO),
        ..BulkheadConfig::default()
    }
}

const ALL: &str = "\
    orders: deadline is 0s, expected more than 0s, or no deadline\n\
    orders: rate_limit.window is 0s, expected more than 0\n\
    orders: retry.max_retries is 101, expected 0 to 100\n\
    orders: circuit_breaker.failures is 0, expected at least 1\n\
    orders: circuit_breaker.successes is 0, expected at least 1\n\
    orders: bulkhead.max_wait is 0s, expected more than 0s\n\
    orders: bulkhead.max_run is 0s, expected more than 0s, or none\n\
    orders: timeout.warm_up is 0, expected at least 1";

fn fields(wrong: &Invalids) -> Vec<&'static str> {
    wrong.found.iter().map(|invalid| invalid.field).collect()
}

#[test]
fn a_policy_tells_all_its_mistakes_and_its_name() {
    let told = Policy::builder("orders").config(wrong()).build().unwrap_err();
    assert_eq!((&*told.name, &*told.to_string()), ("orders", ALL));
    let one = PolicyConfig { max_keys: Some(1), deadline: wrong().deadline, ..Default::default() };
    let told = Policy::builder("orders").config(one).build().unwrap_err();
    assert_eq!(fields(&told), ["deadline", "max_keys"]);
}

#[test]
fn a_reload_tells_all_of_them_and_changes_nothing() {
    let policy = Policy::builder("orders").deadline(Duration::from_secs(1)).build().unwrap();
    assert_eq!(policy.reload(&wrong()).unwrap_err().to_string(), ALL);
    let tenants = Policy::builder("orders").per_key::<String>().build().unwrap();
    assert_eq!(tenants.reload(&wrong()).unwrap_err().to_string(), ALL);
}

#[test]
fn a_registry_tells_all_of_them() {
    let registry = Registry::new();
    let told = registry.policy("orders", &wrong()).unwrap_err();
    assert!(matches!(&told, RegistryError::Invalid(invalids) if *invalids.name == *"orders"));
    assert_eq!(told.to_string(), ALL);
    assert_eq!(registry.per_key("orders", &wrong()).unwrap_err().to_string(), ALL);
    assert!(registry.find("orders").is_none());
}

#[test]
fn a_policy_for_each_key_tells_what_is_wrong_for_many_too() {
    let shared = Bulkhead::new("places", BulkheadConfig::default()).unwrap();
    let config = PolicyConfig {
        rate_limit: Some(RateLimitConfig {
            algorithm: Algorithm::SlidingWindow,
            limit: Some(17),
            ..RateLimitConfig::default()
        }),
        circuit_breaker: Some(CircuitBreakerConfig {
            half_open_calls: 17,
            window: Window::Calls(1_025),
            ..CircuitBreakerConfig::default()
        }),
        ..wrong()
    };
    let told = Policy::builder("orders")
        .config(PolicyConfig { retry: None, timeout: None, ..config })
        .bulkhead(&shared)
        .per_key::<String>()
        .build()
        .unwrap_err();
    // A window that no breaker can have is told once.
    let expected = [
        "deadline",
        "circuit_breaker.over",
        "rate_limit.limit",
        "circuit_breaker.half_open_calls",
        "per_key",
    ];
    assert_eq!(fields(&told), expected);
}

#[test]
fn a_component_tells_all_its_mistakes_and_its_name() {
    let told = Bulkhead::new("places", no_wait()).unwrap_err();
    assert_eq!(
        (&*told.name, fields(&told)),
        ("places", vec!["bulkhead.max_wait", "bulkhead.max_run"])
    );
    let bulkhead = Bulkhead::new("places", BulkheadConfig::default()).unwrap();
    assert_eq!(fields(&bulkhead.reconfigure(no_wait()).unwrap_err()), fields(&told));
}

#[test]
fn a_name_is_in_code_what_it_is_in_a_file() {
    let build = |name: &str| Policy::builder(name).build();
    let long = "a".repeat(64);
    for name in ["a", "web-1_B", &long] {
        assert_eq!(**build(name).unwrap().name(), *name);
    }
    let expected = "expected 1 to 64 letters, digits, `-` or `_`";
    for name in ["", "a\nb{}\"", "a b", "a.b", "é", &format!("{long}a")] {
        let told = build(name).unwrap_err();
        assert_eq!(told.to_string(), format!("{name:?}: name is {name:?}, {expected}"));
        assert!(Policy::builder(name).per_key::<String>().build().is_err());
        assert!(Bulkhead::new(name, BulkheadConfig::default()).is_err());
        let registered = Registry::new().policy(name, &PolicyConfig::default());
        assert!(matches!(registered, Err(RegistryError::Invalid(_))));
    }
}
