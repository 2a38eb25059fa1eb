//! What a budget remembers of one key, where one account serves many: its settings and figures are those of all.

use core::mem::swap;

use super::RetryBudget;
use crate::Instant;

/// What a [`RetryBudget`] remembers of one of many. 32 bytes.
///
/// The default is of no machine, and takes the place of one where there is none.
#[derive(Clone, Debug, Default)]
pub struct RetryBudgetMemory {
    balance: u64,
    window_start: Instant,
    ceiling: u64,
    ceiling_before: u64,
}

impl RetryBudget {
    /// What it remembers, without its settings and figures.
    #[must_use]
    pub const fn into_memory(self) -> RetryBudgetMemory {
        let Self { balance, window_start, ceiling, ceiling_before, .. } = self;
        RetryBudgetMemory { balance, window_start, ceiling, ceiling_before }
    }

    /// Puts down what it remembers and takes up `memory`. Both are of accounts with the same settings. Figures stay:
    /// they are of all whose memories it had.
    pub const fn exchange(&mut self, memory: &mut RetryBudgetMemory) {
        swap(&mut self.balance, &mut memory.balance);
        swap(&mut self.window_start, &mut memory.window_start);
        swap(&mut self.ceiling, &mut memory.ceiling);
        swap(&mut self.ceiling_before, &mut memory.ceiling_before);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::Ratio;

    proptest! {
        #[test]
        fn two_keys_in_one_account_are_answered_as_by_two_accounts(
            steps in prop::collection::vec((0usize..2, 0u8..6, 0u64..4), 1..200),
        ) {
            let machine = || RetryBudget::new(Ratio::percent(50), false);
            let mut one = machine();
            let mut memories = [(); 2].map(|()| machine().into_memory());
            let mut two = [(); 2].map(|()| machine());
            let mut now = Instant::ORIGIN;
            for (key, step, seconds) in steps {
                now = now + Duration::from_secs(seconds);
                one.exchange(&mut memories[key]);
                match step {
                    0..=2 => [&mut one, &mut two[key]].map(|account| account.deposit(now)),
                    3 | 4 => {
                        let paid = [&mut one, &mut two[key]].map(|account| account.charge(now));
                        prop_assert_eq!(paid[0], paid[1]);
                        [(), ()]
                    }
                    _ => [&mut one, &mut two[key]].map(RetryBudget::refund),
                };
                let [mine, its] = [&one, &two[key]].map(RetryBudget::snapshot);
                prop_assert_eq!(mine.balance, its.balance);
                one.exchange(&mut memories[key]);
            }
            let [mine, first, second] = [&one, &two[0], &two[1]].map(RetryBudget::snapshot);
            prop_assert_eq!(mine.first_attempts, first.first_attempts + second.first_attempts);
        }
    }

    #[test]
    fn it_is_as_small_as_it_says() {
        assert_eq!(size_of::<RetryBudgetMemory>(), 32);
    }
}
