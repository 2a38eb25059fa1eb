//! What follows from the settings, before anything breaks.
//!
//! A limit bounds one attempt; what a client waits and what an upstream gets come from several settings
//! together. These are upper bounds: each attempt runs into its limit, each delay is as long as its jitter
//! allows, and a learned limit is at its cap.

use std::{fmt, time::Duration};

use seawall::{
    Ratio, RetryConfig,
    core::{Backoff, Draw},
};

use super::{Config, RouteConfig};

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
        for k in 0..retry.max_retries {
            // The largest draw is the longest delay.
            all = all.saturating_add(backoff.delay(k, Draw::new(u64::MAX)));
            one = one.or(Some(all));
            all = all.saturating_add(attempt);
        }
    }
    (one.filter(|one| others && *one < bound), all.min(bound))
}

fn retries(retry: Option<&RetryConfig>) -> u32 {
    retry.map_or(0, |retry| retry.max_retries)
}
