//! What a bulkhead shows.

use super::Bulkhead;

/// What a [`Bulkhead`] shows. Every call that asked was admitted, refused or abandoned, or has a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkheadSnapshot {
    /// Calls that have a place, those included that have not yet seen that their turn has come.
    pub running: u32,
    /// Calls that may run at once.
    pub max_concurrent: u32,
    /// Calls refused, ever, before or after a wait.
    pub refused: u64,
    /// Calls waiting.
    pub queued: u32,
    /// Calls waiting, by class, the most urgent first.
    pub queued_by_class: [u32; 5],
    /// Calls admitted, ever, by class.
    pub admitted_by_class: [u64; 5],
    /// Calls that have ended, of those admitted.
    pub completed: u64,
    /// Of those refused: out of time, at `max_wait` or at their deadline.
    pub waits_over: u64,
    /// Of those refused: displaced by a more urgent call.
    pub displaced: u64,
    /// Of those refused: their turn would have come too late.
    pub hopeless: u64,
    /// Waiters that left before they had looked whether their turn had come.
    pub abandoned: u64,
}

impl Bulkhead {
    /// Its figures.
    #[must_use]
    pub const fn snapshot(&self) -> BulkheadSnapshot {
        BulkheadSnapshot {
            running: self.running,
            max_concurrent: self.config.max_concurrent,
            refused: self.refused,
            queued: self.queue.len(),
            queued_by_class: *self.queue.waiting(),
            admitted_by_class: self.admitted,
            completed: self.completed,
            waits_over: self.waits_over,
            displaced: self.displaced,
            hopeless: self.hopeless,
            abandoned: self.abandoned,
        }
    }
}
