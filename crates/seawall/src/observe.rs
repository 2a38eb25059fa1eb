//! Telling others: transitions, and attempts that did not succeed, as bounded streams.
//!
//! ```text
//!   shell ──▸ Teller ──┐           ┌─ transitions ──▸ Events
//!   shell ──▸ Teller ──┴─▸ Stream ─┴─ attempts ─────▸ Events::with_attempts
//!                                     bounded, each for itself; a slow reader is told how many it missed
//! ```
//!
//! Nothing is built unless somebody listens. Attempts have room of their own, and are told only to those who ask for
//! them: an outage is three transitions and thousands of attempts, and must not drown in them.

mod attempts;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, OnceLock, Weak},
    task::Poll,
};

use seawall_core::{Numbered, Pattern, Transition};
use tokio::sync::broadcast::{self, error::RecvError};

pub use self::attempts::{Followed, Tried};
pub(crate) use self::attempts::{Trail, Untold};

/// Tells the transitions of one shell, and the attempts of its calls, to whoever listens.
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

    /// Whether anybody listens to transitions.
    #[inline]
    pub(crate) fn is_heard(&self) -> bool {
        self.stream.0.get().is_some_and(|channels| is_heard(&channels.changes))
    }

    /// Tells what is new, of one key where there are several.
    pub(crate) fn tell(&self, new: &[Numbered], key: Option<&Arc<str>>) {
        let Some(channels) = self.stream.0.get() else { return };
        for Numbered { number, endpoint, transition, .. } in new {
            let change = Change {
                name: self.name.clone(),
                endpoint: self.endpoint(*endpoint),
                key: key.cloned(),
                number: *number,
                transition: *transition,
            };
            // Nobody listening any more is no error.
            let _ = channels.changes.send(change);
        }
    }

    fn endpoint(&self, number: u16) -> Option<Arc<str>> {
        self.endpoints.get(usize::from(number)).cloned()
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
        whose(f, &self.name, [&self.endpoint, &self.key])?;
        let Transition { from, to, cause, .. } = self.transition;
        write!(f, "{} {from} -> {to} ({cause})", Pattern::CircuitBreaker.name())
    }
}

/// The sending half of a stream, shared by many tellers. The memory of each kind of news, a hundred kilobytes and two, is
/// taken when the first listens to it.
#[derive(Clone, Debug)]
pub struct Stream(Arc<OnceLock<Box<Channels>>>);

#[derive(Debug)]
struct Channels {
    changes: broadcast::Sender<Change>,
    attempts: OnceLock<broadcast::Sender<Tried>>,
}

impl Stream {
    /// A stream nobody listens to yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Listens to transitions from now on.
    #[must_use]
    pub fn listen(&self) -> Events {
        let channels = self.0.get_or_init(|| {
            let changes = broadcast::Sender::new(STREAM_MAX);
            Box::new(Channels { changes, attempts: OnceLock::new() })
        });
        let changes = channels.changes.subscribe();
        Events { changes, attempts: None, stream: Arc::downgrade(&self.0) }
    }

    /// Who listens to attempts, if anybody does.
    fn attempts(&self) -> Option<&broadcast::Sender<Tried>> {
        self.0.get()?.attempts.get().filter(|sender| is_heard(sender))
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

/// Transitions as they happen, and attempts if they are asked for.
#[derive(Debug)]
pub struct Events {
    changes: broadcast::Receiver<Change>,
    attempts: Option<broadcast::Receiver<Tried>>,
    /// Weak: who listens keeps nobody.
    stream: Weak<OnceLock<Box<Channels>>>,
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// A transition.
    Change(Change),
    /// The listener was too slow: so many transitions were dropped.
    Missed(u64),
    /// An attempt that did not succeed, to those who listen [with attempts](Events::with_attempts).
    Attempt(Tried),
    /// The listener was too slow: so many attempts were dropped. Never a transition for their sake.
    MissedAttempts(u64),
}

impl Events {
    /// Hears of each attempt that did not succeed too, from now on: those that the [history](crate::History) of its call
    /// has. It is told once it is known what followed: the retry, or why there is none. Attempts have room of their own:
    /// however many there are, no transition is missed for them, and one that has happened is heard before them. What
    /// was dropped while it ran, or panicked, is counted and not told.
    ///
    /// ```
    /// use std::time::Duration;
    /// use seawall::{Heard, Policy, RetryConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), seawall::Invalids> {
    /// let config = RetryConfig { base_delay: Duration::ZERO, ..RetryConfig::default() };
    /// let orders = Policy::builder("orders").retry(config).build()?;
    /// let mut events = orders.events().with_attempts();
    /// let mut answers = [Err("down"), Ok(3)].into_iter();
    /// assert!(orders.run_blocking(|| answers.next().unwrap_or(Err("down"))).is_ok());
    /// let Some(Heard::Attempt(tried)) = events.next().await else { panic!("one failed") };
    /// assert!(tried.to_string().starts_with("orders: attempt 1 failed after "));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_attempts(mut self) -> Self {
        if self.attempts.is_none() {
            let stream = self.stream.upgrade();
            let channels = stream.as_deref().and_then(OnceLock::get);
            let attempts = channels.map(|channels| &channels.attempts);
            self.attempts = attempts.map(|attempts| {
                attempts.get_or_init(|| broadcast::Sender::new(STREAM_MAX)).subscribe()
            });
        }
        self
    }

    /// What comes next; `None` once nothing can come any more.
    pub async fn next(&mut self) -> Option<Heard> {
        let Self { changes, attempts, .. } = self;
        let mut change = pin!(heard(Some(changes), Heard::Change, Heard::Missed));
        let mut attempt = pin!(heard(attempts.as_mut(), Heard::Attempt, Heard::MissedAttempts));
        let mut open: [Option<Pin<&mut (dyn Future<Output = _> + Send)>>; 2] =
            [Some(change.as_mut()), Some(attempt.as_mut())];
        poll_fn(|cx| {
            for place in &mut open {
                match place.as_mut().map(|next| next.as_mut().poll(cx)) {
                    Some(Poll::Ready(Some(heard))) => return Poll::Ready(Some(heard)),
                    Some(Poll::Ready(None)) => *place = None,
                    Some(Poll::Pending) | None => {}
                }
            }
            if open.iter().all(Option::is_none) { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}

/// The next of one kind; `None` where none comes.
async fn heard<T: Clone>(
    receiver: Option<&mut broadcast::Receiver<T>>,
    news: fn(T) -> Heard,
    missed: fn(u64) -> Heard,
) -> Option<Heard> {
    match receiver?.recv().await {
        Ok(told) => Some(news(told)),
        Err(RecvError::Lagged(count)) => Some(missed(count)),
        Err(RecvError::Closed) => None,
    }
}

#[inline]
fn is_heard<T>(sender: &broadcast::Sender<T>) -> bool {
    sender.receiver_count() > 0
}

/// `orders 10.0.0.1:80: `, to stand before what happened there.
fn whose(f: &mut fmt::Formatter<'_>, name: &str, parts: [&Option<Arc<str>>; 2]) -> fmt::Result {
    f.write_str(name)?;
    for part in parts.into_iter().flatten() {
        write!(f, " {part}")?;
    }
    f.write_str(": ")
}

/// A thousand transitions: what a hundred endpoints do in a minute of outage. And as many attempts: a second of it.
const STREAM_MAX: usize = 1_024;
