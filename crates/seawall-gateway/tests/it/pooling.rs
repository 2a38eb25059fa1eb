//! Connections to an endpoint: kept, reused, counted, and never leaked.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use seawall_gateway::pool::{Leased, Pool, PoolLimits, SendError};
use tokio::{runtime::Handle, sync::Notify};

use crate::kit::{Act, Reads, Step, Upstream, refusing, until, within};

type Plain = Full<Bytes>;

const CONNECT_MAX: Duration = Duration::from_secs(30);

fn pool(addr: impl ToString, set: impl FnOnce(&mut PoolLimits)) -> Pool<Plain> {
    let mut limits = PoolLimits::default();
    set(&mut limits);
    Pool::new(&addr.to_string(), limits)
}

async fn head(pool: &Pool<Plain>) -> Result<http::Response<Leased<Plain>>, SendError> {
    within("answer", pool.send(Request::new(Plain::default()), CONNECT_MAX)).await
}

async fn whole(pool: &Pool<Plain>) -> Bytes {
    within("body", head(pool).await.unwrap().into_body().collect()).await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_is_read() {
    let upstream = Upstream::start([
        Act::ok("sized"),
        Act::answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        Act::answer("HTTP/1.1 204 No Content\r\n\r\n"),
    ])
    .await;
    let pool = pool(upstream.addr, |_| {});
    for body in ["sized", "hi", "", ""] {
        assert_eq!(whole(&pool).await, body);
        until("the connection comes back", || pool.idle() == 1).await;
        assert_eq!(pool.open(), 1);
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn an_answer_holds_its_connection_and_dropped_early_closes_it() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let upstream = Upstream::start([Act::then(half, Step::Hang)]).await;
    let pool = pool(upstream.addr, |_| {});
    let mut answer = head(&pool).await.unwrap();
    assert_eq!(answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "half");
    assert_eq!((pool.idle(), pool.open(), upstream.open()), (0, 1, 1));
    drop(answer);
    until("the socket is gone", || pool.open() == 0 && upstream.open() == 0).await;
    assert_eq!(pool.idle(), 0);
}

#[tokio::test]
async fn a_request_given_up_closes_its_connection() {
    let upstream = Upstream::start([Act(Reads::Whole, vec![Step::Hang])]).await;
    let pool = pool(upstream.addr, |_| {});
    {
        let asking = pool.send(Request::new(Plain::default()), CONNECT_MAX);
        tokio::select! {
            _ = asking => panic!("answered"),
            () = until("the request arrives", || upstream.seen().len() == 1) => {}
        }
    }
    until("the socket is gone", || pool.open() == 0 && upstream.open() == 0).await;
}

#[tokio::test]
async fn idle_connections_close_with_the_pool_and_with_time() {
    let upstream = Upstream::start([Act::ok("hi")]).await;
    let kept = pool(upstream.addr, |limits| limits.idle_for = CONNECT_MAX * 10);
    whole(&kept).await;
    until("the connection comes back", || kept.idle() == 1).await;
    tokio::task::yield_now().await; // to whoever waits for it to expire
    drop(kept);
    until("it closes", || upstream.open() == 0).await;
    let tasks = Handle::current().metrics();
    until("nobody waits for it any longer", || tasks.num_alive_tasks() == 1).await;

    let aging = pool(upstream.addr, |limits| limits.idle_for = Duration::from_millis(20));
    for round in 2..4 {
        whole(&aging).await;
        until("it expires", || aging.open() == 0 && upstream.open() == 0).await;
        assert_eq!((aging.idle(), upstream.accepted()), (0, round));
    }
}

#[tokio::test]
async fn the_newest_is_taken_first_and_no_more_are_kept_than_allowed() {
    let gates = [(); 3].map(|()| Arc::new(Notify::new()));
    let waiting = |gate: &Arc<Notify>| {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        Act(Reads::Whole, vec![Step::Wait(Arc::clone(gate)), Step::Say(ok.into())])
    };
    let script = gates.iter().map(waiting).chain([Act::ok("")]);
    let upstream = Upstream::start(script).await;
    let pool = pool(upstream.addr, |limits| limits.idle_max = 2);
    let mut asking = Vec::new();
    for count in 1..=3 {
        let pool = pool.clone();
        asking.push(tokio::spawn(async move { whole(&pool).await }));
        until("the request arrives", || upstream.seen().len() == count).await;
    }
    assert_eq!((pool.open(), pool.idle()), (3, 0));

    // Back in the order 1, 0; then 2 finds no room.
    for (number, idle) in [(1, 1), (0, 2), (2, 2)] {
        gates[number].notify_one();
        let mut rest = asking.iter_mut();
        within("answer", rest.nth(number).unwrap()).await.unwrap();
        until("it comes back", || pool.idle() == idle).await;
    }
    until("the third is closed", || pool.open() == 2).await;
    whole(&pool).await;
    assert_eq!(upstream.connections(), [0, 1, 2, 0]);
}

#[tokio::test]
async fn at_the_cap_requests_are_refused_until_a_place_is_free() {
    let upstream = Upstream::start([Act(Reads::Whole, vec![Step::Hang]), Act::ok("hi")]).await;
    let pool = pool(upstream.addr, |limits| limits.open_max = 1);
    let held = tokio::spawn({
        let pool = pool.clone();
        async move { head(&pool).await }
    });
    until("the first is under way", || upstream.seen().len() == 1).await;
    assert_eq!(head(&pool).await.unwrap_err(), SendError::Full);
    held.abort();
    until("its place is free", || pool.open() == 0).await;
    assert_eq!(whole(&pool).await, "hi");
}

#[tokio::test]
async fn what_never_reached_the_endpoint_says_so() {
    let refused = head(&pool(refusing().addr, |_| {})).await.unwrap_err();
    assert_eq!((refused, refused.reached()), (SendError::Refused, false));

    let nameless = pool("no-port-here", |_| {});
    let unresolved = head(&nameless).await.unwrap_err();
    assert_eq!((unresolved, unresolved.reached()), (SendError::Dns, false));

    // A queue of one holds two on Linux; the next connection is left waiting.
    let full = tokio::net::TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let addr = full.local_addr().unwrap();
    let _queued = [(); 2].map(|()| std::net::TcpStream::connect(addr).unwrap());
    let hasty = pool(addr, |_| {});
    let asking = hasty.send(Request::new(Plain::default()), Duration::from_millis(20));
    let late = within("timeout", asking).await.unwrap_err();
    assert_eq!((late, late.reached()), (SendError::ConnectTimeout, false));
    assert_eq!((hasty.open(), nameless.open()), (0, 0));
}

#[tokio::test]
async fn what_may_have_reached_the_endpoint_is_not_sent_again() {
    for (act, error) in [
        (Act(Reads::Whole, vec![Step::Close]), SendError::Closed),
        (Act(Reads::Whole, vec![Step::Reset]), SendError::Reset),
        (Act::answer("what?\r\n\r\n"), SendError::Garbage),
    ] {
        let upstream = Upstream::start([Act::ok("hi"), act]).await;
        let pool = pool(upstream.addr, |_| {});
        whole(&pool).await;
        until("the connection comes back", || pool.idle() == 1).await;
        let failed = head(&pool).await.unwrap_err();
        assert_eq!((failed, failed.reached()), (error, true));
        assert_eq!(upstream.connections(), [0, 0]);
        until("the socket is gone", || pool.open() == 0).await;
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_does_not_put_the_connection_back_too_early() {
    let early = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
    let upstream = Upstream::start([
        Act(Reads::Head, vec![Step::Say(early.into()), Step::Hang]),
        Act::ok("hi"),
    ])
    .await;
    let pool: Pool<http_body_util::channel::Channel<Bytes>> =
        Pool::new(&upstream.addr.to_string(), PoolLimits::default());
    let (mut client, body) = http_body_util::Channel::new(1);
    client.send_data(Bytes::from("begun")).await.unwrap();
    let request = Request::post("/").body(body).unwrap();
    let answer = within("answer", pool.send(request, CONNECT_MAX)).await.unwrap();
    assert_eq!(answer.status(), 413);
    drop(answer);
    assert_eq!(pool.idle(), 0);
    let (_, body) = http_body_util::Channel::new(1);
    let next = within("answer", pool.send(Request::new(body), CONNECT_MAX)).await.unwrap();
    assert_eq!(next.into_body().collect().await.unwrap().to_bytes(), "hi");
    assert_eq!(upstream.connections(), [0, 1]);
    until("the half-used connection is given up", || pool.open() == 1).await;
}
