//! `proxy`: a gateway from flags alone tells what it is, and lives through the death of what is behind it.

use crate::kit::{Seawall, Upstream, ask, until};

#[tokio::test]
async fn it_tells_what_it_is_and_forwards() {
    let (one, two) = (Upstream::start("served"), Upstream::start("served"));
    let [one, two] = [one, two].map(|upstream| (upstream.addr, upstream));
    let to = [one.0, two.0].map(|addr| format!("http://{addr}"));
    let mut gateway = Seawall::start(&[
        "proxy", "--to", &to[0], "--to", &to[1], "--listen", FREE, "--admin", FREE,
    ]);
    gateway.hear(concat!("seawall ", env!("CARGO_PKG_VERSION"))).await;
    let addr = gateway.address("listening on http://").await;
    let admin = gateway.address("admin on http://").await;
    gateway.hear(&format!("upstream default: {}, {}", one.0, two.0)).await;

    let answer = ask(addr, "/any?path").await;
    assert_eq!((answer.status, &*answer.body), (200, "served"));
    assert_eq!(
        answer.field("proxy-status"),
        "",
        "an upstream's own answer is passed on as it came"
    );
    assert_eq!(ask(admin, "/livez").await.status, 200);
    assert_eq!(ask(admin, "/readyz").await.status, 200);

    gateway.signal("TERM");
    let (code, said) = gateway.ended().await;
    assert_eq!(code, Some(0), "{said:#?}");
    assert_eq!(said.len(), 7, "four lines of start, three of end: {said:#?}");
}

#[tokio::test]
async fn it_recovers_by_itself_when_its_upstream_does() {
    let mut upstream = Upstream::start("served");
    let name = format!("default {}: circuit_breaker", upstream.addr);
    let to = format!("http://{}", upstream.addr);
    let mut gateway = Seawall::start(&["proxy", "--to", &to, "--listen", FREE]);
    let addr = gateway.address("listening on http://").await;
    assert_eq!(ask(addr, "/").await.status, 200);

    upstream.kill().await;
    // Five failures open the breaker, and a request alone may make three.
    for _ in 0..5 {
        let answer = ask(addr, "/").await;
        let (status, reason) = (answer.status, answer.field("proxy-status").to_owned());
        assert!([502, 503].contains(&status), "{answer:?}");
        assert!(reason.starts_with("seawall; error="), "{answer:?}");
        // Five seconds, and a tenth of them by chance, in whole seconds.
        assert!((1..=6).contains(&answer.field("retry-after").parse().unwrap()), "{answer:?}");
        assert_eq!(answer.field("content-type"), "application/problem+json");
    }
    gateway.hear(&format!("{name} closed -> open (5 failures in a row)")).await;
    let answer = ask(addr, "/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.field("proxy-status").contains("destination_unavailable"), "{answer:?}");

    upstream.restart();
    until("it recovers", async || ask(addr, "/").await.status, |status| *status == 200).await;
    for _ in 0..2 {
        assert_eq!(ask(addr, "/").await.status, 200);
    }
    gateway.hear(&format!("{name} open -> half_open (open period over)")).await;
    gateway.hear(&format!("{name} half_open -> closed (3 probes succeeded)")).await;
}

const FREE: &str = "127.0.0.1:0";
