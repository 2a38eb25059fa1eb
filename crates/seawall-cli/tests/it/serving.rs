//! `serve`: routes of a file lead where it says.

use crate::kit::{Seawall, Upstream, ask, file};

#[tokio::test]
async fn each_route_leads_to_its_upstream() {
    let (orders, users) = (Upstream::start("an order"), Upstream::start("a user"));
    let text = format!(
        "listen = \"127.0.0.1:0\"\n\
         [upstream.shop]\n\
         endpoints = [\"http://{}\"]\n\
         [upstream.people]\n\
         endpoints = [\"http://{}\"]\n\
         [[route]]\n\
         name = \"orders\"\n\
         match = {{ path = \"/orders/*\" }}\n\
         upstream = \"shop\"\n\
         [[route]]\n\
         name = \"users\"\n\
         match = {{ path = \"/users/*\", methods = [\"GET\"] }}\n\
         upstream = \"people\"\n",
        orders.addr, users.addr
    );
    let mut gateway = Seawall::start(&["serve", "--config", file("two.toml", &text)]);
    let addr = gateway.address("listening on http://").await;
    // Upstreams in the order of their names.
    gateway.hear(&format!("upstream people: {}", users.addr)).await;
    gateway.hear(&format!("upstream shop: {}", orders.addr)).await;

    assert_eq!(ask(addr, "/orders/7").await.body, "an order");
    assert_eq!(ask(addr, "/users/7").await.body, "a user");
    let answer = ask(addr, "/elsewhere").await;
    assert_eq!(answer.status, 404);
    assert!(answer.field("proxy-status").contains("destination_not_found"), "{answer:?}");

    gateway.signal("INT");
    let (code, said) = gateway.ended().await;
    assert_eq!(code, Some(0), "{said:#?}");
    for route in ["route orders: requests 1, succeeded 1", "route users: requests 1, succeeded 1"] {
        assert!(said.iter().any(|line| line.starts_with(route)), "{said:#?}");
    }
}
