//! The shell around machines, in every order in which threads can meet.
//!
//! ```text
//!   crates/seawall/src/shell.rs ── its `crate::sync` is loom's here ──▶ the same code, explored
//!   crates/seawall-core         ── as it is: the machines and the call are called under the shell's lock
//! ```
//!
//! What is looked for is what a mutex alone does not give: a waiter that is called up between its look and its
//! sleep, a turn whose owner leaves while it is granted, a call that is dropped while another is judged, a line that
//! two policies share behind two locks. A thread that is never woken is found as a deadlock.
//!
//! All else the library does on several threads it does under such a lock, one at a time: a keyed map, the budget, the
//! registry. `tests/it` runs those on real threads.

#[expect(dead_code, reason = "what the shell offers beyond the models here")]
#[path = "../../crates/seawall/src/shell.rs"]
mod shell;

/// What the shell locks with, for loom to interleave.
mod sync {
    pub(crate) use std::sync::{Arc, PoisonError};

    pub(crate) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
}

/// Nobody listens: the stream of the library belongs to its runtime.
mod observe {
    use std::sync::Arc;

    use seawall_core::Numbered;

    #[derive(Debug)]
    pub struct Teller;

    impl Teller {
        pub(crate) const fn is_heard(&self) -> bool {
            false
        }

        pub(crate) const fn tell(&self, _: &[Numbered], _: Option<&Arc<str>>) {}
    }
}

#[cfg(test)]
mod tests;
