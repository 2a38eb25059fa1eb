//! What operators see: counts that agree with what clients saw, and an end in order.

use std::sync::Arc;

use seawall::{
    core::Draws,
    snapshot::{CallStats, TallyStats},
};
use seawall_gateway::Config;
use serde_json::Value;
use tokio::{net::TcpStream, sync::Notify, task::JoinSet};

use crate::kit::{Act, Client, End, Proxy, Reads, Step, Upstream, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const POST: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";

#[tokio::test]
async fn after_any_mixture_the_counts_agree_with_what_clients_and_upstreams_saw() {
    let upstreams = [Upstream::start(mixture(1)).await, Upstream::start(mixture(2)).await];
    let proxy = Proxy::with(&[upstreams[0].addr, upstreams[1].addr], |config| {
        // On a busy machine a learned limit may cut an attempt before a byte of it has been written.
        config.routes[0].timeout.adaptive = false;
    })
    .await;
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let addr = proxy.addr;
        clients.spawn(async move {
            let mut seen = Vec::new();
            for request in 0..REQUESTS / 8 {
                let mut client = Client::connect(addr).await;
                client.say(if (number + request) % 3 == 0 { POST } else { GET }).await;
                seen.push(seen_as(&client.rest().await));
            }
            seen
        });
    }
    let seen = clients.join_all().await.concat();
    proxy.counted("all ended", |counts| counts.calls.in_flight == 0).await;
    let CallStats { calls, attempts, .. } = proxy.counts();
    let as_seen = |kind| seen.iter().filter(|seen| **seen == kind).count() as u64;
    assert_eq!(
        calls,
        tally(
            as_seen(Seen::Good),
            as_seen(Seen::Bad),
            as_seen(Seen::Refused),
            as_seen(Seen::Later)
        )
    );
    assert_eq!(calls.started, REQUESTS as u64);
    let [good, bad, later] = [as_seen(Seen::Good), as_seen(Seen::Bad), as_seen(Seen::Later)];
    assert!(good > 100 && bad > 10 && later > 0, "a mixture: {calls:?}");
    let sent: usize = upstreams.iter().map(|upstream| upstream.seen().len()).sum();
    assert_eq!((attempts.started, attempts.refused), (sent as u64, 0));
    assert!(attempts.started > calls.started - calls.refused, "some were retried");

    let stats = page(&proxy, "/stats").await;
    let stats: Value = serde_json::from_str(body(&stats)).unwrap();
    for tally in ["calls", "attempts"] {
        let count = |name: &str| stats["policies"]["default"][tally][name].as_u64().unwrap();
        let ended = ["succeeded", "failed", "refused", "ignored", "in_flight"].map(count);
        assert_eq!(count("started"), ended.into_iter().sum::<u64>(), "{stats:#}");
    }
    assert_eq!(stats["policies"]["default"]["calls"]["started"], REQUESTS);
    let metrics = page(&proxy, "/metrics").await;
    let line =
        format!("\nseawall_calls_total{{policy=\"default\",outcome=\"succeeded\"}} {good}\n");
    assert!(metrics.contains(&line), "{metrics}");
    proxy.leaves_nothing(&[&upstreams[0], &upstreams[1]]).await;
}

/// What a client makes of an answer.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Good,
    Bad,
    Refused,
    Later,
}

fn seen_as((answer, end): &(String, End)) -> Seen {
    match answer.get(9..12) {
        Some("429") => Seen::Later,
        Some("503") if answer.contains("error=destination_unavailable") => Seen::Refused,
        Some("200" | "404") if *end == End::Closed => Seen::Good,
        _ => Seen::Bad,
    }
}

fn tally(succeeded: u64, failed: u64, refused: u64, ignored: u64) -> TallyStats {
    let mut tally = TallyStats::from(seawall::core::Tally::default());
    tally.started = succeeded + failed + refused + ignored;
    (tally.succeeded, tally.failed) = (succeeded, failed);
    (tally.refused, tally.ignored) = (refused, ignored);
    tally
}

/// Everything an upstream may do, in an order drawn from `seed`, and good answers in the end.
fn mixture(seed: u64) -> Vec<Act> {
    let good = Act::ok("good");
    let kinds = [
        Act::answer("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        Act::answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        Act::answer("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"),
        Act::answer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
        Act::answer("HTTP/1.1 429 Too Many\r\nretry-after: 99\r\ncontent-length: 0\r\n\r\n"),
        Act::answer("what?\r\n\r\n"),
        Act(Reads::Whole, vec![Step::Reset]),
        Act(Reads::Whole, vec![Step::Close]),
        Act::then("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Step::Close),
        Act::then(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            Step::Reset,
        ),
    ];
    let draw = |n| Draws::nth(seed, n).below(2 * kinds.len() as u64);
    let mixed = (0..REQUESTS as u64).map(|n| kinds.get(draw(n) as usize).unwrap_or(&good).clone());
    mixed.chain([good.clone()]).collect()
}

#[tokio::test]
async fn draining_is_announced_drops_nothing_and_the_admin_address_goes_last() {
    let gate = Arc::new(Notify::new());
    let mut act = Act(Reads::Whole, vec![Step::Wait(Arc::clone(&gate))]);
    act.1.push(Step::Say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".into()));
    let upstream = Upstream::start([act]).await;
    let mut proxy = Proxy::start(&[upstream.addr]).await;
    assert!(page(&proxy, "/readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    let mut busy = Client::connect(proxy.addr).await;
    busy.say(GET).await;
    until("the request arrives", || upstream.seen().len() == 1).await;
    let idle = Client::connect(proxy.addr).await;

    proxy.stop();
    assert_eq!(idle.rest().await, (String::new(), End::Closed));
    assert!(TcpStream::connect(proxy.addr).await.is_err(), "still listening");
    for (path, status) in [("/readyz", 503), ("/livez", 200), ("/stats", 200)] {
        let answer = page(&proxy, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}\n{answer}");
    }

    gate.notify_one();
    assert!(busy.hear().await.ends_with("\r\n\r\nhi"));
    proxy.stopped().await;
    assert!(TcpStream::connect(proxy.admin).await.is_err(), "still listening");
    assert_eq!(proxy.counts().calls, tally(1, 0, 0, 0));
}

#[tokio::test]
async fn what_no_route_wants_is_not_found_and_counts_nowhere() {
    let upstream = Upstream::start([Act::ok("order 7")]).await;
    let config = format!(
        "[upstream.orders]\nendpoints = [\"http://{}\"]\n\
         [[route]]\nname = \"orders\"\nupstream = \"orders\"\nmatch = {{ path = \"/orders/*\" }}\n",
        upstream.addr
    );
    let proxy = Proxy::of(Config::from_toml(&config, "gateway.toml").unwrap()).await;
    let mut client = Client::connect(proxy.addr).await;
    let lost = client.ask("GET /order HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(lost.starts_with("HTTP/1.1 404 Not Found\r\n"), "{lost}");
    assert!(lost.contains("error=destination_not_found"), "{lost}");
    assert!(!lost.contains("retry-after"), "waiting does not help: {lost}");
    assert_eq!(proxy.counts().calls, tally(0, 0, 0, 0));
    let found = client.ask("GET /orders/7 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(found.ends_with("\r\n\r\norder 7"), "{found}");
    drop(client);
    proxy.leaves_nothing(&[&upstream]).await;
}

async fn page(proxy: &Proxy, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    Client::connect(proxy.admin).await.ask(request).await
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

const REQUESTS: usize = 320;
