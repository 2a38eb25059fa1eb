//! Who waits for tokens, in which order, and who has been told to look.

use alloc::collections::BTreeMap;

use crate::{Instant, Priority, Ticket, permit::first_place};

/// The line. Its memory grows with those in it.
#[derive(Clone, Debug, Default)]
pub(in crate::rate_limit) struct Waiting {
    line: BTreeMap<Place, Waiter>,
    /// The last number handed out.
    entered: u64,
    /// Who has been told to be the first.
    first: Option<Place>,
    /// It has been called up and has not looked.
    called: bool,
    /// When it looks by itself.
    due: Option<Instant>,
}

/// One who waits.
#[derive(Clone, Copy, Debug)]
pub(in crate::rate_limit) struct Waiter {
    pub(in crate::rate_limit) cost: u64,
    pub(in crate::rate_limit) give_up_at: Instant,
}

/// Where one stands: by class, then by when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::rate_limit) struct Place {
    pub(in crate::rate_limit) class: Priority,
    number: u64,
}

impl Waiting {
    /// An empty line of that era.
    pub(in crate::rate_limit) fn new(era: u32) -> Self {
        Self { entered: first_place(era) as u64, ..Self::default() }
    }

    pub(in crate::rate_limit) fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether somebody waits who comes before a newcomer of this class.
    pub(in crate::rate_limit) fn is_before(&self, class: Priority) -> bool {
        self.line.keys().next().is_some_and(|first| first.class <= class)
    }

    /// One more. It is told `due`, when its tokens will be there, if it is the first.
    pub(in crate::rate_limit) fn enter(
        &mut self,
        class: Priority,
        waiter: Waiter,
        due: Instant,
    ) -> Ticket {
        self.entered += 1;
        let place = Place { class, number: self.entered };
        self.line.insert(place, waiter);
        if self.is_first(place) {
            self.look_again_at(place, due);
        }
        place.ticket()
    }

    /// Whose ticket this is, if it is of this line.
    pub(in crate::rate_limit) fn find(&self, ticket: &Ticket) -> Option<(Place, Waiter)> {
        let place = Place::of(ticket)?;
        self.line.get(&place).map(|waiter| (place, *waiter))
    }

    /// Who comes next.
    pub(in crate::rate_limit) fn head(&self) -> Option<(Place, Waiter)> {
        self.line.first_key_value().map(|(place, waiter)| (*place, *waiter))
    }

    pub(in crate::rate_limit) fn is_first(&self, place: Place) -> bool {
        self.line.keys().next() == Some(&place)
    }

    /// It is the first, has looked, and looks again at `due`.
    pub(in crate::rate_limit) fn look_again_at(&mut self, place: Place, due: Instant) {
        (self.first, self.called, self.due) = (Some(place), false, Some(due));
    }

    /// It has gone.
    pub(in crate::rate_limit) fn leave(&mut self, place: Place) {
        self.line.remove(&place);
        if self.first == Some(place) {
            self.forget_first();
        }
    }

    /// Other settings: what the first was told is worth nothing any more.
    pub(in crate::rate_limit) fn forget_first(&mut self) {
        (self.first, self.called, self.due) = (None, false, None);
    }

    /// Calls up the first if it does not know that it is, or if it is `ready` and sleeps.
    pub(in crate::rate_limit) fn call_up(
        &mut self,
        ready: impl FnOnce(Place, Waiter) -> bool,
    ) -> Option<usize> {
        let (place, waiter) = self.head()?;
        let known = self.first == Some(place);
        if known && (self.called || !ready(place, waiter)) {
            return None;
        }
        (self.first, self.called, self.due) = (Some(place), true, None);
        Some(place.ticket().place())
    }

    /// Whether the one with this ticket's place sleeps on: it is of this line, which is of that era, and has not been
    /// called up.
    pub(in crate::rate_limit) fn sleeps(&self, place: usize, era: u32) -> bool {
        let before = first_place(era) as u64;
        let nth = (place as u64).wrapping_sub(before + 1) & u64::from(!MARK);
        nth < self.entered.saturating_sub(before)
            && !self.first.is_some_and(|first| self.called && first.ticket().place() == place)
    }

    /// When the first looks by itself.
    pub(in crate::rate_limit) const fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Place {
    /// Which place of a shaper never is: it has fewer.
    pub(in crate::rate_limit) const fn is_one(place: usize) -> bool {
        place & MARK as usize != 0
    }

    /// The number from low to high in a ticket's 64 bits: 31, the mark, the rest; the class last.
    const fn ticket(self) -> Ticket {
        let (low, high) = (self.number as u32 & !MARK, (self.number >> 31) as u32);
        Ticket::new(high << CLASS_BITS | self.class.index() as u32, low | MARK)
    }

    fn of(ticket: &Ticket) -> Option<Self> {
        let low = ticket.place() as u32;
        let high = ticket.generation() >> CLASS_BITS;
        let class = *Priority::ALL.get((ticket.generation() & ((1 << CLASS_BITS) - 1)) as usize)?;
        (low & MARK != 0)
            .then(|| Self { class, number: u64::from(high) << 31 | u64::from(low & !MARK) })
    }
}

/// Tells places in this line from those of a shaper.
const MARK: u32 = 1 << 31;
const CLASS_BITS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_of_its_place_however_many_there_have_been() {
        for bit in 0..60 {
            for class in Priority::ALL {
                let place = Place { class, number: 1 << bit };
                let ticket = place.ticket();
                assert_eq!(Place::of(&ticket), Some(place));
                assert!(Place::is_one(ticket.place()));
            }
        }
        assert_eq!(Place::of(&Ticket::new(0, 1)), None, "of a shaper");
    }
}
