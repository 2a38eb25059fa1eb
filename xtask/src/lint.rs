//! `cargo xtask lint`: everything a machine can check without running the product.
//!
//! Every step runs even if an earlier one failed: one round tells everything.

use serde_json::Value;

use crate::step::{Step, root, run_all};

/// Whether nothing was found.
pub(crate) fn run() -> bool {
    let metadata = Step::cargo("metadata --no-deps --format-version 1");
    let Some(features) = metadata.read().as_deref().and_then(features) else {
        eprintln!("cannot tell the features of the library from `{metadata}`");
        return false;
    };
    let mut steps = vec![
        Step::cargo("fmt --all --check"),
        Step::cargo("clippy --workspace --all-targets -- -D warnings"),
        Step::cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings"),
        Step::cargo("test --package xtask --test tidy -- --show-output"),
        Step::cargo(BARE_LIBRARY),
    ];
    for feature in features {
        steps.push(Step::cargo(&format!("{BARE_LIBRARY} --features {feature}")));
    }
    for apart in APART.into_iter().filter(|path| root().join(path).is_dir()) {
        let manifest = format!("--manifest-path {apart}/Cargo.toml");
        steps.push(Step::cargo(&format!("fmt {manifest} --check")));
        // Without std there is no test harness either.
        let tests = if apart == BARE_CORE { "" } else { " --tests" };
        steps.push(Step::cargo(&format!("check --locked {manifest}{tests}")));
    }
    run_all(&steps)
}

/// The library's features, as cargo's metadata tells them; `default` only names others.
fn features(metadata: &str) -> Option<Vec<String>> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    let mut packages = metadata["packages"].as_array()?.iter();
    let library = packages.find(|package| package["name"] == "seawall")?;
    let features = library["features"].as_object()?.keys();
    Some(features.filter(|feature| *feature != "default").cloned().collect())
}

/// A feature adds and never changes, so each has to compile without the others.
const BARE_LIBRARY: &str = "check --package seawall --no-default-features";

/// Workspaces of their own, each with its own lock file.
const APART: [&str; 4] = [BARE_CORE, "fuzz", "loom", "bench/peers"];
const BARE_CORE: &str = "core-nostd";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_the_librarys_own() {
        let metadata = r#"{"packages": [
            {"name": "other", "features": {"loud": []}},
            {"name": "seawall", "features": {"config": ["dep:toml"], "default": ["http"], "http": []}}
        ]}"#;
        assert_eq!(features(metadata), Some(vec!["config".to_owned(), "http".to_owned()]));
        assert_eq!(features(r#"{"packages": []}"#), None);
    }
}
