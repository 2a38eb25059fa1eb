//! The retry budget: retries never pass what first attempts have earned and the cold allowance.

use seawall_core::{Instant, Ratio, RetryBudget};

use crate::tape::Tape;

/// Runs the story in `data`.
///
/// # Panics
/// If a promise is broken.
pub fn budget(data: &[u8]) {
    let mut tape = Tape::new(data);
    let (Some(percent), Some(trickle)) = (tape.byte(), tape.below(2)) else { return };
    let (ratio, trickle) = (Ratio::percent(percent.into()), trickle == 1);
    let mut budget = RetryBudget::new(ratio, trickle);
    let (mut now, mut newest) = (Instant::ORIGIN, Instant::ORIGIN);
    let (mut firsts, mut retries) = (0_u64, 0_u64);
    while let (Some(next), Some(what)) = (tape.moment(now), tape.below(4)) {
        now = next;
        newest = newest.max(now);
        match what {
            0 | 1 => {
                budget.deposit(now);
                firsts += 1;
            }
            2 => retries += u64::from(budget.charge(now)),
            _ if retries > 0 => {
                budget.refund();
                retries -= 1;
            }
            _ => {}
        }
        let windows = if trickle { newest.as_nanos() / WINDOW } else { 0 };
        let most = firsts * u64::from(ratio.ppm()) + ALLOWANCE * ONE * (1 + windows);
        assert!(retries * ONE <= most, "{retries} retries after {firsts} first attempts");
        let seen = budget.snapshot();
        assert_eq!((seen.first_attempts, seen.retries), (firsts, retries));
    }
}

/// A whole, in parts per million.
const ONE: u64 = 1_000_000;
const ALLOWANCE: u64 = 3;
/// 10 s.
const WINDOW: u64 = 10_000_000_000;
