//! One connection to an endpoint: how it comes to be, carries a request, and fails.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::http1,
    rt::{Read, Write},
};
use tokio::{
    net::{TcpStream, lookup_host},
    task::AbortHandle,
};

use crate::body::BoxError;

/// Why no response head came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The name did not resolve.
    Dns,
    /// The endpoint refused the connection.
    Refused,
    /// The connection failed otherwise: no route, no permission, no descriptor.
    Unreachable,
    /// Name and connection together took longer than allowed.
    ConnectTimeout,
    /// As many connections are open as may be.
    Full,
    /// A fresh connection died before the request was written to it.
    Unsent,
    /// The connection broke while the request was written or the answer awaited.
    Reset,
    /// The endpoint closed the connection in good order, before a whole head.
    Closed,
    /// What came is not an HTTP answer, or not one to pass on.
    Garbage,
    /// The request's own body broke: the client's fault.
    BrokenRequest,
}

impl SendError {
    /// Whether the endpoint may have seen the request. `false` only if it certainly did not.
    #[must_use]
    pub const fn reached(self) -> bool {
        match self {
            Self::Dns
            | Self::Refused
            | Self::Unreachable
            | Self::ConnectTimeout
            | Self::Full
            | Self::Unsent => false,
            Self::Reset | Self::Closed | Self::Garbage | Self::BrokenRequest => true,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "the name did not resolve",
            Self::Refused => "connection refused",
            Self::Unreachable => "the endpoint cannot be reached",
            Self::ConnectTimeout => "connecting took too long",
            Self::Full => "too many connections open",
            Self::Unsent => "the connection died before the request was written",
            Self::Reset => "connection reset",
            Self::Closed => "connection closed before an answer",
            Self::Garbage => "the answer is not valid HTTP",
            Self::BrokenRequest => "the request's body broke off",
        })
    }
}

impl std::error::Error for SendError {}

/// The right to use a connection, and the connection's life: dropped, it ends. hyper alone would go on
/// writing a request whose answer has come early, for as long as the client keeps sending.
pub(super) struct Sender<B> {
    speaks: Protocol<B>,
    task: AbortHandle,
}

/// ◦ HTTP/2 will be another kind.
enum Protocol<B> {
    Http1(http1::SendRequest<B>),
}

/// A request that got no answer, given back if no byte of it was written.
pub(super) struct Failed<B> {
    pub(super) error: SendError,
    pub(super) unwritten: Option<Box<Request<B>>>,
}

impl<B> Sender<B> {
    pub(super) fn is_ready(&self) -> bool {
        match &self.speaks {
            Protocol::Http1(sender) => sender.is_ready(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.speaks {
            Protocol::Http1(sender) => sender.is_closed(),
        }
    }

    pub(super) async fn ready(&mut self) -> bool {
        match &mut self.speaks {
            Protocol::Http1(sender) => sender.ready().await.is_ok(),
        }
    }
}

impl<B> Sender<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Starts the connection's task, which holds its `place`.
    pub(super) async fn over<I>(stream: I, place: Place) -> Result<Self, SendError>
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES_MAX)
            .max_header_size(BUFFER_BYTES_MAX)
            .handshake(stream)
            .await
            .map_err(|_| SendError::Unsent)?;
        let task = tokio::spawn(async move {
            // Its error, if any, has been told to whoever waited for the answer.
            let _ = connection.await;
            drop(place);
        });
        Ok(Self { speaks: Protocol::Http1(sender), task: task.abort_handle() })
    }

    pub(super) async fn send(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<Incoming>, Failed<B>> {
        let answer = match &mut self.speaks {
            Protocol::Http1(sender) => sender.try_send_request(request).await,
        };
        answer.map_err(|mut failed| match failed.take_message() {
            Some(back) => Failed { error: SendError::Unsent, unwritten: Some(Box::new(back)) },
            None => Failed { error: kind(failed.error()), unwritten: None },
        })
    }
}

impl<B> Drop for Sender<B> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One of the places of the open connections, held from before connecting until the socket is gone.
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    pub(super) fn take(open: &Arc<AtomicUsize>, open_max: usize) -> Result<Self, SendError> {
        open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < open_max).then_some(open + 1)
        })
        .map(|_| Self(Arc::clone(open)))
        .map_err(|_| SendError::Full)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Resolves and connects, trying each address in the resolver's order.
pub(super) async fn dial(authority: &str) -> Result<TcpStream, SendError> {
    let addresses = lookup_host(authority).await.map_err(|_| SendError::Dns)?;
    let mut last = SendError::Dns;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it the last packet of a request waits for the answer to the one before.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => {
                last = match error.kind() {
                    io::ErrorKind::ConnectionRefused => SendError::Refused,
                    io::ErrorKind::TimedOut => SendError::ConnectTimeout,
                    _ => SendError::Unreachable,
                };
            }
        }
    }
    Err(last)
}

/// What hyper's error means here.
fn kind(error: &hyper::Error) -> SendError {
    if error.is_parse() {
        SendError::Garbage
    } else if error.is_user() {
        SendError::BrokenRequest
    } else if error.is_incomplete_message() {
        SendError::Closed
    } else {
        SendError::Reset
    }
}

/// 64 KiB a connection: the largest head taken from an endpoint, and more than a socket gives at once.
const BUFFER_BYTES_MAX: usize = 64 << 10;
