//! `cargo xtask loom`: the lock around machines, and who sleeps and is woken beside it, in every order in which threads can
//! meet.
//!
//! The models lie in `loom/`, a workspace of its own. They run for seconds, but what they need takes longer to build than all
//! that `cargo xtask test` builds for the core; so they are for changes of what locks, parks and wakes.

use crate::step::{Step, run_all};

/// Whether every order ended well.
pub(crate) fn run() -> bool {
    run_all(&[Step::cargo("test --locked --manifest-path loom/Cargo.toml")])
}
