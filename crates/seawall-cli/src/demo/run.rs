//! A whole run: the straight side, then the side behind the gateway, each on fresh backends.
//!
//! The sides run one after the other, not at once: they would compete for the same two cores, and
//! each would be blamed for the other's load. Within a side three things go on together: requests
//! leave as planned, backends break as planned, and whatever ends is recorded and shown. Sleepers watch all the while
//! whether there is a machine to do it.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    backend::Backend,
    measure::{Report, Side},
    plan::Plan,
    screen::{Screen, opening},
    stall::{Stall, Watch},
    traffic::{Sample, Target, send},
    transcript::transcript,
};

/// Something that stands in front of three backends and is to hold what they do not.
pub(crate) trait Gate {
    /// Starts it; backend 1 is the first address.
    async fn start(&mut self, backends: [SocketAddr; 3]) -> io::Result<Started>;
    /// Requests it has sent towards backends so far, refused connections included; `None` if it does not
    /// count: then those count that reached a backend.
    fn attempts(&self) -> Option<u64>;
    /// What it did since this was last asked, in order.
    fn events(&mut self) -> Vec<Event>;
    /// Ends it.
    async fn stop(&mut self);
}

/// A gate that is ready.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    /// Where it takes requests.
    pub(crate) addr: SocketAddr,
    /// Where it can be watched.
    pub(crate) admin: Option<SocketAddr>,
    /// Its settings in a line: what differs from its defaults.
    pub(crate) settings: String,
}

/// Something a gate did.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// When.
    pub(crate) at: std::time::Instant,
    /// What, in a line: `backend-2 circuit closed -> open (5 failures in a row)`.
    pub(crate) what: String,
}

/// An [`Event`] on the clock of its side.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    /// From the start of the side.
    pub(super) at: Duration,
    /// What, in a line.
    pub(super) what: String,
}

/// All that became of a side.
#[derive(Clone, Debug, Default)]
pub(super) struct Recording {
    /// The requests, in the order they ended.
    pub(super) samples: Vec<Sample>,
    /// What the gate did, in order.
    pub(super) events: Vec<Happening>,
    /// Who stood still meanwhile.
    pub(super) stalls: Vec<Stall>,
}

/// Runs both sides of `plan`, tells of it on `screen`, and judges.
///
/// # Errors
///
/// When a socket cannot be had, the gate does not start, or the screen cannot be written.
pub(crate) async fn run(
    plan: &Plan,
    gate: &mut impl Gate,
    screen: &mut Screen<'_>,
) -> io::Result<Report> {
    screen.say(&opening(plan))?;
    screen.say("")?;
    let (straight, direct) = straight(plan, screen).await?;
    let (guarded, protected) = guarded(plan, gate, screen).await?;
    let report = Report::new(plan, direct, protected);
    screen.say("")?;
    screen.say(&transcript(plan, &straight, &guarded, &report))?;
    Ok(report)
}

async fn straight(plan: &Plan, screen: &mut Screen<'_>) -> io::Result<(Recording, Side)> {
    let mut backends = Backends::start(plan).await?;
    let target = Target::RoundRobin(backends.addrs());
    let recording = side("straight", plan, target, &mut backends, &mut Vec::new, screen).await?;
    backends.stop().await;
    // A client that never retries attempts once, whether or not anybody is reached.
    let measured = measured(plan, &recording, plan.arrivals.len() as u64);
    Ok((recording, measured))
}

async fn guarded(
    plan: &Plan,
    gate: &mut impl Gate,
    screen: &mut Screen<'_>,
) -> io::Result<(Recording, Side)> {
    let mut backends = Backends::start(plan).await?;
    let started = gate.start(backends.addrs()).await?;
    let recorded = behind(plan, gate, &started, &mut backends, screen).await;
    let attempts = gate.attempts().unwrap_or_else(|| backends.reached());
    gate.stop().await;
    backends.stop().await;
    let recording = recorded?;
    let measured = measured(plan, &recording, attempts);
    Ok((recording, measured))
}

fn measured(plan: &Plan, Recording { samples, stalls, .. }: &Recording, attempts: u64) -> Side {
    Side { stalls: stalls.clone(), ..Side::new(plan, samples, attempts) }
}

async fn behind(
    plan: &Plan,
    gate: &mut impl Gate,
    started: &Started,
    backends: &mut Backends,
    screen: &mut Screen<'_>,
) -> io::Result<Recording> {
    screen.say("")?;
    screen.say(&format!("gateway:  http://{}, {}", started.addr, started.settings))?;
    if let Some(admin) = started.admin {
        screen.say(&format!("admin:    http://{admin}"))?;
    }
    let target = Target::One(started.addr);
    side("gateway", plan, target, backends, &mut || gate.events(), screen).await
}

async fn side(
    name: &str,
    plan: &Plan,
    target: Target,
    backends: &mut Backends,
    events: &mut dyn FnMut() -> Vec<Event>,
    screen: &mut Screen<'_>,
) -> io::Result<Recording> {
    let zero = Instant::now();
    let watch = Watch::start(zero.into_std())?;
    // Room for every sample, so that no request waits for the screen.
    let (samples, ended) = mpsc::channel(plan.arrivals.len().max(1));
    let traffic = async {
        send(plan, target, zero, samples).await;
        Ok(())
    };
    let recorder = record(name, plan, zero, ended, events, screen);
    let together = async { tokio::try_join!(traffic, backends.follow(plan, zero), recorder) };
    let ((), (), recording) = tokio::select! {
        ended = together => ended?,
        never = watch.client() => match never {},
    };
    Ok(Recording { stalls: watch.stalls(), ..recording })
}

/// Collects samples and events until the traffic has ended, and shows progress meanwhile.
async fn record(
    name: &str,
    plan: &Plan,
    zero: Instant,
    mut ended: mpsc::Receiver<Sample>,
    events: &mut dyn FnMut() -> Vec<Event>,
    screen: &mut Screen<'_>,
) -> io::Result<Recording> {
    let mut recording = Recording::default();
    let mut learn = |recording: &mut Recording| {
        recording.events.extend(events().into_iter().map(|event| Happening {
            at: event.at.saturating_duration_since(zero.into_std()),
            what: event.what,
        }));
    };
    let mut ticks = interval(screen.pace());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    loop {
        tokio::select! {
            sample = ended.recv() => match sample {
                Some(sample) => recording.samples.push(sample),
                None => break,
            },
            _ = ticks.tick() => {
                learn(&mut recording);
                screen.progress(name, plan, zero.elapsed(), &recording)?;
            }
        }
    }
    learn(&mut recording);
    screen.erase()?;
    Ok(recording)
}

/// The three of them.
struct Backends([Backend; 3]);

impl Backends {
    async fn start(plan: &Plan) -> io::Result<Self> {
        let start = || Backend::start(plan.seed, plan.slots);
        let (one, two, three) = tokio::try_join!(start(), start(), start())?;
        Ok(Self([one, two, three]))
    }

    fn addrs(&self) -> [SocketAddr; 3] {
        self.0.each_ref().map(Backend::addr)
    }

    fn reached(&self) -> u64 {
        self.0.iter().map(Backend::reached).sum()
    }

    /// Breaks and mends them as planned.
    async fn follow(&mut self, plan: &Plan, zero: Instant) -> io::Result<()> {
        for episode in &plan.episodes {
            sleep_until(zero + episode.start).await;
            for backend in self.chosen(episode.backends) {
                backend.suffer(episode.fault).await?;
            }
            sleep_until(zero + episode.end).await;
            for backend in self.chosen(episode.backends) {
                backend.recover()?;
            }
        }
        Ok(())
    }

    fn chosen(&mut self, numbers: &[u8]) -> impl Iterator<Item = &mut Backend> {
        let numbered = (1..).zip(&mut self.0);
        numbered.filter(|(number, _)| numbers.contains(number)).map(|(_, backend)| backend)
    }

    async fn stop(self) {
        for backend in self.0 {
            backend.stop().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use http::{Request, Response, StatusCode};
    use hyper::{body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

    use super::super::{
        backend::body,
        plan::RATE,
        stall::{BOUND, Sleeper},
        traffic::{Ending, Pool},
    };
    use super::*;

    /// Passes each request on to the next backend in turn and protects nothing.
    #[derive(Default)]
    struct PassThrough {
        task: Option<JoinHandle<()>>,
        told: bool,
    }

    impl Gate for PassThrough {
        async fn start(&mut self, backends: [SocketAddr; 3]) -> io::Result<Started> {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let addr = listener.local_addr()?;
            self.task = Some(tokio::spawn(async move {
                let pool = Arc::new(Pool::of(7));
                while let Ok((stream, _)) = listener.accept().await {
                    let pool = Arc::clone(&pool);
                    let service =
                        service_fn(move |request| pass(Arc::clone(&pool), backends, request));
                    let stream = TokioIo::new(stream);
                    tokio::spawn(http1::Builder::new().serve_connection(stream, service));
                }
            }));
            Ok(Started { addr, admin: Some(addr), settings: "no patterns".to_owned() })
        }

        fn attempts(&self) -> Option<u64> {
            None
        }

        fn events(&mut self) -> Vec<Event> {
            let first = !std::mem::replace(&mut self.told, true);
            let begun = std::time::Instant::now();
            // It keeps the client waiting, once.
            while first && begun.elapsed() < 3 * BOUND {
                std::hint::spin_loop();
            }
            let event = Event { at: std::time::Instant::now(), what: "does nothing".to_owned() };
            if first { vec![event] } else { vec![] }
        }

        async fn stop(&mut self) {
            if let Some(task) = self.task.take() {
                task.abort();
            }
        }
    }

    async fn pass(
        pool: Arc<Pool>,
        backends: [SocketAddr; 3],
        request: Request<Incoming>,
    ) -> Result<Response<String>, Infallible> {
        let item = request.uri().path().trim_start_matches("/items/").parse().unwrap();
        let mut response = Response::new(body(item));
        if pool.fetch(backends[item as usize % 3], item).await != Ending::Right {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        Ok(response)
    }

    #[tokio::test]
    async fn what_protects_nothing_does_not_hold() {
        let plan = Plan::new(1, 7, RATE);
        let mut out = Vec::new();
        let mut gate = PassThrough::default();
        let mut screen = Screen::new(&mut out, false);
        // A side ends by itself once its client's patience does; this is for one that does not.
        let minute = Duration::from_secs(60);
        let report = timeout(minute, run(&plan, &mut gate, &mut screen)).await.unwrap().unwrap();
        let text = String::from_utf8(out).unwrap();

        assert!(!report.held, "{text}");
        for side in [&report.direct, &report.protected] {
            let overload: u32 = side.overload.iter().map(|account| account.requests).sum();
            assert_eq!(side.requests + u64::from(overload), plan.arrivals.len() as u64);
            assert!(side.success_ratio < 0.95, "the faults are felt:\n{text}");
        }
        assert_eq!(report.direct.attempts_per_request, 1.0);
        let reached = report.protected.attempts_per_request;
        assert!(reached > 0.5 && reached <= 1.0, "connections refused reach nobody: {reached}");
        let late = |stall: &Stall| stall.who == Sleeper::Client && stall.lasted_s > 0.28;
        assert!(report.protected.stalls.iter().any(late), "{:?}", report.protected.stalls);
        for told in ["seed 7", "no patterns", "does nothing", "did not hold"] {
            assert!(text.contains(told), "{told} is missing:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_gate_that_does_not_start_is_an_error() {
        struct Broken;
        impl Gate for Broken {
            async fn start(&mut self, _: [SocketAddr; 3]) -> io::Result<Started> {
                Err(io::Error::other("no gateway today"))
            }
            fn attempts(&self) -> Option<u64> {
                None
            }
            fn events(&mut self) -> Vec<Event> {
                Vec::new()
            }
            async fn stop(&mut self) {}
        }
        let plan = Plan { arrivals: vec![Duration::ZERO], episodes: vec![], ..Plan::new(1, 7, 1) };
        let mut out = Vec::new();
        let error = run(&plan, &mut Broken, &mut Screen::new(&mut out, false)).await.unwrap_err();
        assert_eq!(error.to_string(), "no gateway today");
    }
}
