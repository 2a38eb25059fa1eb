//! The settings of the adaptive timeout: the guide's hierarchy of limits, and how one of them is learned.

use alloc::format;
use core::time::Duration;

use crate::{Invalid, Ratio};

/// Settings of [`AdaptiveTimeout`](crate::AdaptiveTimeout): the guide's hierarchy of limits, and how the attempt limit is learned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "written out with `..Default::default()`")]
pub struct TimeoutConfig {
    /// Limit on connecting. Default 3 s; more than 0.
    pub connect: Duration,
    /// Limit on silence between two reads. Default 30 s; more than 0.
    pub read: Duration,
    /// Limit on one attempt, and cap of the learned limit. Default 60 s; more than 0.
    pub attempt: Duration,
    /// Whether to learn the attempt limit from latency. Default true.
    pub adaptive: bool,
    /// The quantile of latency to learn from. Default 95 %; at least 50 %, below 100 %.
    pub quantile: Ratio,
    /// What the quantile is multiplied by. Default 1.5; 1 to 100.
    pub factor: Ratio,
    /// Samples needed before anything is learned, and kept for want of newer ones. Default 100; at least 1.
    pub warm_up: u32,
    /// The learned limit never falls below this. Default 10 ms, twice the grain of coarse timers and
    /// more; more than 0, and at most `attempt` if `adaptive`.
    pub floor: Duration,
}

impl TimeoutConfig {
    /// Tells everything that is wrong with these settings.
    pub fn check(&self, found: &mut dyn FnMut(Invalid)) {
        for (field, limit) in [
            ("timeout.connect", self.connect),
            ("timeout.read", self.read),
            ("timeout.attempt", self.attempt),
            ("timeout.floor", self.floor),
        ] {
            if limit.is_zero() {
                found(Invalid::new(field, "0s", "more than 0"));
            }
        }
        if !(QUANTILE_MIN..Ratio::ONE).contains(&self.quantile) {
            found(Invalid::new("timeout.quantile", self.quantile, "at least 50%, below 100%"));
        }
        if !(Ratio::ONE..=FACTOR_MAX).contains(&self.factor) {
            found(Invalid::new("timeout.factor", self.factor.as_f64(), "1 to 100"));
        }
        if self.warm_up == 0 {
            found(Invalid::new("timeout.warm_up", self.warm_up, "at least 1"));
        }
        if self.adaptive && self.floor > self.attempt && !self.attempt.is_zero() {
            let mut expected = format!("at most attempt, which is {:?}", self.attempt);
            if self.attempt < FLOOR {
                expected.push_str(", below the default floor of 10ms: lower both");
            }
            let floor = Invalid::new("timeout.floor", format!("{:?}", self.floor), expected);
            found(floor.beside(&["attempt", "adaptive"]));
        }
    }
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            read: Duration::from_secs(30),
            attempt: Duration::from_secs(60),
            adaptive: true,
            quantile: Ratio::percent(95),
            factor: Ratio::percent(150),
            warm_up: 100,
            floor: FLOOR,
        }
    }
}

/// Two timer ticks of 1 to 5 ms: a shorter limit would measure the timer, not the callee.
const FLOOR: Duration = Duration::from_millis(10);
/// Below the median a limit would fail most calls it was learned from.
const QUANTILE_MIN: Ratio = Ratio::percent(50);
/// A hundred times the latency is no limit any more; such a setting is a per cent taken for a factor.
const FACTOR_MAX: Ratio = Ratio::percent(10_000);
