//! A point on the caller's clock. The core never reads a clock: every verb takes `now`.
//!
//! An [`Instant`] counts nanoseconds from an origin the caller chose, so the same machine runs under
//! a hardware clock, a simulated one, or a test that writes the numbers down. Differences saturate:
//! a clock that steps back is a clock on which no time has passed.

use core::time::Duration;

/// A point in time: nanoseconds since an origin of the caller's choice.
///
/// ```
/// use core::time::Duration;
/// use seawall_core::Instant;
///
/// let start = Instant::from_nanos(1_000);
/// let later = start + Duration::from_nanos(500);
/// assert_eq!(later.since(start), Duration::from_nanos(500));
/// assert_eq!(start.since(later), Duration::ZERO); // a clock that steps back
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ORIGIN: Self = Self(0);
    /// Further than any clock runs (584 years): "never".
    pub const NEVER: Self = Self(u64::MAX);

    /// The point `nanos` nanoseconds after the origin.
    #[inline]
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[inline]
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at [`Instant::NEVER`].
impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

/// Nanoseconds of a duration, saturating at 584 years.
#[inline]
pub(crate) const fn nanos(duration: Duration) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    // Asked first and not saturated step by step: of a difference of instants the compiler then sees that
    // this only undoes what made a duration of it.
    if duration.as_secs() < u64::MAX / SECOND {
        duration.as_secs() * SECOND + duration.subsec_nanos() as u64
    } else {
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::from_nanos(5) + Duration::MAX, Instant::NEVER);
        assert_eq!(Instant::ORIGIN.since(Instant::NEVER), Duration::ZERO);
        assert_eq!(Instant::NEVER.since(Instant::ORIGIN), Duration::from_nanos(u64::MAX));
    }

    #[test]
    fn a_duration_is_so_many_nanoseconds() {
        for (duration, expected) in [
            (Duration::from_nanos(7), 7),
            (Duration::new(3, 5), 3_000_000_005),
            (Duration::from_secs(1_000_000_000), 1_000_000_000_000_000_000),
            (Duration::from_nanos(u64::MAX), u64::MAX),
            (Duration::from_nanos(u64::MAX) + Duration::from_nanos(1), u64::MAX),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(nanos(duration), expected, "{duration:?}");
            assert_eq!((Instant::ORIGIN + duration).as_nanos(), expected);
        }
        assert_eq!(Instant::from_nanos(9).since(Instant::from_nanos(4)), Duration::from_nanos(5));
    }
}
