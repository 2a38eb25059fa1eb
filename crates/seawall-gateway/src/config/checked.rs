//! What the settings mean: plain values, references resolved.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Ratio, RetryConfig, RetryOn, TimeoutConfig,
    config::{Origins, Problems, read},
};

use super::{
    EndpointConfig, PriorityBy, RouteLimitConfig, RouteMatch,
    raw::{Raw, RawRoute},
};
use crate::listen::Limits;

/// A gateway's settings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where clients connect (`listen`). Default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Where operators connect (`admin.listen`). Default nowhere.
    pub admin: Option<SocketAddr>,
    /// What clients may use (`max_connections`, `header_timeout`, `max_header_bytes`, `max_headers`,
    /// `drain_timeout`).
    pub limits: Limits,
    /// How long to go on accepting after the signal to stop, so that balancers notice. Default 0 s.
    pub shutdown_delay: Duration,
    /// By name.
    pub upstreams: Vec<UpstreamConfig>,
    /// In the order they are tried: the first that matches is taken.
    pub routes: Vec<RouteConfig>,
    /// Where each setting came from, by its path (`route.orders.retry.max_retries`).
    pub origins: Origins,
}

/// Endpoints that do the same work.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// Its name.
    pub name: String,
    /// At least one.
    pub endpoints: Vec<EndpointConfig>,
    /// The breaker each endpoint has. Default on: 5 failures in a row or 50 % of at least 20 calls in 10 s; open for 5 s,
    /// growing to 60 s.
    pub circuit_breaker: Option<CircuitBreakerConfig>,
    /// Retries per first attempt, for all routes together. Default 10 %; 0 to 1000 %.
    pub retry_budget: Ratio,
    /// Whether the budget is topped up with time. Default true.
    pub retry_trickle: bool,
    /// Connections open at once to each endpoint. Default 1024; at least 1.
    pub max_connections: usize,
    /// How long a connection may be idle. Default 30 s; more than 0.
    pub idle_timeout: Duration,
}

/// Which requests go where, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteConfig {
    /// Its name, which no other route has.
    pub name: String,
    /// The requests it is for. Default all.
    pub matches: RouteMatch,
    /// The index of its upstream.
    pub upstream: usize,
    /// Limit on requests, before anything else. Default none.
    pub rate_limit: Option<RouteLimitConfig>,
    /// How urgent its requests are. Default normal.
    pub priority: PriorityBy,
    /// Limit on the time to the head of the answer. Default 15 s; `None` where `"none"` is written.
    pub deadline: Option<Duration>,
    /// Limits on one attempt. Default connect 1 s, read 10 s, attempt 5 s, none but `read` above the deadline.
    pub timeout: TimeoutConfig,
    /// Retries, with the budget of the upstream in it. Default 2, after 25 ms to 1 s.
    pub retry: Option<RetryConfig>,
    /// What is retried.
    pub retry_on: RetryOn,
    /// Requests at once, and waiting for a place. Default 100, and 200 for up to 5 s.
    pub bulkhead: Option<BulkheadConfig>,
    /// Bytes of a request's body kept for another attempt. Default 64 KiB; at most 16 MiB.
    pub replay_buffer: usize,
}

impl Config {
    /// From TOML; `file` is what problems and origins call it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, by place.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, Problems> {
        let (mut config, origins) = read(text, file, |root| {
            let Raw { listen, admin, limits, shutdown_delay, upstreams, routes } = Raw::read(root);
            let routes = resolve(routes, &upstreams);
            let origins = Origins::default();
            Self { listen, admin, limits, shutdown_delay, upstreams, routes, origins }
        })?;
        config.origins = origins;
        Ok(config)
    }
}

impl RouteConfig {
    /// Takes the budget of the upstream for its retries.
    pub(super) fn draw_on(&mut self, upstream: &UpstreamConfig) {
        if let Some(retry) = &mut self.retry {
            retry.budget = upstream.retry_budget;
            retry.trickle = upstream.retry_trickle;
        }
    }
}

fn resolve(routes: Vec<RawRoute<'_>>, upstreams: &[UpstreamConfig]) -> Vec<RouteConfig> {
    let names: Vec<_> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    let mut resolved = Vec::new();
    for RawRoute { mut config, name, upstream } in routes {
        if let Some(name) = name
            && !seen.insert(config.name.clone())
        {
            name.problem(format_args!("route \"{}\" is written twice", config.name));
        }
        let upstream = upstream.and_then(|upstream| {
            if upstream.is_list() { upstream.unsupported() } else { upstream.reference(&names) }
        });
        if let Some(upstream) = upstream {
            config.upstream = upstream;
            config.draw_on(&upstreams[upstream]);
        }
        resolved.push(config);
    }
    resolved
}
