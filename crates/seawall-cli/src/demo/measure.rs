//! What a side was worth: numbers over every planned arrival, and how soon it recovered from each fault.
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
    plan::Plan,
    traffic::{DEADLINE, PATIENCE, Sample},
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
        let held = protected.success_ratio >= HELD_SUCCESS
            && direct.success_ratio < BROKEN_SUCCESS
            && protected.overrun <= OVERRUN;
        Self { seed: plan.seed, seconds: plan.seconds, held, direct, protected }
    }
}

/// One side in numbers. Times are in milliseconds unless the name says seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Side {
    /// Planned arrivals.
    pub(crate) requests: u64,
    /// Share of them that was served within the deadline, from 0 to 1.
    pub(crate) success_ratio: f64,
    /// Median latency.
    pub(crate) p50_ms: f64,
    /// 99th percentile.
    pub(crate) p99_ms: f64,
    /// 99.9th percentile.
    pub(crate) p999_ms: f64,
    /// Requests sent towards backends for each request of the client.
    pub(crate) attempts_per_request: f64,
    /// How each fault was weathered, in the order of the plan.
    pub(crate) faults: Vec<Weathered>,
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
        let planned = plan.arrivals.len();
        let mut latencies: Vec<_> = samples.iter().map(|s| s.latency).collect();
        latencies.resize(planned, PATIENCE);
        latencies.sort_unstable();
        let at = |per_mille| percentile(&latencies, per_mille);
        let millis = |per_mille| at(per_mille).as_secs_f64() * 1e3;
        let share = |part: u64| part as f64 / planned.max(1) as f64;
        Self {
            requests: planned as u64,
            success_ratio: share(samples.iter().filter(|s| s.ok()).count() as u64),
            p50_ms: millis(500),
            p99_ms: millis(990),
            p999_ms: millis(999),
            attempts_per_request: share(attempts),
            faults: (0..plan.episodes.len()).map(|i| weathered(plan, samples, i)).collect(),
            overrun: at(999).saturating_sub(DEADLINE),
        }
    }
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

/// Success the protected side must reach over the whole run: four failures in 4 200 requests.
pub(super) const HELD_SUCCESS: f64 = 0.999;
/// Success the straight side must miss, or nothing was broken and nothing is shown.
pub(super) const BROKEN_SUCCESS: f64 = 0.9;
/// How far past its deadline a request through the gateway may end, at the 99.9th percentile.
pub(super) const OVERRUN: Duration = Duration::from_millis(100);
/// Success within a second from which on it counts as recovered.
const RECOVERED_SUCCESS: f64 = 0.99;
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{
        plan::{Episode, Fault},
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
    fn the_three_bars_are_exact() {
        let plan = seven_seconds();
        let side = |success_ratio, overrun| Side {
            success_ratio,
            overrun: Duration::from_millis(overrun),
            ..Side::new(&plan, &[], 0)
        };
        for (direct, protected, overrun, held) in [
            (0.899, 0.999, 100, true),
            (0.9, 0.999, 100, false),
            (0.899, 0.998_9, 100, false),
            (0.899, 0.999, 101, false),
        ] {
            let report = Report::new(&plan, side(direct, 0), side(protected, overrun));
            assert_eq!(report.held, held, "{direct} {protected} {overrun}");
        }
    }

    #[test]
    fn the_file_has_the_documented_fields_and_no_others() {
        let plan = seven_seconds();
        let direct = Side::new(&plan, &failing_in(&[6]), 70);
        let protected = Side::new(&plan, &failing_in(&[]), 77);
        let json = serde_json::to_value(Report::new(&plan, direct, protected)).unwrap();
        let fault = |recovery: Option<u32>| {
            serde_json::json!({
                "kind": "error", "backends": [1, 2], "start_s": 2.0, "end_s": 3.0, "recovery_s": recovery,
            })
        };
        let side = |success: f64, attempts: f64, recovery| {
            serde_json::json!({
                "requests": 70, "success_ratio": success, "p50_ms": 5.0, "p99_ms": 5.0, "p999_ms": 5.0,
                "attempts_per_request": attempts, "faults": [fault(recovery)],
            })
        };
        let expected = serde_json::json!({
            "seed": 7, "seconds": 7, "held": true,
            "direct": side(60.0 / 70.0, 1.0, None), "protected": side(1.0, 1.1, Some(0)),
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
        arrivals
            .iter()
            .map(|&intended| Sample { intended, latency, ending: Ending::Right })
            .collect()
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
