//! The figures of retries and their budget.

use seawall_core::RetryBudgetSnapshot;

use super::{in_percent, percent};

/// Retries and their budget.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the guide's keys, explained by the machine's snapshot")]
pub struct RetryStats {
    pub total_requests: u64,
    pub total_retries: u64,
    pub refunded_retries: u64,
    pub retry_rate_percent: f64,
    /// Attempts per call; 1 before the first.
    pub amplification: f64,
    pub within_budget: bool,
    pub budget_percent: f64,
    pub balance: f64,
}

impl From<RetryBudgetSnapshot> for RetryStats {
    fn from(seen: RetryBudgetSnapshot) -> Self {
        Self {
            total_requests: seen.first_attempts,
            total_retries: seen.retries,
            refunded_retries: seen.refunded,
            retry_rate_percent: percent(seen.retries, seen.first_attempts),
            amplification: seen.amplification(),
            within_budget: seen.within_budget,
            budget_percent: in_percent(seen.ratio),
            balance: seen.balance,
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall_core::{Ratio, RetryBudget};

    use super::*;

    #[test]
    fn amplification_is_attempts_per_call() {
        let mut seen = RetryBudget::new(Ratio::percent(10), false).snapshot();
        for (first, retries, amplification) in
            [(0, 0, 1.0), (8, 0, 1.0), (8, 2, 1.25), (8, 24, 4.0), (1_000, 45, 1.045)]
        {
            (seen.first_attempts, seen.retries) = (first, retries);
            let shown = RetryStats::from(seen);
            assert!((shown.amplification - amplification).abs() < 1e-12, "{first} {retries}");
        }
    }
}
