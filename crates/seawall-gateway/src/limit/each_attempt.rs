//! A limit that each attempt of a request passes, and not the request alone.
//!
//! ```text
//!   request ─▸ admitted: the first attempt's leave ─▸ call ── a retry ─▸ asks the same limiter, lent to the call
//! ```
//!
//! The request passes before anything is kept for it, so in its first step the call is lent nothing: it would pass
//! twice. After that the limiter of its key is lent for every step, and the call decides as in the library. Lent means
//! locked, inside the lock of the upstream; nobody takes the two the other way round.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::HeaderMap;
use seawall::core::{Gate, Instant, Parts};

use super::{Key, RouteLimit, Standing};

/// The limiter of one request's key, for its retries.
#[derive(Debug)]
pub(crate) struct EachAttempt {
    limit: Arc<RouteLimit>,
    key: Key,
    begun: AtomicBool,
}

impl RouteLimit {
    /// For the retries of an admitted request; `None` where they do not pass the limit.
    pub(crate) fn each_attempt(
        self: &Arc<Self>,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Option<Arc<EachAttempt>> {
        self.each_attempt.then(|| {
            let (limit, key) = (Arc::clone(self), self.key(headers, peer));
            Arc::new(EachAttempt { limit, key, begun: AtomicBool::new(false) })
        })
    }
}

impl EachAttempt {
    /// Runs one step of the call with the limiter among its machines.
    pub(crate) fn lend<G: Gate, R>(
        &self,
        parts: Parts<'_, G>,
        now: Instant,
        step: impl FnOnce(Parts<'_, G>) -> R,
    ) -> R {
        if !self.begun.swap(true, Relaxed) {
            return step(parts);
        }
        self.limit.limiters.with(self.key.bytes(), now, |limiter| {
            let before = limiter.snapshot(now);
            let result = step(Parts { limiter: Some(&mut *limiter), ..parts });
            let after = limiter.snapshot(now);
            self.limit.allowed.fetch_add(after.allowed - before.allowed, Relaxed);
            self.limit.refused.fetch_add(after.refused - before.refused, Relaxed);
            result
        })
    }

    /// What is left, now that its attempts have taken theirs.
    pub(crate) fn standing(&self) -> Standing {
        let now = self.limit.clock.now();
        let seen = self.limit.limiters.with(self.key.bytes(), now, |limiter| limiter.snapshot(now));
        self.limit.standing(&seen)
    }
}
