//! Chance as an argument: one random number, drawn by the caller, handed in.
//!
//! A machine that owned a generator would make equal machines behave unequally and make a failing
//! run unrepeatable. A [`Draw`] is a value; [`Draws`] is the seeded sequence callers take it from.

use core::time::Duration;

use crate::time::nanos;

/// One uniformly random number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw(u64);

impl Draw {
    /// A draw with the given bits.
    #[inline]
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// Uniform in `0..n` (0 when `n` is 0), by the multiply-shift method (Lemire 2018); its bias is below
    /// `n / 2^64`.
    #[inline]
    #[must_use]
    pub const fn below(self, n: u64) -> u64 {
        ((self.0 as u128 * n as u128) >> 64) as u64
    }

    /// Uniform in `low..=high` to the nanosecond; `low` when the range is empty.
    #[must_use]
    pub const fn between(self, low: Duration, high: Duration) -> Duration {
        let (low, high) = (nanos(low), nanos(high));
        let width = high.saturating_sub(low).saturating_add(1);
        Duration::from_nanos(low.saturating_add(self.below(width)))
    }

    /// A second number from the same draw, independent of the first for every practical purpose.
    #[inline]
    #[must_use]
    pub const fn next(self) -> Self {
        Self(mix(self.0.wrapping_add(GOLDEN)))
    }
}

/// A seeded sequence of draws: SplitMix64 (Steele, Lea and Flood 2014).
///
/// ```
/// use seawall_core::Draws;
///
/// let (mut a, mut b) = (Draws::seeded(7), Draws::seeded(7));
/// assert_eq!(a.draw(), b.draw());
/// ```
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next draw.
    #[inline]
    pub const fn draw(&mut self) -> Draw {
        let draw = Self::nth(self.0, 1);
        self.0 = self.0.wrapping_add(GOLDEN);
        draw
    }

    /// Draw number `n` of the sequence of `seed`, for callers that share one counter.
    #[inline]
    #[must_use]
    pub const fn nth(seed: u64, n: u64) -> Draw {
        Draw(mix(seed.wrapping_add(n.wrapping_mul(GOLDEN))))
    }
}

/// SplitMix64's output function.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 2^64 divided by the golden ratio, odd: SplitMix64's step.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // First outputs of the reference implementation for seed 1234567.
        let mut draws = Draws::seeded(1_234_567);
        assert_eq!(draws.draw(), Draw(6_457_827_717_110_365_317));
        assert_eq!(draws.draw(), Draw(3_203_168_211_198_807_973));
        assert_eq!(Draws::nth(1_234_567, 2), Draw(3_203_168_211_198_807_973));
    }

    #[test]
    fn ranges_include_both_ends_and_nothing_else() {
        let (low, high) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(Draw(0).between(low, high), low);
        assert_eq!(Draw(u64::MAX).between(low, high), high);
        assert_eq!(Draw(u64::MAX).between(high, low), high);
        assert_eq!(Draw(u64::MAX).below(0), 0);
        assert_eq!(Draw(u64::MAX).below(10), 9);
    }
}
