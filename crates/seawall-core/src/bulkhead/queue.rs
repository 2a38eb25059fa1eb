//! Who waits, in which order, and what became of those who no longer do.
//!
//! ```text
//!   table   places, one per ticket; a free one is used again under the next generation
//!   lanes   the waiters of a class, first come first; one lane for all where priority is off
//!   news    those whose wait has ended and whose wakers have not been told
//! ```
//!
//! Lanes and news are lines threaded through the table, so entering, leaving from the middle and moving from one
//! to the other are a handful of writes. A place stays its ticket's until the waiter has looked.

use alloc::vec::Vec;

use super::expiry::Expiry;
use crate::{Instant, Priority, Reason, Ticket};

/// Waiters and those who have ceased to wait. Its memory grows to what has been in it at once and stays.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    table: Vec<Place>,
    /// The first free place; the others follow by `next`.
    free: u32,
    lanes: [Line; 5],
    news: Line,
    /// From this place on somebody may have to be told that its wait ends sooner.
    sooner: u32,
    expiry: Expiry,
    /// Waiters of each class.
    waiting: [u32; 5],
    /// Waiters of all classes.
    len: u32,
    /// Refused, and the waiter has not looked.
    unseen: u32,
    /// Tickets that are out.
    held: u32,
}

/// What has become of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The place is free: the ticket is not of this queue, or of one who has looked.
    Free,
    /// It waits.
    Waiting,
    /// Its turn has come: it occupies a place in the bulkhead.
    Granted,
    /// It waited in vain.
    Refused(Reason),
}

/// One who waits, or has waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) class: Priority,
    pub(super) entered: Instant,
    pub(super) give_up_at: Instant,
}

/// One row of the table. 40 bytes.
#[derive(Clone, Debug)]
struct Place {
    waiter: Waiter,
    generation: u32,
    previous: u32,
    next: u32,
    state: State,
    /// Whether it stands in the news, or waits and has not heard that its wait ends sooner.
    untold: bool,
}

/// A line through the table.
#[derive(Clone, Copy, Debug)]
struct Line {
    first: u32,
    last: u32,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            table: Vec::new(),
            free: NONE,
            lanes: [EMPTY; 5],
            news: EMPTY,
            sooner: NONE,
            expiry: Expiry::new(),
            waiting: [0; 5],
            len: 0,
            unseen: 0,
            held: 0,
        }
    }

    /// Whether any ticket is out.
    pub(super) const fn is_held(&self) -> bool {
        self.held > 0
    }

    /// Waiters.
    #[inline]
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// Waiters of each class.
    pub(super) const fn waiting(&self) -> &[u32; 5] {
        &self.waiting
    }

    /// Waiters, and those who were refused and have not looked.
    pub(super) const fn occupied(&self) -> u32 {
        self.len.saturating_add(self.unseen)
    }

    /// Whether anybody waits, or is to be told.
    #[inline]
    pub(super) const fn is_asked(&self) -> bool {
        self.len > 0 || self.news.first != NONE
    }

    /// Whether the one at `place` still waits, and has nothing to hear of.
    pub(super) fn waits(&self, place: usize) -> bool {
        self.table.get(place).is_some_and(|row| row.state == State::Waiting && !row.untold)
    }

    /// The first in `lane`.
    pub(super) fn head(&self, lane: usize) -> Option<(u32, &Waiter)> {
        self.at(self.lanes[lane].first)
    }

    /// The last in `lane`.
    pub(super) fn tail(&self, lane: usize) -> Option<(u32, &Waiter)> {
        self.at(self.lanes[lane].last)
    }

    /// The wait that ends first: when, and at which place.
    #[inline]
    pub(super) fn next_end(&self) -> Option<(Instant, u32)> {
        self.expiry.first()
    }

    /// Who has, or had, `place`.
    pub(super) fn waiter(&self, place: u32) -> &Waiter {
        &self.table[place as usize].waiter
    }

    /// One more at the end of `lane`, whose wait ends at `end`.
    pub(super) fn enter(&mut self, waiter: Waiter, lane: usize, end: Instant) -> Ticket {
        let place = self.free_place(waiter);
        self.waiting[waiter.class.index()] += 1;
        self.len += 1;
        self.held += 1;
        self.append(|queue| &mut queue.lanes[lane], place);
        self.expiry.add(place, end);
        Ticket::new(self.table[place as usize].generation, place)
    }

    /// The waiter at `place` in `lane` has become `state`; it is news.
    pub(super) fn decide(&mut self, place: u32, lane: usize, state: State) {
        self.stop_waiting(place, lane);
        let row = &mut self.table[place as usize];
        (row.state, row.untold) = (state, true);
        self.unseen += u32::from(matches!(state, State::Refused(_)));
        self.append(|queue| &mut queue.news, place);
    }

    /// The holder of `ticket`, who waits, has looked.
    pub(super) fn look(&mut self, ticket: &Ticket) {
        self.table[ticket.place()].untold = false;
    }

    /// The place of one whose wait has ended, or ends sooner, and who has not been told; each is given once.
    pub(super) fn tell(&mut self) -> Option<u32> {
        while let Some(row) = self.table.get(self.sooner as usize) {
            self.sooner += 1;
            if row.state == State::Waiting && row.untold {
                return Some(self.sooner - 1);
            }
        }
        self.sooner = NONE;
        let place = self.news.first;
        self.at(place)?;
        self.table[place as usize].untold = false;
        self.unlink(|queue| &mut queue.news, place);
        Some(place)
    }

    /// What has become of `ticket`.
    pub(super) fn state(&self, ticket: &Ticket) -> State {
        match self.table.get(ticket.place()) {
            Some(row) if row.generation == ticket.generation() => row.state,
            Some(_) | None => State::Free,
        }
    }

    /// Takes whoever has `place` out of the queue, waiting in `lane` or not; its ticket is worth nothing now.
    pub(super) fn vacate(&mut self, place: u32, lane: usize) {
        let row = &self.table[place as usize];
        match row.state {
            State::Free => return,
            State::Waiting => self.stop_waiting(place, lane),
            State::Granted | State::Refused(_) => {
                self.unseen -= u32::from(matches!(row.state, State::Refused(_)));
                if row.untold {
                    self.unlink(|queue| &mut queue.news, place);
                }
            }
        }
        self.held -= 1;
        let row = &mut self.table[place as usize];
        (row.state, row.untold) = (State::Free, false);
        row.generation = row.generation.wrapping_add(1);
        row.next = self.free;
        self.free = place;
    }

    /// Lines all waiters up anew, each in the lane and with the end that `stand` gives. Who came first stays
    /// first; of those who came together, the more urgent.
    pub(super) fn line_up(&mut self, mut stand: impl FnMut(&Waiter) -> (usize, Instant)) {
        let mut old = core::mem::replace(&mut self.lanes, [EMPTY; 5]);
        let first = |queue: &Self, old: &[Line; 5]| {
            let heads = (0..5).filter_map(|lane| {
                queue.at(old[lane].first).map(|(place, waiter)| (waiter.entered, lane, place))
            });
            heads.min()
        };
        while let Some((_, lane, place)) = first(self, &old) {
            old[lane].first = self.table[place as usize].next;
            let (lane, end) = stand(self.waiter(place));
            self.append(|queue| &mut queue.lanes[lane], place);
            let before = self.expiry.remove(place);
            self.expiry.add(place, end);
            if end < before {
                self.table[place as usize].untold = true;
                self.sooner = 0;
            }
        }
    }

    fn at(&self, place: u32) -> Option<(u32, &Waiter)> {
        self.table.get(place as usize).map(|row| (place, &row.waiter))
    }

    /// A place for `waiter`: one used before, or a new one.
    fn free_place(&mut self, waiter: Waiter) -> u32 {
        let place = self.free;
        if let Some(row) = self.table.get_mut(place as usize) {
            self.free = row.next;
            (row.waiter, row.state) = (waiter, State::Waiting);
            return place;
        }
        self.table.push(Place {
            waiter,
            generation: 0,
            previous: NONE,
            next: NONE,
            state: State::Waiting,
            untold: false,
        });
        self.table.len() as u32 - 1
    }

    fn stop_waiting(&mut self, place: u32, lane: usize) {
        self.unlink(|queue| &mut queue.lanes[lane], place);
        self.expiry.remove(place);
        self.waiting[self.waiter(place).class.index()] -= 1;
        self.len -= 1;
    }

    /// Puts `place`, which is in no line, at the end of one.
    fn append(&mut self, line: impl Fn(&mut Self) -> &mut Line, place: u32) {
        let last = core::mem::replace(&mut line(self).last, place);
        let row = &mut self.table[place as usize];
        (row.previous, row.next) = (last, NONE);
        match self.table.get_mut(last as usize) {
            Some(row) => row.next = place,
            None => line(self).first = place,
        }
    }

    /// Takes `place` out of the line it is in.
    fn unlink(&mut self, line: impl Fn(&mut Self) -> &mut Line, place: u32) {
        let Place { previous, next, .. } = self.table[place as usize];
        match self.table.get_mut(previous as usize) {
            Some(row) => row.next = next,
            None => line(self).first = next,
        }
        match self.table.get_mut(next as usize) {
            Some(row) => row.previous = previous,
            None => line(self).last = previous,
        }
    }
}

/// No place. A table that long does not fit into memory.
const NONE: u32 = u32::MAX;
#[cfg(test)]
pub(super) const PLACE_BYTES: usize = size_of::<Place>();
const EMPTY: Line = Line { first: NONE, last: NONE };
