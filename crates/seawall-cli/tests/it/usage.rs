//! Wrong usage is told in a line and by exit code 2; an address that cannot be had by 1.

use std::net::TcpListener;

use crate::kit::ended;

#[tokio::test]
async fn the_version_is_told() {
    let told = ended(&["--version"]).await;
    assert_eq!(told.code, Some(0));
    assert_eq!(told.out, concat!("seawall ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(told.err, "");
}

#[tokio::test]
async fn wrong_usage_is_told_by_name() {
    for (args, wanted) in [
        (&[][..], "Usage: seawall"),
        (&["serv"], "unrecognized subcommand 'serv'"),
        (&["proxy"], "--to <URL>"),
        (&["proxy", "--to", "http://a", "--listen", "8080"], "'8080' for '--listen <ADDR>'"),
        (&["serve"], "--config <FILE>"),
        (&["check"], "<FILE>"),
        (&["demo", "--seconds", "1"], "'1' for '--seconds <SECONDS>'"),
    ] {
        let told = ended(args).await;
        assert_eq!(told.code, Some(2), "{args:?}: {}", told.err);
        assert!(told.err.contains(wanted), "{args:?}: {}", told.err);
        assert_eq!(told.out, "");
    }
}

#[tokio::test]
async fn a_flag_that_makes_no_sense_is_one_line() {
    for (url, wrong) in [
        ("https://h", "https is not supported yet, expected http://"),
        ("http://h/path", "a path is not supported yet, expected http://host:port"),
        ("h:80", "expected a URL such as \"http://10.0.0.1:8080\""),
    ] {
        let told = ended(&["proxy", "--to", url, "--listen", "127.0.0.1:0"]).await;
        assert_eq!(told.code, Some(2), "{}", told.err);
        assert_eq!(told.err, format!("seawall: --to {url}: {wrong}\n"));
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_one_line() {
    for args in [["check", "none.toml"].as_slice(), &["serve", "--config", "none.toml"]] {
        let told = ended(args).await;
        assert_eq!(told.code, Some(2), "{}", told.err);
        assert!(told.err.starts_with("seawall: cannot read none.toml: "), "{}", told.err);
        assert_eq!((told.err.lines().count(), &*told.out), (1, ""));
    }
}

#[tokio::test]
async fn an_address_in_use_is_one_line_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    for (listen, admin) in [(&*taken, free), (free, &taken)] {
        let told =
            ended(&["proxy", "--to", "http://h", "--listen", listen, "--admin", admin]).await;
        assert_eq!(told.code, Some(1), "{}", told.err);
        let wanted = format!("seawall: cannot listen on {taken}: ");
        assert!(told.err.starts_with(&wanted), "{}", told.err);
        assert_eq!(told.err.lines().count(), 1);
    }
}
