//! The retry budget: an account fed by first attempts and charged by retries.
//!
//! ```text
//!   first attempt sent   + ratio            (10 %: ten first attempts earn one retry)
//!   retry scheduled      - 1                only if the balance covers it
//!   never sent after all + 1
//!   balance <= A + ratio x first attempts of the last two windows; above A it halves each window
//! ```
//!
//! So retries <= ratio x first attempts + A for ever, at any failure rate and from any number of threads,
//! because the check and the charge are one step. A is the cold allowance of 3 retries, without which the
//! first failure of a quiet service could never be retried. First attempts are never refused: a budget that
//! gates them turns an outage into a longer one.
//!
//! Old credit dies, or a quiet night would fund a storm in the morning. The account is strict by default: it
//! recovers with traffic, not with time, and the bound above has no clock in it. `trickle` tops a service too
//! quiet to earn retries up to A once per window, and the bound becomes ratio x N + A x (1 + T / 10 s).
//!
//! Not a token per success (a service failing every other call would double its load) and not a share of the
//! requests in flight (that bounds concurrency, not the rate).

mod memory;

use core::time::Duration;

pub use self::memory::RetryBudgetMemory;
use crate::{Instant, Ratio, ratio::PPM};

/// The account of retries one service's first attempts have earned.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    ratio: Ratio,
    trickle: bool,
    /// In millionths of a retry.
    balance: u64,
    window_start: Instant,
    /// The most the balance may be: the allowance, and what the last window and this one earned.
    ceiling: u64,
    /// The ceiling when this window began.
    ceiling_before: u64,
    first_attempts: u64,
    charged: u64,
    refunded: u64,
    /// Of all accounts that have been here. The last 16 bits will do: nothing runs through 65 536 reloads.
    era: u16,
}

impl RetryBudget {
    /// An account that earns `ratio` retries per first attempt, with the cold allowance in it.
    #[must_use]
    pub const fn new(ratio: Ratio, trickle: bool) -> Self {
        Self {
            ratio,
            trickle,
            balance: ALLOWANCE,
            window_start: Instant::ORIGIN,
            ceiling: ALLOWANCE,
            ceiling_before: ALLOWANCE,
            first_attempts: 0,
            charged: 0,
            refunded: 0,
            era: 0,
        }
    }

    /// The same account, to which nothing that those before it paid for is paid back: `era` is another than theirs, and
    /// not 0, which is that of the first.
    #[must_use]
    pub const fn joining(mut self, era: u32) -> Self {
        self.era = era as u16;
        self
    }

    /// Its era.
    pub(crate) const fn era(&self) -> u16 {
        self.era
    }

    /// A first attempt was sent.
    #[inline]
    pub fn deposit(&mut self, now: Instant) {
        self.roll(now);
        self.first_attempts += 1;
        let earned = u64::from(self.ratio.ppm());
        self.ceiling = self.ceiling.saturating_add(earned);
        self.balance = self.balance.saturating_add(earned).min(self.ceiling);
    }

    /// Pays for one retry; `false` (and nothing happens) if the balance does not cover it.
    #[must_use = "an unpaid retry must not be sent"]
    pub fn charge(&mut self, now: Instant) -> bool {
        self.roll(now);
        if self.balance < RETRY {
            return false;
        }
        self.balance -= RETRY;
        self.charged += 1;
        true
    }

    /// A retry that was paid for was never sent.
    pub fn refund(&mut self) {
        self.balance = self.balance.saturating_add(RETRY).min(self.ceiling.max(self.balance));
        self.refunded += 1;
    }

    /// Another ratio from now on, or another way to recover. What was earned stays, up to what the new ratio would have
    /// let it save.
    pub fn reconfigure(&mut self, ratio: Ratio, trickle: bool, now: Instant) {
        self.roll(now);
        let scaled = |ceiling: u64| match self.ratio.ppm() {
            0 => ALLOWANCE,
            old => {
                let earned = u128::from(ceiling - ALLOWANCE) * u128::from(ratio.ppm());
                ALLOWANCE
                    .saturating_add(u64::try_from(earned / u128::from(old)).unwrap_or(u64::MAX))
            }
        };
        (self.ceiling, self.ceiling_before) = (scaled(self.ceiling), scaled(self.ceiling_before));
        self.balance = self.balance.min(self.ceiling);
        (self.ratio, self.trickle) = (ratio, trickle);
    }

    /// The account's figures.
    #[must_use]
    pub fn snapshot(&self) -> RetryBudgetSnapshot {
        RetryBudgetSnapshot {
            first_attempts: self.first_attempts,
            retries: self.charged.saturating_sub(self.refunded),
            refunded: self.refunded,
            ratio: self.ratio,
            balance: self.balance as f64 / RETRY as f64,
            within_budget: self.balance >= RETRY,
        }
    }

    /// Closes the windows that have passed.
    #[inline]
    fn roll(&mut self, now: Instant) {
        if now.since(self.window_start) >= WINDOW {
            self.close_windows(now);
        }
    }

    #[cold]
    fn close_windows(&mut self, now: Instant) {
        let passed = (now.since(self.window_start).as_nanos() / WINDOW.as_nanos()) as u64;
        self.window_start =
            self.window_start + WINDOW.saturating_mul(u32::try_from(passed).unwrap_or(u32::MAX));
        let earned = if passed == 1 { self.ceiling - self.ceiling_before } else { 0 };
        self.ceiling = ALLOWANCE + earned;
        self.ceiling_before = self.ceiling;
        let excess = self.balance.saturating_sub(ALLOWANCE);
        self.balance =
            self.balance.min(ALLOWANCE) + excess.checked_shr(passed.min(64) as u32).unwrap_or(0);
        self.balance = self.balance.min(self.ceiling);
        if self.trickle {
            self.balance = self.balance.max(ALLOWANCE);
        }
    }
}

/// What a [`RetryBudget`] shows.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryBudgetSnapshot {
    /// First attempts sent, ever.
    pub first_attempts: u64,
    /// Retries paid for and not refunded, ever.
    pub retries: u64,
    /// Retries paid for and then never sent, ever.
    pub refunded: u64,
    /// Retries earned per first attempt.
    pub ratio: Ratio,
    /// Retries the account would pay for now. A busy service saves up: a tenth of what it sent in the last two
    /// windows.
    pub balance: f64,
    /// Whether the next retry would be granted.
    pub within_budget: bool,
}

impl RetryBudgetSnapshot {
    /// Attempts per call; 1 before the first.
    #[must_use]
    pub fn amplification(&self) -> f64 {
        match self.first_attempts {
            0 => 1.0,
            first => first.saturating_add(self.retries) as f64 / first as f64,
        }
    }
}

/// One retry, in the account's unit.
const RETRY: u64 = PPM;
/// A = 3: the guide's `max_retries`, so that the very first call of a process can be retried as configured.
const ALLOWANCE: u64 = 3 * RETRY;
/// Ten seconds: the window of Finagle's budget and of the Gateway API's proposal (GEP-3388).
const WINDOW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn grants(budget: &mut RetryBudget, now: Instant) -> u64 {
        let mut granted = 0;
        while budget.charge(now) {
            granted += 1;
        }
        granted
    }

    #[test]
    fn ten_first_attempts_earn_one_retry() {
        let mut budget = RetryBudget::new(Ratio::percent(10), false);
        assert_eq!(grants(&mut budget, Instant::ORIGIN), 3, "the cold allowance");
        for _ in 0..100 {
            budget.deposit(Instant::ORIGIN);
        }
        assert_eq!(grants(&mut budget, Instant::ORIGIN), 10);
        assert!(!budget.snapshot().within_budget);
        budget.refund();
        assert_eq!(grants(&mut budget, Instant::ORIGIN), 1, "what was never sent is paid back");
    }

    #[test]
    fn the_guides_sample_is_reproduced() {
        let mut budget = RetryBudget::new(Ratio::percent(10), false);
        for n in 0..1_000 {
            budget.deposit(Instant::ORIGIN);
            if n % 22 == 21 {
                assert!(budget.charge(Instant::ORIGIN));
            }
        }
        let seen = budget.snapshot();
        assert_eq!((seen.first_attempts, seen.retries, seen.within_budget), (1_000, 45, true));
        assert_eq!((seen.balance, seen.refunded), (58.0, 0), "3 and 100, without 45");
    }

    #[test]
    fn old_credit_halves_each_window_and_never_falls_below_the_allowance() {
        let mut budget = RetryBudget::new(Ratio::percent(10), false);
        for _ in 0..1_000 {
            budget.deposit(Instant::ORIGIN);
        }
        let mut seen = Vec::new();
        for window in 1..=10u32 {
            let mut probe = budget.clone();
            seen.push(grants(&mut probe, Instant::ORIGIN + WINDOW * window));
        }
        assert_eq!(
            seen,
            [53, 3, 3, 3, 3, 3, 3, 3, 3, 3],
            "two windows without traffic forget it all"
        );
    }

    #[test]
    fn a_lower_ratio_clamps_what_was_saved_and_a_higher_one_gives_nothing_away() {
        let mut budget = RetryBudget::new(Ratio::percent(10), false);
        for _ in 0..1_000 {
            budget.deposit(Instant::ORIGIN);
        }
        budget.reconfigure(Ratio::percent(50), false, Instant::ORIGIN);
        assert_eq!(grants(&mut budget.clone(), Instant::ORIGIN), 103);
        budget.reconfigure(Ratio::percent(1), true, Instant::ORIGIN);
        assert_eq!(grants(&mut budget, Instant::ORIGIN), 13);
        assert_eq!(budget.snapshot().first_attempts, 1_000);
    }

    #[test]
    fn another_ratio_scales_what_the_last_windows_earned_and_not_the_allowance() {
        let mut budget = RetryBudget::new(Ratio::percent(10), false);
        (0..1_000).for_each(|_| budget.deposit(Instant::ORIGIN));
        assert_eq!(grants(&mut budget.clone(), Instant::ORIGIN + WINDOW), 53);
        budget.reconfigure(Ratio::percent(5), false, Instant::ORIGIN);
        budget.reconfigure(Ratio::percent(5), false, Instant::ORIGIN);
        assert_eq!(grants(&mut budget.clone(), Instant::ORIGIN), 53, "3 and half of 100");
        // In the next window half of the rest is left, and what a thousand more earn at 5 %.
        (0..1_000).for_each(|_| budget.deposit(Instant::ORIGIN + WINDOW));
        assert_eq!(grants(&mut budget, Instant::ORIGIN + WINDOW), 78);
        let mut nothing = RetryBudget::new(Ratio::ZERO, false);
        (0..1_000).for_each(|_| nothing.deposit(Instant::ORIGIN));
        nothing.reconfigure(Ratio::percent(10), false, Instant::ORIGIN);
        assert_eq!(grants(&mut nothing, Instant::ORIGIN), 3);
    }

    #[test]
    fn strict_recovers_with_traffic_and_trickle_with_time() {
        for (trickle, after_an_hour) in [(false, 0), (true, 3)] {
            let mut budget = RetryBudget::new(Ratio::percent(10), trickle);
            assert_eq!(grants(&mut budget, Instant::ORIGIN), 3);
            assert_eq!(grants(&mut budget, Instant::ORIGIN + 3_600 * SECOND), after_an_hour);
        }
    }

    #[test]
    fn a_clock_that_steps_back_or_jumps_ahead_changes_nothing_else() {
        let mut budget = RetryBudget::new(Ratio::percent(10), false);
        budget.deposit(Instant::NEVER);
        budget.deposit(Instant::ORIGIN);
        assert_eq!(grants(&mut budget, Instant::ORIGIN), 3);
    }

    proptest! {
        #[test]
        fn p14c_retries_never_pass_what_first_attempts_earned(
            ppm in 0u32..2_000_000,
            steps in prop::collection::vec((0u8..4, -10_000_000_000i64..30_000_000_000), 0..400),
        ) {
            let mut budget = RetryBudget::new(Ratio::from_ppm(ppm), false);
            let (mut now, mut firsts, mut retries) = (Instant::ORIGIN, 0u64, 0u64);
            for (kind, wait) in steps {
                // On any clock, one that steps back too.
                now = Instant::from_nanos(now.as_nanos().saturating_add_signed(wait));
                match kind {
                    0 => { budget.deposit(now); firsts += 1; }
                    1 if retries > 0 => { budget.refund(); retries -= 1; }
                    _ => retries += u64::from(budget.charge(now)),
                }
                prop_assert!(retries * PPM <= firsts * u64::from(ppm) + ALLOWANCE);
            }
            let seen = budget.snapshot();
            prop_assert_eq!((seen.first_attempts, seen.retries), (firsts, retries));
        }

        #[test]
        fn with_trickle_each_window_adds_at_most_the_allowance(
            steps in prop::collection::vec((0u8..3, 0u64..5_000_000_000), 0..400),
        ) {
            let mut budget = RetryBudget::new(Ratio::percent(10), true);
            let (mut now, mut firsts, mut retries) = (Instant::ORIGIN, 0u64, 0u64);
            for (kind, wait) in steps {
                now = now + Duration::from_nanos(wait);
                if kind == 0 { budget.deposit(now); firsts += 1; } else { retries += u64::from(budget.charge(now)); }
                let windows = now.as_nanos() / 10_000_000_000;
                prop_assert!(retries * PPM <= firsts * 100_000 + ALLOWANCE * (1 + windows));
            }
        }
    }

    #[test]
    fn amplification_is_attempts_for_each_first_one() {
        let mut budget = RetryBudget::new(Ratio::ONE, false);
        assert!((budget.snapshot().amplification() - 1.0).abs() < 1e-9);
        (0..4).for_each(|_| budget.deposit(Instant::ORIGIN));
        assert!(budget.charge(Instant::ORIGIN));
        assert!((budget.snapshot().amplification() - 1.25).abs() < 1e-9);
    }
}
