//! The bulkhead: at most so many calls at once, so that one slow dependency cannot fill the whole ship.
//!
//! ```text
//!   admit: running < max_concurrent ? a place : refused at once, "full"
//!   leave: the place is free
//! ```
//!
//! This first machine has no queue: what finds no place is refused at once. A place is held until the call
//! has ended altogether, for a streamed answer until its last byte.

use crate::{Admission, Invalid, Pattern, Permit, Reason, Refusal, invalid::first};

/// Settings of a [`Bulkhead`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "configuration, written with struct update from Default"
)]
pub struct BulkheadConfig {
    /// Calls at once. Default 100. 0 refuses every call.
    pub max_concurrent: u32,
}

impl Default for BulkheadConfig {
    fn default() -> Self {
        Self { max_concurrent: 100 }
    }
}

impl BulkheadConfig {
    /// Tells every setting that makes no sense; there is none that does not.
    pub fn check(&self, _found: &mut dyn FnMut(Invalid)) {}
}

/// The machine. 32 bytes.
#[derive(Clone, Debug)]
pub struct Bulkhead {
    max_concurrent: u32,
    running: u32,
    refused: u64,
}

impl Bulkhead {
    /// An empty bulkhead.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn new(config: &BulkheadConfig) -> Result<Self, Invalid> {
        first(|found| config.check(found))?;
        Ok(Self { max_concurrent: config.max_concurrent, running: 0, refused: 0 })
    }

    /// A place, or a refusal. No time is named: a place frees when somebody else's call ends.
    #[inline]
    pub const fn admit(&mut self) -> Admission {
        if self.running >= self.max_concurrent {
            self.refused += 1;
            return Admission::No(Refusal::new(Pattern::Bulkhead, Reason::Full));
        }
        self.running += 1;
        Admission::Go(Permit::new(0, 0))
    }

    /// The call that held `permit` has ended.
    #[inline]
    pub const fn leave(&mut self, permit: Permit) {
        let Permit { .. } = permit;
        self.running = self.running.saturating_sub(1);
    }

    /// Its figures.
    #[must_use]
    pub const fn snapshot(&self) -> BulkheadSnapshot {
        BulkheadSnapshot {
            running: self.running,
            max_concurrent: self.max_concurrent,
            refused: self.refused,
        }
    }
}

/// What a [`Bulkhead`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkheadSnapshot {
    /// Calls running.
    pub running: u32,
    /// Calls that may run at once.
    pub max_concurrent: u32,
    /// Calls refused, ever.
    pub refused: u64,
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_more_than_the_limit_and_never_a_place_lost(
            max in 0u32..5, steps in prop::collection::vec(any::<bool>(), 0..200),
        ) {
            let mut bulkhead = Bulkhead::new(&BulkheadConfig { max_concurrent: max }).unwrap();
            let (mut held, mut refused) = (Vec::new(), 0);
            for enter in steps {
                if enter {
                    match bulkhead.admit() {
                        Admission::Go(permit) => { prop_assert!((held.len() as u32) < max); held.push(permit); }
                        Admission::No(refusal) => {
                            prop_assert_eq!(held.len() as u32, max);
                            prop_assert_eq!((refusal.by, refusal.reason), (Pattern::Bulkhead, Reason::Full));
                            refused += 1;
                        }
                    }
                } else if let Some(permit) = held.pop() {
                    bulkhead.leave(permit);
                }
                prop_assert_eq!(bulkhead.snapshot().running, held.len() as u32);
            }
            prop_assert_eq!(bulkhead.snapshot().refused, refused);
        }
    }
}
