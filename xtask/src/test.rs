//! `cargo xtask test`: every test of the workspace, every input that was once found, every planted defect.
//!
//! Cargo's default members are the command alone, hence `--workspace`. One failing crate does not hide the
//! next one's failures.

use crate::{
    planted,
    step::{Step, run_all},
};

/// Whether all tests passed, and noticed what they have to.
pub(crate) fn run() -> bool {
    let passed = run_all(&[
        Step::cargo("test --workspace --no-fail-fast"),
        Step::cargo("test --locked --manifest-path fuzz/Cargo.toml"),
    ]);
    planted::run() && passed
}
