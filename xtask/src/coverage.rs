//! `cargo xtask coverage`: how much of each file the tests reach.
//!
//! ```text
//!   tests built with counters ─▶ run ─▶ *.profraw ─▶ llvm-profdata ─▶ llvm-cov ─▶ a line for each file
//! ```
//!
//! A file nobody reaches is not tested; one that is reached may be tested or not, and mutants tell which.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    binaries::{self, Binary, Ended, run_within},
    step::{Step, scratch},
};

/// Whether the table could be made, from tests that passed.
pub(crate) fn run() -> bool {
    let Some(tools) = tools().filter(|tools| tools.join("llvm-profdata").is_file()) else {
        eprintln!("not run: there are no llvm-tools; right: rustup component add llvm-tools");
        return false;
    };
    let target = scratch().join("coverage");
    let profiles = target.join("profiles");
    // What an earlier run has left would be counted too; there may be nothing.
    let _ = fs::remove_dir_all(&profiles);
    let step = Step::cargo("test --workspace").env("RUSTFLAGS", "-C instrument-coverage");
    let step = step.args(vec!["--target-dir".to_owned(), target.to_string_lossy().into_owned()]);
    let Some(binaries) = binaries::build(step) else { return false };
    let mut passed = true;
    for binary in &binaries {
        let mut command = binary.command();
        command.env("LLVM_PROFILE_FILE", profiles.join("%p-%m.profraw"));
        let ended = run_within(LIMIT, command, [Stdio::null(), Stdio::null()]);
        if ended != Ended::Passed {
            eprintln!("{}::{}: {ended:?}", binary.package, binary.target);
            passed = false;
        }
    }
    report(&tools, &profiles, &binaries) && passed
}

/// Joins the counts and prints a line for each file of ours.
fn report(tools: &Path, profiles: &Path, binaries: &[Binary]) -> bool {
    let Ok(entries) = fs::read_dir(profiles) else { return false };
    let raw: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let joined = profiles.join("all.profdata");
    let mut join = Command::new(tools.join("llvm-profdata"));
    join.args(["merge", "--sparse", "--output"]).arg(&joined).args(raw);
    let mut show = Command::new(tools.join("llvm-cov"));
    show.args(["report", "--ignore-filename-regex", NOT_OURS, "--instr-profile"]).arg(&joined);
    for binary in binaries {
        show.arg("--object").arg(&binary.path);
    }
    [join, show].iter_mut().all(|tool| tool.status().is_ok_and(|status| status.success()))
}

/// Where rustup puts the tools of the compiler in use.
fn tools() -> Option<PathBuf> {
    let output = Command::new("rustc").args(["--print", "target-libdir"]).output().ok()?;
    let libraries = String::from_utf8(output.stdout).ok()?;
    Some(Path::new(libraries.trim()).parent()?.join("bin"))
}

/// Far more than any binary takes, counters included.
const LIMIT: Duration = Duration::from_secs(300);

/// Dependencies, the standard library, and the tests themselves.
const NOT_OURS: &str = "/registry/|/rustc/|/tests/|tests\\.rs$|xtask/";
