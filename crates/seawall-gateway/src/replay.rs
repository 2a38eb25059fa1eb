//! The client's request body: streamed once, its beginning kept so that another attempt can start over.
//!
//! ```text
//!  client ─▶ live body ─┬────────────────────────────▶ attempt 1   (dropped midway)
//!                       └ tee ─▶ prefix, ≤ 64 KiB ─┬──▶ attempt 2   prefix first, then the live rest
//!                                                  └ past the limit: thrown away, not repeatable
//! ```
//!
//! The first attempt pays nothing for the second but a reference to each chunk: bytes are shared, not
//! copied, and flow as fast as the upstream takes them. Only the newest attempt reads from the client; an
//! older one still reading gets an error, because two readers of one stream would each miss half. Where the
//! whole body is in the prefix both may read it.
//!
//! A length or a trailer is the same for every attempt. A body that is empty from the start costs nothing.

mod shared;

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use seawall::{Clock, core::Instant};

use crate::body::{BodyError, BoxError, Guarded};

use shared::{Rest, Shared, lock};

/// The client's body, from which each attempt gets its own [`Replay`]. Dropping it says that no further
/// attempt will come: from then on nothing more is kept.
pub struct Upload<B> {
    shared: Option<Arc<Mutex<Shared<B>>>>,
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// A body that is known to be empty: every attempt has all of it.
    #[must_use]
    pub const fn empty() -> Self {
        Self { shared: None }
    }

    /// Takes over `live` and keeps up to `kept_bytes_max` of it ([`KEPT_BYTES_MAX`] by default; 0 keeps
    /// nothing, so that only bodies known to be empty can be repeated).
    pub fn new(live: B, kept_bytes_max: usize, clock: Clock) -> Self {
        if live.is_end_stream() {
            return Self::empty();
        }
        let length = live.size_hint().exact();
        Self {
            shared: Some(Arc::new(Mutex::new(Shared {
                live,
                length,
                kept: Vec::new(),
                room: kept_bytes_max,
                spilled: false,
                rest: Rest::Flowing,
                clock,
                starved: false,
                fed: Instant::ORIGIN,
                newest: 0,
            }))),
        }
    }

    /// The body for one more attempt, from its first byte. `None` once that is gone.
    #[must_use]
    pub fn attempt(&self) -> Option<Replay<B>> {
        let Some(shared) = &self.shared else { return Some(Replay::default()) };
        let mut open = lock(shared);
        open.repeatable().then(|| {
            open.newest += 1;
            // Nobody has asked the client in this attempt's name.
            open.starved = false;
            Replay {
                shared: Some(Arc::clone(shared)),
                number: open.newest,
                next: 0,
                left: open.length,
                trailers_sent: false,
            }
        })
    }

    /// Whether another attempt could start now: everything read so far is kept, and the client has not
    /// broken off.
    #[must_use]
    pub fn repeatable(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| lock(shared).repeatable())
    }

    /// Whether the client was given up because it sent nothing for too long.
    #[must_use]
    pub fn fell_silent(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| matches!(lock(shared).rest, Rest::Silent))
    }

    /// Since when the newest attempt has all that the client sent; `None` while it asks for more than that.
    #[must_use]
    pub fn fed_since(&self) -> Option<Instant> {
        let Some(shared) = &self.shared else { return Some(Instant::ORIGIN) };
        let open = lock(shared);
        (!open.starved).then_some(open.fed)
    }
}

impl<B> Drop for Upload<B> {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            lock(shared).room = 0;
        }
    }
}

impl<B> fmt::Debug for Upload<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("empty", &self.shared.is_none()).finish()
    }
}

/// The client's body with a limit on its silence.
pub(crate) type Live = Pin<Box<Guarded<Incoming, ()>>>;

/// One attempt's view of the client's body.
#[must_use = "a body does nothing unless polled"]
pub struct Replay<B> {
    shared: Option<Arc<Mutex<Shared<B>>>>,
    number: u64,
    /// The chunk of the prefix to send next.
    next: usize,
    /// Bytes this attempt still has to send, where the client said how many.
    left: Option<u64>,
    trailers_sent: bool,
}

/// The empty body.
impl<B> Default for Replay<B> {
    fn default() -> Self {
        Self { shared: None, number: 0, next: 0, left: None, trailers_sent: false }
    }
}

impl<B> Body for Replay<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(shared) = &this.shared else { return Poll::Ready(None) };
        let mut shared = lock(shared);
        let superseded = this.number != shared.newest;
        if superseded && shared.spilled {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        let frame = if let Some(chunk) = shared.kept.get(this.next) {
            Frame::data(chunk.clone())
        } else {
            match &shared.rest {
                Rest::Over(Some(trailers)) if !this.trailers_sent => {
                    Frame::trailers(trailers.clone())
                }
                Rest::Over(_) => return Poll::Ready(None),
                Rest::Broken | Rest::Silent => {
                    return Poll::Ready(Some(Err(BodyError::Broke(GONE.into()))));
                }
                Rest::Flowing if superseded => {
                    return Poll::Ready(Some(Err(BodyError::Superseded)));
                }
                Rest::Flowing => match ready!(shared.poll_live(cx)) {
                    Some(Ok(frame)) => frame,
                    end => return Poll::Ready(end),
                },
            }
        };
        match frame.data_ref() {
            Some(chunk) => {
                this.next += 1;
                this.left = this.left.map(|left| left.saturating_sub(chunk.len() as u64));
            }
            None => this.trailers_sent = true,
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let Some(shared) = &self.shared else { return true };
        let shared = lock(shared);
        self.left == Some(0)
            || self.next >= shared.kept.len()
                && match &shared.rest {
                    Rest::Over(trailers) => trailers.is_none() || self.trailers_sent,
                    Rest::Flowing | Rest::Broken | Rest::Silent => false,
                }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.shared, self.left) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::new(),
        }
    }
}

impl<B> fmt::Debug for Replay<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("number", &self.number)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// 64 KiB: the documented default; most API calls fit, and a thousand uploads at once keep 64 MB.
pub const KEPT_BYTES_MAX: usize = 64 << 10;

const GONE: &str = "the client's body broke off earlier";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};
    use http_body_util::{BodyExt, Channel, Full, channel::Sender};
    use tokio::{task::yield_now, time::timeout};

    use super::*;

    type Live = Channel<Bytes, BoxError>;

    fn upload(limit: usize) -> (Sender<Bytes, BoxError>, Upload<Live>) {
        let (client, live) = Channel::new(8);
        (client, Upload::new(live, limit, Clock::fast()))
    }

    async fn chunk(attempt: &mut Replay<Live>) -> Bytes {
        soon(attempt.frame()).await.unwrap().unwrap().into_data().unwrap()
    }

    /// A wait in vain ends as a failure.
    async fn soon<T>(wait: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(30), wait).await.unwrap()
    }

    fn trailers() -> HeaderMap {
        [(http::header::ETAG, HeaderValue::from_static("x"))].into_iter().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_attempt_gets_the_prefix_and_then_the_live_rest() {
        let (mut client, upload) = upload(KEPT_BYTES_MAX);
        client.send_data(Bytes::from("one ")).await.unwrap();
        client.send_data(Bytes::from("two ")).await.unwrap();
        let mut first = upload.attempt().unwrap();
        assert_eq!(chunk(&mut first).await, "one ");
        assert_eq!(chunk(&mut first).await, "two ");
        drop(first);

        assert!(upload.repeatable() && upload.fed_since().is_some());
        let second = upload.attempt().unwrap();
        let reading = tokio::spawn(second.collect());
        yield_now().await;
        assert!(upload.fed_since().is_none(), "it has all there is, and waits for the client");
        client.send_data(Bytes::from("three")).await.unwrap();
        client.send_trailers(trailers()).await.unwrap();
        let whole = soon(reading).await.unwrap().unwrap();
        assert!(upload.fed_since() > Some(Instant::ORIGIN));
        assert_eq!(whole.trailers(), Some(&trailers()));
        assert_eq!(whole.to_bytes(), "one two three");

        let third = soon(upload.attempt().unwrap().collect()).await.unwrap();
        assert_eq!(third.trailers(), Some(&trailers()));
        assert_eq!(third.to_bytes(), "one two three");
    }

    #[tokio::test]
    async fn past_the_limit_the_body_still_flows_but_cannot_be_repeated() {
        let (mut client, upload) = upload(100);
        let mut only = upload.attempt().unwrap();
        for repeatable in [true, false, false] {
            client.send_data(Bytes::from(vec![b'a'; 60])).await.unwrap();
            assert_eq!(chunk(&mut only).await.len(), 60);
            assert_eq!(upload.repeatable(), repeatable);
        }
        assert!(upload.attempt().is_none());
        drop(client);
        assert!(only.frame().await.is_none());
        assert!(only.is_end_stream());
    }

    #[tokio::test]
    async fn the_limit_itself_still_fits_and_tiny_chunks_count_for_more_than_they_are() {
        let whole = Upload::new(Full::new(Bytes::from(vec![0; 256])), 256, Clock::fast());
        let _ = whole.attempt().unwrap().collect().await.unwrap();
        assert!(whole.repeatable());

        let (mut client, upload) = upload(256);
        let mut only = upload.attempt().unwrap();
        for repeatable in [true, true, true, true, false] {
            client.send_data(Bytes::from("a")).await.unwrap();
            chunk(&mut only).await;
            assert_eq!(upload.repeatable(), repeatable);
        }
    }

    #[tokio::test]
    async fn every_attempt_knows_its_length() {
        let upload = Upload::new(Full::new(Bytes::from("12345")), KEPT_BYTES_MAX, Clock::fast());
        for _ in 0..2 {
            let mut attempt = upload.attempt().unwrap();
            assert_eq!(attempt.size_hint().exact(), Some(5));
            assert!(!attempt.is_end_stream());
            attempt.frame().await.unwrap().unwrap();
            assert_eq!(attempt.size_hint().exact(), Some(0));
            assert!(attempt.is_end_stream());
        }
    }

    #[tokio::test]
    async fn an_old_attempt_never_takes_bytes_from_a_newer_one() {
        let (mut client, upload) = upload(KEPT_BYTES_MAX);
        let mut old = upload.attempt().unwrap();
        client.send_data(Bytes::from("a")).await.unwrap();
        let mut new = upload.attempt().unwrap();
        assert!(matches!(old.frame().await, Some(Err(BodyError::Superseded))));
        assert_eq!(chunk(&mut new).await, "a");
        assert_eq!(chunk(&mut old).await, "a");
        assert!(matches!(old.frame().await, Some(Err(BodyError::Superseded))));
        drop(client);
        assert!(new.frame().await.is_none());
        assert!(old.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_old_attempt_never_takes_a_spilled_body_for_a_whole_one() {
        let (mut client, upload) = upload(64);
        let mut old = upload.attempt().unwrap();
        client.send_data(Bytes::from("a")).await.unwrap();
        client.send_data(Bytes::from("b")).await.unwrap();
        chunk(&mut old).await;
        let mut new = upload.attempt().unwrap();
        chunk(&mut new).await;
        chunk(&mut new).await;
        drop(client);
        assert!(new.frame().await.is_none());
        assert!(matches!(old.frame().await, Some(Err(BodyError::Superseded))));
    }

    #[tokio::test]
    async fn a_broken_client_ends_all_attempts() {
        let (client, upload) = upload(KEPT_BYTES_MAX);
        let mut first = upload.attempt().unwrap();
        let mut second = upload.attempt().unwrap();
        client.abort("gone".into());
        assert!(matches!(second.frame().await, Some(Err(BodyError::Broke(_)))));
        assert!(matches!(first.frame().await, Some(Err(BodyError::Broke(_)))));
        assert!(!upload.repeatable() && upload.attempt().is_none());
    }

    #[tokio::test]
    async fn an_empty_body_is_always_repeatable_and_a_dropped_upload_keeps_nothing_more() {
        let empty = Upload::new(Full::new(Bytes::new()), 0, Clock::fast());
        for _ in 0..3 {
            let mut attempt = empty.attempt().unwrap();
            assert!(attempt.is_end_stream() && attempt.size_hint().exact() == Some(0));
            assert!(attempt.frame().await.is_none());
        }

        let (mut client, upload) = upload(KEPT_BYTES_MAX);
        let mut only = upload.attempt().unwrap();
        drop(upload);
        client.send_data(Bytes::from("a")).await.unwrap();
        assert_eq!(chunk(&mut only).await, "a");
        let shared = lock(only.shared.as_ref().unwrap());
        assert!(shared.spilled && shared.kept.is_empty());
    }
}
