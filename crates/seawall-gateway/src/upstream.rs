//! An upstream: its endpoints, their connections, and the machines of every route that leads to it.
//!
//! ```text
//!   one mutex   picker (a breaker per endpoint) · retry budget · per route: bulkhead, learned limit, counts
//!   beside it   a pool of connections per endpoint
//! ```
//!
//! The breaker belongs to the endpoint and the budget to the upstream: a breaker per route would turn one
//! refusing endpoint of three into refusals for all, and a budget per route would let ten routes retry ten
//! times as much. One visit sees all of them, so a call to an upstream takes two short locks like any other.

use std::{
    sync::{Arc, Weak},
    task::Waker,
};

use seawall::{
    Clock, Driven, Invalid, Machines, Observed, Shell, Snapshot, Teller,
    core::{
        AdaptiveTimeout, Bulkhead, Counts, Draw, EventRing, Instant, Line, Parts, Picker, Plan,
        Retry, RetryBudget, Shared,
    },
    snapshot::{BulkheadStats, CircuitBreakerStats},
};

use crate::{
    config::{RouteConfig, UpstreamConfig},
    limit::EachAttempt,
    pool::{Pool, PoolLimits},
    replay::{Live, Replay, Upload},
    route::Route,
};

/// One upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    name: Arc<str>,
    endpoints: Arc<[Arc<str>]>,
    routes: Vec<Arc<str>>,
    pools: Vec<Pool<Replay<Live>>>,
    shell: Shell<UpstreamMachines>,
    clock: Clock,
}

/// The machines behind one upstream's mutex.
#[derive(Debug)]
pub(crate) struct UpstreamMachines {
    picker: Picker,
    budget: RetryBudget,
    routes: Vec<RouteMachines>,
    events: EventRing,
}

#[derive(Debug)]
struct RouteMachines {
    plan: Plan,
    bulkhead: Option<Bulkhead>,
    timeout: AdaptiveTimeout,
    counts: Counts,
}

impl Upstream {
    /// The upstream of `config` with the machines of its `routes`, in their order.
    pub(crate) fn new(
        config: &UpstreamConfig,
        routes: &[&RouteConfig],
        registry: &seawall::Registry,
        seed: Option<u64>,
    ) -> Result<Self, Invalid> {
        let name: Arc<str> = config.name.as_str().into();
        let endpoints: Arc<[Arc<str>]> =
            config.endpoints.iter().map(|endpoint| endpoint.authority.as_str().into()).collect();
        let seed = seed.unwrap_or_else(seawall::random_seed);
        let machines = UpstreamMachines {
            picker: Picker::seeded(endpoints.len(), config.circuit_breaker.as_ref(), seed)?,
            budget: RetryBudget::new(config.retry_budget, config.retry_trickle),
            routes: routes
                .iter()
                .map(|route| RouteMachines::new(route))
                .collect::<Result<_, _>>()?,
            events: EventRing::new(),
        };
        let limits = PoolLimits {
            open_max: config.max_connections,
            idle_for: config.idle_timeout,
            ..PoolLimits::default()
        };
        let pools = endpoints.iter().map(|endpoint| Pool::new(endpoint, limits)).collect();
        let teller = Teller::new(name.clone(), endpoints.clone(), registry.stream());
        Ok(Self {
            routes: routes.iter().map(|route| route.name.as_str().into()).collect(),
            name,
            endpoints,
            pools,
            shell: Shell::new(machines, teller, Some(seed)),
            clock: registry.clock().clone(),
        })
    }

    /// The connections to an endpoint.
    pub(crate) fn pool(&self, endpoint: u16) -> Option<&Pool<Replay<Live>>> {
        self.pools.get(usize::from(endpoint))
    }

    /// When an endpoint admits again: none now, if one does.
    pub(crate) fn ready_in(&self, now: Instant) -> Option<std::time::Duration> {
        let ready =
            self.shell.visit(0, now, |parts| seawall::core::Gate::ready_by(parts.gate, now, now));
        ready.err()?.retry_after
    }
}

impl RouteMachines {
    fn new(config: &RouteConfig) -> Result<Self, Invalid> {
        let plan = Plan {
            deadline: config.deadline,
            retry: config.retry.as_ref().map(Retry::new).transpose()?,
            retry_timeouts: config.retry_on.timeout,
            free_if_unreached: true,
            ..Plan::default()
        };
        Ok(Self {
            plan,
            bulkhead: config.bulkhead.as_ref().map(Bulkhead::new).transpose()?,
            timeout: AdaptiveTimeout::new(config.timeout.clone())?,
            counts: Counts::default(),
        })
    }
}

impl Machines for UpstreamMachines {
    type Gate = Picker;
    /// The number of a route at this upstream.
    type View = usize;

    #[inline]
    fn parts(&mut self, route: usize) -> Parts<'_, Picker> {
        let RouteMachines { plan, bulkhead, timeout, counts } = &mut self.routes[route];
        Parts {
            plan,
            limiter: None,
            gate: &mut self.picker,
            budget: Some(&mut self.budget),
            bulkhead: bulkhead.as_mut(),
            timeout: Some(timeout),
            counts,
            events: &mut self.events,
        }
    }
}

/// One call on a route, as the engine's driver shares it.
#[derive(Clone)]
pub(crate) struct RouteCall {
    pub(crate) route: Arc<Route>,
    /// Weak, so that nothing of the request is kept once no further attempt can come: a call lives on in
    /// its answer's body.
    pub(crate) upload: Weak<Upload<Live>>,
    /// Where each attempt passes the route's rate limit.
    pub(crate) each_attempt: Option<Arc<EachAttempt>>,
}

impl Shared for RouteCall {
    type Gate = Picker;

    #[inline]
    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, Picker>) -> R) -> R {
        let (shell, view) = (&self.route.upstream.shell, self.route.view);
        match &self.each_attempt {
            None => shell.visit(view, now, step),
            Some(limit) => shell.visit(view, now, |parts| limit.lend(parts, now, step)),
        }
    }

    #[inline]
    fn draw(&self) -> Draw {
        self.route.upstream.shell.draw()
    }

    fn can_repeat(&self) -> bool {
        self.upload.upgrade().is_some_and(|upload| upload.repeatable())
    }

    fn owed_since(&self) -> Option<Instant> {
        self.upload.upgrade().map_or(Some(Instant::ORIGIN), |upload| upload.fed_since())
    }
}

impl Driven for RouteCall {
    fn clock(&self) -> &Clock {
        &self.route.upstream.clock
    }

    fn park(&self, line: Line, place: usize, waker: &Waker) -> bool {
        self.route.upstream.shell.park(self.route.view, line, place, waker)
    }

    fn forget(&self, line: Line, place: usize) {
        self.route.upstream.shell.forget(self.route.view, line, place);
    }

    fn teller(&self) -> Option<&Teller> {
        Some(self.route.upstream.shell.teller())
    }
}

impl Observed for Upstream {
    fn observe(&self, snapshot: &mut Snapshot) {
        let now = self.clock.now();
        let (endpoints, budget, routes) = self.shell.read(|machines| {
            let routes = machines.routes.iter();
            let routes: Vec<_> = routes
                .map(|route| {
                    (
                        route.bulkhead.as_ref().map(Bulkhead::snapshot),
                        route.timeout.clone(),
                        route.counts,
                    )
                })
                .collect();
            (machines.picker.snapshot(now).collect::<Vec<_>>(), machines.budget.snapshot(), routes)
        });
        for (endpoint, seen) in self.endpoints.iter().zip(endpoints) {
            let name = format!("{} {endpoint}", self.name);
            if let Some(breaker) = &seen.breaker {
                let stats = CircuitBreakerStats::new(&name, breaker, &self.clock);
                snapshot.circuit_breakers.insert(name.clone(), stats);
            }
            snapshot.endpoints.insert(name, seen.into());
        }
        snapshot.retry_managers.insert(self.name.to_string(), budget.into());
        for (route, (bulkhead, timeout, counts)) in self.routes.iter().zip(routes) {
            let name = route.to_string();
            if let Some(bulkhead) = bulkhead {
                snapshot.bulkheads.insert(name.clone(), BulkheadStats::new(&name, &bulkhead));
            }
            snapshot.adaptive_timeouts.insert(name.clone(), timeout.snapshot().into());
            snapshot.policies.insert(name, counts.into());
        }
    }
}
