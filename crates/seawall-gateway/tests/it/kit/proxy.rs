//! A gateway that runs: the presets but for what a test changes, on free ports.

use std::net::SocketAddr;

use seawall::{
    Events, Registry,
    snapshot::{CallStats, CircuitBreakerStats, EndpointStats, RateLimiterStats},
};
use seawall_gateway::{Config, Gateway};
use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

use super::{Upstream, until, within};

pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    registry: Registry,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(endpoints: &[SocketAddr]) -> Self {
        Self::with(endpoints, |_| {}).await
    }

    /// With settings of its own.
    pub(crate) async fn with(endpoints: &[SocketAddr], set: impl FnOnce(&mut Config)) -> Self {
        let to: Vec<_> = endpoints.iter().map(|addr| format!("http://{addr}")).collect();
        let mut config = Config::proxy(&to, FREE.parse().unwrap(), None).unwrap();
        set(&mut config);
        Self::of(config).await
    }

    pub(crate) async fn of(mut config: Config) -> Self {
        config.listen = FREE.parse().unwrap();
        config.admin = Some(config.listen);
        let gateway = Gateway::bind(&config, Some(SEED)).await.unwrap();
        let addr = gateway.local_addr().unwrap();
        let admin = gateway.admin_addr().unwrap().unwrap();
        let registry = gateway.registry().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(gateway.run(async {
            let _ = stopped.await;
        }));
        Self { addr, admin, registry, stop: Some(stop), running }
    }

    /// The counts of the only route.
    pub(crate) fn counts(&self) -> CallStats {
        let counts = self.registry.snapshot().policies.into_values().collect::<Vec<_>>();
        let [counts] = counts.try_into().unwrap();
        counts
    }

    /// Requests in the bulkhead of the only route.
    pub(crate) fn inside(&self) -> u32 {
        self.registry.snapshot().bulkheads.into_values().map(|bulkhead| bulkhead.active_calls).sum()
    }

    /// Requests that wait for a place in it.
    pub(crate) fn queued(&self) -> u32 {
        self.registry.snapshot().bulkheads.into_values().map(|bulkhead| bulkhead.queued).sum()
    }

    /// Retries the budget paid for.
    pub(crate) fn retries(&self) -> u64 {
        self.registry.snapshot().retry_managers.into_values().map(|retry| retry.total_retries).sum()
    }

    /// Waits for what the counts must become.
    pub(crate) async fn counted(&self, what: &str, reached: impl Fn(&CallStats) -> bool) {
        until(what, || reached(&self.counts())).await;
    }

    /// What happens from now on, attempts that did not succeed included.
    pub(crate) fn events(&self) -> Events {
        self.registry.events().with_attempts()
    }

    pub(crate) fn endpoint(&self, addr: SocketAddr) -> EndpointStats {
        self.registry.snapshot().endpoints.remove(&format!("default {addr}")).unwrap()
    }

    pub(crate) fn breaker(&self, addr: SocketAddr) -> CircuitBreakerStats {
        self.registry.snapshot().circuit_breakers.remove(&format!("default {addr}")).unwrap()
    }

    /// The rate limit of the only route.
    pub(crate) fn limit(&self) -> RateLimiterStats {
        self.registry.snapshot().rate_limiters.remove("default").unwrap()
    }

    /// Tells it to stop.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(&mut self) {
        within("stop", &mut self.running).await.unwrap();
    }

    /// At rest it holds nothing for anybody, and once it is gone no connection and no task is left.
    pub(crate) async fn leaves_nothing(mut self, upstreams: &[&Upstream]) {
        until("nothing is held", || {
            let seen = self.registry.snapshot();
            seen.policies.values().all(|c| c.calls.in_flight + c.attempts.in_flight == 0)
                && seen.bulkheads.values().all(|bulkhead| bulkhead.active_calls == 0)
                && seen.endpoints.values().all(|endpoint| endpoint.in_flight == 0)
        })
        .await;
        self.stop();
        self.stopped().await;
        drop(self);
        until("no connection is left", || upstreams.iter().all(|up| up.open() == 0)).await;
        // Each upstream accepts in a task of its own.
        let tasks = Handle::current().metrics();
        until("no task is left", || tasks.num_alive_tasks() == upstreams.len()).await;
    }
}

const FREE: &str = "127.0.0.1:0";

/// With it the first attempt of all goes to the first of two endpoints.
const SEED: u64 = 1;
