//! How long to wait before retry number k, as a pure function of (schedule, k, draw).
//!
//! ```text
//!   k            0     1     2     3     4    5 …
//!   exponential  100   200   400   800   1600 …   base x 2^k
//!   linear       100   200   300   400   500  …   base x (k + 1)
//!   fibonacci    100   200   300   500   800  …   base x F(k + 2)
//! ```
//!
//! The cap comes first, the jitter second and inside the cap. The other way round every client that has
//! reached the cap waits exactly the cap, and the herd the jitter should scatter arrives together.

use alloc::{sync::Arc, vec::Vec};
use core::{fmt, time::Duration};

use crate::{Draw, Ratio, time::nanos};

/// How delays grow from one retry to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Doubling: base, 2 base, 4 base, 8 base…
    #[default]
    Exponential,
    /// Base, 2 base, 3 base, 4 base…
    Linear,
    /// Base, 2 base, 3 base, 5 base, 8 base…
    Fibonacci,
    /// The caller's own function of the retry's number (0 for the first); capped and jittered as the others.
    Custom(CustomBackoff),
}

impl Strategy {
    /// The name, as configuration writes it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Linear => "linear",
            Self::Fibonacci => "fibonacci",
            Self::Custom(_) => "custom",
        }
    }
}

/// A caller's own schedule: retry number (0 for the first) to delay.
///
/// Functions cannot be compared, so two of these are equal only if one is a clone of the other, whatever they
/// return. Settings with one are the same settings only if they share it: make it once and clone it.
#[derive(Clone)]
pub struct CustomBackoff(Arc<dyn Fn(u32) -> Duration + Send + Sync>);

impl CustomBackoff {
    /// The schedule `delay`.
    pub fn new(delay: impl Fn(u32) -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(delay))
    }

    /// The same schedule, asked once now for each of the first `retries`. What decides under a lock must not
    /// call the caller's code, which may panic or come back for the same lock.
    pub(crate) fn tabulated(&self, retries: u32) -> Self {
        let table: Vec<Duration> = (0..retries).map(|retry| (self.0)(retry)).collect();
        Self::new(move |retry| table.get(retry as usize).copied().unwrap_or_default())
    }
}

/// Equal when one is a clone of the other.
impl PartialEq for CustomBackoff {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CustomBackoff {}

impl fmt::Debug for CustomBackoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomBackoff")
    }
}

/// How delays are scattered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// Uniform within this share on either side of the delay, but never above the cap.
    Fraction(Ratio),
    /// Uniform between nothing and the delay.
    Full,
    /// Half the delay, and uniform over the other half.
    Equal,
    /// Uniform between the base and three times the delay before, below the cap (Brooker, "Exponential Backoff And
    /// Jitter", AWS 2015). It grows by itself, so the strategy plays no part.
    Decorrelated,
}

/// A schedule of delays.
///
/// ```
/// use core::time::Duration;
/// use seawall_core::{Backoff, Draw, Jitter, Ratio, Strategy};
///
/// let plain = Backoff {
///     base: Duration::from_millis(100),
///     cap: Duration::from_secs(60),
///     strategy: Strategy::Exponential,
///     jitter: Jitter::Fraction(Ratio::ZERO),
/// };
/// let delay = |retry| plain.delay(retry, Duration::ZERO, Draw::new(0));
/// assert_eq!(delay(3), Duration::from_millis(800));
/// assert_eq!(delay(u32::MAX), Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a value written out by its users")]
pub struct Backoff {
    /// The unit of growth.
    pub base: Duration,
    /// No delay is ever longer.
    pub cap: Duration,
    /// How delays grow.
    pub strategy: Strategy,
    /// How they are scattered.
    pub jitter: Jitter,
}

impl Backoff {
    /// The wait before retry number `retry` (0 for the first), after a wait of `last` before the one before it
    /// (zero if there was none): between zero and the cap.
    #[must_use]
    pub fn delay(&self, retry: u32, last: Duration, draw: Draw) -> Duration {
        if let Jitter::Decorrelated = self.jitter {
            let longest = last.max(self.base).saturating_mul(3).min(self.cap);
            return draw.between(self.base.min(longest), longest);
        }
        self.scattered(self.grown(retry).min(self.cap), draw)
    }

    /// Twice as long with the same draw; where that would pass the cap, scattered as any delay at the cap.
    pub(crate) fn doubled(&self, retry: u32, last: Duration, draw: Draw) -> Duration {
        let twice = self.delay(retry, last, draw).saturating_mul(2);
        if twice <= self.cap { twice } else { self.scattered(self.cap, draw) }
    }

    /// A delay of at most the cap, jittered inside it.
    fn scattered(&self, full: Duration, draw: Draw) -> Duration {
        match self.jitter {
            Jitter::Fraction(fraction) => {
                let swing = Duration::from_nanos(fraction.of(nanos(full)));
                draw.between(full.saturating_sub(swing), full.saturating_add(swing).min(self.cap))
            }
            Jitter::Decorrelated => draw.between(self.base.min(full), full),
            Jitter::Full => draw.between(Duration::ZERO, full),
            Jitter::Equal => draw.between(full / 2, full),
        }
    }

    /// The delay before cap and jitter.
    fn grown(&self, retry: u32) -> Duration {
        let base = nanos(self.base);
        let factor = match &self.strategy {
            Strategy::Exponential => 1u64.checked_shl(retry).unwrap_or(u64::MAX),
            Strategy::Linear => u64::from(retry) + 1,
            Strategy::Fibonacci => fibonacci(retry),
            Strategy::Custom(CustomBackoff(delay)) => return delay(retry),
        };
        Duration::from_nanos(base.saturating_mul(factor))
    }
}

/// 1, 2, 3, 5, 8… for 0, 1, 2, 3, 4…; saturates after 92 steps.
fn fibonacci(n: u32) -> u64 {
    let (mut a, mut b) = (1u64, 1u64);
    for _ in 0..n.min(92) {
        (a, b) = (b, a.saturating_add(b));
    }
    b
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Strategy, *};
    use crate::Draws;

    const MS: Duration = Duration::from_millis(1);

    fn backoff(strategy: Strategy, jitter: Jitter) -> Backoff {
        Backoff { base: 100 * MS, cap: 60_000 * MS, strategy, jitter }
    }

    fn first(n: u32, strategy: Strategy) -> Vec<u128> {
        let plain = backoff(strategy, Jitter::Fraction(Ratio::ZERO));
        (0..n).map(|k| plain.delay(k, Duration::ZERO, Draw::new(u64::MAX)).as_millis()).collect()
    }

    #[test]
    fn delays_grow_as_the_guide_says() {
        assert_eq!(first(4, Strategy::Exponential), [100, 200, 400, 800]);
        assert_eq!(first(4, Strategy::Linear), [100, 200, 300, 400]);
        assert_eq!(first(6, Strategy::Fibonacci), [100, 200, 300, 500, 800, 1300]);
        let own = CustomBackoff::new(|k| Duration::from_millis(u64::from(k) * 7));
        assert_eq!(first(3, Strategy::Custom(own)), [0, 7, 14]);
    }

    #[test]
    fn strategies_have_names_and_a_callers_own_is_itself_alone() {
        let own = CustomBackoff::new(|_| MS);
        let all = [
            (Strategy::Exponential, "exponential"),
            (Strategy::Linear, "linear"),
            (Strategy::Fibonacci, "fibonacci"),
            (Strategy::Custom(own.clone()), "custom"),
        ];
        for (strategy, name) in all {
            assert_eq!(strategy.name(), name);
        }
        assert_eq!(own.clone(), own);
        assert_ne!(CustomBackoff::new(|_| MS), own, "what it returns is not looked at");
        assert_eq!(alloc::format!("{own:?}"), "CustomBackoff");
    }

    #[test]
    fn twice_a_delay_is_scattered_at_the_cap_where_it_would_pass_it() {
        let plain = Backoff { cap: 400 * MS, ..backoff(Strategy::Exponential, Jitter::Full) };
        for k in 0..4 {
            for bits in [0, u64::MAX / 2, u64::MAX] {
                let draw = Draw::new(bits);
                let once = plain.delay(k, Duration::ZERO, draw);
                let at_cap = draw.between(Duration::ZERO, plain.cap);
                let expected = if once * 2 <= plain.cap { once * 2 } else { at_cap };
                assert_eq!(plain.doubled(k, Duration::ZERO, draw), expected, "{k} {once:?}");
            }
        }
        let exact = Backoff { jitter: Jitter::Fraction(Ratio::ZERO), ..plain };
        let doubled = [0, 1, 2].map(|k| exact.doubled(k, Duration::ZERO, Draw::new(0)));
        assert_eq!(doubled, [200 * MS, 400 * MS, 400 * MS]);
    }

    #[test]
    fn two_sessions_of_one_schedule_wait_differently_and_the_same_seed_the_same() {
        let schedule = backoff(Strategy::Exponential, Jitter::Fraction(Ratio::percent(50)));
        let told = |seed| {
            let mut draws = Draws::seeded(seed);
            (0..4).map(|k| schedule.delay(k, Duration::ZERO, draws.draw())).collect::<Vec<_>>()
        };
        assert_eq!(told(1), told(1));
        let all: BTreeSet<_> = (0..100).map(told).collect();
        assert_eq!(all.len(), 100);
    }

    #[test]
    fn jitter_reaches_the_round_numbers_people_configure() {
        // Schedules that scale whole seconds and the rest apart give 1 s and 2 s no jitter at all.
        for base in [1u64, 2, 60] {
            let schedule = Backoff {
                base: Duration::from_secs(base),
                ..backoff(Strategy::Exponential, Jitter::Fraction(Ratio::percent(45)))
            };
            let mut draws = Draws::seeded(base);
            let seen: BTreeSet<_> =
                (0..1_000).map(|_| schedule.delay(0, Duration::ZERO, draws.draw())).collect();
            assert!(seen.len() > 900, "{base} s: {} distinct delays", seen.len());
        }
    }

    #[test]
    fn p14a_at_the_cap_delays_stay_scattered_and_below_it() {
        let schedule = backoff(Strategy::Exponential, Jitter::Fraction(Ratio::percent(50)));
        let mut draws = Draws::seeded(1);
        let delays: Vec<_> =
            (0..1_000).map(|_| schedule.delay(30, Duration::ZERO, draws.draw())).collect();
        assert!(delays.iter().all(|d| *d <= schedule.cap && *d >= schedule.cap / 2));
        assert!(delays.iter().collect::<BTreeSet<_>>().len() > 900);
        // Uniform over 30 s .. 60 s: the mean lies within three standard errors of 45 s, the variance of 75 s².
        let mean = delays.iter().map(|d| d.as_millis()).sum::<u128>() / 1_000;
        assert!((44_178..=45_822).contains(&mean), "mean {mean} ms");
        let variance =
            delays.iter().map(|d| (d.as_secs_f64() - 45.0).powi(2)).sum::<f64>() / 1_000.0;
        assert!((68.6..=81.4).contains(&variance), "variance {variance} s²");
    }

    proptest! {
        #[test]
        fn no_delay_passes_the_cap(
            base in 0u64..=u64::MAX, cap in 0u64..=u64::MAX, last in 0u64..=u64::MAX, k: u32, bits: u64,
            ppm: u32, kind in 0..7u8,
        ) {
            let strategy = match kind {
                1 => Strategy::Linear,
                2 => Strategy::Fibonacci,
                6 => Strategy::Custom(CustomBackoff::new(|_| Duration::MAX)),
                _ => Strategy::Exponential,
            };
            let jitter = match kind {
                3 => Jitter::Full,
                4 => Jitter::Equal,
                5 => Jitter::Decorrelated,
                _ => Jitter::Fraction(Ratio::from_ppm(ppm)),
            };
            let last = Duration::from_nanos(last);
            let schedule =
                Backoff { base: Duration::from_nanos(base), cap: Duration::from_nanos(cap), strategy, jitter };
            prop_assert!(schedule.delay(k, last, Draw::new(bits)) <= schedule.cap);
            prop_assert!(schedule.doubled(k, last, Draw::new(bits)) <= schedule.cap);
        }

        #[test]
        fn full_and_equal_jitter_keep_their_ranges(k in 0u32..12, bits: u64) {
            let whole = backoff(Strategy::Exponential, Jitter::Fraction(Ratio::ZERO)).delay(k, Duration::ZERO, Draw::new(0));
            let full = backoff(Strategy::Exponential, Jitter::Full).delay(k, Duration::ZERO, Draw::new(bits));
            let equal = backoff(Strategy::Exponential, Jitter::Equal).delay(k, Duration::ZERO, Draw::new(bits));
            prop_assert!(full <= whole);
            prop_assert!(equal >= whole / 2 && equal <= whole);
        }
    }
}
