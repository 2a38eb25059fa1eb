//! What policies cost: so many bytes for each key, whatever keys come, and for a policy.

use std::sync::Arc;

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Clock, Error, ManualClock, PerKey, Policy, PolicyBuilder,
    PolicyConfig, RateLimitConfig, Ratio, RetryConfig, TimeoutConfig,
    core::{Algorithm, Draws, Rate, Reason},
};

use crate::{
    allocator::{allocations, bytes_kept_by},
    world::{MS, SECOND, poll},
};

const KEYS: u32 = 10_000;

/// Rate limit, retries, a breaker that looks at a share of the calls of ten seconds, a bulkhead with a queue.
fn usual() -> PolicyConfig {
    PolicyConfig {
        deadline: Some(2 * SECOND),
        rate_limit: Some(RateLimitConfig {
            capacity: Some(10),
            rate: Some(Rate::per_second(100)),
            ..RateLimitConfig::default()
        }),
        retry: Some(RetryConfig::default()),
        circuit_breaker: Some(CircuitBreakerConfig {
            failure_rate: Some(Ratio::percent(50)),
            open_for: 600 * SECOND,
            ..CircuitBreakerConfig::default()
        }),
        bulkhead: Some(BulkheadConfig::default()),
        timeout: Some(TimeoutConfig::default()),
        ..PolicyConfig::default()
    }
}

/// And all that a key may have beside that.
fn utmost() -> PolicyConfig {
    let mut config = usual();
    config.rate_limit = Some(RateLimitConfig {
        algorithm: Algorithm::SlidingWindow,
        limit: Some(1_000),
        window: Some(SECOND),
        buckets: Some(15),
        ..RateLimitConfig::default()
    });
    config.circuit_breaker = Some(CircuitBreakerConfig {
        slow_rate: Some(Ratio::percent(50)),
        slow_after: Some(SECOND),
        ..config.circuit_breaker.expect("there is one")
    });
    config
}

fn builder(config: PolicyConfig, clock: &ManualClock) -> PolicyBuilder {
    Policy::builder("tenants").config(config).clock(Clock::manual(clock)).seed(7)
}

fn tenants(config: PolicyConfig, clock: &ManualClock) -> PerKey {
    builder(config, clock).per_key().build().expect("the settings make sense")
}

/// A key of 64 bytes nobody has had before.
fn made_up(number: u64) -> String {
    let part = |n| format!("{:016x}", Draws::nth(number, n).below(u64::MAX));
    (0..4).map(part).collect()
}

/// One call whose operation is ready at once.
fn call(tenants: &PerKey, key: &str, answer: Result<(), ()>) -> Result<(), Error<()>> {
    let key = tenants.key(key);
    let mut running = std::pin::pin!(key.call().no_retry().run(|| std::future::ready(answer)));
    poll(&mut running).expect("nothing in it waits")
}

fn bytes_per_key(config: PolicyConfig) -> i64 {
    let clock = ManualClock::new();
    let mut kept = None;
    let one = bytes_kept_by(|| {
        let tenants = tenants(config.clone(), &clock);
        assert!(call(&tenants, &made_up(0), Ok(())).is_ok());
        kept = Some(tenants);
    });
    let all = bytes_kept_by(|| {
        let tenants = tenants(config, &clock);
        for number in 0..u64::from(KEYS) {
            assert!(call(&tenants, &made_up(number), Ok(())).is_ok());
        }
        assert_eq!(tenants.snapshot().keys, KEYS);
        kept = Some(tenants);
    });
    // What the table of one key has in reserve counts for it.
    drop(kept);
    (all - one) / i64::from(KEYS - 1) + 1
}

#[test]
fn a_key_takes_half_a_kilobyte_and_never_more_than_one() {
    let (usual, utmost) = (bytes_per_key(usual()), bytes_per_key(utmost()));
    assert!(usual <= 512, "{usual} bytes a key");
    assert!(utmost <= 1_024, "{utmost} bytes a key");
}

#[test]
fn a_policy_with_all_patterns_takes_eight_kilobytes() {
    let clock = ManualClock::new();
    let mut kept = None;
    let bytes = bytes_kept_by(|| {
        let policy = builder(usual(), &clock).build().expect("the settings make sense");
        for _ in 0..1_000 {
            let _ = policy.run_blocking(|| Ok::<_, ()>(()));
        }
        kept = Some(policy);
    });
    drop(kept);
    assert!(bytes <= 8 * 1_024, "{bytes} bytes");
}

#[test]
fn a_million_made_up_keys_stay_in_bounds_and_those_in_use_or_open_are_remembered() {
    let clock = ManualClock::new();
    let mut hot = 0;
    let mut kept = None;
    let bytes = bytes_kept_by(|| {
        let tenants = tenants(usual(), &clock);
        for _ in 0..5 {
            assert!(call(&tenants, "down", Err(())).is_err());
        }
        let used = tenants.key("used");
        for number in 0..1_000_000 {
            clock.advance(MS / 10);
            assert!(call(&tenants, &made_up(number), Ok(())).is_ok(), "{number}");
            if number % 10 == 0 {
                hot += u32::from(call(&tenants, "hot", Ok(())).is_ok());
            }
        }
        drop(used);
        kept = Some(tenants);
    });
    assert!(bytes <= 512 * i64::from(KEYS) + 16 * 1_024, "{bytes} bytes");
    let tenants = kept.expect("it was kept");
    let seen = tenants.snapshot();
    assert_eq!((seen.keys, seen.overflowed, seen.open), (KEYS, 0, 1));
    assert_eq!(seen.evicted, 1_000_003 - u64::from(KEYS));
    // 100 s at 100/s, and the 10 of the full bucket.
    assert!((10_000..=10_010).contains(&hot), "{hot}");
    let Err(Error::Refused(refused)) = call(&tenants, "down", Ok(())) else { panic!("it is open") };
    assert_eq!(refused.refusal.reason, Reason::Open);
}

#[test]
fn a_flood_of_keys_that_fail_shares_one_limit_once_it_has_filled_the_map() {
    let clock = ManualClock::new();
    let mut config = usual();
    config.circuit_breaker = Some(CircuitBreakerConfig {
        failures: 1,
        open_for: 600 * SECOND,
        ..CircuitBreakerConfig::default()
    });
    let tenants: PerKey =
        builder(config, &clock).per_key().max_keys(100).build().expect("it makes sense");
    let reached = (0..10_000)
        .filter(|number| {
            matches!(call(&tenants, &made_up(*number), Err(())), Err(Error::Failed(..)))
        })
        .count();
    // Each of a hundred once, and all others together once.
    assert_eq!(reached, 101);
    let seen = tenants.snapshot();
    assert_eq!((seen.keys, seen.overflowed, seen.evicted, seen.open), (100, 9_900, 0, 101));
    clock.advance(100 * SECOND);
    let refused = call(&tenants, "late", Ok(())).unwrap_err();
    let Error::Refused(said) = &refused else { panic!("{refused:?}") };
    assert_eq!(
        said.to_string(),
        "tenants (overflow): circuit_breaker open (1 failure), retry after 500.0s"
    );
}

#[test]
fn a_good_call_of_a_known_key_allocates_nothing() {
    let tenants = tenants(utmost(), &ManualClock::new());
    let keys: Vec<Arc<str>> = (0..10).map(|number| made_up(number).into()).collect();
    let good = || keys.iter().for_each(|key| assert!(call(&tenants, key, Ok(())).is_ok()));
    good();
    assert_eq!(allocations(good), 0);
}
