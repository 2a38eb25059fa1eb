//! Those who wait for their turn, first come first, in a table whose places their tickets name.
//!
//! The line is threaded through the table, so leaving it from the middle is a handful of writes. A place stays its
//! ticket's until the holder has looked; then it is used again under the next generation.

use alloc::vec::Vec;

use crate::{Instant, Reason, Ticket};

/// The line. Its memory grows to what has been in it at once and stays.
#[derive(Clone, Debug)]
pub(super) struct Line {
    table: Vec<Place>,
    /// The first free place; the others follow by `next`.
    free: u32,
    first: u32,
    last: u32,
    len: u32,
    /// Tickets that are out.
    held: u32,
    /// What all who wait cost together.
    cost: u64,
}

/// One who waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) cost: u64,
    pub(super) give_up_at: Instant,
}

/// What has become of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The ticket is not of this line, or its holder has looked.
    Free,
    Waiting,
    /// Its turn has come. With it: the turn before, which is the latest again if this one is not taken.
    Granted(Turn),
    Refused(Reason),
}

/// When a call was let through, and for how long it keeps the next one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// In parts since the origin.
    pub(super) at: u128,
    pub(super) cost: u64,
}

#[derive(Clone, Debug)]
struct Place {
    waiter: Waiter,
    state: State,
    /// When its holder looks by itself.
    due: Instant,
    /// Its holder has been told to look, and has not.
    called: bool,
    generation: u32,
    previous: u32,
    next: u32,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self { table: Vec::new(), free: NONE, first: NONE, last: NONE, len: 0, held: 0, cost: 0 }
    }

    /// How many wait.
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// How many wait, or have waited and not looked.
    pub(super) const fn held(&self) -> u32 {
        self.held
    }

    /// What all who wait cost together.
    pub(super) const fn cost(&self) -> u64 {
        self.cost
    }

    /// The first who waits.
    pub(super) fn first(&self) -> Option<(u32, Waiter)> {
        self.table.get(self.first as usize).map(|place| (self.first, place.waiter))
    }

    /// The last who waits.
    pub(super) const fn last(&self) -> u32 {
        self.last
    }

    /// All who wait, in order.
    pub(super) fn waiters(&self) -> impl Iterator<Item = (u32, Waiter)> {
        let mut at = self.first;
        core::iter::from_fn(move || {
            let place = self.table.get(at as usize)?;
            let waiter = (at, place.waiter);
            at = place.next;
            Some(waiter)
        })
    }

    /// One more at the end, who looks by itself at `due`.
    pub(super) fn enter(&mut self, waiter: Waiter, due: Instant) -> Ticket {
        let at = self.place(waiter, due);
        match self.table.get_mut(self.last as usize) {
            Some(last) => last.next = at,
            None => self.first = at,
        }
        self.last = at;
        self.len += 1;
        self.held += 1;
        self.cost = self.cost.saturating_add(waiter.cost);
        Ticket::new(self.table[at as usize].generation, at)
    }

    /// What has become of `ticket`.
    pub(super) fn state(&self, ticket: &Ticket) -> State {
        match self.table.get(ticket.place()) {
            Some(place) if place.generation == ticket.generation() => place.state,
            Some(_) | None => State::Free,
        }
    }

    /// Whether the one at `place` still waits, with nothing to hear of.
    pub(super) fn waits(&self, place: usize) -> bool {
        self.table.get(place).is_some_and(|row| row.state == State::Waiting && !row.called)
    }

    /// When the holder of `ticket` looks by itself, if it is of this line.
    pub(super) fn due(&self, ticket: &Ticket) -> Option<Instant> {
        (self.state(ticket) != State::Free).then(|| self.table[ticket.place()].due)
    }

    /// Calls up the first if it does not know that its turn comes at `turn`: its place.
    pub(super) fn call_up(&mut self, turn: Instant) -> Option<usize> {
        let first = self.table.get_mut(self.first as usize)?;
        if first.called || first.due == turn {
            return None;
        }
        first.called = true;
        Some(self.first as usize)
    }

    /// The holder of `ticket`, who waits, has looked in vain. The first looks again at `turn`, any other when it was
    /// told to: if that has passed, it will be the first before its turn comes, and be called up.
    pub(super) fn look_again(&mut self, ticket: &Ticket, turn: Instant, now: Instant) {
        let first = self.first as usize == ticket.place();
        let place = &mut self.table[ticket.place()];
        place.called = false;
        if first {
            place.due = turn;
        } else if place.due <= now {
            place.due = place.waiter.give_up_at;
        }
    }

    /// The waiter at `at` has become `state` and waits no longer.
    pub(super) fn decide(&mut self, at: u32, state: State) {
        let place = &mut self.table[at as usize];
        place.state = state;
        let (previous, next, cost) = (place.previous, place.next, place.waiter.cost);
        match self.table.get_mut(previous as usize) {
            Some(place) => place.next = next,
            None => self.first = next,
        }
        match self.table.get_mut(next as usize) {
            Some(place) => place.previous = previous,
            None => self.last = previous,
        }
        self.len -= 1;
        self.cost -= cost;
    }

    /// The holder of `ticket`, who is not [`State::Free`], has looked or gone.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        let at = ticket.place() as u32;
        if self.state(ticket) == State::Waiting {
            self.decide(at, State::Free);
        }
        let place = &mut self.table[at as usize];
        place.state = State::Free;
        place.generation = place.generation.wrapping_add(1);
        place.next = self.free;
        self.free = at;
        self.held -= 1;
    }

    /// No turn that was granted and not yet taken can be given back.
    pub(super) fn forget_turns(&mut self) {
        for place in &mut self.table {
            if let State::Granted(before) = &mut place.state {
                before.at = u128::MAX;
            }
        }
    }

    /// A place for `waiter`: one used before, or a new one.
    fn place(&mut self, waiter: Waiter, due: Instant) -> u32 {
        let (at, previous) = (self.free, self.last);
        if let Some(place) = self.table.get_mut(at as usize) {
            self.free = place.next;
            *place = Place {
                waiter,
                state: State::Waiting,
                due,
                called: false,
                generation: place.generation,
                previous,
                next: NONE,
            };
            return at;
        }
        let state = State::Waiting;
        let (called, generation, next) = (false, 0, NONE);
        self.table.push(Place { waiter, state, due, called, generation, previous, next });
        self.table.len() as u32 - 1
    }
}

/// No place. A table that long does not fit into memory.
const NONE: u32 = u32::MAX;
