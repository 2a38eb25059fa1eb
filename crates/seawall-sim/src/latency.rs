//! How long work takes, drawn from a distribution in integers.
//!
//! ```text
//!   constant       always the same
//!   exponential    mean x -ln(u)               most are short, one in twenty takes three means
//!   long tail      exponential, a share of it times n
//! ```
//!
//! `-ln(u)` is the base-two logarithm times ln 2; the logarithm is a count of leading zeros and a table of 256
//! steps, worked out by the compiler. No floating point: its last digit is the one thing two machines may not
//! agree on, and one digit is enough to tell another story.

use core::time::Duration;

use seawall_core::{Draw, Ratio};

/// A distribution of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Latency {
    /// Always this long.
    Constant(Duration),
    /// Exponential with this mean, at most 22 times the mean.
    Exponential(Duration),
    /// Exponential with this mean, but a share takes so many times longer.
    LongTail {
        /// The mean of the body.
        mean: Duration,
        /// The share that takes longer.
        share: Ratio,
        /// How many times longer.
        times: u32,
    },
}

impl Latency {
    /// One duration, in nanoseconds.
    #[must_use]
    pub fn sample(self, draw: Draw) -> u64 {
        match self {
            Self::Constant(always) => nanos(always),
            Self::Exponential(mean) => exponential(nanos(mean), draw),
            Self::LongTail { mean, share, times } => {
                let body = exponential(nanos(mean), draw);
                let long = draw.next().below(1_000_000) < u64::from(share.ppm());
                if long { body.saturating_mul(u64::from(times)) } else { body }
            }
        }
    }
}

/// Exponential with this mean.
pub(crate) fn exponential(mean: u64, draw: Draw) -> u64 {
    // u in 1 ..= 2^32, so that its logarithm exists.
    let u = draw.below(1 << 32) + 1;
    let log = (32 << 16) - log2(u);
    let scaled = u128::from(mean) * u128::from(log) * LN_2;
    u64::try_from(scaled >> 32).unwrap_or(u64::MAX)
}

/// Nanoseconds, saturating.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The base-two logarithm in 2^-16, of `1 ..= 2^32`.
const fn log2(u: u64) -> u64 {
    let whole = 63 - u.leading_zeros() as u64;
    // The digits after the leading one, as a fraction of 2^32: eight bits choose a step, the rest lies within it.
    let fraction = (u << (63 - whole) << 1) >> 32;
    let (step, within) = ((fraction >> 24) as usize, fraction & 0xff_ffff);
    let (low, high) = (LOG2[step] as u64, LOG2[step + 1] as u64);
    (whole << 16) + low + (((high - low) * within) >> 24)
}

/// log2(1 + n / 256) in 2^-16, by squaring: each square doubles the logarithm and shows its next bit.
const LOG2: [u32; 257] = {
    let mut table = [1 << 16; 257];
    let mut n = 0;
    while n < 256 {
        let (mut x, mut log, mut bit) = ((1_u64 << 30) + ((n as u64) << 22), 0, 1 << 15);
        while bit > 0 {
            x = (x * x) >> 30;
            if x >= 2 << 30 {
                x >>= 1;
                log |= bit;
            }
            bit >>= 1;
        }
        table[n] = log;
        n += 1;
    }
    table
};

/// ln 2 in 2^-16.
const LN_2: u128 = 45_426;

#[cfg(test)]
mod tests {
    use seawall_core::Draws;

    use super::*;

    #[test]
    fn the_logarithm_is_right_to_four_digits() {
        for u in [1_u64, 2, 3, 5, 255, 256, 1_000, 123_456_789, (1 << 32) - 1, 1 << 32] {
            let (ours, exact) = (log2(u) as f64 / 65_536.0, (u as f64).log2());
            assert!((ours - exact).abs() < 1e-4, "log2({u}): {ours}, not {exact}");
        }
    }

    #[test]
    fn an_exponential_has_its_mean_and_its_tail() {
        let (mut draws, mean) = (Draws::seeded(1), 1_000_000);
        let samples: Vec<u64> = (0..200_000).map(|_| exponential(mean, draws.draw())).collect();
        let seen = samples.iter().sum::<u64>() / samples.len() as u64;
        assert!(seen.abs_diff(mean) < mean / 100, "{seen}");
        for (times, share) in [(1, 0.3679), (3, 0.0498), (5, 0.0067)] {
            let longer = samples.iter().filter(|s| **s > times * mean).count() as f64 / 200_000.0;
            assert!((longer - share).abs() < 0.005, "{longer} of it above {times} means");
        }
    }

    #[test]
    fn a_long_tail_lengthens_the_stated_share() {
        let mean = Duration::from_millis(1);
        let long = Latency::LongTail { mean, share: Ratio::percent(5), times: 1_000 };
        let mut draws = Draws::seeded(2);
        let above = (0..100_000).filter(|_| long.sample(draws.draw()) > nanos(mean) * 30).count();
        assert!((4_700..5_000).contains(&above), "{above}");
        assert_eq!(Latency::Constant(mean).sample(draws.draw()), nanos(mean));
    }
}
