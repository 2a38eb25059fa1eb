//! What elapsed time changes, applied one transition at a time.
//!
//! [`advance`](CircuitBreaker::advance) is asked before anything else and looks at nothing before `due`. Whoever only
//! looks is shown a copy to which it was applied.

use super::{
    CircuitBreaker,
    transitions::{Due, State},
};
use crate::{Cause, Instant, Phase, Transition};

impl CircuitBreaker {
    /// Applies what elapsed time changes, one transition at a time; call until `None`.
    #[inline]
    pub fn advance(&mut self, now: Instant) -> Option<Transition> {
        if now < self.due { None } else { self.advance_due(now) }
    }

    #[cold]
    fn advance_due(&mut self, now: Instant) -> Option<Transition> {
        loop {
            let Some((at, due)) = self.next_due() else {
                self.due = Instant::NEVER;
                return None;
            };
            if at > now {
                self.due = at;
                return None;
            }
            let changed = match due {
                Due::OverrideOver => self.expire(at),
                // Open ▸ half-open when the period is over.
                Due::PeriodOver(cause) => {
                    self.enter(State::HalfOpen { successes: 0, cause }, Cause::PeriodOver, at)
                }
                Due::Probe(n) => self.judge_by_time(n, at),
                Due::Crossing(place) => self.cross(place, at),
            };
            if changed.is_some() {
                return changed;
            }
        }
    }

    /// When time alone may next change the answer: never later than it does, and earlier if what would have changed
    /// it has ended since.
    #[inline]
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        (self.due != Instant::NEVER).then_some(self.due)
    }

    /// Where it stands at `now`, elapsed time applied.
    #[must_use]
    pub fn phase(&self, now: Instant) -> Phase {
        if now < self.due { self.shown() } else { self.elapsed(now).shown() }
    }

    /// What it will be once somebody has applied elapsed time.
    #[cold]
    pub(super) fn elapsed(&self, now: Instant) -> Self {
        let mut then = self.clone();
        while then.advance(now).is_some() {}
        then
    }
}
