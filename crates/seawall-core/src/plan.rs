//! What a call will do, worked out once from the configuration and read by every call.

use core::time::Duration;

use crate::Retry;

/// The settings a [`Call`](crate::Call) consults. The machines' own settings are in the machines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "written out by every door")]
pub struct Plan {
    /// How long the whole call may take, waits included; `None`: no limit.
    pub deadline: Option<Duration>,
    /// How attempts follow one another; `None`: one attempt.
    pub retry: Option<Retry>,
    /// Whether an attempt that ran into its own limit may be followed by another.
    pub retry_timeouts: bool,
    /// Whether the learned limit cuts an attempt although no other may follow: where the limit is all there is.
    pub enforces_learned: bool,
    /// Whether a retry towards an endpoint not yet tried costs nothing if the attempt it replaces certainly
    /// never reached its callee. Only where there are endpoints to choose from.
    pub free_if_unreached: bool,
}

impl Plan {
    /// Whether the learned limit may cut an attempt at all.
    #[inline]
    pub(crate) const fn cuts_by_learned(&self) -> bool {
        self.retry.is_some() && self.retry_timeouts || self.enforces_learned
    }

    /// From what age an attempt that ended without an answer is the callee's failure, where nobody said what is slow
    /// and before anything is learned: a second, or half of a deadline shorter than two.
    ///
    /// It comes from the policy's deadline, never from what one caller has left, or a caller with 5 ms would
    /// poison the breaker for all.
    #[must_use]
    pub fn late_after(&self) -> Duration {
        self.deadline.map_or(LATE_AFTER_MAX, |deadline| (deadline / 2).min(LATE_AFTER_MAX))
    }
}

/// Nothing configured: one attempt without limits.
impl Default for Plan {
    fn default() -> Self {
        Self {
            deadline: None,
            retry: None,
            retry_timeouts: true,
            enforces_learned: false,
            free_if_unreached: false,
        }
    }
}

/// A person waiting notices a second (Nielsen 1993).
pub(crate) const LATE_AFTER_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RetryConfig;

    #[test]
    fn late_is_a_second_or_half_of_a_shorter_deadline() {
        let ms = Duration::from_millis;
        for (deadline, late) in
            [(None, 1_000), (Some(9_000), 1_000), (Some(2_000), 1_000), (Some(400), 200)]
        {
            let plan = Plan { deadline: deadline.map(ms), ..Plan::default() };
            assert_eq!(plan.late_after(), ms(late));
        }
    }

    #[test]
    fn a_learned_limit_cuts_what_may_be_repeated_or_where_it_is_all_there_is() {
        let retry = Retry::new(&RetryConfig::default()).ok();
        for (retry, retry_timeouts, enforces_learned, cuts) in [
            (None, true, false, false),
            (None, true, true, true),
            (retry.clone(), true, false, true),
            (retry.clone(), false, false, false),
            (retry, false, true, true),
        ] {
            let plan = Plan { retry, retry_timeouts, enforces_learned, ..Plan::default() };
            assert_eq!(plan.cuts_by_learned(), cuts, "{plan:?}");
        }
    }
}
