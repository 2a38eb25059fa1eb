//! The end: the first signal drains, a second one cuts.

use std::net::SocketAddr;

use tokio::task::JoinHandle;

use crate::kit::{Answer, Seawall, Upstream, ask, asking, file, refused, until};

#[tokio::test]
async fn a_signal_drains() {
    let Held { mut gateway, addr, admin, upstream, request } = held("drain.toml", "").await;
    gateway.signal("TERM");
    gateway.hear("draining").await;
    unready(admin).await;
    until("no more is accepted", async || refused(addr).await, |refused| *refused).await;
    assert!(!request.is_finished(), "it is in progress");

    upstream.release();
    let answer = request.await.unwrap().unwrap();
    assert_eq!((answer.status, &*answer.body), (200, "served"));
    let (code, said) = gateway.ended().await;
    assert_eq!(code, Some(0), "{said:#?}");
    let [.., uptime, route] = &*said else { panic!("{said:#?}") };
    assert!(uptime.starts_with("served for "), "{said:#?}");
    assert_eq!(
        route,
        "route all: requests 1, succeeded 1, failed 0, refused 0, ignored 0; attempts 1"
    );
}

#[tokio::test]
async fn it_goes_on_accepting_for_the_delay_and_a_second_signal_ends_it_at_once() {
    let delay = "shutdown_delay = \"1h\"\n";
    let Held { mut gateway, addr, admin, upstream: _upstream, request } =
        held("delay.toml", delay).await;
    gateway.signal("TERM");
    gateway.hear("draining").await;
    unready(admin).await;
    assert_eq!(ask(addr, "/").await.status, 200);

    gateway.signal("INT");
    let (code, said) = gateway.ended().await;
    assert_eq!(code, Some(1), "{said:#?}");
    assert_eq!(said.last().unwrap(), "seawall: ended before all requests had");
    assert!(request.await.unwrap().is_err(), "its request is cut");
}

#[tokio::test]
async fn a_signal_is_heard_from_the_first_line_on() {
    for _ in 0..10 {
        let mut gateway = Seawall::start(&["proxy", "--to", "http://h", "--listen", "127.0.0.1:0"]);
        gateway.hear("seawall ").await;
        gateway.signal("TERM");
        let (code, said) = gateway.ended().await;
        assert_eq!(code, Some(0), "{said:#?}");
    }
}

#[tokio::test]
async fn it_drains_though_nobody_reads_what_it_says() {
    let Held { mut gateway, addr, upstream, request, .. } = held("unread.toml", "").await;
    gateway.ignore();
    gateway.signal("TERM");
    until("no more is accepted", async || refused(addr).await, |refused| *refused).await;
    upstream.release();
    assert_eq!(request.await.unwrap().unwrap().status, 200);
    assert_eq!(gateway.ended().await.0, Some(0));
}

/// A gateway with a request in progress.
struct Held {
    gateway: Seawall,
    addr: SocketAddr,
    admin: SocketAddr,
    upstream: Upstream,
    request: JoinHandle<std::io::Result<Answer>>,
}

/// Serves a file of this name with these settings.
async fn held(name: &'static str, settings: &str) -> Held {
    let upstream = Upstream::start("served");
    let text = format!(
        "listen = \"127.0.0.1:0\"\n\
         admin = {{ listen = \"127.0.0.1:0\" }}\n\
         drain_timeout = \"1h\"\n\
         {settings}\
         [upstream.up]\n\
         endpoints = [\"http://{}\"]\n\
         [[route]]\n\
         name = \"all\"\n\
         upstream = \"up\"\n\
         deadline = \"1h\"\n\
         timeout = {{ attempt = \"1h\" }}\n",
        upstream.addr
    );
    let mut gateway = Seawall::start(&["serve", "--config", file(name, &text)]);
    let addr = gateway.address("listening on http://").await;
    let admin = gateway.address("admin on http://").await;
    assert_eq!(ask(admin, "/readyz").await.status, 200);
    let request = tokio::spawn(asking(addr, "/held"));
    upstream.holds().await;
    Held { gateway, addr, admin, upstream, request }
}

async fn unready(admin: SocketAddr) {
    until("it says so", async || ask(admin, "/readyz").await.status, |status| *status == 503).await;
}
