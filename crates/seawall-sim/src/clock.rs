//! The clock the clients read, which need not be the time that passes.
//!
//! ```text
//!   true time     ──────────────────────────▸    events happen in it, timers ring in it
//!   clock shows   ───── stands ─── back ── ahead     machines are handed this
//! ```
//!
//! A driver reads a clock and sleeps on a timer, and the two may disagree: a virtual machine is paused, a clock is
//! set. So the timer here runs on true time, and what a call is told as `now` comes from the clock.

use core::time::Duration;

use seawall_core::Instant;

use crate::latency::nanos;

/// What befalls the clients' clock, at moments of true time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// When and what, in order of time.
    pub steps: Vec<(Duration, ClockStep)>,
}

/// One thing that befalls a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClockStep {
    /// It stops where it is.
    Stand,
    /// It goes on from where it stood.
    Run,
    /// It is set back.
    Back(Duration),
    /// It jumps ahead.
    Ahead(Duration),
}

/// The clock while it runs.
#[derive(Debug)]
pub(crate) struct Hands {
    set_at: u64,
    showed: u64,
    stands: bool,
    /// How often anything befell it.
    pub(crate) moved: u32,
}

impl Hands {
    pub(crate) const fn new() -> Self {
        Self { set_at: 0, showed: START, stands: false, moved: 0 }
    }

    /// What it shows at this true time.
    pub(crate) const fn show(&self, at: u64) -> Instant {
        let since = if self.stands { 0 } else { at - self.set_at };
        Instant::from_nanos(self.showed + since)
    }

    pub(crate) fn befall(&mut self, step: ClockStep, at: u64) {
        (self.showed, self.set_at) = (self.show(at).as_nanos(), at);
        self.moved += 1;
        match step {
            ClockStep::Stand => self.stands = true,
            ClockStep::Run => self.stands = false,
            ClockStep::Back(by) => self.showed = self.showed.saturating_sub(nanos(by)),
            ClockStep::Ahead(by) => self.showed = self.showed.saturating_add(nanos(by)),
        }
    }
}

/// A day: room to step back.
const START: u64 = 86_400_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_befell_it() {
        let (mut hands, second) = (Hands::new(), Duration::from_secs(1));
        let shows = |hands: &Hands, at| hands.show(at).as_nanos() - START;
        assert_eq!(shows(&hands, 5), 5);
        hands.befall(ClockStep::Stand, 5);
        assert_eq!(shows(&hands, 9), 5);
        hands.befall(ClockStep::Ahead(second), 10);
        hands.befall(ClockStep::Run, 12);
        assert_eq!(shows(&hands, 20), 1_000_000_013);
        hands.befall(ClockStep::Back(second), 20);
        assert_eq!((shows(&hands, 21), hands.moved), (14, 4));
    }
}
