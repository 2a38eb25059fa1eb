//! What a run does and when, decided before it begins: every arrival and every fault.
//!
//! ```text
//!  0 s    3       5.5     7.5     10      12     14.5    16.5     19     21
//!  | calm | slow 1 | calm | error | calm | hang  | calm | kill   | calm |
//!                           1 2            2 3            1 3
//! ```
//!
//! Both sides of a run get the same plan, so they differ in the one thing that is judged. Arrivals
//! are a Poisson process given its count: `rate x seconds` instants drawn independently and uniformly,
//! then sorted. That bunches like real traffic, needs no logarithm, and makes every seed offer equally many
//! requests. Arrivals never wait for answers (an open loop), so a slow callee cannot thin out the
//! load that judges it.

use std::{fmt, ops::Range, time::Duration};

use seawall_core::Draws;

/// What is wrong with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Right answers, late by this much.
    Slow(Duration),
    /// Answers 500, at once.
    Error,
    /// Accepts and reads, never answers.
    Hang,
    /// Its port refuses and its connections are reset.
    Kill,
}

impl Fault {
    /// The name, as in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Slow(_) => "slow",
            Self::Error => "error",
            Self::Hang => "hang",
            Self::Kill => "kill",
        }
    }
}

/// As a person would say it: `slow by 2 s`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(by) => write!(f, "slow by {} s", by.as_secs_f64()),
            Self::Error => f.write_str("answering 500"),
            Self::Hang => f.write_str("hanging"),
            Self::Kill => f.write_str("killed"),
        }
    }
}

/// One fault, from when to when, at which backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Episode {
    /// What is wrong.
    pub(crate) fault: Fault,
    /// With whom: numbers from 1 to 3.
    pub(crate) backends: &'static [u8],
    /// When it begins, from the start of the side.
    pub(crate) start: Duration,
    /// When it ends.
    pub(crate) end: Duration,
}

/// One side of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Length of a side in seconds.
    pub(crate) seconds: u32,
    /// Requests per second.
    pub(crate) rate: u32,
    /// What all chance in the run is drawn from.
    pub(crate) seed: u64,
    /// When each request is due, from the start of the side, in order.
    pub(crate) arrivals: Vec<Duration>,
    /// What breaks, in order, without overlap.
    pub(crate) episodes: Vec<Episode>,
}

impl Plan {
    /// The plan of a side of `seconds` at `rate` requests per second; 0 counts as 1 for both.
    pub(crate) fn new(seconds: u32, seed: u64, rate: u32) -> Self {
        let (seconds, rate) = (seconds.max(1), rate.max(1));
        let length = Duration::from_secs(u64::from(seconds));
        let mut draws = Draws::seeded(seed);
        let last = length - Duration::from_nanos(1);
        let mut arrivals: Vec<_> = (0..u64::from(seconds) * u64::from(rate))
            .map(|_| draws.draw().between(Duration::ZERO, last))
            .collect();
        arrivals.sort_unstable();
        let at = |millis: u64| Duration::from_millis(millis) * seconds / SECONDS;
        let episodes = FAULTS
            .map(|(fault, backends, start)| Episode {
                fault,
                backends,
                start: at(start),
                end: at(start + FAULT_MILLIS),
            })
            .to_vec();
        Self { seconds, rate, seed, arrivals, episodes }
    }

    /// How long a side lasts.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    /// The episode that lasts at this moment.
    pub(crate) fn during(&self, at: Duration) -> Option<&Episode> {
        self.episodes.iter().find(|e| e.start <= at && at < e.end)
    }

    /// When the requests are due that episode `index` answers for: until the next one, or the end. They begin a
    /// little before the episode, for it also meets what is in progress.
    pub(crate) fn blamed(&self, index: usize) -> Range<Duration> {
        let begins = |episode: &Episode| episode.start.saturating_sub(IN_PROGRESS);
        let from = self.episodes.get(index).map_or_else(|| self.length(), begins);
        from..self.episodes.get(index + 1).map_or_else(|| self.length(), begins)
    }
}

/// How long a healthy backend works on request `item`: 5 to 20 ms, the same at every backend and on both
/// sides.
pub(crate) fn service_time(seed: u64, item: u64) -> Duration {
    Draws::nth(seed, item).next().between(Duration::from_millis(5), Duration::from_millis(20))
}

/// Default length of a side: two of them, with start and end, stay under 45 s.
pub(crate) const SECONDS: u32 = 21;
/// The shortest side that still tells something: the calm between two faults is then 1.3 s, enough for a
/// circuit that stays open for 1 s to close again.
pub(crate) const MIN_SECONDS: u32 = 14;
/// Default requests per second: 500 during each fault, yet idle time on two cores.
pub(crate) const RATE: u32 = 200;

/// Twice the deadline, so that waiting for it is never right, yet within the generator's patience.
const SLOW: Fault = Fault::Slow(Duration::from_secs(2));
/// What breaks, where, and from which millisecond of a side of the default length. Three of four
/// faults take two backends of three, so that picking another at random is no answer.
const FAULTS: [(Fault, &[u8], u64); 4] = [
    (SLOW, &[1], 3_000),
    (Fault::Error, &[1, 2], 7_500),
    (Fault::Hang, &[2, 3], 12_000),
    (Fault::Kill, &[1, 3], 16_500),
];
/// How old a request may be that a fault catches: 20 ms of work, and some waiting before it.
const IN_PROGRESS: Duration = Duration::from_millis(50);
/// How long each fault lasts in a side of the default length.
const FAULT_MILLIS: u64 = 2_500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_schedule_is_the_one_drawn_above() {
        let plan = Plan::new(SECONDS, 7, RATE);
        let told: Vec<_> = plan
            .episodes
            .iter()
            .map(|e| (e.fault.name(), e.backends, e.start.as_secs_f64(), e.end.as_secs_f64()))
            .collect();
        assert_eq!(
            told,
            [
                ("slow", &[1][..], 3.0, 5.5),
                ("error", &[1, 2], 7.5, 10.0),
                ("hang", &[2, 3], 12.0, 14.5),
                ("kill", &[1, 3], 16.5, 19.0),
            ]
        );
        assert_eq!(plan.length(), Duration::from_secs(21));
    }

    #[test]
    fn the_seed_alone_decides() {
        for seed in [0, 1, 7, u64::MAX] {
            assert_eq!(Plan::new(21, seed, 200), Plan::new(21, seed, 200));
            assert_ne!(Plan::new(21, seed, 200).arrivals, Plan::new(21, seed ^ 1, 200).arrivals);
            assert_eq!(service_time(seed, 9), service_time(seed, 9));
        }
    }

    #[test]
    fn every_length_offers_the_whole_rate_and_keeps_the_order() {
        for (seconds, rate) in [(0, 0), (1, 1), (1, 200), (MIN_SECONDS, 50), (60, 200)] {
            let plan = Plan::new(seconds, 3, rate);
            assert_eq!(plan.arrivals.len() as u32, seconds.max(1) * rate.max(1));
            assert!(plan.arrivals.is_sorted());
            assert!(plan.arrivals.iter().all(|at| *at < plan.length()));
            let edges: Vec<_> = plan.episodes.iter().flat_map(|e| [e.start, e.end]).collect();
            assert!(edges.is_sorted() && edges[7] < plan.length());
            assert!(plan.episodes.iter().all(|e| e.start < e.end));
        }
    }

    #[test]
    fn arrivals_bunch_as_independent_ones_do() {
        // In a Poisson process the share of gaps longer than the mean gap is 1/e = 36.8 %.
        let plan = Plan::new(60, 11, 200);
        let gaps = plan.arrivals.windows(2).filter(|w| w[1] - w[0] > Duration::from_millis(5));
        let share = gaps.count() as f64 / plan.arrivals.len() as f64;
        assert!((0.34..0.40).contains(&share), "{share}");
    }

    #[test]
    fn the_shortest_sensible_side_lets_a_circuit_close_between_faults() {
        let plan = Plan::new(MIN_SECONDS, 7, RATE);
        for pair in plan.episodes.windows(2) {
            assert!(pair[1].start - pair[0].end > Duration::from_millis(1_300));
        }
    }

    #[test]
    fn an_episode_answers_for_all_that_is_due_until_the_next_one() {
        let plan = Plan::new(SECONDS, 7, RATE);
        let at = Duration::from_millis;
        for (when, what) in [(0, None), (3_000, Some("slow")), (5_499, Some("slow")), (5_500, None)]
        {
            assert_eq!(plan.during(at(when)).map(|e| e.fault.name()), what, "{when}");
        }
        assert_eq!(plan.blamed(0), at(2_950)..at(7_450));
        assert_eq!(plan.blamed(3), at(16_450)..at(21_000));
    }

    #[test]
    fn a_healthy_backend_works_5_to_20_ms() {
        let times: Vec<_> = (0..1_000).map(|item| service_time(7, item).as_millis()).collect();
        assert!(times.iter().all(|t| (5..=20).contains(t)));
        assert!(times.iter().any(|t| *t < 6) && times.iter().any(|t| *t >= 19));
    }
}
