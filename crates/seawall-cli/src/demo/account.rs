//! What an overload did to whom: how many of each class were served, refused, or failed.
//!
//! ```text
//!   due meanwhile ─┬─ right answer within the deadline ────────────────────── served
//!                  ├─ 429 or 503 with Retry-After, within the deadline ────── refused
//!                  └─ anything else, and whatever has no sample ───────────── failed
//! ```
//!
//! Where more is asked than can be done somebody goes without. What can be promised is that he learns it at
//! once, with the time to come again, and that it is never the more urgent one.

use serde::Serialize;

use seawall_core::Priority;

use super::{
    plan::{Plan, priority},
    traffic::{DEADLINE, Ending, Sample},
};

/// What became of the requests of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Account {
    /// The class.
    pub(crate) priority: &'static str,
    /// Requests due.
    pub(crate) requests: u32,
    /// Served in time.
    pub(crate) served: u32,
    /// Told in time to come again later.
    pub(crate) refused: u32,
    /// Neither.
    pub(crate) failed: u32,
}

impl Account {
    /// One for each class, the most urgent first, over what is due in overloads.
    pub(super) fn of_all(plan: &Plan, samples: &[Sample]) -> Vec<Self> {
        let mut accounts = Priority::ALL.map(|class| Self {
            priority: class.name(),
            requests: 0,
            served: 0,
            refused: 0,
            failed: 0,
        });
        for (item, at) in plan.arrivals.iter().enumerate() {
            if plan.is_overloaded(*at) {
                accounts[priority(plan.seed, item as u64).index()].requests += 1;
            }
        }
        for sample in samples.iter().filter(|s| plan.is_overloaded(s.intended)) {
            let account = &mut accounts[sample.priority.index()];
            account.served += u32::from(sample.ok());
            account.refused += u32::from(is_refused(sample));
        }
        for account in &mut accounts {
            account.failed = account.requests.saturating_sub(account.served + account.refused);
        }
        accounts.into()
    }

    /// The share that was served; all of it where nothing was asked.
    pub(super) fn served_ratio(&self) -> f64 {
        ratio(self.served, self.requests)
    }
}

/// Whether it was turned away as one should be: told so, and when to come again, while it still helps.
pub(super) fn is_refused(sample: &Sample) -> bool {
    sample.ending == Ending::Refused && sample.latency <= DEADLINE
}

/// The share of all requests that were served or refused, not left without either.
pub(super) fn answered(accounts: &[Account]) -> f64 {
    let sum = |of: fn(&Account) -> u32| accounts.iter().map(of).sum::<u32>();
    ratio(sum(|a| a.served + a.refused), sum(|a| a.requests))
}

/// The share of all requests that were served.
pub(super) fn served(accounts: &[Account]) -> f64 {
    let sum = |of: fn(&Account) -> u32| accounts.iter().map(of).sum::<u32>();
    ratio(sum(|a| a.served), sum(|a| a.requests))
}

/// By how much a class was served more than one more urgent, at the most: as a share, 0 where that never happened.
pub(super) fn inversion(accounts: &[Account]) -> f64 {
    let mut least = 1.0_f64;
    let mut worst = 0.0_f64;
    for account in accounts {
        worst = worst.max(account.served_ratio() - least);
        least = least.min(account.served_ratio());
    }
    worst
}

fn ratio(part: u32, whole: u32) -> f64 {
    if whole == 0 { 1.0 } else { f64::from(part) / f64::from(whole) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demo::plan::{LEFT_WAITING, RATE, SECONDS};

    #[test]
    fn each_is_served_refused_or_failed_and_the_lost_have_failed() {
        let plan = Plan::new(SECONDS, 7, RATE);
        let late = DEADLINE + Duration::from_nanos(1);
        let overload = plan.episodes[4];
        let ends = [
            (Ending::Right, DEADLINE, [1, 0, 0]),
            (Ending::Right, late, [0, 0, 1]),
            (Ending::Refused, DEADLINE, [0, 1, 0]),
            (Ending::Refused, late, [0, 0, 1]),
            (Ending::Status(503), Duration::ZERO, [0, 0, 1]),
            (Ending::Silent, late, [0, 0, 1]),
        ];
        for (ending, latency, [served, refused, failed]) in ends {
            let sample = |(item, &intended): (usize, &Duration)| {
                let priority = priority(7, item as u64);
                Sample { priority, intended, latency, ending }
            };
            let mut samples: Vec<_> = plan.arrivals.iter().enumerate().map(sample).collect();
            let mut due = 0;
            for account in Account::of_all(&plan, &samples) {
                let counts = [account.served, account.refused, account.failed];
                assert_eq!(counts, [served, refused, failed].map(|n| n * account.requests));
                due += account.requests;
            }
            let meets =
                |at: &&Duration| overload.start <= **at && **at < overload.end + LEFT_WAITING;
            assert_eq!(due as usize, plan.arrivals.iter().filter(meets).count());

            samples.clear();
            let lost = Account::of_all(&plan, &samples);
            assert!(lost.iter().all(|a| a.failed == a.requests && a.requests > 50), "{lost:?}");
        }
    }

    #[test]
    fn shares_are_of_all_and_an_inversion_is_the_worst_pair() {
        let classes = |served: [u32; 5]| {
            let account = |served| Account {
                priority: "any",
                requests: 100,
                served,
                refused: 90 - served.min(90),
                failed: 100 - served.max(90),
            };
            served.map(account)
        };
        for (counts, wanted) in [
            ([100, 100, 80, 20, 0], 0.0),
            ([100, 100, 100, 100, 100], 0.0),
            ([100, 90, 93, 20, 0], 0.03),
            ([90, 95, 60, 65, 64], 0.05),
            ([0, 0, 0, 0, 100], 1.0),
        ] {
            assert!((inversion(&classes(counts)) - wanted).abs() < 1e-9, "{counts:?}");
        }
        let mixed = classes([100, 80, 0, 0, 0]);
        assert!((served(&mixed) - 0.36).abs() < 1e-9);
        assert!((answered(&mixed) - 0.92).abs() < 1e-9);
        assert_eq!((served(&[]), answered(&[]), inversion(&[])), (1.0, 1.0, 0.0));
    }
}
