//! The settings of a rate limit, and which of them each algorithm uses.

use core::time::Duration;

use super::{Rate, sliding_window};
use crate::{Invalid, Priority, Ratio};

/// How a limit is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Bursts up to the capacity, the rate in the long run: [`TokenBucket`](crate::TokenBucket).
    #[default]
    TokenBucket,
    /// At most the limit in any window: [`SlidingWindowCounter`](crate::SlidingWindowCounter).
    SlidingWindow,
    /// The token bucket, told as a level that rises and leaks: [`LeakyBucket`](crate::LeakyBucket).
    LeakyBucket,
    /// Delays instead of refusing: [`Shaper`](crate::Shaper).
    Shaper,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::TokenBucket, Self::SlidingWindow, Self::LeakyBucket, Self::Shaper];

    /// The name, as configuration and statistics write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenBucket => "token_bucket",
            Self::SlidingWindow => "sliding_window",
            Self::LeakyBucket => "leaky_bucket",
            Self::Shaper => "shaper",
        }
    }

    /// The algorithm of this name; `None` if there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// What a class keeps from the less urgent ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "configuration: written out")]
pub enum Reserve {
    /// This share of the capacity or limit, rounded down.
    Share(Ratio),
    /// So many tokens.
    Tokens(u64),
}

/// Nothing.
impl Default for Reserve {
    fn default() -> Self {
        Self::Tokens(0)
    }
}

/// Settings of a [`RateLimiter`](crate::RateLimiter). What is not set has the default of the algorithm; what is set
/// must be of use to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "configuration, written with struct update from Default"
)]
pub struct RateLimitConfig {
    /// How the limit is kept. Default a token bucket.
    pub algorithm: Algorithm,
    /// Tokens in a full bucket, or waiters in a shaper. Default 1000; 0 refuses every call.
    pub capacity: Option<u64>,
    /// How fast a bucket fills or leaks, or a shaper lets out. Default 100/s; 0 refuses every call.
    pub rate: Option<Rate>,
    /// Tokens in a sliding window, which needs it. 0 refuses every call; above 100 000 `buckets` is needed.
    pub limit: Option<u64>,
    /// How long a sliding window is. Default 60 s; more than 0.
    pub window: Option<Duration>,
    /// Counters of a sliding window, 1 to 1000; without, it is exact.
    pub buckets: Option<u32>,
    /// What each class keeps from the less urgent ones: a class may use a bucket or window only down to the reserves
    /// of the classes above it. Default none. Together less than there is; none for background, below which is
    /// nobody; none in a shaper, which serves in order.
    pub reserves: [Reserve; 5],
    /// Whether every attempt of a call passes the limit, and not the call alone: for a quota that whoever is called
    /// keeps to the letter. A retry then starts no earlier than the limit lets it. Default false.
    pub limit_each_attempt: bool,
}

impl RateLimitConfig {
    /// Tells everything that is wrong with these settings.
    pub fn check(&self, found: &mut dyn FnMut(Invalid)) {
        if self.algorithm == Algorithm::SlidingWindow {
            if self.limit.is_none() {
                let expected = "a number for a sliding window";
                let missing = Invalid::new("rate_limit.limit", "not set", expected);
                found(missing.beside(&["algorithm"]));
            }
            sliding_window::check(self.limit(), self.window(), self.buckets, found);
        }
        self.check_unused(found);
        self.check_reserves(found);
    }

    /// Tokens there can be at most: the capacity, or the limit of a window.
    pub(super) fn most(&self) -> u64 {
        match self.algorithm {
            Algorithm::SlidingWindow => self.limit(),
            Algorithm::TokenBucket | Algorithm::LeakyBucket | Algorithm::Shaper => self.capacity(),
        }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity.unwrap_or(CAPACITY)
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate.unwrap_or(RATE)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.unwrap_or_default()
    }

    pub(super) fn window(&self) -> Duration {
        self.window.unwrap_or(WINDOW)
    }

    /// What each class but the most urgent must leave: the reserves of the classes above it.
    pub(super) fn floors(&self) -> [u64; 4] {
        let mut floor = 0u64;
        core::array::from_fn(|class| {
            floor = floor.saturating_add(self.reserve(class));
            floor
        })
    }

    fn reserve(&self, class: usize) -> u64 {
        match self.reserves[class] {
            Reserve::Share(share) => share.of(self.most()),
            Reserve::Tokens(tokens) => tokens,
        }
    }

    fn check_unused(&self, found: &mut dyn FnMut(Invalid)) {
        const WINDOW_ONLY: &str = "not set: only a sliding window uses it";
        const NOT_WINDOW: &str = "not set: a sliding window has a limit and a window";
        let window = self.algorithm == Algorithm::SlidingWindow;
        let mut unused = |field, set, expected| {
            if set {
                found(Invalid::new(field, "set", expected).beside(&["algorithm"]));
            }
        };
        unused("rate_limit.capacity", window && self.capacity.is_some(), NOT_WINDOW);
        unused("rate_limit.rate", window && self.rate.is_some(), NOT_WINDOW);
        unused("rate_limit.limit", !window && self.limit.is_some(), WINDOW_ONLY);
        unused("rate_limit.window", !window && self.window.is_some(), WINDOW_ONLY);
        unused("rate_limit.buckets", !window && self.buckets.is_some(), WINDOW_ONLY);
    }

    fn check_reserves(&self, found: &mut dyn FnMut(Invalid)) {
        const FIELD: &str = "rate_limit.reserves";
        let background = self.reserve(Priority::Background.index());
        let [.., kept] = self.floors();
        if self.algorithm == Algorithm::Shaper {
            if kept > 0 || background > 0 {
                let expected = "not set: a shaper serves in order";
                found(Invalid::new(FIELD, "set", expected).beside(&["algorithm"]));
            }
            return;
        }
        if background > 0 {
            found(Invalid::new(FIELD, background, "0 for background: nobody is less urgent"));
        }
        if kept > 0 && kept >= self.most() {
            let value = alloc::format!("{kept} together");
            let expected =
                alloc::format!("less than the capacity or limit, which is {}", self.most());
            found(Invalid::new(FIELD, value, expected).beside(&["capacity", "limit"]));
        }
    }
}

/// The guide's.
const CAPACITY: u64 = 1_000;
const RATE: Rate = Rate::per_second(100);
const WINDOW: Duration = Duration::from_secs(60);
