//! The readers of configurations, the library's and the gateway's: any text is read or refused, with places that
//! lie in it and in order.

use seawall::{
    CircuitBreakerConfig,
    config::{Problems, parse},
    core::Invalid,
};
use seawall_gateway::config::{Config, RouteConfig};

/// Reads `data` as a file of policies and as one of the gateway's.
///
/// # Panics
/// If a promise is broken.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse(&text, "fuzz.toml") {
        Ok(read) => read.policies.values().for_each(|config| {
            finds_nothing(|found| config.check(found));
        }),
        Err(problems) => reasons(&text, &problems),
    }
    match Config::from_toml(&text, "fuzz.toml") {
        Ok(config) => whole(&config),
        Err(problems) => reasons(&text, &problems),
    }
}

/// What was read is checked, and refers to what is there: nothing is refused later.
fn whole(config: &Config) {
    for upstream in &config.upstreams {
        assert!(!upstream.endpoints.is_empty(), "{} leads nowhere", upstream.name);
        finds_nothing(|found| {
            checked(upstream.circuit_breaker.as_ref(), CircuitBreakerConfig::check, found)
        });
    }
    for RouteConfig { name, upstream, rate_limit, timeout, retry, bulkhead, .. } in &config.routes {
        assert!(*upstream < config.upstreams.len(), "{name} leads nowhere");
        assert_eq!(config.routes.iter().filter(|route| route.name == *name).count(), 1, "{name}");
        finds_nothing(|found| {
            timeout.check(found);
            checked(rate_limit.as_ref(), |limit, found| limit.check(found), found);
            checked(retry.as_ref(), |retry, found| retry.check(found), found);
            checked(bulkhead.as_ref(), |bulkhead, found| bulkhead.check(found), found);
        });
    }
    assert!(config.consequences().iter().all(|consequence| !consequence.to_string().is_empty()));
}

fn checked<T>(
    config: Option<&T>,
    check: impl FnOnce(&T, &mut dyn FnMut(Invalid)),
    found: &mut dyn FnMut(Invalid),
) {
    if let Some(config) = config {
        check(config, found);
    }
}

fn finds_nothing(check: impl FnOnce(&mut dyn FnMut(Invalid))) {
    let mut wrong = Vec::new();
    check(&mut |invalid| wrong.push(invalid));
    assert!(wrong.is_empty(), "read, but {wrong:?}");
}

/// A refusal has reasons, in order and at places of this text.
fn reasons(text: &str, problems: &Problems) {
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() as u32 + 1;
    let problems = problems.as_slice();
    assert!(!problems.is_empty(), "refused without a reason");
    assert!(problems.is_sorted(), "not in order");
    assert!(problems.iter().all(|problem| problem.line <= lines), "behind the end: {problems:?}");
}
