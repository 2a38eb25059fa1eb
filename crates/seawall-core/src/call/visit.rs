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

use core::time::Duration;

use crate::{
    AdaptiveTimeout, Admission, Bulkhead, Draw, End, EventRing, Gate, Instant, Outcome, Permit,
    Plan, Priority, RateLimiter, Refusal, RetryBudget, Ticket, call::Line,
};

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
        now: Instant,
        draw: impl FnOnce() -> Draw,
    ) -> Result<Entry<G::Pick>, NotYet> {
        let (pick, permit) = self.gate.admit(tried, now, draw)?;
        let place = match self.bulkhead.as_mut() {
            None => None,
            Some(bulkhead) => match bulkhead.admit(priority, give_up_at, now) {
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
            },
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
    /// hears of every success.
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

    /// Without a budget every retry is paid for.
    pub(crate) fn charge(&mut self, now: Instant) -> bool {
        self.budget.as_mut().is_none_or(|budget| budget.charge(now))
    }

    pub(crate) fn refund(&mut self) {
        if let Some(budget) = self.budget.as_mut() {
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

    /// A success that took this long.
    #[inline]
    pub(crate) fn learn(&mut self, pick: G::Pick, took: Duration, now: Instant) {
        if let Some(timeout) = self.timeout.as_mut() {
            timeout.hold(!self.gate.is_calm(pick));
            timeout.record(took, now);
        }
    }

    /// An attempt cut short at this age.
    pub(crate) fn learn_cut(&mut self, pick: G::Pick, age: Duration, now: Instant) {
        if let Some(timeout) = self.timeout.as_mut() {
            timeout.hold(!self.gate.is_calm(pick));
            timeout.censor(age, now);
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
