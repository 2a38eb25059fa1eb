//! What an attempt's end means, said once and read by every machine.
//!
//! One classifier produces a [`Verdict`]; retry, breaker, picker and statistics all read that same
//! value. Four separate predicates would have to agree by luck.

use core::time::Duration;

use crate::time::nanos;

/// How an attempt counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the vocabulary: an attempt counts in one of three ways"
)]
pub enum Outcome {
    /// The callee did its work.
    Success,
    /// The callee did not do its work.
    Failure,
    /// Says nothing about the callee: it frees what it held and counts for nothing.
    Ignored,
}

/// Everything the machines need to know about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "written out by every classifier")]
pub struct Verdict {
    /// How it counts.
    pub outcome: Outcome,
    /// Whether another attempt could end better.
    pub retryable: bool,
    /// When the callee asked to be called again, counted from the answer. Never undercut, but
    /// five minutes are the most that is waited for.
    pub retry_after: Option<Duration>,
    /// Whether the callee may have seen the attempt. `false` only if it certainly did not.
    pub reached: bool,
}

impl Verdict {
    /// The callee did its work.
    pub const SUCCESS: Self =
        Self { outcome: Outcome::Success, retryable: false, retry_after: None, reached: true };
    /// The callee failed in a way another attempt may not.
    pub const FAILURE: Self =
        Self { outcome: Outcome::Failure, retryable: true, retry_after: None, reached: true };
    /// The callee failed and would fail again.
    pub const PERMANENT: Self =
        Self { outcome: Outcome::Failure, retryable: false, retry_after: None, reached: true };
    /// Says nothing about the callee, and another attempt would not help.
    pub const IGNORED: Self =
        Self { outcome: Outcome::Ignored, retryable: false, retry_after: None, reached: true };
    /// The callee is well and asks to be called later (429): not counted, retried after the hint,
    /// or after twice the usual delay without one.
    pub const LATER: Self =
        Self { outcome: Outcome::Ignored, retryable: true, retry_after: None, reached: true };
    /// The attempt certainly never reached the callee (connection refused).
    pub const UNREACHED: Self =
        Self { outcome: Outcome::Failure, retryable: true, retry_after: None, reached: false };

    /// The same verdict with the callee's own hint.
    #[must_use]
    pub const fn after(mut self, hint: Option<Duration>) -> Self {
        self.retry_after = hint;
        self
    }
}

/// The end of one attempt, as reported to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// How it counts.
    pub outcome: Outcome,
    took_nanos: u64,
}

impl End {
    /// An end with this outcome after this long.
    #[must_use]
    #[inline]
    pub const fn new(outcome: Outcome, took: Duration) -> Self {
        Self { outcome, took_nanos: nanos(took) }
    }

    /// From the operation's first poll to its end.
    #[inline]
    #[must_use]
    pub const fn took(&self) -> Duration {
        Duration::from_nanos(self.took_nanos)
    }
}
