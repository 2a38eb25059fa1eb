//! `cargo xtask test`: every test of the workspace.
//!
//! Cargo's default members are the command alone, hence `--workspace`. One failing crate does not hide the
//! next one's failures.

use crate::step::{Step, run_all};

/// Whether all tests passed.
pub(crate) fn run() -> bool {
    run_all(&[Step::cargo("test --workspace --no-fail-fast")])
}
