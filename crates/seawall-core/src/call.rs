//! One call under a policy, as a machine: which attempt starts when, what is charged, what is given back.
//!
//! ```text
//!            begin                       answered, retryable
//!   fresh ──────────▸ running ───────────────────────────────────▸ waiting ──┐
//!     │ refused         │  ▴  │ a limit passed        cancelled       │      │ the wait
//!     │                 │  │  └──────────────▸ cutting ──────────────▸│      │ is over
//!     ▾                 │  └──────────────────────────────────────────┴──────┘
//!   over ◂──────────────┴── answered, and no other attempt follows
//!     ▴                 │
//!     └── streaming ◂───┘  the head was good: the body is still to come
//! ```
//!
//! The composition is written here once and obeyed by every driver: async, blocking, simulated. A driver
//! tells an [`Event`], gets one [`Action`], does it, and knows nothing of retries or breakers. Per call the
//! shared machines are visited twice on the way that matters, once to be admitted and once to report.
//!
//! The order, outside in: deadline ▸ retry (and its budget) ▸ pick ▸ circuit breaker ▸ bulkhead ▸ attempt limit.
//!
//! - A learned limit cuts an attempt only if another may follow: the retry is granted and paid for first.
//!   P95 x 1.5 alone would cut one healthy call in fifty of a long-tailed service.
//! - If the driver comes later than [`WAKE_LATE`] after the moment it asked to be woken, the lateness is ours,
//!   and the attempt's limit moves by it once. Otherwise one stall of this process fires every limit before
//!   the answers that lie ready are read, and opens breakers of healthy callees. The deadline never moves.
//! - While the callee still waits for what our own caller is slow to send, no limit on an attempt cuts, and an
//!   attempt given up is not the callee's failure. The deadline cuts even then.
//! - An attempt that ends without an answer, or that a learned limit cuts, is a failure if it ran at least as long
//!   as the learned limit, or, while nothing is learned, [`Plan::late_after`]; a younger one is ignored. So is one
//!   younger than [`Plan::late_after`] if something else was answered there since it began: a hung callee answers
//!   nothing, one that is slow under load does, and opening its breaker would make an outage of a slow second.

mod attempt;
mod protocol;
mod retrying;
mod visit;

use core::{mem, time::Duration};

use attempt::{Cut, Running, Stream, Wait, close_stream};
pub use protocol::{Action, Ask, Event, Finish, Limit, Repeat};
use visit::Entry;
pub use visit::{Counts, Parts, Shared, Tally};

use crate::{
    End, Gate, Instant, Outcome, Pattern, Plan, Reason, Refusal, Stopped, Verdict,
    plan::LATE_AFTER_MAX,
};

/// One call. Owned by its driver; borrows nothing.
#[derive(Debug)]
pub struct Call<P: Copy = ()> {
    give_up_at: Instant,
    repeat: Repeat,
    attempt: u8,
    picks: [Option<P>; PICKS_KEPT],
    state: State<P>,
}

#[derive(Debug)]
enum State<P> {
    Fresh,
    Running(Running<P>),
    Cutting { cut: Cut<P>, limit: Limit, then: Option<Wait> },
    Waiting { wait: Wait, last: Last },
    Streaming(Stream<P>),
    Over,
}

impl<P> State<P> {
    /// The attempt that runs, if one does; over without it.
    #[inline]
    fn take_running(&mut self) -> Option<Running<P>> {
        // Looked at before it is moved: what stays where it is need not be copied.
        if !matches!(self, Self::Running(_)) {
            return None;
        }
        match mem::replace(self, Self::Over) {
            Self::Running(running) => Some(running),
            _ => None,
        }
    }
}

/// How the attempt before a pause ended.
#[derive(Clone, Copy, Debug)]
enum Last {
    Answered(Outcome),
    Cut(Limit),
}

impl<P: Copy + PartialEq> Call<P> {
    /// A call that has not begun.
    #[inline]
    #[must_use]
    pub const fn new(ask: Ask) -> Self {
        Self {
            give_up_at: ask.give_up_at,
            repeat: ask.repeat,
            attempt: 0,
            picks: [None; PICKS_KEPT],
            state: State::Fresh,
        }
    }

    /// Begins it.
    #[inline]
    pub fn begin<S>(&mut self, shared: &S, now: Instant) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let plan = shared.plan();
        if let Some(deadline) = plan.deadline {
            self.give_up_at = self.give_up_at.min(now + deadline);
        }
        shared.visit(now, |mut parts| {
            parts.counts.calls.started += 1;
            let started = if self.give_up_at <= now {
                Err(Refusal::new(Pattern::Deadline, Reason::TooLate))
            } else {
                self.start(&mut parts, plan, now, || shared.draw())
            };
            match started {
                Ok(action) => {
                    parts.deposit(now);
                    action
                }
                Err(refusal) => {
                    parts.counts.calls.refused += 1;
                    self.state = State::Over;
                    Action::Done(Finish::Refused(refusal))
                }
            }
        })
    }

    /// Hears what happened; says what to do. An event that does not fit where the call stands changes nothing.
    #[inline]
    pub fn on<S>(&mut self, shared: &S, event: Event, now: Instant) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        // By reference: an event is looked at where it lies, not copied.
        if let Event::Ended { attempt, verdict } = &event
            && *attempt == self.attempt
            && let Some(running) = self.state.take_running()
        {
            // Running ▸ waiting, or over.
            self.answered(shared, running, verdict, now)
        } else {
            self.on_other(shared, event, now)
        }
    }

    /// All but the way that matters.
    #[inline(never)]
    fn on_other<S>(&mut self, shared: &S, event: Event, now: Instant) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        match (mem::replace(&mut self.state, State::Over), event) {
            // Running ▸ streaming, or waiting.
            (State::Running(running), Event::Head { attempt, verdict })
                if attempt == self.attempt =>
            {
                self.head(shared, running, verdict, now)
            }
            // Running ▸ cutting, once a limit has passed.
            (State::Running(running), Event::Tick) => self.tick(shared, running, now),
            // Cutting ▸ waiting, or over.
            (State::Cutting { cut, limit, then }, Event::Cancelled { attempt })
                if attempt == self.attempt =>
            {
                self.cut(shared, cut, limit, then, now)
            }
            // Waiting ▸ running, or over if the retry is refused.
            (State::Waiting { wait, last }, Event::Tick) if wait.until <= now => {
                self.resume(shared, wait, last, now)
            }
            // Streaming ▸ over.
            (State::Streaming(stream), Event::Ended { verdict, .. }) => {
                close_stream(shared, stream, verdict.outcome, now);
                Action::Wait
            }
            // Streaming stays, judged a success: it still flows.
            (State::Streaming(mut stream), Event::Tick) => {
                if stream.open.as_ref().is_some_and(|(_, good_at)| *good_at <= now) {
                    shared.visit(now, |mut parts| stream.judge(&mut parts, Outcome::Success, now));
                }
                self.state = State::Streaming(stream);
                Action::Wait
            }
            (state, _) => {
                self.state = state;
                Action::Wait
            }
        }
    }

    /// The driver goes away before the end: its caller left, or the operation panicked.
    #[cold]
    pub fn abandon<S>(&mut self, shared: &S, now: Instant, panicked: bool)
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let (cut, wait) = match mem::replace(&mut self.state, State::Over) {
            State::Running(running) => (Some(Cut::Running(running)), None),
            State::Cutting { cut, then, .. } => (Some(cut), then),
            State::Waiting { wait, .. } => (None, Some(wait)),
            State::Streaming(stream) => {
                return close_stream(shared, stream, Outcome::Ignored, now);
            }
            State::Fresh | State::Over => return,
        };
        let owed_since = shared.owed_since();
        shared.visit(now, |mut parts| {
            let mut outcome = Outcome::Ignored;
            if let Some(cut) = cut {
                parts.counts.panicked += u64::from(panicked);
                outcome = cut.end(&mut parts, shared, panicked, owed_since, now);
            }
            if let Some(wait) = wait {
                wait.cancel(&mut parts);
                outcome = Outcome::Ignored;
            }
            parts.counts.calls.end(outcome);
        });
    }

    /// When the driver must tell [`Event::Tick`] if nothing else happens first. Takes no lock; asked only when
    /// the operation is pending.
    #[inline]
    #[must_use]
    pub fn wake_at(&self) -> Instant {
        match &self.state {
            State::Running(running) => running.due(self.give_up_at),
            State::Waiting { wait, .. } => wait.until,
            State::Streaming(Stream { open: Some((_, good_at)), .. }) => *good_at,
            State::Fresh | State::Cutting { .. } | State::Streaming(_) | State::Over => {
                Instant::NEVER
            }
        }
    }

    /// Whether nothing is left to do: not begun, or over to the last byte.
    #[inline]
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Fresh | State::Over)
    }

    /// When the whole call must have ended.
    #[inline]
    #[must_use]
    pub const fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    /// The number of the attempt that runs or ran last, counted from 1; 0 before the first.
    #[inline]
    #[must_use]
    pub const fn attempt(&self) -> u8 {
        self.attempt
    }

    /// Where this attempt was sent, if it is one of the last four.
    #[inline]
    #[must_use]
    pub fn picked(&self, attempt: u8) -> Option<P> {
        let age = self.attempt.checked_sub(attempt)?;
        (attempt > 0 && usize::from(age) < PICKS_KEPT)
            .then(|| self.picks[usize::from(attempt - 1) % PICKS_KEPT])
            .flatten()
    }

    /// Asks for leave and starts the next attempt.
    #[inline]
    fn start<G: Gate<Pick = P>>(
        &mut self,
        parts: &mut Parts<'_, G>,
        plan: &Plan,
        now: Instant,
        draw: impl FnOnce() -> crate::Draw,
    ) -> Result<Action, Refusal> {
        let entry = parts.admit(&self.picks, now, draw)?;
        self.picks[usize::from(self.attempt) % PICKS_KEPT] = Some(entry.pick);
        self.attempt += 1;
        let hard = plan.attempt.map_or(Instant::NEVER, |limit| now + limit);
        let soft = match parts.learned() {
            Some(limit) if plan.retry.is_some() && plan.retry_timeouts => {
                // A callee that comes back is slower than the one that was learned.
                let patience = if entry.permit.is_probe() { PROBE_PATIENCE } else { 1 };
                now + limit.saturating_mul(patience)
            }
            _ => Instant::NEVER,
        };
        self.state =
            State::Running(Running { entry, started: now, from: now, hard, soft, moved: false });
        Ok(Action::Start { attempt: self.attempt })
    }

    #[inline]
    fn answered<S>(
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
            running.end_answered(&mut parts, verdict.outcome, took, now);
            if verdict.outcome == Outcome::Success {
                parts.counts.calls.succeeded += 1;
            }
        });
        if verdict.outcome == Outcome::Success {
            self.done(Stopped::Succeeded)
        } else {
            self.follow(shared, verdict, now)
        }
    }

    fn head<S>(&mut self, shared: &S, running: Running<P>, verdict: Verdict, now: Instant) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        let repeatable = shared.can_repeat();
        let owed = running.took(shared.owed_since(), now);
        let took = owed.unwrap_or_default();
        shared.visit(now, |mut parts| {
            let late_after = running.late_after(&parts, shared.plan());
            let Entry { pick, permit, place } = running.entry;
            let outcome = verdict.outcome;
            let (open, stopped) = if outcome == Outcome::Success {
                let good_at = now + late_after.max(LATE_AFTER_MAX);
                if owed.is_some() {
                    parts.learn(pick, took, now);
                }
                parts.gate.flows(pick, &permit, good_at);
                (Some((permit, good_at)), Stopped::Succeeded)
            } else {
                parts.judge(pick, permit, End::new(outcome, took), now);
                match self.grant(&mut parts, shared, &verdict, repeatable, None, now) {
                    Ok(wait) => {
                        parts.leave(pick, place, outcome);
                        return self.pause(wait, Last::Answered(outcome));
                    }
                    Err(stopped) => (None, stopped),
                }
            };
            self.state = State::Streaming(Stream { pick, place, open, outcome, took });
            self.done(stopped)
        })
    }

    fn tick<S>(&mut self, shared: &S, mut running: Running<P>, now: Instant) -> Action
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
        let owed = shared.owed_since();
        if owed.is_none_or(|since| since > running.from) {
            running.excuse(owed.unwrap_or(now));
            if owed.is_none() && running.entry.permit.is_probe() {
                shared.visit(now, |mut parts| running.give_up_probe(&mut parts, now));
            }
            if now < running.due(self.give_up_at) {
                self.state = State::Running(running);
                return Action::Wait;
            }
        }
        let late = now.since(due);
        if late > WAKE_LATE && !running.moved {
            running.move_by(late);
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
            match self.grant(&mut parts, shared, &Verdict::FAILURE, repeatable, entry, now) {
                Ok(wait) => {
                    let cut = running.cut_for_another(&mut parts, shared.plan(), now);
                    self.cancel(cut, Limit::Learned, Some(wait))
                }
                Err(_) => {
                    running.soft = Instant::NEVER;
                    self.state = State::Running(running);
                    Action::Wait
                }
            }
        })
    }

    fn cut<S>(
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
        shared.visit(now, |mut parts| {
            let own_limit = limit != Limit::Deadline;
            parts.counts.timed_out += u64::from(own_limit);
            cut.end(&mut parts, shared, own_limit, owed_since, now);
            let granted = match (then, limit) {
                (Some(wait), _) => Ok(wait),
                (None, Limit::Deadline) => {
                    parts.counts.deadline_passed += 1;
                    Err(Stopped::Deadline)
                }
                (None, _) if !shared.plan().retry_timeouts => Err(Stopped::NotRetryable),
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

    #[inline]
    const fn done(&self, stopped: Stopped) -> Action {
        Action::Done(Finish::Answer { attempt: self.attempt, stopped })
    }
}

/// Five milliseconds: five times the grain of common timers, well below any limit worth setting.
pub const WAKE_LATE: Duration = Duration::from_millis(5);
/// How many learned limits a probe may take: caches are cold and connections gone, and a probe that is cut opens
/// the breaker for another period. Four is two doublings of the latency, still far below any deadline.
const PROBE_PATIENCE: u32 = 4;
/// Endpoints a call remembers having tried.
const PICKS_KEPT: usize = 4;

#[cfg(test)]
mod tests;
