//! An exact share: parts per million, so that ten per cent of anything is ten per cent.
//!
//! Floating point would drift in an account that is credited a million times, and a rounded quotient
//! turns 75 % into 100 %. Whole parts per million do neither.

use core::fmt;

/// A share or a factor, exact to one part per million.
///
/// ```
/// use seawall_core::Ratio;
///
/// assert_eq!(Ratio::percent(10).of(1_000), 100);
/// assert_eq!(Ratio::from_f64(1.5).unwrap().of(40), 60);
/// assert_eq!(Ratio::percent(10).to_string(), "10%");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

impl Ratio {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The whole.
    pub const ONE: Self = Self(PPM as u32);

    /// From parts per million.
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Self {
        Self(ppm)
    }

    /// From whole per cent; saturates at the largest ratio (about 4294).
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self(percent.saturating_mul(10_000))
    }

    /// From a factor such as `0.1`, rounded to the nearest part per million. `None` when it is
    /// negative, not a number, or above about 4294.
    #[must_use]
    pub fn from_f64(factor: f64) -> Option<Self> {
        let ppm = factor * PPM as f64 + 0.5;
        (factor >= 0.0 && ppm < f64::from(u32::MAX)).then_some(Self(ppm as u32))
    }

    /// Parts per million.
    #[inline]
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// This share of `whole`, rounded down, saturating.
    #[inline]
    #[must_use]
    pub const fn of(self, whole: u64) -> u64 {
        let part = whole as u128 * self.0 as u128 / PPM as u128;
        if part > u64::MAX as u128 { u64::MAX } else { part as u64 }
    }

    /// As a factor, for people and gauges.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / PPM as f64
    }
}

/// Per cent with the digits it needs: `10%`, `0.5%`, `150%`.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 10_000.0)
    }
}

/// Parts in a whole.
pub(crate) const PPM: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn shares_are_exact_and_saturate() {
        for (ratio, whole, part) in [
            (Ratio::percent(75), 100, 75),
            (Ratio::percent(0), u64::MAX, 0),
            (Ratio::ONE, u64::MAX, u64::MAX),
            (Ratio::percent(150), u64::MAX, u64::MAX),
            (Ratio::from_ppm(1), 999_999, 0),
            (Ratio::from_ppm(1), 1_000_000, 1),
        ] {
            assert_eq!(ratio.of(whole), part, "{ratio} of {whole}");
        }
    }

    #[test]
    fn nonsense_factors_are_none() {
        for bad in [-0.1, f64::NAN, f64::INFINITY, 5_000.0] {
            assert_eq!(Ratio::from_f64(bad), None, "{bad}");
        }
        assert_eq!(Ratio::from_f64(0.1), Some(Ratio::percent(10)));
    }

    #[test]
    fn it_prints_as_it_is_configured() {
        assert_eq!(Ratio::from_ppm(5_000).to_string(), "0.5%");
        assert_eq!(Ratio::percent(150).to_string(), "150%");
    }

    #[test]
    fn it_is_read_and_told_in_parts_of_a_million() {
        assert_eq!(Ratio::from_f64(0.25).map(Ratio::ppm), Some(250_000));
        assert_eq!(Ratio::from_f64(0.0), Some(Ratio::ZERO));
        let quarter = Ratio::percent(25);
        assert!((quarter.as_f64() - 0.25).abs() < 1e-9);
        assert_eq!(Ratio::ONE.ppm(), 1_000_000);
    }
}
