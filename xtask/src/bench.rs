//! `cargo xtask bench`: the comparison benchmark, a workspace of its own so that nobody else has to build
//! the libraries we are compared with.

use crate::step::{Step, run_all};

/// Whether the benchmark, given `args`, ran to its end.
pub(crate) fn run(args: Vec<String>) -> bool {
    run_all(&[Step::cargo("run --release --manifest-path bench/peers/Cargo.toml --").args(args)])
}
