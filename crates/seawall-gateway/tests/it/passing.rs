//! What passes, byte for byte, and what the gateway answers when nothing does.

use crate::kit::{Act, Client, End, Proxy, Reads, Step, Upstream, refusing};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const MARKS: &str = "x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n";

#[tokio::test]
async fn a_request_and_its_answer_to_the_byte() {
    let upstream = Upstream::start([Act::answer(
        "HTTP/1.1 200 OK\r\nServer: u\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
         Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nhi",
    )])
    .await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    let answer = client
        .ask(
            "GET /a%20b?c=%2F HTTP/1.1\r\nHost: A.example:80\r\nAccept: */*\r\n\
             Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\r\n",
        )
        .await;
    assert_eq!(
        unnamed(&answer),
        "HTTP/1.1 200 OK\r\nserver: u\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         content-length: 2\r\nvia: 1.1 seawall-ID\r\n\r\nhi"
    );
    assert_eq!(
        unnamed(&upstream.only()),
        format!(
            "GET /a%20b?c=%2F HTTP/1.1\r\nhost: A.example:80\r\naccept: */*\r\n{MARKS}\
             x-forwarded-host: A.example:80\r\nvia: 1.1 seawall-ID\r\n\r\n"
        )
    );
}

#[tokio::test]
async fn the_target_takes_the_form_an_origin_expects() {
    let upstream = Upstream::start([Act::ok("")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client.ask("GET http://B.example:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let seen = upstream.seen();
    assert!(seen[0].starts_with("GET /x?y HTTP/1.1\r\nhost: B.example:81\r\n"), "{}", seen[0]);
    assert!(seen[1].starts_with("OPTIONS * HTTP/1.1\r\nhost: a\r\n"), "{}", seen[1]);
}

#[tokio::test]
async fn bare_line_feeds_are_read_and_never_passed_on() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let answer = Client::connect(proxy.addr).await.ask("GET / HTTP/1.1\nHost: a\nX: 1\n\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let seen = upstream.only();
    assert!(seen.starts_with("GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n"), "{seen}");
    assert_eq!(seen.matches('\n').count(), seen.matches("\r\n").count(), "{seen:?}");
}

#[tokio::test]
async fn an_offer_of_h2c_is_ignored_and_the_connection_kept() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    for _ in 0..2 {
        let answer = client
            .ask(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                 Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
            )
            .await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let seen = upstream.seen();
    assert!(!seen[1].contains("upgrade") && !seen[1].contains("http2"), "{}", seen[1]);
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_from_here() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client
        .say("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .await;
    assert_eq!(client.hear_head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    let answer = client.ask("abc").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let seen = upstream.only();
    assert!(!seen.contains("expect") && seen.ends_with("\r\n\r\nabc"), "{seen}");
}

#[tokio::test]
async fn nobody_is_told_to_continue_when_there_is_nowhere_to_send_it() {
    let nobody = refusing();
    let proxy = Proxy::start(&[nobody.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client
        .say("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .await;
    let answer = client.hear().await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
}

#[tokio::test]
async fn a_get_may_have_a_chunked_body() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client
        .ask("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .await;
    let seen = upstream.only();
    assert!(seen.contains("\r\ntransfer-encoding: chunked\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{seen}");
}

#[tokio::test]
async fn trailers_pass_upstream_when_they_were_announced() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client
        .ask(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\nContent-Length: 9\r\n\r\n",
        )
        .await;
    let seen = upstream.only();
    assert!(seen.contains("\r\ntrailer: X-Sum\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"), "{seen}");
}

#[tokio::test]
async fn trailers_pass_to_a_client_that_takes_them() {
    let upstream = Upstream::start([Act::answer(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    )])
    .await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n").await;
    assert!(answer.ends_with("3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"), "{answer}");
    let answer = client.ask(GET).await;
    assert!(answer.ends_with("3\r\nabc\r\n0\r\n\r\n"), "{answer}");
    let seen = upstream.seen();
    assert!(seen[0].contains("\r\nte: trailers\r\nconnection: te\r\n"), "{}", seen[0]);
    assert!(!seen[1].contains("\r\nte: "), "{}", seen[1]);
    proxy.counted("both end well", |counts| counts.calls.succeeded == 2).await;
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn interim_answers_stay_here() {
    let upstream = Upstream::start([Act::answer(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    )])
    .await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let answer = Client::connect(proxy.addr).await.ask(GET).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nvia"), "{answer}");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let upstream = Upstream::start([
        Act::answer("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        Act::answer("HTTP/1.1 204 No Content\r\n\r\n"),
        Act::answer("HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
        Act::ok("last"),
    ])
    .await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    // The upstream's kit believes a HEAD has no body either way: only the answer's length is fiction.
    client.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.hear_head().await;
    assert!(head.contains("\r\ncontent-length: 1234\r\n"), "{head}");
    for status in ["204", "304"] {
        client.say(GET).await;
        let answer = client.hear_head().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert!(client.ask(GET).await.ends_with("\r\n\r\nlast"));
    proxy.counted("all end well", |counts| counts.calls.succeeded == 4).await;
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn http_1_0_is_spoken_with_those_who_speak_no_other() {
    let upstream = Upstream::start([
        Act::answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        Act::then("HTTP/1.0 200 OK\r\n\r\nho", Step::Close),
    ])
    .await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client.say("GET / HTTP/1.0\r\n\r\n").await;
    let (answer, end) = client.rest().await;
    assert!(
        answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nhi"),
        "{answer}"
    );
    assert_eq!(end, End::Closed);
    let host =
        format!("GET / HTTP/1.1\r\n{MARKS}via: 1.0 seawall-ID\r\nhost: {}\r\n\r\n", upstream.addr);
    assert_eq!(unnamed(&upstream.only()), host);

    let answer = Client::connect(proxy.addr).await.ask(GET).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\nvia: 1.0 seawall-"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n2\r\nho\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_with_two_lengths_is_passed_with_one_and_its_connection_given_up() {
    let upstream = Upstream::start([
        Act::answer(
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\n\r\n",
        ),
        Act::answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi"),
    ])
    .await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    let answer = client.ask(GET).await;
    assert!(!answer.contains("content-length"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), "{answer}");
    for _ in 0..2 {
        let answer = client.ask(GET).await;
        assert_eq!(answer.matches("content-length: 2\r\n").count(), 1, "{answer}");
    }
    assert_eq!(upstream.connections(), [0, 1, 1]);
}

#[tokio::test]
async fn every_failure_has_its_status_and_its_name() {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(70 << 10));
    for (act, status, error) in [
        (Act::answer(endless), 502, "http_protocol_error"),
        (Act::answer("what?\r\n\r\n"), 502, "http_protocol_error"),
        (Act::answer("HTTP/1.1 101 Switching Protocols\r\n\r\n"), 502, "http_protocol_error"),
        (
            Act::answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
            502,
            "http_protocol_error",
        ),
        (
            Act::answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na"),
            502,
            "http_protocol_error",
        ),
        (Act(Reads::Nothing, vec![Step::Reset]), 502, "connection_terminated"),
        (Act(Reads::Whole, vec![Step::Close]), 502, "connection_terminated"),
        (Act(Reads::Whole, vec![Step::Reset]), 502, "connection_terminated"),
        (Act::then("HTTP/1.1 200 OK\r\nX:", Step::Close), 502, "connection_terminated"),
    ] {
        let upstream = Upstream::start([act]).await;
        let proxy = Proxy::start(&[upstream.addr]).await;
        assert_failure(&proxy, status, error).await;
    }
    let nobody = refusing();
    assert_failure(&Proxy::start(&[nobody.addr]).await, 502, "connection_refused").await;
}

async fn assert_failure(proxy: &Proxy, status: u16, error: &str) {
    let answer = Client::connect(proxy.addr).await.ask(GET).await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{error}\n{answer}");
    assert!(answer.contains(&format!("\r\nproxy-status: seawall; error={error}; ")), "{answer}");
    assert!(answer.contains("\r\ncontent-type: application/problem+json\r\n"), "{answer}");
}

#[tokio::test]
async fn a_head_that_fails_gets_the_failure_without_its_body() {
    let nobody = refusing();
    let proxy = Proxy::start(&[nobody.addr]).await;
    let mut client = Client::connect(proxy.addr).await;
    client.say("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let (answer, _) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-length: ") && !answer.contains('{'), "{answer}");
}

#[tokio::test]
async fn a_loop_is_broken_at_the_second_pass() {
    let upstream = Upstream::start([Act::ok("passed")]).await;
    let proxy = Proxy::start(&[upstream.addr]).await;
    let other = Proxy::start(&[upstream.addr]).await;
    Client::connect(proxy.addr).await.ask(GET).await;
    let passed = upstream.only();
    let via = passed.lines().find_map(|line| line.strip_prefix("via: ")).unwrap();
    let again = format!("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 x, {via}\r\n\r\n");

    let answer = Client::connect(proxy.addr).await.ask(&again).await;
    assert!(answer.starts_with("HTTP/1.1 508 Loop Detected\r\n"), "{answer}");
    assert!(answer.contains("error=proxy_loop_detected"), "{answer}");
    assert_eq!(upstream.seen().len(), 1);
    let answer = Client::connect(other.addr).await.ask(&again).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "another gateway's: {answer}");
}

/// Without the number by which this gateway knows itself again.
fn unnamed(text: &str) -> String {
    let (before, after) = text.split_once("seawall-").unwrap();
    let digits = after.bytes().take_while(u8::is_ascii_hexdigit).count();
    assert_eq!(digits, 16, "{text}");
    format!("{before}seawall-ID{}", &after[digits..])
}
