//! What the shell locks and counts with: the standard library's here, and the model checker's where `loom/` compiles the
//! shell once more to have it meet itself in every order.

pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};
