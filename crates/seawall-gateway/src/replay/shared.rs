//! What the attempts of one request share: the live body, and of it what is kept.
//!
//! Every frame comes from the client once, whichever attempt asks for it, and is kept while there
//! is room. Once there is none, all that was kept goes: a beginning with a gap behind it is no use to anybody.

use std::{
    mem,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use seawall::{Clock, core::Instant};

use crate::body::{BodyError, BoxError};

/// What the attempts of one request share.
pub(super) struct Shared<B> {
    pub(super) live: B,
    pub(super) length: Option<u64>,
    pub(super) kept: Vec<Bytes>,
    /// Bytes that may still be kept.
    pub(super) room: usize,
    /// The limit was passed and `kept` thrown away.
    pub(super) spilled: bool,
    pub(super) rest: Rest,
    pub(super) clock: Clock,
    /// The last one to ask was told to wait for the client.
    pub(super) starved: bool,
    /// When such a wait last ended.
    pub(super) fed: Instant,
    pub(super) newest: u64,
}

/// What the live body still holds.
pub(super) enum Rest {
    Flowing,
    Over(Option<HeaderMap>),
    Broken,
    Silent,
}

impl<B> Shared<B> {
    pub(super) fn repeatable(&self) -> bool {
        !self.spilled && !matches!(self.rest, Rest::Broken | Rest::Silent)
    }

    fn keep(&mut self, chunk: &Bytes) {
        match self.room.checked_sub(chunk.len().max(CHUNK_COST_MIN)) {
            Some(room) if !self.spilled => {
                self.room = room;
                self.kept.push(chunk.clone());
            }
            _ => {
                self.spilled = true;
                self.kept = Vec::new();
            }
        }
    }
}

impl<B> Shared<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// The next frame from the client, kept if there is room.
    pub(super) fn poll_live(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let polled = Pin::new(&mut self.live).poll_frame(cx);
            if mem::replace(&mut self.starved, polled.is_pending()) && polled.is_ready() {
                self.fed = self.clock.now();
            }
            let frame = match ready!(polled) {
                Some(Ok(frame)) => frame,
                Some(Err(cause)) => {
                    let cause = cause.into();
                    let silent = matches!(cause.downcast_ref(), Some(BodyError::Silent(_)));
                    self.rest = if silent { Rest::Silent } else { Rest::Broken };
                    return Poll::Ready(Some(Err(BodyError::Broke(cause))));
                }
                None => {
                    self.rest = Rest::Over(None);
                    return Poll::Ready(None);
                }
            };
            if let Some(trailers) = frame.trailers_ref() {
                self.rest = Rest::Over(Some(trailers.clone()));
            } else if let Some(chunk) = frame.data_ref() {
                if self.live.is_end_stream() {
                    self.rest = Rest::Over(None);
                }
                if chunk.is_empty() {
                    continue;
                }
                self.keep(chunk);
            }
            return Poll::Ready(Some(Ok(frame)));
        }
    }
}

/// A panic elsewhere leaves the body readable: every step under the lock is complete in itself.
pub(super) fn lock<B>(shared: &Mutex<Shared<B>>) -> MutexGuard<'_, Shared<B>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a chunk costs at least, so that one-byte chunks cannot cost forty times what they count for.
const CHUNK_COST_MIN: usize = 64;
