//! What a driver asks of a call: none of it changes anything, or takes a lock.

use super::{Call, Cut, Line, PICKS_KEPT, State, Stream};
use crate::{Instant, Refusal};

impl<P: Copy + PartialEq> Call<P> {
    /// When the driver must tell [`Event::Tick`](crate::Event::Tick) if nothing else happens first. Takes no lock; asked only when
    /// the operation is pending.
    #[inline]
    #[must_use]
    pub fn wake_at(&self) -> Instant {
        match &self.state {
            State::Running(running) => running.due(self.give_up_at),
            State::Waiting { wait, .. } => wait.until,
            State::Queued { turn, .. } => turn.until.min(self.give_up_at),
            State::Streaming(Stream { open: Some((_, good_at)), .. }) => *good_at,
            State::Fresh
            | State::Refused(_)
            | State::Cutting { .. }
            | State::Streaming(_)
            | State::Answered(_)
            | State::Over => Instant::NEVER,
        }
    }

    /// The line it waits in, and its place there, as of [`Ticket::place`](crate::Ticket::place): where whoever calls
    /// it up finds its waker.
    #[inline]
    #[must_use]
    pub const fn queued(&self) -> Option<(Line, usize)> {
        match &self.state {
            State::Queued { turn, .. } => Some((turn.line, turn.ticket.place())),
            _ => None,
        }
    }

    /// Whether nothing is left to do: not begun, or over to the last byte.
    #[inline]
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Fresh | State::Refused(_) | State::Over)
    }

    /// Whether it has not begun.
    #[inline]
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        matches!(self.state, State::Fresh)
    }

    /// Why it was refused; `None` if it was not, or only after an attempt had run.
    #[inline]
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        match &self.state {
            State::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// When it began; the origin before that.
    #[inline]
    #[must_use]
    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// When the attempt that runs started; `None` if none runs.
    #[must_use]
    pub const fn started(&self) -> Option<Instant> {
        match &self.state {
            State::Running(running) | State::Cutting { cut: Cut::Running(running), .. } => {
                Some(running.started)
            }
            State::Cutting { cut: Cut::Judged { started, .. }, .. } => Some(*started),
            _ => None,
        }
    }

    /// When the whole call must have ended.
    #[inline]
    #[must_use]
    pub const fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    /// The number of the attempt that runs or ran last, counted from 1; 0 before the first.
    #[inline]
    #[must_use]
    pub const fn attempt(&self) -> u8 {
        self.attempt
    }

    /// Where this attempt was sent, if it is one of the last four.
    #[inline]
    #[must_use]
    pub fn picked(&self, attempt: u8) -> Option<P> {
        let age = self.attempt.checked_sub(attempt)?;
        (attempt > 0 && usize::from(age) < PICKS_KEPT)
            .then(|| self.picks[usize::from(attempt - 1) % PICKS_KEPT])
            .flatten()
    }
}
