//! `check` tells every mistake at once with its place, or what follows from a file without any.

use crate::kit::{ended, file};

#[tokio::test]
async fn five_mistakes_are_five_lines() {
    let name = file(
        "five.toml",
        "listen = \"127.0.0.1\"\n\
         [upstream.orders]\n\
         endpoints = [\"https://10.0.0.1\"]\n\
         retry_budget = 10%\n\
         [[route]]\n\
         name = \"orders\"\n\
         upstream = \"orders\"\n\
         deadlin = \"15s\"\n\
         timeout.attempt = 5\n",
    );
    let mistakes = "five.toml:1:10: listen is \"127.0.0.1\", expected an address with a port such as \"127.0.0.1:8080\"\n\
         five.toml:3:14: endpoint \"https://10.0.0.1\": https is not supported yet, expected http://\n\
         five.toml:4:16: `10%` is no value; as text it needs quotes: \"10%\"\n\
         five.toml:8:1: unknown field `deadlin`, did you mean `deadline`?\n\
         five.toml:9:19: timeout.attempt is 5, expected a duration in quotes such as \"5s\"\n";
    for args in [["check", name].as_slice(), &["serve", "--config", name]] {
        let told = ended(args).await;
        assert_eq!(told.err, mistakes);
        assert_eq!((told.code, &*told.out), (Some(2), ""));
    }
}

#[tokio::test]
async fn what_follows_from_a_right_file_is_told() {
    let name = file(
        "right.toml",
        "[upstream.orders]\n\
         endpoints = [\"http://10.0.0.1:8080\", \"http://10.0.0.2:8080\"]\n\
         [upstream.users]\n\
         endpoints = [\"http://10.0.0.3:8080\"]\n\
         [[route]]\n\
         name = \"orders\"\n\
         match = { path = \"/orders/*\" }\n\
         upstream = \"orders\"\n\
         [[route]]\n\
         name = \"users\"\n\
         upstream = \"users\"\n\
         retry = false\n",
    );
    let told = ended(&["check", name]).await;
    assert_eq!(
        told.out,
        "right.toml: 2 routes to 2 upstreams\n  \
         route orders: if one endpoint hangs, another answers after at most 5.025s; \
         if all hang, the call ends after at most 15s\n  \
         route users: if an endpoint hangs, the call ends after at most 5s\n  \
         upstream orders: when it fails, gets at most 1.1 attempts per request, and 3 retries every 10s\n  \
         upstream users: has one endpoint, and fails with it\n"
    );
    assert_eq!((told.code, &*told.err), (Some(0), ""));
}
