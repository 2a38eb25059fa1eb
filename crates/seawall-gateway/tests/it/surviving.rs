//! The whole gateway, and what it is for: clients that do not notice what their service goes through.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use seawall::Ratio;
use tokio::{sync::Notify, task::JoinSet};

use crate::kit::{Act, Client, End, Proxy, Reads, Step, Upstream, refusing, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

fn post(field: &str, body: &str) -> String {
    let length = body.len();
    format!("POST / HTTP/1.1\r\nHost: a\r\n{field}Content-Length: {length}\r\n\r\n{body}")
}

fn reset() -> Act {
    Act(Reads::Whole, vec![Step::Reset])
}

#[tokio::test(flavor = "multi_thread")]
async fn one_endpoint_of_three_refusing_is_noticed_by_no_client() {
    let (one, two) = (Upstream::start([Act::ok("1")]).await, Upstream::start([Act::ok("2")]).await);
    let nobody = refusing();
    let gateway = Proxy::with(&[nobody.addr, one.addr, two.addr], |config| {
        // On a starved machine a learned limit cuts what is well, and that is no refusal.
        config.routes[0].timeout.adaptive = false;
    })
    .await;
    let mut clients = JoinSet::new();
    for n in 0..64 {
        let addr = gateway.addr;
        clients.spawn(async move {
            let mut client = Client::connect(addr).await;
            for _ in 0..31 + usize::from(n < 16) {
                let answer = client.ask(GET).await;
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let counts = gateway.counts();
    assert_eq!((counts.calls.started, counts.calls.succeeded), (2_000, 2_000));
    assert!(gateway.endpoint(nobody.addr).attempts > 0, "it was never picked");
    assert_eq!(gateway.retries(), 0, "what reached nobody is not paid for");
    gateway.leaves_nothing(&[&one, &two]).await;
}

#[tokio::test]
async fn ten_open_streams_fill_ten_places_until_their_last_byte() {
    let upstream = Upstream::start([Act::then(HALF, Step::Hang)]).await;
    let gateway = Proxy::with(&[upstream.addr], |config| {
        config.routes[0].bulkhead = Some(seawall::BulkheadConfig {
            max_concurrent: 10,
            max_queue: 0,
            ..seawall::BulkheadConfig::default()
        });
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(gateway.addr).await;
        client.say(GET).await;
        client.hear_until("half").await;
        open.push(client);
    }
    let mut late = Client::connect(gateway.addr).await;
    let refused = late.ask(GET).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("error=connection_limit_reached"), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");

    drop(open.pop());
    until("a free place", || gateway.inside() == 9).await;
    late.say(GET).await;
    late.hear_until("half").await;
    drop((open, late));
    until("all places free", || gateway.inside() == 0).await;
    let counts = gateway.counts().calls;
    // A stream that has flowed for a second was good, whoever ends it.
    assert_eq!((counts.ignored + counts.succeeded, counts.refused), (11, 1), "{counts:?}");
    gateway.leaves_nothing(&[&upstream]).await;
}

#[tokio::test]
async fn an_endpoint_that_always_cuts_bodies_opens_its_breaker() {
    let upstream = Upstream::start([Act::then(HALF, Step::Close)]).await;
    let gateway = Proxy::with(&[upstream.addr], |config| {
        config.upstreams[0].circuit_breaker.as_mut().unwrap().open_jitter = Ratio::ZERO;
    })
    .await;
    for _ in 0..5 {
        let mut client = Client::connect(gateway.addr).await;
        client.say(GET).await;
        assert_eq!(client.rest().await.1, End::Reset, "half an answer never looks whole");
    }
    until("five failures", || gateway.counts().calls.failed == 5).await;
    let refused = Client::connect(gateway.addr).await.ask(GET).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("error=destination_unavailable"), "{refused}");
    assert!(refused.contains("retry-after: 5\r\n"), "{refused}");
    assert_eq!(upstream.accepted(), 5);
    gateway.leaves_nothing(&[&upstream]).await;
}

#[tokio::test]
async fn a_download_three_times_longer_than_its_deadline_passes() {
    let gate = Arc::new(Notify::new());
    let mut act = Act::then(HALF, Step::Wait(gate.clone()));
    act.1.push(Step::Say("half".into()));
    let upstream = Upstream::start([act]).await;
    let deadline = Duration::from_secs(1);
    let gateway = Proxy::with(&[upstream.addr], |config| {
        config.routes[0].deadline = Some(deadline);
    })
    .await;
    let begun = Instant::now();
    let mut client = Client::connect(gateway.addr).await;
    client.say(GET).await;
    client.hear_until("half").await;
    until("three deadlines", || begun.elapsed() >= deadline * 3).await;
    gate.notify_one();
    assert!(client.hear().await.ends_with("\r\n\r\nhalfhalf"));
    assert_eq!(gateway.counts().calls.succeeded, 1);
    drop(client);
    gateway.leaves_nothing(&[&upstream]).await;
}

#[tokio::test]
async fn only_what_is_safe_is_sent_twice() {
    for (request, status, sent) in [
        (GET.to_owned(), "200", 2),
        (post("", "pay"), "502", 1),
        (post("Idempotency-Key: k\r\n", "pay"), "200", 2),
        (post("Idempotency-Key: k\r\n", &"x".repeat(100 << 10)), "502", 1),
    ] {
        let upstream = Upstream::start([reset(), Act::ok("paid")]).await;
        let gateway = Proxy::start(&[upstream.addr]).await;
        let answer = Client::connect(gateway.addr).await.ask(&request).await;
        let shown = &request[..request.len().min(80)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {answer}");
        let seen = upstream.seen();
        assert_eq!(seen.len(), sent, "{shown}");
        assert_eq!(seen.first(), seen.last(), "byte for byte");
        if status == "502" {
            assert!(answer.contains("error=connection_terminated"), "{answer}");
            assert!(answer.contains("\r\nretry-after: 1\r\n"), "no moment is known: {answer}");
        }
        gateway.leaves_nothing(&[&upstream]).await;
    }
}

#[tokio::test]
async fn a_post_that_never_arrived_goes_to_another_endpoint() {
    let upstream = Upstream::start([Act::ok("paid")]).await;
    let nobody = refusing();
    let gateway = Proxy::start(&[nobody.addr, upstream.addr]).await;
    for _ in 0..20 {
        let answer = Client::connect(gateway.addr).await.ask(post("", "pay")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(upstream.seen().len(), 20);
    assert!(gateway.endpoint(nobody.addr).attempts > 0, "it was never picked");
    gateway.leaves_nothing(&[&upstream]).await;
}

#[tokio::test]
async fn a_hang_ends_with_the_deadline_and_says_so() {
    let upstream = Upstream::start([Act(Reads::Whole, vec![Step::Hang])]).await;
    let gateway = Proxy::with(&[upstream.addr], |config| {
        config.routes[0].deadline = Some(Duration::from_millis(200));
    })
    .await;
    let answer = Client::connect(gateway.addr).await.ask(GET).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(answer.contains("error=http_response_timeout"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "no moment is known: {answer}");
    let counts = gateway.counts();
    assert_eq!((counts.deadline_passed, counts.attempts.failed), (1, 1), "older than half of it");
    gateway.leaves_nothing(&[&upstream]).await;
}

#[tokio::test]
async fn an_upstreams_own_answer_is_passed_on() {
    let later =
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 600\r\ncontent-length: 5\r\n\r\nlater";
    let ill = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nill";
    let gone = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone";
    for (said, sent) in [(later, 1), (ill, 3), (gone, 1)] {
        let upstream = Upstream::start([Act::answer(said)]).await;
        let gateway = Proxy::start(&[upstream.addr]).await;
        let answer = Client::connect(gateway.addr).await.ask(GET).await;
        let (first, body) = (said.lines().next().unwrap(), said.rsplit("\r\n").next().unwrap());
        assert!(answer.starts_with(first) && answer.ends_with(body), "{answer}");
        assert!(!answer.contains("proxy-status"), "not ours: {answer}");
        assert_eq!(upstream.seen().len(), sent, "{first}");
        gateway.leaves_nothing(&[&upstream]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_clients_and_upstreams_do_nothing_is_left_behind() {
    let moody =
        [Act::ok("a"), reset(), Act::answer("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")];
    let script = (0..200).map(|n| moody[n * 7 % 3].clone()).chain([Act::ok("end")]);
    let upstream = Upstream::start(script).await;
    let nobody = refusing();
    let gateway = Proxy::with(&[upstream.addr, nobody.addr], |config| {
        let breaker = config.upstreams[0].circuit_breaker.as_mut().unwrap();
        breaker.open_for = Duration::from_millis(20);
    })
    .await;
    let mut clients = JoinSet::new();
    for n in 0..16 {
        let addr = gateway.addr;
        clients.spawn(async move {
            for k in 0..20 {
                let mut client = Client::connect(addr).await;
                client.say(if (n + k) % 3 == 0 { post("", "x") } else { GET.to_owned() }).await;
                if (n * k) % 11 != 1 {
                    client.hear().await;
                }
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    gateway.leaves_nothing(&[&upstream]).await;
}
