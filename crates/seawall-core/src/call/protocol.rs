//! What a call and its driver say to each other.

use core::fmt;

use crate::{Instant, Priority, Refusal, Stopped, Verdict};

/// What one caller brings to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "written out by every door")]
pub struct Ask {
    /// The caller's own deadline; the policy's applies as well.
    pub give_up_at: Instant,
    /// Whether the operation may run more than once.
    pub repeat: Repeat,
    /// How urgent it is, where calls wait for a place or for tokens.
    pub priority: Priority,
    /// What it takes from a rate limit.
    pub cost: u32,
    /// Whether it waits where a rate limit would refuse it for now. At a shaper every call waits.
    pub patient: bool,
    /// Whether it is refused where it would have to wait for a place.
    pub at_once: bool,
}

/// Whether an operation may run more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "safe, safe only if nothing happened, not safe")]
pub enum Repeat {
    /// It is safe to repeat.
    #[default]
    Always,
    /// Only after an attempt that certainly never reached the callee.
    IfUnreached,
    /// It runs at most once.
    Never,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            give_up_at: Instant::NEVER,
            repeat: Repeat::Always,
            priority: Priority::Normal,
            cost: 1,
            patient: false,
            at_once: false,
        }
    }
}

/// What a driver tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The head of a streamed answer has come.
    Head {
        /// The attempt it answers.
        attempt: u8,
        /// What it means.
        verdict: Verdict,
    },
    /// The whole answer has come, or the end of a streamed one.
    Ended {
        /// The attempt that ended.
        attempt: u8,
        /// What it means.
        verdict: Verdict,
    },
    /// The attempt's operation was dropped, as asked.
    Cancelled {
        /// The attempt.
        attempt: u8,
    },
    /// The wait in a line may have ended: somebody woke the one who waits.
    Woken,
    /// The moment named by [`Call::wake_at`](crate::Call::wake_at) has passed, and the operation, asked once more, is not ready.
    Tick,
}

/// What a driver does next; one per event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the call goes no further unless its driver obeys"]
#[expect(clippy::exhaustive_enums, reason = "a driver obeys each of them")]
pub enum Action {
    /// Run the operation as this attempt.
    Start {
        /// Counted from 1.
        attempt: u8,
    },
    /// Nothing until the operation is ready or [`Call::wake_at`](crate::Call::wake_at) has passed.
    Wait,
    /// Drop this attempt's operation, then tell [`Event::Cancelled`].
    Cancel {
        /// The attempt.
        attempt: u8,
        /// The limit it passed.
        limit: Limit,
    },
    /// Return to the caller.
    Done(Finish),
}

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "every door translates each of them")]
pub enum Finish {
    /// With what this attempt answered, good or bad.
    Answer {
        /// The attempt.
        attempt: u8,
        /// Why no other followed.
        stopped: Stopped,
    },
    /// Refused before anything ran.
    Refused(Refusal),
    /// Cut by a limit.
    TimedOut {
        /// Which.
        limit: Limit,
        /// Why no other attempt followed.
        stopped: Stopped,
    },
}

impl Finish {
    /// Why no other attempt followed the last; `None` if nothing ran.
    #[must_use]
    pub const fn stopped(&self) -> Option<Stopped> {
        match self {
            Self::Answer { stopped, .. } | Self::TimedOut { stopped, .. } => Some(*stopped),
            Self::Refused(_) => None,
        }
    }
}

/// A line in which a call waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "who keeps the wakers of the waiting has one for each")]
pub enum Line {
    /// For its turn at a rate limit that shapes.
    RateLimit,
    /// For a place in the bulkhead.
    Bulkhead,
}

/// A limit on time that can end an attempt, or one step of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// The configured limit on one attempt.
    Attempt,
    /// The learned limit on one attempt.
    Learned,
    /// The deadline of the whole call.
    Deadline,
    /// The configured limit on connecting, kept by the operation.
    Connect,
    /// The configured limit on the silence before a read, kept by the operation.
    Read,
}

impl Limit {
    /// The limit in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attempt => "attempt limit",
            Self::Learned => "learned limit",
            Self::Deadline => "deadline",
            Self::Connect => "connect limit",
            Self::Read => "read limit",
        }
    }
}

/// Its [`name`](Limit::name).
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
