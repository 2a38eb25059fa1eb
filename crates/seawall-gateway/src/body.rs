//! The answer's body on its way to the client, and the eye kept on it.
//!
//! ```text
//!  upstream ─▶ Guarded ─▶ hyper ─▶ client
//!                 │ told once: ended, broke, or left
//!                 └ timer, only while there is nothing to pass: silence breaks the body
//! ```
//!
//! Who watches learns exactly one of three ends: the body came whole, it broke on the upstream's side, or
//! the client left before its end. hyper drops a body without asking past its last byte, so a body that
//! is at its end when dropped has ended. A broken body is an error to hyper, which then cuts the client's
//! connection: a client must never take half an answer for a whole one.
//!
//! Silence is counted only while the upstream owes bytes and we are asked for them. A client that reads
//! slowly is not asked for, so its pauses are not the upstream's.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

/// An error of any kind, as hyper takes and gives them.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a body ended before its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The sender's side broke: connection lost, or its chunks make no sense.
    Broke(BoxError),
    /// The upstream sent nothing for this long.
    Silent(Duration),
    /// The watcher cut it.
    Cut,
    /// Another attempt has taken over the client's body.
    Superseded,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broke(_) => f.write_str("the body broke off"),
            Self::Silent(limit) => write!(f, "no byte of the body for {limit:?}"),
            Self::Cut => f.write_str("the body was cut by its limit"),
            Self::Superseded => f.write_str("another attempt has taken over the body"),
        }
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broke(cause) => Some(&**cause),
            Self::Silent(_) | Self::Cut | Self::Superseded => None,
        }
    }
}

/// Learns how a body ended. Exactly one of [`ended`](Self::ended), [`broke`](Self::broke) and
/// [`left`](Self::left) is called, once.
pub trait Watch {
    /// The body passed whole, trailers included.
    fn ended(&mut self);

    /// The body broke, for this reason; the client's connection will be cut.
    fn broke(&mut self, why: &BodyError);

    /// The body was dropped before its end: the client is gone.
    fn left(&mut self);

    /// A part came, and it was not the last.
    fn flows(&mut self) {}

    /// Asked each time the body has nothing to pass; wakes `cx` when it wants to be asked again. `Ready`
    /// cuts the body. The place for timers that need not run while bytes flow. Default: never cuts.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }
}

/// Nobody watches: only the limit on silence counts.
impl Watch for () {
    fn ended(&mut self) {}

    fn broke(&mut self, _why: &BodyError) {}

    fn left(&mut self) {}
}

pin_project! {
    /// A body under watch, with a limit on silence between its bytes.
    #[derive(Debug)]
    #[must_use = "a body does nothing unless polled"]
    pub struct Guarded<B, W>
    where
        B: Body,
        W: Watch,
    {
        #[pin]
        body: B,
        watch: W,
        told: bool,
        silence_max: Option<Duration>,
        silent_since: Option<Instant>,
        #[pin]
        timer: Option<Sleep>,
    }

    impl<B, W> PinnedDrop for Guarded<B, W>
    where
        B: Body,
        W: Watch,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !*this.told {
                if this.body.is_end_stream() {
                    this.watch.ended();
                } else {
                    this.watch.left();
                }
            }
        }
    }
}

impl<B: Body, W: Watch> Guarded<B, W> {
    /// Watches `body`. `silence_max`: the longest wait for its next byte; `None` waits for ever.
    pub fn new(body: B, silence_max: Option<Duration>, watch: W) -> Self {
        Self { body, watch, told: false, silence_max, silent_since: None, timer: None }
    }
}

impl<B, W> Body for Guarded<B, W>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    W: Watch,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.as_mut().project();
        if *this.told {
            return Poll::Ready(None);
        }
        let broken = match this.body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                *this.silent_since = None;
                if frame.is_trailers() || this.body.is_end_stream() {
                    *this.told = true;
                    this.watch.ended();
                } else {
                    this.watch.flows();
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => {
                *this.told = true;
                this.watch.ended();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(cause))) => BodyError::Broke(cause.into()),
            Poll::Pending => ready!(self.as_mut().poll_limits(cx)),
        };
        let this = self.project();
        *this.told = true;
        this.watch.broke(&broken);
        Poll::Ready(Some(Err(broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.told || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body, W: Watch> Guarded<B, W> {
    /// While there is nothing to pass: ready with the reason to give the body up.
    fn poll_limits(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BodyError> {
        let mut this = self.project();
        if let Some(limit) = *this.silence_max
            && let Some(end) = this.silent_since.get_or_insert_with(Instant::now).checked_add(limit)
        {
            if this.timer.is_none() {
                this.timer.set(Some(sleep_until(end)));
            }
            // The timer is left running when bytes come and moved when it fires, so a busy body pays
            // for a clock read a pause, not for the timer wheel.
            while let Some(mut timer) = this.timer.as_mut().as_pin_mut()
                && timer.as_mut().poll(cx).is_ready()
            {
                if Instant::now() >= end {
                    return Poll::Ready(BodyError::Silent(limit));
                }
                timer.reset(end);
            }
        }
        this.watch.poll_pending(cx).map(|()| BodyError::Cut)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::HeaderMap;
    use http_body_util::{BodyExt, Channel, Full, channel::Sender};

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Diary(Arc<Mutex<Vec<String>>>, bool);

    impl Diary {
        fn note(&self, what: impl Into<String>) {
            self.0.lock().unwrap().push(what.into());
        }

        fn says(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Watch for Diary {
        fn ended(&mut self) {
            self.note("ended");
        }

        fn broke(&mut self, why: &BodyError) {
            self.note(why.to_string());
        }

        fn left(&mut self) {
            self.note("left");
        }

        fn poll_pending(&mut self, _: &mut Context<'_>) -> Poll<()> {
            if self.1 { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    const LIMIT: Duration = Duration::from_secs(10);

    type Flow = Guarded<Channel<Bytes, BoxError>, Diary>;

    fn flow(diary: &Diary) -> (Sender<Bytes, BoxError>, Pin<Box<Flow>>) {
        let (sender, body) = Channel::new(4);
        (sender, Box::pin(Guarded::new(body, Some(LIMIT), diary.clone())))
    }

    #[tokio::test]
    async fn a_whole_body_ends_once() {
        let diary = Diary::default();
        let (mut sender, body) = flow(&diary);
        sender.send_data(Bytes::from("a")).await.unwrap();
        drop(sender);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "a");
        assert_eq!(diary.says(), ["ended"]);
    }

    #[tokio::test]
    async fn trailers_are_the_end() {
        let diary = Diary::default();
        let (mut sender, mut body) = flow(&diary);
        sender.send_trailers(HeaderMap::new()).await.unwrap();
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
        drop(body);
        assert_eq!(diary.says(), ["ended"]);
    }

    #[tokio::test]
    async fn a_body_dropped_at_its_end_has_ended_and_before_it_the_client_left() {
        let diary = Diary::default();
        drop(Guarded::new(Full::new(Bytes::new()), None, diary.clone()));
        drop(Guarded::new(Full::new(Bytes::from("a")), None, diary.clone()));
        let mut read = Box::pin(Guarded::new(Full::new(Bytes::from("a")), None, diary.clone()));
        read.frame().await.unwrap().unwrap();
        assert!(read.is_end_stream());
        drop(read);
        assert_eq!(diary.says(), ["ended", "left", "ended"]);
    }

    #[tokio::test]
    async fn a_break_is_passed_on_and_told() {
        let diary = Diary::default();
        let (sender, mut body) = flow(&diary);
        sender.abort("lost".into());
        assert!(matches!(body.frame().await, Some(Err(BodyError::Broke(_)))));
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(diary.says(), ["the body broke off"]);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_breaks_a_body_and_every_byte_starts_it_anew() {
        let diary = Diary::default();
        let (mut sender, mut body) = flow(&diary);
        let start = Instant::now();
        let writer = tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(LIMIT * 9 / 10).await;
                sender.send_data(Bytes::from("a")).await.unwrap();
            }
            sender
        });
        for _ in 0..5 {
            body.frame().await.unwrap().unwrap();
        }
        let _open = writer.await.unwrap();
        let last = body.frame().await;
        assert!(matches!(last, Some(Err(BodyError::Silent(LIMIT)))), "{last:?}");
        assert_eq!(start.elapsed().as_secs(), 45 + 10);
        drop(body);
        assert_eq!(diary.says(), ["no byte of the body for 10s"]);
    }

    #[tokio::test]
    async fn the_watcher_may_cut_a_body_that_has_nothing_to_pass() {
        let diary = Diary(Arc::default(), true);
        let (mut sender, mut body) = flow(&diary);
        sender.send_data(Bytes::from("a")).await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        assert!(matches!(body.frame().await, Some(Err(BodyError::Cut))));
    }
}
