//! Where a setting is written, and what a file with it means.

use std::time::Duration;

use seawall::{
    CircuitBreakerConfig, PolicyConfig, RateLimitConfig,
    config::{Origins, Problems},
    core::{CircuitBreaker, End, Instant, Outcome, Phase, RateLimiter},
};
use seawall_gateway::Config;

/// Which of the two readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Library,
    Gateway,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Library, Self::Gateway];

    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Library => "library",
            Self::Gateway => "gateway",
        }
    }
}

/// A file that says no more than it must, and perhaps one setting.
pub(super) struct Written {
    side: Side,
    /// Says something that this side has no place for.
    strange: bool,
    root: String,
    upstream: String,
    route: String,
    policy: String,
}

impl Written {
    /// With this value of the field, or, without a value, with the least that could stand beside it.
    pub(super) fn new(side: Side, field: &str, value: Option<&str>) -> Self {
        Self::with(side, field, value, companions(side, field, value.unwrap_or_default()))
    }

    /// Without the field, but with what would stand beside that value of it.
    pub(super) fn beside(side: Side, field: &str, value: &str) -> Self {
        Self::with(side, field, None, companions(side, field, value))
    }

    fn with(side: Side, field: &str, value: Option<&str>, companions: String) -> Self {
        let (owner, name) = field.split_once('.').unwrap_or(("", field));
        let mut file = Self {
            side,
            strange: side == Side::Library && ["upstream", "route"].contains(&owner),
            root: String::new(),
            upstream: "endpoints = ['http://a']\n".to_owned(),
            route: "name = 'r'\nupstream = 'up'\n".to_owned(),
            policy: String::new(),
        };
        let line = match (owner, value) {
            ("" | "upstream" | "route" | "admin", None) => String::new(),
            ("" | "upstream", Some(value)) => format!("{name} = {value}\n"),
            ("route", Some(value)) => match name.split_once('.') {
                Some((table, name)) => format!("{table} = {{ {name} = {value} }}\n"),
                None => format!("{name} = {value}\n"),
            },
            ("admin", Some(value)) => format!("admin = {{ {name} = {value} }}\n"),
            (pattern, value) => {
                let value = value.map(|value| format!("{name} = {value}"));
                let inside: Vec<_> =
                    value.into_iter().chain([companions]).filter(|part| !part.is_empty()).collect();
                format!("{pattern} = {{ {} }}\n", inside.join(", "))
            }
        };
        if let (Some("endpoints.url"), None) = (field.strip_prefix("upstream."), value) {
            file.upstream = "endpoints = [{}]\n".to_owned();
            return file;
        }
        let (instead, part) = match owner {
            _ if side == Side::Library && !["upstream", "route", "admin"].contains(&owner) => {
                ("", &mut file.policy)
            }
            "" if field == "circuit_breaker" => ("", &mut file.upstream),
            "" if !PATTERNS.contains(&field) => ("", &mut file.root),
            "upstream" => (name, &mut file.upstream),
            "circuit_breaker" => ("", &mut file.upstream),
            "admin" => ("", &mut file.root),
            "route" => (name, &mut file.route),
            _ => ("", &mut file.route),
        };
        let mut kept: String = part
            .lines()
            .filter(|line| line.split(" = ").next() != Some(instead))
            .map(|line| format!("{line}\n"))
            .collect();
        kept += &line;
        *part = kept;
        file
    }

    /// What the file means, with all that is only worked out later.
    pub(super) fn read(&self) -> Result<String, Problems> {
        let Self { side, strange, root, upstream, route, policy } = self;
        match side {
            Side::Library => {
                // What only the gateway has is written where it stands there.
                let elsewhere = format!("[upstream.up]\n{upstream}[[route]]\n{route}");
                let elsewhere = if *strange { elsewhere.as_str() } else { "" };
                let text = format!("{root}[policy.p]\n{policy}{elsewhere}");
                let read = seawall::config::parse(&text, "f")?;
                Ok(policy_meant(read.policies["p"].clone()))
            }
            Side::Gateway => {
                let text = format!("{root}[upstream.up]\n{upstream}[[route]]\n{route}");
                let mut config = Config::from_toml(&text, "f")?;
                config.origins = Origins::default();
                Ok(gateway_meant(config))
            }
        }
    }
}

/// What has to stand beside a value for it to make sense.
fn companions(side: Side, field: &str, value: &str) -> String {
    let window = match side {
        Side::Library => "algorithm = \"sliding_window\"",
        Side::Gateway => "algorithm = \"sliding_window\", by = \"route\"",
    };
    match (field, value) {
        ("rate_limit.algorithm", "\"sliding_window\"") => match side {
            Side::Library => "limit = 10".to_owned(),
            Side::Gateway => "limit = 10, by = \"route\"".to_owned(),
        },
        ("rate_limit.limit", _) => window.to_owned(),
        ("rate_limit.window" | "rate_limit.buckets", _) => format!("{window}, limit = 10"),
        ("circuit_breaker.slow_rate" | "circuit_breaker.slow_after", "\"none\"") => String::new(),
        ("circuit_breaker.slow_rate", _) => "slow_after = \"1s\"".to_owned(),
        ("circuit_breaker.slow_after", _) => "slow_rate = \"50%\"".to_owned(),
        ("circuit_breaker.over", _) => "minimum_calls = 1".to_owned(),
        ("timeout.attempt", _) => "adaptive = false".to_owned(),
        _ => String::new(),
    }
}

fn policy_meant(mut policy: PolicyConfig) -> String {
    let limiter = policy.rate_limit.take().map(|config| limiter(&config));
    policy.circuit_breaker = policy.circuit_breaker.map(breaker);
    format!("{policy:?} {limiter:?}")
}

fn gateway_meant(mut config: Config) -> String {
    let mut limiters = Vec::new();
    for route in &mut config.routes {
        let limit = route.rate_limit.as_mut();
        limiters.extend(limit.map(|limit| limiter(&std::mem::take(&mut limit.limit))));
    }
    for upstream in &mut config.upstreams {
        upstream.circuit_breaker = upstream.circuit_breaker.take().map(breaker);
    }
    format!("{config:?} {limiters:?}")
}

/// Settings that an algorithm fills in are those of the limiter.
fn limiter(config: &RateLimitConfig) -> String {
    format!("{:?}", RateLimiter::new(config).unwrap())
}

/// How long a probe may live is worked out from the open period: it is what the machine does.
fn breaker(mut config: CircuitBreakerConfig) -> CircuitBreakerConfig {
    let mut breaker = CircuitBreaker::new(&config).unwrap();
    let mut now = Instant::ORIGIN;
    // A share may open it before so many in a row do.
    while breaker.phase(now) == Phase::Closed {
        let permit = breaker.admit(now).unwrap();
        breaker.report(permit, End::new(Outcome::Failure, Duration::ZERO), now);
    }
    while breaker.phase(now) != Phase::HalfOpen {
        now = breaker.wake_at().unwrap();
        while breaker.advance(now).is_some() {}
    }
    let _probe = breaker.admit(now).unwrap();
    config.half_open_for = breaker.wake_at().map(|end| end.since(now));
    config
}

/// What stands in a route, or in a policy.
const PATTERNS: [&str; 5] = ["deadline", "rate_limit", "retry", "bulkhead", "timeout"];
