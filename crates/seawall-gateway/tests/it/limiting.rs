//! Rate limits of routes: who asks too often is told so, and when to come again; nobody else notices.

use std::time::{Duration, Instant};

use seawall::core::{Algorithm, Draws, Rate, RateLimitConfig};
use seawall_gateway::{
    Config,
    config::{LimitBy, RouteLimitConfig},
};

use crate::kit::{Act, Client, Proxy, Upstream, refusing};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A bucket that does not fill while a test runs.
fn slow(capacity: u64) -> RateLimitConfig {
    RateLimitConfig {
        capacity: Some(capacity),
        rate: Rate::new(1, Duration::from_secs(3_600)),
        ..RateLimitConfig::default()
    }
}

fn by_key() -> LimitBy {
    LimitBy::Header("x-api-key".parse().unwrap())
}

async fn limited(upstream: &Upstream, limit: RouteLimitConfig) -> Proxy {
    Proxy::with(&[upstream.addr], |config| config.routes[0].rate_limit = Some(limit)).await
}

fn with_key(key: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\n\r\n")
}

fn passed(answer: &str) -> bool {
    assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 429 "), "{answer}");
    answer.starts_with("HTTP/1.1 200 ")
}

/// The value of a field that is there once.
fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let values: Vec<_> =
        lines.filter(|(found, _)| *found == name).map(|(_, value)| value).collect();
    let [value] = values.try_into().unwrap_or_else(|found| panic!("{name}: {found:?}\n{answer}"));
    value
}

fn seconds(answer: &str) -> u64 {
    field(answer, "retry-after").parse().unwrap()
}

#[tokio::test]
async fn a_burst_of_the_capacity_passes_and_the_next_is_told_when_to_come_again() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let proxy = limited(&upstream, RouteLimitConfig { limit: slow(3), ..Default::default() }).await;
    let mut client = Client::connect(proxy.addr).await;
    for left in [2, 1] {
        let answer = client.ask(GET).await;
        assert!(passed(&answer) && answer.ends_with("\r\n\r\nhi"), "{answer}");
        assert_eq!(field(&answer, "ratelimit"), format!("\"default\";r={left}"));
        assert_eq!(field(&answer, "ratelimit-policy"), "\"default\";q=3;w=10800");
    }
    let last = client.ask(GET).await;
    assert!(
        passed(&last) && field(&last, "ratelimit").starts_with("\"default\";r=0;t=3"),
        "{last}"
    );

    let refused = client.ask(GET).await;
    assert!(refused.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{refused}");
    // An hour, less what the test has taken.
    let wait = seconds(&refused);
    assert!((3_500..=3_600).contains(&wait), "{refused}");
    assert_eq!(field(&refused, "ratelimit"), format!("\"default\";r=0;t={wait}"));
    assert_eq!(field(&refused, "ratelimit-policy"), "\"default\";q=3;w=10800");
    assert_eq!(field(&refused, "content-type"), "application/problem+json");
    assert!(field(&refused, "proxy-status").starts_with("seawall; error=http_request_denied; "));
    assert!(refused.contains("\"status\":429"), "{refused}");
    assert!(!refused.contains("connection: close"), "{refused}");

    // What was refused has reached nothing, and counts as nothing but that.
    assert_eq!(upstream.seen().len(), 3);
    proxy.counted("three calls", |counts| counts.calls.succeeded == 3).await;
    assert_eq!(proxy.counts().calls.started, 3);
    let seen = proxy.limit();
    assert_eq!((seen.algorithm, seen.allowed, seen.rejected), ("token_bucket", 3, 1));
    let keys = seen.keys.unwrap();
    assert_eq!((keys.in_use, keys.max_keys, keys.overflowed), (1, 10_000, 0));
    drop(client);
    proxy.leaves_nothing(&[&upstream]).await;
}

#[tokio::test]
async fn two_clients_do_not_share_and_two_connections_of_one_do() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let proxy = limited(&upstream, RouteLimitConfig { limit: slow(2), ..Default::default() }).await;
    for (source, passes) in [
        ("127.0.0.1", true),
        ("127.0.0.1", true),
        ("127.0.0.1", false),
        ("127.0.0.2", true),
        ("127.0.0.2", true),
        ("127.0.0.2", false),
        ("127.0.0.1", false),
    ] {
        let mut client = Client::connect_from(source, proxy.addr).await;
        // What it says of itself is no way around.
        let lies = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n";
        assert_eq!(passed(&client.ask(lies).await), passes, "{source}");
    }
    assert_eq!(proxy.limit().keys.unwrap().in_use, 2);
}

#[tokio::test]
async fn where_each_attempt_is_limited_retries_take_from_the_limit_of_their_request() {
    for (limit_each_attempt, left) in [(false, 4), (true, 3)] {
        let upstream = Upstream::start([unavailable(), Act::ok("hi")]).await;
        let limit = RateLimitConfig { limit_each_attempt, ..slow(5) };
        let limit = RouteLimitConfig { by: by_key(), limit, ..Default::default() };
        let proxy = limited(&upstream, limit).await;
        let mut client = Client::connect(proxy.addr).await;
        let answer = client.ask(with_key("a")).await;
        assert!(passed(&answer), "{answer}");
        assert_eq!(upstream.seen().len(), 2, "it was retried");
        assert_eq!(field(&answer, "ratelimit"), format!("\"default\";r={left}"));
        assert_eq!(proxy.limit().allowed, 5 - left);
        let other = client.ask(with_key("b")).await;
        assert_eq!(field(&other, "ratelimit"), "\"default\";r=4", "it has a limit of its own");
    }
}

#[tokio::test]
async fn a_retry_that_the_limit_would_keep_waiting_too_long_leaves_the_upstreams_answer() {
    let upstream = Upstream::start([unavailable()]).await;
    let limit = RateLimitConfig { limit_each_attempt: true, ..slow(2) };
    let limit = RouteLimitConfig { limit, ..Default::default() };
    let proxy = limited(&upstream, limit).await;
    let mut client = Client::connect(proxy.addr).await;
    let answer = client.ask(GET).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("later"), "{answer}");
    assert_eq!(upstream.seen().len(), 2, "one retry, of two there might have been");
    assert!(field(&answer, "ratelimit").starts_with("\"default\";r=0;t=3"), "{answer}");
    proxy.counted("its end", |counts| counts.calls.failed == 1).await;
    let refused = client.ask(GET).await;
    assert!(!passed(&refused), "{refused}");
    let seen = proxy.limit();
    assert_eq!((seen.allowed, seen.rejected), (2, 1));
    drop(client);
    proxy.leaves_nothing(&[&upstream]).await;
}

/// An upstream's own 503, for which there are retries.
fn unavailable() -> Act {
    Act::answer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\n\r\nlater")
}

#[tokio::test]
async fn by_route_all_clients_share() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let limit = RouteLimitConfig { by: LimitBy::Route, limit: slow(2), ..Default::default() };
    let proxy = limited(&upstream, limit).await;
    for (source, passes) in [("127.0.0.1", true), ("127.0.0.2", true), ("127.0.0.3", false)] {
        let mut client = Client::connect_from(source, proxy.addr).await;
        assert_eq!(passed(&client.ask(GET).await), passes, "{source}");
    }
    let seen = proxy.limit();
    assert_eq!((seen.limit, seen.available, seen.keys), (2, 0, None));
    assert!(seen.retry_after_seconds.unwrap() > 3_000.0);
}

#[tokio::test]
async fn each_value_of_a_field_has_its_limit_and_those_without_or_with_two_share_one_each() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let limit = RouteLimitConfig { by: by_key(), limit: slow(1), ..Default::default() };
    let proxy = limited(&upstream, limit).await;
    let mut client = Client::connect(proxy.addr).await;
    // Kept as they are up to 64 bytes, and hashed whole beyond.
    let [kept, long, other] = [64, 65, 5_000].map(|length| "k".repeat(length));
    let last = format!("{kept}l");
    let two = |first, second| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: {first}\r\nx-api-key: {second}\r\n\r\n")
    };
    for (request, passes) in [
        (with_key("a"), true),
        (with_key("b"), true),
        (with_key("a"), false),
        (with_key(&kept), true),
        (with_key(&long), true),
        (with_key(&last), true),
        (with_key(&other), true),
        (with_key(&kept), false),
        (with_key(&long), false),
        (with_key(&other), false),
        (GET.to_owned(), true),
        (GET.to_owned(), false),
        (with_key(""), true),
        (two("a", "1"), true),
        (two("2", "a"), false),
        // The connection's own fields are gone before: an upstream sees no key either.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX-Api-Key: c\r\nConnection: x-api-key\r\n\r\n".to_owned(),
            false,
        ),
    ] {
        let answer = client.ask(&request).await;
        assert_eq!(passed(&answer), passes, "{}\n{answer}", &request[..request.len().min(99)]);
    }
    let mut other = Client::connect_from("127.0.0.2", proxy.addr).await;
    assert!(!passed(&other.ask(GET).await), "who it is that says nothing makes no difference");
}

#[tokio::test]
async fn a_flood_of_made_up_values_is_bounded_and_the_key_that_was_there_stays_limited() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let limit = RouteLimitConfig { by: by_key(), limit: slow(2), max_keys: 50 };
    let proxy = limited(&upstream, limit).await;
    let mut client = Client::connect(proxy.addr).await;
    for passes in [true, true, false] {
        assert_eq!(passed(&client.ask(with_key("mine")).await), passes);
    }
    let mut flood = 0;
    for number in 0..1_000 {
        let made_up = Draws::nth(7, number).below(u64::MAX);
        flood += u32::from(passed(&client.ask(with_key(&made_up.to_string())).await));
    }
    // One each for those that found a place, and the two of the limit that the others share.
    assert_eq!(flood, 49 + 2);
    assert!(!passed(&client.ask(with_key("mine")).await), "it is still known");
    let seen = proxy.limit();
    assert_eq!((seen.allowed, seen.rejected), (2 + 51, 1_000 - 51 + 2));
    let keys = seen.keys.unwrap();
    assert_eq!((keys.in_use, keys.max_keys, keys.overflowed, keys.evicted), (50, 50, 951, 0));
    assert_eq!(upstream.seen().len(), 53);
}

#[tokio::test]
async fn in_the_long_run_a_greedy_client_gets_the_rate_and_no_more() {
    const RATE: u64 = 100;
    let upstream = Upstream::start([Act::ok("hi")]).await;
    // Ten seconds' worth: no stall of this machine makes it full again.
    let limit = RateLimitConfig {
        capacity: Some(10 * RATE),
        rate: Some(Rate::per_second(RATE)),
        ..RateLimitConfig::default()
    };
    let proxy = limited(&upstream, RouteLimitConfig { limit, ..Default::default() }).await;
    let mut client = Client::connect(proxy.addr).await;
    // From one refusal to another the bucket goes from less than a token to less than a token.
    let first = refusal(&mut client).await;
    let mut gained = 0;
    let last = loop {
        let next = refusal(&mut client).await;
        gained += next.passed_before;
        if gained >= RATE {
            break next;
        }
    };
    let least = last.asked.duration_since(first.heard).as_secs_f64() * RATE as f64;
    let most = last.heard.duration_since(first.asked).as_secs_f64() * RATE as f64;
    let gained = gained as f64;
    assert!(least - 1.0 < gained && gained < most + 1.0, "{least} < {gained} < {most}");
}

struct Refusal {
    asked: Instant,
    heard: Instant,
    passed_before: u64,
}

/// Asks until it is refused.
async fn refusal(client: &mut Client) -> Refusal {
    let mut passed_before = 0;
    loop {
        let asked = Instant::now();
        if !passed(&client.ask(GET).await) {
            return Refusal { asked, heard: Instant::now(), passed_before };
        }
        passed_before += 1;
    }
}

#[tokio::test]
async fn where_nothing_ever_passes_no_time_is_named() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let zero = RateLimitConfig { rate: Some(Rate::per_second(0)), ..slow(5) };
    let proxy = limited(&upstream, RouteLimitConfig { limit: zero, ..Default::default() }).await;
    let refused = Client::connect(proxy.addr).await.ask(GET).await;
    assert!(!passed(&refused) && !refused.contains("retry-after"), "{refused}");
    assert_eq!(field(&refused, "ratelimit"), "\"default\";r=0");
    assert_eq!(field(&refused, "ratelimit-policy"), "\"default\";q=0");
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn zero_refuses_everything_without_a_time_and_huge_numbers_let_it_pass() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let patterns = [
        ("rate_limit = { capacity = 0 }", 429),
        ("rate_limit = { rate = '0/s' }", 429),
        ("rate_limit = { algorithm = 'leaky_bucket', capacity = 0 }", 429),
        ("rate_limit = { algorithm = 'sliding_window', limit = 0, by = 'route' }", 429),
        ("rate_limit = { algorithm = 'sliding_window', limit = 0, buckets = 60 }", 429),
        ("bulkhead = { max_concurrent = 0, max_queue = 0 }", 503),
        ("bulkhead = { max_concurrent = 0, max_queue = 4294967295 }", 503),
        ("rate_limit = { capacity = 9223372036854775807, rate = '999999999999999999/ns' }", 200),
        ("rate_limit = { algorithm = 'leaky_bucket', rate = '1/2562047h' }", 200),
        (
            "rate_limit = { algorithm = 'sliding_window', limit = 9223372036854775807, window = '2562047h', buckets = 60, max_keys = 1000000 }",
            200,
        ),
        (
            "bulkhead = { max_concurrent = 4294967295, max_queue = 4294967295, max_wait = '2562047h', max_run = '2562047h', reserves = { low = 4294967294 } }",
            200,
        ),
        (
            "deadline = '2562047h'\nretry = { max_retries = 100, base_delay = '2562047h', max_delay = '2562047h' }",
            200,
        ),
    ];
    let mut text = format!(
        "[upstream.up]\nendpoints = ['http://{}']\ncircuit_breaker = {{ failures = 4294967295, \
         over = '2562047h', minimum_calls = 4294967295, open_for = '2562047h', half_open_for = '2562047h', \
         slow_rate = '100%', slow_after = '2562047h', successes = 4294967295, half_open_calls = 255 }}\n",
        upstream.addr
    );
    for (n, (pattern, _)) in patterns.iter().enumerate() {
        text +=
            &format!("[[route]]\nname = 'r{n}'\nupstream = 'up'\nmatch.path = '/{n}'\n{pattern}\n");
    }
    let proxy = Proxy::of(Config::from_toml(&text, "f").expect(&text)).await;
    let mut client = Client::connect(proxy.addr).await;
    for (n, (pattern, status)) in patterns.into_iter().enumerate() {
        let answer = client.ask(&format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{pattern}: {answer}");
        assert!(!answer.contains("\r\nretry-after: "), "{pattern}: {answer}");
    }
    assert_eq!(upstream.seen().len(), 5);
}

#[tokio::test]
async fn a_window_limits_as_well() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let window = RateLimitConfig {
        algorithm: Algorithm::SlidingWindow,
        limit: Some(2),
        window: Some(Duration::from_secs(3_600)),
        buckets: Some(10),
        ..RateLimitConfig::default()
    };
    let proxy = limited(&upstream, RouteLimitConfig { limit: window, ..Default::default() }).await;
    let mut client = Client::connect(proxy.addr).await;
    for passes in [true, true, false] {
        let answer = client.ask(GET).await;
        assert_eq!(passed(&answer), passes, "{answer}");
        assert_eq!(field(&answer, "ratelimit-policy"), "\"default\";q=2;w=3600");
    }
}

#[tokio::test]
async fn what_passes_and_fails_behind_it_says_so_too_and_an_upstreams_own_limit_stays() {
    let gone = refusing();
    let limit = RouteLimitConfig { limit: slow(9), ..Default::default() };
    let proxy = Proxy::with(&[gone.addr], |config| {
        config.routes[0].rate_limit = Some(limit.clone());
    })
    .await;
    let failed = Client::connect(proxy.addr).await.ask(GET).await;
    assert!(failed.starts_with("HTTP/1.1 502 "), "{failed}");
    assert_eq!(field(&failed, "ratelimit"), "\"default\";r=8");

    let upstream = Upstream::start([Act::answer(
        "HTTP/1.1 200 OK\r\nratelimit: \"theirs\";r=4\r\ncontent-length: 0\r\n\r\n",
    )])
    .await;
    let proxy = limited(&upstream, limit).await;
    let answer = Client::connect(proxy.addr).await.ask(GET).await;
    assert!(answer.contains("\r\nratelimit: \"theirs\";r=4\r\n"), "{answer}");
    assert!(answer.contains("\r\nratelimit: \"default\";r=8\r\n"), "{answer}");
}

#[tokio::test]
async fn a_refused_request_with_a_body_leaves_a_connection_of_use() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let limit = RouteLimitConfig { by: by_key(), limit: slow(1), ..Default::default() };
    let proxy = limited(&upstream, limit).await;
    let mut client = Client::connect(proxy.addr).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nX-Api-Key: a\r\nContent-Length: 3\r\n\r\nabc";
    assert!(passed(&client.ask(post).await));
    assert!(!passed(&client.ask(post).await));
    assert!(passed(&client.ask(with_key("b")).await));
    assert_eq!(upstream.seen().len(), 2);
}
