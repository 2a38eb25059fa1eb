//! A backend that can be broken while it serves: a real HTTP/1.1 server on a loopback socket.
//!
//! ```text
//!            suffer(Slow | Error | Hang)            suffer(Kill)
//!   well ────────────────────────────► ailing   well ──────────► killed: bound, not listening
//!     ▲ ◄──────────── recover ───────────┘        ▲ ◄── recover ───┘
//! ```
//!
//! A killed backend behaves as one whose process is gone: its connections are reset and new ones are
//! refused. Its port stays bound without listening, because the kernel refuses connections to such a port just
//! as to a free one, and nobody else can take it meanwhile; to recover is to listen again.
//!
//! An ailing backend answers 500, not 503: a broken program says 500, while 503 is the word of a healthy
//! one that asks for time. It answers at once, and so looks attractive to whoever prefers fast backends.
//! A hang catches the requests in progress too, and what hung is dropped at recovery, never answered late.
//!
//! It works on a few requests at once, the others wait in the order they came: so there is a rate that it cannot
//! exceed. What it has begun it works off, also where the client has left: few programs would notice.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::plan::{Fault, service_time};

/// A running backend. Dropped, it ends by itself; [`stop`](Self::stop) waits for that.
#[derive(Debug)]
pub(super) struct Backend {
    addr: SocketAddr,
    core: Arc<Core>,
    door: Door,
}

impl Backend {
    /// A healthy backend on a free port, whose service times belong to `seed`, and which works on so many requests at
    /// once.
    pub(super) async fn start(seed: u64, slots: u32) -> io::Result<Self> {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let addr = socket.local_addr()?;
        let core = Arc::new(Core {
            seed,
            slots: Arc::new(Semaphore::new(slots as usize)),
            reached: AtomicU64::new(0),
            condition: watch::Sender::new(Condition { fault: None, hangs: 0 }),
        });
        let door = Door::open(socket, &core)?;
        Ok(Self { addr, core, door })
    }

    /// Where it listens, also after it was killed and recovered.
    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many requests have reached it.
    pub(super) fn reached(&self) -> u64 {
        self.core.reached.load(Relaxed)
    }

    /// From now on it suffers from `fault`. After a kill has returned, its sockets are closed.
    pub(super) async fn suffer(&mut self, fault: Fault) -> io::Result<()> {
        self.core.condition.send_modify(|now| {
            now.fault = Some(fault);
            now.hangs += u64::from(fault == Fault::Hang);
        });
        if fault == Fault::Kill {
            self.door.shut().await;
            self.door = Door::Shut(bind(self.addr).map_err(|e| self.lost_port(&e))?);
        }
        Ok(())
    }

    /// From now on it is well.
    pub(super) fn recover(&mut self) -> io::Result<()> {
        self.core.condition.send_modify(|now| now.fault = None);
        self.door = match std::mem::replace(&mut self.door, Door::Gone) {
            Door::Shut(socket) => Door::open(socket, &self.core).map_err(|e| self.lost_port(&e))?,
            other => other,
        };
        Ok(())
    }

    /// Ends it: when this returns, its sockets are closed and its tasks are over.
    pub(super) async fn stop(mut self) {
        self.door.shut().await;
    }

    fn lost_port(&self, e: &io::Error) -> io::Error {
        io::Error::new(
            e.kind(),
            format!("a killed backend cannot listen on {} again: {e}", self.addr),
        )
    }
}

/// The right body of request `item`: it names the item, so that an answer to another is noticed.
pub(super) fn body(item: u64) -> String {
    format!("{{\"item\":{item}}}\n")
}

/// Where connections come in.
#[derive(Debug)]
enum Door {
    /// The task that accepts, and what ends it when dropped.
    Open(watch::Sender<()>, JoinHandle<()>),
    /// Bound, not listening.
    Shut(TcpSocket),
    /// Neither.
    Gone,
}

impl Door {
    fn open(socket: TcpSocket, core: &Arc<Core>) -> io::Result<Self> {
        let listener = socket.listen(BACKLOG)?;
        let (closing, closed) = watch::channel(());
        Ok(Self::Open(closing, tokio::spawn(accept(listener, Arc::clone(core), closed))))
    }

    /// Closes every socket and waits until that is done.
    async fn shut(&mut self) {
        if let Self::Open(closing, task) = std::mem::replace(self, Self::Gone) {
            drop(closing);
            // The task has nothing to return, and nothing to do after a panic but be over.
            let _ = task.await;
        }
    }
}

/// Serves connections until the door closes, then resets them all.
async fn accept(listener: TcpListener, core: Arc<Core>, mut closed: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&core), closed.clone()));
                }
                // Out of file descriptors, most likely: let some connections end.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            _ = closed.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection until it ends or the door closes.
async fn serve(stream: TcpStream, core: Arc<Core>, mut closed: watch::Receiver<()>) {
    // Without it small answers may wait for an acknowledgement, which is no fault we planned.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(|request| {
        let core = Arc::clone(&core);
        async move { core.answer(&request).await }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        _ = &mut connection => {}
        _ = closed.changed() => {
            // A dead process leaves a reset behind, not an orderly end.
            let _ = connection.into_parts().io.into_inner().set_zero_linger();
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Core {
    seed: u64,
    /// The places where work is done.
    slots: Arc<Semaphore>,
    reached: AtomicU64,
    condition: watch::Sender<Condition>,
}

/// How the backend is.
#[derive(Clone, Copy, Debug)]
struct Condition {
    fault: Option<Fault>,
    /// Hangs begun so far: a request in progress tells by it that it was caught in one.
    hangs: u64,
}

impl Core {
    /// The answer, or an error that makes the server drop the connection.
    async fn answer(&self, request: &Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let mut condition = self.condition.subscribe();
        let met = *condition.borrow_and_update();
        self.reached.fetch_add(1, Relaxed);
        let Some(item) = item(request.uri().path()) else {
            return Ok(respond(StatusCode::NOT_FOUND, String::new()));
        };
        let late = match met.fault {
            Some(Fault::Error) => {
                return Ok(respond(StatusCode::INTERNAL_SERVER_ERROR, String::new()));
            }
            Some(Fault::Slow(by)) => by,
            Some(Fault::Hang | Fault::Kill | Fault::Overload(_)) | None => Duration::ZERO,
        };
        let work = async {
            self.work(service_time(self.seed, item)).await?;
            sleep(late).await;
            Ok(respond(StatusCode::OK, body(item)))
        };
        let caught = |now: &Condition| met.fault == Some(Fault::Hang) || now.hangs != met.hangs;
        tokio::select! {
            biased;
            _ = condition.wait_for(caught) => {}
            answer = work => return answer,
        }
        let _ = condition.wait_for(|now| now.fault != Some(Fault::Hang)).await;
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    /// Waits for a place and takes this long in it.
    async fn work(&self, time: Duration) -> io::Result<()> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let work = tokio::spawn(async move {
            sleep(time).await;
            drop(slot);
        });
        work.await.map_err(io::Error::other)
    }
}

/// The item a path names.
fn item(path: &str) -> Option<u64> {
    path.strip_prefix("/items/")?.parse().ok()
}

fn respond(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}

/// A socket bound to `addr` even where connections of its predecessor linger.
fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Connections the kernel may queue: more than a default run ever has in flight (600).
const BACKLOG: u32 = 1_024;
/// Long enough not to spin, too short to be seen in a latency.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        runtime::Handle,
        task::yield_now,
        time::timeout,
    };

    use super::super::traffic::{Ending, Pool};
    use super::*;

    const SEED: u64 = 7;

    #[tokio::test]
    async fn it_answers_what_it_was_asked_until_it_errs() {
        bounded(async {
            let mut backend = Backend::start(SEED, 4).await.unwrap();
            let pool = Pool::of(7);
            assert_eq!(pool.fetch(backend.addr(), 1).await, Ending::Right);
            backend.suffer(Fault::Error).await.unwrap();
            assert_eq!(pool.fetch(backend.addr(), 2).await, Ending::Status(500));
            backend.recover().unwrap();
            assert_eq!(pool.fetch(backend.addr(), 3).await, Ending::Right);
            assert_eq!(backend.reached(), 3);
            backend.stop().await;
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_no_item_is_not_found() {
        bounded(async {
            let backend = Backend::start(SEED, 4).await.unwrap();
            let mut stream = TcpStream::connect(backend.addr()).await.unwrap();
            stream.write_all(b"GET /items/x HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"HTTP/1.1 404");
        })
        .await;
    }

    #[tokio::test]
    async fn a_slow_one_is_right_but_late() {
        bounded(async {
            let mut backend = Backend::start(SEED, 4).await.unwrap();
            let late = Duration::from_millis(50);
            backend.suffer(Fault::Slow(late)).await.unwrap();
            let asked = std::time::Instant::now();
            assert_eq!(Pool::of(7).fetch(backend.addr(), 1).await, Ending::Right);
            assert!(asked.elapsed() >= late + service_time(SEED, 1));
        })
        .await;
    }

    #[tokio::test]
    async fn no_more_is_done_at_once_and_what_is_begun_is_done() {
        bounded(async {
            let backend = Backend::start(SEED, 1).await.unwrap();
            let asked = std::time::Instant::now();
            let asking: Vec<_> = (0..10).map(|item| ask(&backend, item)).collect();
            for request in asking {
                assert_eq!(request.await.unwrap(), Ending::Right);
            }
            let mut work: Duration = (0..10).map(|item| service_time(SEED, item)).sum();
            assert!(asked.elapsed() >= work, "{:?} for {work:?}", asked.elapsed());

            let asked = std::time::Instant::now();
            let left = ask(&backend, 10);
            until(|| backend.core.slots.available_permits() == 0).await;
            left.abort();
            assert_eq!(ask(&backend, 11).await.unwrap(), Ending::Right);
            work = service_time(SEED, 10) + service_time(SEED, 11);
            assert!(asked.elapsed() >= work, "{:?} for {work:?}", asked.elapsed());
        })
        .await;
    }

    #[tokio::test]
    async fn a_hang_holds_new_requests_and_drops_them_at_recovery() {
        bounded(async {
            let mut backend = Backend::start(SEED, 4).await.unwrap();
            backend.suffer(Fault::Hang).await.unwrap();
            let held = ask(&backend, 1);
            until(|| backend.reached() == 1).await;
            assert!(!held.is_finished());
            backend.recover().unwrap();
            assert_eq!(held.await.unwrap(), Ending::Broken);
            assert_eq!(ask(&backend, 2).await.unwrap(), Ending::Right);
        })
        .await;
    }

    #[tokio::test]
    async fn a_hang_catches_requests_in_progress() {
        bounded(async {
            let mut backend = Backend::start(SEED, 4).await.unwrap();
            backend.suffer(Fault::Slow(Duration::from_secs(3_600))).await.unwrap();
            let caught = ask(&backend, 1);
            until(|| backend.reached() == 1).await;
            backend.suffer(Fault::Hang).await.unwrap();
            backend.recover().unwrap();
            assert_eq!(caught.await.unwrap(), Ending::Broken);
        })
        .await;
    }

    #[tokio::test]
    async fn a_killed_one_resets_and_refuses_and_recovers_on_its_port() {
        bounded(async {
            let mut backend = Backend::start(SEED, 4).await.unwrap();
            let addr = backend.addr();
            for item in 0..3 {
                let mut idle = TcpStream::connect(addr).await.unwrap();
                backend.suffer(Fault::Kill).await.unwrap();
                let broken = idle.read(&mut [0]).await.unwrap_err();
                assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset);
                let refused = TcpStream::connect(addr).await.unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
                backend.recover().unwrap();
                assert_eq!(Pool::of(7).fetch(addr, item).await, Ending::Right);
            }
            assert_eq!(backend.reached(), 3);
        })
        .await;
    }

    #[tokio::test]
    async fn a_kill_breaks_the_requests_in_progress() {
        bounded(async {
            let mut backend = Backend::start(SEED, 4).await.unwrap();
            backend.suffer(Fault::Hang).await.unwrap();
            let held = ask(&backend, 1);
            until(|| backend.reached() == 1).await;
            backend.suffer(Fault::Kill).await.unwrap();
            assert_eq!(held.await.unwrap(), Ending::Broken);
        })
        .await;
    }

    #[tokio::test]
    async fn a_port_that_cannot_be_taken_back_is_told() {
        bounded(async {
            let mut backend = Backend::start(SEED, 4).await.unwrap();
            backend.suffer(Fault::Kill).await.unwrap();
            // Both are bound, neither listens: whoever listens first has the port.
            let thief = bind(backend.addr()).unwrap().listen(1).unwrap();
            let told = backend.recover().unwrap_err().to_string();
            assert!(told.contains(&backend.addr().to_string()), "{told}");
            drop(thief);
        })
        .await;
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_stopped_one() {
        bounded(async {
            let tasks = || Handle::current().metrics().num_alive_tasks();
            let before = tasks();
            let mut backend = Backend::start(SEED, 4).await.unwrap();
            backend.suffer(Fault::Hang).await.unwrap();
            let held: Vec<_> = (0..20).map(|item| ask(&backend, item)).collect();
            until(|| backend.reached() == 20).await;
            let addr = backend.addr();
            backend.stop().await;
            for request in held {
                assert_eq!(request.await.unwrap(), Ending::Broken);
            }
            assert!(TcpStream::connect(addr).await.is_err());
            until(|| tasks() == before).await;
        })
        .await;
    }

    /// Asks for an item from a task of its own.
    fn ask(backend: &Backend, item: u64) -> JoinHandle<Ending> {
        let addr = backend.addr();
        tokio::spawn(async move { Pool::of(7).fetch(addr, item).await })
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            yield_now().await;
        }
    }

    /// Fails rather than hangs, however loaded the machine.
    async fn bounded(test: impl Future<Output = ()>) {
        timeout(Duration::from_secs(60), test).await.expect("still waiting after a minute");
    }
}
