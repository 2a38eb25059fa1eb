//! A call's turn in a line, at the rate limit or for a place in the bulkhead: taken, claimed, given up, told.

use super::{Line, Parts};
use crate::{Admission, Gate, Instant, Permit, Priority, RateLimiter, Refusal, Ticket};

/// A call's turn in a line.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) line: Line,
    pub(crate) ticket: Ticket,
    /// When to ask again if nobody calls it up before.
    pub(crate) until: Instant,
}

/// What came of a turn.
#[derive(Debug)]
pub(crate) enum Come {
    /// The rate limit lets it through.
    Through,
    /// It has its place in the bulkhead.
    Place(Permit),
    /// The line has gone: it goes on without it.
    Gone,
}

/// Why a call does not go now.
#[derive(Debug)]
pub(crate) enum NotYet {
    Wait(Turn),
    No(Refusal),
}

impl From<Refusal> for NotYet {
    fn from(refusal: Refusal) -> Self {
        Self::No(refusal)
    }
}

impl<G: Gate> Parts<'_, G> {
    /// The rate limit's leave for a whole call.
    #[inline]
    pub(crate) fn limit(
        &mut self,
        cost: u32,
        priority: Priority,
        patient: bool,
        give_up_at: Instant,
        now: Instant,
    ) -> Result<(), NotYet> {
        let Some(limiter) = self.limiter.as_mut() else { return Ok(()) };
        if limiter.takes(cost.into(), priority, now) {
            return Ok(());
        }
        limit_otherwise(limiter, cost, priority, patient, give_up_at, now)
    }

    /// What has become of a turn.
    pub(crate) fn claim(&mut self, turn: Turn, now: Instant) -> Result<Come, NotYet> {
        let Turn { line, ticket, until } = turn;
        // Its line has gone with the pattern, whether or not another is there now: nothing is left to wait for.
        if self.due(line, &ticket).is_none() {
            return Ok(Come::Gone);
        }
        let answer = match line {
            Line::RateLimit => self.limiter.as_mut().map(|it| it.claim(ticket, now)),
            Line::Bulkhead => self.bulkhead.as_mut().map(|it| it.claim(ticket, now)),
        };
        match (answer, line) {
            (None, _) => Ok(Come::Gone),
            (Some(Admission::Go(_)), Line::RateLimit) => Ok(Come::Through),
            (Some(Admission::Go(place)), Line::Bulkhead) => Ok(Come::Place(place)),
            (Some(Admission::No(refusal)), _) => Err(NotYet::No(refusal)),
            (Some(Admission::Wait(ticket)), _) => {
                // Its line says when, every time: it may have been set anew.
                let until = self.due(line, &ticket).unwrap_or(until);
                Err(NotYet::Wait(Turn { line, ticket, until }))
            }
        }
    }

    /// When the holder of a ticket is to ask again; `None` if it is not of the line there is.
    fn due(&self, line: Line, ticket: &Ticket) -> Option<Instant> {
        match line {
            Line::RateLimit => self.limiter.as_ref().and_then(|limiter| limiter.due(ticket)),
            Line::Bulkhead => self.bulkhead.as_ref().and_then(|bulkhead| bulkhead.due(ticket)),
        }
    }

    /// Whoever held this turn has gone.
    pub(crate) fn abandon(&mut self, turn: Turn) {
        match (turn.line, self.limiter.as_mut(), self.bulkhead.as_mut()) {
            (Line::RateLimit, Some(limiter), _) => limiter.abandon(turn.ticket),
            (Line::Bulkhead, _, Some(bulkhead)) => bulkhead.abandon(turn.ticket),
            (Line::RateLimit, None, _) | (Line::Bulkhead, _, None) => {}
        }
    }

    /// Whether anybody waits in a line, or is to be told. If not, there is nothing to [`settle`](Self::settle).
    #[inline]
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.bulkhead.as_ref().is_some_and(|bulkhead| bulkhead.is_asked())
            || self.limiter.as_ref().is_some_and(|limiter| limiter.is_asked())
    }

    /// Those whose wait has ended and who are to be woken, by line and [`Ticket::place`]; until `None`. Asked by the
    /// shared place after every step.
    #[inline]
    pub fn settle(&mut self, now: Instant) -> Option<(Line, usize)> {
        if let Some(bulkhead) = self.bulkhead.as_mut()
            && let Some(place) = bulkhead.settle(now)
        {
            return Some((Line::Bulkhead, place));
        }
        self.limiter.as_mut()?.settle(now).map(|place| (Line::RateLimit, place))
    }

    /// Whether the one with this place in this line still waits.
    #[must_use]
    pub fn waits(&self, line: Line, place: usize) -> bool {
        match line {
            Line::Bulkhead => self.bulkhead.as_ref().is_some_and(|bulkhead| bulkhead.waits(place)),
            Line::RateLimit => self.limiter.as_ref().is_some_and(|limiter| limiter.waits(place)),
        }
    }
}

#[cold]
fn limit_otherwise(
    limiter: &mut RateLimiter,
    cost: u32,
    priority: Priority,
    patient: bool,
    give_up_at: Instant,
    now: Instant,
) -> Result<(), NotYet> {
    let answer = match patient {
        true => limiter.admit_or_wait(cost.into(), priority, give_up_at, now),
        false => limiter.admit_otherwise(cost.into(), priority, give_up_at, now),
    };
    match answer {
        Admission::Go(_) => Ok(()),
        Admission::No(refusal) => Err(NotYet::No(refusal)),
        Admission::Wait(ticket) => {
            let until = limiter.due(&ticket).unwrap_or(give_up_at);
            Err(NotYet::Wait(Turn { line: Line::RateLimit, ticket, until }))
        }
    }
}
