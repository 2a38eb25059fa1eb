//! What follows from the settings, before anything breaks.
//!
//! A limit bounds one attempt; what a client waits and what an upstream gets come from several settings
//! together. These are upper bounds: each attempt runs into its limit, each delay is as long as its jitter
//! allows, and a learned limit is at its cap. Not in them is the wait for a place while the bulkhead is full, which
//! is told apart.

use std::{fmt, time::Duration};

use seawall::{
    BulkheadConfig, Ratio, RetryConfig,
    core::{Backoff, Draw},
};

use super::{Config, PriorityBy, RouteConfig};

/// Something that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consequence {
    /// How long a hang lasts for a client.
    Failover {
        /// The route.
        route: String,
        /// Until another endpoint answers, if one hangs and another may be tried in time.
        one: Option<Duration>,
        /// Until the call ends, if every attempt hangs.
        all: Duration,
    },
    /// How many requests come through, and what becomes of more.
    Queue {
        /// The route.
        route: String,
        /// The most at once: what is reserved for classes that none of its requests has is not for them.
        at_once: u32,
        /// The most that wait.
        waiting: u32,
        /// The longest that an attempt waits.
        wait: Duration,
    },
    /// A route no request can take.
    Unreachable {
        /// The route.
        route: String,
        /// The earlier route that takes all of its requests.
        by: String,
    },
    /// How much more a failing upstream gets.
    Amplification {
        /// The upstream.
        upstream: String,
        /// Attempts per request, in the long run.
        factor: Ratio,
        /// Whether a quiet upstream gets retries beyond it.
        trickle: bool,
    },
    /// An upstream that fails with its only endpoint.
    SingleEndpoint {
        /// The upstream.
        upstream: String,
    },
    /// An upstream no route leads to.
    Unused {
        /// The upstream.
        upstream: String,
    },
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failover { route, one: Some(one), all } => write!(
                f,
                "route {route}: if one endpoint hangs, another answers after at most {one:?}; \
                 if all hang, the call ends after at most {all:?}"
            ),
            Self::Failover { route, one: None, all } => {
                write!(
                    f,
                    "route {route}: if an endpoint hangs, the call ends after at most {all:?}"
                )
            }
            Self::Queue { route, at_once, waiting: 0, .. } => {
                write!(
                    f,
                    "route {route}: takes at most {at_once} requests at once, and no more wait"
                )
            }
            Self::Queue { route, at_once, waiting, wait } => write!(
                f,
                "route {route}: takes at most {at_once} requests at once, and up to {waiting} more wait, \
                 for each attempt at most {wait:?}"
            ),
            Self::Unreachable { route, by } => {
                write!(
                    f,
                    "route {route}: never taken, since route {by} comes first and takes the same"
                )
            }
            Self::Amplification { upstream, factor, trickle } => {
                let trickle =
                    if *trickle { ", and 3 retries every 10s" } else { ", and 3 retries once" };
                let factor = factor.as_f64();
                write!(
                    f,
                    "upstream {upstream}: when it fails, gets at most {factor} attempts per request{trickle}"
                )
            }
            Self::SingleEndpoint { upstream } => {
                write!(f, "upstream {upstream}: has one endpoint, and fails with it")
            }
            Self::Unused { upstream } => write!(f, "upstream {upstream}: no route leads to it"),
        }
    }
}

impl Config {
    /// What follows from these settings: routes first, then upstreams, each in their order.
    #[must_use]
    pub fn consequences(&self) -> Vec<Consequence> {
        let mut found = Vec::new();
        for (n, route) in self.routes.iter().enumerate() {
            let others =
                self.upstreams.get(route.upstream).is_some_and(|up| up.endpoints.len() > 1);
            let (one, all) = failover(route, others);
            found.push(Consequence::Failover { route: route.name.clone(), one, all });
            found.extend(route.bulkhead.as_ref().map(|bulkhead| queue(route, bulkhead)));
            let by = self.routes[..n].iter().find(|earlier| earlier.matches.covers(&route.matches));
            found.extend(by.map(|by| Consequence::Unreachable {
                route: route.name.clone(),
                by: by.name.clone(),
            }));
        }
        for (n, upstream) in self.upstreams.iter().enumerate() {
            let name = || upstream.name.clone();
            let mut routes = self.routes.iter().filter(|route| route.upstream == n).peekable();
            if routes.peek().is_none() {
                found.push(Consequence::Unused { upstream: name() });
                continue;
            }
            let most = routes.map(|route| retries(route.retry.as_ref())).max().unwrap_or_default();
            if most > 0 {
                let budget = upstream.retry_budget.ppm().min(most.saturating_mul(Ratio::ONE.ppm()));
                let factor = Ratio::from_ppm(Ratio::ONE.ppm().saturating_add(budget));
                let trickle = upstream.retry_trickle;
                found.push(Consequence::Amplification { upstream: name(), factor, trickle });
            }
            if upstream.endpoints.len() == 1 {
                found.push(Consequence::SingleEndpoint { upstream: name() });
            }
        }
        found
    }
}

/// The longest time to another endpoint's answer if one hangs, and to the end if all do.
fn failover(route: &RouteConfig, others: bool) -> (Option<Duration>, Duration) {
    let bound = route.deadline.unwrap_or(Duration::MAX);
    let attempt = route.timeout.attempt;
    let mut all = attempt;
    let mut one = None;
    if let Some(retry) = route.retry.as_ref().filter(|_| route.retry_on.timeout) {
        let backoff = Backoff {
            base: retry.base_delay,
            cap: retry.max_delay,
            strategy: retry.strategy.clone(),
            jitter: retry.jitter,
        };
        let mut delay = Duration::ZERO;
        for k in 0..retry.max_retries {
            // The largest draw is the longest delay.
            delay = backoff.delay(k, delay, Draw::new(u64::MAX));
            let start = all.saturating_add(delay);
            if retry.max_elapsed.is_some_and(|limit| start > limit) {
                break;
            }
            one = one.or(Some(start));
            all = start.saturating_add(attempt);
        }
    }
    (one.filter(|one| others && *one < bound), all.min(bound))
}

/// A route of one class has what the others leave; where a header names the class, all of it can be in use.
fn queue(route: &RouteConfig, bulkhead: &BulkheadConfig) -> Consequence {
    let BulkheadConfig { max_concurrent, max_queue, max_wait, reserves, .. } = *bulkhead;
    let others = match &route.priority {
        PriorityBy::Class(class) => reserves.iter().sum::<u32>() - reserves[class.index()],
        PriorityBy::Header(_) => 0,
    };
    Consequence::Queue {
        route: route.name.clone(),
        at_once: max_concurrent.saturating_sub(others),
        waiting: max_queue,
        wait: route.deadline.map_or(max_wait, |deadline| max_wait.min(deadline)),
    }
}

fn retries(retry: Option<&RetryConfig>) -> u32 {
    retry.map_or(0, |retry| retry.max_retries)
}
