//! Whether and when another attempt may follow the one that just ended.
//!
//! ```text
//!   verdict retryable? ▸ request repeatable? ▸ a retry left? ▸ wait ends before the deadline?
//!     ▸ somebody admits by then? ▸ the budget pays?  ▸ wait, then try again
//! ```
//!
//! The first no in that row is why nothing followed, and it is kept ([`Stopped`]): "the dependency is down" and
//! "we stopped asking" are different pages of the night's work.

use core::{fmt, time::Duration};

use crate::{
    Backoff, Draw, Invalid, Jitter, Outcome, Ratio, Refusal, Strategy, Verdict, invalid::first,
};

/// Settings of [`Retry`] and of the budget beside it. The defaults are the guide's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "configuration, written with struct update from Default"
)]
pub struct RetryConfig {
    /// Attempts after the first. Default 3; 0 to 100. 0 turns retries off.
    pub max_retries: u32,
    /// The first delay. Default 100 ms.
    pub base_delay: Duration,
    /// No delay of ours is longer, jitter included; a callee's own hint may be ([`Retry::delay`]). Default 60 s; at least
    /// `base_delay`.
    pub max_delay: Duration,
    /// How delays are scattered. Default half of the delay on either side.
    pub jitter: Jitter,
    /// How delays grow. Default exponential.
    pub strategy: Strategy,
    /// Retries earned per first attempt ([`RetryBudget`](crate::RetryBudget)). Default 10 %; 0 to 1000 %.
    pub budget: Ratio,
    /// No retry starts later than this after the call began, whatever the deadline. Default none; more than 0.
    pub max_elapsed: Option<Duration>,
    /// Whether the budget is topped up with time, for services too quiet to earn retries. Default false.
    pub trickle: bool,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_retries: 3,
            base_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(60),
            jitter: Jitter::Fraction(Ratio::percent(50)),
            strategy: Strategy::Exponential,
            budget: Ratio::percent(10),
            max_elapsed: None,
            trickle: false,
        }
    }
}

impl RetryConfig {
    /// Tells every setting that makes no sense.
    pub fn check(&self, found: &mut dyn FnMut(Invalid)) {
        if self.max_retries > MAX_RETRIES {
            found(Invalid::new("retry.max_retries", self.max_retries, "0 to 100"));
        }
        if self.max_delay < self.base_delay {
            let value = alloc::format!("{:?}", self.max_delay);
            let expected = alloc::format!("at least base_delay, which is {:?}", self.base_delay);
            found(Invalid::new("retry.max_delay", value, expected).beside(&["base_delay"]));
        }
        if let Jitter::Fraction(fraction) = self.jitter
            && fraction > Ratio::ONE
        {
            found(Invalid::new("retry.jitter", fraction, "0% to 100%"));
        }
        if self.jitter == Jitter::Decorrelated && self.strategy != Strategy::Exponential {
            let expected = "none: decorrelated jitter grows by itself";
            let strategy = Invalid::new("retry.strategy", self.strategy.name(), expected);
            found(strategy.beside(&["jitter"]));
        }
        if self.max_elapsed == Some(Duration::ZERO) {
            found(Invalid::new("retry.max_elapsed", "0s", "more than 0s, or none"));
        }
        if self.budget > Ratio::percent(1_000) {
            found(Invalid::new("retry.budget", self.budget, "0% to 1000% of first attempts"));
        }
    }
}

/// When to retry. A value without state: the account is [`RetryBudget`](crate::RetryBudget), the attempt's
/// number belongs to the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    max_retries: u32,
    max_elapsed: Option<Duration>,
    backoff: Backoff,
}

impl Retry {
    /// A schedule from its settings.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn new(config: &RetryConfig) -> Result<Self, Invalid> {
        first(|found| config.check(found))?;
        let backoff = Backoff {
            base: config.base_delay,
            cap: config.max_delay,
            strategy: match &config.strategy {
                Strategy::Custom(custom) => Strategy::Custom(custom.tabulated(config.max_retries)),
                other => other.clone(),
            },
            jitter: config.jitter,
        };
        Ok(Self { max_retries: config.max_retries, max_elapsed: config.max_elapsed, backoff })
    }

    /// Retries a call may make.
    #[inline]
    #[must_use]
    pub const fn max_retries(&self) -> u32 {
        self.max_retries
    }

    /// How long after its beginning a call may still start a retry; `None`: as long as there is time.
    #[inline]
    #[must_use]
    pub const fn max_elapsed(&self) -> Option<Duration> {
        self.max_elapsed
    }

    /// How long to wait before retry number `retry` (0 for the first) of an attempt that ended with `verdict`;
    /// `last` is the wait before the retry before, zero if there was none.
    ///
    /// The callee's own hint wins, up to five minutes, and is only ever lengthened, by up to half, so that all who were
    /// told the same second do not come back in it. Without one, "later" (429) waits twice as long as a failure would
    /// with the same draw. Where that would pass the cap, it waits as a failure at the cap does: scattered
    /// below it, for all who waited exactly the cap would come back together.
    #[must_use]
    pub fn delay(&self, retry: u32, last: Duration, verdict: &Verdict, draw: Draw) -> Duration {
        if let Some(hint) = verdict.retry_after {
            let hint = hint.min(HINT_MAX);
            // "At once" from a callee in trouble is no reason to come back without a pause.
            let pause = self.backoff.delay(retry, last, draw);
            return draw.between(hint, hint.saturating_add(hint / 2)).max(pause);
        }
        match verdict.outcome {
            Outcome::Ignored => self.backoff.doubled(retry, last, draw),
            Outcome::Success | Outcome::Failure => self.backoff.delay(retry, last, draw),
        }
    }
}

/// Why no other attempt followed the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// There was no need: it succeeded.
    Succeeded,
    /// The policy does not retry.
    NoRetry,
    /// The verdict says another attempt would end the same way.
    NotRetryable,
    /// The request must not or cannot be sent twice.
    NotRepeatable,
    /// All retries are used.
    MaxRetries,
    /// The call has run for too long to start another.
    MaxElapsed,
    /// The wait would have ended after the deadline, or the deadline has passed.
    Deadline,
    /// A machine refused: the retry budget, the breaker, the bulkhead, or a rate limit that limits each attempt.
    Refused(Refusal),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Succeeded => "succeeded",
            Self::NoRetry => "no retry is set",
            Self::NotRetryable => "it would end the same way",
            Self::NotRepeatable => "must not be repeated",
            Self::MaxRetries => "all retries are used",
            Self::MaxElapsed => "max_elapsed has passed",
            Self::Deadline => "no time before the deadline",
            Self::Refused(refusal) => return refusal.fmt(f),
        };
        f.write_str(words)
    }
}

/// Five minutes, as Envoy and linkerd cap it: no callee may silence a caller for longer by one answer.
const HINT_MAX: Duration = Duration::from_secs(300);

/// More than anyone has asked for; it keeps an attempt's number in a byte.
const MAX_RETRIES: u32 = 100;

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, string::ToString, sync::Arc, vec::Vec};
    use core::sync::atomic::{AtomicU32, Ordering};

    use proptest::prelude::*;

    use super::{Strategy, *};
    use crate::{CustomBackoff, Draws};

    fn retry() -> Retry {
        Retry::new(&RetryConfig::default()).unwrap()
    }

    #[test]
    fn each_reason_to_stop_has_words_of_its_own() {
        use Stopped::{
            Deadline, MaxElapsed, MaxRetries, NoRetry, NotRepeatable, NotRetryable, Refused,
            Succeeded,
        };
        let full = Refusal::new(crate::Pattern::Bulkhead, crate::Reason::Full);
        assert_eq!(Refused(full).to_string(), full.to_string());
        let reasons = [
            Succeeded,
            NoRetry,
            NotRetryable,
            NotRepeatable,
            MaxRetries,
            MaxElapsed,
            Deadline,
            Refused(full),
        ];
        let words: BTreeSet<_> = reasons.iter().map(ToString::to_string).collect();
        assert!(words.len() == reasons.len() && words.iter().all(|words| words.len() > 3));
    }

    #[test]
    fn a_hint_beyond_five_minutes_is_five_minutes() {
        let mut draws = Draws::seeded(3);
        for (hint, at_least) in [(299, 299), (300, 300), (301, 300), (86_400, 300), (u64::MAX, 300)]
        {
            let verdict = Verdict::LATER.after(Some(Duration::from_secs(hint)));
            let at_least = Duration::from_secs(at_least);
            for _ in 0..1_000 {
                let delay = retry().delay(0, Duration::ZERO, &verdict, draws.draw());
                assert!(delay >= at_least && delay <= at_least * 3 / 2, "{hint} s: {delay:?}");
            }
        }
    }

    #[test]
    fn a_hint_is_never_undercut_and_never_stretched_by_more_than_half() {
        let hint = Duration::from_secs(7);
        let mut draws = Draws::seeded(3);
        for verdict in [Verdict::LATER, Verdict::FAILURE] {
            for _ in 0..1_000 {
                let delay =
                    retry().delay(0, Duration::ZERO, &verdict.after(Some(hint)), draws.draw());
                assert!(delay >= hint && delay <= hint * 3 / 2, "{delay:?}");
            }
        }
    }

    #[test]
    fn a_custom_schedule_is_asked_only_when_it_is_built() {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = asked.clone();
        let own = CustomBackoff::new(move |k| {
            counter.fetch_add(1, Ordering::Relaxed);
            Duration::from_millis(u64::from(k) * 10)
        });
        let config = RetryConfig {
            strategy: Strategy::Custom(own),
            jitter: Jitter::Fraction(Ratio::ZERO),
            ..RetryConfig::default()
        };
        let retry = Retry::new(&config).unwrap();
        for _ in 0..10 {
            let delay = retry.delay(2, Duration::ZERO, &Verdict::FAILURE, Draws::nth(1, 1));
            assert_eq!(delay, Duration::from_millis(20));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 3, "once for each retry there may be");
    }

    #[test]
    fn decorrelated_delays_stay_between_base_and_thrice_the_last_below_the_cap() {
        let config = RetryConfig {
            jitter: Jitter::Decorrelated,
            max_retries: 50,
            max_delay: Duration::from_secs(2),
            ..RetryConfig::default()
        };
        let (retry, base, cap) =
            (Retry::new(&config).unwrap(), config.base_delay, config.max_delay);
        let mut draws = Draws::seeded(9);
        let (mut shortened, mut at_cap) = (0, BTreeSet::new());
        for _ in 0..100 {
            let mut last = Duration::ZERO;
            for k in 0..50 {
                let delay = retry.delay(k, last, &Verdict::FAILURE, draws.draw());
                assert!(
                    delay >= base && delay <= last.max(base) * 3 && delay <= cap,
                    "{last:?}, {delay:?}"
                );
                shortened += u32::from(delay < last);
                if last * 3 > cap {
                    at_cap.insert(delay);
                }
                last = delay;
            }
        }
        assert!(shortened > 1_000, "it may come back sooner: {shortened}");
        assert!(at_cap.len() > 900, "scattered at the cap: {}", at_cap.len());
        let grown = RetryConfig { strategy: Strategy::Linear, ..config };
        assert_eq!(Retry::new(&grown).unwrap_err().field, "retry.strategy");
    }

    #[test]
    fn a_hint_of_nothing_does_not_switch_the_backoff_off() {
        let at_once = Verdict::FAILURE.after(Some(Duration::ZERO));
        for k in 0..5 {
            let draw = Draws::nth(4, u64::from(k));
            assert_eq!(
                retry().delay(k, Duration::ZERO, &at_once, draw),
                retry().delay(k, Duration::ZERO, &Verdict::FAILURE, draw)
            );
        }
    }

    #[test]
    fn at_the_cap_later_stays_scattered_and_below_it() {
        let (retry, cap) = (retry(), RetryConfig::default().max_delay);
        let mut draws = Draws::seeded(5);
        for k in [9, 10, 30] {
            let delays: BTreeSet<_> = (0..1_000)
                .map(|_| retry.delay(k, Duration::ZERO, &Verdict::LATER, draws.draw()))
                .collect();
            assert!(delays.iter().all(|delay| *delay >= cap / 2 && *delay <= cap), "retry {k}");
            assert!(delays.len() > 900, "retry {k}: {} distinct delays", delays.len());
        }
    }

    proptest! {
        #[test]
        fn later_without_a_hint_waits_twice_as_long_as_a_failure(
            base in 0..10_000_000_000u64, cap in 0..600_000_000_000u64, k in 0..12u32, kind in 0..5u8,
            percent in 0..=100u32, bits: u64,
        ) {
            let config = RetryConfig {
                base_delay: Duration::from_nanos(base.min(cap)),
                max_delay: Duration::from_nanos(cap),
                strategy: if kind == 0 { Strategy::Linear } else { Strategy::Exponential },
                jitter: match kind {
                    1 => Jitter::Full,
                    2 => Jitter::Equal,
                    _ => Jitter::Fraction(Ratio::percent(percent)),
                },
                ..RetryConfig::default()
            };
            let retry = Retry::new(&config).unwrap();
            let delay = |verdict| retry.delay(k, Duration::ZERO, &verdict, Draw::new(bits));
            let (failure, later) = (delay(Verdict::FAILURE), delay(Verdict::LATER));
            prop_assert!(later <= config.max_delay);
            prop_assert!(later >= failure);
            if failure * 2 <= config.max_delay {
                prop_assert_eq!(later, failure * 2);
            } else {
                let at_cap = RetryConfig { base_delay: config.max_delay, ..config };
                let at_cap = Retry::new(&at_cap).unwrap().delay(0, Duration::ZERO, &Verdict::FAILURE, Draw::new(bits));
                prop_assert_eq!(later, at_cap);
            }
        }
    }

    #[test]
    fn every_senseless_setting_is_told() {
        let config = RetryConfig {
            max_retries: 101,
            base_delay: Duration::from_secs(2),
            max_delay: Duration::from_secs(1),
            jitter: Jitter::Fraction(Ratio::percent(101)),
            max_elapsed: Some(Duration::ZERO),
            budget: Ratio::percent(1_001),
            ..RetryConfig::default()
        };
        let mut fields = Vec::new();
        config.check(&mut |invalid| fields.push(invalid.field));
        assert_eq!(
            fields,
            [
                "retry.max_retries",
                "retry.max_delay",
                "retry.jitter",
                "retry.max_elapsed",
                "retry.budget"
            ]
        );
        assert_eq!(Retry::new(&config).unwrap_err().field, "retry.max_retries");
        RetryConfig::default().check(&mut |invalid| panic!("{invalid}"));
        let most = RetryConfig {
            max_retries: 100,
            base_delay: Duration::from_secs(60),
            jitter: Jitter::Fraction(Ratio::ONE),
            max_elapsed: Some(Duration::from_nanos(1)),
            budget: Ratio::percent(1_000),
            ..RetryConfig::default()
        };
        let retry = Retry::new(&most).unwrap();
        assert_eq!((retry.max_retries(), retry.max_elapsed()), (100, most.max_elapsed));
    }
}
