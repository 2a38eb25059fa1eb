//! What a gateway does where nothing is written.
//!
//! The library's defaults are the guide's. Here the gateway differs, because with those it would miss its
//! own promise to answer from another endpoint in less than 10 s:
//!
//! | setting | library | gateway | reason |
//! | --- | --- | --- | --- |
//! | `deadline` | none | 15 s | a client is never left waiting for ever |
//! | `timeout.attempt` | 60 s | 5 s | one hung endpoint leaves time for two others |
//! | `timeout.connect`, `.read` | 3 s, 30 s | 1 s, 10 s | endpoints are near; silence of 10 s is a hang |
//! | `retry.max_retries` | 3 | 2 | what fits into the deadline |
//! | `retry.base_delay`, `.max_delay` | 100 ms, 60 s | 25 ms, 1 s | another endpoint needs no pause, a herd does |
//! | `retry.jitter` | 0.5 | full | many clients share one gateway |
//! | `retry_trickle` | false | true | a quiet service may retry too |
//! | `circuit_breaker.open_for` | 60 s | 5 s | the other endpoints carry the load meanwhile |
//! | `circuit_breaker.failure_rate` | none | 50 %, of 20 calls in 10 s | an endpoint that fails every other call never fails five in a row |
//! | `circuit_breaker.max_open_for`, `.open_jitter` | none, 0 % | 60 s, 10 % | what stays down is probed less, and not by all gateways together |
//! | `bulkhead.max_wait` | 30 s | 5 s | who waits longer has no time left for an attempt |
//! | `bulkhead.max_run` | 30 s | none | the limits of an attempt bound it, and a download may take longer |

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Jitter, Ratio, RetryConfig, RetryOn, TimeoutConfig,
    Window,
};

use super::{EndpointConfig, PriorityBy, RouteConfig, RouteMatch, UpstreamConfig};
use crate::{pool::PoolLimits, replay::KEPT_BYTES_MAX};

/// Loopback: a gateway is open to others only where that was written.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// How long a call may take to the head of its answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(15);

pub(super) fn upstream(name: String, endpoints: Vec<EndpointConfig>) -> UpstreamConfig {
    let RetryConfig { budget, trickle, .. } = retry();
    let pool = PoolLimits::default();
    UpstreamConfig {
        name,
        endpoints,
        circuit_breaker: Some(circuit_breaker()),
        retry_budget: budget,
        retry_trickle: trickle,
        max_connections: pool.open_max,
        idle_timeout: pool.idle_for,
    }
}

pub(super) fn route(name: String, upstream: usize) -> RouteConfig {
    RouteConfig {
        name,
        matches: RouteMatch::default(),
        upstream,
        rate_limit: None,
        priority: PriorityBy::default(),
        deadline: Some(DEADLINE),
        timeout: timeout(Some(DEADLINE)),
        retry: Some(retry()),
        retry_on: RetryOn::default(),
        bulkhead: Some(bulkhead()),
        replay_buffer: KEPT_BYTES_MAX,
    }
}

pub(super) fn circuit_breaker() -> CircuitBreakerConfig {
    CircuitBreakerConfig {
        failure_rate: Some(Ratio::percent(50)),
        window: Window::Time(Duration::from_secs(10)),
        minimum_calls: 20,
        open_for: Duration::from_secs(5),
        max_open_for: Some(Duration::from_secs(60)),
        open_jitter: Ratio::percent(10),
        ..CircuitBreakerConfig::default()
    }
}

pub(super) fn bulkhead() -> BulkheadConfig {
    BulkheadConfig { max_wait: Duration::from_secs(5), max_run: None, ..BulkheadConfig::default() }
}

pub(super) fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: 2,
        base_delay: Duration::from_millis(25),
        max_delay: Duration::from_secs(1),
        jitter: Jitter::Full,
        budget: Ratio::percent(10),
        trickle: true,
        ..RetryConfig::default()
    }
}

/// The limits of an attempt, none longer than the deadline but that on silence, which outlives it.
pub(super) fn timeout(deadline: Option<Duration>) -> TimeoutConfig {
    let clip = |limit: Duration| deadline.map_or(limit, |deadline| limit.min(deadline));
    let attempt = clip(Duration::from_secs(5));
    let library = TimeoutConfig::default();
    TimeoutConfig {
        connect: clip(Duration::from_secs(1)),
        read: Duration::from_secs(10),
        attempt,
        floor: library.floor.min(attempt),
        ..library
    }
}
