//! Requests that wait for a place: by urgency, not for ever, and without holding what they do not use.

use std::{sync::Arc, time::Duration};

use seawall_gateway::{Config, config::PriorityBy};
use tokio::sync::Notify;

use crate::kit::{Act, Client, Proxy, Reads, Step, Upstream, until};

fn one_place(config: &mut Config) {
    let route = &mut config.routes[0];
    route.priority = PriorityBy::Header("x-priority".parse().unwrap());
    let bulkhead = route.bulkhead.as_mut().unwrap();
    (bulkhead.max_concurrent, bulkhead.max_queue) = (1, 10);
}

fn get(priority: &str) -> String {
    format!("GET /{priority} HTTP/1.1\r\nHost: a\r\nX-Priority: {priority}\r\n\r\n")
}

/// An upstream that answers its first request when told to.
async fn holding() -> (Upstream, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    let first = Act(Reads::Whole, vec![Step::Wait(go.clone()), Step::Say(answer.into())]);
    (Upstream::start([first, Act::ok("hi")]).await, go)
}

#[tokio::test]
async fn the_more_urgent_request_goes_first() {
    let (upstream, go) = holding().await;
    let proxy = Proxy::with(&[upstream.addr], one_place).await;
    let mut clients = Vec::new();
    for (n, priority) in ["normal", "low", "critical", "high"].into_iter().enumerate() {
        let mut client = Client::connect(proxy.addr).await;
        client.say(get(priority)).await;
        clients.push(client);
        until("it runs or waits", || proxy.inside() == 1 && proxy.queued() == n as u32).await;
    }
    go.notify_one();
    for client in &mut clients {
        assert!(client.hear().await.ends_with("hi"));
    }
    let order: Vec<_> = upstream
        .seen()
        .iter()
        .map(|request| request.split([' ', '/']).nth(2).unwrap_or_default().to_owned())
        .collect();
    assert_eq!(order, ["normal", "critical", "high", "low"]);
}

#[tokio::test]
async fn who_waits_too_long_or_leaves_gives_its_place_in_the_line_back() {
    let (upstream, go) = holding().await;
    let proxy = Proxy::with(&[upstream.addr], |config| {
        one_place(config);
        config.routes[0].bulkhead.as_mut().unwrap().max_wait = Duration::from_millis(100);
    })
    .await;
    let mut first = Client::connect(proxy.addr).await;
    first.say(get("normal")).await;
    until("it runs", || proxy.inside() == 1).await;
    let refused = Client::connect(proxy.addr).await.ask(get("normal")).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    let why = "details=\"as many requests are in progress as may be (waited too long)\"\r\n";
    assert!(refused.contains(why), "{refused}");
    let mut leaver = Client::connect(proxy.addr).await;
    leaver.say(get("normal")).await;
    until("it waits", || proxy.queued() == 1).await;
    drop(leaver);
    until("it has left", || proxy.queued() == 0).await;
    go.notify_one();
    assert!(first.hear().await.ends_with("hi"));
    assert!(Client::connect(proxy.addr).await.ask(get("normal")).await.ends_with("hi"));
    proxy.leaves_nothing(&[&upstream]).await;
}
