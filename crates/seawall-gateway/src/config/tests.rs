//! Whole files: every field with its value, every mistake with its words and place, and what follows.

use std::time::Duration;

use proptest::prelude::*;
use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Jitter, Ratio, RetryConfig, RetryOn, Strategy,
    TimeoutConfig, Window,
};

use super::{Config, Consequence};

const WHOLE: &str = r#"
listen = "127.0.0.1:8081"
admin  = { listen = "[::1]:9090" }
shutdown_delay = "3s"
drain_timeout = "20s"
max_connections = 500
header_timeout = "10s"
max_header_bytes = "64KiB"
max_headers = 50

[upstream.orders]
endpoints = ["http://10.0.0.1:8080", { url = "http://orders.example" }]
balance = "p2c_ewma"
circuit_breaker = { failures = 7, failure_rate = "20%", over = "5s", minimum_calls = 9, open_for = "2s", max_open_for = "9s", open_jitter = "5%", half_open_calls = 1, successes = 1 }
retry_budget = "20%"
retry_trickle = false
max_connections = 64
idle_timeout = "9s"

[upstream.plain]
endpoints = ["http://a"]
circuit_breaker = false

[[route]]
name = "orders"
match = { host = "*.example.com", path = "/orders/*", methods = ["GET", "POST"], headers = { x-tenant = "*" } }
upstream = "orders"
deadline = "8s"
timeout = { connect = "500ms", read = "30s", attempt = "3s", adaptive = false, quantile = "p99", factor = 2, warm_up = 10, floor = "5ms" }
retry = { max_retries = 1, base_delay = "50ms", max_delay = "2s", jitter = "equal", strategy = "linear", on = ["connect", "503"] }
bulkhead = { max_concurrent = 9, max_queue = 3, max_wait = "2s", max_run = "20s", reserves = { high = 2 } }
replay_buffer = "1MiB"

[[route]]
name = "rest"
upstream = "plain"
deadline = "none"
retry = false
bulkhead = false
replay_buffer = 0
"#;

/// A good file around what a test writes: `root` at the top, `upstream` and `route` in their tables.
fn file(root: &str, upstream: &str, route: &str) -> String {
    let endpoints = if upstream.contains("endpoints") { "" } else { "endpoints = ['http://a']" };
    format!(
        "{root}\n[upstream.up]\n{endpoints}\n{upstream}\n[[route]]\nname = 'r'\nupstream = 'up'\n{route}\n"
    )
}

fn good(root: &str, upstream: &str, route: &str) -> Config {
    let text = file(root, upstream, route);
    Config::from_toml(&text, "f").unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// The problems of a text, one per line, without the file's name.
fn problems(text: &str) -> String {
    let problems = Config::from_toml(text, "f").expect_err(text).to_string();
    problems.lines().map(|line| line.strip_prefix("f:").expect(line)).collect::<Vec<_>>().join("\n")
}

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECS: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn everything_written_is_read() {
    let config = Config::from_toml(WHOLE, "gateway.toml").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.admin.unwrap().to_string(), "[::1]:9090");
    assert_eq!(config.shutdown_delay, SECS(3));
    assert_eq!(config.limits.drain, SECS(20));
    assert_eq!(config.limits.connections_max, 500);
    assert_eq!(config.limits.head_max, SECS(10));
    assert_eq!(config.limits.head_bytes_max, 65_536);
    assert_eq!(config.limits.fields_max, 50);

    let [orders, plain] = config.upstreams.as_slice() else { panic!("{:?}", config.upstreams) };
    assert_eq!(orders.name, "orders");
    let authorities: Vec<_> = orders.endpoints.iter().map(|e| e.authority.as_str()).collect();
    assert_eq!(authorities, ["10.0.0.1:8080", "orders.example:80"]);
    assert_eq!(
        orders.circuit_breaker,
        Some(CircuitBreakerConfig {
            failures: 7,
            failure_rate: Some(Ratio::percent(20)),
            slow_rate: None,
            slow_after: None,
            window: Window::Time(SECS(5)),
            minimum_calls: 9,
            successes: 1,
            open_for: SECS(2),
            max_open_for: Some(SECS(9)),
            open_jitter: Ratio::percent(5),
            half_open_calls: 1,
            half_open_for: None,
        })
    );
    assert_eq!(orders.retry_budget, Ratio::percent(20));
    assert!(!orders.retry_trickle);
    assert_eq!((orders.max_connections, orders.idle_timeout), (64, SECS(9)));
    assert_eq!((plain.name.as_str(), &plain.circuit_breaker), ("plain", &None));

    let [route, rest] = config.routes.as_slice() else { panic!("{:?}", config.routes) };
    assert_eq!((route.name.as_str(), route.upstream), ("orders", 0));
    assert_eq!(route.matches.to_string(), "GET, POST *.example.com/orders/* with x-tenant");
    assert_eq!(route.deadline, Some(SECS(8)));
    assert_eq!(
        route.timeout,
        TimeoutConfig {
            connect: MS(500),
            read: SECS(30),
            attempt: SECS(3),
            adaptive: false,
            quantile: Ratio::percent(99),
            factor: Ratio::percent(200),
            warm_up: 10,
            floor: MS(5),
        }
    );
    assert_eq!(
        route.retry,
        Some(RetryConfig {
            max_retries: 1,
            base_delay: MS(50),
            max_delay: SECS(2),
            jitter: Jitter::Equal,
            strategy: Strategy::Linear,
            max_elapsed: None,
            budget: Ratio::percent(20),
            trickle: false,
        })
    );
    let on = RetryOn { connect: true, reset: false, timeout: false, statuses: vec![503] };
    assert_eq!(route.retry_on, on);
    assert_eq!(
        route.bulkhead,
        Some(BulkheadConfig {
            max_concurrent: 9,
            max_queue: 3,
            max_wait: SECS(2),
            max_run: Some(SECS(20)),
            priority: true,
            reserves: [0, 2, 0, 0, 0],
            pool_threads: None,
        })
    );
    assert_eq!(route.replay_buffer, 1 << 20);
    assert_eq!((rest.name.as_str(), rest.upstream, rest.deadline), ("rest", 1, None));
    assert_eq!((&rest.retry, &rest.bulkhead, rest.replay_buffer), (&None, &None, 0));

    for (field, origin) in [
        ("listen", "gateway.toml:2:10"),
        ("admin.listen", "gateway.toml:3:21"),
        ("upstream.orders.retry_budget", "gateway.toml:15:16"),
        ("route.orders.timeout.attempt", "gateway.toml:29:56"),
        ("route.rest.deadline", "gateway.toml:37:12"),
        ("route.rest.timeout.attempt", "default"),
    ] {
        assert_eq!(config.origins.of(field).to_string(), origin, "{field}");
    }
}

#[test]
fn what_is_not_written_is_the_preset() {
    let config = good("", "", "");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((config.admin, config.shutdown_delay), (None, Duration::ZERO));
    assert_eq!((config.limits.drain, config.limits.connections_max), (SECS(25), 10_000));
    let upstream = &config.upstreams[0];
    assert_eq!(
        upstream.circuit_breaker,
        Some(CircuitBreakerConfig {
            failures: 5,
            failure_rate: Some(Ratio::percent(50)),
            slow_rate: None,
            slow_after: None,
            window: Window::Time(SECS(10)),
            minimum_calls: 20,
            successes: 3,
            open_for: SECS(5),
            max_open_for: Some(SECS(60)),
            open_jitter: Ratio::percent(10),
            half_open_calls: 3,
            half_open_for: None,
        })
    );
    assert_eq!((upstream.retry_budget, upstream.retry_trickle), (Ratio::percent(10), true));
    let route = &config.routes[0];
    assert_eq!(route.deadline, Some(SECS(15)));
    let TimeoutConfig { connect, read, attempt, adaptive, .. } = route.timeout;
    assert_eq!((connect, read, attempt, adaptive), (SECS(1), SECS(10), SECS(5), true));
    assert_eq!(
        route.retry,
        Some(RetryConfig {
            max_retries: 2,
            base_delay: MS(25),
            max_delay: SECS(1),
            jitter: Jitter::Full,
            strategy: Strategy::Exponential,
            max_elapsed: None,
            budget: Ratio::percent(10),
            trickle: true,
        })
    );
    assert_eq!(route.retry_on, RetryOn::default());
    assert_eq!(
        route.bulkhead,
        Some(BulkheadConfig {
            max_concurrent: 100,
            max_queue: 200,
            max_wait: SECS(5),
            max_run: None,
            priority: true,
            reserves: [0; 5],
            pool_threads: None,
        })
    );
    assert_eq!(route.replay_buffer, 65_536);
}

#[test]
fn what_is_written_of_a_pattern_leaves_the_rest_of_its_preset() {
    for (route, max_concurrent, max_wait) in [
        ("bulkhead = true", 100, SECS(5)),
        ("bulkhead.max_queue = 0", 100, SECS(5)),
        ("bulkhead = { max_concurrent = 2, max_wait = '1s' }", 2, SECS(1)),
        ("bulkhead = 'database'", 20, SECS(30)),
        ("bulkhead = 'file_operations'", 5, SECS(20)),
    ] {
        let read = good("", "", route).routes[0].bulkhead.clone().unwrap();
        assert_eq!((read.max_concurrent, read.max_wait), (max_concurrent, max_wait), "{route}");
    }
    for (breaker, failure_rate, max_open_for) in [
        ("{}", Some(Ratio::percent(50)), Some(SECS(60))),
        ("{ open_for = '60s' }", Some(Ratio::percent(50)), Some(SECS(60))),
        ("{ open_for = '2m' }", Some(Ratio::percent(50)), Some(SECS(120))),
        ("{ open_for = '2m', max_open_for = 'none' }", Some(Ratio::percent(50)), None),
        ("{ failure_rate = 'none' }", None, Some(SECS(60))),
    ] {
        let config = good("", &format!("circuit_breaker = {breaker}"), "");
        let read = config.upstreams[0].circuit_breaker.as_ref().unwrap();
        assert_eq!((read.failure_rate, read.max_open_for), (failure_rate, max_open_for));
    }
}

#[test]
fn presets_are_clipped_to_a_shorter_deadline() {
    for (route, connect, attempt, floor) in [
        ("deadline = '3s'", SECS(1), SECS(3), MS(10)),
        ("deadline = '500ms'", MS(500), MS(500), MS(10)),
        ("deadline = '5ms'", MS(5), MS(5), MS(5)),
        ("deadline = 'none'", SECS(1), SECS(5), MS(10)),
        ("deadline = '3s'\ntimeout.adaptive = true", SECS(1), SECS(3), MS(10)),
        ("deadline = '3s'\ntimeout.connect = '2s'", SECS(2), SECS(3), MS(10)),
        ("timeout.attempt = '200ms'", MS(200), MS(200), MS(10)),
        ("deadline = '30s'\ntimeout.attempt = '20s'", SECS(1), SECS(20), MS(10)),
    ] {
        let limits = &good("", "", route).routes[0].timeout;
        let clipped = (limits.connect, limits.attempt, limits.floor);
        assert_eq!(clipped, (connect, attempt, floor), "{route}");
        assert_eq!(limits.read, SECS(10), "{route}");
    }
}

#[test]
fn what_is_written_is_not_clipped_but_told() {
    for (route, told) in [
        (
            "timeout.attempt = '20s'",
            "8:19: timeout.attempt is 20s, expected at most the deadline of 15s",
        ),
        (
            "deadline = '2s'\ntimeout = { connect = '3s', attempt = '4s', read = '9s' }",
            "9:23: timeout.connect is 3s, expected at most the deadline of 2s\n\
             9:39: timeout.attempt is 4s, expected at most the deadline of 2s",
        ),
        ("deadline = '0s'", "8:12: deadline is 0s, expected more than 0s, or no deadline"),
        (
            "deadline = 2\ntimeout.attempt = '20s'",
            "8:12: deadline is 2, expected a duration in quotes such as \"250ms\", \"1.5s\" or \"1m30s\", \
             or \"none\"",
        ),
    ] {
        assert_eq!(problems(&file("", "", route)), told);
    }
}

#[test]
fn every_mistake_at_the_top_is_told() {
    for (root, told) in [
        (
            "listen = '8080'",
            "1:10: listen is \"8080\", expected an address with a port such as \"127.0.0.1:8080\"",
        ),
        ("listen = 8080", "1:10: listen is 8080, expected a text in quotes"),
        (
            "admin = true",
            "1:9: admin is true, expected a table such as { listen = \"127.0.0.1:9090\" }",
        ),
        (
            "admin = '[::1]:7'",
            "1:9: admin is \"[::1]:7\", expected a table such as { listen = \"[::1]:7\" }",
        ),
        (
            "admin = ':7'",
            "1:9: admin is \":7\", expected a table such as { listen = \"127.0.0.1:9090\" }",
        ),
        ("admin = {}", "1:9: admin.listen is missing, such as listen = \"127.0.0.1:9090\""),
        (
            "admin.listen = '127.0.0.1:8080'",
            "1:16: admin.listen is \"127.0.0.1:8080\", expected another address than listen",
        ),
        (
            "admin = { listen = '[::1]:1', token_env = 'X' }",
            "1:31: `admin.token_env` is not supported yet",
        ),
        ("max_connections = 0", "1:19: max_connections is 0, expected 1 to 1048576"),
        ("max_headers = 1001", "1:15: max_headers is 1001, expected 1 to 1000"),
        (
            "max_header_bytes = '4KiB'",
            "1:20: max_header_bytes is \"4KiB\", expected \"8KiB\" to \"1MiB\"",
        ),
        ("header_timeout = '0s'", "1:18: header_timeout is \"0s\", expected more than 0s"),
        ("lissten = 1", "1:1: unknown field `lissten`, did you mean `listen`?"),
    ] {
        assert_eq!(problems(&file(root, "", "")), told);
    }
    assert_eq!(problems(""), "1:1: no [[route]]: every request would be answered with 404");
    assert_eq!(
        problems("[route]\nname = 'a'"),
        "1:1: route is a table, expected a list of tables: write [[route]]"
    );
}

#[test]
fn every_mistake_in_an_upstream_is_told() {
    let url = "expected a URL such as \"http://10.0.0.1:8080\"";
    for (upstream, told) in [
        ("endpoints = []", "4:13: endpoints has 0 entries, expected 1 to 65535".into()),
        (
            "endpoints = 'http://a'",
            "4:13: endpoints is \"http://a\", expected a list in [ ]".into(),
        ),
        (
            "endpoints = ['a:80', 'https://a', 'http://a/b', 3, {}, { url = 'http://b', weight = 2 }, 'http://b:80']",
            format!(
                "4:14: endpoint \"a:80\": {url}\n\
                 4:22: endpoint \"https://a\": https is not supported yet, expected http://\n\
                 4:35: endpoint \"http://a/b\": a path is not supported yet, expected http://host:port\n\
                 4:49: endpoints is 3, expected a text in quotes\n\
                 4:52: endpoints.url is missing, such as url = \"http://10.0.0.1:8080\"\n\
                 4:76: `endpoints.weight` is not supported yet\n\
                 4:90: endpoint b:80 is written twice"
            ),
        ),
        ("balance = 'hash'", "4:11: balance = \"hash\" is not supported yet".into()),
        ("balance = 'p2c'", "4:11: balance is \"p2c\", expected \"p2c_ewma\"".into()),
        ("health = {}", "4:1: `health` is not supported yet".into()),
        ("outlier = {}", "4:1: `outlier` is not supported yet".into()),
        ("retry_budget = 0.2", "4:16: retry_budget is 0.2, expected \"20%\"".into()),
        (
            "retry_budget = '2000%'",
            "4:16: retry_budget is \"2000%\", expected \"0%\" to \"1000%\" of first attempts"
                .into(),
        ),
        ("max_connections = 0", "4:19: max_connections is 0, expected 1 to 1048576".into()),
        (
            "circuit_breaker = { failures = 0, over = 10, open_for = 1 }",
            "4:19: circuit_breaker.minimum_calls is 20 by default, expected at most the calls of over, which are 10\n\
             4:32: circuit_breaker.failures is 0, expected at least 1\n\
             4:57: circuit_breaker.open_for is 1, expected a duration in quotes such as \"250ms\", \"1.5s\" or \
             \"1m30s\""
                .into(),
        ),
        (
            "circuit_breaker = { over = 10 }",
            "4:19: circuit_breaker.minimum_calls is 20 by default, expected at most the calls of over, which are 10"
                .into(),
        ),
        (
            "circuit_breaker = { open_for = '2m', max_open_for = '1m' }",
            "4:53: circuit_breaker.max_open_for is 60s, expected at least open_for, which is 120s".into(),
        ),
        (
            "retry_buget = '1%'",
            "4:1: unknown field `retry_buget`, did you mean `retry_budget`?".into(),
        ),
        (
            "bulkhead = true\ndeadline = '1s'\npriority = 'low'\nrate_limit = true\nretry = true\ntimeout = true",
            ["bulkhead", "deadline", "priority", "rate_limit", "retry", "timeout"]
                .iter()
                .zip(4..)
                .map(|(field, line)| {
                    format!("{line}:1: `{field}` belongs to the route: write it under the [[route]] with upstream = \"up\"")
                })
                .collect::<Vec<_>>()
                .join("\n"),
        ),
    ] {
        assert_eq!(problems(&file("", upstream, "")), told);
    }
    for (upstream, told) in [
        (
            "['http://a', 'http://b']",
            "a list, expected a table such as { endpoints = [\"http://a\", \"http://b\"] }",
        ),
        (
            "'http://a'",
            "\"http://a\", expected a table such as { endpoints = [\"http://10.0.0.1:8080\"] }",
        ),
    ] {
        assert_eq!(
            problems(&format!("upstream.other = {upstream}\n{}", file("", "", ""))),
            format!("1:18: upstream.other is {told}")
        );
    }
    assert_eq!(
        problems("[upstream.a]\n[[route]]\nname = 'r'\nupstream = 'a'"),
        "1:1: upstream.a has no endpoints, such as endpoints = [\"http://10.0.0.1:8080\"]"
    );
}

#[test]
fn every_mistake_in_a_route_is_told() {
    for (route, told) in [
        (
            "match.host = 'a:80'",
            "8:14: match.host is \"a:80\", expected a host such as \"example.com\" or \"*.example.com\", without a port",
        ),
        (
            "match.path = 'a/*'",
            "8:14: match.path is \"a/*\", expected a path such as \"/orders\", or \"/orders/*\" for all below it",
        ),
        (
            "match.path = '/a*'",
            "8:14: match.path is \"/a*\", expected a path such as \"/orders\", or \"/orders/*\" for all below it",
        ),
        (
            "match.methods = ['get', 'PUT', 1]",
            "8:18: match.methods is \"get\", expected a method in capitals such as \"GET\"\n8:32: match.methods is 1, expected a text in quotes",
        ),
        (
            "match.methods = []",
            "8:17: match.methods is [], expected at least one method, or nothing for all",
        ),
        (
            "match.headers = { 'a b' = '*', c = 1 }",
            "8:27: \"a b\" is no name of a header\n8:36: match.headers.c is 1, expected a text in quotes",
        ),
        (
            "match.headers.a = \"\\n\"",
            "8:19: match.headers.a is \"\\n\", expected what a header can carry, or \"*\" for any value",
        ),
        ("match.hots = 'a'", "8:7: unknown field `match.hots`, did you mean `host`?"),
        (
            "retry.budget = '5%'",
            "8:7: `retry.budget`: the budget belongs to the upstream: write retry_budget under [upstream.up]",
        ),
        (
            "retry.trickle = true",
            "8:7: `retry.trickle`: the budget belongs to the upstream: write retry_trickle under [upstream.up]",
        ),
        (
            "retry_budget = '5%'",
            "8:1: `retry_budget`: the budget belongs to the upstream: write retry_budget under [upstream.up]",
        ),
        (
            "circuit_breaker = true",
            "8:1: `circuit_breaker`: the breaker belongs to the upstream: write circuit_breaker under [upstream.up]",
        ),
        (
            "retry.base_delay = '2s'",
            "8:1: retry.max_delay is 1s by default, expected at least base_delay, which is 2s",
        ),
        (
            "timeout = false",
            "8:11: timeout is false, expected a table such as { attempt = \"5s\" }",
        ),
        (
            "timeout = '2s'",
            "8:11: timeout is \"2s\", expected a table such as { attempt = \"2s\" }",
        ),
        ("match = '/a'", "8:9: match is \"/a\", expected a table such as { path = \"/a\" }"),
        (
            "match = 'a.example'",
            "8:9: match is \"a.example\", expected a table such as { path = \"/orders/*\" }",
        ),
        (
            "bulkhead = 9",
            "8:12: bulkhead is 9, expected a table such as { max_concurrent = 9 }, true, false, \"database\", \
             \"llm\", \"external_api\" or \"file_operations\"",
        ),
        (
            "retry = -1",
            "8:9: retry is -1, expected a table such as { max_retries = 3 }, true or false",
        ),
        ("match.headers = 'x'", "8:17: match.headers is \"x\", expected a table"),
        (
            "bulkhead = { max_queue = -1, max_wait = '0s', pool_threads = 4, reserves = { hi = 1 } }",
            "8:26: bulkhead.max_queue is -1, expected a whole number, 0 to 4294967295\n\
             8:41: bulkhead.max_wait is 0s, expected more than 0s\n\
             8:47: `bulkhead.pool_threads`: the gateway runs nothing on threads of a bulkhead\n\
             8:78: unknown field `bulkhead.reserves.hi`, expected `background`, `critical`, `high`, `low` or `normal`",
        ),
        (
            "replay_buffer = '64k'",
            "8:17: replay_buffer is \"64k\", expected a size such as \"64KiB\", \"1MiB\" or a number of bytes",
        ),
        (
            "replay_buffer = '1GiB'",
            "8:17: replay_buffer is \"1GiB\", expected 0 to \"16MiB\": it is kept for every request",
        ),
        (
            "hedge = {}\nidempotency = {}\nfallback = []\nbody_deadline = '1s'",
            "8:1: `hedge` is not supported yet\n9:1: `idempotency` is not supported yet\n10:1: `fallback` is not supported yet\n11:1: `body_deadline` is not supported yet",
        ),
        (
            "[[route]]\nname = 'r'\nupstream = 'upp'",
            "9:8: route \"r\" is written twice\n10:12: upstream is \"upp\", which is not defined, did you mean \"up\"?",
        ),
        (
            "[[route]]\nname = 's'\nupstream = 'upp'\ncircuit_breaker = true",
            "10:12: upstream is \"upp\", which is not defined, did you mean \"up\"?\n11:1: `circuit_breaker`: the breaker belongs to the upstream: write circuit_breaker under [upstream.NAME]",
        ),
        (
            "[[route]]\nname = 'a b'\nupstream = [{ name = 'up', weight = 9 }]",
            "9:8: route.name is \"a b\", expected 1 to 64 letters, digits, `-` or `_`\n10:12: upstream = a list is not supported yet",
        ),
        (
            "[[route]]",
            "8:1: a route without a name, expected such as name = \"orders\"\n8:1: a route without an upstream, expected such as upstream = \"orders\"",
        ),
        (
            "[[route]]\nname = 1\nupstream = 2",
            "9:8: route.name is 1, expected 1 to 64 letters, digits, `-` or `_`\n10:12: upstream is 2, expected a text in quotes",
        ),
    ] {
        assert_eq!(problems(&file("", "", route)), told, "{route}");
    }
}

#[test]
fn five_mistakes_are_five_lines() {
    let text = "listen = '127.0.0.1'\n[upstream.up]\nendpoints = ['https://a']\nretry_budget = 10%\n\
                [[route]]\nname = 'r'\nupstream = 'up'\ndeadlin = '1s'\ntimeout.attempt = '1 s'\n";
    assert_eq!(
        problems(text),
        "1:10: listen is \"127.0.0.1\", expected an address with a port such as \"127.0.0.1:8080\"\n\
         3:14: endpoint \"https://a\": https is not supported yet, expected http://\n\
         4:16: `10%` is no value; as text it needs quotes: \"10%\"\n\
         8:1: unknown field `deadlin`, did you mean `deadline`?\n\
         9:19: timeout.attempt is \"1 s\", expected a duration in quotes such as \"250ms\", \"1.5s\" or \"1m30s\""
    );
}

#[test]
fn all_mistakes_in_the_patterns_are_told_at_once() {
    let text = "\
[upstream.up]
endpoints = ['http://a']
circuit_breaker = { failures = 0, failure_rate = '150%', slow_rate = '10%', over = 1025, minimum_calls = 0, open_for = '0s', open_jitter = '200%', half_open_calls = 256, slow_afer = '1s' }
[[route]]
name = 'a'
upstream = 'up'
rate_limit = { algorithm = 'token_bukcet', capacity = -1, rate = '5/0s', by = 'rout', max_keys = 0 }
priority = 'hgih'
retry = { on = ['502', '99', 'timeuot'], jitter = 'fulll', strategy = 'exponental', max_retries = 101 }
bulkhead = { max_concurrent = 9, max_queue = 4294967296, max_wait = '0s', max_run = '0s', priority = 'low', reserves = { hihg = 1, high = -1 } }
[[route]]
name = 'b'
match.path = '/b'
upstream = 'up'
rate_limit = { algorithm = 'sliding_window', limit = 9, window = '0s', buckets = 61 }
priority = 'header:'
bulkhead = 'databse'
";
    let classes =
        "\"critical\", \"high\", \"normal\", \"low\", \"background\" or \"header:x-priority\"";
    let on = "\"connect\", \"reset\", \"timeout\" or a status from \"400\" to \"599\"";
    let whole = "expected a whole number, 0 to 4294967295";
    assert_eq!(
        problems(text).lines().collect::<Vec<_>>(),
        [
            "3:19: circuit_breaker.slow_after is not set, expected a duration such as 1s, because slow_rate is set",
            "3:32: circuit_breaker.failures is 0, expected at least 1",
            "3:50: circuit_breaker.failure_rate is 150%, expected more than 0%, up to 100%",
            "3:84: circuit_breaker.over is 1025, expected 1 to 1024 calls",
            "3:106: circuit_breaker.minimum_calls is 0, expected at least 1",
            "3:120: circuit_breaker.open_for is 0s, expected more than 0s, such as 60s",
            "3:140: circuit_breaker.open_jitter is 200%, expected 0% to 100%",
            "3:166: circuit_breaker.half_open_calls is 256, expected 1 to 255",
            "3:171: unknown field `circuit_breaker.slow_afer`, did you mean `slow_after`?",
            "7:28: rate_limit.algorithm is \"token_bukcet\", expected \"token_bucket\", \"leaky_bucket\" or \"sliding_window\"; did you mean \"token_bucket\"?",
            "7:55: rate_limit.capacity is -1, expected a whole number of tokens",
            "7:66: rate_limit.rate is \"5/0s\", expected a rate in quotes such as \"100/s\", \"6000/m\" or \"1/3s\"",
            "7:79: rate_limit.by is \"rout\", expected \"client\", \"route\" or \"header:x-api-key\"; did you mean \"route\"?",
            "7:98: rate_limit.max_keys is 0, expected 1 to 1000000",
            &format!("8:12: priority is \"hgih\", expected {classes}; did you mean \"high\"?"),
            &format!("9:24: retry.on is \"99\", expected {on}"),
            &format!("9:30: retry.on is \"timeuot\", expected {on}; did you mean \"timeout\"?"),
            "9:51: retry.jitter is \"fulll\", expected \"full\", \"equal\", \"decorrelated\" or a number from 0 to 1; did you mean \"full\"?",
            "9:71: retry.strategy is \"exponental\", expected \"exponential\", \"linear\" or \"fibonacci\"; did you mean \"exponential\"?",
            "9:99: retry.max_retries is 101, expected 0 to 100",
            &format!("10:46: bulkhead.max_queue is 4294967296, {whole}"),
            "10:69: bulkhead.max_wait is 0s, expected more than 0s",
            "10:85: bulkhead.max_run is 0s, expected more than 0s, or none",
            "10:102: bulkhead.priority is \"low\", expected true or false",
            "10:122: unknown field `bulkhead.reserves.hihg`, did you mean `high`?",
            &format!("10:139: bulkhead.reserves.high is -1, {whole}"),
            "15:66: rate_limit.window is 0s, expected more than 0",
            "15:82: rate_limit.buckets is 61, expected 1 to 60: each key has a window of its own (10 free a place at most 10% late)",
            "16:12: priority is \"header:\", expected \"header:\" and the name of a field, such as \"header:x-priority\"",
            "17:12: bulkhead is \"databse\", expected a table such as { max_concurrent = 100 }, true, false, \"database\", \"llm\", \"external_api\" or \"file_operations\"; did you mean \"database\"?",
        ]
    );
}

#[test]
fn what_could_not_be_read_is_not_called_missing() {
    // The header that is broken may be the one the route needs.
    assert_eq!(
        problems(
            "[upstream.up\nendpoints = ['http://a']\n[[route]]\nname = 'r'\nupstream = 'up'\n"
        ),
        "1:13: unclosed table, expected `]`"
    );
    assert_eq!(
        problems("[upstream.up]\nendpoints = [\n[[route]]\nname = 1\n"),
        "2:13: this `[` is never closed"
    );
}

#[test]
fn flags_alone_make_the_same_gateway() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let flags = Config::proxy(&["http://a", "http://b:81"], listen, Some(listen)).unwrap();
    let file = Config::from_toml(
        "[upstream.default]\nendpoints = ['http://a', 'http://b:81']\n[[route]]\nname = 'default'\nupstream = 'default'",
        "f",
    )
    .unwrap();
    assert_eq!((flags.listen, flags.admin), (listen, Some(listen)));
    assert_eq!((flags.upstreams, flags.routes), (file.upstreams, file.routes));
    let origins: Vec<_> =
        flags.origins.iter().map(|(field, origin)| format!("{field} {origin}")).collect();
    assert_eq!(
        origins,
        ["admin.listen --admin", "listen --listen", "upstream.default.endpoints --to"]
    );

    let fixed = "127.0.0.1:1".parse().unwrap();
    for (to, admin, told) in [
        (&[] as &[&str], None, "no --to, expected such as --to http://10.0.0.1:8080"),
        (&["https://a"], None, "--to https://a: https is not supported yet, expected http://"),
        (
            &["http://a/b"],
            None,
            "--to http://a/b: a path is not supported yet, expected http://host:port",
        ),
        (&["http://a", "http://a:80"], None, "--to http://a:80: this endpoint is given twice"),
        (&["http://a"], Some(fixed), "--admin 127.0.0.1:1: expected another address than --listen"),
    ] {
        assert_eq!(Config::proxy(to, fixed, admin).unwrap_err().to_string(), told);
    }
}

#[test]
fn what_follows_is_told_with_its_figures() {
    let told = |config: &Config| -> Vec<String> {
        config.consequences().iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        told(&Config::from_toml(WHOLE, "f").unwrap()),
        [
            // Timeouts are not in this route's `retry.on`, so nothing follows a hang.
            "route orders: if an endpoint hangs, the call ends after at most 3s",
            "route orders: takes at most 7 requests at once, and up to 3 more wait, for each attempt at most 2s",
            "route rest: if an endpoint hangs, the call ends after at most 5s",
            "upstream orders: when it fails, gets at most 1.2 attempts per request, and 3 retries once",
            "upstream plain: has one endpoint, and fails with it",
        ]
    );
    let two = "endpoints = ['http://a', 'http://b']";
    let failover = |route: &str| {
        let Consequence::Failover { one, all, .. } = good("", two, route).consequences().remove(0)
        else {
            panic!("{route}")
        };
        (one, all)
    };
    assert_eq!(failover(""), (Some(MS(5_025)), SECS(15)));
    assert_eq!(failover("deadline = 'none'"), (Some(MS(5_025)), MS(15_075)));
    let micros = Duration::from_micros;
    let jittered = "timeout.attempt = '1s'\nretry.jitter = 0.5";
    assert_eq!(failover(jittered), (Some(micros(1_037_500)), micros(3_112_500)));
    assert_eq!(failover("deadline = '5s'"), (None, SECS(5)));
    assert_eq!(failover("retry.max_retries = 0"), (None, SECS(5)));
    assert_eq!(failover("retry.max_elapsed = '4s'"), (None, SECS(5)), "no retry starts after that");
    let once = "deadline = 'none'\nretry.max_elapsed = '6s'";
    assert_eq!(failover(once), (Some(MS(5_025)), MS(10_025)));
    let decorrelated = "timeout.attempt = '1s'\nretry = { jitter = 'decorrelated' }";
    // Three times the delay before, and the first before it was the base.
    assert_eq!(failover(decorrelated), (Some(MS(1_075)), MS(3_300)));
    for (route, told) in [
        (
            "",
            "takes at most 100 requests at once, and up to 200 more wait, for each attempt at most 5s",
        ),
        (
            "deadline = '2s'\nbulkhead = 'llm'",
            "takes at most 10 requests at once, and up to 100 more wait, for each attempt at most 2s",
        ),
        ("bulkhead.max_queue = 0", "takes at most 100 requests at once, and no more wait"),
        (
            "bulkhead = { max_concurrent = 9, max_queue = 1, reserves = { critical = 3, normal = 4 } }",
            "takes at most 6 requests at once, and up to 1 more wait, for each attempt at most 5s",
        ),
        (
            "priority = 'critical'\nbulkhead = { max_concurrent = 9, max_queue = 0, reserves = { critical = 3, low = 4 } }",
            "takes at most 5 requests at once, and no more wait",
        ),
        (
            "priority = 'header:x-class'\nbulkhead = { max_concurrent = 9, max_queue = 0, reserves = { low = 4 } }",
            "takes at most 9 requests at once, and no more wait",
        ),
    ] {
        assert_eq!(good("", two, route).consequences()[1].to_string(), format!("route r: {told}"));
    }

    let extra = "[upstream.idle]\nendpoints = ['http://i']\n[[route]]\nname = 's'\nmatch.path = '/a'\nupstream = 'up'\nretry = false";
    assert_eq!(
        told(&good("", two, extra)),
        [
            "route r: if one endpoint hangs, another answers after at most 5.025s; if all hang, the call ends \
             after at most 15s",
            "route r: takes at most 100 requests at once, and up to 200 more wait, for each attempt at most 5s",
            "route s: if an endpoint hangs, the call ends after at most 5s",
            "route s: takes at most 100 requests at once, and up to 200 more wait, for each attempt at most 5s",
            "route s: never taken, since route r comes first and takes the same",
            "upstream idle: no route leads to it",
            "upstream up: when it fails, gets at most 1.1 attempts per request, and 3 retries every 10s",
        ]
    );
}

#[test]
fn a_file_cut_anywhere_is_read_or_refused() {
    for (at, _) in WHOLE.char_indices() {
        let last = WHOLE[..at].bytes().filter(|byte| *byte == b'\n').count() as u32 + 1;
        if let Err(problems) = Config::from_toml(&WHOLE[..at], "f") {
            assert!(problems.as_slice().iter().all(|problem| problem.line <= last), "{problems}");
        }
    }
}

proptest! {
    #[test]
    fn no_change_of_a_good_file_panics(
        changes in prop::collection::vec((0..WHOLE.len(), "[\\[\\]{}\"'=.,#\\n\\\\ a1é*/:-]{0,3}", 0..9usize), 1..5),
    ) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, put, cut) in changes {
            let at = at.min(text.len());
            text.splice(at..(at + cut).min(text.len()), put.chars());
        }
        let text: String = text.into_iter().collect();
        match Config::from_toml(&text, "f") {
            Ok(config) => {
                prop_assert!(config.routes.iter().all(|route| route.upstream < config.upstreams.len()));
                prop_assert!(config.upstreams.iter().all(|upstream| !upstream.endpoints.is_empty()));
                let _ = config.consequences();
            }
            Err(problems) => prop_assert!(problems.as_slice().is_sorted()),
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = Config::from_toml(&text, "f");
    }
}
