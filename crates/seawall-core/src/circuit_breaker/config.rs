//! What a circuit breaker can be told: three rules that open it, and how it finds its way back.
//!
//! ```text
//!   failures in a row          always                  5
//!   share of calls that fail   failure_rate            of the calls in `window`, once `minimum_calls` are there
//!   share of calls that drag   slow_rate, slow_after   the same, of a window of its own
//! ```
//!
//! Any rule opens it. A share is reached at exactly its value (10 of 20 is 50 %), or one of 100 % never could be.

use core::time::Duration;

use crate::{Backoff, Invalid, Jitter, Ratio, Strategy};

/// Settings of a [`CircuitBreaker`](crate::CircuitBreaker). The defaults are the guide's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "configuration, written with struct update from Default"
)]
pub struct CircuitBreakerConfig {
    /// Failures in a row that open it. Default 5; at least 1.
    pub failures: u32,
    /// The share of failed calls in the window that opens it. Default: none; above 0 % up to 100 %.
    pub failure_rate: Option<Ratio>,
    /// The share of slow calls in the window that opens it; needs `slow_after`. Default: none; above 0 % up to 100 %.
    pub slow_rate: Option<Ratio>,
    /// How long a call runs before it is slow, whether or not it has ended; needs `slow_rate`. Default: none;
    /// above zero.
    pub slow_after: Option<Duration>,
    /// Of which calls the shares are taken. Default: those of the last 10 s (Hystrix's window); 1 to 1024 calls, or
    /// at least 10 ns. A file, and an [`Invalid`], call it `over`: a share "over 10s" reads well.
    pub window: Window,
    /// Calls in the window below which no share opens it. Default 20 (Hystrix's); at least 1, at most the window.
    pub minimum_calls: u32,
    /// Successes of probes that close it. Default 3; at least 1.
    pub successes: u32,
    /// How long it stays open. Default 60 s; above zero.
    pub open_for: Duration,
    /// Doubles the open period at each failed half-open phase, up to this; closing starts again at `open_for`.
    /// Default: none, every period is `open_for`; at least `open_for`.
    pub max_open_for: Option<Duration>,
    /// Scatters the open period by this share on either side, never above its cap, so that many instances do not
    /// probe together. Default 0 %; up to 100 %.
    pub open_jitter: Ratio,
    /// Probes alive at once in half-open. Default 3; 1 to 255.
    pub half_open_calls: u32,
    /// How long a probe may live. Default: twice `open_for`, at least 10 s; above zero.
    pub half_open_for: Option<Duration>,
}

/// Which calls the rates are taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "configuration: a window counts calls or time")]
pub enum Window {
    /// The last so many, exactly.
    Calls(u32),
    /// Those of the last so long, in ten slices: the oldest is forgotten whole, so nothing older than this counts
    /// and everything younger than nine tenths of it does.
    Time(Duration),
}

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            failure_rate: None,
            slow_rate: None,
            slow_after: None,
            window: Window::Time(Duration::from_secs(10)),
            minimum_calls: 20,
            successes: 3,
            open_for: Duration::from_secs(60),
            max_open_for: None,
            open_jitter: Ratio::ZERO,
            half_open_calls: 3,
            half_open_for: None,
        }
    }
}

impl CircuitBreakerConfig {
    /// Tells every setting that makes no sense.
    pub fn check(&self, found: &mut dyn FnMut(Invalid)) {
        if self.failures == 0 {
            found(Invalid::new("circuit_breaker.failures", 0, "at least 1"));
        }
        self.check_rates(found);
        if self.successes == 0 {
            found(Invalid::new("circuit_breaker.successes", 0, "at least 1"));
        }
        if self.open_for.is_zero() {
            found(Invalid::new("circuit_breaker.open_for", "0s", "more than 0s, such as 60s"));
        }
        if let Some(cap) = self.max_open_for.filter(|cap| *cap < self.open_for) {
            let field = "circuit_breaker.max_open_for";
            let expected = alloc::format!("at least open_for, which is {:?}", self.open_for);
            let cap = alloc::format!("{cap:?}");
            found(Invalid::new(field, cap, expected).beside(&["open_for"]));
        }
        if self.open_jitter > Ratio::ONE {
            found(Invalid::new("circuit_breaker.open_jitter", self.open_jitter, "0% to 100%"));
        }
        if self.half_open_calls == 0 || self.half_open_calls > PROBES_MAX {
            found(Invalid::new(
                "circuit_breaker.half_open_calls",
                self.half_open_calls,
                "1 to 255",
            ));
        }
        if self.half_open_for == Some(Duration::ZERO) {
            found(Invalid::new("circuit_breaker.half_open_for", "0s", "more than 0s, such as 10s"));
        }
    }

    fn check_rates(&self, found: &mut dyn FnMut(Invalid)) {
        for (field, rate) in [
            ("circuit_breaker.failure_rate", self.failure_rate),
            ("circuit_breaker.slow_rate", self.slow_rate),
        ] {
            if let Some(rate) = rate.filter(|rate| *rate == Ratio::ZERO || *rate > Ratio::ONE) {
                found(Invalid::new(field, rate, "more than 0%, up to 100%"));
            }
        }
        match (self.slow_rate, self.slow_after) {
            (_, Some(Duration::ZERO)) => {
                found(Invalid::new("circuit_breaker.slow_after", "0s", "more than 0s, such as 1s"));
            }
            (Some(_), None) => {
                let expected = "a duration such as 1s, because slow_rate is set";
                let missing = Invalid::new("circuit_breaker.slow_after", "not set", expected);
                found(missing.beside(&["slow_rate"]));
            }
            (None, Some(_)) => {
                let expected = "a share such as 50%, because slow_after is set";
                let missing = Invalid::new("circuit_breaker.slow_rate", "not set", expected);
                found(missing.beside(&["slow_after"]));
            }
            _ => {}
        }
        match self.window {
            Window::Calls(calls) if calls == 0 || calls > WINDOW_MAX => {
                found(Invalid::new("circuit_breaker.over", calls, "1 to 1024 calls"));
            }
            Window::Time(time) if time < WINDOW_MIN => {
                let time = alloc::format!("{time:?}");
                found(Invalid::new("circuit_breaker.over", time, "at least 10ns, such as 10s"));
            }
            Window::Calls(_) | Window::Time(_) => {}
        }
        const MINIMUM: &str = "circuit_breaker.minimum_calls";
        match self.window {
            _ if self.minimum_calls == 0 => found(Invalid::new(MINIMUM, 0, "at least 1")),
            Window::Calls(calls) if calls < self.minimum_calls => {
                let expected = alloc::format!("at most the calls of over, which are {calls}");
                found(Invalid::new(MINIMUM, self.minimum_calls, expected).beside(&["over"]));
            }
            Window::Calls(_) | Window::Time(_) => {}
        }
    }

    /// The open period after so many failed half-open phases.
    pub(super) fn period(&self, reopens: u16, draw: crate::Draw) -> Duration {
        let growth = Backoff {
            base: self.open_for,
            cap: self.max_open_for.unwrap_or(self.open_for),
            strategy: Strategy::Exponential,
            jitter: Jitter::Fraction(self.open_jitter),
        };
        growth.delay(reopens.into(), Duration::ZERO, draw).max(PERIOD_MIN)
    }

    /// How long a probe may live, and stay fast enough to succeed.
    pub(super) fn probe_for(&self) -> Duration {
        let life = self.probe_life();
        self.slow_after.map_or(life, |slow_after| life.min(slow_after))
    }

    /// How long a probe may live.
    pub(super) fn probe_life(&self) -> Duration {
        self.half_open_for.unwrap_or_else(|| self.open_for.saturating_mul(2).max(PROBE_LIFE_MIN))
    }

    /// Whether a call that took so long is slow.
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        self.slow_after.is_some_and(|slow_after| took >= slow_after)
    }
}

/// A permit names its place in one byte, and 0 means none.
const PROBES_MAX: u32 = 255;
/// A verdict is one bit: 128 bytes, twice.
const WINDOW_MAX: u32 = 1_024;
/// A slice is a nanosecond.
const WINDOW_MIN: Duration = Duration::from_nanos(10);
/// Jitter of 100 % may draw nothing, and a breaker that opens is open.
const PERIOD_MIN: Duration = Duration::from_nanos(1);
/// A probe of a service that answers within ten seconds must not expire because `open_for` is short.
const PROBE_LIFE_MIN: Duration = Duration::from_secs(10);
