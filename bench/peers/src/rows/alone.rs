//! Each pattern alone in a policy, around a ready operation, beside libraries for that pattern.

use std::time::Duration;

use seawall::{
    Algorithm, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, PolicyConfig,
    Priority, RateLimitConfig, Ratio, Refused, RetryConfig, TimeoutConfig, Window,
};
use tower_resilience::{circuitbreaker::SlidingWindowType, ratelimiter::WindowType};

use super::{ANSWERED, ATTEMPT, Bar, FLOOR, OURS, Row, WELL, floor, ours, times};
use crate::{
    contender::Contender,
    operation::Operation::Ready,
    ours::{Ours, wide},
    singles,
    tower_resilience::{self as peer, alone_around_ready as layer},
};

pub(super) const ROWS: &[Row] = &[
    row("alone-breaker", "a circuit breaker: five failures in a row", NEAR_THE_FLOOR, || {
        let config = CircuitBreakerConfig::default();
        let mut row = alone(breaker(config.clone()));
        row.push(permits(&CircuitBreaker::new("ours", config).expect("the settings are valid")));
        row.push(singles::recloser());
        row.push(singles::failsafe_in_a_row());
        row.push(layer(peer::breaker_in_a_row()));
        row
    }),
    row("alone-breaker-calls", "a circuit breaker: half of 100 calls", NEAR_THE_FLOOR, || {
        let mut row = alone(breaker(half_of(Window::Calls(100))));
        row.push(singles::recloser());
        row.push(layer(peer::breaker_over(SlidingWindowType::CountBased)));
        row
    }),
    row("alone-breaker-time", "a circuit breaker: half of 10 s of calls", NEAR_THE_FLOOR, || {
        let mut row = alone(breaker(half_of(Window::Time(Duration::from_secs(10)))));
        row.push(singles::failsafe_over_time());
        row
    }),
    row("alone-retry", "retries with a budget", &[Bar::NoAllocation], || {
        let retry = Some(RetryConfig::default());
        let mut row = alone(PolicyConfig { retry, ..PolicyConfig::default() });
        row.push(singles::backon());
        row.push(singles::tower_retry());
        row.push(layer(peer::retry_alone()));
        row
    }),
    row("alone-bulkhead", "a bulkhead with a queue", &[Bar::NoAllocation], || {
        let config = BulkheadConfig::default();
        let bulkhead = Some(config.clone());
        let mut row = alone(PolicyConfig { bulkhead, ..PolicyConfig::default() });
        row.push(slots(&Bulkhead::new("ours", config).expect("the settings are valid")));
        row.push(singles::semaphore());
        row.push(singles::tower_concurrency());
        row.push(layer(peer::bulkhead()));
        row
    }),
    row("alone-timeout", "a limit on the attempt; ours is learned", &[Bar::NoAllocation], || {
        let timeout = Some(TimeoutConfig::default());
        let mut row = alone(PolicyConfig { timeout, ..PolicyConfig::default() });
        row.push(singles::tokio_timeout());
        row.push(singles::tower_timeout());
        row.push(layer(peer::time_limiter(ATTEMPT)));
        row
    }),
    row("alone-token-bucket", "a rate limit: token bucket", NEAR_THE_FLOOR, || {
        let mut row = alone(limit(wide(Algorithm::TokenBucket)));
        row.push(singles::governor());
        row.push(singles::tower_rate_limit());
        row.push(layer(peer::token_bucket(peer::wide())));
        row
    }),
    row("alone-window", "a rate limit: exact sliding window", &[Bar::NoAllocation], || {
        let mut row = alone(limit(wide(Algorithm::SlidingWindow)));
        row.push(layer(peer::window(peer::wide_log(), WindowType::SlidingLog)));
        row
    }),
    row("alone-window-buckets", "a rate limit: window of 10 buckets", &[Bar::NoAllocation], || {
        let second = RateLimitConfig {
            limit: Some(1_000_000_000),
            window: Some(Duration::from_secs(1)),
            buckets: Some(10),
            ..wide(Algorithm::SlidingWindow)
        };
        let mut row = alone(limit(second));
        row.push(layer(peer::window(peer::wide(), WindowType::SlidingCounter)));
        row
    }),
    row("alone-leaky-bucket", "a rate limit: leaky bucket, a meter", &[Bar::NoAllocation], || {
        let mut row = alone(limit(wide(Algorithm::LeakyBucket)));
        row.push(singles::governor());
        row
    }),
    row("alone-shaper", "a rate limit that waits for its turn", &[Bar::NoAllocation], || {
        let mut row = alone(limit(wide(Algorithm::Shaper)));
        row.push(singles::governor_waiting());
        row
    }),
];

const NEAR_THE_FLOOR: &[Bar] = &[Bar::NoAllocation, times(FLOOR, 1.5).aiming(1.2)];

const fn row(
    name: &'static str,
    holds: &'static str,
    bars: &'static [Bar],
    contenders: fn() -> Vec<Contender>,
) -> Row {
    Row { name, holds, threads: 1, bars, contenders }
}

fn alone(config: PolicyConfig) -> Vec<Contender> {
    vec![floor(Ready), ours(OURS, Ours::with(config), WELL, Ready)]
}

/// The component, asked before the operation and told how it went.
fn permits(breaker: &CircuitBreaker) -> Contender {
    let breaker = breaker.clone();
    Contender::new("seawall, permit", ANSWERED, move || {
        let breaker = breaker.clone();
        async move || {
            let permit = breaker.permit().map_err(Some)?;
            let answer = Ready.run().await.map_err(|_| None::<Refused>);
            match answer {
                Ok(_) => permit.success(),
                Err(_) => permit.failure(),
            }
            answer
        }
    })
}

/// The component, of which a place is held while the operation runs.
fn slots(bulkhead: &Bulkhead) -> Contender {
    let bulkhead = bulkhead.clone();
    Contender::new("seawall, slot", ANSWERED, move || {
        let bulkhead = bulkhead.clone();
        async move || {
            let _slot = bulkhead.acquire(Priority::Normal).await.map_err(Some)?;
            Ready.run().await.map_err(|_| None::<Refused>)
        }
    })
}

fn breaker(breaker: CircuitBreakerConfig) -> PolicyConfig {
    PolicyConfig { circuit_breaker: Some(breaker), ..PolicyConfig::default() }
}

fn half_of(window: Window) -> CircuitBreakerConfig {
    let failure_rate = Some(Ratio::percent(50));
    CircuitBreakerConfig { failure_rate, window, ..CircuitBreakerConfig::default() }
}

fn limit(limit: RateLimitConfig) -> PolicyConfig {
    PolicyConfig { rate_limit: Some(limit), ..PolicyConfig::default() }
}
