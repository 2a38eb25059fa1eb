//! `check` tells every mistake at once with its place, or what follows from a file without any.

use crate::kit::{ended, ended_into, file};

#[tokio::test]
async fn five_mistakes_are_five_lines() {
    let name = file("five.toml", WRONG);
    let mistakes = "five.toml:1:10: listen is \"127.0.0.1\", expected an address with a port such as \"127.0.0.1:8080\"\n\
         five.toml:3:14: endpoint \"https://10.0.0.1\": https is not supported yet, expected http://\n\
         five.toml:4:16: `10%` is no value; as text it needs quotes: \"10%\"\n\
         five.toml:8:1: unknown field `deadlin`, did you mean `deadline`?\n\
         five.toml:9:19: timeout.attempt is 5, expected a duration in quotes such as \"250ms\", \"1.5s\" or \"1m30s\"\n";
    for args in [["check", name].as_slice(), &["serve", "--config", name]] {
        let told = ended(args).await;
        assert_eq!(told.err, mistakes);
        assert_eq!((told.code, &*told.out), (Some(2), ""));
    }
}

#[tokio::test]
async fn what_follows_from_a_right_file_is_told() {
    let name = file("right.toml", RIGHT);
    let told = ended(&["check", name]).await;
    assert_eq!(
        told.out,
        "right.toml: 2 routes to 2 upstreams\n  \
         route orders: if one endpoint hangs, another answers after at most 5.025s; \
         if all hang, the call ends after at most 15s\n  \
         route orders: takes at most 100 requests at once, and up to 200 more wait, for each attempt at most 5s\n  \
         route users: if an endpoint hangs, the call ends after at most 5s\n  \
         route users: takes at most 100 requests at once, and up to 200 more wait, for each attempt at most 5s\n  \
         upstream orders: when it fails, gets at most 1.1 attempts per request, and 3 retries every 10s\n  \
         upstream users: has one endpoint, and fails with it\n"
    );
    assert_eq!((told.code, &*told.err), (Some(0), ""));
}

#[tokio::test]
async fn an_answer_nobody_takes_is_no_crash() {
    let name = file("untold.toml", RIGHT);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let told = ended_into(&["check", name], writer).await;
    assert_eq!(told.code, Some(1), "{}", told.err);
    assert!(told.err.starts_with("seawall: cannot tell what follows: "), "{}", told.err);
}

const WRONG: &str = r#"listen = "127.0.0.1"
[upstream.orders]
endpoints = ["https://10.0.0.1"]
retry_budget = 10%
[[route]]
name = "orders"
upstream = "orders"
deadlin = "15s"
timeout.attempt = 5
"#;

const RIGHT: &str = r#"
[upstream.orders]
endpoints = ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]
[upstream.users]
endpoints = ["http://10.0.0.3:8080"]
[[route]]
name = "orders"
match = { path = "/orders/*" }
upstream = "orders"
[[route]]
name = "users"
upstream = "users"
retry = false
"#;
