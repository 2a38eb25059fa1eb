//! Limits that pass: whose fault it is, whether another attempt follows, and what the cut one still holds.
//!
//! ```text
//!   the deadline        cuts, whatever else
//!   not begun           for want of a thread: the attempt limit cuts, and blames nobody
//!   not owed yet        the limits run on from where the callee has all it needs
//!   our own lateness    moves the limits, once, and as far beyond this moment as it was long
//!   the attempt limit   cuts
//!   the learned limit   cuts, if the callee is not merely busy and another attempt is granted, or if it is all
//!                       there is; else it is put aside
//! ```

use crate::{
    Gate, Instant, Permit, Stopped, Verdict,
    call::{
        Action, Call, Finish, Last, Limit, Shared, State, WAKE_LATE,
        attempt::{Cut, Running, Wait},
    },
    time::nanos,
};

impl<P: Copy + PartialEq> Call<P> {
    /// A limit of the running attempt may have passed.
    pub(super) fn tick<S>(&mut self, shared: &S, mut running: Running<P>, now: Instant) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let due = running.due(self.give_up_at);
        if now < due {
            self.state = State::Running(running);
            return Action::Wait;
        }
        if now >= self.give_up_at {
            return self.cancel(Cut::Running(running), Limit::Deadline, None);
        }
        if !shared.has_begun() {
            return self.still_not_begun(running, now);
        }
        let owed = shared.owed_since();
        if owed.is_none_or(|since| since > running.from) {
            running.excuse(owed.unwrap_or(now));
            if owed.is_none() && running.entry.permit.is_probe() {
                self.state = State::Running(running);
                self.give_up_probe(shared, now);
                let Some(same) = self.state.take_running() else { return Action::Wait };
                running = same;
            }
            if now < running.due(self.give_up_at) {
                self.state = State::Running(running);
                return Action::Wait;
            }
        }
        let late = now.since(due);
        if late > WAKE_LATE && !running.moved {
            // Moved to this very moment it would pass before anybody has read what lies ready.
            running.move_by(late + late.min(due.since(running.from)));
            self.state = State::Running(running);
            return Action::Wait;
        }
        if now >= running.hard {
            return self.cancel(Cut::Running(running), Limit::Attempt, None);
        }
        // The learned limit: only if another attempt may follow, which is granted and paid for first. Reported in
        // the same visit, or several calls that see the breaker one failure short would open it together.
        let repeatable = shared.can_repeat();
        shared.visit(now, |mut parts| {
            let entry = Some(&running.entry);
            let granted = if running.is_at_a_busy_callee(&parts) {
                None
            } else {
                self.grant(&mut parts, shared, &Verdict::FAILURE, repeatable, entry, now).ok()
            };
            match granted {
                Some(wait) => {
                    self.cut_after_nanos = nanos(now.since(running.from));
                    let cut = running.cut_for_another(&mut parts, now);
                    self.cancel(cut, Limit::Learned, Some(wait))
                }
                None if parts.plan.enforces_learned => {
                    self.cancel(Cut::Running(running), Limit::Learned, None)
                }
                None => {
                    running.soft = Instant::NEVER;
                    self.state = State::Running(running);
                    Action::Wait
                }
            }
        })
    }

    /// It stays where it is meanwhile, for what is woken may panic.
    #[cold]
    fn give_up_probe<S>(&mut self, shared: &S, now: Instant)
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        shared.visit(now, |mut parts| {
            if let State::Running(running) = &mut self.state {
                running.give_up_probe(&mut parts, now);
            }
        });
    }

    /// Its limit passed while it waited for a thread of ours.
    #[cold]
    fn still_not_begun(&mut self, mut running: Running<P>, now: Instant) -> Action {
        if now >= running.hard {
            return self.cancel(Cut::Running(running), Limit::Attempt, None);
        }
        running.soft = Instant::NEVER;
        self.state = State::Running(running);
        Action::Wait
    }

    /// Takes the place in the bulkhead from an attempt that is being cancelled, for an operation that cannot be dropped:
    /// it goes back by [`Parts::give_back`](crate::Parts::give_back) when that has ended. `None` if it has none.
    pub const fn keep_place(&mut self) -> Option<Permit> {
        match &mut self.state {
            State::Cutting { cut, .. } => cut.take_place(),
            _ => None,
        }
    }

    /// The attempt that was cut is gone.
    pub(super) fn cut<S>(
        &mut self,
        shared: &S,
        cut: Cut<P>,
        limit: Limit,
        then: Option<Wait>,
        now: Instant,
    ) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let (repeatable, owed_since) = (shared.can_repeat(), shared.owed_since());
        let has_begun = shared.has_begun();
        shared.visit(now, |mut parts| {
            let own_limit = limit != Limit::Deadline;
            parts.counts.timed_out += u64::from(own_limit);
            cut.end(&mut parts, own_limit && has_begun, owed_since, now);
            let granted = match (then, limit) {
                (Some(wait), _) => Ok(wait),
                (None, Limit::Deadline) => {
                    parts.counts.deadline_passed += 1;
                    Err(Stopped::Deadline)
                }
                (None, _) if !parts.plan.retry_timeouts => Err(Stopped::NotRetryable),
                (None, _) => {
                    self.grant(&mut parts, shared, &Verdict::FAILURE, repeatable, None, now)
                }
            };
            match granted {
                Ok(wait) => self.pause(wait, Last::Cut(limit)),
                Err(stopped) => {
                    parts.counts.calls.failed += 1;
                    Action::Done(Finish::TimedOut { limit, stopped })
                }
            }
        })
    }

    const fn cancel(&mut self, cut: Cut<P>, limit: Limit, then: Option<Wait>) -> Action {
        self.state = State::Cutting { cut, limit, then };
        Action::Cancel { attempt: self.attempt, limit }
    }
}
