//! One connection to an endpoint: how it comes to be, carries a request, and fails.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
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
    task::{AbortHandle, JoinSet},
    time::timeout,
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

/// Resolves and connects: each address in the resolver's order, the next once this one has failed or has not
/// answered for a while, and the first to connect is taken. So an address that hangs costs its name a moment and
/// not the whole of the connect limit, which bounds all of this together.
pub(super) async fn dial(authority: &str) -> Result<TcpStream, SendError> {
    let addresses = lookup_host(authority).await.map_err(|_| SendError::Dns)?;
    let stream = connect(addresses).await?;
    // Without it the last packet of a request waits for the answer to the one before.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// At most [`SOCKETS_MAX`] at once, for they share one place. An address that another waits for has
/// [`SHARE`] to answer; the last ones have as long as there is. What is still under way when this ends, or is
/// dropped, ends with it.
async fn connect(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<TcpStream, SendError> {
    let addresses: Vec<_> = addresses.into_iter().collect();
    let awaited = addresses.len().saturating_sub(SOCKETS_MAX);
    let (mut addresses, mut under_way) = (addresses.into_iter().enumerate(), JoinSet::new());
    let mut last = SendError::Dns;
    loop {
        if under_way.len() < SOCKETS_MAX
            && let Some((n, address)) = addresses.next()
        {
            let share = if n < awaited { SHARE } else { Duration::MAX };
            under_way.spawn(async move {
                let connected = timeout(share, TcpStream::connect(address)).await;
                connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            });
        }
        match timeout(TURN, under_way.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => last = unconnected(&error),
            Ok(None) => return Err(last),
            // The next one's turn.
            Ok(Some(Err(_))) | Err(_) => {}
        }
    }
}

fn unconnected(error: &io::Error) -> SendError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => SendError::Refused,
        io::ErrorKind::TimedOut => SendError::ConnectTimeout,
        _ => SendError::Unreachable,
    }
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

/// 250 ms: how long RFC 8305 (5) recommends to wait for one address before the next is tried as well. Four of
/// them fit into the gateway's connect limit.
const TURN: Duration = Duration::from_millis(250);

/// Those of the first second: a name with more dead addresses takes no more sockets for it.
const SOCKETS_MAX: usize = 4;

/// One second, in which its three successors have had their turn as well.
const SHARE: Duration = TURN.saturating_mul(SOCKETS_MAX as u32);

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::{
        net::{TcpListener, TcpSocket},
        runtime::Handle,
        task::yield_now,
    };

    use super::*;

    /// An address that neither takes nor refuses a connection: its queue of one is full.
    struct Hanging {
        addr: SocketAddr,
        _held: (TcpListener, TcpStream),
    }

    async fn hanging() -> Hanging {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        let first = TcpStream::connect(addr).await.unwrap();
        Hanging { addr, _held: (listener, first) }
    }

    /// An address where nobody listens, kept from others.
    fn refusing() -> (SocketAddr, TcpSocket) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    async fn connected(addresses: &[SocketAddr]) -> Result<SocketAddr, SendError> {
        let stream = timeout(PATIENCE, connect(addresses.iter().copied())).await.unwrap()?;
        Ok(stream.peer_addr().unwrap())
    }

    #[tokio::test]
    async fn an_address_that_hangs_does_not_use_up_the_time_of_the_next() {
        let hung = [hanging().await, hanging().await];
        let sound = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = sound.local_addr().unwrap();
        assert_eq!(connected(&[hung[0].addr, hung[1].addr, addr]).await, Ok(addr));
        let tasks = Handle::current().metrics();
        let given_up = async {
            while tasks.num_alive_tasks() > 0 {
                yield_now().await;
            }
        };
        timeout(PATIENCE, given_up).await.unwrap();
    }

    #[tokio::test]
    async fn a_name_with_many_dead_addresses_takes_four_sockets_and_reaches_the_last() {
        let mut addresses = Vec::new();
        let mut held = Vec::new();
        for _ in 0..6 {
            let hung = hanging().await;
            addresses.push(hung.addr);
            held.push(hung);
        }
        let sound = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(sound.local_addr().unwrap());
        let (tasks, mut most) = (Handle::current().metrics(), 0);
        let mut connecting = pin!(connected(&addresses));
        let reached = loop {
            tokio::select! {
                reached = &mut connecting => break reached,
                () = yield_now() => most = most.max(tasks.num_alive_tasks()),
            }
        };
        assert_eq!((reached, most), (Ok(addresses[6]), 4));

        let (dead, _kept) = refusing();
        let given_up = connected(&[addresses[0], dead, dead, dead, dead]).await;
        assert_eq!(given_up, Err(SendError::ConnectTimeout), "the one that ended last");
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next_and_the_last_says_why() {
        let ((dead, _kept), hung) = (refusing(), hanging().await);
        let sound = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = sound.local_addr().unwrap();
        assert_eq!(connected(&[dead, hung.addr, dead, addr]).await, Ok(addr));
        assert_eq!(connected(&[dead, dead]).await, Err(SendError::Refused));
        assert_eq!(connected(&[]).await, Err(SendError::Dns));
    }

    const PATIENCE: Duration = Duration::from_secs(30);
}
