//! The smallest proxy that uses every part: one attempt for each upstream, in order, until one answers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use seawall_gateway::{
    body::{BodyError, Guarded, Watch},
    framing,
    headers::Passage,
    listen::{Limits, Peer, Server},
    pool::{Leased, Pool, PoolLimits},
    replay::{KEPT_BYTES_MAX, Replay, Upload},
    respond::Own,
};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use super::{PATIENCE, until, within};

pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) connect_max: Duration,
    pub(crate) attempt_max: Duration,
    pub(crate) silence_max: Duration,
    pub(crate) kept_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            connect_max: PATIENCE,
            attempt_max: PATIENCE,
            silence_max: PATIENCE,
            kept_bytes_max: KEPT_BYTES_MAX,
        }
    }
}

pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    ends: Ends,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(upstreams: &[SocketAddr]) -> Self {
        Self::with(upstreams, Settings::default()).await
    }

    pub(crate) async fn with(upstreams: &[SocketAddr], settings: Settings) -> Self {
        let server = Server::bind("127.0.0.1:0", settings.limits).await.unwrap();
        let addr = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ends = Ends::default();
        let inner = Arc::new(Inner {
            passage: Passage::new(1),
            pools: upstreams
                .iter()
                .map(|addr| Pool::new(&addr.to_string(), PoolLimits::default()))
                .collect(),
            settings,
            ends: ends.clone(),
        });
        let service = move |request, peer| handle(Arc::clone(&inner), request, peer);
        let running = tokio::spawn(server.run(service, async {
            let _ = stopped.await;
        }));
        Self { addr, ends, stop: Some(stop), running }
    }

    /// How the bodies of the answers ended, once there are this many.
    pub(crate) async fn ends(&self, count: usize) -> Vec<String> {
        until("ends", || self.ends.0.lock().unwrap().len() >= count).await;
        self.ends.0.lock().unwrap().clone()
    }

    /// Tells it to stop.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(&mut self) {
        within("stop", &mut self.running).await.unwrap();
    }
}

struct Inner {
    passage: Passage,
    pools: Vec<Pool<Replay<Incoming>>>,
    settings: Settings,
    ends: Ends,
}

type Answer = Either<Full<Bytes>, Guarded<Leased<Replay<Incoming>>, Ends>>;

async fn handle(inner: Arc<Inner>, mut request: Request<Incoming>, peer: Peer) -> Response<Answer> {
    let method = request.method().clone();
    let own = |own: Own| own.respond(&method, None).map(Either::Left);
    if let Err(malformed) = framing::check(&request) {
        return own(malformed.into());
    }
    if let Err(looped) = inner.passage.request(&mut request, peer.addr.ip()) {
        return own(looped.into());
    }
    let Settings { connect_max, attempt_max, silence_max, kept_bytes_max, .. } = inner.settings;
    let (head, body) = request.into_parts();
    let upload = Upload::new(body, kept_bytes_max);
    let mut last = Own::Unavailable;
    for pool in &inner.pools {
        let Some(body) = upload.attempt() else { break };
        let attempt = pool.send(Request::from_parts(head.clone(), body), connect_max);
        match timeout(attempt_max, attempt).await {
            Ok(Ok(mut response)) => {
                inner.passage.response(&mut response);
                return response.map(|body| {
                    Either::Right(Guarded::new(body, Some(silence_max), inner.ends.clone()))
                });
            }
            Ok(Err(error)) => last = error.into(),
            Err(_) => last = Own::Timeout,
        }
    }
    own(last)
}

#[derive(Clone, Debug, Default)]
struct Ends(Arc<Mutex<Vec<String>>>);

impl Watch for Ends {
    fn ended(&mut self) {
        self.0.lock().unwrap().push("ended".into());
    }

    fn broke(&mut self, why: &BodyError) {
        self.0.lock().unwrap().push(why.to_string());
    }

    fn left(&mut self) {
        self.0.lock().unwrap().push("left".into());
    }
}
