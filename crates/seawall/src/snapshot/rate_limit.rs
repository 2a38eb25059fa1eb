//! The figures of a rate limit, and of the map of one for each key.

use seawall_core::RateLimitSnapshot;

use crate::KeyedSnapshot;

/// A rate limit. Calls that asked = allowed + rejected + abandoned + waiting.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the machine's own keys, explained by its snapshot")]
pub struct RateLimiterStats {
    pub algorithm: &'static str,
    pub allowed: u64,
    pub rejected: u64,
    pub abandoned: u64,
    pub waiting: u32,
    pub limit: u64,
    pub available: u64,
    pub retry_after_seconds: Option<f64>,
    pub keys: Option<KeyStats>,
}

/// How full the map of a limit for each key is. What the limit shows beside it counts all keys together; `limit` and
/// `available` are those of a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the map's own keys, explained by its snapshot")]
pub struct KeyStats {
    pub in_use: u32,
    pub max_keys: u32,
    pub overflowed: u64,
    pub evicted: u64,
}

impl From<RateLimitSnapshot> for RateLimiterStats {
    fn from(seen: RateLimitSnapshot) -> Self {
        Self {
            algorithm: seen.algorithm.name(),
            allowed: seen.allowed,
            rejected: seen.refused,
            abandoned: seen.abandoned,
            waiting: seen.waiting,
            limit: seen.limit,
            available: seen.available,
            retry_after_seconds: seen.retry_after.map(|wait| wait.as_secs_f64()),
            keys: None,
        }
    }
}

impl From<KeyedSnapshot> for KeyStats {
    fn from(seen: KeyedSnapshot) -> Self {
        Self {
            in_use: seen.keys,
            max_keys: seen.max_keys,
            overflowed: seen.overflowed,
            evicted: seen.evicted,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use seawall_core::{Instant, RateLimitConfig, RateLimiter};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn every_figure_of_a_rate_limit_is_in_its_place() {
        let limiter = RateLimiter::new(&RateLimitConfig::default()).unwrap();
        let mut seen = limiter.snapshot(Instant::ORIGIN);
        (seen.allowed, seen.refused, seen.abandoned, seen.waiting) = (1, 2, 3, 4);
        (seen.limit, seen.available, seen.retry_after) = (5, 6, Some(7 * SECOND));
        let shown = RateLimiterStats {
            algorithm: "token_bucket",
            allowed: 1,
            rejected: 2,
            abandoned: 3,
            waiting: 4,
            limit: 5,
            available: 6,
            retry_after_seconds: Some(7.0),
            keys: None,
        };
        assert_eq!(RateLimiterStats::from(seen), shown);
        seen.retry_after = None;
        assert_eq!(RateLimiterStats::from(seen).retry_after_seconds, None, "none is not zero");
    }
}
