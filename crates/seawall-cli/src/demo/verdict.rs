//! Whether a run held: eight bars, each with what was measured, and a mark at those that were missed.
//!
//! ```text
//!   held:                              did not hold, by what is marked ✗:
//!     gateway success 99.98 %, …           gateway success 99.98 %, …
//!     critical served 99.71 %, …         ✗ critical served 97.02 %, at least 99.0 % wanted
//! ```
//!
//! A bar judges and tells in one place, so that what is marked is what was missed. A share that must not be too small is
//! rounded down and one that must not be too large up: what is printed never looks better than what was judged.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use super::{
    account::{Account, answered, inversion, served},
    measure::Side,
    traffic::DEADLINE,
    transcript::percent,
};

/// One thing that is wanted of a run.
pub(super) struct Bar {
    /// What was measured, and what is wanted.
    told: String,
    holds: bool,
}

/// What is wanted of both sides outside the overload and always, and in the overload.
pub(super) fn bars(direct: &Side, protected: &Side) -> [Vec<Bar>; 2] {
    let critical = protected.overload.first().map_or(1.0, Account::served_ratio);
    let always = vec![
        at_least("gateway success", protected.success_ratio, HELD_SUCCESS),
        below("straight success", direct.success_ratio, BROKEN_SUCCESS),
        overrun(protected.overrun),
    ];
    let overload = vec![
        at_least("served or refused in time", answered(&protected.overload), HELD_SUCCESS),
        at_least("critical served", critical, URGENT_SERVED),
        inverted(inversion(&protected.overload)),
        recovery(protected.after_overload()),
        below("straight served", served(&direct.overload), BROKEN_SUCCESS),
    ];
    [always, overload]
}

/// Whether nothing that is wanted is missed.
pub(super) fn held(bars: &[Vec<Bar>; 2]) -> bool {
    bars.iter().flatten().all(|bar| bar.holds)
}

/// All of them, those that were missed marked.
pub(super) fn tell(text: &mut String, bars: &[Vec<Bar>; 2]) -> fmt::Result {
    let [always, overload] = bars;
    let held = if held(bars) { "held" } else { "did not hold, by what is marked ✗" };
    writeln!(text, "  {held}:")?;
    always.iter().try_for_each(|bar| bar.tell(text))?;
    writeln!(text, "  and in the overload:")?;
    overload.iter().try_for_each(|bar| bar.tell(text))
}

impl Bar {
    fn tell(&self, text: &mut String) -> fmt::Result {
        let mark = if self.holds { ' ' } else { '✗' };
        writeln!(text, "  {mark} {}", self.told)
    }
}

fn at_least(what: &str, share: f64, least: f64) -> Bar {
    let (measured, wanted) = (percent(share, 2), percent(least, 1));
    Bar { told: format!("{what} {measured}, at least {wanted} wanted"), holds: share >= least }
}

fn below(what: &str, share: f64, bound: f64) -> Bar {
    let (measured, wanted) = (percent(share, 2), percent(bound, 1));
    Bar { told: format!("{what} {measured}, below {wanted} wanted"), holds: share < bound }
}

fn overrun(overrun: Duration) -> Bar {
    let told = format!(
        "past the deadline of {} s at p99.9: {} ms, at most {} ms wanted",
        DEADLINE.as_secs_f64(),
        overrun.as_micros().div_ceil(1_000),
        OVERRUN.as_millis(),
    );
    Bar { told, holds: overrun <= OVERRUN }
}

fn inverted(share: f64) -> Bar {
    // To the hundredth above, but for what floating point adds.
    let measured = (share * 1e4 - 1e-6).max(0.0).ceil() / 100.0;
    let wanted = percent(INVERSION, 1);
    let told = format!(
        "a class served more than one more urgent by {measured:.2} %, at most {wanted} wanted"
    );
    Bar { told, holds: share <= INVERSION }
}

fn recovery(seconds: Option<u32>) -> Bar {
    let measured = seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds} s"));
    let told = format!("from its end to recovery: {measured}, at most {OVER_WITH_IT} s wanted");
    Bar { told, holds: seconds.is_some_and(|seconds| seconds <= OVER_WITH_IT) }
}

/// Success the protected side must reach outside the overload, and the share of those in it that must be served or
/// refused in time: one failure in each.
const HELD_SUCCESS: f64 = 0.999;
/// Success the straight side must miss, or nothing was broken and nothing is shown.
const BROKEN_SUCCESS: f64 = 0.9;
/// How far past its deadline a request through the gateway may end, at the 99.9th percentile.
pub(super) const OVERRUN: Duration = Duration::from_millis(100);
/// The share of critical requests that must be served in the overload.
const URGENT_SERVED: f64 = 0.99;
/// How much more of a class than of one more urgent may be served in the overload: where all of both is served but
/// for one request, chance decides whose it is.
const INVERSION: f64 = 0.01;
/// Seconds within which an overload must be over when its cause is.
const OVER_WITH_IT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::super::{measure::Weathered, plan::Plan};
    use super::*;

    #[test]
    fn every_bar_is_exact_and_marked_where_it_is_missed() {
        let just = Run::default;
        for (run, missed) in [
            (just(), vec![]),
            (Run { direct: 0.9, ..just() }, vec!["straight success 90.00 %, below 90.0 % wanted"]),
            (Run { direct_overload: 8_999, ..just() }, vec![]),
            (
                Run { direct_overload: 9_000, ..just() },
                vec!["straight served 90.00 %, below 90.0 % wanted"],
            ),
            (
                Run { protected: 0.998_9, ..just() },
                vec!["gateway success 99.89 %, at least 99.9 % wanted"],
            ),
            (
                Run { overrun_us: 100_001, ..just() },
                vec!["past the deadline of 1 s at p99.9: 101 ms, at most 100 ms wanted"],
            ),
            (
                Run { served: [9_899, 0], ..just() },
                vec!["critical served 98.99 %, at least 99.0 % wanted"],
            ),
            (Run { served: [9_900, 9_999], failed: 0, ..just() }, vec![]),
            (
                Run { served: [9_899, 10_000], failed: 0, ..just() },
                vec![
                    "critical served 98.99 %, at least 99.0 % wanted",
                    "a class served more than one more urgent by 1.01 %, at most 1.0 % wanted",
                ],
            ),
            (
                Run { failed: 11, ..just() },
                vec!["served or refused in time 99.89 %, at least 99.9 % wanted"],
            ),
            (Run { recovered: Some(3), ..just() }, vec![]),
            (
                Run { recovered: Some(4), ..just() },
                vec!["from its end to recovery: 2 s, at most 1 s wanted"],
            ),
            (
                Run { recovered: None, ..just() },
                vec!["from its end to recovery: never, at most 1 s wanted"],
            ),
        ] {
            let bars = run.bars();
            assert_eq!(held(&bars), missed.is_empty(), "{run:?}");
            let mut text = String::new();
            tell(&mut text, &bars).unwrap();
            let marked: Vec<_> =
                text.lines().filter_map(|line| line.strip_prefix("  ✗ ")).collect();
            assert_eq!(marked, missed, "{run:?}");
            let head =
                if missed.is_empty() { "held:" } else { "did not hold, by what is marked ✗:" };
            assert_eq!(text.lines().next().unwrap().trim(), head);
            assert_eq!(text.lines().count(), 10, "eight bars and two headings");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }

    #[test]
    fn what_is_printed_never_looks_better_than_what_was_judged() {
        for (share, told) in [(0.010_01, " 1.01 %"), (0.01, " 1.00 %"), (0.0, " 0.00 %")] {
            assert!(inverted(share).told.contains(told), "{}", inverted(share).told);
        }
        assert!(at_least("all", 0.998_999, 0.999).told.contains("99.89 %"));
    }

    /// What a run is judged by; classes are of 10 000.
    #[derive(Debug)]
    struct Run {
        direct: f64,
        /// Served straight.
        direct_overload: u32,
        protected: f64,
        overrun_us: u64,
        /// Served by the gateway of the most urgent class and of another.
        served: [u32; 2],
        /// Of each.
        failed: u32,
        /// From the start of an overload of two seconds.
        recovered: Option<u32>,
    }

    /// All of them just held.
    impl Default for Run {
        fn default() -> Self {
            Self {
                direct: 0.899_9,
                direct_overload: 0,
                protected: 0.999,
                overrun_us: 100_000,
                served: [9_900, 0],
                failed: 10,
                recovered: Some(3),
            }
        }
    }

    impl Run {
        fn bars(&self) -> [Vec<Bar>; 2] {
            let blank = || Side::new(&Plan::new(7, 7, 10), &[], 0);
            let account = |served: u32, failed| Account {
                priority: "any",
                requests: 10_000,
                served,
                refused: 10_000_u32.saturating_sub(served + failed),
                failed,
            };
            let direct = Side {
                success_ratio: self.direct,
                overload: vec![account(self.direct_overload, 0)],
                ..blank()
            };
            let overload = Weathered {
                kind: "overload",
                backends: &[],
                start_s: 2.0,
                end_s: 4.0,
                recovery_s: self.recovered,
            };
            let protected = Side {
                success_ratio: self.protected,
                overrun: Duration::from_micros(self.overrun_us),
                overload: self.served.map(|served| account(served, self.failed)).into(),
                faults: vec![overload],
                ..blank()
            };
            bars(&direct, &protected)
        }
    }
}
