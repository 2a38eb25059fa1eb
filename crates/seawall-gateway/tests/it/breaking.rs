//! Bodies that break: a client never takes half an answer for a whole one, and each end counts as what it was.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::kit::{Act, Client, End, Proxy, Step, Upstream, until};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HALF_SIZED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
const HALF_CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";

/// Asks, hears half of the answer, and then lets the upstream go on with `step`.
async fn half(read: Duration, request: &str, said: &str, step: Step) -> (String, End) {
    let gate = Arc::new(Notify::new());
    let mut act = Act::then(said, Step::Wait(Arc::clone(&gate)));
    act.1.push(step);
    let upstream = Upstream::start([act]).await;
    let proxy = Proxy::with(&[upstream.addr], |config| config.routes[0].timeout.read = read).await;
    let mut client = Client::connect(proxy.addr).await;
    client.say(request).await;
    client.hear_until("half").await;
    gate.notify_one();
    let heard = client.rest().await;
    // A body that has flowed for a second was good, and its break is counted apart.
    proxy.counted("it broke", |counts| counts.calls.failed + counts.broke_off_late == 1).await;
    heard
}

#[tokio::test]
async fn a_body_cut_by_the_upstream_is_cut_for_the_client() {
    for (said, step) in [
        (HALF_SIZED, Step::Close),
        (HALF_SIZED, Step::Reset),
        (HALF_CHUNKED, Step::Close),
        (HALF_CHUNKED, Step::Reset),
        (HALF_CHUNKED, Step::Say("no chunk".into())),
    ] {
        let (heard, end) = half(LONG, GET, said, step).await;
        assert!(heard.contains("half") && !heard.contains("\r\n0\r\n"), "{heard}");
        assert_eq!(end, End::Reset);
    }
}

#[tokio::test]
async fn a_client_for_whom_the_close_is_the_end_gets_a_reset() {
    let old = "GET / HTTP/1.0\r\n\r\n";
    let (heard, end) = half(LONG, old, HALF_CHUNKED, Step::Close).await;
    assert!(heard.ends_with("\r\n\r\nhalf"), "{heard}");
    assert_eq!(end, End::Reset);
}

#[tokio::test]
async fn silence_between_bytes_breaks_the_body() {
    let (_, end) = half(Duration::from_millis(50), GET, HALF_SIZED, Step::Hang).await;
    assert_eq!(end, End::Reset);
}

#[tokio::test]
async fn a_body_that_breaks_after_it_was_judged_good_is_counted_once_and_held_against_nobody() {
    let gate = Arc::new(Notify::new());
    let mut act = Act::then(HALF_SIZED, Step::Wait(Arc::clone(&gate)));
    act.1.push(Step::Close);
    let upstream = Upstream::start([act]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client.say(GET).await;
    client.hear_until("half").await;
    until("it is judged good", || proxy.breaker(upstream.addr).success_count == 1).await;
    assert_eq!(proxy.counts().broke_off_late, 0);

    gate.notify_one();
    assert_eq!(client.rest().await.1, End::Reset);
    proxy.counted("it has ended", |counts| counts.calls.in_flight == 0).await;
    let counts = proxy.counts();
    assert_eq!(counts.broke_off_late, 1);
    for tally in [counts.calls, counts.attempts] {
        assert_eq!((tally.started, tally.succeeded, tally.failed), (1, 1, 0), "{tally:?}");
    }
    let breaker = proxy.breaker(upstream.addr);
    assert_eq!((breaker.success_count, breaker.failure_count), (1, 0));
    proxy.leaves_nothing(&[&upstream]).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_ignored_and_frees_the_upstream() {
    let upstream = Upstream::start([Act::then(HALF_SIZED, Step::Hang)]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client.say(GET).await;
    client.hear_until("half").await;
    assert_eq!(upstream.open(), 1);
    drop(client);
    proxy.counted("it is nobody's fault", |counts| counts.calls.ignored == 1).await;
    until("the upstream's connection closes", || upstream.open() == 0).await;
    proxy.leaves_nothing(&[&upstream]).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_frees_the_upstream() {
    let upstream = Upstream::start([Act(crate::kit::Reads::Whole, vec![Step::Hang])]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client.say(GET).await;
    until("the request arrives", || upstream.seen().len() == 1).await;
    drop(client);
    until("the upstream's connection closes", || upstream.open() == 0).await;
}
