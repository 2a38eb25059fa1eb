//! `cargo xtask fuzz`: inputs nobody thought of, for the machines and the readers of configurations.
//!
//! The targets lie in `fuzz/`, a workspace of its own. Without a sanitizer (`-s none`) they build with the
//! stable compiler, and nothing is lost: what is looked for are broken promises, and there is no unsafe code.
//! What was found once stays in `fuzz/corpus` and is replayed by `cargo xtask test`.

use crate::step::{Step, run_all};

/// Whether nothing was found, in `seconds` for each target, or for one of them.
pub(crate) fn run(seconds: u32, target: Option<&str>) -> bool {
    if Step::cargo("fuzz --version").read().is_none() {
        eprintln!("not run: there is no cargo-fuzz; right: cargo install cargo-fuzz");
        return false;
    }
    let targets: Vec<&str> = target.map_or_else(|| TARGETS.to_vec(), |target| vec![target]);
    let steps: Vec<Step> = targets.into_iter().map(|target| step(target, seconds)).collect();
    run_all(&steps)
}

/// New inputs go to a folder git does not see; the committed ones are where it starts from.
fn step(target: &str, seconds: u32) -> Step {
    Step::cargo(&format!(
        "fuzz run --sanitizer none --features libfuzzer {target} fuzz/found/{target} fuzz/corpus/{target} \
         -- -max_total_time={seconds} -max_len=4096"
    ))
}

const TARGETS: [&str; 5] = ["breaker", "bulkhead", "rate_limit", "budget", "config"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::root;

    #[test]
    fn every_target_is_known_and_has_a_corpus() {
        let mut folders: Vec<String> = std::fs::read_dir(root().join("fuzz/corpus"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        folders.sort();
        let mut targets = TARGETS.to_vec();
        targets.sort_unstable();
        assert_eq!(folders, targets);
    }
}
