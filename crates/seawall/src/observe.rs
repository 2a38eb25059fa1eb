//! Telling others: transitions as a bounded stream.
//!
//! ```text
//!   shell ──▸ Teller ──┐
//!   shell ──▸ Teller ──┴─▸ Stream ──▸ Events    bounded; a slow reader is told how many it missed
//! ```
//!
//! Nothing is built unless somebody listens.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use seawall_core::{Numbered, Pattern, Transition};
use tokio::sync::broadcast;

/// Tells the transitions of one shell to whoever listens.
#[derive(Clone, Debug)]
pub struct Teller {
    name: Arc<str>,
    endpoints: Arc<[Arc<str>]>,
    stream: Stream,
}

impl Teller {
    /// Tells in the name of a component; `endpoints` names those its transitions number, and is empty where
    /// there is only one.
    #[must_use]
    pub fn new(name: Arc<str>, endpoints: Arc<[Arc<str>]>, stream: &Stream) -> Self {
        Self { name, endpoints, stream: stream.clone() }
    }

    /// Whether anybody listens.
    #[inline]
    pub(crate) fn is_heard(&self) -> bool {
        self.stream.0.get().is_some_and(|sender| sender.receiver_count() > 0)
    }

    /// Tells what is new, of one key where there are several.
    pub(crate) fn tell(&self, new: &[Numbered], key: Option<&Arc<str>>) {
        let Some(sender) = self.stream.0.get() else { return };
        for Numbered { number, endpoint, transition, .. } in new {
            let change = Change {
                name: self.name.clone(),
                endpoint: self.endpoints.get(usize::from(*endpoint)).cloned(),
                key: key.cloned(),
                number: *number,
                transition: *transition,
            };
            // Nobody listening any more is no error.
            let _ = sender.send(change);
        }
    }
}

/// A transition, with whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The component that changed.
    pub name: Arc<str>,
    /// Which of its endpoints, if it has several.
    pub endpoint: Option<Arc<str>>,
    /// Which of its keys, if it has a policy for each: its first 64 bytes, or `(overflow)` for those that share one.
    pub key: Option<Arc<str>>,
    /// Counts up from 1 per component.
    pub number: u64,
    /// What changed.
    pub transition: Transition,
}

/// `orders 10.0.0.1:80: circuit_breaker closed -> open (5 failures in a row)`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for part in [&self.endpoint, &self.key].into_iter().flatten() {
            write!(f, " {part}")?;
        }
        let Transition { from, to, cause, .. } = self.transition;
        write!(f, ": {} {from} -> {to} ({cause})", Pattern::CircuitBreaker.name())
    }
}

/// The sending half of a stream of changes, shared by many tellers. Its memory, a hundred kilobytes, is taken when
/// the first listener comes.
#[derive(Clone, Debug)]
pub struct Stream(Arc<OnceLock<broadcast::Sender<Change>>>);

impl Stream {
    /// A stream nobody listens to yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Listens from now on.
    #[must_use]
    pub fn listen(&self) -> Events {
        Events(self.0.get_or_init(|| broadcast::Sender::new(STREAM_MAX)).subscribe())
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

/// Changes as they happen.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Change>);

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// A transition.
    Change(Change),
    /// The listener was too slow: so many were dropped.
    Missed(u64),
}

impl Events {
    /// The next change; `None` once nothing can change any more.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(change) => Some(Heard::Change(change)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// A thousand transitions: what a hundred endpoints do in a minute of outage.
const STREAM_MAX: usize = 1_024;
