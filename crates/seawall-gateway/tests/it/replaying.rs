//! Uploads over more than one attempt, and what must not be repeated.

use std::{sync::Arc, time::Duration};

use seawall::{Jitter, Ratio};
use seawall_gateway::Config;
use tokio::sync::Notify;

use crate::kit::{Act, Client, Proxy, Reads, Step, Upstream, refusing, until};

#[tokio::test]
async fn an_upload_cut_midway_starts_over_and_goes_on_with_what_the_client_still_sends() {
    for (fields, parts, body) in [
        ("Content-Length: 10", ["first", "-last"], "\r\n\r\nfirst-last"),
        (
            "Transfer-Encoding: chunked",
            ["5\r\nfirst\r\n", "5\r\n-last\r\n0\r\n\r\n"],
            "\r\n\r\n5\r\nfirst\r\n5\r\n-last\r\n0\r\n\r\n",
        ),
    ] {
        let broken = Upstream::start([Act(Reads::Body(5), vec![Step::Reset])]).await;
        let sound = Upstream::start([Act::ok("whole")]).await;
        let proxy = Proxy::start(&[broken.addr, sound.addr]).await;
        let mut client = Client::connect(proxy.addr).await;
        client.say(format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{}", parts[0])).await;
        until("the second attempt", || sound.accepted() == 1).await;
        let answer = client.ask(parts[1]).await;
        assert!(answer.ends_with("\r\n\r\nwhole"), "{answer}");
        assert!(broken.only().contains("first"));
        let seen = sound.only();
        assert!(seen.ends_with(body), "{seen}");
        assert!(seen.contains(&format!("\r\n{}\r\n", fields.to_ascii_lowercase())), "{seen}");
    }
}

#[tokio::test]
async fn an_attempt_cut_by_its_limit_hands_the_upload_on() {
    let slow = Upstream::start([Act(Reads::Whole, vec![Step::Hang])]).await;
    let sound = Upstream::start([Act::ok("whole")]).await;
    let proxy = Proxy::with(&[slow.addr, sound.addr], |config| {
        config.routes[0].timeout.attempt = Duration::from_secs(1);
    })
    .await;
    let mut client = Client::connect(proxy.addr).await;
    let answer = client.ask("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(sound.only().ends_with("\r\n\r\nabcdef"));
    until("the first is closed", || slow.open() == 0).await;
}

#[tokio::test]
async fn a_client_slow_to_send_is_told_so_at_the_deadline_and_no_endpoint_is_blamed() {
    let upstream = Upstream::start((0..5).map(|_| Act::ok("never"))).await;
    let proxy = Proxy::with(&[upstream.addr], |config| {
        config.routes[0].timeout.attempt = Duration::from_millis(20);
        config.routes[0].deadline = Some(Duration::from_millis(200));
    })
    .await;
    for n in 1..=5 {
        let mut client = Client::connect(proxy.addr).await;
        client.say("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").await;
        let (answer, _) = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(upstream.accepted(), n, "no retry, and the broken-off connection is not kept");
    }
    assert_eq!(proxy.counts().attempts.ignored, 5);
    assert_eq!(proxy.breaker(upstream.addr).failure_count, 0);
}

#[tokio::test]
async fn a_silent_client_is_given_up_without_a_deadline_too_and_holds_no_place() {
    let upstream = Upstream::start([Act(Reads::Whole, vec![Step::Hang]), Act::ok("hi")]).await;
    let proxy = Proxy::with(&[upstream.addr], |config| {
        config.routes[0].deadline = None;
        config.routes[0].timeout.read = Duration::from_millis(200);
        config.routes[0].timeout.attempt = Duration::from_millis(50);
        config.routes[0].bulkhead.as_mut().unwrap().max_concurrent = 1;
    })
    .await;
    let mut client = Client::connect(proxy.addr).await;
    client.say("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").await;
    let (answer, _) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    until("the place is free", || proxy.inside() == 0).await;
    assert_eq!(proxy.counts().attempts.ignored, 1, "no endpoint is blamed");
}

#[tokio::test]
async fn an_upload_that_outgrows_its_buffer_during_the_pause_gets_the_answer_that_was_kept() {
    let go = Arc::new(Notify::new());
    let busy = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\n";
    let steps = vec![Step::Say(busy.into()), Step::Wait(go.clone()), Step::Say("come back".into())];
    let busy = Upstream::start([Act(Reads::Body(3), steps)]).await;
    let proxy = Proxy::with(&[busy.addr], |config| {
        config.routes[0].replay_buffer = 64;
        let retry = config.routes[0].retry.as_mut().unwrap();
        (retry.base_delay, retry.jitter) =
            (Duration::from_millis(500), Jitter::Fraction(Ratio::ZERO));
    })
    .await;
    let mut client = Client::connect(proxy.addr).await;
    client.say("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 103\r\n\r\nabc").await;
    proxy.counted("the first answer", |counts| counts.attempts.failed == 1).await;
    assert_eq!(proxy.retries(), 1, "a retry is granted");
    client.say("d".repeat(100)).await;
    go.notify_one();
    let answer = client.hear().await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.ends_with("come back"), "the upstream's own: {answer}");
    assert_eq!(proxy.retries(), 0, "and paid back");
}

#[tokio::test]
async fn trailers_reach_the_second_attempt() {
    let broken = Upstream::start([Act(Reads::Whole, vec![Step::Reset])]).await;
    let sound = Upstream::start([Act::ok("whole")]).await;
    let proxy = Proxy::start(&[broken.addr, sound.addr]).await;
    Client::connect(proxy.addr)
        .await
        .ask(
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
        )
        .await;
    for seen in [broken.only(), sound.only()] {
        assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"), "{seen}");
    }
}

#[tokio::test]
async fn past_the_limit_an_upload_is_not_repeated() {
    let broken = Upstream::start([Act(Reads::Whole, vec![Step::Reset])]).await;
    let unasked = Upstream::start([Act::ok("never")]).await;
    let short = |config: &mut Config| config.routes[0].replay_buffer = 64;
    let proxy = Proxy::with(&[broken.addr, unasked.addr], short).await;
    let body = "a".repeat(65);
    let answer = Client::connect(proxy.addr)
        .await
        .ask(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n{body}"))
        .await;
    assert!(answer.contains("error=connection_terminated"), "{answer}");
    assert_eq!(unasked.accepted(), 0);
}

#[tokio::test]
async fn an_upload_of_any_size_moves_on_from_an_endpoint_that_never_took_a_byte() {
    let sound = Upstream::start([Act::ok("whole")]).await;
    let nobody = refusing();
    let short = |config: &mut Config| config.routes[0].replay_buffer = 64;
    let proxy = Proxy::with(&[nobody.addr, sound.addr], short).await;
    let body = "a".repeat(1 << 20);
    let answer = Client::connect(proxy.addr)
        .await
        .ask(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        .await;
    assert!(answer.ends_with("\r\n\r\nwhole"), "{answer}");
    assert!(sound.only().ends_with(&body));
}
