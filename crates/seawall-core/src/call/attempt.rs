//! An attempt that runs, the pause before the next one, and the stream a good head leaves behind.

use core::{mem, time::Duration};

use crate::{
    End, Gate, Instant, Outcome, Permit,
    call::{Entry, Parts, Shared},
};

#[derive(Debug)]
pub(super) struct Running<P> {
    pub(super) entry: Entry<P>,
    pub(super) started: Instant,
    /// Where its limits run from.
    pub(super) from: Instant,
    /// The configured limit.
    pub(super) hard: Instant,
    /// The learned limit, until it was decided not to cut.
    pub(super) soft: Instant,
    /// Whether the limits were moved by our own lateness.
    pub(super) moved: bool,
    /// The era of the timeout that learns from it.
    pub(super) teaches: u16,
}

impl<P: Copy + PartialEq> Running<P> {
    pub(super) fn due(&self, give_up_at: Instant) -> Instant {
        self.hard.min(self.soft).min(give_up_at)
    }

    pub(super) fn move_by(&mut self, late: Duration) {
        // `NEVER` stays `NEVER`: addition saturates.
        (self.hard, self.soft) = (self.hard + late, self.soft + late);
        self.moved = true;
    }

    /// The callee owes the answer only from `owed` on: its limits run from there.
    pub(super) fn excuse(&mut self, owed: Instant) {
        let by = owed.since(self.from);
        (self.hard, self.soft) = (self.hard + by, self.soft + by);
        self.from = owed;
    }

    /// A probe whose caller is slow to send says nothing for a while: its place is for others.
    #[cold]
    pub(super) fn give_up_probe<G: Gate<Pick = P>>(
        &mut self,
        parts: &mut Parts<'_, G>,
        now: Instant,
    ) {
        let void = self.entry.permit.void();
        let permit = mem::replace(&mut self.entry.permit, void);
        parts.judge(self.entry.pick, permit, End::new(Outcome::Ignored, Duration::ZERO), now);
    }

    /// How long the callee has owed the answer; `None` if it does not yet.
    #[inline]
    pub(super) fn took(&self, owed_since: Option<Instant>, now: Instant) -> Option<Duration> {
        owed_since.map(|since| now.since(since.max(self.started)))
    }

    /// From what age having no answer yet is the callee's doing: what was said is worth more than what was learned. But
    /// where no attempt lives until it is slow, a hung callee would never be late.
    pub(super) fn late_after<G: Gate<Pick = P>>(&self, parts: &Parts<'_, G>) -> Duration {
        let lives = |slow: &Duration| parts.plan.deadline.is_none_or(|deadline| *slow < deadline);
        let slow = parts.gate.slow_after(self.entry.pick).filter(lives);
        slow.or_else(|| parts.learned()).unwrap_or_else(|| parts.plan.late_after())
    }

    #[inline]
    pub(super) fn end_answered<G: Gate<Pick = P>>(
        self,
        parts: &mut Parts<'_, G>,
        outcome: Outcome,
        took: Option<Duration>,
        now: Instant,
    ) {
        let Entry { pick, permit, place } = self.entry;
        parts.judge(pick, permit, End::new(outcome, took.unwrap_or_default()), now);
        parts.leave(pick, place, outcome, now.since(self.started));
        // Last: where a sample is counted depends on the clock that was read just now, and what came after it would
        // wait for that.
        if let (Outcome::Success, Some(took)) = (outcome, took) {
            parts.learn(pick, self.teaches, took, now);
        }
    }

    /// Whether it is late because more is asked for than can be done: calls stand in line for its place, and the
    /// callee answers others.
    pub(super) fn is_at_a_busy_callee<G: Gate<Pick = P>>(&self, parts: &Parts<'_, G>) -> bool {
        parts.bulkhead.as_ref().is_some_and(|bulkhead| bulkhead.is_asked())
            && parts.has_answered_since(self.entry.pick, self.started)
    }

    /// Whether having no answer yet is held against the callee: it is late, and either it answers nobody or it is
    /// later than a person would wait.
    fn is_held_against<G: Gate<Pick = P>>(&self, parts: &Parts<'_, G>, age: Duration) -> bool {
        let answers = || parts.has_answered_since(self.entry.pick, self.started);
        age >= self.late_after(parts) && (age >= parts.plan.late_after() || !answers())
    }

    /// What an answer counts as: a failure that comes with the deadline may be of its making.
    #[inline]
    pub(super) fn blame<G: Gate<Pick = P>>(
        &self,
        parts: &Parts<'_, G>,
        outcome: Outcome,
        took: Option<Duration>,
        give_up_at: Instant,
        now: Instant,
    ) -> Outcome {
        // Where the policy's deadline is short the grain is too: what fails at once does not fail for want of time.
        let grain = || {
            let grain = super::DEADLINE_GRAIN;
            parts.plan.deadline.map_or(grain, |deadline| grain.min(deadline / 2))
        };
        let with_deadline = outcome == Outcome::Failure && now + grain() >= give_up_at;
        if with_deadline && !took.is_some_and(|age| self.is_held_against(parts, age)) {
            return Outcome::Ignored;
        }
        outcome
    }

    /// The learned limit cuts it, and another follows.
    #[cold]
    pub(super) fn cut_for_another<G: Gate<Pick = P>>(
        self,
        parts: &mut Parts<'_, G>,
        now: Instant,
    ) -> Cut<P> {
        let age = now.since(self.from);
        let failed = self.is_held_against(parts, age);
        let outcome = if failed { Outcome::Failure } else { Outcome::Ignored };
        let Entry { pick, permit, place } = self.entry;
        parts.learn_cut(pick, self.teaches, age, now);
        parts.judge(pick, permit, End::new(outcome, age), now);
        Cut::Judged { pick, place, outcome, started: self.started }
    }

    /// Ends an attempt nobody will hear of any more: a failure if `certain`, or if it was the callee's turn and it
    /// is held against it.
    #[cold]
    pub(super) fn end_unanswered<G: Gate<Pick = P>>(
        self,
        parts: &mut Parts<'_, G>,
        certain: bool,
        owed_since: Option<Instant>,
        now: Instant,
    ) -> Outcome {
        let age = self.took(owed_since, now);
        let late = age.is_some_and(|age| self.is_held_against(parts, age));
        let outcome = if certain || late { Outcome::Failure } else { Outcome::Ignored };
        if let Some(age) = age {
            parts.learn_cut(self.entry.pick, self.teaches, age, now);
        }
        let Entry { pick, permit, place } = self.entry;
        parts.judge(pick, permit, End::new(outcome, age.unwrap_or_default()), now);
        parts.leave(pick, place, outcome, now.since(self.started));
        outcome
    }
}

/// An attempt whose operation is being dropped.
#[derive(Debug)]
pub(super) enum Cut<P> {
    /// Judged when it is gone.
    Running(Running<P>),
    /// Judged when that was decided; it still holds its place.
    Judged { pick: P, place: Option<Permit>, outcome: Outcome, started: Instant },
}

impl<P: Copy + PartialEq> Cut<P> {
    /// Its place, if it has one.
    pub(super) const fn take_place(&mut self) -> Option<Permit> {
        match self {
            Self::Running(Running { entry: Entry { place, .. }, .. })
            | Self::Judged { place, .. } => place.take(),
        }
    }

    /// It is gone: a failure if `certain`, or by its age, unless it was judged.
    pub(super) fn end<G: Gate<Pick = P>>(
        self,
        parts: &mut Parts<'_, G>,
        certain: bool,
        owed_since: Option<Instant>,
        now: Instant,
    ) -> Outcome {
        match self {
            Self::Running(running) => running.end_unanswered(parts, certain, owed_since, now),
            Self::Judged { pick, place, outcome, started } => {
                parts.leave(pick, place, outcome, now.since(started));
                outcome
            }
        }
    }
}

/// A pause before the next attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) until: Instant,
    /// By the budget of which era; free where the retry goes elsewhere.
    pub(super) paid: Option<u16>,
}

impl Wait {
    /// Whether its attempt is paid for, or still free.
    pub(super) fn is_covered<G: Gate>(
        &mut self,
        parts: &mut Parts<'_, G>,
        tried: &[Option<G::Pick>],
        now: Instant,
    ) -> bool {
        if self.paid.is_some() || parts.gate.has_fresh(tried, now) {
            return true;
        }
        // It was free because it would go elsewhere, and there is no elsewhere any more.
        self.paid = parts.charge(now);
        self.paid.is_some()
    }

    /// The attempt it was for is not sent after all.
    pub(super) fn cancel<G: Gate>(self, parts: &mut Parts<'_, G>) {
        if let Some(era) = self.paid {
            parts.refund(era);
        }
    }
}

#[derive(Debug)]
pub(super) struct Stream<P> {
    pub(super) pick: P,
    pub(super) place: Option<Permit>,
    pub(super) started: Instant,
    /// Until judged: the permit, and when still flowing counts as success.
    pub(super) open: Option<(Permit, Instant)>,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

impl<P: Copy> Stream<P> {
    pub(super) fn judge<G: Gate<Pick = P>>(
        &mut self,
        parts: &mut Parts<'_, G>,
        outcome: Outcome,
        now: Instant,
    ) {
        if let Some((permit, good_at)) = self.open.take() {
            // The breaker knows whether time has judged it; our `now` may be older than its last visitor's.
            let flows = parts.gate.still_flows(self.pick, &permit, good_at);
            let permit = if flows { permit } else { permit.overtaken() };
            parts.judge(self.pick, permit, End::new(outcome, self.took), now);
            self.outcome = outcome;
        }
    }
}

/// The last byte, or what came instead of it.
pub(super) fn close_stream<S>(
    shared: &S,
    mut stream: Stream<<S::Gate as Gate>::Pick>,
    outcome: Outcome,
    now: Instant,
) where
    S: Shared,
{
    shared.visit(now, |mut parts| {
        // It flowed long enough, and nobody happened to look.
        if stream.open.as_ref().is_some_and(|(_, good_at)| *good_at <= now) {
            stream.judge(&mut parts, Outcome::Success, now);
        }
        let judged_good = stream.open.is_none() && stream.outcome == Outcome::Success;
        if judged_good && outcome == Outcome::Failure {
            parts.counts.broke_off_late += 1;
        }
        stream.judge(&mut parts, outcome, now);
        parts.leave(stream.pick, stream.place, stream.outcome, now.since(stream.started));
        parts.counts.calls.end(stream.outcome);
    });
}
