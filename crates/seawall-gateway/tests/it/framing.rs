//! What is refused, what is repaired, and what then reaches the upstream.

use crate::kit::{Act, Client, End, Proxy, Reads, Step, Upstream};

/// A request that is neither forwarded nor survived by its connection.
async fn refused(proxy: &Proxy, request: &str) -> String {
    let mut client = Client::connect(proxy.addr).await;
    client.say(request).await;
    client.hear_until("\r\n\r\n").await;
    let (answer, end) = client.rest().await;
    assert_eq!(end, End::Closed, "{request:?}");
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    answer
}

fn assert_status(answer: &str, status: u16, context: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{context:?}\n{answer}");
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    let upstream = Upstream::start([Act::ok("never")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    for (status, request) in [
        (400, "GET / HTTP/1.1\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
        (400, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        (501, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (501, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        (501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na"),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\naa"),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na"),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\n: nameless\r\n\r\n"),
        (400, "GET / a HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ] {
        assert_status(&refused(&proxy, request).await, status, request);
    }
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn a_coding_in_http_1_0_is_refused() {
    let upstream = Upstream::start([Act::ok("never")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client.say("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    let (answer, end) = client.rest().await;
    assert_status(&answer, 400, "HTTP/1.0");
    assert_eq!((end, upstream.accepted()), (End::Closed, 0));
}

#[tokio::test]
async fn heads_too_large_are_refused() {
    let upstream = Upstream::start([Act::ok("never")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let many: String = (0..101).map(|number| format!("X-{number}: 1\r\n")).collect();
    let answer = refused(&proxy, &format!("GET / HTTP/1.1\r\n{many}\r\n")).await;
    assert_status(&answer, 431, "101 fields");

    // One byte more than allowed and no end in sight, so that nothing is left unread at the close.
    let proxy =
        Proxy::with(&[upstream.addr], |config| config.limits.head_bytes_max = 1 << 10).await;
    let start = "GET / HTTP/1.1\r\nX: ";
    let long = format!("{start}{}", "a".repeat((1 << 10) - start.len()));
    assert_status(&refused(&proxy, &long).await, 431, "1 KiB");
    assert_eq!(upstream.accepted(), 0);
}

/// The client says its request and at once another one, as a smuggler would.
async fn followed_by_another(request: &str) -> (Upstream, String) {
    let upstream = Upstream::start([Act::ok("one")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client.say(format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    let answer = client.hear().await;
    let (rest, _) = client.rest().await;
    assert_eq!(rest, "", "a second answer");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    (upstream, answer)
}

#[tokio::test]
async fn a_length_beside_a_coding_is_gone_and_the_connection_closes() {
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n3\r\nabc\r\n0\r\n\r\n");
        let (upstream, answer) = followed_by_another(&request).await;
        assert_status(&answer, 200, fields);
        let seen = upstream.only();
        assert!(!seen.contains("content-length"), "{seen}");
        assert_eq!(seen.matches("transfer-encoding: chunked\r\n").count(), 1, "{seen}");
        assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{seen}");
    }
}

#[tokio::test]
async fn a_repeated_length_is_said_once_and_the_connection_closes() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc";
    let (upstream, answer) = followed_by_another(request).await;
    assert_status(&answer, 200, request);
    let seen = upstream.only();
    assert_eq!(seen.matches("content-length: 3\r\n").count(), 1, "{seen}");
    assert!(!seen.contains("transfer-encoding"), "{seen}");
    assert!(seen.ends_with("\r\n\r\nabc"), "{seen}");
}

#[tokio::test]
async fn lengths_said_once_keep_the_connection() {
    let upstream = Upstream::start([Act::ok("one")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    for _ in 0..3 {
        let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("close"), "{answer}");
        client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    }
    assert_eq!(upstream.seen().len(), 6);
}

#[tokio::test]
async fn garbage_between_chunks_never_reaches_the_upstream_as_an_end() {
    for garbage in ["zz\r\n", "3;x\ny\r\nabc\r\n", "3\nabc\r\n", "3\r\nabcd\r\n", "-1\r\n", "\r\n"]
    {
        let upstream = Upstream::start([Act(Reads::Whole, vec![Step::Hang])]).await;
        let proxy = Proxy::start(&[upstream.addr]).await;
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n{garbage}"
        );
        let answer = refused(&proxy, &request).await;
        assert_status(&answer, 400, garbage);
        assert!(answer.contains("error=http_request_error"), "{answer}");
        assert_eq!(upstream.seen(), [""; 0], "a whole request reached the upstream");
    }
}
