//! Entering, waiting in a line, and being called up.
//!
//! ```text
//!   rate limit ▸ gate ▸ bulkhead ──▸ running
//!       └──────────────────┴ not yet ▸ queued ── called up ▸ the gate once more ▸ running
//!                                             └─ refused, too late, gone ▸ what was taken is given back
//! ```
//!
//! No permit of the gate is held in a line: a breaker may open meanwhile, and a probe must not wait. So it is asked
//! before the line, because an open breaker is no reason to wait, and again after it.

use core::time::Duration;

use crate::{
    Cause, Gate, Instant, Pattern, Permit, Reason, Refusal, Stopped,
    call::{Action, Call, Come, Finish, Last, NotYet, Parts, Shared, State, Turn, attempt::Wait},
};

impl<P: Copy + PartialEq> Call<P> {
    /// Through the rate limit: asks gate and bulkhead.
    // Always in line, at the one place that matters: what it finds out is large and would go by way of memory.
    #[inline(always)]
    pub(super) fn enter<S>(
        &mut self,
        parts: &mut Parts<'_, S::Gate>,
        shared: &S,
        first: bool,
        now: Instant,
    ) -> Result<Action, NotYet>
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let by = if first { self.give_up_at } else { self.start_by() };
        let action = self.start(parts, by, now, || shared.draw())?;
        if first {
            parts.deposit(now);
        }
        Ok(action)
    }

    /// As [`enter`](Self::enter), off the way that matters.
    #[cold]
    pub(super) fn enter_later<S>(
        &mut self,
        parts: &mut Parts<'_, S::Gate>,
        shared: &S,
        retry: Option<(Wait, Last)>,
        now: Instant,
    ) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        match self.enter(parts, shared, retry.is_none(), now) {
            Ok(action) => action,
            Err(not_yet) => self.not_yet(parts.reborrow(), not_yet, retry),
        }
    }

    /// It waits for its turn, or does not run: a first attempt was refused, a retry leaves the answer before it.
    #[cold]
    pub(super) fn not_yet<G: Gate<Pick = P>>(
        &mut self,
        mut parts: Parts<'_, G>,
        not_yet: NotYet,
        retry: Option<(Wait, Last)>,
    ) -> Action {
        match (not_yet, retry) {
            (NotYet::Wait(turn), retry) => {
                self.state = State::Queued { turn, retry };
                Action::Wait
            }
            (NotYet::No(refusal), None) => {
                let Refusal { by, reason, retry_after, cause } = refusal;
                self.refuse(&mut parts, by, reason, retry_after, cause);
                self.not_started()
            }
            (NotYet::No(refusal), Some((wait, last))) => {
                self.give_up_retry(&mut parts, wait, last, Stopped::Refused(refusal))
            }
        }
    }

    /// As [`not_yet`](Self::not_yet) of a first attempt, for which [`not_started`](Self::not_started) finds out what
    /// there is to do.
    #[inline]
    pub(super) fn first_not_yet<G: Gate<Pick = P>>(
        &mut self,
        mut parts: Parts<'_, G>,
        not_yet: NotYet,
    ) {
        match not_yet {
            NotYet::Wait(turn) => self.state = State::Queued { turn, retry: None },
            // One by one, as they have just been written.
            NotYet::No(Refusal { by, reason, retry_after, cause }) => {
                self.refuse(&mut parts, by, reason, retry_after, cause)
            }
        }
    }

    #[cold]
    fn refuse<G: Gate<Pick = P>>(
        &mut self,
        parts: &mut Parts<'_, G>,
        by: Pattern,
        reason: Reason,
        retry_after: Option<Duration>,
        cause: Option<Cause>,
    ) {
        self.give_tokens_back(parts);
        parts.counts.calls.refused += 1;
        self.state = State::Refused(Refusal { by, reason, retry_after, cause });
    }

    /// What there is to do for a call that was not let through at once.
    #[inline]
    pub(super) const fn not_started(&self) -> Action {
        match self.state {
            State::Refused(refusal) => Action::Done(Finish::Refused(refusal)),
            _ => Action::Wait,
        }
    }

    /// A retry that does not run after all.
    #[cold]
    pub(super) fn give_up_retry<G: Gate<Pick = P>>(
        &mut self,
        parts: &mut Parts<'_, G>,
        wait: Wait,
        last: Last,
        stopped: Stopped,
    ) -> Action {
        self.state = State::Over;
        wait.cancel(parts);
        self.give_tokens_back(parts);
        match last {
            Last::Answered(outcome) => {
                parts.counts.calls.end(outcome);
                self.done(stopped)
            }
            Last::Cut(limit) => {
                parts.counts.calls.failed += 1;
                Action::Done(Finish::TimedOut { limit, stopped })
            }
        }
    }

    /// Its wait may have ended.
    #[cold]
    pub(super) fn called_up<S>(
        &mut self,
        shared: &S,
        turn: Turn,
        retry: Option<(Wait, Last)>,
        now: Instant,
    ) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        shared.visit(now, |mut parts| {
            let place = match parts.claim(turn, now) {
                Ok(Come::Place(place)) => Some(place),
                Ok(Come::Through) => {
                    self.pass_limit(&parts, now);
                    None
                }
                Ok(Come::Gone) => None,
                Err(not_yet) => return self.not_yet(parts, not_yet, retry),
            };
            if let Some(stopped) = self.overdue(retry.is_some(), now) {
                return self.come_too_late(&mut parts, place, retry, stopped);
            }
            let Some(place) = place else {
                return self.enter_later(&mut parts, shared, retry, now);
            };
            match parts.admit_with(place, &self.picks, now, || shared.draw()) {
                Ok(entry) => {
                    if retry.is_none() {
                        parts.deposit(now);
                    }
                    self.run(&parts, entry, now)
                }
                Err(refusal) => self.not_yet(parts, refusal.into(), retry),
            }
        })
    }

    /// Its turn came in time, and it did not: this process stalled. What it was given is there for others.
    fn come_too_late<G: Gate<Pick = P>>(
        &mut self,
        parts: &mut Parts<'_, G>,
        place: Option<Permit>,
        retry: Option<(Wait, Last)>,
        stopped: Stopped,
    ) -> Action {
        if let (Some(bulkhead), Some(place)) = (parts.bulkhead.as_mut(), place) {
            bulkhead.withdraw(place);
        }
        match retry {
            None => {
                self.refuse(parts, Pattern::Deadline, Reason::TooLate, None, None);
                self.not_started()
            }
            Some((wait, last)) => self.give_up_retry(parts, wait, last, stopped),
        }
    }

    /// The rate limit has let it through, if there is one.
    #[inline]
    pub(super) const fn pass_limit<G: Gate>(&mut self, parts: &Parts<'_, G>, now: Instant) {
        if parts.limiter.is_some() {
            self.limited_at = now;
        }
    }

    /// Nothing ran: what the rate limit took is there for others.
    pub(super) fn give_tokens_back<G: Gate>(&mut self, parts: &mut Parts<'_, G>) {
        if let (true, Some(limiter)) = (self.limited_at != Instant::NEVER, parts.limiter.as_mut()) {
            limiter.refund(self.cost.into(), self.limited_at);
        }
        self.limited_at = Instant::NEVER;
    }
}
