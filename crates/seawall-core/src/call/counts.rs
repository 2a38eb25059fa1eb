//! Calls and attempts, by how they ended.

use crate::Outcome;

/// Calls and attempts by how they ended. Nothing is lost: what was started and has not ended is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Uses of the policy.
    pub calls: Tally,
    /// Runs of the operation. Never refused: what was refused did not start.
    pub attempts: Tally,
    /// Attempts cut by their own limit.
    pub timed_out: u64,
    /// Attempts cut by the learned limit whose retry then took longer than that limit and succeeded: it was too low.
    pub false_timeouts: u64,
    /// Calls cut by the deadline.
    pub deadline_passed: u64,
    /// Answers that came after the limit that should have cut them: the caller's thread was not interruptible,
    /// or the answer and the limit fell together.
    pub overran: u64,
    /// Answers that broke off after they had been judged good.
    pub broke_off_late: u64,
    /// Operations that panicked.
    pub panicked: u64,
}

/// How many started, and how those that ended did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Started.
    pub started: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Ended in a failure, or ran out of time.
    pub failed: u64,
    /// Refused by a pattern before anything ran.
    pub refused: u64,
    /// Ended in a way that says nothing about the callee.
    pub ignored: u64,
}

impl Tally {
    /// Started and not ended.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.started - self.succeeded - self.failed - self.refused - self.ignored
    }

    #[inline]
    pub(crate) const fn end(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.succeeded += 1,
            Outcome::Failure => self.failed += 1,
            Outcome::Ignored => self.ignored += 1,
        }
    }
}
