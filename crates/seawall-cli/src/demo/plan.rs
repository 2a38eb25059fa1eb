//! What a run does and when, decided before it begins: every arrival and every fault.
//!
//! ```text
//!  0 s    3       5.5    7.5     10     12     14.5   16.5     19     21      25     28
//!  | calm | slow 1 | calm | error | calm | hang | calm | kill  | calm | over- | calm |
//!                           1 2           2 3           1 3             load
//! ```
//!
//! Both sides of a run get the same plan, so they differ in the one thing that is judged. Arrivals
//! are a Poisson process given its count: `rate x seconds` instants drawn independently and uniformly,
//! then sorted. That bunches like real traffic, needs no logarithm, and makes every seed offer equally many
//! requests. Arrivals never wait for answers (an open loop), so a slow callee cannot thin out the
//! load that judges it.
//!
//! An overload is a fault of the callers: nothing is wrong with the backends, but more is asked of them than
//! they can do. Nobody can serve all of it then, so it is judged by itself: who was served, who was told to come
//! again, and who got nothing.

use std::{fmt, ops::Range, time::Duration};

use seawall_core::{Draws, Priority};

/// What is wrong, with a backend or with the load.
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
    /// So many requests a second, more than the backends can serve.
    Overload(u32),
}

impl Fault {
    /// The name, as in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Slow(_) => "slow",
            Self::Error => "error",
            Self::Hang => "hang",
            Self::Kill => "kill",
            Self::Overload(_) => "overload",
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
            Self::Overload(rate) => {
                let times = f64::from(OVERLOAD_PERCENT) / 100.0;
                write!(f, "{rate} requests/s, {times} x what can be served")
            }
        }
    }
}

/// One fault, from when to when, at which backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Episode {
    /// What is wrong.
    pub(crate) fault: Fault,
    /// With whom: numbers from 1 to 3; nobody in an overload.
    pub(crate) backends: &'static [u8],
    /// When it begins, from the start of the side.
    pub(crate) start: Duration,
    /// When it ends.
    pub(crate) end: Duration,
}

impl Episode {
    /// Its end, as a person would say it.
    pub(crate) fn over(&self) -> String {
        match self.fault {
            Fault::Overload(_) => "no more than before".to_owned(),
            _ => format!("{} well again", self.who()),
        }
    }

    /// `backend 1`, `backends 1 and 2`.
    fn who(&self) -> String {
        let numbers: Vec<_> = self.backends.iter().map(u8::to_string).collect();
        let plural = if numbers.len() > 1 { "s" } else { "" };
        format!("backend{plural} {}", numbers.join(" and "))
    }
}

/// As a person would say it: `backends 1 and 2 hanging`.
impl fmt::Display for Episode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Overload(_) => self.fault.fmt(f),
            fault => write!(f, "{} {fault}", self.who()),
        }
    }
}

/// One side of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Length of a side in seconds.
    pub(crate) seconds: u32,
    /// Requests per second, but for an overload.
    pub(crate) rate: u32,
    /// Requests that a backend works on at once.
    pub(crate) slots: u32,
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
        let at = |millis: u64| Duration::from_millis(millis) * seconds / SECONDS;
        let slots = (rate / RATE_OF_SLOT).max(1);
        let episodes = schedule(slots)
            .map(|(fault, backends, start, lasts)| Episode {
                fault,
                backends,
                start: at(start),
                end: at(start + lasts),
            })
            .to_vec();
        let mut draws = Draws::seeded(seed);
        let mut arrivals = Vec::new();
        let mut arrive = |rate: u32, from: Duration, to: Duration| {
            let count = u64::from(rate) * (to - from).as_millis() as u64 / 1_000;
            let last = to - Duration::from_nanos(1);
            arrivals.extend((0..count).map(|_| draws.draw().between(from, last)));
        };
        arrive(rate, Duration::ZERO, length);
        for episode in &episodes {
            if let Fault::Overload(in_all) = episode.fault {
                arrive(in_all.saturating_sub(rate), episode.start, episode.end);
            }
        }
        arrivals.sort_unstable();
        Self { seconds, rate, slots, seed, arrivals, episodes }
    }

    /// How long a side lasts.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    /// Requests a second that the three backends can serve.
    pub(crate) const fn capacity(&self) -> u32 {
        capacity(self.slots)
    }

    /// The episode that lasts at this moment.
    pub(crate) fn during(&self, at: Duration) -> Option<&Episode> {
        self.episodes.iter().find(|e| e.start <= at && at < e.end)
    }

    /// Whether what is due at this moment meets an overload, or what one has left waiting.
    pub(crate) fn is_overloaded(&self, at: Duration) -> bool {
        let overload = |e: &&Episode| matches!(e.fault, Fault::Overload(_));
        self.episodes.iter().filter(overload).any(|e| e.start <= at && at < e.end + LEFT_WAITING)
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

/// What breaks, where, from which millisecond of a side of the default length and for how many. Three of the faults
/// take two backends of three, so that picking another at random is no answer.
const fn schedule(slots: u32) -> [(Fault, &'static [u8], u64, u64); 5] {
    let overload = Fault::Overload(capacity(slots) * OVERLOAD_PERCENT / 100);
    [
        (SLOW, &[1], 3_000, 2_500),
        (Fault::Error, &[1, 2], 7_500, 2_500),
        (Fault::Hang, &[2, 3], 12_000, 2_500),
        (Fault::Kill, &[1, 3], 16_500, 2_500),
        (overload, &[], 21_000, 4_000),
    ]
}

/// Three backends, so many at once, for 12.5 ms on average.
const fn capacity(slots: u32) -> u32 {
    slots * 3 * 80
}

/// How urgent request `item` is, the same on both sides. The two most urgent classes alone are a third of what
/// the backends can serve in an overload, the third fits as well, the fourth in part.
pub(crate) fn priority(seed: u64, item: u64) -> Priority {
    match Draws::nth(seed, item).next().next().below(100) {
        0..5 => Priority::Critical,
        5..20 => Priority::High,
        20..45 => Priority::Normal,
        45..75 => Priority::Low,
        _ => Priority::Background,
    }
}

/// Default length of a side: two of them, with start and end, take a minute.
pub(crate) const SECONDS: u32 = 28;
/// The shortest side that still tells something: the calm between two faults is then 1.3 s, enough for a
/// circuit that stays open for 1 s to close again.
pub(crate) const MIN_SECONDS: u32 = 19;
/// Default requests per second: 500 during each fault, yet idle time on two cores.
pub(crate) const RATE: u32 = 200;
/// How long a request may wait for its turn, and so how long an overload lasts beyond its end.
pub(crate) const LEFT_WAITING: Duration = Duration::from_millis(500);

/// Twice the deadline, so that waiting for it is never right, yet within the generator's patience.
const SLOW: Fault = Fault::Slow(Duration::from_secs(2));
/// Of what can be served. Enough to fill every queue within a second, and what a service that is mentioned in the
/// news might see.
const OVERLOAD_PERCENT: u32 = 180;
/// One at once for so many requests a second: then one backend alone can serve all of them, five eighths busy.
const RATE_OF_SLOT: u32 = 50;
/// How old a request may be that a fault catches: 20 ms of work, and some waiting before it.
const IN_PROGRESS: Duration = Duration::from_millis(50);

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
                ("overload", &[], 21.0, 25.0),
            ]
        );
        assert_eq!(plan.length(), Duration::from_secs(28));
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
        for (seconds, rate, more) in
            [(0, 0, 61), (1, 1, 61), (1, 200, 216), (28, 50, 1_528), (28, 200, 6_112)]
        {
            let plan = Plan::new(seconds, 3, rate);
            assert_eq!(plan.arrivals.len() as u32, seconds.max(1) * rate.max(1) + more);
            assert!(plan.arrivals.is_sorted());
            assert!(plan.arrivals.iter().all(|at| *at < plan.length()));
            let edges: Vec<_> = plan.episodes.iter().flat_map(|e| [e.start, e.end]).collect();
            assert!(edges.is_sorted() && edges[9] < plan.length());
            assert!(plan.episodes.iter().all(|e| e.start < e.end));
        }
    }

    #[test]
    fn arrivals_bunch_as_independent_ones_do() {
        // In a Poisson process the share of gaps longer than the mean gap is 1/e = 36.8 %.
        for (rate, from, to) in [(200, 0, 21), (1_728, 21, 25)] {
            let plan = Plan::new(SECONDS, 11, 200);
            let seconds = |s| Duration::from_secs(s);
            let due = |at: &Duration| seconds(from) <= *at && *at < seconds(to);
            let due: Vec<_> = plan.arrivals.iter().copied().filter(due).collect();
            assert!(due.len().abs_diff(rate as usize * (to - from) as usize) < 200);
            let gaps = due.windows(2).filter(|w| w[1] - w[0] > seconds(1) / rate);
            let share = gaps.count() as f64 / due.len() as f64;
            assert!((0.34..0.40).contains(&share), "{share}");
        }
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
        assert_eq!(plan.blamed(4), at(20_950)..at(28_000));
        for (when, overloaded) in [(20_999, false), (21_000, true), (25_499, true), (25_500, false)]
        {
            assert_eq!(plan.is_overloaded(at(when)), overloaded, "{when}");
        }
    }

    #[test]
    fn a_healthy_backend_works_5_to_20_ms() {
        let times: Vec<_> = (0..1_000).map(|item| service_time(7, item).as_millis()).collect();
        assert!(times.iter().all(|t| (5..=20).contains(t)));
        assert!(times.iter().any(|t| *t < 6) && times.iter().any(|t| *t >= 19));
    }

    #[test]
    fn a_backend_does_not_lack_time_and_the_urgent_alone_are_no_overload() {
        let (items, mut work, mut classes) = (10_000_u32, Duration::ZERO, [0_u32; 5]);
        for item in 0..u64::from(items) {
            work += service_time(7, item);
            classes[priority(7, item).index()] += 1;
        }
        let plan = Plan::new(SECONDS, 7, RATE);
        let served = f64::from(3 * plan.slots * items) / work.as_secs_f64();
        assert!((served / f64::from(plan.capacity()) - 1.0).abs() < 0.01, "{served}");
        assert!(plan.rate * 4 < plan.capacity(), "one backend of three serves the usual load");
        assert!(classes.iter().all(|count| *count > items / 25), "{classes:?}");
        let asks = |classes: &[u32]| classes.iter().sum::<u32>() * OVERLOAD_PERCENT / items;
        assert!(asks(&classes[..3]) < 100 && asks(&classes[..4]) > 100, "{classes:?}");
    }
}
