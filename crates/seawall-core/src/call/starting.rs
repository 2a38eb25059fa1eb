//! An attempt starts: leave of gate and bulkhead, and the limits it runs under.

use super::{Action, Call, Entry, NotYet, PICKS_KEPT, Parts, Running, State};
use crate::{Draw, Gate, Instant};

impl<P: Copy + PartialEq> Call<P> {
    /// Asks for leave and starts the next attempt, which may wait in line until `by`.
    #[inline(always)]
    pub(super) fn start<G: Gate<Pick = P>>(
        &mut self,
        parts: &mut Parts<'_, G>,
        by: Instant,
        now: Instant,
        draw: impl FnOnce() -> Draw,
    ) -> Result<Action, NotYet> {
        let entry = parts.admit(&self.picks, self.priority, by, self.at_once, now, draw)?;
        Ok(self.run(parts, entry, now))
    }

    /// An attempt with all it needs.
    #[inline(always)]
    pub(super) fn run<G: Gate<Pick = P>>(
        &mut self,
        parts: &Parts<'_, G>,
        entry: Entry<P>,
        now: Instant,
    ) -> Action {
        let plan = parts.plan;
        self.picks[usize::from(self.attempt) % PICKS_KEPT] = Some(entry.pick);
        self.attempt += 1;
        let max_run = parts.bulkhead.as_ref().and_then(|bulkhead| bulkhead.max_run());
        let hard = parts.cap().map_or(Instant::NEVER, |limit| now + limit);
        let hard = max_run.map_or(hard, |limit| hard.min(now + limit));
        let soft = match parts.learned() {
            Some(limit) if plan.cuts_by_learned() => {
                // A callee that comes back is slower than the one that was learned.
                if entry.permit.is_probe() {
                    now + limit.saturating_mul(PROBE_PATIENCE)
                } else {
                    now + limit
                }
            }
            _ => Instant::NEVER,
        };
        let teaches = parts.teaches();
        self.state = State::Running(Running {
            entry,
            started: now,
            from: now,
            hard,
            soft,
            moved: false,
            teaches,
        });
        Action::Start { attempt: self.attempt }
    }
}

/// How many learned limits a probe may take: caches are cold and connections gone, and a probe that is cut opens
/// the breaker for another period. Four is two doublings of the latency, still far below any deadline.
const PROBE_PATIENCE: u32 = 4;
