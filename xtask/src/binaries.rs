//! Test binaries: built once by cargo, then run as often as wanted, each run with a bound.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::step::Step;

/// A program of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binary {
    /// The name of its package, which is that of its folder.
    pub(crate) package: String,
    /// The library's name, or that of the file in `tests`.
    pub(crate) target: String,
    /// The program.
    pub(crate) path: PathBuf,
    /// Where cargo would run it.
    folder: PathBuf,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Passed,
    Failed,
    /// It was still running when its time was over, and was killed.
    Late,
}

/// What `step`, a `cargo test --no-run`, builds. `None` if it does not.
pub(crate) fn build(step: Step) -> Option<Vec<Binary>> {
    let step = step.args(vec!["--no-run".to_owned(), "--message-format=json".to_owned()]);
    eprintln!("\n$ {step}");
    let messages = step.read()?;
    Some(messages.lines().filter_map(binary).collect())
}

impl Binary {
    /// The names of its tests.
    pub(crate) fn tests(&self) -> Vec<String> {
        let output = self.command().args(["--list", "--format", "terse"]).output();
        let listed = output.map(|output| output.stdout).unwrap_or_default();
        let listed = String::from_utf8_lossy(&listed);
        listed.lines().filter_map(|line| Some(line.strip_suffix(": test")?.to_owned())).collect()
    }

    /// To be run where cargo would run it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// Runs a command to its end, but not longer than `limit`. What it prints goes to `output`.
pub(crate) fn run_within(limit: Duration, mut command: Command, output: [Stdio; 2]) -> Ended {
    let [stdout, stderr] = output;
    let Ok(mut child) = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn() else {
        return Ended::Failed;
    };
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ended::Passed,
            Ok(None) if Instant::now() < end => pause(),
            Ok(None) => {
                // It may have ended this very moment; either way it is gone afterwards.
                let _ = child.kill();
                let _ = child.wait();
                return Ended::Late;
            }
            Ok(Some(_)) | Err(_) => return Ended::Failed,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the library knows no wait for a child with a bound")]
fn pause() {
    thread::sleep(GLANCE);
}

/// A line of cargo's about a binary of tests.
fn binary(line: &str) -> Option<Binary> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    Some(Binary {
        package: folder.file_name()?.to_string_lossy().into_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        path: message["executable"].as_str()?.into(),
        folder: folder.to_owned(),
    })
}

/// How often a running child is looked at: short beside any test, long beside a look.
const GLANCE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_that_cargo_says_binaries_of_tests_are_heard() {
        let said = |test: bool| {
            format!(
                r#"{{"reason": "compiler-artifact", "manifest_path": "a/b-c/Cargo.toml",
                "target": {{"name": "it"}}, "profile": {{"test": {test}}}, "executable": "d/it"}}"#
            )
        };
        let [package, target] = ["b-c", "it"].map(str::to_owned);
        let expected = Binary { package, target, path: "d/it".into(), folder: "a/b-c".into() };
        assert_eq!(binary(&said(true)), Some(expected));
        assert_eq!(binary(&said(false)), None);
        assert_eq!(binary(r#"{"reason": "build-finished"}"#), None);
        assert_eq!(binary("not JSON"), None);
    }

    #[test]
    fn a_run_is_bounded() {
        let run = |limit, args: &[&str]| {
            let mut command = Command::new("sh");
            command.args(args);
            run_within(limit, command, [Stdio::null(), Stdio::null()])
        };
        let long = Duration::from_secs(60);
        assert_eq!(run(long, &["-c", "exit 0"]), Ended::Passed);
        assert_eq!(run(long, &["-c", "exit 1"]), Ended::Failed);
        assert_eq!(run(Duration::ZERO, &["-c", "exec sleep 60"]), Ended::Late);
    }
}
