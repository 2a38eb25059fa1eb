//! One name, one policy, one configuration; and the guide's statistics of all of them.

use std::time::Duration;

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Jitter, Override, PolicyConfig, Ratio, Registry,
    RegistryError, RetryConfig, RetryOn, Strategy, TimeoutConfig, Window,
    core::{Algorithm, CustomBackoff, Priority, Rate, RateLimitConfig, Reserve},
};

use crate::world::{MS, SECOND, World};

fn config() -> PolicyConfig {
    PolicyConfig {
        deadline: Some(SECOND),
        rate_limit: Some(RateLimitConfig::default()),
        retry: Some(RetryConfig::default()),
        retry_on: RetryOn::default(),
        circuit_breaker: Some(CircuitBreakerConfig::default()),
        bulkhead: Some(BulkheadConfig::default()),
        timeout: Some(TimeoutConfig::default()),
        max_keys: None,
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
    let first = line!() + 1;
    registry.policy("orders", &config()).unwrap();
    let wanted = PolicyConfig { deadline: Some(3 * SECOND), bulkhead: None, ..config() };
    let second = line!() + 1;
    let conflict = registry.policy("orders", &wanted).unwrap_err();
    let file = file!();
    assert_eq!(
        conflict.to_string(),
        format!(
            "policy orders exists with another configuration: \
             deadline is 1s ({file}:{first}:14), asked for was 3s ({file}:{second}:29); \
             bulkhead is on ({file}:{first}:14), asked for was off ({file}:{second}:29)"
        )
    );
    let RegistryError::Conflict { name, existing, wanted: asked, differences, .. } = conflict
    else {
        panic!("{conflict}")
    };
    assert_eq!((name.as_str(), *existing, *asked), ("orders", config(), wanted));
    assert_eq!(differences.len(), 2);
    assert_eq!(registry.find("orders").unwrap().config(), &config(), "the first one stays");
}

/// What a second configuration differs in from `config`, as its conflict tells it.
fn differences(other: PolicyConfig) -> Vec<(&'static str, String, String)> {
    let registry = Registry::new();
    registry.policy("orders", &config()).expect("the settings make sense");
    match registry.policy("orders", &other) {
        Err(RegistryError::Conflict { differences, .. }) => differences
            .into_iter()
            .map(|difference| {
                (difference.field, difference.existing.value, difference.wanted.value)
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_field_that_differs_is_told_and_no_other() {
    type Change = fn(&mut PolicyConfig);
    fn retry(config: &mut PolicyConfig) -> &mut RetryConfig {
        config.retry.as_mut().unwrap()
    }
    fn breaker(config: &mut PolicyConfig) -> &mut CircuitBreakerConfig {
        config.circuit_breaker.as_mut().unwrap()
    }
    fn bulkhead(config: &mut PolicyConfig) -> &mut BulkheadConfig {
        config.bulkhead.as_mut().unwrap()
    }
    fn limiter(config: &mut PolicyConfig) -> &mut RateLimitConfig {
        config.rate_limit.as_mut().unwrap()
    }
    fn limits(config: &mut PolicyConfig) -> &mut TimeoutConfig {
        config.timeout.as_mut().unwrap()
    }
    let changes: [(&str, &str, &str, Change); 51] = [
        ("deadline", "1s", "not set", |c| c.deadline = None),
        ("max_keys", "not set", "9", |c| c.max_keys = Some(9)),
        ("rate_limit", "on", "off", |c| c.rate_limit = None),
        ("rate_limit.algorithm", "token_bucket", "leaky_bucket", |c| {
            limiter(c).algorithm = Algorithm::LeakyBucket;
        }),
        ("rate_limit.capacity", "not set", "9", |c| limiter(c).capacity = Some(9)),
        ("rate_limit.rate", "not set", "1/3s", |c| {
            limiter(c).rate = Rate::new(1, 3 * SECOND);
        }),
        ("rate_limit.limit", "not set", "9", |c| limiter(c).limit = Some(9)),
        ("rate_limit.window", "not set", "9s", |c| limiter(c).window = Some(9 * SECOND)),
        ("rate_limit.buckets", "not set", "9", |c| limiter(c).buckets = Some(9)),
        ("rate_limit.reserves", "none", "critical = 10%, low = 3", |c| {
            limiter(c).reserves[0] = Reserve::Share(Ratio::percent(10));
            limiter(c).reserves[3] = Reserve::Tokens(3);
        }),
        ("rate_limit.limit_each_attempt", "false", "true", |c| {
            limiter(c).limit_each_attempt = true;
        }),
        ("retry", "on", "off", |c| c.retry = None),
        (
            "retry.on",
            r#"["connect", "reset", "timeout", "429", "500", "502", "503", "504"]"#,
            r#"["reset", "503"]"#,
            |c| {
                c.retry_on =
                    RetryOn { connect: false, reset: true, timeout: false, statuses: vec![503] }
            },
        ),
        ("retry.max_retries", "3", "4", |c| retry(c).max_retries = 4),
        ("retry.base_delay", "100ms", "1.5s", |c| retry(c).base_delay = 1_500 * MS),
        ("retry.max_delay", "60s", "50s", |c| retry(c).max_delay = 50 * SECOND),
        ("retry.jitter", "0.5", "full", |c| retry(c).jitter = Jitter::Full),
        ("retry.strategy", "exponential", "linear", |c| retry(c).strategy = Strategy::Linear),
        ("retry.max_elapsed", "not set", "9s", |c| retry(c).max_elapsed = Some(9 * SECOND)),
        ("retry.budget", "10%", "20%", |c| retry(c).budget = Ratio::percent(20)),
        ("retry.trickle", "false", "true", |c| retry(c).trickle = true),
        ("circuit_breaker", "on", "off", |c| c.circuit_breaker = None),
        ("circuit_breaker.failures", "5", "6", |c| breaker(c).failures = 6),
        ("circuit_breaker.failure_rate", "not set", "50%", |c| {
            breaker(c).failure_rate = Some(Ratio::percent(50));
        }),
        ("circuit_breaker.slow_rate", "not set", "100%", |c| {
            breaker(c).slow_rate = Some(Ratio::ONE);
        }),
        ("circuit_breaker.slow_after", "not set", "1s", |c| {
            breaker(c).slow_after = Some(SECOND);
        }),
        ("circuit_breaker.over", "10s", "64 calls", |c| breaker(c).window = Window::Calls(64)),
        ("circuit_breaker.minimum_calls", "20", "9", |c| breaker(c).minimum_calls = 9),
        ("circuit_breaker.max_open_for", "not set", "600s", |c| {
            breaker(c).max_open_for = Some(600 * SECOND);
        }),
        ("circuit_breaker.open_jitter", "0%", "10%", |c| {
            breaker(c).open_jitter = Ratio::percent(10);
        }),
        ("circuit_breaker.successes", "3", "4", |c| breaker(c).successes = 4),
        ("circuit_breaker.open_for", "60s", "2s", |c| breaker(c).open_for = 2 * SECOND),
        ("circuit_breaker.half_open_calls", "3", "4", |c| breaker(c).half_open_calls = 4),
        ("circuit_breaker.half_open_for", "not set", "9s", |c| {
            breaker(c).half_open_for = Some(9 * SECOND);
        }),
        ("bulkhead", "on", "off", |c| c.bulkhead = None),
        ("bulkhead.max_concurrent", "100", "9", |c| bulkhead(c).max_concurrent = 9),
        ("bulkhead.max_queue", "200", "0", |c| bulkhead(c).max_queue = 0),
        ("bulkhead.max_wait", "30s", "1s", |c| bulkhead(c).max_wait = SECOND),
        ("bulkhead.max_run", "30s", "not set", |c| bulkhead(c).max_run = None),
        ("bulkhead.priority", "true", "false", |c| bulkhead(c).priority = false),
        ("bulkhead.reserves", "none", "critical = 5", |c| {
            bulkhead(c).reserves[0] = 5;
        }),
        ("bulkhead.pool_threads", "not set", "9", |c| bulkhead(c).pool_threads = Some(9)),
        ("timeout", "on", "off", |c| c.timeout = None),
        ("timeout.connect", "3s", "2s", |c| limits(c).connect = 2 * SECOND),
        ("timeout.attempt", "60s", "2s", |c| limits(c).attempt = 2 * SECOND),
        ("timeout.read", "30s", "2s", |c| limits(c).read = 2 * SECOND),
        ("timeout.warm_up", "100", "9", |c| limits(c).warm_up = 9),
        ("timeout.floor", "10ms", "1ms", |c| limits(c).floor = MS),
        ("timeout.adaptive", "true", "false", |c| limits(c).adaptive = false),
        ("timeout.quantile", "0.95", "0.99", |c| limits(c).quantile = Ratio::percent(99)),
        ("timeout.factor", "1.5", "2", |c| limits(c).factor = Ratio::percent(200)),
    ];
    for (field, is, asked, change) in changes {
        let mut other = config();
        change(&mut other);
        assert_eq!(differences(other), [(field, is.to_owned(), asked.to_owned())]);
    }
}

#[test]
fn functions_that_look_alike_are_told_apart_in_so_many_words() {
    let own = || CustomBackoff::new(|_| SECOND);
    let with = |own: CustomBackoff| PolicyConfig {
        retry: Some(RetryConfig { strategy: Strategy::Custom(own), ..RetryConfig::default() }),
        ..PolicyConfig::default()
    };
    let registry = Registry::new();
    let shared = own();
    registry.policy("orders", &with(shared.clone())).unwrap();
    registry.policy("orders", &with(shared)).expect("a clone is the same function");
    let text = registry.policy("orders", &with(own())).unwrap_err().to_string();
    assert!(text.contains("retry.strategy is a function (") && !text.contains(';'), "{text}");
    assert!(text.contains("the same only if one is a clone of the other"), "{text}");
}

#[cfg(feature = "config")]
#[test]
fn a_conflict_names_the_places_in_the_files() {
    let registry = Registry::new();
    let read = |text: &str, file: &str| {
        let read = seawall::config::parse(text, file).unwrap();
        registry.policy_from("orders", &read.policies["orders"], &read.origins)
    };
    read("[policy.orders]\nretry = { max_retries = 2 }\n", "a.toml").unwrap();
    let conflict = read("\n[policy.orders]\ndeadline = '2s'\nretry = true", "b.toml").unwrap_err();
    assert_eq!(
        conflict.to_string(),
        "policy orders exists with another configuration: \
         deadline is not set (a.toml:1:1), asked for was 2s (b.toml:3:12); \
         retry.max_retries is 2 (a.toml:2:25), asked for was 3 (b.toml:4:9)"
    );
}

#[test]
fn settings_that_make_no_sense_create_nothing() {
    let registry = Registry::new();
    let config = PolicyConfig { deadline: Some(Duration::ZERO), ..config() };
    let invalid = registry.policy("orders", &config).unwrap_err();
    assert!(
        matches!(&invalid, RegistryError::Invalid(wrong) if wrong.found[0].field == "deadline"),
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
            "rate_limiters",
            &["algorithm", "allowed", "rejected", "available", "retry_after_seconds", "waiting"],
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

#[test]
fn a_rate_limit_is_in_the_statistics_of_its_policy() {
    let world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let rate = Rate::new(1, 4 * SECOND);
    let limit = RateLimitConfig { capacity: Some(2), rate, ..RateLimitConfig::default() };
    let config = PolicyConfig { rate_limit: Some(limit), ..PolicyConfig::default() };
    let orders = registry.policy("orders", &config).unwrap();
    for _ in 0..5 {
        let _ = orders.run_blocking(|| Ok::<_, ()>(()));
    }
    world.time.advance(SECOND);
    let stats = &registry.snapshot().rate_limiters["orders"];
    assert_eq!((stats.algorithm, stats.allowed, stats.rejected), ("token_bucket", 2, 3));
    assert_eq!((stats.limit, stats.available, stats.retry_after_seconds), (2, 0, Some(3.0)));
}

#[test]
fn a_queue_is_in_the_statistics_by_class() {
    let mut world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let bulkhead = BulkheadConfig {
        max_concurrent: 1,
        max_queue: 2,
        max_wait: 2 * SECOND,
        ..BulkheadConfig::default()
    };
    let config = PolicyConfig { bulkhead: Some(bulkhead), ..PolicyConfig::default() };
    let orders = registry.policy("orders", &config).unwrap();
    let time = world.time.clone();
    // One runs; of the others the first low one is displaced, and one waits in vain.
    let jobs: Vec<_> = [Priority::Normal, Priority::Low, Priority::Low, Priority::High]
        .into_iter()
        .map(|class| {
            let (orders, time) = (orders.clone(), time.clone());
            world.spawn(async move {
                let operation = || {
                    let sleep = time.sleep(3 * SECOND);
                    async move {
                        sleep.await;
                        Ok::<_, ()>(())
                    }
                };
                orders.call().priority(class).run(operation).await.is_ok()
            })
        })
        .collect();
    world.settle();
    let stats = registry.snapshot().bulkheads.remove("orders").unwrap();
    assert_eq!((stats.active_calls, stats.queued, stats.displaced), (1, 2, 1));
    assert_eq!((stats.queued_by_class.high, stats.queued_by_class.low), (1, 1));
    assert_eq!((stats.admitted_by_class.normal, stats.completed), (1, 0));
    world.run();
    let stats = registry.snapshot().bulkheads.remove("orders").unwrap();
    assert_eq!((stats.active_calls, stats.queued, stats.completed), (0, 0, 1));
    assert_eq!((stats.waits_over, stats.rejected_calls), (2, 3));
    let answers: Vec<_> = jobs.iter().map(|job| job.answer()).collect();
    assert_eq!(answers, [Some(true), Some(false), Some(false), Some(false)]);
}

#[test]
fn an_override_is_in_the_statistics_while_it_holds() {
    let world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let orders = registry.policy("orders", &config()).unwrap();
    orders.force(Override::open("the database moves").lasting(60 * SECOND));
    let shown = registry.snapshot().circuit_breakers.remove("orders").unwrap();
    let said = shown.overridden.unwrap();
    assert_eq!((shown.state, said.phase), ("forced_open", "forced_open"));
    assert_eq!(said.reason, "the database moves");
    assert!(said.until.is_some_and(|until| until.ends_with('Z')));
    world.time.advance(60 * SECOND);
    let shown = registry.snapshot().circuit_breakers.remove("orders").unwrap();
    assert_eq!((shown.state, shown.overridden), ("closed", None));
}
