//! Open-loop traffic: callers come at a rate, whatever became of those before them.
//!
//! ```text
//!   rate        ───────╮    ╭────────     phases change it
//!                      ╰────╯
//!   arrivals    | |  ||   |   |  | ||     exponential gaps, or even ones
//!   users       a call that failed may come again as a new call: to us it looks like more traffic
//! ```

use core::time::Duration;

use seawall_core::{Draws, Priority};

use crate::latency::{exponential, nanos};

/// One stream of callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Callers per second from the start. Default 100.
    pub rate: u32,
    /// Later rates, from these moments on, in order of time. Default none.
    pub phases: Vec<(Duration, u32)>,
    /// Whether they come at even distances instead of by chance. Default false.
    pub even: bool,
    /// Whether users whose call failed come again by themselves. Default none.
    pub again: Option<Again>,
    /// How long a caller stays before it leaves without an answer. Default: until the end.
    pub patience: Option<Duration>,
    /// How urgent its calls are; the totals are told apart by it. Default normal.
    pub priority: Priority,
}

/// Users who come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// How many times.
    pub times: u8,
    /// After how long.
    pub after: Duration,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            rate: 100,
            phases: Vec::new(),
            even: false,
            again: None,
            patience: None,
            priority: Priority::Normal,
        }
    }
}

impl Traffic {
    /// When the next caller after `now` comes; `None`: never.
    pub(crate) fn next(&self, now: u64, draws: &mut Draws) -> Option<u64> {
        let mut from = now;
        loop {
            let begun = self.phases.iter().take_while(|(at, _)| nanos(*at) <= from);
            let rate = begun.last().map_or(self.rate, |(_, rate)| *rate);
            let ends = self.phases.iter().map(|(at, _)| nanos(*at)).find(|at| *at > from);
            if let Some(gap) = SECOND.checked_div(u64::from(rate)) {
                let gap = if self.even { gap } else { exponential(gap, draws.draw()) };
                let next = from.saturating_add(gap);
                // Exponential gaps remember nothing, so one that crosses into another phase is drawn anew.
                if ends.is_none_or(|ends| next < ends) {
                    return Some(next);
                }
            }
            from = ends?;
        }
    }
}

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(traffic: &Traffic, until: u64) -> Vec<u64> {
        let mut draws = Draws::seeded(4);
        let next = |at: &u64| traffic.next(*at, &mut draws).filter(|at| *at < until);
        std::iter::successors(Some(0), next).skip(1).collect()
    }

    #[test]
    fn callers_come_at_the_rate_of_their_phase() {
        let phases = [(2, 0), (3, 5_000)].map(|(at, rate)| (Duration::from_secs(at), rate));
        for even in [false, true] {
            let traffic =
                Traffic { rate: 1_000, phases: phases.to_vec(), even, ..Traffic::default() };
            let seen = arrivals(&traffic, 4 * SECOND);
            let count = |s: u64| seen.iter().filter(|at| **at / SECOND == s).count() as u64;
            assert!(count(0).abs_diff(1_000) < 100, "{}", count(0));
            assert_eq!(count(2), 0);
            assert!(count(3).abs_diff(5_000) < 300, "{}", count(3));
        }
    }

    #[test]
    fn a_stream_that_dries_up_ends() {
        let traffic = Traffic { phases: vec![(Duration::from_secs(1), 0)], ..Traffic::default() };
        let seen = arrivals(&traffic, u64::MAX);
        assert!(!seen.is_empty() && seen.iter().all(|at| *at < SECOND));
    }
}
