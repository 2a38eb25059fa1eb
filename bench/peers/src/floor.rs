//! The floor: what a call costs before anything is decided.
//!
//! Two clock reads, two visits to one mutex and the operation, in the order in which the stack does them. The
//! pending row has no timer here: what the floor lacks is what the timer and the decisions cost together.

use std::{
    hint::black_box,
    sync::{Arc, Mutex, PoisonError},
};

use crate::operation::{Broken, Operation};

/// Where machines would be, a number.
#[derive(Clone, Debug)]
pub(crate) struct Floor {
    clock: quanta::Clock,
    visits: Arc<Mutex<u64>>,
}

impl Floor {
    pub(crate) fn new() -> Self {
        Self { clock: quanta::Clock::new(), visits: Arc::default() }
    }

    pub(crate) async fn call(&self, operation: Operation) -> Result<u64, Broken> {
        self.visit();
        let answer = operation.run().await;
        self.visit();
        answer
    }

    #[inline]
    fn visit(&self) {
        black_box(self.clock.now());
        *self.visits.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}
