//! Rate limits by themselves: asked for tokens now, or waited for.

use std::{ops::Deref, sync::Arc, time::Duration};

use seawall_core::{
    Admission, Algorithm, Ask, Pattern, Priority, Rate, RateLimitConfig, RateLimitSnapshot, Reason,
    Refusal, Shared, Verdict,
};

use super::{
    KEPT,
    by_hand::{Acquire, Begun, end},
    component,
};
use crate::{Clock, Invalids, Observed, Part, Policy, PolicyMachines, Reloaded, Snapshot};

/// A limit on how many in how long, kept by the algorithm of its settings. Cheap to clone; clones are the same limit.
///
/// ```
/// use std::time::Duration;
/// use seawall::{RateLimitConfig, RateLimiter, core::Rate};
///
/// let config = RateLimitConfig { capacity: Some(2), rate: Some(Rate::per_second(100)), ..Default::default() };
/// let limiter = RateLimiter::new("searches", config)?;
/// limiter.try_acquire(2)?;
/// let refusal = limiter.try_acquire(1).unwrap_err();
/// assert!(refusal.retry_after.unwrap() <= Duration::from_millis(10));
/// limiter.acquire(1).blocking()?; // waits until it is there
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RateLimiter(pub(crate) Policy);

component!(RateLimiter, rate_limit: RateLimitConfig);

impl RateLimiter {
    /// Takes so many tokens, all or none, for a call of normal urgency; does not wait.
    ///
    /// # Errors
    /// The refusal, with the time until there are enough; without one if there never are.
    pub fn try_acquire(&self, cost: u32) -> Result<(), Refusal> {
        self.try_acquire_as(Priority::Normal, cost)
    }

    /// As [`try_acquire`](Self::try_acquire), for a call of this class: it may use what there is only down to the
    /// reserves of the classes above it.
    ///
    /// # Errors
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_as(&self, priority: Priority, cost: u32) -> Result<(), Refusal> {
        let now = self.clock().now();
        self.0.visit(now, |parts| {
            let limiter = parts.limiter.expect(KEPT);
            match limiter.admit(cost.into(), priority, now, now) {
                Admission::No(refusal) => Err(refusal),
                Admission::Wait(ticket) => {
                    limiter.abandon(ticket);
                    Err(Refusal::new(Pattern::RateLimit, Reason::Limited))
                }
                // Tokens are not given back.
                _ => Ok(()),
            }
        })
    }

    /// Waits for so many tokens: the most urgent first, of a class first come first. Refused at once is what there never
    /// is, and a wait that would be longer than the [`deadline`](Acquire::deadline).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use seawall::{Priority, RateLimitConfig, RateLimiter};
    /// let limiter = RateLimiter::new("searches", RateLimitConfig::default())?;
    /// let wait = limiter.acquire(20).priority(Priority::High).deadline(Duration::from_secs(1));
    /// wait.await?;
    /// assert!(limiter.acquire(1_001).await.is_err(), "more than there ever is");
    /// # Ok(()) }
    /// ```
    pub fn acquire(&self, cost: u32) -> Acquire<'_, ()> {
        Acquire::new(&self.0, Ask { cost, patient: true, ..Ask::default() }, taken)
    }

    /// How long until a call of normal urgency could have so many tokens, if no others come: zero if it could now, `None`
    /// if it never can.
    #[must_use]
    pub fn time_until_available(&self, cost: u32) -> Option<Duration> {
        let now = self.clock().now();
        let until = |machines: &PolicyMachines| {
            let limiter = machines.limiter.as_ref();
            limiter.map(|limiter| limiter.time_until(cost.into(), Priority::Normal, now))
        };
        self.0.read(until).expect(KEPT)
    }

    /// Its figures.
    #[must_use]
    pub fn snapshot(&self) -> RateLimitSnapshot {
        let now = self.clock().now();
        let seen = |machines: &PolicyMachines| {
            machines.limiter.as_ref().map(|limiter| limiter.snapshot(now))
        };
        self.0.read(seen).expect(KEPT)
    }
}

/// What was taken is used, and nothing is held.
fn taken(mut begun: Begun) {
    end(&mut begun, Verdict::SUCCESS);
}

/// A rate limit of one algorithm: what it is set by, and its settings.
macro_rules! algorithm {
    ($(#[$doc:meta])* $limiter:ident($($field:ident: $type:ty),+), $config:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $limiter(RateLimiter);

        impl $limiter {
            /// With this name, on the fast clock.
            ///
            /// # Errors
            /// All settings that make no sense, and a name that is none.
            pub fn new(name: impl Into<Arc<str>>, $($field: $type),+) -> Result<Self, Invalids> {
                Self::with_clock(name, $($field,)+ Clock::default())
            }

            /// With this name, on this clock.
            ///
            /// # Errors
            /// All settings that make no sense, and a name that is none.
            pub fn with_clock(
                name: impl Into<Arc<str>>,
                $($field: $type,)+
                clock: Clock,
            ) -> Result<Self, Invalids> {
                let config = ($config)(RateLimitConfig::default());
                RateLimiter::with_clock(name, config, clock).map(Self)
            }

            /// Goes on with these in place of what it was made with, for all who share it; as
            /// [`RateLimiter::reconfigure`], which takes all settings and so another algorithm too.
            ///
            /// # Errors
            /// All settings that make no sense; then nothing has changed.
            pub fn reconfigure(&self, $($field: $type),+) -> Result<Reloaded, Invalids> {
                let made_with = self.0.0.config().rate_limit.clone().unwrap_or_default();
                self.0.reconfigure(($config)(made_with))
            }
        }

        impl From<&$limiter> for Part<RateLimitConfig> {
            fn from(handle: &$limiter) -> Self {
                Self::from(&handle.0)
            }
        }

        impl Observed for $limiter {
            fn observe(&self, snapshot: &mut Snapshot) {
                self.0.observe(snapshot);
            }
        }

        impl Deref for $limiter {
            type Target = RateLimiter;

            fn deref(&self) -> &RateLimiter {
                &self.0
            }
        }
    };
}

algorithm! {
    /// Tokens that are earned at a steady rate and saved up to a capacity: bursts up to that, the rate in the long run. Can
    /// all that a [`RateLimiter`] can.
    ///
    /// ```
    /// use seawall::{TokenBucket, core::Rate};
    ///
    /// let bucket = TokenBucket::new("searches", 1_000, Rate::per_second(100))?;
    /// assert!(bucket.try_acquire(1).is_ok());
    /// # Ok::<(), seawall::Invalids>(())
    /// ```
    TokenBucket(capacity: u64, rate: Rate),
    |others| RateLimitConfig { capacity: Some(capacity), rate: Some(rate), ..others }
}

algorithm! {
    /// At most so many in any stretch of time as long as the window, wherever it begins. Can all that a [`RateLimiter`] can.
    /// Exact, with 8 bytes for each token; above 100 000 tokens [`bucketed`](Self::bucketed).
    ///
    /// ```
    /// use std::time::Duration;
    /// use seawall::SlidingWindowCounter;
    ///
    /// let counter = SlidingWindowCounter::new("searches", 1_000, Duration::from_secs(60))?;
    /// assert!(counter.try_acquire(1).is_ok());
    /// # Ok::<(), seawall::Invalids>(())
    /// ```
    SlidingWindowCounter(limit: u64, window: Duration),
    |others| RateLimitConfig {
        algorithm: Algorithm::SlidingWindow,
        limit: Some(limit),
        window: Some(window),
        ..others
    }
}

impl SlidingWindowCounter {
    /// Counted in so many parts of the window, 1 to 1000: 8 bytes for each of them however large the limit, never more than
    /// that in any window, and a token is free again up to a part late.
    ///
    /// ```
    /// use std::time::Duration;
    /// use seawall::{Clock, SlidingWindowCounter};
    ///
    /// let minute = Duration::from_secs(60);
    /// let counter = SlidingWindowCounter::bucketed("searches", 1_000_000, minute, 60, Clock::fast())?;
    /// assert!(counter.try_acquire(1_000_000).is_ok());
    /// assert!(counter.try_acquire(1).is_err());
    /// # Ok::<(), seawall::Invalids>(())
    /// ```
    ///
    /// # Errors
    /// All settings that make no sense, and a name that is none.
    pub fn bucketed(
        name: impl Into<Arc<str>>,
        limit: u64,
        window: Duration,
        buckets: u32,
        clock: Clock,
    ) -> Result<Self, Invalids> {
        let config = RateLimitConfig {
            algorithm: Algorithm::SlidingWindow,
            limit: Some(limit),
            window: Some(window),
            buckets: Some(buckets),
            ..RateLimitConfig::default()
        };
        RateLimiter::with_clock(name, config, clock).map(Self)
    }
}

algorithm! {
    /// A bucket that calls fill and time empties: a meter that refuses, and delays only who asks to wait. Can all that a
    /// [`RateLimiter`] can.
    ///
    /// ```
    /// use seawall::{LeakyBucket, core::Rate};
    ///
    /// let bucket = LeakyBucket::new("searches", 500, Rate::per_second(50))?;
    /// assert!(bucket.try_acquire(1).is_ok());
    /// # Ok::<(), seawall::Invalids>(())
    /// ```
    LeakyBucket(capacity: u64, rate: Rate),
    |others| RateLimitConfig {
        algorithm: Algorithm::LeakyBucket,
        capacity: Some(capacity),
        rate: Some(rate),
        ..others
    }
}

algorithm! {
    /// Lets calls out one by one at a steady rate, and at most so many wait; no bursts. Can all that a [`RateLimiter`] can.
    ///
    /// ```
    /// use seawall::{Shaper, core::Rate};
    ///
    /// let shaper = Shaper::new("letters", 500, Rate::per_second(50))?;
    /// shaper.acquire(1).blocking()?; // at once, if none went lately
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Shaper(capacity: u64, rate: Rate),
    |others| RateLimitConfig {
        algorithm: Algorithm::Shaper,
        capacity: Some(capacity),
        rate: Some(rate),
        ..others
    }
}
