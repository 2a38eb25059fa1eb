//! Everything in `corpus/` again: what was once found stays found.

use std::{fs, path::Path};

#[test]
fn breaker() {
    replay("breaker", seawall_fuzz::breaker);
}

#[test]
fn bulkhead() {
    replay("bulkhead", seawall_fuzz::bulkhead);
}

#[test]
fn rate_limit() {
    replay("rate_limit", seawall_fuzz::rate_limit);
}

#[test]
fn budget() {
    replay("budget", seawall_fuzz::budget);
}

#[test]
fn config() {
    replay("config", seawall_fuzz::config);
}

/// Seeds that are refused at their first line would reach nothing.
#[test]
fn the_whole_files_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/config");
    let text = |file| fs::read_to_string(folder.join(file)).expect("the seed is there");
    let policies = seawall::config::parse(&text("whole.toml"), "whole.toml");
    assert_eq!(policies.expect("a good file").policies.len(), 2);
    let gateway = seawall_gateway::config::Config::from_toml(&text("gateway.toml"), "gateway.toml");
    assert_eq!(gateway.expect("a good file").routes.len(), 2);
}

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files = fs::read_dir(folder).expect("every target has a corpus");
    let mut replayed = 0;
    for file in files {
        let path = file.expect("the corpus can be listed").path();
        println!("{}", path.display());
        run(&fs::read(path).expect("the corpus can be read"));
        replayed += 1;
    }
    assert!(replayed > 0, "an empty corpus proves nothing");
}
