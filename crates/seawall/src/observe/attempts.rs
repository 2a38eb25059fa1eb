//! Attempts that did not succeed, as news.
//!
//! ```text
//!   an attempt ends ──▸ Untold ──▸ the next one starts      retried, so long after its end
//!                              ├─▸ the call is over         why no other followed
//!                              └─▸ dropped                  its caller left
//! ```
//!
//! Each is told once, when it is known what followed it, and not before: a retry that was granted may be refused when
//! its wait is over.

use std::{fmt, mem, sync::Arc, time::Duration};

use seawall_core::{Finish, Gate, Instant, Stopped};

use super::{Stream, whose};
use crate::{Attempted, Driven, Ended, History, guard::Guard};

/// An attempt that did not succeed, with whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tried {
    /// The policy or component; in the gateway the upstream.
    pub name: Arc<str>,
    /// Where it went, if there are several endpoints.
    pub endpoint: Option<Arc<str>>,
    /// For which key, if there is a policy for each: its first 64 bytes, or `(overflow)` for those that share one.
    pub key: Option<Arc<str>>,
    /// When it ended.
    pub at: Instant,
    /// As in the [history](History) of its call's error.
    pub attempted: Attempted,
    /// What followed it in its call.
    pub followed: Followed,
}

/// What followed an attempt that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Followed {
    /// Another attempt, so long after the end of this one.
    Retried(Duration),
    /// No other, for this reason.
    Stopped(Stopped),
    /// No other: its caller left before one began.
    Left,
}

/// `orders: attempt 1 failed after 10.0ms, retried after 100.0ms`
impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        whose(f, &self.name, [&self.endpoint, &self.key])?;
        let Attempted { number, ended, took, .. } = self.attempted;
        write!(f, "attempt {number} {ended} after {took:.1?}, ")?;
        match self.followed {
            Followed::Retried(after) => write!(f, "retried after {after:.1?}"),
            Followed::Stopped(stopped) => write!(f, "not retried: {stopped}"),
            Followed::Left => f.write_str("its caller left"),
        }
    }
}

/// An attempt that is told when it is dropped: until then it may be said what followed.
pub(crate) struct Untold(Box<(Stream, Tried)>);

impl Untold {
    /// Of a call's attempt that has just ended; `None` if nobody listens.
    #[cold]
    pub(crate) fn new<S: Driven>(guard: &Guard<S>, attempted: Attempted) -> Option<Self> {
        let (shared, call) = (guard.shared(), guard.call());
        let teller = shared.teller()?;
        teller.stream.attempts()?;
        let endpoint = call.picked(attempted.number).map(<S::Gate as Gate>::endpoint);
        let tried = Tried {
            name: teller.name.clone(),
            endpoint: endpoint.and_then(|endpoint| teller.endpoint(endpoint)),
            key: shared.whose(),
            at: call.begun() + attempted.started + attempted.took,
            attempted,
            followed: Followed::Left,
        };
        Some(Self(Box::new((teller.stream.clone(), tried))))
    }

    /// The next attempt starts.
    fn retried(mut self, now: Instant) {
        let (_, tried) = &mut *self.0;
        tried.followed = Followed::Retried(now.since(tried.at));
    }

    /// Its call is over.
    pub(crate) fn ended(mut self, finish: Finish) {
        if let Some(stopped) = finish.stopped() {
            self.0.1.followed = Followed::Stopped(stopped);
        }
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        let (stream, tried) = &*self.0;
        if let Some(sender) = stream.attempts() {
            // Nobody listening any more is no error.
            let _ = sender.send(tried.clone());
        }
    }
}

/// What was tried in a call, and what of it is yet to be told.
#[derive(Default)]
pub(crate) struct Trail {
    history: History,
    untold: Option<Untold>,
}

impl Trail {
    /// The attempt ended that runs since `started`, and not well.
    #[cold]
    pub(crate) fn push<S: Driven>(
        &mut self,
        guard: &Guard<S>,
        ended: Ended,
        retry_after: Option<Duration>,
        started: Instant,
        now: Instant,
    ) {
        let call = guard.call();
        let attempted = Attempted::new(call.attempt(), call.begun(), started, now, ended);
        let attempted = attempted.after(retry_after);
        self.history.push(attempted);
        self.untold = Untold::new(guard, attempted);
    }

    /// The next one starts.
    pub(crate) fn retried(&mut self, now: Instant) {
        if let Some(untold) = self.untold.take() {
            untold.retried(now);
        }
    }

    /// The call is over.
    pub(crate) fn end(&mut self, finish: Finish) -> History {
        if let Some(untold) = self.untold.take() {
            untold.ended(finish);
        }
        mem::take(&mut self.history)
    }
}
