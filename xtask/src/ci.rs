//! `cargo xtask ci`: all that a change has to pass.

use crate::{lint, test};

/// Whether tests and lints passed. The lints run in any case: one round tells everything.
pub(crate) fn run() -> bool {
    let tested = test::run();
    let linted = lint::run();
    tested && linted
}
