//! A route's rate limit: whose request it is, whether it may pass, and what the answer says about it.
//!
//! ```text
//!   by client   the peer's address, of IPv6 its /64 ─┐
//!   by header   the field's value                    ├─▸ its limiter ─▸ passes   RateLimit-Policy, RateLimit
//!   by route    one for all                         ─┘              └─▸ 429      and Retry-After
//! ```
//!
//! The address is that of the connection. What a request says about where it comes from is for anyone to write, so
//! behind another proxy all clients are one, and the limit is better put on a field that the proxy sets.
//!
//! The fields are those of draft-ietf-httpapi-ratelimit-headers as its text stood in September 2025: two structured
//! fields, in each the limit's name in quotes. A client that knows only older forms reads `Retry-After`.
//!
//! ```text
//!   RateLimit-Policy: "orders";q=200;w=2     200 at once, and as many again after 2 s
//!   RateLimit: "orders";r=0;t=1              none left, the next one in a second
//! ```
//!
//! `t` is told once nothing is left: before, no request has to wait. Fields of an upstream stay beside ours: its
//! limit is another.

mod each_attempt;

use std::{
    fmt::Write,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use seawall::{
    Clock, Invalid, Keyed, Observed, Snapshot,
    core::{Admission, Instant, Priority, RateLimitConfig, RateLimitSnapshot, RateLimiter},
    snapshot::RateLimiterStats,
};

pub(crate) use self::each_attempt::EachAttempt;
use crate::{
    config::{LimitBy, RouteLimitConfig},
    respond::whole_seconds,
};

/// The rate limit of one route.
#[derive(Debug)]
pub(crate) struct RouteLimit {
    name: Box<str>,
    by: LimitBy,
    limiters: Keyed<Arc<[u8]>, RateLimiter>,
    /// For keys that are too long to be kept.
    digest: RandomState,
    /// What a new key finds.
    fresh: RateLimitSnapshot,
    policy: HeaderValue,
    each_attempt: bool,
    clock: Clock,
    allowed: AtomicU64,
    refused: AtomicU64,
}

/// A request that may not pass.
#[derive(Debug)]
pub(crate) struct TooMany {
    pub(crate) standing: Standing,
    /// When one may pass again; never, if `None`.
    pub(crate) retry_after: Option<Duration>,
}

impl RouteLimit {
    /// The limit of the route `name`.
    pub(crate) fn new(
        name: &str,
        config: &RouteLimitConfig,
        clock: &Clock,
    ) -> Result<Self, Invalid> {
        let mut wrong = None;
        config.check(&mut |invalid| {
            wrong.get_or_insert(invalid);
        });
        if let Some(invalid) = wrong {
            return Err(invalid);
        }
        let limiter = RateLimiter::new(&config.limit)?;
        let fresh = limiter.snapshot(Instant::ORIGIN);
        Ok(Self {
            name: name.into(),
            by: config.by.clone(),
            limiters: Keyed::new(config.max_keys, limiter),
            digest: RandomState::new(),
            policy: policy(name, fresh.limit, span(&config.limit)?),
            fresh,
            each_attempt: config.limit.limit_each_attempt,
            clock: clock.clone(),
            allowed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Whether a request with these fields from `peer` may pass.
    pub(crate) fn admit(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Standing, TooMany> {
        let key = self.key(headers, peer);
        let now = self.clock.now();
        let (admitted, seen) = self.limiters.with(key.bytes(), now, |limiter| {
            // None of them is a shaper, which could answer that the request should wait.
            let answer = limiter.admit(1, Priority::Normal, now, now);
            (matches!(answer, Admission::Go(_)), limiter.snapshot(now))
        });
        let standing = self.standing(&seen);
        if admitted {
            self.allowed.fetch_add(1, Relaxed);
            Ok(standing)
        } else {
            self.refused.fetch_add(1, Relaxed);
            Err(TooMany { standing, retry_after: seen.retry_after })
        }
    }

    fn standing(&self, seen: &RateLimitSnapshot) -> Standing {
        Standing { policy: self.policy.clone(), rest: rest(&self.name, seen) }
    }

    /// Whose request it is.
    fn key(&self, headers: &HeaderMap, peer: IpAddr) -> Key {
        let name = match &self.by {
            LimitBy::Client => return Key::client(peer),
            LimitBy::Route => return Key::new(ROUTE, &[]),
            LimitBy::Header(name) => name,
        };
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Key::new(ABSENT, &[]),
            (Some(_), Some(_)) => Key::new(SEVERAL, &[]),
            (Some(value), None) if value.len() <= KEPT_BYTES_MAX => {
                Key::new(VALUE, value.as_bytes())
            }
            (Some(value), None) => {
                Key::new(DIGEST, &self.digest.hash_one(value.as_bytes()).to_ne_bytes())
            }
        }
    }
}

impl Observed for RouteLimit {
    fn observe(&self, snapshot: &mut Snapshot) {
        let now = self.clock.now();
        let mut stats = if self.by == LimitBy::Route {
            let all = Key::new(ROUTE, &[]);
            self.limiters.with(all.bytes(), now, |limiter| limiter.snapshot(now)).into()
        } else {
            let mut stats = RateLimiterStats::from(self.fresh);
            stats.keys = Some(self.limiters.snapshot().into());
            stats
        };
        // Those of limiters that are forgotten included.
        stats.allowed = self.allowed.load(Relaxed);
        stats.rejected = self.refused.load(Relaxed);
        snapshot.rate_limiters.insert(self.name.to_string(), stats);
    }
}

/// What the answer says about the limit.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    policy: HeaderValue,
    rest: HeaderValue,
}

impl Standing {
    /// Writes it beside what may stand there.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        headers.append(RATELIMIT_POLICY, self.policy);
        headers.append(RATELIMIT, self.rest);
    }
}

/// Whose request it is, in a few bytes: the kind first, so that no value can look like another kind.
#[derive(Debug)]
struct Key {
    bytes: [u8; 1 + KEPT_BYTES_MAX],
    len: usize,
}

impl Key {
    /// At most [`KEPT_BYTES_MAX`] bytes.
    fn new(kind: u8, rest: &[u8]) -> Self {
        let mut bytes = [0; 1 + KEPT_BYTES_MAX];
        bytes[0] = kind;
        let len = rest.len().min(KEPT_BYTES_MAX);
        bytes[1..=len].copy_from_slice(&rest[..len]);
        Self { bytes, len: 1 + len }
    }

    fn client(peer: IpAddr) -> Self {
        match peer.to_canonical() {
            IpAddr::V4(address) => Self::new(ADDRESS, &address.octets()),
            IpAddr::V6(address) => Self::new(ADDRESS, &address.octets()[..8]),
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// `"orders";q=200;w=2`; without `w` where nothing is ever given again.
fn policy(name: &str, quota: u64, span: Option<Duration>) -> HeaderValue {
    let mut policy = format!("\"{name}\";q={}", quota.min(INTEGER_MAX));
    if let Some(span) = span {
        let _ = write!(policy, ";w={}", whole_seconds(span).min(INTEGER_MAX));
    }
    field(policy)
}

/// `"orders";r=199`, or `"orders";r=0;t=1`.
fn rest(name: &str, seen: &RateLimitSnapshot) -> HeaderValue {
    let mut rest = format!("\"{name}\";r={}", seen.available.min(INTEGER_MAX));
    if let (0, Some(wait)) = (seen.available, seen.retry_after) {
        let _ = write!(rest, ";t={}", whole_seconds(wait).min(INTEGER_MAX));
    }
    field(rest)
}

/// A route's name is letters, digits, `-` and `_`; another could not be told.
fn field(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(const { HeaderValue::from_static("") })
}

/// How long it takes until all that is used at once is there again: the window, or the time to fill a bucket. `None`
/// where nothing can be used.
fn span(config: &RateLimitConfig) -> Result<Option<Duration>, Invalid> {
    // In an exact window one place takes as long as all, and no longer than is written.
    let exact = RateLimitConfig {
        buckets: None,
        limit: config.limit.map(|limit| limit.min(1)),
        ..config.clone()
    };
    let mut limiter = RateLimiter::new(&exact)?;
    let all = limiter.snapshot(Instant::ORIGIN).limit;
    let _ = limiter.admit(all, Priority::Critical, Instant::ORIGIN, Instant::ORIGIN);
    Ok(limiter.snapshot(Instant::ORIGIN).reset)
}

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The kinds of keys.
const ROUTE: u8 = b'r';
const ADDRESS: u8 = b'a';
const VALUE: u8 = b'=';
const DIGEST: u8 = b'#';
const ABSENT: u8 = b'-';
const SEVERAL: u8 = b'+';

/// The length of a SHA-256 in hexadecimal, which is longer than most keys are.
const KEPT_BYTES_MAX: usize = 64;

/// The largest integer of a structured field (RFC 9651 3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

#[cfg(test)]
mod tests {
    use seawall::{
        ManualClock,
        core::{Algorithm, Rate},
    };

    use super::*;

    fn limit(by: LimitBy, limit: RateLimitConfig) -> (RouteLimit, ManualClock) {
        let manual = ManualClock::new();
        let config = RouteLimitConfig { by, limit, max_keys: 9 };
        let limit = RouteLimit::new("orders", &config, &Clock::manual(&manual)).unwrap();
        (limit, manual)
    }

    fn bucket(capacity: u64, rate: Rate) -> RateLimitConfig {
        RateLimitConfig { capacity: Some(capacity), rate: Some(rate), ..RateLimitConfig::default() }
    }

    fn ask(limit: &RouteLimit) -> Result<Standing, TooMany> {
        limit.admit(&HeaderMap::new(), IpAddr::from([192, 0, 2, 7]))
    }

    fn said(standing: Standing) -> [String; 2] {
        let mut fields = HeaderMap::new();
        standing.write(&mut fields);
        [RATELIMIT_POLICY, RATELIMIT].map(|name| fields[name].to_str().unwrap().to_owned())
    }

    #[test]
    fn the_fields_say_what_is_left_and_a_refusal_when_there_is_more() {
        let (limit, manual) =
            limit(LimitBy::Client, bucket(2, Rate::new(1, Duration::from_millis(1_500)).unwrap()));
        assert_eq!(said(ask(&limit).unwrap()), [r#""orders";q=2;w=3"#, r#""orders";r=1"#]);
        assert_eq!(said(ask(&limit).unwrap()), [r#""orders";q=2;w=3"#, r#""orders";r=0;t=2"#]);
        manual.advance(Duration::from_millis(600));
        let TooMany { standing, retry_after } = ask(&limit).unwrap_err();
        assert_eq!(said(standing), [r#""orders";q=2;w=3"#, r#""orders";r=0;t=1"#]);
        assert_eq!(retry_after, Some(Duration::from_millis(900)));
        manual.advance(Duration::from_millis(900));
        assert!(ask(&limit).is_ok());
    }

    #[test]
    fn the_policy_is_what_is_written() {
        let window = |limit, window, buckets| RateLimitConfig {
            algorithm: Algorithm::SlidingWindow,
            limit: Some(limit),
            window,
            buckets,
            ..RateLimitConfig::default()
        };
        let leaky =
            RateLimitConfig { algorithm: Algorithm::LeakyBucket, ..RateLimitConfig::default() };
        let minute = Some(Duration::from_secs(60));
        for (config, policy) in [
            (RateLimitConfig::default(), r#""orders";q=1000;w=10"#),
            (leaky, r#""orders";q=1000;w=10"#),
            (bucket(10, Rate::per_second(1_000)), r#""orders";q=10;w=1"#),
            (bucket(u64::MAX, Rate::per_second(u64::MAX)), r#""orders";q=999999999999999;w=1"#),
            (bucket(5, Rate::per_second(0)), r#""orders";q=0"#),
            (bucket(0, Rate::per_second(5)), r#""orders";q=0"#),
            (window(100, None, None), r#""orders";q=100;w=60"#),
            (window(1_000_000, minute, Some(7)), r#""orders";q=1000000;w=60"#),
            (window(0, minute, None), r#""orders";q=0"#),
        ] {
            let (limit, _) = limit(LimitBy::Route, config.clone());
            assert_eq!(limit.policy, policy, "{config:?}");
        }
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        let (limit, _) =
            limit(LimitBy::Client, bucket(1, Rate::new(1, Duration::from_secs(3_600)).unwrap()));
        for (peer, passes) in [
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            ("::ffff:192.0.2.1", false),
            ("2001:db8::1", true),
            ("2001:db8::ffff:1", false),
            ("2001:db8:0:1::1", true),
            ("2001:db8:0:1:2::1", false),
        ] {
            assert_eq!(
                limit.admit(&HeaderMap::new(), peer.parse().unwrap()).is_ok(),
                passes,
                "{peer}"
            );
        }
    }
}
