//! How a call can end without the callee's answer, sorted by whose fault it is.
//!
//! One flat type whatever the policy is made of: refused by us, out of time, or failed by the callee.

use std::{fmt, sync::Arc, time::Duration};

use seawall_core::{Instant, Limit, Outcome, Refusal, Stopped};

/// Why a call under a policy has no good answer. 64 bytes, if the callee's own error takes no more than 56.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E> {
    /// We refused it before anything ran.
    Refused(Refused),
    /// It ran out of time.
    TimedOut(TimedOut),
    /// The callee failed: its last error, and what was tried.
    Failed(E, History),
}

/// A refusal, with the name of the policy that refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The policy.
    pub policy: Arc<str>,
    /// Which pattern, why, when to ask again, and what opened a breaker.
    pub refusal: Refusal,
    /// Whether it is for what others do too: the call's key had no room of its own, and
    /// [shares](crate::Key::is_shared) one cell with all others of which that is true.
    pub is_shared: bool,
}

/// `payments: circuit_breaker open (5 failures in a row), retry after 30.0s`; `tenants (overflow): …` where many keys
/// share.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.is_shared { " (overflow)" } else { "" };
        write!(f, "{}{whose}: {}", self.policy, self.refusal)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.refusal)
    }
}

/// A call that was cut by a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimedOut {
    /// The policy.
    pub policy: Arc<str>,
    /// The limit that cut it.
    pub limit: Limit,
    /// How long the call had run.
    pub after: Duration,
    /// What was tried.
    pub history: History,
}

impl<E> Error<E> {
    /// What was tried; empty if nothing ran.
    #[must_use]
    pub fn history(&self) -> &History {
        match self {
            Self::Refused(_) => &NOTHING_TRIED,
            Self::TimedOut(timed_out) => &timed_out.history,
            Self::Failed(_, history) => history,
        }
    }

    /// When asking again makes sense, as far as we or the callee know. `None` when no time can be named.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let history = match self {
            Self::Refused(refused) => return refused.refusal.retry_after,
            Self::TimedOut(TimedOut { history, .. }) | Self::Failed(_, history) => history,
        };
        let ours = match history.stopped() {
            Some(Stopped::Refused(refusal)) => refusal.retry_after,
            _ => None,
        };
        // Whoever asks again must please both.
        ours.max(history.attempts().last()?.retry_after)
    }

    /// The callee's own last error, if it failed.
    pub fn into_failed(self) -> Option<E> {
        match self {
            Self::Failed(error, _) => Some(error),
            Self::Refused(_) | Self::TimedOut(_) => None,
        }
    }
}

impl<E> Error<Error<E>> {
    /// The error of a policy inside a policy, as one: the inner one is what happened.
    #[must_use]
    pub fn flatten(self) -> Error<E> {
        match self {
            Self::Refused(refused) => Error::Refused(refused),
            Self::TimedOut(timed_out) => Error::TimedOut(timed_out),
            Self::Failed(inner, _) => inner,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::TimedOut(TimedOut { policy, limit, after, history }) => {
                write!(f, "{policy}: {limit} passed after {after:.1?}{history}")
            }
            Self::Failed(error, history) => write!(f, "{error}{history}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(Refused { refusal, .. }) => Some(refusal),
            Self::TimedOut(_) => None,
            Self::Failed(error, _) => Some(error),
        }
    }
}

/// The attempts of one call that did not succeed, and why no other followed the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(Option<Box<Record>>);

/// Boxed, so that a call which succeeds carries one word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    attempts: Vec<Attempted>,
    stopped: Option<Stopped>,
}

/// One attempt that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempted {
    /// Counted from 1.
    pub number: u8,
    /// When it started, from the beginning of the call.
    pub started: Duration,
    /// How long it ran.
    pub took: Duration,
    /// How it ended.
    pub ended: Ended,
    /// When the callee asked to be called again, counted from that end.
    pub retry_after: Option<Duration>,
}

impl Attempted {
    pub(crate) fn new(
        number: u8,
        begun: Instant,
        started: Instant,
        now: Instant,
        ended: Ended,
    ) -> Self {
        let (started, took) = (started.since(begun), now.since(started));
        Self { number, started, took, ended, retry_after: None }
    }

    pub(crate) fn after(mut self, hint: Option<Duration>) -> Self {
        self.retry_after = hint;
        self
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// With an answer, which counted as this.
    Answered(Outcome),
    /// Cut by this limit.
    Cut(Limit),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(Outcome::Success) => f.write_str("succeeded"),
            Self::Answered(Outcome::Failure) => f.write_str("failed"),
            Self::Answered(Outcome::Ignored) => f.write_str("counted for nothing"),
            Self::Cut(limit) => write!(f, "cut by its {limit}"),
        }
    }
}

impl History {
    /// The attempts, first to last.
    #[must_use]
    pub fn attempts(&self) -> &[Attempted] {
        self.0.as_ref().map_or(&[], |tried| &tried.attempts)
    }

    /// Why no other attempt followed the last; `None` if nothing ran.
    #[must_use]
    pub fn stopped(&self) -> Option<Stopped> {
        self.0.as_ref()?.stopped
    }

    pub(crate) fn push(&mut self, attempted: Attempted) {
        self.0.get_or_insert_default().attempts.push(attempted);
    }

    pub(crate) fn close(mut self, stopped: Stopped) -> Self {
        self.0.get_or_insert_default().stopped = Some(stopped);
        self
    }
}

/// ` (3 attempts; retry_budget exhausted)`, to stand after an error; nothing after a single attempt.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.attempts().len(), self.stopped()) {
            (count, Some(Stopped::Refused(refusal))) => {
                write!(f, " ({count} attempt{}; {refusal})", if count == 1 { "" } else { "s" })
            }
            (0 | 1, _) => Ok(()),
            (count, _) => write!(f, " ({count} attempts)"),
        }
    }
}

static NOTHING_TRIED: History = History(None);
