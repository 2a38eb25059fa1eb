//! Circuit breaker: all states, and every way from one to another.

use seawall::{
    Error, Override, Ratio, Window,
    core::Reason,
    guide::{CircuitBreaker, CircuitBreakerConfig, CircuitState},
};

use crate::{Down, MS, SECOND, clock, pass};

fn breaker(config: CircuitBreakerConfig) -> CircuitBreaker {
    CircuitBreaker::with_clock("database", config, clock()).expect("the settings make sense")
}

fn fail(breaker: &CircuitBreaker, times: u32) {
    (0..times).for_each(|_| assert!(breaker.run_blocking(|| Err::<(), _>(Down)).is_err()));
}

fn succeed(breaker: &CircuitBreaker, times: u32) {
    (0..times).for_each(|_| assert!(breaker.run_blocking(|| Ok::<_, Down>(())).is_ok()));
}

/// The guide's defaults: open after 5, half-open after 60 s.
async fn half_open() -> CircuitBreaker {
    let breaker = breaker(CircuitBreakerConfig::default());
    fail(&breaker, 5);
    pass(60 * SECOND).await;
    assert_eq!(breaker.phase(), CircuitState::HalfOpen);
    breaker
}

#[tokio::test(start_paused = true)]
async fn it_begins_closed_and_lets_calls_through() {
    let breaker = breaker(CircuitBreakerConfig::default());
    assert_eq!(breaker.phase(), CircuitState::Closed);
    assert_eq!(breaker.run(|| async { Ok::<_, Down>(7) }).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn closed_opens_at_the_fifth_failure_in_a_row_and_not_before() {
    let breaker = breaker(CircuitBreakerConfig::default());
    fail(&breaker, 4);
    assert_eq!(breaker.phase(), CircuitState::Closed);
    fail(&breaker, 1);
    assert_eq!(breaker.phase(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn one_success_and_the_row_begins_anew() {
    let breaker = breaker(CircuitBreakerConfig::default());
    fail(&breaker, 4);
    succeed(&breaker, 1);
    fail(&breaker, 4);
    assert_eq!(breaker.phase(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn open_refuses_without_a_call_and_says_when_to_ask_again() {
    let breaker = breaker(CircuitBreakerConfig::default());
    fail(&breaker, 5);
    pass(20 * SECOND).await;
    let mut called = false;
    let refused = breaker.run_blocking(|| {
        called = true;
        Ok::<_, Down>(())
    });
    let Err(Error::Refused(refused)) = refused else { panic!("it is open") };
    assert!(!called);
    assert_eq!(refused.refusal.reason, Reason::Open);
    assert_eq!(refused.refusal.retry_after, Some(40 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn open_becomes_half_open_after_sixty_seconds_and_not_before() {
    let breaker = breaker(CircuitBreakerConfig::default());
    fail(&breaker, 5);
    pass(60 * SECOND - MS).await;
    assert_eq!(breaker.phase(), CircuitState::Open);
    pass(MS).await;
    assert_eq!(breaker.phase(), CircuitState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn half_open_closes_at_the_third_success() {
    let breaker = half_open().await;
    succeed(&breaker, 2);
    assert_eq!(breaker.phase(), CircuitState::HalfOpen);
    succeed(&breaker, 1);
    assert_eq!(breaker.phase(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn half_open_opens_again_at_any_failure() {
    let breaker = half_open().await;
    succeed(&breaker, 2);
    fail(&breaker, 1);
    assert_eq!(breaker.phase(), CircuitState::Open);
    pass(60 * SECOND).await;
    assert_eq!(breaker.phase(), CircuitState::HalfOpen, "and tries once more");
}

#[tokio::test(start_paused = true)]
async fn half_open_lets_out_three_probes_at_once_and_no_more() {
    let breaker = half_open().await;
    let probes = [0; 3].map(|_| breaker.permit().expect("a probe"));
    let refused = breaker.permit().unwrap_err();
    assert_eq!(refused.refusal.reason, Reason::ProbesOut);
    probes.into_iter().for_each(|probe| probe.success());
    assert_eq!(breaker.phase(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_frees_its_place_and_decides_nothing() {
    let breaker = half_open().await;
    for _ in 0..10 {
        drop(breaker.permit().expect("a probe"));
    }
    assert_eq!(breaker.phase(), CircuitState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_late_result_of_before_decides_nothing() {
    let breaker = breaker(CircuitBreakerConfig::default());
    let late = breaker.permit().unwrap();
    fail(&breaker, 5);
    pass(60 * SECOND).await;
    succeed(&breaker, 2);
    late.failure();
    assert_eq!(breaker.phase(), CircuitState::HalfOpen);
    succeed(&breaker, 1);
    assert_eq!(breaker.phase(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn it_opens_on_a_share_of_failures_too() {
    let breaker = breaker(CircuitBreakerConfig {
        failure_rate: Some(Ratio::percent(50)),
        window: Window::Time(10 * SECOND),
        minimum_calls: 10,
        ..CircuitBreakerConfig::default()
    });
    for _ in 0..4 {
        fail(&breaker, 1);
        succeed(&breaker, 1);
    }
    succeed(&breaker, 1);
    assert_eq!(breaker.phase(), CircuitState::Closed);
    fail(&breaker, 1);
    assert_eq!(breaker.phase(), CircuitState::Open, "5 of 10, and never two in a row");
}

#[tokio::test(start_paused = true)]
async fn it_is_forced_and_released_with_a_reason() {
    let breaker = breaker(CircuitBreakerConfig::default());
    breaker.force(Override::open("the database moves"));
    assert_eq!(breaker.phase(), CircuitState::ForcedOpen);
    assert!(breaker.permit().is_err());
    breaker.release();
    assert_eq!(breaker.phase(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn its_statistics_are_those_the_guide_prints() {
    let breaker = breaker(CircuitBreakerConfig::default());
    succeed(&breaker, 150);
    fail(&breaker, 2);
    let seen = breaker.snapshot();
    assert_eq!((seen.phase.name(), seen.failures, seen.successes), ("closed", 2, 150));
    assert!(seen.last_failure.is_some());
}
