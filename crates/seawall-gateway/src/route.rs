//! Which way a request goes: the routes in their order, each with what its calls will do.
//!
//! The table is worked out from the configuration once and never changes; a new configuration is a new table.
//! What counts and learns lives in the [`Upstream`]s, outside it.

use std::sync::Arc;

use http::request::Parts;
use seawall::{
    ByStatus, Classify, Clock, Invalid,
    core::{Outcome, Verdict},
};

use crate::{
    config::{Config, RouteConfig},
    limit::RouteLimit,
    pool::{Leased, SendError},
    replay::{Live, Replay},
    respond,
    upstream::Upstream,
};

/// The routes, first match wins.
#[derive(Debug)]
pub(crate) struct Table(Vec<Arc<Route>>);

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) config: RouteConfig,
    pub(crate) limit: Option<Arc<RouteLimit>>,
    pub(crate) upstream: Arc<Upstream>,
    /// Its number among the routes of its upstream.
    pub(crate) view: usize,
    classify: ByAnswer,
}

impl Table {
    /// The table of `config`, and its upstreams.
    pub(crate) fn new(
        config: &Config,
        registry: &seawall::Registry,
        seed: Option<u64>,
    ) -> Result<(Self, Vec<Arc<Upstream>>), Invalid> {
        let mut upstreams = Vec::with_capacity(config.upstreams.len());
        let mut routes: Vec<Option<Arc<Route>>> = config.routes.iter().map(|_| None).collect();
        for (number, upstream) in config.upstreams.iter().enumerate() {
            let of_it: Vec<_> = config
                .routes
                .iter()
                .enumerate()
                .filter(|(_, route)| route.upstream == number)
                .collect();
            let configs: Vec<_> = of_it.iter().map(|(_, route)| *route).collect();
            let upstream = Arc::new(Upstream::new(upstream, &configs, registry, seed)?);
            for (view, (place, route)) in of_it.into_iter().enumerate() {
                routes[place] =
                    Some(Arc::new(Route::new(route, upstream.clone(), view, registry.clock())?));
            }
            upstreams.push(upstream);
        }
        Ok((Self(routes.into_iter().flatten().collect()), upstreams))
    }

    /// The rate limits of its routes.
    pub(crate) fn limits(&self) -> impl Iterator<Item = Arc<RouteLimit>> {
        self.0.iter().filter_map(|route| route.limit.clone())
    }

    /// The first route that matches.
    pub(crate) fn find(&self, head: &Parts) -> Option<&Arc<Route>> {
        let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let (method, path) = (&head.method, head.uri.path());
        self.0.iter().find(|route| {
            route.config.matches.matches(method, host.unwrap_or(""), path, &head.headers)
        })
    }
}

impl Route {
    fn new(
        config: &RouteConfig,
        upstream: Arc<Upstream>,
        view: usize,
        clock: &Clock,
    ) -> Result<Self, Invalid> {
        let limit =
            config.rate_limit.as_ref().map(|limit| RouteLimit::new(&config.name, limit, clock));
        let classify = ByAnswer(ByStatus(config.retry_on.clone()));
        Ok(Self {
            config: config.clone(),
            limit: limit.transpose()?.map(Arc::new),
            upstream,
            view,
            classify,
        })
    }

    /// What answers mean here.
    pub(crate) fn classify(&self) -> &ByAnswer {
        &self.classify
    }
}

/// The head of an upstream's answer.
pub(crate) type Answer = http::Response<Leased<Replay<Live>>>;

/// Judges answers and ways of not getting one.
#[derive(Debug)]
pub(crate) struct ByAnswer(ByStatus);

impl Classify<Answer, SendError> for ByAnswer {
    fn classify(&self, answer: &Result<Answer, SendError>) -> Verdict {
        let on = &self.0.0;
        let retryable = match answer {
            Ok(answer) => {
                let headers = answer.headers();
                let hint = headers
                    .contains_key(http::header::RETRY_AFTER)
                    .then(|| respond::retry_after(headers, std::time::SystemTime::now()))
                    .flatten();
                return self.0.verdict(answer.status().as_u16(), hint);
            }
            // Our own limit and the client's own fault say nothing about the endpoint.
            Err(SendError::Full) => return Verdict { reached: false, ..Verdict::IGNORED },
            Err(SendError::BrokenRequest) => return Verdict::IGNORED,
            Err(SendError::ConnectTimeout) => on.connect || on.timeout,
            Err(error) if error.reached() => on.reset,
            Err(_) => on.connect,
        };
        let reached = answer.as_ref().is_err_and(|error| error.reached());
        Verdict { outcome: Outcome::Failure, retryable, retry_after: None, reached }
    }
}
