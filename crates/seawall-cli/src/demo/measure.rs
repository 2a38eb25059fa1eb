//! What a side was worth: numbers over every planned arrival, and how soon it recovered from each fault.
//!
//! What is due in an overload is judged apart ([`Account`]): it asks for more than there is, and a share of it
//! served would say nothing of whether the right ones were.
//!
//! ```text
//!   success by second, from the fault's start       67 %  70 %  98 %  100 %  100 % │ next fault
//!   recovered after 3 s: from here on >= 99 %       ──────────────────►▲
//! ```
//!
//! An arrival without a sample counts as failed after the client's whole patience, so nothing improves
//! by being lost. Failures count in the percentiles with the time they took: leaving them out would
//! reward whoever fails the slow requests. Percentiles are nearest-rank: a latency that occurred.

use std::time::Duration;

use serde::Serialize;

use super::{
    account::Account,
    plan::{Fault, Plan},
    stall::Stall,
    traffic::{DEADLINE, PATIENCE, Sample},
    verdict::{bars, held},
};

/// The result of a run. Serialized, it is the file of `--json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// What the run was drawn from.
    pub(crate) seed: u64,
    /// Length of each side in seconds.
    pub(crate) seconds: u32,
    /// Whether the gateway kept its promise while the straight side broke.
    pub(crate) held: bool,
    /// The straight side.
    pub(crate) direct: Side,
    /// The side behind the gateway.
    pub(crate) protected: Side,
}

impl Report {
    /// Judges both sides of a run.
    pub(super) fn new(plan: &Plan, direct: Side, protected: Side) -> Self {
        let held = held(&bars(&direct, &protected));
        Self { seed: plan.seed, seconds: plan.seconds, held, direct, protected }
    }
}

/// One side in numbers. Times are in milliseconds unless the name says seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Side {
    /// Planned arrivals, those in an overload aside, as in the five numbers below.
    pub(crate) requests: u64,
    /// Share of them that was served within the deadline, from 0 to 1.
    pub(crate) success_ratio: f64,
    /// Median latency.
    pub(crate) p50_ms: f64,
    /// 99th percentile.
    pub(crate) p99_ms: f64,
    /// 99.9th percentile.
    pub(crate) p999_ms: f64,
    /// Requests sent towards backends for each request of the client, overloads included.
    pub(crate) attempts_per_request: f64,
    /// What became of those due in an overload, by class.
    pub(crate) overload: Vec<Account>,
    /// How each fault was weathered, in the order of the plan.
    pub(crate) faults: Vec<Weathered>,
    /// Who was woken late meanwhile, as it was noted.
    pub(crate) stalls: Vec<Stall>,
    /// By how much requests outlived their deadline, at the 99.9th percentile.
    #[serde(skip)]
    pub(super) overrun: Duration,
}

/// How a side weathered one fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Weathered {
    /// Name of the fault.
    pub(crate) kind: &'static str,
    /// Backends it took, from 1.
    pub(crate) backends: &'static [u8],
    /// Its start, from the start of the side.
    pub(crate) start_s: f64,
    /// Its end.
    pub(crate) end_s: f64,
    /// Whole seconds from its start to the first second after which success stays at 99 % or above
    /// until the next fault's start (but for requests that one catches in progress) or the end of the side;
    /// `None` if it never does.
    pub(crate) recovery_s: Option<u32>,
}

impl Side {
    /// What these samples say of the plan, with `attempts` sent towards backends in all.
    pub(super) fn new(plan: &Plan, samples: &[Sample], attempts: u64) -> Self {
        let planned = plan.arrivals.iter().filter(|at| !plan.is_overloaded(**at)).count();
        let aside = || samples.iter().filter(|s| !plan.is_overloaded(s.intended));
        let latencies = latencies(aside(), planned);
        let millis = |per_mille| percentile(&latencies, per_mille).as_secs_f64() * 1e3;
        let all = self::latencies(samples.iter(), plan.arrivals.len());
        let share = |part: u64, of: usize| part as f64 / of.max(1) as f64;
        Self {
            requests: planned as u64,
            success_ratio: share(aside().filter(|s| s.ok()).count() as u64, planned),
            p50_ms: millis(500),
            p99_ms: millis(990),
            p999_ms: millis(999),
            attempts_per_request: share(attempts, plan.arrivals.len()),
            overload: Account::of_all(plan, samples),
            faults: (0..plan.episodes.len()).map(|i| weathered(plan, samples, i)).collect(),
            stalls: Vec::new(),
            overrun: percentile(&all, 999).saturating_sub(DEADLINE),
        }
    }

    /// Whole seconds from the end of an overload to its recovery; `None` if that never came.
    pub(super) fn after_overload(&self) -> Option<u32> {
        let overloads = self.faults.iter().filter(|f| f.kind == Fault::Overload(0).name());
        overloads.map(Weathered::afterwards).try_fold(0, |worst, next| Some(worst.max(next?)))
    }
}

impl Weathered {
    /// Whole seconds from its end to its recovery.
    fn afterwards(&self) -> Option<u32> {
        let lasted = (self.end_s - self.start_s).ceil() as u32;
        self.recovery_s.map(|recovery| recovery.saturating_sub(lasted))
    }
}

/// In order, with the whole patience for each of the `planned` that is missing.
fn latencies<'a>(samples: impl Iterator<Item = &'a Sample>, planned: usize) -> Vec<Duration> {
    let mut latencies: Vec<_> = samples.map(|s| s.latency).collect();
    latencies.resize(planned, PATIENCE);
    latencies.sort_unstable();
    latencies
}

/// The share of requests due in `from..to` that was served; `None` if none was due.
pub(super) fn success_between(
    plan: &Plan,
    samples: &[Sample],
    from: Duration,
    to: Duration,
) -> Option<f64> {
    let due = |at: Duration| from <= at && at < to;
    let planned = plan.arrivals.iter().filter(|at| due(**at)).count();
    let served = samples.iter().filter(|s| due(s.intended) && s.ok()).count();
    (planned > 0).then(|| served as f64 / planned as f64)
}

/// The smallest latency that at least `per_mille` of all stay within; zero if there are none.
fn percentile(sorted: &[Duration], per_mille: usize) -> Duration {
    let rank = (sorted.len() * per_mille).div_ceil(1_000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn weathered(plan: &Plan, samples: &[Sample], index: usize) -> Weathered {
    let episode = plan.episodes[index];
    Weathered {
        kind: episode.fault.name(),
        backends: episode.backends,
        start_s: episode.start.as_secs_f64(),
        end_s: episode.end.as_secs_f64(),
        recovery_s: recovery(plan, samples, episode.start, plan.blamed(index).end),
    }
}

/// Seconds from `start` until success stays up before `until`. The last second may be a part of one; one in
/// which nothing was due tells nothing, and so spoils nothing.
fn recovery(plan: &Plan, samples: &[Sample], start: Duration, until: Duration) -> Option<u32> {
    let seconds = (until - start).as_secs_f64().ceil() as u32;
    let down = (0..seconds).rev().find(|second| {
        let from = start + SECOND * *second;
        let to = (from + SECOND).min(until);
        success_between(plan, samples, from, to).is_some_and(|share| share < RECOVERED_SUCCESS)
    });
    match down {
        None => Some(0),
        Some(last) if last + 1 == seconds => None,
        Some(second) => Some(second + 1),
    }
}

/// Success within a second from which on it counts as recovered.
const RECOVERED_SUCCESS: f64 = 0.99;
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{
        plan::{Episode, priority},
        stall::Sleeper,
        traffic::Ending,
    };
    use super::*;

    #[test]
    fn percentiles_are_latencies_that_occurred() {
        let ms = Duration::from_millis;
        let thousand: Vec<_> = (1..=1_000).map(ms).collect();
        for (per_mille, expected) in [(500, 500), (990, 990), (999, 999)] {
            assert_eq!(percentile(&thousand, per_mille), ms(expected));
        }
        assert_eq!(percentile(&[ms(3), ms(9)], 500), ms(3));
        assert_eq!(percentile(&[ms(3), ms(9)], 999), ms(9));
        assert_eq!(percentile(&[], 999), Duration::ZERO);
    }

    #[test]
    fn recovery_is_told_in_seconds_from_the_faults_start() {
        // Which of the seconds 2 to 6 after the start have failures; the fault begins at 2.
        for (story, failing, expected) in [
            ("never down", &[][..], Some(0)),
            ("down for a second", &[2], Some(1)),
            ("down for three", &[2, 3, 4], Some(3)),
            ("down late", &[4], Some(3)),
            ("down again", &[2, 5], Some(4)),
            ("still down at the end", &[6], None),
            ("down before the fault only", &[1], Some(0)),
        ] {
            let side = Side::new(&seven_seconds(), &failing_in(failing), 0);
            assert_eq!(side.faults[0].recovery_s, expected, "{story}");
        }
    }

    #[test]
    fn one_failure_in_a_hundred_is_not_down() {
        let plan = Plan { rate: 100, arrivals: due(0..700, 10), ..seven_seconds() };
        let failing = |count: usize| {
            let mut samples = served(&plan.arrivals);
            samples[200..200 + count].iter_mut().for_each(|s| s.ending = Ending::Broken);
            Side::new(&plan, &samples, 0).faults[0].recovery_s
        };
        assert_eq!((failing(1), failing(2)), (Some(0), Some(1)));
    }

    #[test]
    fn recovery_looks_no_further_than_the_next_fault() {
        let mut plan = seven_seconds();
        plan.episodes.push(Episode { start: SECOND * 4, ..plan.episodes[0] });
        let told = |failing: &[u64]| -> Vec<_> {
            let side = Side::new(&plan, &failing_in(failing), 0);
            side.faults.iter().map(|f| f.recovery_s).collect()
        };
        assert_eq!(told(&[2, 4, 5]), [Some(1), Some(2)]);
        assert_eq!(told(&[3, 6]), [None, None]);
    }

    #[test]
    fn what_is_due_in_an_overload_is_told_apart() {
        let mut plan = seven_seconds();
        plan.episodes[0] =
            Episode { fault: Fault::Overload(20), backends: &[], ..plan.episodes[0] };
        // It lasts from 2 to 3 and is felt to 3.5; what is due then fails, and so does one before it.
        let mut samples = served(&plan.arrivals);
        for sample in &mut samples[20..35] {
            sample.ending = Ending::Refused;
        }
        samples[7].ending = Ending::Broken;
        let side = Side::new(&plan, &samples, 140);
        assert_eq!((side.requests, side.success_ratio), (55, 54.0 / 55.0));
        assert_eq!(side.overload.iter().map(|a| a.requests).sum::<u32>(), 15);
        assert!(side.overload.iter().all(|a| a.refused == a.requests));
        assert_eq!(side.attempts_per_request, 2.0, "of all 70");
        assert_eq!(side.after_overload(), Some(1));
    }

    #[test]
    fn the_file_has_the_documented_fields_and_no_others() {
        let plan = seven_seconds();
        let direct = Side::new(&plan, &failing_in(&[6]), 70);
        let stall = Stall { who: Sleeper::Machine, at_s: 3.5, lasted_s: 0.25 };
        let protected = Side { stalls: vec![stall], ..Side::new(&plan, &failing_in(&[]), 77) };
        let json = serde_json::to_value(Report::new(&plan, direct, protected)).unwrap();
        let fault = |recovery: Option<u32>| {
            serde_json::json!({
                "kind": "error", "backends": [1, 2], "start_s": 2.0, "end_s": 3.0, "recovery_s": recovery,
            })
        };
        let overload: Vec<_> = ["critical", "high", "normal", "low", "background"]
            .map(|class| {
                serde_json::json!({
                    "priority": class, "requests": 0, "served": 0, "refused": 0, "failed": 0,
                })
            })
            .into();
        let side = |success: f64, attempts: f64, recovery, stalls: serde_json::Value| {
            serde_json::json!({
                "requests": 70, "success_ratio": success, "p50_ms": 5.0, "p99_ms": 5.0, "p999_ms": 5.0,
                "attempts_per_request": attempts, "overload": overload, "faults": [fault(recovery)],
                "stalls": stalls,
            })
        };
        let stalled = serde_json::json!([{ "who": "machine", "at_s": 3.5, "lasted_s": 0.25 }]);
        let expected = serde_json::json!({
            "seed": 7, "seconds": 7, "held": false,
            "direct": side(60.0 / 70.0, 1.0, None, serde_json::json!([])),
            "protected": side(1.0, 1.1, Some(0), stalled),
        });
        assert_eq!(json, expected);
    }

    proptest! {
        /// Losing samples or making answers later never improves a side.
        #[test]
        fn nothing_improves_by_being_lost_or_late(
            latencies in prop::collection::vec(0_u64..3_000, 70),
            lost in 0_usize..70,
            later in 0_u64..2_000,
        ) {
            let plan = seven_seconds();
            let mut samples = served(&plan.arrivals);
            for (sample, latency) in samples.iter_mut().zip(latencies) {
                sample.latency = Duration::from_millis(latency);
            }
            let whole = Side::new(&plan, &samples, 70);
            let holed = Side::new(&plan, &samples[..lost], 70);
            for sample in &mut samples {
                sample.latency += Duration::from_millis(later);
            }
            let late = Side::new(&plan, &samples, 70);
            for worse in [holed, late] {
                prop_assert_eq!(worse.requests, whole.requests);
                prop_assert!(worse.success_ratio <= whole.success_ratio);
                prop_assert!(worse.p50_ms >= whole.p50_ms && worse.p99_ms >= whole.p99_ms);
                prop_assert!(worse.p999_ms >= whole.p999_ms && worse.overrun >= whole.overrun);
                let soon = |s: &Side| s.faults[0].recovery_s.unwrap_or(u32::MAX);
                prop_assert!(soon(&worse) >= soon(&whole));
            }
            prop_assert!(whole.p50_ms <= whole.p99_ms && whole.p99_ms <= whole.p999_ms);
        }

        /// The order in which requests end is of no account.
        #[test]
        fn order_does_not_matter(seed in any::<u64>(), turn in 0_usize..70) {
            let plan = Plan::new(1, seed, 70);
            let mut samples = served(&plan.arrivals);
            samples.iter_mut().step_by(3).for_each(|s| s.ending = Ending::Silent);
            let straight = Side::new(&plan, &samples, 70);
            samples.rotate_left(turn);
            prop_assert_eq!(straight, Side::new(&plan, &samples, 70));
        }
    }

    /// Seven seconds of ten requests each, backends 1 and 2 failing in the third.
    fn seven_seconds() -> Plan {
        Plan {
            arrivals: due(0..70, 100),
            episodes: vec![Episode {
                fault: Fault::Error,
                backends: &[1, 2],
                start: SECOND * 2,
                end: SECOND * 3,
            }],
            ..Plan::new(7, 7, 10)
        }
    }

    fn due(numbers: std::ops::Range<u64>, every_ms: u64) -> Vec<Duration> {
        numbers.map(|n| Duration::from_millis(n * every_ms)).collect()
    }

    fn served(arrivals: &[Duration]) -> Vec<Sample> {
        let latency = Duration::from_millis(5);
        let sample = |(item, &intended): (usize, &Duration)| Sample {
            priority: priority(7, item as u64),
            intended,
            latency,
            ending: Ending::Right,
        };
        arrivals.iter().enumerate().map(sample).collect()
    }

    /// The samples of [`seven_seconds`] with everything due in these seconds failed.
    fn failing_in(seconds: &[u64]) -> Vec<Sample> {
        let mut samples = served(&seven_seconds().arrivals);
        for sample in &mut samples {
            if seconds.contains(&sample.intended.as_secs()) {
                sample.ending = Ending::Status(500);
            }
        }
        samples
    }
}
