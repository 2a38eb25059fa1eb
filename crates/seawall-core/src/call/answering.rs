//! An attempt is answered, by all it has to say or by the head of a stream: what that counts as, and what follows.

use core::time::Duration;

use super::{Action, Call, Entry, Finish, Last, Running, Shared, State, Stream};
use crate::{End, Gate, Instant, Outcome, Stopped, Verdict, plan::LATE_AFTER_MAX, time::nanos};

impl<P: Copy + PartialEq> Call<P> {
    #[inline]
    pub(super) fn answered<S>(
        &mut self,
        shared: &S,
        running: Running<P>,
        verdict: &Verdict,
        now: Instant,
    ) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let took = running.took(shared.owed_since(), now);
        shared.visit(now, |mut parts| {
            parts.counts.overran += u64::from(now > running.hard.min(self.give_up_at));
            let outcome = running.blame(&parts, verdict.outcome, took, self.give_up_at, now);
            running.end_answered(&mut parts, outcome, took, now);
            if verdict.outcome == Outcome::Success {
                parts.counts.calls.succeeded += 1;
                if self.attempt > 1 {
                    parts.counts.false_timeouts += self.was_cut_wrongly(took);
                }
            } else {
                // If what is woken now panics, nothing follows.
                self.state = State::Answered(verdict.outcome);
            }
        });
        if verdict.outcome == Outcome::Success {
            self.done(Stopped::Succeeded)
        } else {
            self.follow(shared, verdict, now)
        }
    }

    pub(super) fn head<S>(
        &mut self,
        shared: &S,
        running: Running<P>,
        verdict: Verdict,
        now: Instant,
    ) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let repeatable = shared.can_repeat();
        let owed = running.took(shared.owed_since(), now);
        let took = owed.unwrap_or_default();
        shared.visit(now, |mut parts| {
            let late_after = running.late_after(&parts);
            let started = running.started;
            let outcome = running.blame(&parts, verdict.outcome, owed, self.give_up_at, now);
            let Entry { pick, permit, place } = running.entry;
            let (open, stopped) = if outcome == Outcome::Success {
                let good_at = now + late_after.max(LATE_AFTER_MAX);
                if owed.is_some() {
                    parts.learn(pick, running.teaches, took, now);
                }
                parts.counts.false_timeouts += self.was_cut_wrongly(owed);
                parts.gate.flows(pick, &permit, good_at);
                (Some((permit, good_at)), Stopped::Succeeded)
            } else {
                parts.judge(pick, permit, End::new(outcome, took), now);
                match self.grant(&mut parts, shared, &verdict, repeatable, None, now) {
                    Ok(wait) => {
                        parts.leave(pick, place, outcome, now.since(started));
                        return self.pause(wait, Last::Answered(outcome));
                    }
                    Err(stopped) => (None, stopped),
                }
            };
            self.state = State::Streaming(Stream { pick, place, started, open, outcome, took });
            self.done(stopped)
        })
    }

    /// It has flowed long enough. It stays where it is meanwhile, for what is woken may panic.
    pub(super) fn judge_good<S>(&mut self, shared: &S, now: Instant)
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        shared.visit(now, |mut parts| {
            if let State::Streaming(stream) = &mut self.state {
                stream.judge(&mut parts, Outcome::Success, now);
            }
        });
    }

    /// 1 if a success that took this long shows that an attempt before it was cut too early.
    #[inline]
    fn was_cut_wrongly(&self, took: Option<Duration>) -> u64 {
        let cut = self.cut_after_nanos != 0;
        u64::from(cut && took.is_some_and(|took| nanos(took) > self.cut_after_nanos))
    }

    #[inline]
    pub(super) const fn done(&self, stopped: Stopped) -> Action {
        Action::Done(Finish::Answer { attempt: self.attempt, stopped })
    }
}
