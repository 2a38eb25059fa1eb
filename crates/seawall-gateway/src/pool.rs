//! Connections to one endpoint, kept between requests.
//!
//! ```text
//!            ┌────── idle (LIFO) ◀──────────── body read to its end ──┐
//!  send ──▶ take ──none──▶ connect ──▶ write ──▶ head ──▶ body ───────┤
//!            │                          │                             └ dropped early: closed
//!            └ died unseen: the request comes back unwritten,
//!              and goes out once more on a fresh connection, free
//! ```
//!
//! The newest idle connection is taken first: the rest then grow old and are closed, so the pool shrinks
//! to what the load needs. At the cap of open connections a request is refused, not queued: waiting is the
//! bulkhead's job, which knows priorities and deadlines.
//!
//! A response owns its connection. When its body has passed, the connection goes back; when it is dropped
//! before that, the connection is closed, because HTTP/1.1 has no other way to stop an answer. Each
//! connection has one task, which ends with it.
//!
//! Only a request that was provably never written is sent again here. An idle connection that dies after
//! the request went out is an error like any other: the retry budget decides.

mod connection;
mod idle;

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

pub use self::{connection::SendError, idle::PoolLimits};
use self::{
    connection::{Failed, Place, Sender, dial},
    idle::Idle,
};
use crate::{body::BoxError, framing};

/// The connections to one endpoint. Cheap to clone; clones share them.
pub struct Pool<B> {
    shared: Arc<Shared<B>>,
}

impl<B> Pool<B> {
    /// A pool for the endpoint at `authority`, `host:port`. The name is resolved anew for each connection.
    #[must_use]
    pub fn new(authority: &str, limits: PoolLimits) -> Self {
        Self {
            shared: Arc::new(Shared {
                authority: authority.into(),
                host: HeaderValue::from_str(authority).ok(),
                open_max: limits.open_max,
                open: Arc::default(),
                idle: Arc::new(Idle::new(limits)),
            }),
        }
    }

    /// Connections waiting for a request.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.shared.idle.count()
    }

    /// Connections open or being opened, idle ones included.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Sends the request and waits for the response head. `connect_max` bounds resolving and connecting,
    /// where that is needed. A request without Host gets the endpoint's. Dropping the future closes the
    /// connection.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn send(
        &self,
        mut request: Request<B>,
        connect_max: Duration,
    ) -> Result<Response<Leased<B>>, SendError> {
        if let Some(host) = &self.shared.host {
            request.headers_mut().entry(HOST).or_insert_with(|| host.clone());
        }
        if let Some(mut sender) = self.shared.idle.take() {
            match sender.send(request).await {
                Ok(response) => return self.lease(sender, response),
                Err(Failed { unwritten: Some(back), .. }) => request = *back,
                Err(Failed { error, .. }) => return Err(error),
            }
        }
        let mut sender = self.connect(connect_max).await?;
        match sender.send(request).await {
            Ok(response) => self.lease(sender, response),
            Err(failed) => Err(failed.error),
        }
    }

    async fn connect(&self, connect_max: Duration) -> Result<Sender<B>, SendError> {
        let place = Place::take(&self.shared.open, self.shared.open_max)?;
        let stream = timeout(connect_max, dial(&self.shared.authority))
            .await
            .map_err(|_| SendError::ConnectTimeout)??;
        Sender::over(TokioIo::new(stream), place).await
    }

    fn lease(
        &self,
        sender: Sender<B>,
        response: Response<Incoming>,
    ) -> Result<Response<Leased<B>>, SendError> {
        if !framing::answer_is_sound(&response) {
            return Err(SendError::Garbage);
        }
        // An answer with both says where it ends in two ways: not to be trusted with another request.
        let headers = response.headers();
        let ambiguous =
            headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
        let lease = Lease { sender, idle: Arc::clone(&self.shared.idle), reusable: !ambiguous };
        Ok(response.map(|body| {
            let mut leased = Leased { body, lease: Some(lease) };
            leased.return_at_end();
            leased
        }))
    }
}

struct Shared<B> {
    authority: Box<str>,
    host: Option<HeaderValue>,
    open_max: usize,
    open: Arc<AtomicUsize>,
    idle: Arc<Idle<B>>,
}

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<B> fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("authority", &self.shared.authority)
            .field("open", &self.open())
            .field("idle", &self.idle())
            .finish()
    }
}

/// A response's body, with the connection it comes from.
#[must_use = "a body does nothing unless polled"]
pub struct Leased<B> {
    body: Incoming,
    /// Dropped with the body: the connection closes.
    lease: Option<Lease<B>>,
}

impl<B> Leased<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    /// hyper drops a body without asking past its last byte, so the end is looked for, not waited for.
    fn return_at_end(&mut self) {
        if self.body.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}

impl<B> Body for Leased<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) if frame.is_data() => this.return_at_end(),
            Some(Err(_)) => this.lease = None,
            Some(Ok(_)) | None => {
                if let Some(lease) = this.lease.take() {
                    lease.give_back();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> fmt::Debug for Leased<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased").field("body", &self.body).finish_non_exhaustive()
    }
}

struct Lease<B> {
    sender: Sender<B>,
    idle: Arc<Idle<B>>,
    reusable: bool,
}

impl<B> Lease<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    /// The connection is ready a moment after its answer's last byte, or, where the endpoint answered
    /// early, once the rest of the request is written. The second may take for ever, so it is given up.
    fn give_back(mut self) {
        if !self.reusable || self.sender.is_closed() {
            return;
        }
        if self.sender.is_ready() {
            self.idle.put(self.sender);
        } else {
            tokio::spawn(async move {
                if timeout(RETURN_MAX, self.sender.ready()).await == Ok(true) {
                    self.idle.put(self.sender);
                }
            });
        }
    }
}

/// One second: long for a task to be run, short for a client's upload to an endpoint that has answered.
const RETURN_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        net::TcpListener,
    };

    use super::*;

    /// The other end goes while this test's only thread is busy elsewhere, so that nobody has noticed
    /// when the next request is handed to the connection.
    #[tokio::test]
    async fn a_request_handed_to_a_connection_that_died_unseen_goes_out_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let upstream = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\ntwice") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        });

        let pool = Pool::new(&authority, PoolLimits::default());
        let (ours, theirs) = duplex(1024);
        let place = Place::take(&pool.shared.open, 1).unwrap();
        let mut sender = Sender::over(TokioIo::new(ours), place).await.unwrap();
        assert!(sender.ready().await);
        Arc::clone(&pool.shared.idle).put(sender);
        drop(theirs);
        assert_eq!((pool.idle(), pool.open()), (1, 1));

        let request = Request::post("/").body(Full::new(Bytes::from("twice"))).unwrap();
        let bound = Duration::from_secs(30);
        let answer = timeout(bound, pool.send(request, bound)).await.unwrap().unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hi");
        upstream.await.unwrap();
    }
}
