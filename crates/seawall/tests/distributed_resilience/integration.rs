//! All patterns together, and the service that knows everything by name.

use std::{
    future::ready,
    sync::atomic::{AtomicU32, Ordering},
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Jitter, Policy, Ratio, RegistryError, RetryConfig,
    TimeoutConfig,
    core::{Pattern, Phase, Stopped},
    guide::{DistributedResilienceService, get_resilience_service},
};
use tokio::time::Instant;

use crate::{Down, MS, SECOND, clock};

fn exact() -> RetryConfig {
    RetryConfig { jitter: Jitter::Fraction(Ratio::ZERO), ..RetryConfig::default() }
}

fn critical() -> Policy {
    Policy::builder("critical_service")
        .deadline(5 * SECOND)
        .retry(exact())
        .circuit_breaker(CircuitBreakerConfig::default())
        .bulkhead(BulkheadConfig::default())
        .timeout(TimeoutConfig::default())
        .clock(clock())
        .build()
        .expect("the settings make sense")
}

#[tokio::test(start_paused = true)]
async fn with_a_dead_callee_the_breaker_opens_and_calls_drop_to_probes() {
    let (policy, called) = (critical(), AtomicU32::new(0));
    let call = || {
        called.fetch_add(1, Ordering::Relaxed);
        ready(Err::<(), _>(Down))
    };
    for _ in 0..100 {
        assert!(policy.run(call).await.is_err());
    }
    assert_eq!(called.load(Ordering::Relaxed), 5, "five failures, and then it is left alone");
    assert_eq!(policy.phase(), Some(Phase::Open));
    tokio::time::sleep(60 * SECOND).await;
    for _ in 0..100 {
        assert!(policy.run(call).await.is_err());
    }
    assert_eq!(called.load(Ordering::Relaxed), 6, "one probe");
}

#[tokio::test(start_paused = true)]
async fn it_recovers_without_help() {
    let policy = critical();
    for _ in 0..10 {
        assert!(policy.run(|| ready(Err::<(), _>(Down))).await.is_err());
    }
    tokio::time::sleep(60 * SECOND).await;
    for _ in 0..3 {
        assert!(policy.run(|| ready(Ok::<_, Down>(()))).await.is_ok());
    }
    assert_eq!(policy.phase(), Some(Phase::Closed));
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_ends_the_retries_and_charges_none() {
    let policy = critical();
    let first = policy.run(|| ready(Err::<(), _>(Down))).await.unwrap_err();
    assert_eq!(first.history().attempts().len(), 4);
    let error = policy.run(|| ready(Err::<(), _>(Down))).await.unwrap_err();
    let Some(Stopped::Refused(refusal)) = error.history().stopped() else { panic!("{error:?}") };
    assert_eq!((refusal.by, error.history().attempts().len()), (Pattern::CircuitBreaker, 1));
    assert_eq!(policy.snapshot().retry_managers["critical_service"].total_retries, 3);
}

#[tokio::test(start_paused = true)]
async fn no_wait_is_outside_the_deadline() {
    let (policy, begun) = (critical(), Instant::now());
    let late = policy.run(std::future::pending::<Result<(), Down>>).await.unwrap_err();
    assert!(matches!(late, Error::TimedOut(_)), "{late:?}");
    assert_eq!(begun.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_says_nothing_about_the_callee() {
    let none = BulkheadConfig { max_concurrent: 0, max_queue: 0, ..BulkheadConfig::default() };
    let policy = Policy::builder("full")
        .circuit_breaker(CircuitBreakerConfig::default())
        .bulkhead(none)
        .clock(clock())
        .build()
        .unwrap();
    for _ in 0..20 {
        let error = policy.run(|| ready(Ok::<_, Down>(()))).await.unwrap_err();
        assert!(
            matches!(error, Error::Refused(refused) if refused.refusal.by == Pattern::Bulkhead)
        );
    }
    assert_eq!(policy.phase(), Some(Phase::Closed));
}

#[tokio::test(start_paused = true)]
async fn counters_lose_nothing() {
    let (policy, n) = (critical(), AtomicU32::new(0));
    for _ in 0..50 {
        let call = || {
            let n = n.fetch_add(1, Ordering::Relaxed);
            ready(if n.is_multiple_of(3) { Err(Down) } else { Ok(()) })
        };
        let _ = policy.run(call).await;
    }
    let gone = tokio::time::timeout(MS, policy.run(std::future::pending::<Result<(), Down>>));
    assert!(gone.await.is_err());
    let calls = policy.counts().calls;
    let ended = calls.succeeded + calls.failed + calls.refused + calls.ignored;
    assert_eq!((calls.started, ended), (51, 51));
    let attempts = policy.counts().attempts;
    assert_eq!(attempts.started, attempts.succeeded + attempts.failed + attempts.ignored);
}

#[test]
fn the_service_gives_the_same_component_by_name() {
    let service = DistributedResilienceService::new();
    let config = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
    let breaker = service.circuit_breaker("api", &config).unwrap();
    assert!(breaker.run_blocking(|| Err::<(), _>(Down)).is_err());
    let same = service.circuit_breaker("api", &config).unwrap();
    assert_eq!(same.phase(), Phase::Open);
    assert!(service.find_circuit_breaker("db").is_none());
}

#[test]
fn a_second_configuration_is_reported_and_not_ignored() {
    let service = DistributedResilienceService::new();
    service.bulkhead("cache", &BulkheadConfig::default()).unwrap();
    let other = BulkheadConfig { max_concurrent: 7, ..BulkheadConfig::default() };
    let conflict = service.bulkhead("cache", &other).unwrap_err();
    let RegistryError::Conflict { differences, .. } = conflict else { panic!("{conflict}") };
    assert_eq!(differences[0].field, "bulkhead.max_concurrent");
    assert_eq!((&*differences[0].existing.value, &*differences[0].wanted.value), ("100", "7"));
}

#[test]
fn services_are_independent_and_one_is_global() {
    let [one, other] = [0; 2].map(|_| DistributedResilienceService::new());
    one.retry("db", &RetryConfig::default()).unwrap();
    assert!(other.find_retry("db").is_none());
    assert!(std::ptr::eq(get_resilience_service(), DistributedResilienceService::global()));
}

#[test]
fn statistics_have_every_kind_by_name() {
    let service = DistributedResilienceService::new();
    service.circuit_breaker("api", &CircuitBreakerConfig::default()).unwrap();
    service.retry("db", &RetryConfig::default()).unwrap();
    service.bulkhead("cache", &BulkheadConfig::default()).unwrap();
    service.adaptive_timeout("search", &TimeoutConfig::default()).unwrap();
    service.rate_limiter("searches", &seawall::RateLimitConfig::default()).unwrap();
    let seen = service.snapshot();
    assert!(seen.timestamp.ends_with('Z'));
    assert_eq!(seen.circuit_breakers["api"].state, "closed");
    assert!(seen.retry_managers["db"].within_budget);
    assert_eq!(seen.bulkheads["cache"].max_concurrent, 100);
    assert!(seen.adaptive_timeouts["search"].adaptive_enabled);
    assert_eq!(seen.rate_limiters["searches"].available, 1_000);
}
