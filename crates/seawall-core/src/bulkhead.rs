//! The bulkhead: at most so many calls at once, so that one slow dependency cannot fill the whole ship; and a
//! short line of those who wait for a place, by urgency.
//!
//! ```text
//!   admit ── a place free, nobody before me ─────────────▸ Go      leave: the place is free
//!     ├───── no place, and room to wait ──▸ Wait ─┬ my turn ─▸ Go
//!     │                                           ├ max_wait, the deadline, a more urgent call ─▸ No
//!     │                                           └ abandoned: as if never asked, granted or not
//!     └───── no room, or no hope ─────────▸ No
//! ```
//!
//! Who is next: the oldest head of a class that has waited half of `max_wait`, else the head of the most urgent
//! class. So urgency decides while waits are short, and age before they are over. (Counting age against
//! urgency in steps starves: under steady overload the urgent ones have aged too.) Passed over is only who may
//! not start: a class leaves alone what others have reserved and not used.
//!
//! Who may wait: in a queue of five or more every class keeps one place. Where there is no room, the youngest of
//! the least urgent class that has more than one waiting makes room for a more urgent call. Who cannot be served
//! in time, by what calls have taken lately, is refused at once and not after a wait in vain.
//!
//! A visit to the bulkhead ends with [`settle`](Bulkhead::settle) until it has nothing more to tell: there places
//! are handed on. So no place is free that a waiter may use. A place is held until the call has ended
//! altogether, for a streamed answer until its last byte.

mod config;
mod expiry;
mod memory;
mod queue;
mod reconfigure;
mod rules;
mod snapshot;
#[cfg(test)]
mod tests;
mod waiting;

use core::time::Duration;

pub use self::{config::BulkheadConfig, memory::BulkheadMemory, snapshot::BulkheadSnapshot};
use self::{queue::Queue, rules::unreserved};
use crate::{
    Admission, Instant, Invalid, Permit, Priority, Reason, invalid::first, permit::first_epoch,
    time::nanos,
};

/// The machine. 376 bytes, and 64 for each who ever waited at once, of whom there are at most `2 * max_queue +
/// max_concurrent`. Every verb takes constant time or that of a heap of the waiters; only waits that end together
/// are ended together.
#[derive(Clone, Debug)]
pub struct Bulkhead {
    /// Calls that have a place, granted tickets included.
    running: u32,
    /// With fewer running any class may start, whatever is reserved.
    unreserved: u32,
    /// Of all machines that have been here.
    era: u32,
    queue: Queue,
    /// Calls that have a place, by class.
    active: [u32; 5],
    admitted: [u64; 5],
    completed: u64,
    /// Of those completed, the ones of which it has no memory: they were others'.
    forgotten: u64,
    /// How long calls have run lately, in eighths of a nanosecond.
    run_time: u64,
    config: BulkheadConfig,
    /// The latest instant seen.
    latest: Instant,
    refused: u64,
    waits_over: u64,
    displaced: u64,
    hopeless: u64,
    abandoned: u64,
}

impl Bulkhead {
    /// An empty bulkhead.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn new(config: &BulkheadConfig) -> Result<Self, Invalid> {
        first(|found| config.check(found))?;
        Ok(Self {
            running: 0,
            unreserved: unreserved(config),
            era: 0,
            queue: Queue::new(),
            active: [0; 5],
            admitted: [0; 5],
            completed: 0,
            forgotten: 0,
            run_time: 0,
            config: config.clone(),
            latest: Instant::ORIGIN,
            refused: 0,
            waits_over: 0,
            displaced: 0,
            hopeless: 0,
            abandoned: 0,
        })
    }

    /// The same machine, to whom permits and tickets of those that were here before mean nothing: `era` is another than
    /// theirs, and not 0, which is that of the first.
    #[must_use]
    pub const fn joining(mut self, era: u32) -> Self {
        self.era = era;
        self
    }

    /// A place, a ticket to wait for one, or a refusal. The ticket is refused at `give_up_at` at the latest.
    #[inline]
    pub fn admit(&mut self, priority: Priority, give_up_at: Instant, now: Instant) -> Admission {
        if self.queue.len() == 0 && self.running < self.unreserved {
            return Admission::Go(self.start(priority));
        }
        self.admit_or_wait(priority, give_up_at, now)
    }

    /// A place or a refusal, for one that does not wait: it drives nobody out of the line.
    pub fn admit_at_once(&mut self, priority: Priority, now: Instant) -> Admission {
        self.advance(now);
        // Whoever waits may not start, or would have been called up: nobody comes before this one.
        if self.may_start(priority) {
            return Admission::Go(self.start(priority));
        }
        let never = self.is_shut_out(priority);
        self.refuse(if never { Reason::TooLarge } else { Reason::Full }, None)
    }

    /// The call that held `permit` has ended, after `ran`. Of another bulkhead's permits nothing is known here.
    #[inline]
    pub fn leave(&mut self, permit: Permit, ran: Duration) {
        if permit.epoch() != first_epoch(self.era) {
            return;
        }
        self.free(usize::from(permit.slot()));
        self.completed += 1;
        // From nothing, so that it is short while little is known: then too many wait, and not too few.
        self.run_time -= self.run_time >> DECAY_SHIFT;
        self.run_time += nanos(ran).min(u64::MAX >> (DECAY_SHIFT + 1));
    }

    /// The call that was given `permit` does not run after all.
    pub fn withdraw(&mut self, permit: Permit) {
        if permit.epoch() == first_epoch(self.era) {
            self.free(usize::from(permit.slot()));
        }
    }

    /// How long one may hold a place.
    #[inline]
    #[must_use]
    pub const fn max_run(&self) -> Option<Duration> {
        self.config.max_run
    }

    /// Threads for blocking work, if that was said.
    #[must_use]
    pub const fn pool_threads(&self) -> Option<u32> {
        self.config.pool_threads
    }

    #[inline]
    fn start(&mut self, class: Priority) -> Permit {
        self.running += 1;
        self.active[class.index()] += 1;
        self.admitted[class.index()] += 1;
        self.permit(class)
    }

    #[inline]
    const fn permit(&self, class: Priority) -> Permit {
        Permit::new(first_epoch(self.era), class.index() as u8)
    }

    /// A place that one of `class` held.
    #[inline]
    fn free(&mut self, class: usize) {
        self.running = self.running.saturating_sub(1);
        if let Some(active) = self.active.get_mut(class) {
            *active = active.saturating_sub(1);
        }
    }
}

/// A call weighs an eighth of what calls have taken lately: it follows a change within some twenty calls.
const DECAY_SHIFT: u32 = 3;
