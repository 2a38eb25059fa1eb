//! `rate_limit = { … }` on a route: whose requests are counted together, and how many of them may pass.

use std::ops::RangeInclusive;

use http::HeaderName;
use seawall::{
    Invalid,
    config::{Table, Value, rate_limit},
    core::{Algorithm, RateLimitConfig, Reserve},
};

use super::raw::number;

/// A limit on a route's requests, before anything else is done for them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "configuration, written with struct update from Default"
)]
pub struct RouteLimitConfig {
    /// Whose requests are counted together. Default those of each client.
    pub by: LimitBy,
    /// The limit of each. Default a token bucket of 1000 that fills at 100/s. No shaper, which would keep requests
    /// waiting; no reserves, since it is the same for all classes. Where it limits each attempt, retries take from the
    /// limit of the key that their request took from. Unless it is one limit for the route, a sliding window
    /// has 1 to 60 buckets, or each key would cost 8 bytes times the limit.
    pub limit: RateLimitConfig,
    /// Keys with a limit of their own; while that many are in use, further ones share one. Default 10 000, 1 to
    /// 1 000 000: each costs up to half a kilobyte, or a whole one with a sliding window.
    pub max_keys: u32,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitBy {
    /// Those from one address, or from one /64 network of IPv6: as much as one household or host has.
    #[default]
    Client,
    /// All of the route.
    Route,
    /// Those with the same value of this field. All without it share one limit, and all that write it more than once
    /// share another: which of the values an upstream takes is anyone's guess, and a way around the limit.
    Header(HeaderName),
}

impl Default for RouteLimitConfig {
    fn default() -> Self {
        Self { by: LimitBy::Client, limit: RateLimitConfig::default(), max_keys: KEYS }
    }
}

impl RouteLimitConfig {
    /// Tells everything that is wrong with these settings.
    pub fn check(&self, found: &mut dyn FnMut(Invalid)) {
        self.limit.check(found);
        if !(1..=KEYS_MAX).contains(&self.max_keys) {
            found(Invalid::new("rate_limit.max_keys", self.max_keys, "1 to 1000000"));
        }
        self.check_use(found);
    }

    /// What a limiter can do, but not on a route, or not once for each key.
    fn check_use(&self, found: &mut dyn FnMut(Invalid)) {
        let RateLimitConfig { algorithm, buckets, reserves, .. } = &self.limit;
        if *algorithm == Algorithm::Shaper {
            found(Invalid::new("rate_limit.algorithm", "\"shaper\"", NO_SHAPER));
        }
        let each_window = *algorithm == Algorithm::SlidingWindow && self.by != LimitBy::Route;
        match buckets {
            None if each_window => found(Invalid::new("rate_limit.buckets", NOT_SET, BUCKETS)),
            // What no limiter can have has been told by the limiter.
            Some(buckets) if each_window && BUCKETS_TOO_MANY.contains(buckets) => {
                found(Invalid::new("rate_limit.buckets", buckets, BUCKETS));
            }
            None | Some(_) => {}
        }
        if *reserves != [Reserve::default(); 5] {
            found(Invalid::new(
                "rate_limit.reserves",
                "set",
                "not set: the limit of a route is the same for all classes",
            ));
        }
    }

    /// Reads the table onto `base`.
    pub(super) fn read(mut table: Table<'_>, base: Self) -> Self {
        let mut config = base;
        table.set("by", by, &mut config.by);
        let keys = |value: &Value<'_>| number(value, 1..=KEYS_MAX as usize).map(|keys| keys as u32);
        table.set("max_keys", keys, &mut config.max_keys);
        let algorithm = table.peek("algorithm");
        let [buckets, reserves] = ["buckets", "reserves"].map(|name| table.peek(name));
        config.limit = rate_limit(table, config.limit, &OFFERED);
        config.check_use(&mut |Invalid { field, value, expected, .. }| {
            let written = match field {
                // What is written and could not be read has been told already.
                "rate_limit.buckets" if value == NOT_SET && buckets.is_some() => &None,
                "rate_limit.buckets" if value != NOT_SET => &buckets,
                "rate_limit.reserves" => &reserves,
                // It is the algorithm that asks for what is not set.
                _ => &algorithm,
            };
            if let Some(written) = written {
                written.problem(format_args!("{field} is {value}, expected {expected}"));
            }
        });
        config
    }
}

/// `"client"`, `"route"`, or `"header:NAME"`.
fn by(value: &Value<'_>) -> Option<LimitBy> {
    let text = value.text()?;
    match (text, text.strip_prefix("header:")) {
        ("client", _) => Some(LimitBy::Client),
        ("route", _) => Some(LimitBy::Route),
        (_, Some(name)) => match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Some(LimitBy::Header(name)),
            Err(_) => {
                value.expected("\"header:\" and the name of a field, such as \"header:x-api-key\"")
            }
        },
        _ => value.unknown(&["client", "route", "header:x-api-key"]),
    }
}

/// All but the shaper, which is refused in words of its own.
const OFFERED: [Algorithm; 3] =
    [Algorithm::TokenBucket, Algorithm::LeakyBucket, Algorithm::SlidingWindow];

const NOT_SET: &str = "not set";
const NO_SHAPER: &str =
    "\"token_bucket\", \"leaky_bucket\" or \"sliding_window\": a route refuses and does not delay";
const BUCKETS: &str =
    "1 to 60: each key has a window of its own (10 free a place at most 10% late)";

/// The library's, for whatever there is one of for each key.
const KEYS: u32 = 10_000;

/// Half a gigabyte.
const KEYS_MAX: u32 = 1_000_000;

/// Beyond a second each of a minute, and half a kilobyte for each key; a limiter has at most the last of them.
const BUCKETS_TOO_MANY: RangeInclusive<u32> = 61..=1_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use seawall::core::Rate;

    use super::*;
    use crate::config::Config;

    /// The limit of a route with this line.
    fn read(line: &str) -> Result<Option<RouteLimitConfig>, String> {
        let text = format!(
            "[upstream.up]\nendpoints = ['http://a']\n[[route]]\nname = 'r'\nupstream = 'up'\n{line}\n"
        );
        let config = Config::from_toml(&text, "f").map_err(|problems| problems.to_string())?;
        Ok(config.routes[0].rate_limit.clone())
    }

    #[test]
    fn what_is_written_is_read_onto_the_defaults() {
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("rate_limit = false"), Ok(None));
        let default = RouteLimitConfig::default();
        assert_eq!((&default.by, default.max_keys), (&LimitBy::Client, 10_000));
        assert_eq!(read("rate_limit = true"), Ok(Some(default.clone())));
        let bucket = RateLimitConfig {
            capacity: Some(200),
            rate: Some(Rate::per_second(100)),
            limit_each_attempt: true,
            ..RateLimitConfig::default()
        };
        let by = LimitBy::Header(HeaderName::from_static("x-api-key"));
        assert_eq!(
            read(
                "rate_limit = { by = 'header:X-Api-Key', rate = '100/s', capacity = 200, max_keys = 1000000, limit_each_attempt = true }"
            ),
            Ok(Some(RouteLimitConfig { by, limit: bucket, max_keys: 1_000_000 }))
        );
        let window = RateLimitConfig {
            algorithm: Algorithm::SlidingWindow,
            limit: Some(1_000),
            window: Some(Duration::from_secs(60)),
            ..RateLimitConfig::default()
        };
        assert_eq!(
            read(
                "rate_limit = { by = 'route', algorithm = 'sliding_window', limit = 1000, window = '60s' }"
            ),
            Ok(Some(RouteLimitConfig { by: LimitBy::Route, limit: window, ..default }))
        );
    }

    #[test]
    fn every_mistake_has_its_words_and_place() {
        for (table, problem) in [
            (
                "by = 'clinet'",
                "6:21: rate_limit.by is \"clinet\", expected \"client\", \"route\" or \"header:x-api-key\"; did you mean \"client\"?",
            ),
            (
                "by = 'header:'",
                "6:21: rate_limit.by is \"header:\", expected \"header:\" and the name of a field, such as \"header:x-api-key\"",
            ),
            (
                "by = 'header:a b'",
                "6:21: rate_limit.by is \"header:a b\", expected \"header:\" and the name of a field, such as \"header:x-api-key\"",
            ),
            ("max_keys = 0", "6:27: rate_limit.max_keys is 0, expected 1 to 1000000"),
            ("max_keys = 1000001", "6:27: rate_limit.max_keys is 1000001, expected 1 to 1000000"),
            (
                "algorithm = 'shaper'",
                "6:28: rate_limit.algorithm is \"shaper\", expected \"token_bucket\", \"leaky_bucket\" or \"sliding_window\": a route refuses and does not delay",
            ),
            (
                "algorithm = 'sliding_windw', limit = 9, max_keys = 0",
                "6:28: rate_limit.algorithm is \"sliding_windw\", expected \"token_bucket\", \"leaky_bucket\" or \"sliding_window\"; did you mean \"sliding_window\"?\nf:6:67: rate_limit.max_keys is 0, expected 1 to 1000000",
            ),
            (
                "algorithm = 'sliding_window', limit = 9",
                "6:28: rate_limit.buckets is not set, expected 1 to 60: each key has a window of its own (10 free a place at most 10% late)",
            ),
            (
                "algorithm = 'sliding_window', limit = 9, buckets = 61",
                "6:67: rate_limit.buckets is 61, expected 1 to 60: each key has a window of its own (10 free a place at most 10% late)",
            ),
            (
                "algorithm = 'sliding_window', limit = 9, buckets = 0",
                "6:67: rate_limit.buckets is 0, expected 1 to 1000",
            ),
            (
                "algorithm = 'sliding_window', limit = 9, buckets = 1001",
                "6:67: rate_limit.buckets is 1001, expected 1 to 1000",
            ),
            (
                "algorithm = 'sliding_window', limit = 9, buckets = 'x'",
                "6:67: rate_limit.buckets is \"x\", expected a whole number, 0 to 4294967295",
            ),
            (
                "reserves = { high = 5 }",
                "6:27: rate_limit.reserves is set, expected not set: the limit of a route is the same for all classes",
            ),
            ("ratte = '1/s'", "6:16: unknown field `rate_limit.ratte`, did you mean `rate`?"),
        ] {
            let found = read(&format!("rate_limit = {{ {table} }}"));
            assert_eq!(found, Err(format!("f:{problem}")), "{table}");
        }
        let found = read("rate_limit = '50/s'").unwrap_err();
        assert!(found.contains("expected a table such as { rate = \"50/s\" }"), "{found}");
    }

    #[test]
    fn settings_from_code_are_checked_alike() {
        let limit = |limit| RouteLimitConfig { limit, ..RouteLimitConfig::default() };
        let window = RateLimitConfig {
            algorithm: Algorithm::SlidingWindow,
            limit: Some(9),
            ..RateLimitConfig::default()
        };
        let reserves = [
            Reserve::Tokens(1),
            Reserve::default(),
            Reserve::default(),
            Reserve::default(),
            Reserve::default(),
        ];
        for (config, fields) in [
            (RouteLimitConfig::default(), &[][..]),
            (
                RouteLimitConfig { max_keys: 0, ..RouteLimitConfig::default() },
                &["rate_limit.max_keys"],
            ),
            (limit(window.clone()), &["rate_limit.buckets"]),
            (limit(RateLimitConfig { buckets: Some(60), ..window.clone() }), &[]),
            (
                limit(RateLimitConfig { buckets: Some(0), ..window.clone() }),
                &["rate_limit.buckets"],
            ),
            (RouteLimitConfig { by: LimitBy::Route, ..limit(window) }, &[]),
            (
                limit(RateLimitConfig { reserves, ..RateLimitConfig::default() }),
                &["rate_limit.reserves"],
            ),
            (
                limit(RateLimitConfig { limit: Some(1), ..RateLimitConfig::default() }),
                &["rate_limit.limit"],
            ),
        ] {
            let mut found = Vec::new();
            config.check(&mut |invalid| found.push(invalid.field));
            assert_eq!(found, fields, "{config:?}");
        }
    }
}
