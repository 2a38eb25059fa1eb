//! The machines of a call, and the verbs it may use on them.

use core::time::Duration;

use super::{Counts, Line, NotYet, Turn};
use crate::{
    AdaptiveTimeout, Admission, Bulkhead, Draw, End, EventRing, Gate, Instant, Outcome, Permit,
    Plan, Priority, RateLimiter, Refusal, RetryBudget,
};

/// The machines of a call, wherever they live. What is `None` is not configured.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "every kind of shared place writes it out")]
pub struct Parts<'a, G> {
    /// What every call does.
    pub plan: &'a Plan,
    /// How many a second.
    pub limiter: Option<&'a mut RateLimiter>,
    /// Who may go where.
    pub gate: &'a mut G,
    /// What pays for retries.
    pub budget: Option<&'a mut RetryBudget>,
    /// How many at once.
    pub bulkhead: Option<&'a mut Bulkhead>,
    /// How long an attempt should take.
    pub timeout: Option<&'a mut AdaptiveTimeout>,
    /// Calls and attempts by how they ended.
    pub counts: &'a mut Counts,
    /// Where transitions are kept.
    pub events: &'a mut EventRing,
}

/// An attempt's leave to run: from the gate, and from the bulkhead if there is one.
#[derive(Debug)]
pub(crate) struct Entry<P> {
    pub(crate) pick: P,
    pub(crate) permit: Permit,
    pub(crate) place: Option<Permit>,
}

impl<G: Gate> Parts<'_, G> {
    /// The same machines, for a while.
    #[inline]
    pub fn reborrow(&mut self) -> Parts<'_, G> {
        Parts {
            plan: self.plan,
            limiter: self.limiter.as_deref_mut(),
            gate: &mut *self.gate,
            budget: self.budget.as_deref_mut(),
            bulkhead: self.bulkhead.as_deref_mut(),
            timeout: self.timeout.as_deref_mut(),
            counts: &mut *self.counts,
            events: &mut *self.events,
        }
    }

    /// Applies what elapsed time changes.
    #[inline]
    pub fn advance(&mut self, now: Instant) {
        let events = &mut *self.events;
        self.gate.advance(now, |endpoint, transition| events.push(endpoint, transition));
    }

    /// The breaker's leave, then the bulkhead's; a full bulkhead gives the breaker's back uncounted.
    #[inline(always)]
    pub(crate) fn admit(
        &mut self,
        tried: &[Option<G::Pick>],
        priority: Priority,
        give_up_at: Instant,
        at_once: bool,
        now: Instant,
        draw: impl FnOnce() -> Draw,
    ) -> Result<Entry<G::Pick>, NotYet> {
        let (pick, permit) = self.gate.admit(tried, now, draw)?;
        let place = match self.bulkhead.as_mut() {
            None => None,
            Some(bulkhead) => {
                let admission = if at_once {
                    bulkhead.admit_at_once(priority, now)
                } else {
                    bulkhead.admit(priority, give_up_at, now)
                };
                match admission {
                    Admission::Go(place) => Some(place),
                    // No permit of the gate is held in a line: after the wait it is asked again.
                    Admission::Wait(ticket) => {
                        let until = bulkhead.due(&ticket).unwrap_or(give_up_at);
                        self.gate.withdraw(pick, permit, now);
                        return Err(NotYet::Wait(Turn { line: Line::Bulkhead, ticket, until }));
                    }
                    Admission::No(refusal) => {
                        self.gate.withdraw(pick, permit, now);
                        return Err(NotYet::No(refusal));
                    }
                }
            }
        };
        self.counts.attempts.started += 1;
        Ok(Entry { pick, permit, place })
    }

    /// The gate's leave for one that has its place in the bulkhead.
    pub(crate) fn admit_with(
        &mut self,
        place: Permit,
        tried: &[Option<G::Pick>],
        now: Instant,
        draw: impl FnOnce() -> Draw,
    ) -> Result<Entry<G::Pick>, Refusal> {
        match self.gate.admit(tried, now, draw) {
            Ok((pick, permit)) => {
                self.counts.attempts.started += 1;
                Ok(Entry { pick, permit, place: Some(place) })
            }
            Err(refusal) => {
                if let Some(bulkhead) = self.bulkhead.as_mut() {
                    bulkhead.withdraw(place);
                }
                Err(refusal)
            }
        }
    }

    /// How an attempt ended, for the gate.
    #[inline]
    pub(crate) fn judge(&mut self, pick: G::Pick, permit: Permit, end: End, now: Instant) {
        if let Some(transition) = self.gate.report(pick, permit, end, now) {
            self.events.push(G::endpoint(pick), transition);
        }
    }

    /// An attempt holds nothing any longer and counts as `outcome`.
    #[inline]
    pub(crate) fn leave(
        &mut self,
        pick: G::Pick,
        place: Option<Permit>,
        outcome: Outcome,
        ran: Duration,
    ) {
        self.gate.leave(pick);
        if let (Some(bulkhead), Some(place)) = (self.bulkhead.as_mut(), place) {
            bulkhead.leave(place, ran);
        }
        self.counts.attempts.end(outcome);
    }

    /// A place that [`Call::keep_place`](crate::Call::keep_place) gave is free again, `ran` after its attempt started.
    pub fn give_back(&mut self, place: Permit, ran: Duration) {
        if let Some(bulkhead) = self.bulkhead.as_mut() {
            bulkhead.leave(place, ran);
        }
    }

    /// Whether a success came from there since `at`. Where there is no breaker to know, the learned limit does: it
    /// hears of every success, and [whose](AdaptiveTimeout::exchange) it was.
    pub(crate) fn has_answered_since(&self, pick: G::Pick, at: Instant) -> bool {
        self.gate.has_answered_since(pick, at).unwrap_or_else(|| {
            self.timeout.as_ref().is_some_and(|timeout| timeout.has_answered_since(at))
        })
    }

    #[inline]
    pub(crate) fn deposit(&mut self, now: Instant) {
        if let Some(budget) = self.budget.as_mut() {
            budget.deposit(now);
        }
    }

    /// Has a retry paid for: by the budget of which era. Without one every retry is, and 0 is then nobody's: a budget that
    /// comes later is of another.
    pub(crate) fn charge(&mut self, now: Instant) -> Option<u16> {
        match self.budget.as_mut() {
            None => Some(0),
            Some(budget) => budget.charge(now).then(|| budget.era()),
        }
    }

    /// Pays back what the budget of that era paid, if it is still there.
    pub(crate) fn refund(&mut self, era: u16) {
        if let Some(budget) = self.budget.as_mut().filter(|budget| budget.era() == era) {
            budget.refund();
        }
    }

    /// The configured limit on an attempt, which is the timeout's own: whoever shares it follows what it is set to.
    #[inline]
    pub(crate) fn cap(&self) -> Option<Duration> {
        self.timeout.as_ref().map(|timeout| timeout.cap())
    }

    #[inline]
    pub(crate) fn learned(&self) -> Option<Duration> {
        self.timeout.as_ref().and_then(|timeout| timeout.learned())
    }

    /// Which timeout an attempt that starts now will teach: the one of this era. 0 is nobody's where there is none.
    #[inline]
    pub(crate) fn teaches(&self) -> u16 {
        self.timeout.as_ref().map_or(0, |timeout| timeout.era())
    }

    /// A success that took this long, of an attempt that [teaches](Self::teaches) the timeout of this era.
    #[inline]
    pub(crate) fn learn(&mut self, pick: G::Pick, teaches: u16, took: Duration, now: Instant) {
        if let Some(timeout) = self.timeout.as_mut()
            && timeout.era() == teaches
        {
            timeout.hold(!self.gate.is_calm(pick));
            timeout.record(took, now);
        }
    }

    /// As [`learn`](Self::learn), of an attempt cut short at this age.
    pub(crate) fn learn_cut(&mut self, pick: G::Pick, teaches: u16, age: Duration, now: Instant) {
        if let Some(timeout) = self.timeout.as_mut()
            && timeout.era() == teaches
        {
            timeout.hold(!self.gate.is_calm(pick));
            timeout.censor(age, now);
        }
    }
}
