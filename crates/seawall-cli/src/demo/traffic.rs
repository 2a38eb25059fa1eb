//! Open-loop traffic: each request leaves at its planned instant, whatever became of the others.
//!
//! Latency runs from the intended start, not from the moment a connection was at hand; else a stall
//! would hide in the requests that were never sent during it. Each request is a task of its own, so
//! none waits for another, but where [`OPEN_MAX`] are on their way: file descriptors are not endless. Whoever then
//! waits for a connection does so on its own time.
//!
//! Connections are kept alive in a small pool. A pooled connection that died while idle is replaced by
//! a fresh one, provided the request was never written to it: every HTTP client does that, so it counts
//! as ordinary behaviour of both sides and not as a retry. Nothing else is repeated.

use std::{
    collections::HashMap,
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

use seawall_core::Priority;

use super::{
    backend::body,
    plan::{Plan, priority},
};

/// Where requests go, and how long the client waits there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// Each backend in turn, with the deadline as the client's own limit.
    RoundRobin([SocketAddr; 3]),
    /// A gateway, which is to keep the deadline itself.
    One(SocketAddr),
}

impl Target {
    fn of(self, item: usize) -> SocketAddr {
        match self {
            Self::RoundRobin(backends) => backends[item % backends.len()],
            Self::One(gateway) => gateway,
        }
    }

    const fn patience(self) -> Duration {
        match self {
            Self::RoundRobin(_) => DEADLINE,
            Self::One(_) => PATIENCE,
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// The right status and body.
    Right,
    /// The right status with a body that belongs to something else.
    WrongBody,
    /// 429 or 503, with the time to come again.
    Refused,
    /// Another status than 200.
    Status(u16),
    /// The connection was refused or broke.
    Broken,
    /// Nothing, for as long as the client waits.
    Silent,
}

/// What became of one planned arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// How urgent it was.
    pub(super) priority: Priority,
    /// When it was due, from the start of the side.
    pub(super) intended: Duration,
    /// From then to its end.
    pub(super) latency: Duration,
    /// Its end.
    pub(super) ending: Ending,
}

impl Sample {
    /// Whether it was served: the right answer within the deadline.
    pub(super) fn ok(&self) -> bool {
        self.ending == Ending::Right && self.latency <= DEADLINE
    }

    /// When it ended, from the start of the side.
    pub(super) fn ended(&self) -> Duration {
        self.intended + self.latency
    }
}

/// Sends every planned request to `target`, the first instant of the plan being `zero`, and a sample of each
/// as it ends. Returns when all have ended.
pub(super) async fn send(
    plan: &Plan,
    target: Target,
    zero: Instant,
    samples: mpsc::Sender<Sample>,
) {
    let pool = Arc::new(Pool::of(plan.seed));
    let mut requests = JoinSet::new();
    let plan_seed = plan.seed;
    for (item, &intended) in plan.arrivals.iter().enumerate() {
        sleep_until(zero + intended).await;
        let (pool, samples) = (Arc::clone(&pool), samples.clone());
        requests.spawn(async move {
            let due = zero + intended;
            let fetch = pool.fetch(target.of(item), item as u64);
            let ending = timeout_at(due + target.patience(), fetch).await;
            let ending = ending.unwrap_or(Ending::Silent);
            // A reader that left wants no more samples.
            let (priority, latency) = (priority(plan_seed, item as u64), due.elapsed());
            let _ = samples.send(Sample { priority, intended, latency, ending }).await;
        });
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
}

/// Idle connections by address, the one used last on top: it is the least likely to be dead. The requests sent on
/// them say how urgent they are.
#[derive(Debug)]
pub(super) struct Pool {
    seed: u64,
    open: Semaphore,
    idle: Mutex<HashMap<SocketAddr, Vec<Connection>>>,
}

type Connection = SendRequest<Empty<Bytes>>;

impl Pool {
    /// A pool for the requests of a plan with this seed.
    pub(super) fn of(seed: u64) -> Self {
        Self { seed, open: Semaphore::new(OPEN_MAX), idle: Mutex::default() }
    }

    /// Asks `to` for `item`.
    pub(super) async fn fetch(&self, to: SocketAddr, item: u64) -> Ending {
        self.exchange(to, item).await.unwrap_or(Ending::Broken)
    }

    async fn exchange(
        &self,
        to: SocketAddr,
        item: u64,
    ) -> Result<Ending, Box<dyn Error + Send + Sync>> {
        let mut request = Request::get(format!("/items/{item}"))
            .header(header::HOST, to.to_string())
            .header(PRIORITY, priority(self.seed, item).name())
            .body(Empty::new())?;
        let _open = self.open.acquire().await?;
        let (mut connection, response) = loop {
            let idle = self.idle(to);
            let pooled = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => connect(to).await?,
            };
            match connection.try_send_request(request).await {
                Ok(response) => break (connection, response),
                Err(mut unsent) => match unsent.take_message() {
                    Some(unwritten) if pooled => request = unwritten,
                    _ => return Err(unsent.into_error().into()),
                },
            }
        };
        let status = response.status();
        let told_when = response.headers().contains_key(header::RETRY_AFTER);
        let answer = response.into_body().collect().await?.to_bytes();
        if connection.ready().await.is_ok() {
            self.keep(to, connection);
        }
        Ok(match status {
            StatusCode::OK if answer == body(item) => Ending::Right,
            StatusCode::OK => Ending::WrongBody,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE if told_when => {
                Ending::Refused
            }
            other => Ending::Status(other.as_u16()),
        })
    }

    fn idle(&self, to: SocketAddr) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(&to)?;
        std::iter::from_fn(|| connections.pop()).find(SendRequest::is_ready)
    }

    fn keep(&self, to: SocketAddr, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(to).or_default().push(connection);
    }
}

/// A fresh connection. Its task ends by itself when the connection is dropped or dies.
async fn connect(to: SocketAddr) -> Result<Connection, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    Ok(connection)
}

/// The field by which a request says how urgent it is.
pub(crate) const PRIORITY: &str = "x-priority";
/// Requests on their way at once: each holds two descriptors, four with something between that protects nothing, and
/// 1024 is what many systems give a process.
const OPEN_MAX: usize = 240;
/// What a request may take in all: the deadline of the gateway and the limit of a straight client.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);
/// How long the client waits for the gateway: thrice the deadline, so that outliving it is seen.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::super::backend::Backend;
    use super::super::plan::Fault;
    use super::*;

    #[tokio::test]
    async fn every_arrival_is_answered_for_and_backends_take_turns() {
        let (a, b, c) = (start().await, start().await, start().await);
        let backends = [a.addr(), b.addr(), c.addr()];
        let samples = outcome(&at_once(30), Target::RoundRobin(backends)).await;
        assert_eq!(samples.len(), 30);
        assert!(samples.iter().all(|s| s.ending == Ending::Right), "{samples:?}");
        assert_eq!([a.reached(), b.reached(), c.reached()], [10; 3]);
    }

    #[tokio::test]
    async fn a_hanging_target_delays_no_arrival() {
        let mut backend = start().await;
        backend.suffer(Fault::Hang).await.unwrap();
        let (sender, mut samples) = mpsc::channel(64);
        // Due long ago: each of them is out of patience as soon as it is tried.
        let zero = Instant::now() - 2 * PATIENCE;
        send(&at_once(20), Target::One(backend.addr()), zero, sender).await;
        for _ in 0..20 {
            let sample = samples.recv().await.unwrap();
            assert_eq!(sample.ending, Ending::Silent);
            assert!(sample.latency >= 2 * PATIENCE, "runs from the intended start");
            assert!(!sample.ok());
        }
        assert!(samples.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_dead_idle_connection_is_replaced_by_a_fresh_one() {
        let mut backend = start().await;
        let pool = Pool::of(7);
        assert_eq!(fetch(&pool, backend.addr()).await, Ending::Right);
        backend.suffer(Fault::Kill).await.unwrap();
        backend.recover().unwrap();
        // The pool has not looked at its connection since; it is found dead now, before a byte is written.
        assert_eq!(fetch(&pool, backend.addr()).await, Ending::Right);
    }

    #[tokio::test]
    async fn a_refused_connection_is_told() {
        let backend = start().await;
        let addr = backend.addr();
        backend.stop().await;
        assert_eq!(fetch(&Pool::of(7), addr).await, Ending::Broken);
    }

    #[test]
    fn a_right_answer_counts_only_within_the_deadline() {
        let sample = |latency, ending| Sample {
            priority: Priority::Normal,
            intended: Duration::ZERO,
            latency,
            ending,
        };
        let late = DEADLINE + Duration::from_nanos(1);
        for (latency, ending, ok) in [
            (DEADLINE, Ending::Right, true),
            (late, Ending::Right, false),
            (Duration::ZERO, Ending::WrongBody, false),
            (Duration::ZERO, Ending::Status(503), false),
            (Duration::ZERO, Ending::Refused, false),
            (Duration::ZERO, Ending::Broken, false),
            (PATIENCE, Ending::Silent, false),
        ] {
            assert_eq!(sample(latency, ending).ok(), ok, "{ending:?} after {latency:?}");
        }
    }

    /// Fails rather than hangs.
    async fn fetch(pool: &Pool, addr: SocketAddr) -> Ending {
        let minute = Duration::from_secs(60);
        tokio::time::timeout(minute, pool.fetch(addr, 1)).await.expect("still waiting")
    }

    async fn start() -> Backend {
        Backend::start(7, 4).await.unwrap()
    }

    /// A plan whose requests are all due at the start.
    fn at_once(requests: usize) -> Plan {
        Plan { arrivals: vec![Duration::ZERO; requests], episodes: vec![], ..Plan::new(1, 7, 1) }
    }

    async fn outcome(plan: &Plan, target: Target) -> Vec<Sample> {
        let (sender, mut receiver) = mpsc::channel(plan.arrivals.len());
        send(plan, target, Instant::now(), sender).await;
        let mut samples = Vec::new();
        while let Some(sample) = receiver.recv().await {
            samples.push(sample);
        }
        samples
    }
}
