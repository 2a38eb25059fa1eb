//! Between two attempts: whether another may follow, the pause, and the start of the next.
//!
//! Where the rate limit limits each attempt, the pause ends no earlier than it would let the retry through, and it is
//! asked when the retry is sent, for a quota counts what is sent. Who may wait there waits in line instead.
//!
//! A retry is paid for when it is granted, before the pause, so that a herd of waiters cannot wake up to one
//! empty purse; what is then not sent is paid back.

use core::time::Duration;

use crate::{
    Gate, Instant, Pattern, Reason, Refusal, Stopped, Verdict,
    call::{Action, Call, Entry, Last, NotYet, Parts, Repeat, Shared, State, attempt::Wait},
    time::nanos,
};

impl<P: Copy + PartialEq> Call<P> {
    /// After an answer that was not a success: another attempt, or the end.
    #[cold]
    pub(super) fn follow<S>(&mut self, shared: &S, verdict: &Verdict, now: Instant) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let repeatable = shared.can_repeat();
        shared.visit(now, |mut parts| {
            match self.grant(&mut parts, shared, verdict, repeatable, None, now) {
                Ok(wait) => self.pause(wait, Last::Answered(verdict.outcome)),
                Err(stopped) => {
                    self.state = State::Over;
                    parts.counts.calls.end(verdict.outcome);
                    self.done(stopped)
                }
            }
        })
    }

    /// Whether another attempt may follow one that ended with `verdict`, and when. It is paid for.
    /// `can_repeat`: what the shared place said before its lock was taken.
    /// `running`: one that is to be cut for it, has not been, and so is not yet held against the gate.
    pub(super) fn grant<S>(
        &mut self,
        parts: &mut Parts<'_, S::Gate>,
        shared: &S,
        verdict: &Verdict,
        can_repeat: bool,
        running: Option<&Entry<P>>,
        now: Instant,
    ) -> Result<Wait, Stopped>
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let plan = parts.plan;
        if !verdict.retryable {
            return Err(Stopped::NotRetryable);
        }
        let retry = plan.retry.as_ref().ok_or(Stopped::NoRetry)?;
        let repeatable = match self.repeat {
            Repeat::Always => true,
            Repeat::IfUnreached => !verdict.reached,
            Repeat::Never => false,
        };
        if !repeatable || !can_repeat {
            return Err(Stopped::NotRepeatable);
        }
        if u32::from(self.attempt) > retry.max_retries() {
            return Err(Stopped::MaxRetries);
        }
        let retries = u32::from(self.attempt) - 1;
        let wait =
            retry.delay(retries, Duration::from_nanos(self.waited_nanos), verdict, shared.draw());
        let until = now + wait;
        if until >= self.give_up_at {
            return Err(Stopped::Deadline);
        }
        if until > self.retry_until {
            return Err(Stopped::MaxElapsed);
        }
        let until = self.limited(parts, until, running.is_some(), now)?;
        let ready = match running {
            None => parts.gate.ready_by(until, now),
            Some(Entry { pick, permit, .. }) => parts.gate.ready_instead(*pick, permit, until, now),
        };
        ready.map_err(Stopped::Refused)?;
        // Free only while every endpoint this call has tried is still remembered.
        let free = plan.free_if_unreached
            && !verdict.reached
            && usize::from(self.attempt) <= self.picks.len()
            && parts.gate.has_fresh(&self.picks, now);
        let paid = if free { None } else { parts.charge(now) };
        if !free && paid.is_none() {
            return Err(Stopped::Refused(Refusal::new(Pattern::RetryBudget, Reason::Exhausted)));
        }
        self.waited_nanos = nanos(wait);
        Ok(Wait { until, paid })
    }

    /// When a retry that would start at `until` starts, if the rate limit has a say in it.
    fn limited<G: Gate>(
        &self,
        parts: &Parts<'_, G>,
        until: Instant,
        cuts: bool,
        now: Instant,
    ) -> Result<Instant, Stopped> {
        let each = parts.limiter.as_ref().filter(|limiter| limiter.limits_each_attempt());
        let Some(limiter) = each else { return Ok(until) };
        // Nothing that runs is cut for a retry that the limit would keep waiting.
        let by = if cuts { until } else { self.start_by() };
        let ready = limiter.ready_by(self.cost.into(), self.priority, by, now);
        let ready = ready.map_err(Stopped::Refused)?;
        if ready >= self.give_up_at {
            return Err(Stopped::Deadline);
        }
        let queues = self.patient || limiter.is_shaper();
        Ok(if queues { until } else { until.max(ready) })
    }

    /// The rate limit's leave for a retry, if it needs one.
    fn limit_retry<G: Gate>(
        &mut self,
        parts: &mut Parts<'_, G>,
        now: Instant,
    ) -> Result<(), NotYet> {
        if parts.limiter.as_ref().is_some_and(|limiter| limiter.limits_each_attempt()) {
            parts.limit(self.cost, self.priority, self.patient, self.start_by(), now)?;
            self.pass_limit(parts, now);
        }
        Ok(())
    }

    /// Until when a retry may start.
    pub(super) fn start_by(&self) -> Instant {
        self.give_up_at.min(self.retry_until)
    }

    /// Why nothing of it starts any more, if so.
    pub(super) fn overdue(&self, retry: bool, now: Instant) -> Option<Stopped> {
        if now >= self.give_up_at {
            Some(Stopped::Deadline)
        } else {
            (retry && now > self.retry_until).then_some(Stopped::MaxElapsed)
        }
    }

    pub(super) const fn pause(&mut self, wait: Wait, last: Last) -> Action {
        self.state = State::Waiting { wait, last };
        Action::Wait
    }

    pub(super) fn resume<S>(
        &mut self,
        shared: &S,
        mut wait: Wait,
        last: Last,
        now: Instant,
    ) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let repeatable = shared.can_repeat();
        // What the attempt before it took is used up.
        self.limited_at = Instant::NEVER;
        shared.visit(now, |mut parts| {
            let stopped = if let Some(stopped) = self.overdue(true, now) {
                stopped
            } else if !repeatable {
                // It could when the retry was granted: what was sent since then has outgrown its buffer.
                Stopped::NotRepeatable
            } else if !wait.is_covered(&mut parts, &self.picks, now) {
                Stopped::Refused(Refusal::new(Pattern::RetryBudget, Reason::Exhausted))
            } else {
                let retry = Some((wait, last));
                return match self.limit_retry(&mut parts, now) {
                    Ok(()) => self.enter_later(&mut parts, shared, retry, now),
                    Err(not_yet) => self.not_yet(parts, not_yet, retry),
                };
            };
            self.give_up_retry(&mut parts, wait, last, stopped)
        })
    }
}
