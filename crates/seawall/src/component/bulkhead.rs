//! The bulkhead by itself: around an operation, or as a slot that is held while the caller's own code runs.

use std::fmt;

use seawall_core::{Ask, BulkheadConfig, BulkheadSnapshot, Priority, Verdict};

use super::{
    KEPT,
    by_hand::{Acquire, Begun, begin, end},
    component,
};
use crate::{Error, Policy, PolicyMachines, PoolSnapshot, Refused};

/// Limits how many calls run at once, and how many wait for a slot. Cheap to clone; clones are the same bulkhead.
///
/// ```
/// use seawall::{Bulkhead, BulkheadConfig, Priority};
///
/// let config = BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() };
/// let bulkhead = Bulkhead::new("reports", config)?;
/// let slot = bulkhead.acquire(Priority::High).blocking()?;
/// assert!(bulkhead.try_acquire(Priority::High).is_err());
/// drop(slot);
/// assert_eq!(bulkhead.run_blocking(|| Ok::<_, ()>(7)).unwrap(), 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bulkhead(pub(crate) Policy);

component!(Bulkhead, bulkhead: BulkheadConfig);

impl Bulkhead {
    /// A slot, waited for at most [`max_wait`](BulkheadConfig::max_wait) and the caller's own
    /// [`deadline`](Acquire::deadline). Held by hand it has no [`max_run`](BulkheadConfig::max_run).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use seawall::{Bulkhead, BulkheadConfig, Priority};
    /// let bulkhead = Bulkhead::new("reports", BulkheadConfig::default())?;
    /// let slot = bulkhead.acquire(Priority::High).deadline(Duration::from_secs(1)).await?;
    /// assert_eq!(bulkhead.snapshot().running, 1);
    /// drop(slot);
    /// assert_eq!(bulkhead.snapshot().running, 0);
    /// # Ok(()) }
    /// ```
    pub fn acquire(&self, priority: Priority) -> Acquire<'_, Slot> {
        Acquire::new(&self.0, Ask { priority, ..Ask::default() }, Slot)
    }

    /// A slot if one is free.
    ///
    /// # Errors
    /// That it is full, or never has a place for this class.
    pub fn try_acquire(&self, priority: Priority) -> Result<Slot, Refused> {
        begin(&self.0, Ask { priority, at_once: true, ..Ask::default() }).map(Slot)
    }

    /// Runs an operation on threads of the bulkhead's own, as [`Policy::run_pooled`] does.
    ///
    /// # Errors
    /// As [`Policy::run`].
    ///
    /// # Panics
    /// If the operation does.
    pub fn run_pooled<T, E, F>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: Fn() -> Result<T, E> + Send + Sync + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        self.0.run_pooled(operation)
    }

    /// The threads of [`run_pooled`](Self::run_pooled).
    #[must_use]
    pub fn pool_snapshot(&self) -> PoolSnapshot {
        self.0.pool_snapshot()
    }

    /// Its figures.
    #[must_use]
    pub fn snapshot(&self) -> BulkheadSnapshot {
        let seen = |machines: &PolicyMachines| machines.bulkhead.as_ref().map(|it| it.snapshot());
        self.0.read(seen).expect(KEPT)
    }
}

/// A place in a bulkhead, the next one's when it is dropped.
#[must_use = "dropped at once, it is free again"]
pub struct Slot(Begun);

impl Drop for Slot {
    fn drop(&mut self) {
        end(&mut self.0, Verdict::SUCCESS);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("of", self.0.shared().name()).finish_non_exhaustive()
    }
}
