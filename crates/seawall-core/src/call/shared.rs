//! What a call needs of the machines it shares with other calls.
//!
//! ```text
//!   Shared   where the machines live: behind a mutex, in a RefCell, …       visit(now, step)
//!   Parts    the machines, and the verbs a Call may use on them
//! ```
//!
//! A visit is one short step with exclusive access. It begins with [`Parts::advance`], and after it the shared
//! place unlocks and only then tells others what changed. Nobody reaches a machine any other way. The step is a
//! closure and not a guard that is dropped: so its end cannot be forgotten, and costs no call of its own.

use super::Parts;
use crate::{Draw, Gate, Instant};

/// Machines shared by many calls.
pub trait Shared {
    /// The gate among them.
    type Gate: Gate;

    /// Runs one step with exclusive access, after elapsed time has been applied.
    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, Self::Gate>) -> R) -> R;
    /// One random number.
    fn draw(&self) -> Draw;

    /// Whether the operation still has all it needs to run again. Asked before each retry: a request body that
    /// outgrew its buffer cannot be sent twice, which nobody knows when the call begins.
    #[inline]
    fn can_repeat(&self) -> bool {
        true
    }

    /// Since when the callee owes the answer: from there run limits and latency, if the attempt is not younger.
    /// `None` while it still waits for what our own caller is slow to send: no limit on an attempt cuts, and an
    /// attempt given up is not its failure.
    #[inline]
    fn owed_since(&self) -> Option<Instant> {
        Some(Instant::ORIGIN)
    }

    /// Whether the attempt has begun. `false` while it waits for a thread of ours, and nothing is owed: the learned
    /// limit is put aside, the configured one ends that wait, and its end says nothing about the callee.
    #[inline]
    fn has_begun(&self) -> bool {
        true
    }
}

impl<S: Shared> Shared for &S {
    type Gate = S::Gate;

    #[inline]
    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, Self::Gate>) -> R) -> R {
        (**self).visit(now, step)
    }

    #[inline]
    fn draw(&self) -> Draw {
        (**self).draw()
    }

    #[inline]
    fn can_repeat(&self) -> bool {
        (**self).can_repeat()
    }

    #[inline]
    fn owed_since(&self) -> Option<Instant> {
        (**self).owed_since()
    }

    #[inline]
    fn has_begun(&self) -> bool {
        (**self).has_begun()
    }
}
