//! An address that is listened to: connections in, one task each, until told to stop.
//!
//! ```text
//!  accept ─┬─ room ────────▶ serve: request ─▶ service ─▶ answer ─┐   ◀ keep-alive ┐
//!          └─ none: 503      │                                    └────────────────┘
//!  stop ─▶ the kernel's queue is emptied, then nothing more accepted
//!       ─▶ idle connections close, busy ones after their answer, new ones after their first
//!       ─▶ drain time over: the rest is cut
//! ```
//!
//! Whoever has connected takes its request for delivered: dropped with the listener, a connection still in
//! the kernel's queue would be reset, and so would one that is closed with its request unread. So both are
//! given a moment for one request. An idle connection that has been answered before is closed at once: its
//! client must expect that at any time, and most of them would keep the end waiting for nothing. What is
//! still shaking hands when the queue is found empty is lost with the listener.
//!
//! Above the limit a connection is answered with 503 and closed rather than left waiting in the kernel's
//! queue: a client that is told can go elsewhere, one that waits learns nothing until its own timeout.
//!
//! Where accepting fails for want of descriptors or memory the loop pauses: the connection stays in the
//! queue, so without a pause it would spin on the same error.

mod connection;

use std::{future::ready, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::rt::TokioTimer;
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use self::connection::serve;
use crate::{body::BoxError, respond::Own};

/// What clients of one address may use.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections open at once. Default 10 000.
    pub connections_max: usize,
    /// From the moment a connection could carry a request to the end of that request's head: bounds slow
    /// heads and idle connections alike, and closes without an answer. Default 60 s, as nginx bounds a
    /// head, and at least what clients with pools keep an idle connection for. More than a day is a day.
    pub head_max: Duration,
    /// Bytes in a head, request line included. More is 431, and the connection closes. Default 32 KiB,
    /// what nginx takes.
    pub head_bytes_max: usize,
    /// Fields in a head. More is 431, and the connection closes. Default 100; another number costs an
    /// allocation a request.
    pub fields_max: usize,
    /// How long requests in progress may take to end after the stop. Default 25 s, to be done before the
    /// 30 s after which Kubernetes kills.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            head_max: Duration::from_secs(60),
            head_bytes_max: 32 << 10,
            fields_max: FIELDS_MAX,
            drain: Duration::from_secs(25),
        }
    }
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// The address the connection came from.
    pub addr: SocketAddr,
}

/// A bound address, not yet served.
#[derive(Debug)]
#[must_use = "nothing is accepted until `run`"]
pub struct Server {
    listener: TcpListener,
    limits: Limits,
}

impl Server {
    /// Binds `addr`; port 0 takes any free one.
    ///
    /// # Errors
    ///
    /// The system's, when the address cannot be had.
    pub async fn bind(addr: impl ToSocketAddrs, limits: Limits) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(addr).await?, limits })
    }

    /// The address bound.
    ///
    /// # Errors
    ///
    /// The system's, which has none in practice.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves every request with `service` until `stop` resolves, then drains: whoever has connected is still
    /// answered. Returns when the last connection is gone. Dropping the future cuts all of them.
    pub async fn run<S, F, B>(self, service: S, stop: impl Future<Output = ()>)
    where
        S: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Self { listener, limits } = self;
        let (drain, draining) = watch::channel(());
        let mut connections = Connections::new(service, limits, draining);
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = connections.served.join_next() => continue,
                Some(_) = connections.refused.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, addr)) => connections.take(stream, addr),
                Err(error) => {
                    if let Some(pause) = pause_after(&error) {
                        tokio::select! {
                            () = &mut stop => break,
                            () = sleep(pause) => {}
                        }
                    }
                }
            }
        }
        while connections.served.try_join_next().is_some() {}
        // Without tokio, whose view of the queue is as old as its last turn.
        if let Ok(listener) = listener.into_std() {
            for (stream, addr) in waiting(&listener) {
                connections.take(stream, addr);
            }
        }
        drop(drain);
        connections.ended(limits.drain).await;
    }
}

/// The connections accepted, a task each.
struct Connections<S> {
    service: Arc<S>,
    limits: Limits,
    http: http1::Builder,
    http_refusing: http1::Builder,
    draining: watch::Receiver<()>,
    served: JoinSet<()>,
    refused: JoinSet<()>,
}

impl<S, F, B> Connections<S>
where
    S: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn new(service: S, limits: Limits, draining: watch::Receiver<()>) -> Self {
        Self {
            service: Arc::new(service),
            limits,
            http: protocol(&limits),
            http_refusing: protocol_refusing(&limits),
            draining,
            served: JoinSet::new(),
            refused: JoinSet::new(),
        }
    }

    /// Serves it, or refuses it, or drops it.
    fn take(&mut self, stream: TcpStream, addr: SocketAddr) {
        let draining = self.draining.clone();
        if self.served.len() < self.limits.connections_max {
            let (service, peer) = (Arc::clone(&self.service), Peer { addr });
            let answer = move |request| service(request, peer);
            self.served.spawn(serve(stream, self.http.clone(), answer, draining));
        } else if self.refused.len() < REFUSED_MAX {
            self.refused.spawn(serve(stream, self.http_refusing.clone(), crowded, draining));
        }
    }

    /// Waits for all of them, but not longer than this.
    async fn ended(mut self, drain: Duration) {
        let _ = timeout(drain, async {
            while self.served.join_next().await.is_some() {}
            while self.refused.join_next().await.is_some() {}
        })
        .await;
        self.served.shutdown().await;
        self.refused.shutdown().await;
    }
}

/// What has connected and was not accepted yet.
fn waiting(listener: &std::net::TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    (0..WAITING_MAX)
        .map(|_| listener.accept())
        .take_while(|accepted| match accepted {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock && pause_after(error).is_none(),
        })
        .flatten()
        .filter_map(|(stream, addr)| {
            stream.set_nonblocking(true).ok()?;
            Some((TcpStream::from_std(stream).ok()?, addr))
        })
}

/// The answer on a connection too many.
fn crowded(request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> {
    ready(Own::Crowded.respond(request.method(), Own::Crowded.retry_after_default()))
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_max.min(DAY))
        .max_header_size(limits.head_bytes_max)
        .max_buf_size(limits.head_bytes_max.max(BUFFER_BYTES_MAX));
    if limits.fields_max != FIELDS_MAX {
        http.max_headers(limits.fields_max);
    }
    http
}

/// For connections too many: one request, and soon.
fn protocol_refusing(limits: &Limits) -> http1::Builder {
    let mut http = protocol(limits);
    http.keep_alive(false).header_read_timeout(limits.head_max.min(LAST_HEAD_MAX));
    http
}

/// How long to wait before accepting again. `None` where the error was that one connection's.
fn pause_after(error: &io::Error) -> Option<Duration> {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, WouldBlock,
    };
    match error.kind() {
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | WouldBlock => None,
        _ => Some(ACCEPT_PAUSE),
    }
}

/// No sum with it overflows.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// hyper's own number, up to which it needs no allocation for the fields of a head.
const FIELDS_MAX: usize = 100;

/// 64 KiB a connection: more than a socket usually gives at once.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Connections too many that are told so at once; any more are closed unheard.
const REFUSED_MAX: usize = 64;

/// One second to say something on a connection that carries one request at most: one too many, or one that had
/// said nothing yet at the stop. What was on its way has come by then.
const LAST_HEAD_MAX: Duration = Duration::from_secs(1);

/// So many more than the 128 that the kernel queues for us that the queue is found empty, unless clients come
/// faster than we accept: then the stop does not wait for them.
const WAITING_MAX: usize = 1024;

/// 100 ms: ten error lines a second at worst, and little lost, since descriptors take as long to free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_systems_own_want_pauses_the_loop() {
        // ENFILE 23, EMFILE 24, ENOBUFS 105, ENOMEM 12 on Linux.
        for want in [12, 23, 24, 105] {
            assert!(pause_after(&io::Error::from_raw_os_error(want)).is_some(), "{want}");
        }
        for theirs in [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset] {
            assert!(pause_after(&theirs.into()).is_none(), "{theirs}");
        }
    }
}
