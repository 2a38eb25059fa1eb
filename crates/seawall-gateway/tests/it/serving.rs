//! The listening side: limits, slow clients, and an end that drops nothing.

use std::{future::ready, sync::Arc, time::Duration};

use http::Response;
use http_body_util::Full;
use seawall_gateway::listen::{Limits, Server};
use tokio::{net::TcpStream, sync::Notify, task::yield_now};

use crate::kit::{Act, Client, End, Proxy, Reads, Step, Upstream, refusing, until, within};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_closed() {
    let upstream = Upstream::start([Act::answer(OK)]).await;
    let proxy = Proxy::with(&[upstream.addr], |config| config.limits.connections_max = 1).await;
    let mut first = Client::connect(proxy.addr).await;
    first.ask(GET).await;

    let mut second = Client::connect(proxy.addr).await;
    second.say(GET).await;
    let (answer, end) = second.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("error=connection_limit_reached"), "{answer}");
    assert_eq!((end, upstream.seen().len()), (End::Closed, 1));

    // The first is as good as before, and its place is free again once it leaves.
    first.ask(GET).await;
    drop(first);
    let mut served = false;
    for _ in 0..1_000 {
        let mut next = Client::connect(proxy.addr).await;
        next.say(GET).await;
        next.hear_until("\r\n\r\n").await;
        served = upstream.seen().len() == 3;
        if served {
            break;
        }
    }
    assert!(served, "the place was never freed");
}

#[tokio::test]
async fn a_refused_upload_hears_why_before_the_connection_ends() {
    let nobody = refusing();
    let proxy = Proxy::start(&[nobody.addr]).await;
    for refused in ["", "Host: a\r\n"] {
        let mut client = Client::connect(proxy.addr).await;
        client.say(format!("PUT / HTTP/1.1\r\n{refused}Content-Length: 9000000\r\n\r\n")).await;
        client.hear_until("\"detail\":").await;
        client.say(vec![b'a'; 4 << 20]).await;
        let (answer, end) = client.rest().await;
        assert!(answer.ends_with("\"}") && answer.contains("proxy-status"), "{answer}");
        assert_eq!(end, End::Closed);
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_closes_the_connection() {
    let upstream = Upstream::start([Act::ok("never")]).await;
    let soon = Duration::from_millis(50);
    let proxy = Proxy::with(&[upstream.addr], |config| config.limits.head_max = soon).await;
    for slow in ["", "GET / HTTP/1.1\r\nHost"] {
        let mut client = Client::connect(proxy.addr).await;
        client.say(slow).await;
        assert_eq!(client.rest().await, (String::new(), End::Closed));
    }
}

#[tokio::test]
async fn stopping_lets_requests_in_progress_end_and_takes_no_more() {
    let gate = Arc::new(Notify::new());
    let act = Act(Reads::Whole, vec![Step::Wait(Arc::clone(&gate)), Step::Say(OK.into())]);
    let upstream = Upstream::start([act]).await;
    let mut proxy = Proxy::start(&[upstream.addr]).await;
    let idle = Client::connect(proxy.addr).await;
    let mut busy = Client::connect(proxy.addr).await;
    busy.say(GET).await;
    until("the request arrives", || upstream.seen().len() == 1).await;

    proxy.stop();
    assert_eq!(idle.rest().await, (String::new(), End::Closed));
    assert!(TcpStream::connect(proxy.addr).await.is_err(), "still listening");
    gate.notify_one();
    let answer = busy.hear().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hi"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(busy.rest().await, (String::new(), End::Closed));
    proxy.stopped().await;
}

/// The server runs on this test's thread, so it accepts and reads only as often as `stop` gives way: with no
/// turn at all every connection is still the kernel's, with some of them some are taken but not yet heard.
/// Two workers: there the stop can overtake what lies unread at a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_lies_at_a_kept_connection_at_the_stop_is_answered() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let upstream = Upstream::start([Act::ok("fine")]).await;
    let mut proxy = Proxy::start(&[upstream.addr]).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Client::connect(proxy.addr).await;
        assert!(client.ask(get).await.ends_with("fine"));
        clients.push(client);
    }
    for client in &mut clients {
        client.say(get).await;
    }
    proxy.stop();
    for client in clients {
        let (answer, _) = client.rest().await;
        assert!(answer.ends_with("fine"), "not answered: {answer:?}");
    }
    proxy.stopped().await;
}

#[tokio::test]
async fn whoever_has_connected_before_the_stop_is_answered() {
    for turns in 0..8 {
        let server = Server::bind("127.0.0.1:0", Limits::default()).await.unwrap();
        let addr = server.local_addr().unwrap();
        let clients: Vec<_> = (0..100).map(|_| Client::rushed(addr, GET)).collect();
        let silent = (turns == 0).then(|| Client::rushed(addr, ""));
        let stop = async move {
            for _ in 0..turns {
                yield_now().await;
            }
        };
        let running = tokio::spawn(server.run(|_, _| ready(Response::new(Full::from("hi"))), stop));
        for client in clients {
            let (answer, end) = client.rest().await;
            let served = answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hi");
            assert!(served && end == End::Closed, "{turns} turns, {end:?}: {answer}");
            let last = answer.contains("\r\nconnection: close\r\n");
            assert!(last || turns > 0, "{answer}");
        }
        if let Some(silent) = silent {
            assert_eq!(silent.rest().await, (String::new(), End::Closed));
        }
        within("the end", running).await.unwrap();
        assert!(TcpStream::connect(addr).await.is_err(), "still listening");
    }
}

#[tokio::test]
async fn draining_ends_even_if_a_request_does_not() {
    let upstream = Upstream::start([Act(Reads::Whole, vec![Step::Hang])]).await;
    let soon = Duration::from_millis(50);
    let mut proxy = Proxy::with(&[upstream.addr], |config| config.limits.drain = soon).await;
    let mut stuck = Client::connect(proxy.addr).await;
    stuck.say(GET).await;
    until("the request arrives", || upstream.seen().len() == 1).await;
    proxy.stop();
    proxy.stopped().await;
    assert_eq!(stuck.rest().await.0, "");
    until("the upstream is freed", || upstream.open() == 0).await;
}
