//! Waiting for a place: the way of a ticket, from the line to a permit, a refusal, or away.
//!
//! ```text
//!   admitted to wait ─┬ a place is free for it ─▸ granted ─┐
//!                     ├ over, displaced, set anew ─▸ refused ─┤ told, once ─▸ claimed
//!                     └ abandoned, granted or not ─▸ its place goes to the next
//! ```
//!
//! Whoever comes, looks, or ends a visit finds the waits ended that are over, and free places handed on: none is free that
//! a waiter may use.

use core::time::Duration;

use super::{
    Bulkhead,
    queue::{State, Waiter},
    rules::{end, lane},
};
use crate::{
    Admission, Instant, Pattern, Priority, Reason, Refusal, Ticket,
    permit::{place_of, row_of},
};

impl Bulkhead {
    /// The place, as of [`Ticket::place`], of one whose wait has ended, or will end sooner than it was told: it is to be
    /// woken, and to [`claim`](Self::claim). Each is told once. Asked at the end of every visit, until `None`.
    #[inline]
    pub fn settle(&mut self, now: Instant) -> Option<usize> {
        if self.queue.len() > 0 {
            self.advance(now);
        }
        self.queue.tell().map(|row| place_of(row as usize, self.era))
    }

    /// What has become of `ticket`: its turn has come, it was refused, or it still waits and is given back.
    pub fn claim(&mut self, ticket: Ticket, now: Instant) -> Admission {
        self.advance(now);
        let known = ticket.known(self.era);
        let reason = match self.queue.state(&known) {
            State::Waiting => {
                self.queue.look(&known);
                return Admission::Wait(ticket);
            }
            State::Granted => {
                let class = self.vacate(&known);
                self.admitted[class.index()] += 1;
                return Admission::Go(self.permit(class));
            }
            State::Refused(reason) => {
                self.vacate(&known);
                reason
            }
            State::Free => Reason::WaitOver, // a ticket of another bulkhead
        };
        Admission::No(Refusal::new(Pattern::Bulkhead, reason))
    }

    /// The waiter leaves. If its turn had come, its place goes to the next.
    pub fn abandon(&mut self, ticket: Ticket) {
        let ticket = ticket.known(self.era);
        match self.queue.state(&ticket) {
            State::Free => return,
            State::Waiting => self.abandoned += 1,
            State::Granted => {
                self.abandoned += 1;
                self.free(self.queue.waiter(ticket.place() as u32).class.index());
            }
            State::Refused(_) => {}
        }
        self.vacate(&ticket);
    }

    /// When the wait of the one who holds `ticket` ends, and it is to ask if nobody calls it up before; `None` if the
    /// ticket is not of this bulkhead.
    #[must_use]
    pub fn due(&self, ticket: &Ticket) -> Option<Instant> {
        let ticket = ticket.known(self.era);
        let known = self.queue.state(&ticket) != State::Free;
        known.then(|| end(&self.config, self.queue.waiter(ticket.place() as u32)))
    }

    /// Whether anybody waits, or is to be told: then [`settle`](Self::settle) may have something to say.
    #[inline]
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        self.queue.is_asked()
    }

    /// Whether the one with this place ([`Ticket::place`]) still waits, and has nothing to hear of.
    #[must_use]
    pub fn waits(&self, place: usize) -> bool {
        self.queue.waits(row_of(place, self.era))
    }

    /// When the next wait ends.
    #[inline]
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.queue.next_end().map(|(end, _)| end)
    }
}

/// What happens off the straight way.
impl Bulkhead {
    #[cold]
    pub(super) fn admit_or_wait(
        &mut self,
        class: Priority,
        give_up_at: Instant,
        now: Instant,
    ) -> Admission {
        let now = self.advance(now);
        // Nobody who waits may start now; so whoever of this class waits does not come before this one.
        if self.may_start(class) {
            return Admission::Go(self.start(class));
        }
        let waiter = Waiter { class, entered: now, give_up_at };
        let end = end(&self.config, &waiter);
        if self.is_shut_out(class) {
            return self.refuse(Reason::TooLarge, None);
        }
        if self.config.max_queue == 0 {
            return self.refuse(Reason::Full, None);
        }
        if end <= now {
            return self.refuse(Reason::TooLate, None);
        }
        let expected = self.expected_wait(class);
        if expected > end.since(now) {
            return self.refuse(Reason::Hopeless, Some(expected));
        }
        if self.queue.occupied() >= self.config.max_queue.saturating_mul(2) {
            return self.refuse(Reason::Full, None);
        }
        if !self.has_room(class) {
            match self.youngest_of_the_least_urgent(lane(&self.config, class) + 1, 1) {
                Some(place) => self.refuse_waiter(place, Reason::Displaced),
                None => return self.refuse(Reason::Full, None),
            }
        }
        Admission::Wait(self.queue.enter(waiter, lane(&self.config, class), end).of(self.era))
    }

    /// Ends the waits that are over, then hands free places on. Returns now: not before what was seen already,
    /// so that on a clock that steps back no time passes.
    pub(super) fn advance(&mut self, now: Instant) -> Instant {
        self.end_waits(now);
        while let Some((place, class)) = self.next() {
            self.running += 1;
            self.active[class.index()] += 1;
            self.queue.decide(place, lane(&self.config, class), State::Granted);
        }
        self.latest
    }

    pub(super) fn end_waits(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        while let Some((end, place)) = self.queue.next_end()
            && end <= self.latest
        {
            let in_time = self.queue.waiter(place).give_up_at > end;
            let reason = if in_time { Reason::WaitOver } else { Reason::TooLate };
            self.refuse_waiter(place, reason);
        }
    }

    #[cold]
    pub(super) fn refuse(&mut self, reason: Reason, retry_after: Option<Duration>) -> Admission {
        self.count(reason);
        Admission::No(Refusal { retry_after, ..Refusal::new(Pattern::Bulkhead, reason) })
    }

    pub(super) fn refuse_waiter(&mut self, place: u32, reason: Reason) {
        self.count(reason);
        let lane = lane(&self.config, self.queue.waiter(place).class);
        self.queue.decide(place, lane, State::Refused(reason));
    }

    const fn count(&mut self, reason: Reason) {
        self.refused += 1;
        self.waits_over += matches!(reason, Reason::WaitOver | Reason::TooLate) as u64;
        self.displaced += matches!(reason, Reason::Displaced) as u64;
        self.hopeless += matches!(reason, Reason::Hopeless) as u64;
    }

    /// The ticket's place in the queue is free for another. Whose it was, by class.
    fn vacate(&mut self, ticket: &Ticket) -> Priority {
        let place = ticket.place() as u32;
        let class = self.queue.waiter(place).class;
        self.queue.vacate(place, lane(&self.config, class));
        class
    }
}
