//! A rate as an exact ratio, and the unit in which nothing has to be rounded.
//!
//! ```text
//!   n tokens per p nanoseconds:   a nanosecond earns n parts,   a token costs p parts
//! ```
//!
//! Both are whole numbers at every rate, three per second included, so an account kept in parts loses nothing
//! however often it is looked at. Products of two 64-bit numbers fit 128 bits: nothing overflows either, and
//! nothing is divided until somebody asks how long.

use core::{fmt, time::Duration};

use crate::time::nanos;

/// So many tokens per so much time, exactly as it was written. A rate of 0 is allowed: nothing is ever earned.
///
/// ```
/// use core::time::Duration;
/// use seawall_core::Rate;
///
/// assert_eq!(Rate::per_second(100).to_string(), "100/s");
/// assert_eq!(Rate::new(1, Duration::from_secs(3)).unwrap().to_string(), "1/3s");
/// assert_eq!(Rate::new(1, Duration::ZERO), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    tokens: u64,
    /// In nanoseconds, at least one.
    per: u64,
}

impl Rate {
    /// `tokens` every `per`, which saturates at 584 years. `None` when `per` is zero.
    #[must_use]
    pub const fn new(tokens: u64, per: Duration) -> Option<Self> {
        match nanos(per) {
            0 => None,
            per => Some(Self { tokens, per }),
        }
    }

    /// `tokens` every second.
    #[must_use]
    pub const fn per_second(tokens: u64) -> Self {
        Self { tokens, per: SECOND }
    }

    /// Tokens earned [`per`](Self::per) so much time.
    #[must_use]
    pub const fn tokens(self) -> u64 {
        self.tokens
    }

    /// The time in which [`tokens`](Self::tokens) are earned; more than 0.
    #[must_use]
    pub const fn per(self) -> Duration {
        Duration::from_nanos(self.per)
    }

    /// Whether nothing is ever earned.
    #[inline]
    pub(super) const fn is_zero(self) -> bool {
        self.tokens == 0
    }

    /// The parts that `nanos` nanoseconds earn.
    #[inline]
    pub(super) const fn earned(self, nanos: u64) -> u128 {
        nanos as u128 * self.tokens as u128
    }

    /// The parts that `tokens` cost.
    #[inline]
    pub(super) const fn price(self, tokens: u64) -> u128 {
        tokens as u128 * self.per as u128
    }

    /// Whole tokens in `parts`.
    #[inline]
    pub(super) const fn whole(self, parts: u128) -> u64 {
        saturated(match short(parts) {
            Some(parts) => (parts / self.per) as u128,
            None => parts / self.per as u128,
        })
    }

    /// The nanoseconds until `parts` are earned, rounded up; `None` if they never are.
    #[inline]
    pub(super) const fn time(self, parts: u128) -> Option<u64> {
        match (short(parts), self.tokens) {
            (Some(0), _) => Some(0),
            (_, 0) => None,
            (Some(parts), tokens) => Some(parts.div_ceil(tokens)),
            (None, tokens) => Some(saturated(parts.div_ceil(tokens as u128))),
        }
    }

    /// `parts` of this rate in parts of `other`, rounded down by less than one of these.
    pub(super) const fn convert(self, parts: u128, other: Self) -> u128 {
        let rest = (parts % self.per as u128) * other.per as u128 / self.per as u128;
        other.price(self.whole(parts)).saturating_add(rest)
    }
}

/// As configuration writes it: `100/s`, `1/3s`, `1000/m`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) =
            UNITS.into_iter().find(|(unit, _)| self.per.is_multiple_of(*unit)).unwrap_or((1, "ns"));
        match self.per / unit {
            1 => write!(f, "{}/{name}", self.tokens),
            units => write!(f, "{}/{units}{name}", self.tokens),
        }
    }
}

/// `parts` if they fit one word, as those of everyday limits do: a division of words is several times faster.
#[inline]
const fn short(parts: u128) -> Option<u64> {
    if parts <= u64::MAX as u128 { Some(parts as u64) } else { None }
}

#[inline]
const fn saturated(number: u128) -> u64 {
    if number > u64::MAX as u128 { u64::MAX } else { number as u64 }
}

const SECOND: u64 = 1_000_000_000;
const UNITS: [(u64, &str); 6] = [
    (3_600 * SECOND, "h"),
    (60 * SECOND, "m"),
    (SECOND, "s"),
    (1_000_000, "ms"),
    (1_000, "us"),
    (1, "ns"),
];

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn it_prints_as_it_is_configured() {
        for (tokens, per, printed) in [
            (100, Duration::from_secs(1), "100/s"),
            (1, Duration::from_secs(3), "1/3s"),
            (1_000, Duration::from_secs(60), "1000/m"),
            (5, Duration::from_secs(90), "5/90s"),
            (7, Duration::from_secs(86_400), "7/24h"),
            (0, Duration::from_millis(1_500), "0/1500ms"),
            (2, Duration::from_micros(5), "2/5us"),
            (3, Duration::from_nanos(1), "3/ns"),
        ] {
            assert_eq!(Rate::new(tokens, per).unwrap().to_string(), printed);
        }
        assert_eq!(Rate::per_second(4), Rate::new(4, Duration::from_secs(1)).unwrap());
    }

    #[test]
    fn times_round_up_tokens_round_down_and_both_saturate() {
        let third = Rate::new(3, Duration::from_nanos(10)).unwrap();
        assert_eq!((third.time(1), third.time(3), third.time(4)), (Some(1), Some(1), Some(2)));
        assert_eq!((third.whole(9), third.whole(10)), (0, 1));
        assert_eq!(third.time(u128::MAX), Some(u64::MAX));
        assert_eq!(third.time(1 << 64), Some((1u128 << 64).div_ceil(3) as u64));
        assert_eq!(third.whole(1 << 64), ((1u128 << 64) / 10) as u64);
        let never = Rate::per_second(0);
        assert_eq!((never.time(0), never.time(1)), (Some(0), None));
        let fastest = Rate::new(u64::MAX, Duration::from_nanos(1)).unwrap();
        assert_eq!(fastest.whole(fastest.earned(u64::MAX)), u64::MAX);
    }
}
