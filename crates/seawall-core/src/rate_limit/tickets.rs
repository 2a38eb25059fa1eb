//! Tickets, of a shaper or of those who wait for tokens: whose wait has ended, claimed, given up.

use super::{RateLimiter, waiting::Place};
use crate::{
    Admission, Instant, Ticket,
    permit::{place_of, row_of},
};

impl RateLimiter {
    /// The place of a ticket whose wait has ended, for its holder to be woken; each is given once. Call until `None`
    /// after every other verb.
    pub fn settle(&mut self, now: Instant) -> Option<usize> {
        if let Some(place) = self.call_up(now) {
            return Some(place);
        }
        self.shaper.settle(now).map(|row| place_of(row, self.era))
    }

    /// What has become of `ticket`: go, no, or wait on with the ticket.
    pub fn claim(&mut self, ticket: Ticket, now: Instant) -> Admission {
        let found = self.waiting.as_ref().and_then(|waiting| waiting.find(&ticket));
        let answer = match found {
            Some((place, waiter)) => self.look(ticket, place, waiter, now),
            None => self.shaper.claim(ticket.known(self.era), now).of(self.era),
        };
        self.count(&answer);
        answer
    }

    /// The holder of `ticket` has gone; its turn goes to the next.
    pub fn abandon(&mut self, ticket: Ticket) {
        if self.due(&ticket).is_none() {
            return;
        }
        self.abandoned += 1;
        if let Some(waiting) = &mut self.waiting
            && let Some((place, _)) = waiting.find(&ticket)
        {
            waiting.leave(place);
        } else {
            self.shaper.abandon(ticket.known(self.era));
        }
    }

    /// Whether anybody waits, or is to be told: then [`settle`](Self::settle) may have something to say.
    #[inline]
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.len() > 0) || self.shaper.is_asked()
    }

    /// Whether the one with this place ([`Ticket::place`]) still waits.
    #[must_use]
    pub fn waits(&self, place: usize) -> bool {
        match &self.waiting {
            Some(waiting) if Place::is_one(place) => waiting.sleeps(place, self.era),
            _ => self.shaper.waits(row_of(place, self.era)),
        }
    }

    /// The next moment when time alone ends a wait.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        let due = self.waiting.as_ref().and_then(|waiting| waiting.due());
        due.into_iter().chain(self.shaper.wake_at()).min()
    }
}
