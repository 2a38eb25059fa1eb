//! `seawall demo` with the real gateway as its gate.

use std::{
    fs, io,
    io::IsTerminal,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::HeaderName;
use seawall::{Heard, Registry};
use seawall_gateway::{Config, Gateway, config::PriorityBy};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    NO, WRONG,
    demo::{
        DEADLINE, Event, Gate, LEFT_WAITING, PRIORITY, Plan, RATE, Report, Screen, Started, run,
    },
    fail,
    flags::Demo,
    serving,
};

pub(crate) fn demo(Demo { seconds, seed, json }: &Demo) -> ExitCode {
    let seed = seed.unwrap_or_else(seed_by_clock);
    let plan = Plan::new(*seconds, seed, RATE);
    let terminal = io::stdout().is_terminal();
    let report = serving::runtime().and_then(|runtime| {
        let mut out = io::stdout();
        let mut screen = Screen::new(&mut out, terminal);
        runtime.block_on(run(&plan, &mut Guarding::with_patterns(true), &mut screen))
    });
    match report {
        Ok(report) => finish(&report, json.as_deref()),
        Err(error) => fail(NO, format_args!("the demo did not run: {error}")),
    }
}

fn finish(report: &Report, json: Option<&std::path::Path>) -> ExitCode {
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(report).map_err(io::Error::from);
        if let Err(error) = text.and_then(|text| fs::write(file, text + "\n")) {
            return fail(WRONG, format_args!("cannot write {}: {error}", file.display()));
        }
    }
    if report.held { ExitCode::SUCCESS } else { ExitCode::from(NO) }
}

/// Six digits: enough to tell runs apart, short enough to type.
fn seed_by_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) % 1_000_000
}

/// The gateway in front of the demo's backends.
pub(crate) struct Guarding {
    patterns: bool,
    /// Its statistics, to be read when it is gone as well.
    registry: Option<Registry>,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    telling: JoinHandle<()>,
    events: mpsc::Receiver<Event>,
}

impl Guarding {
    /// The gateway with its patterns, or with all of them off, to show that it is they who hold.
    pub(crate) const fn with_patterns(patterns: bool) -> Self {
        Self { patterns, registry: None, running: None }
    }

    fn config(&self, backends: &[SocketAddr; 3]) -> io::Result<Config> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let to = backends.map(|backend| format!("http://{backend}"));
        let mut config = Config::proxy(&to, free, Some(free)).map_err(io::Error::other)?;
        for route in &mut config.routes {
            route.deadline = Some(DEADLINE);
            route.timeout.attempt = route.timeout.attempt.min(DEADLINE);
            route.timeout.connect = route.timeout.connect.min(DEADLINE);
            route.priority = PriorityBy::Header(HeaderName::from_static(PRIORITY));
            if let Some(bulkhead) = &mut route.bulkhead {
                bulkhead.max_concurrent = AT_ONCE;
                (bulkhead.max_queue, bulkhead.max_wait) = (WAITING, LEFT_WAITING);
            }
            if !self.patterns {
                (route.retry, route.bulkhead, route.timeout.adaptive) = (None, None, false);
            }
        }
        for upstream in &mut config.upstreams {
            upstream.circuit_breaker = upstream.circuit_breaker.take().filter(|_| self.patterns);
            if let Some(breaker) = &mut upstream.circuit_breaker {
                breaker.open_for = OPEN_FOR;
            }
        }
        Ok(config)
    }
}

impl Gate for Guarding {
    async fn start(&mut self, backends: [SocketAddr; 3]) -> io::Result<Started> {
        let gateway =
            Gateway::bind(&self.config(&backends)?, None).await.map_err(io::Error::other)?;
        let started = Started {
            addr: gateway.local_addr()?,
            admin: gateway.admin_addr()?,
            settings: format!(
                "defaults but deadline {DEADLINE:?}, open_for {OPEN_FOR:?},\n          \
                 bulkhead {AT_ONCE} at once, {WAITING} waiting up to {LEFT_WAITING:?}, by {PRIORITY}"
            ),
        };
        let registry = gateway.registry().clone();
        let (events, told) = mpsc::channel(EVENTS_MAX);
        let telling = tokio::spawn(tell(registry.events(), backends, events));
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(gateway.run(async {
            let _ = stopped.await;
        }));
        self.registry = Some(registry);
        self.running = Some(Running { stop, serving, telling, events: told });
        Ok(started)
    }

    fn attempts(&self) -> Option<u64> {
        let snapshot = self.registry.as_ref()?.snapshot();
        Some(snapshot.policies.values().map(|counts| counts.attempts.started).sum())
    }

    fn events(&mut self) -> Vec<Event> {
        let Some(running) = &mut self.running else { return Vec::new() };
        std::iter::from_fn(|| running.events.try_recv().ok()).collect()
    }

    async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop.send(());
            let _ = running.serving.await;
            running.telling.abort();
        }
    }
}

/// Passes transitions on, with endpoints named as the demo numbers them.
async fn tell(mut heard: seawall::Events, backends: [SocketAddr; 3], events: mpsc::Sender<Event>) {
    while let Some(heard) = heard.next().await {
        let Heard::Change(change) = heard else { continue };
        let endpoint = change.endpoint.as_deref().unwrap_or_default();
        let number = backends.iter().position(|backend| backend.to_string() == endpoint);
        let who = number.map_or_else(|| endpoint.to_owned(), |n| format!("breaker {}", n + 1));
        let seawall::core::Transition { to, cause, .. } = change.transition;
        // Full means that nobody has asked for a long while; the statistics still have it.
        let _ = events.try_send(Event { at: Instant::now(), what: format!("{who} {to}: {cause}") });
    }
}

/// One second, so that recovery is seen within the run.
const OPEN_FOR: Duration = Duration::from_secs(1);
/// Twice what the backends work on: enough that none is ever without work. What is let in beyond that waits there,
/// where nobody asks how urgent it is.
const AT_ONCE: u32 = 24;
/// An eighth of a second of work.
const WAITING: u32 = 120;
/// Far more than a run brings about.
const EVENTS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_patterns_the_gateway_does_not_hold() {
        let mut plan = Plan::new(crate::demo::MIN_SECONDS, 7, RATE);
        // In an overload some find no connection, and the gateway never hears of them.
        let whole = plan.clone();
        plan.arrivals.retain(|at| !whole.is_overloaded(*at));
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, false);
        let runtime = serving::runtime().unwrap();
        let mut gate = Guarding::with_patterns(false);
        let report = runtime.block_on(run(&plan, &mut gate, &mut screen)).unwrap();
        assert!(!report.held);

        // What the demo says of the gateway and what the gateway says of itself agree.
        let counts = &gate.registry.unwrap().snapshot().policies["default"];
        let (calls, attempts) = (&counts.calls, &counts.attempts);
        let asked = report.protected.requests;
        assert_eq!(calls.started, asked);
        let ended = calls.succeeded + calls.failed + calls.refused + calls.ignored;
        assert_eq!((ended, calls.in_flight), (asked, 0));
        assert_eq!((attempts.started, attempts.in_flight), (asked, 0), "nothing is retried");
        let well = report.protected.success_ratio * asked as f64;
        assert!(well <= calls.succeeded as f64 + 0.5, "{well} of {}", calls.succeeded);
        assert_eq!(finish(&report, None), ExitCode::from(NO));
    }
}
