//! Bodies that break: a client never takes half an answer for a whole one, and the watcher learns why.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::kit::{Act, Client, End, Proxy, Settings, Step, Upstream, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HALF_SIZED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
const HALF_CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";

/// Asks, hears half of the answer, and then lets the upstream go on with `step`.
async fn half(
    proxy_settings: Settings,
    request: &str,
    said: &str,
    step: Step,
) -> (String, End, String) {
    let gate = Arc::new(Notify::new());
    let mut act = Act::then(said, Step::Wait(Arc::clone(&gate)));
    act.1.push(step);
    let upstream = Upstream::start([act]).await;
    let proxy = Proxy::with(&[upstream.addr], proxy_settings).await;
    let mut client = Client::connect(proxy.addr).await;
    client.say(request).await;
    client.hear_until("half").await;
    gate.notify_one();
    let (heard, end) = client.rest().await;
    (heard, end, proxy.ends(1).await.remove(0))
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
        let (heard, end, told) = half(Settings::default(), GET, said, step).await;
        assert!(heard.contains("half") && !heard.contains("\r\n0\r\n"), "{heard}");
        assert_eq!((end, &*told), (End::Reset, "the body broke off"));
    }
}

#[tokio::test]
async fn a_client_for_whom_the_close_is_the_end_gets_a_reset() {
    let old = "GET / HTTP/1.0\r\n\r\n";
    let (heard, end, told) = half(Settings::default(), old, HALF_CHUNKED, Step::Close).await;
    assert!(heard.ends_with("\r\n\r\nhalf"), "{heard}");
    assert_eq!((end, &*told), (End::Reset, "the body broke off"));
}

#[tokio::test]
async fn silence_between_bytes_breaks_the_body() {
    let settings = Settings { silence_max: Duration::from_millis(50), ..Settings::default() };
    let (_, end, told) = half(settings, GET, HALF_SIZED, Step::Hang).await;
    assert_eq!((end, &*told), (End::Reset, "no byte of the body for 50ms"));
}

#[tokio::test]
async fn a_client_that_leaves_is_told_apart_and_frees_the_upstream() {
    let upstream = Upstream::start([Act::then(HALF_SIZED, Step::Hang)]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client.say(GET).await;
    client.hear_until("half").await;
    assert_eq!(upstream.open(), 1);
    drop(client);
    assert_eq!(proxy.ends(1).await, ["left"]);
    until("the upstream's connection closes", || upstream.open() == 0).await;
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
