//! The adaptive timeout: a limit on one attempt, learned from how long attempts take.
//!
//! ```text
//!   attempt ─────┐ not learned            ┌─ quantile out of reach (too much was cut): towards the cap
//!                │                  ┌─────┘
//!                │ warm_up-th       │ +50 % a second at most
//!   factor x Q   └──────────────────┘     └─┐
//!                  sample                   └─┐ -10 % a second at most; none while
//!   floor ─────────────────────────────────── └──  cuts are over 5 % or the limit is held
//! ```
//!
//! The target is `factor` x the `quantile` of latency, within `floor` and `attempt`. The limit goes there
//! at the `warm_up`-th sample at once, and from then on steps towards it at most once a second, on the
//! first sample after the second is over; a target within 5 % of it is left alone.
//!
//! The limit shapes the very samples it is learned from: whatever it cuts is never seen to end. Learned
//! from the rest alone, each round would cut the new tail and walk the limit down to the floor. Three
//! rules break the circle: a cut attempt counts as longer than its age (see [`Sketch`]); the limit rises
//! when too much is cut to know the quantile; and it does not fall while cuts, or a breaker that is not
//! closed, say that the samples are those of trouble. It rises fast, for each second below the true
//! latency fails healthy calls, and falls slowly, for a second above it costs only waiting.
//!
//! Nothing is computed per call: the limit is a field, and a sample is one addition.

mod config;

use core::{mem, time::Duration};

pub use self::config::TimeoutConfig;
use crate::{
    Instant, Invalid, Ratio,
    invalid::first,
    quantile::{LARGEST, Sketch},
    time::nanos,
};

/// A limit on one attempt that follows the latency of its callee. 5.6 KB.
///
/// ```
/// use core::time::Duration;
/// use seawall_core::{AdaptiveTimeout, Instant, TimeoutConfig};
///
/// let mut timeout = AdaptiveTimeout::new(TimeoutConfig::default())?;
/// for _ in 0..99 {
///     timeout.record(Duration::from_millis(10), Instant::ORIGIN);
/// }
/// assert_eq!(timeout.limit(), Duration::from_secs(60));
/// timeout.record(Duration::from_millis(10), Instant::ORIGIN);
/// assert_eq!(timeout.limit().as_millis(), 15); // 1.5 x the P95
/// # Ok::<(), seawall_core::Invalid>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdaptiveTimeout {
    config: TimeoutConfig,
    sketch: Sketch,
    learned: Option<Duration>,
    /// Ended samples still missing before anything is learned.
    missing: u32,
    /// When the limit is due to be learned again.
    due: Instant,
    /// The last sample that ended by itself.
    answered: Instant,
    held: bool,
    /// Of all timeouts that have been here. The last 16 bits will do: nothing runs through 65 536 reloads.
    era: u16,
}

/// What an [`AdaptiveTimeout`] knows, as of its last sample. A quantile is `None` while unknown: nothing
/// ended lately, or too much was cut to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latencies {
    /// The median.
    pub p50: Option<Duration>,
    /// 95 %.
    pub p95: Option<Duration>,
    /// 99 %.
    pub p99: Option<Duration>,
    /// 99.9 %.
    pub p999: Option<Duration>,
    /// The limit on an attempt: learned, or as configured.
    pub limit: Duration,
    /// How many ended samples the quantiles rest on, after ageing.
    pub samples: u64,
    /// Whether the limit is to be learned; it is as configured until it has been.
    pub adaptive: bool,
}

impl AdaptiveTimeout {
    /// A timeout that has learned nothing yet.
    ///
    /// # Errors
    ///
    /// The first thing [`TimeoutConfig::check`] finds.
    pub fn new(config: TimeoutConfig) -> Result<Self, Invalid> {
        first(|found| config.check(found))?;
        Ok(Self {
            sketch: Sketch::keeping(config.warm_up),
            learned: None,
            missing: config.warm_up,
            due: Instant::ORIGIN,
            answered: Instant::ORIGIN,
            held: false,
            era: 0,
            config,
        })
    }

    /// The same timeout, for attempts that run already to teach nothing: `era` is another than that of those before it, and
    /// not 0, which is that of the first.
    #[must_use]
    pub const fn joining(mut self, era: u32) -> Self {
        self.era = era as u16;
        self
    }

    /// Its era.
    #[inline]
    pub(crate) const fn era(&self) -> u16 {
        self.era
    }

    /// An attempt ended by itself after `took`.
    // Always in line: seen through, the compiler drops the way from instants to a duration and back, which is
    // half of all that recording costs.
    #[inline(always)]
    pub fn record(&mut self, took: Duration, now: Instant) {
        self.sketch.record(took, now);
        self.answered = now;
        self.missing = self.missing.saturating_sub(1);
        self.learn_if_due(now);
    }

    /// An attempt was cut at `age`, by this limit or anything else, while it ran.
    #[inline]
    pub fn censor(&mut self, age: Duration, now: Instant) {
        self.sketch.censor(age, now);
        self.learn_if_due(now);
    }

    /// Whether the limit may not fall for now: the breaker is not closed, so samples are few and odd.
    #[inline]
    pub const fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Other settings from now on. What was seen stays and counts towards another `warm_up`; what was learned is brought
    /// within the new bounds and learned anew within a second.
    ///
    /// # Errors
    ///
    /// The first thing [`TimeoutConfig::check`] finds; then nothing has changed.
    pub fn reconfigure(&mut self, config: TimeoutConfig) -> Result<(), Invalid> {
        first(|found| config.check(found))?;
        self.learned = match self.learned {
            Some(limit) if config.adaptive => Some(limit.clamp(config.floor, config.attempt)),
            _ => None,
        };
        // Beyond the last warm-up nobody counted but the sketch.
        let seen = u64::from(self.config.warm_up - self.missing).max(self.sketch.samples());
        self.missing = match self.learned {
            Some(_) => 0,
            None => u64::from(config.warm_up).saturating_sub(seen) as u32,
        };
        self.sketch.keep(config.warm_up);
        self.due = Instant::ORIGIN;
        self.config = config;
        Ok(())
    }

    /// Puts down when somebody answered last and takes up what `answered` has: what is learned may be of many callees,
    /// but that one of them answers says nothing of another.
    pub const fn exchange(&mut self, answered: &mut Instant) {
        mem::swap(&mut self.answered, answered);
    }

    /// Whether an attempt ended by itself since `at`.
    pub(crate) fn has_answered_since(&self, at: Instant) -> bool {
        self.answered > at
    }

    /// The configured limit on an attempt, and the cap of the learned one.
    #[inline]
    #[must_use]
    pub const fn cap(&self) -> Duration {
        self.config.attempt
    }

    /// The learned limit; `None` before `warm_up` samples have ended, and when not adaptive.
    #[inline]
    #[must_use]
    pub const fn learned(&self) -> Option<Duration> {
        self.learned
    }

    /// The limit on an attempt: the learned one, else the configured one.
    #[inline]
    #[must_use]
    pub const fn limit(&self) -> Duration {
        match self.learned {
            Some(limit) => limit,
            None => self.config.attempt,
        }
    }

    /// For people and gauges. Reads the whole sketch, about a microsecond: take it from a clone rather
    /// than under a lock that calls wait for.
    #[must_use]
    pub fn snapshot(&self) -> Latencies {
        let [p50, p95, p99, p999] = self.sketch.quantiles(SHOWN);
        Latencies {
            p50,
            p95,
            p99,
            p999,
            limit: self.limit(),
            samples: self.sketch.samples(),
            adaptive: self.config.adaptive,
        }
    }

    #[inline]
    fn learn_if_due(&mut self, now: Instant) {
        if self.missing == 0 && self.config.adaptive && now >= self.due {
            self.learn(now);
        }
    }

    #[cold]
    fn learn(&mut self, now: Instant) {
        self.due = now + LEARN_EVERY;
        let target = self.target();
        self.learned = match self.learned {
            Some(limit) => Some(self.step(limit, target.unwrap_or(self.config.attempt))),
            // The first value is taken as it is, so it has to be a known one.
            None => target,
        };
    }

    /// Where the limit should be; `None` when the quantile is out of reach.
    fn target(&self) -> Option<Duration> {
        let latency = self.sketch.quantile(self.config.quantile).filter(|&read| read < LARGEST)?;
        let target = Duration::from_nanos(self.config.factor.of(nanos(latency)));
        Some(target.clamp(self.config.floor, self.config.attempt))
    }

    /// From `limit` towards `target`, as far as one second may go.
    fn step(&self, limit: Duration, target: Duration) -> Duration {
        if limit.abs_diff(target) <= limit / NEAR {
            limit
        } else if target > limit {
            target.min(limit.saturating_add(limit / RISE))
        } else if self.held || self.sketch.censored_share() > CENSORED_MAX {
            limit
        } else {
            target.max(limit - limit / FALL)
        }
    }
}

/// Learning reads 2 688 counters: once a second that is lost in the noise, and the limit still follows
/// a change within a few seconds.
const LEARN_EVERY: Duration = Duration::from_secs(1);

/// Differences up to 1/20 = 5 % are the sampling error of a P95 from some hundred samples: no reason to move.
const NEAR: u32 = 20;
/// A rise of at most 1/2 = 50 % doubles the limit in two seconds: one outlier does not set it, a slower
/// callee has it soon.
const RISE: u32 = 2;
/// A fall of at most 1/10 = 10 %: a lull of a second takes away little, and a minute undoes any rise.
const FALL: u32 = 10;
/// At factor 1.5 on the P95 a healthy long tail is cut 1 to 3 % of the time; more than 5 % is trouble.
const CENSORED_MAX: Ratio = Ratio::percent(5);

/// The guide's statistics.
const SHOWN: [Ratio; 4] =
    [Ratio::percent(50), Ratio::percent(95), Ratio::percent(99), Ratio::from_ppm(999_000)];

#[cfg(test)]
mod tests;
