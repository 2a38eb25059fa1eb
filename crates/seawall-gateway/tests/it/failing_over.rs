//! Endpoints that begin to fail beside others that do not, and one that has no others and returns.

use std::{
    iter::repeat_n,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use seawall::{Followed, Heard, Ratio};
use tokio::task::JoinSet;

use crate::kit::{Act, Client, Proxy, Reads, Step, Upstream, refusing, until, within};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn an_endpoint_of_three_begins_to_answer_500_and_no_client_hears_of_it() {
    let ill = Act::answer("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
    one_of_three_turns(ill).await;
}

#[tokio::test]
async fn an_endpoint_of_three_begins_to_hang_and_no_client_hears_of_it() {
    one_of_three_turns(Act(Reads::Whole, vec![Step::Hang])).await;
}

/// Under load one endpoint of three starts to do nothing but `ill`. It is found out by failures of which no
/// client hears, and left alone: its breaker opens, or the picker avoids it before five have failed in a row. All by
/// the presets: what hangs is found by the learned limit, which knows how fast this machine is just now. A limit
/// written here would on a busy one cut what is well.
async fn one_of_three_turns(ill: Act) {
    let turning = Upstream::start(repeat_n(Act::ok("hi"), WELL).chain([ill])).await;
    let sound = [Upstream::start([Act::ok("hi")]).await, Upstream::start([Act::ok("hi")]).await];
    let proxy = Proxy::start(&[turning.addr, sound[0].addr, sound[1].addr]).await;
    assert_eq!(gets(proxy.addr).await, [""; 0]);
    let ill = turning.seen().len() - WELL;
    assert!((1..SHARE / 3).contains(&ill), "{ill} of the {SHARE} it would get if it were well");
    assert_eq!(proxy.counts().calls.succeeded, GETS as u64);
    proxy.leaves_nothing(&[&turning, &sound[0], &sound[1]]).await;
}

/// 2 000 GETs, 64 at a time; what was not answered as it should.
async fn gets(addr: SocketAddr) -> Vec<String> {
    let left = Arc::new(AtomicUsize::new(GETS));
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        let left = Arc::clone(&left);
        clients.spawn(async move {
            let mut client = Client::connect(addr).await;
            let mut errors = Vec::new();
            while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                let answer = client.ask(GET).await;
                if !answer.ends_with("\r\n\r\nhi") {
                    errors.push(answer);
                }
            }
            errors
        });
    }
    clients.join_all().await.concat()
}

#[tokio::test]
async fn a_dead_upstream_is_left_alone_until_the_moment_named_and_recovers_without_help() {
    let open_for = Duration::from_millis(2_500);
    let dead = refusing();
    let addr = dead.addr;
    let proxy = Proxy::with(&[addr], |config| {
        let breaker = config.upstreams[0].circuit_breaker.as_mut().unwrap();
        (breaker.open_for, breaker.open_jitter) = (open_for, Ratio::ZERO);
    })
    .await;
    let mut client = Client::connect(proxy.addr).await;
    let mut last = Instant::now();
    // Each request makes up to three attempts, and five failures open the breaker.
    let mut waits = Vec::new();
    for _ in 0..2 {
        last = Instant::now();
        let answer = client.ask(GET).await;
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
        assert!(answer.contains("error=connection_refused"), "{answer}");
        waits.push(field(&answer, "retry-after").parse().unwrap());
    }
    // Without a known moment a second; the failure that opens the breaker knows its period.
    let known = whole_seconds(open_for.saturating_sub(last.elapsed()))..=whole_seconds(open_for);
    assert!(waits[0] == 1 && known.contains(&waits[1]), "{waits:?}");
    assert_eq!(proxy.breaker(addr).state, "open");
    let opened = last..Instant::now();

    let asked = Instant::now();
    let answer = client.ask(GET).await;
    let at_most = open_for.saturating_sub(asked.duration_since(opened.end));
    let at_least = open_for.saturating_sub(opened.start.elapsed());
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    let told = "no endpoint takes requests at the moment (5 failures in a row)";
    let status = format!(r#"seawall; error=destination_unavailable; details="{told}""#);
    assert_eq!(field(&answer, "proxy-status"), status);
    assert!(answer.ends_with(&format!(r#""detail":"{told}"}}"#)), "{answer}");
    let wait = whole_seconds(at_least)..=whole_seconds(at_most);
    assert!(wait.contains(&field(&answer, "retry-after").parse().unwrap()), "{wait:?}\n{answer}");
    assert_eq!(proxy.endpoint(addr).attempts, 5, "a refusal costs the upstream nothing");

    let upstream = dead.returns([Act::ok("back")]);
    while !client.ask(GET).await.ends_with("\r\n\r\nback") {
        assert!(opened.end.elapsed() < Duration::from_secs(30), "it never recovered");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(opened.start.elapsed() >= open_for, "asked before the moment named");
    for _ in 0..2 {
        assert!(client.ask(GET).await.ends_with("\r\n\r\nback"));
    }
    until("three good probes close it", || proxy.breaker(addr).state == "closed").await;
    drop(client);
    proxy.leaves_nothing(&[&upstream]).await;
}

#[tokio::test]
async fn each_attempt_that_failed_is_told_with_its_endpoint_and_what_followed() {
    let dead = refusing();
    let sound = Upstream::start([Act::ok("hi")]).await;
    let proxy = Proxy::start(&[dead.addr, sound.addr]).await;
    let mut events = proxy.events();
    let mut client = Client::connect(proxy.addr).await;
    assert!(client.ask(GET).await.ends_with("\r\n\r\nhi"), "no client hears of it");
    let Some(Heard::Attempt(tried)) = within("the attempt", events.next()).await else {
        panic!("nothing else has happened")
    };
    assert_eq!(tried.endpoint.as_deref(), Some(&*dead.addr.to_string()));
    assert_eq!((&*tried.name, tried.attempted.number), ("default", 1));
    assert!(matches!(tried.followed, Followed::Retried(_)), "{tried}");
    drop(client);
    proxy.leaves_nothing(&[&sound]).await;
}

#[tokio::test]
async fn a_keyed_post_of_exactly_the_buffer_is_replayed_byte_for_byte() {
    let body: String = ('!'..='~').cycle().take(64 << 10).collect();
    let broken = Upstream::start([Act(Reads::Whole, vec![Step::Reset])]).await;
    let sound = Upstream::start([Act::ok("paid")]).await;
    let proxy = Proxy::start(&[broken.addr, sound.addr]).await;
    let answer = Client::connect(proxy.addr)
        .await
        .ask(format!(
            "POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 7\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert!(answer.ends_with("\r\n\r\npaid"), "{answer}");
    assert!(sound.only() == broken.only() && sound.only().ends_with(&format!("\r\n\r\n{body}")));
    proxy.leaves_nothing(&[&broken, &sound]).await;
}

#[tokio::test]
async fn after_all_retries_the_last_answer_is_passed_on() {
    let says = |body: &str| {
        let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\n";
        Act::answer(format!("{head}{body}"))
    };
    let upstream = Upstream::start([says("1st"), says("2nd"), says("3rd"), says("4th")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let answer = Client::connect(proxy.addr).await.ask(GET).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\n3rd"), "{answer}");
    proxy.leaves_nothing(&[&upstream]).await;
}

fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(": ");
    answer.lines().find_map(value).unwrap_or_else(|| panic!("no {name}: {answer}"))
}

fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_nanos().div_ceil(1_000_000_000) as u64).max(1)
}

const GETS: usize = 2_000;

/// By then the first attempts of all have earned retries for as many as are in progress.
const WELL: usize = 300;
/// What an endpoint of three gets after that, if all are well.
const SHARE: usize = (GETS - 3 * WELL) / 3;
