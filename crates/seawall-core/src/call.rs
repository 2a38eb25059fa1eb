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
//! The order, outside in: deadline ▸ rate limit ▸ retry (and its budget) ▸ pick ▸ circuit breaker ▸ bulkhead ▸ attempt limit.
//!
//! - A retry passes the rate limit only where that limits each attempt. What is refused there, or starts in vain, leaves
//!   the answer before it, and gives back what it took.
//! - A learned limit cuts an attempt only if another may follow: the retry is granted and paid for first.
//!   P95 x 1.5 alone would cut one healthy call in fifty of a long-tailed service. Nor while calls wait in the
//!   bulkhead and the callee answers others: it is busy, and one whose every attempt is cut early looks hung.
//! - If the driver comes later than [`WAKE_LATE`] after the moment it asked to be woken, the lateness is ours,
//!   and the attempt's limit moves once: to as long after this moment as we were late, and no longer than it was.
//!   Otherwise one stall of this process fires every limit before the answers that lie ready are read, and opens
//!   breakers of healthy callees. The deadline never moves.
//! - While the callee still waits for what our own caller is slow to send, no limit on an attempt cuts, and an
//!   attempt given up is not the callee's failure. The deadline cuts even then.
//! - An attempt that ends without an answer, or that a learned limit cuts, is a failure if it ran at least as long
//!   as its breaker says is slow, else as the learned limit, or, while nothing is learned, [`Plan::late_after`]; a
//!   younger one is ignored. So is one younger than [`Plan::late_after`] if something else was answered there since it began: a hung callee answers
//!   nothing, one that is slow under load does, and opening its breaker would make an outage of a slow second.
//! - What a visit wakes may panic, and the visit with it, once its step is done. So whoever visits twice, or goes on after
//!   a visit, leaves in its place what [`Call::abandon`] has to give back.
//! - A failure that comes with the deadline is judged like an attempt without an answer: what the operation calls
//!   inherits the deadline and gives up then, or a caller with 5 ms left would open the breaker for all.

mod answering;
mod attempt;
mod counts;
mod cutting;
mod parts;
mod protocol;
mod questions;
mod queueing;
mod retrying;
mod shared;
mod starting;
mod state;
mod turn;

use core::{mem, time::Duration};

use attempt::{Cut, Running, Stream, close_stream};
pub use counts::{Counts, Tally};
use parts::Entry;
pub use parts::Parts;
pub use protocol::{Action, Ask, Event, Finish, Limit, Line, Repeat};
pub use shared::Shared;
use state::{Last, State};
use turn::{Come, NotYet, Turn};

use crate::{Gate, Instant, Outcome, Pattern, Priority, Reason, Refusal, Retry};

/// One call. Owned by its driver; borrows nothing.
#[derive(Debug)]
pub struct Call<P: Copy = ()> {
    begun: Instant,
    give_up_at: Instant,
    /// No retry starts later.
    retry_until: Instant,
    /// The wait before the last retry, without what a rate limit made of it.
    waited_nanos: u64,
    /// The learned limit that cut an attempt of this call; zero if none did.
    cut_after_nanos: u64,
    /// When the rate limit let through what has not run yet; `NEVER` if it did not have to. Once that runs it is past.
    limited_at: Instant,
    repeat: Repeat,
    priority: Priority,
    cost: u32,
    patient: bool,
    at_once: bool,
    attempt: u8,
    picks: [Option<P>; PICKS_KEPT],
    state: State<P>,
}

impl<P: Copy + PartialEq> Call<P> {
    /// A call that has not begun.
    #[inline]
    #[must_use]
    pub const fn new(ask: Ask) -> Self {
        Self {
            begun: Instant::ORIGIN,
            give_up_at: ask.give_up_at,
            retry_until: Instant::NEVER,
            waited_nanos: 0,
            cut_after_nanos: 0,
            limited_at: Instant::NEVER,
            repeat: ask.repeat,
            priority: ask.priority,
            cost: ask.cost,
            patient: ask.patient,
            at_once: ask.at_once,
            attempt: 0,
            picks: [None; PICKS_KEPT],
            state: State::Fresh,
        }
    }

    /// Whoever makes it must have ended by `at`, and so must it. To be told before it begins.
    #[inline]
    pub fn end_by(&mut self, at: Instant) {
        self.give_up_at = self.give_up_at.min(at);
    }

    /// Begins it.
    #[inline]
    pub fn begin<S>(&mut self, shared: &S, now: Instant) -> Action
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        if self.starts(shared, now) {
            Action::Start { attempt: self.attempt }
        } else {
            self.not_started()
        }
    }

    /// As [`begin`](Self::begin), for drivers that want the least: whether the first attempt is to start. If not, it was
    /// [refused](Self::refusal), or waits.
    #[inline]
    pub fn starts<S>(&mut self, shared: &S, now: Instant) -> bool
    where
        S: Shared<Gate: Gate<Pick = P>>,
    {
        self.begun = now;
        // Only whether it starts is carried past the unlocking: to read back wide what has just been written narrow
        // would cost more than the whole decision.
        shared.visit(now, |mut parts| {
            let plan = parts.plan;
            if let Some(deadline) = plan.deadline {
                self.give_up_at = self.give_up_at.min(now + deadline);
            }
            if let Some(max_elapsed) = plan.retry.as_ref().and_then(Retry::max_elapsed) {
                self.retry_until = now + max_elapsed;
            }
            parts.counts.calls.started += 1;
            let entered = if self.give_up_at <= now {
                Err(NotYet::No(Refusal::new(Pattern::Deadline, Reason::TooLate)))
            } else {
                parts.limit(self.cost, self.priority, self.patient, self.give_up_at, now)
            };
            let entered = entered.and_then(|()| {
                self.pass_limit(&parts, now);
                self.enter(&mut parts, shared, true, now)
            });
            match entered {
                Ok(_) => true,
                Err(not_yet) => {
                    // Lent on, so that the machines need not lie in memory for those that go at once.
                    self.first_not_yet(parts.reborrow(), not_yet);
                    false
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
            // Queued ▸ running, or over if its turn does not come.
            (State::Queued { turn, retry }, Event::Woken) => {
                self.called_up(shared, turn, retry, now)
            }
            (State::Queued { turn, retry }, Event::Tick) if turn.until <= now => {
                self.called_up(shared, turn, retry, now)
            }
            // Streaming ▸ over.
            (State::Streaming(stream), Event::Ended { verdict, .. }) => {
                close_stream(shared, stream, verdict.outcome, now);
                Action::Wait
            }
            // Streaming stays, judged a success: it still flows.
            (State::Streaming(stream), Event::Tick) => {
                let flowed = stream.open.as_ref().is_some_and(|(_, good_at)| *good_at <= now);
                self.state = State::Streaming(stream);
                if flowed {
                    self.judge_good(shared, now);
                }
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
        let (mut turn, mut outcome) = (None, Outcome::Ignored);
        let (cut, wait) = match mem::replace(&mut self.state, State::Over) {
            State::Running(running) => (Some(Cut::Running(running)), None),
            State::Cutting { cut, then, .. } => (Some(cut), then),
            State::Waiting { wait, .. } => (None, Some(wait)),
            State::Queued { turn: left, retry } => {
                turn = Some(left);
                (None, retry.map(|(wait, _)| wait))
            }
            State::Streaming(stream) => {
                return close_stream(shared, stream, Outcome::Ignored, now);
            }
            State::Answered(judged) => {
                outcome = judged;
                (None, None)
            }
            State::Fresh | State::Refused(_) | State::Over => return,
        };
        let owed_since = shared.owed_since();
        shared.visit(now, |mut parts| {
            if let Some(cut) = cut {
                parts.counts.panicked += u64::from(panicked);
                outcome = cut.end(&mut parts, panicked, owed_since, now);
            }
            if let Some(wait) = wait {
                wait.cancel(&mut parts);
                outcome = Outcome::Ignored;
            }
            if let Some(turn) = turn {
                parts.abandon(turn);
                self.give_tokens_back(&mut parts);
            }
            parts.counts.calls.end(outcome);
        });
    }
}

/// Five milliseconds: five times the grain of common timers, well below any limit worth setting.
pub const WAKE_LATE: Duration = Duration::from_millis(5);
/// Whatever the operation calls ends with the deadline too, by a timer of its own: a millisecond, the grain of common
/// timers, tells that from a failure that only came late.
const DEADLINE_GRAIN: Duration = Duration::from_millis(1);
/// Endpoints a call remembers having tried.
const PICKS_KEPT: usize = 4;

#[cfg(test)]
mod tests;
