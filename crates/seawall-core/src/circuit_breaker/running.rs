//! The calls that still run, and since when: so that a callee that answers nobody is slow all the same.
//!
//! ```text
//!   admitted ▸ in the table ▸ slow_after has passed ▸ counted as slow, once
//!                           ▸ its answer has begun  ▸ looked at no more, counted when it ends
//! ```
//!
//! The table is small and bounded. A call that finds it full is not seen while it runs and counted by how long it
//! took when it ends: of a hung callee the calls that are seen suffice to open the breaker.

use alloc::boxed::Box;
use core::time::Duration;

use crate::{Instant, time::nanos};

/// Calls that run, by the place their permits name.
#[derive(Clone, Debug)]
pub(super) struct Running {
    since: Box<[Instant]>,
    /// A bit for each place that is taken.
    taken: u64,
    /// Taken, and no longer looked at.
    settled: u64,
    /// Settled, because they were counted as slow.
    counted: u64,
}

impl Running {
    /// A table of so many places, 64 at most.
    pub(super) fn new(places: u8) -> Self {
        let places = places.min(RUNNING_MAX);
        Self {
            since: alloc::vec![Instant::NEVER; usize::from(places)].into_boxed_slice(),
            taken: 0,
            settled: 0,
            counted: 0,
        }
    }

    /// The place, from 1, of a call that starts; 0 when the table is full.
    pub(super) fn enter(&mut self, now: Instant) -> u8 {
        let free = self.taken.trailing_ones();
        let Some(since) = self.since.get_mut(free as usize) else { return 0 };
        *since = now;
        self.taken |= 1 << free;
        free as u8 + 1
    }

    /// A call ended: whether it was counted as slow already.
    pub(super) const fn leave(&mut self, place: u8) -> bool {
        let bit = bit(place);
        let counted = self.counted & bit != 0;
        (self.taken, self.settled, self.counted) =
            (self.taken & !bit, self.settled & !bit, self.counted & !bit);
        counted
    }

    /// A call's answer has begun: from here on its duration is not the callee's.
    pub(super) const fn settle(&mut self, place: u8) {
        self.settled |= bit(place);
    }

    /// A call has run too long and is counted.
    pub(super) const fn count(&mut self, place: u8) {
        self.settled |= bit(place);
        self.counted |= bit(place);
    }

    pub(super) const fn is_counted(&self, place: u8) -> bool {
        self.counted & bit(place) != 0
    }

    /// The one that has run longest of those looked at, and since when.
    pub(super) fn oldest(&self) -> Option<(u8, Instant)> {
        self.watched().map(|n| (n as u8 + 1, self.since[n])).min_by_key(|(_, since)| *since)
    }

    /// What was not slow until `now` is not found to have been before `now`: it is as if none had run longer than
    /// `slow_after`.
    pub(super) fn excuse(&mut self, slow_after: Duration, now: Instant) {
        let earliest = now.as_nanos().saturating_sub(nanos(slow_after));
        self.since
            .iter_mut()
            .for_each(|since| *since = (*since).max(Instant::from_nanos(earliest)));
    }

    /// How many run that were counted as slow.
    pub(super) const fn slow(&self) -> u32 {
        self.counted.count_ones()
    }

    pub(super) const fn clear(&mut self) {
        (self.taken, self.settled, self.counted) = (0, 0, 0);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.taken == 0
    }

    fn watched(&self) -> impl Iterator<Item = usize> + use<> {
        let mut left = self.taken & !self.settled;
        core::iter::from_fn(move || {
            let n = left.trailing_zeros();
            // Clears the lowest bit that is set.
            left &= left.checked_sub(1)?;
            Some(n as usize)
        })
    }
}

/// The bit of a place; none for 0, nor beyond what any table has.
const fn bit(place: u8) -> u64 {
    if place == 0 || place > RUNNING_MAX { 0 } else { 1 << (place - 1) }
}

/// A bit each in one word. Beyond some dozens that hang, more hanging calls say nothing new.
pub(super) const RUNNING_MAX: u8 = 64;
