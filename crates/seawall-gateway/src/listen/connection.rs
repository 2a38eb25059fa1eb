//! One connection, from its first byte to a close that loses nothing.
//!
//! An answer whose body breaks is not ended but reset: with a bare close a client of HTTP/1.0, for whom
//! the close is the end, would take half an answer for a whole one. Any other close waits a moment for the
//! client to close too: bytes that arrive after ours would reset the connection, and the reset would
//! overtake the answer, a refused upload's 503 for instance.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONNECTION};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWrite,
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

use super::LAST_HEAD_MAX;
use crate::{body::BoxError, lengths::Counted};

/// One connection, until either side ends it or, once draining, its request is answered. One that has never
/// asked anything by then may do so once, and soon.
pub(super) async fn serve<S, F, B>(
    stream: TcpStream,
    http: http1::Builder,
    service: S,
    mut draining: watch::Receiver<()>,
) where
    S: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let _ = stream.set_nodelay(true);
    let (stream, lengths) = Counted::new(stream);
    let (asked, stopping) = (&AtomicBool::new(false), &draining.clone());
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        let hidden = lengths.hidden(&request);
        let answer = service(request);
        async move {
            let mut answer = answer.await;
            if hidden || stopping.has_changed().is_err() {
                answer
                    .headers_mut()
                    .insert(CONNECTION, const { HeaderValue::from_static("close") });
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let stopped = async {
        // The sender is dropped, never used: its end is the signal.
        let _ = draining.changed().await;
        if !asked.load(Ordering::Relaxed) {
            sleep(LAST_HEAD_MAX).await;
        }
    };
    let end = tokio::select! {
        // The connection first: a request that lies there unread is not to be mistaken for idleness.
        biased;
        end = &mut connection => Some(end),
        () = stopped => None,
    };
    let end = match end {
        Some(end) => end,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let stream = connection.into_parts().io.into_inner().stream;
    match end {
        Ok(()) => linger(stream).await,
        Err(error) if error.is_parse() => linger(stream).await,
        Err(error) if error.is_user() => {
            let _ = stream.set_zero_linger();
        }
        Err(_) => {}
    }
}

/// Closes our side, takes what the client still says, and throws it away, until it closes too.
async fn linger(mut stream: TcpStream) {
    let mut ignored = [0; 4 << 10];
    let _ = timeout(LINGER_MAX, async {
        // hyper has done so already, but not where a client had asked for an upgrade.
        let _ = poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await;
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut ignored) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
    })
    .await;
}

/// One second: several round trips for the client to read our answer and close, and no place to hide in.
const LINGER_MAX: Duration = Duration::from_secs(1);
