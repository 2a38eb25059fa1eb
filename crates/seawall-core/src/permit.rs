//! Leave to proceed: what a machine hands out with a yes and takes back with a report.
//!
//! A permit is one word (a two-field permit costs 6 to 10 ns a call) and carries the epoch that granted
//! it. A machine enters a new epoch at every transition, so a result that arrives late is told apart from
//! a result that counts.
//!
//! A machine that takes the place of another begins an [era](crate::Bulkhead::joining), of which every epoch tells. So
//! what the other gave means nothing to it, and neither does what was let through while there was none. A ticket is told
//! apart by its place: each era numbers the rows of a queue from elsewhere on.

use crate::Refusal;

/// A machine's answer to a call that asks to proceed.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// Go, and report the permit when the call has ended.
    Go(Permit),
    /// Wait until the ticket's turn has come.
    Wait(Ticket),
    /// No.
    No(Refusal),
}

impl Admission {
    /// The same answer of a queue of that era.
    #[inline]
    pub(crate) fn of(self, era: u32) -> Self {
        match self {
            Self::Wait(ticket) => Self::Wait(ticket.of(era)),
            other => other,
        }
    }
}

/// Leave to proceed, tied to the epoch that granted it. Not `Copy`: it is given back exactly once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit holds a place until it is reported"]
pub struct Permit(u64);

impl Permit {
    /// A permit of `epoch`, with `slot` telling which place it occupies (0: none in particular).
    #[inline]
    pub(crate) const fn new(epoch: u64, slot: u8) -> Self {
        Self(epoch << EPOCH_SHIFT | slot as u64)
    }

    /// A permit of `epoch` for a probe, which occupies the place `slot` among the probes.
    #[inline]
    pub(crate) const fn probe(epoch: u64, slot: u8) -> Self {
        Self(epoch << EPOCH_SHIFT | PROBE | slot as u64)
    }

    /// The epoch that granted it.
    #[inline]
    pub(crate) const fn epoch(&self) -> u64 {
        self.0 >> EPOCH_SHIFT
    }

    /// The place it occupies; 0 for none in particular.
    #[inline]
    pub(crate) const fn slot(&self) -> u8 {
        (self.0 & SLOT_MASK) as u8
    }

    /// Whether a machine of the era of `epoch` granted it.
    #[inline]
    pub(crate) const fn is_of_the_era_of(&self, epoch: u64) -> bool {
        self.epoch() >> ERA_SHIFT == epoch >> ERA_SHIFT
    }

    /// One of the same era and of no epoch: its report changes nothing.
    pub(crate) const fn void(&self) -> Self {
        Self::new(self.epoch() | NO_EPOCH, 0)
    }

    /// Whether its place is one for a probe.
    #[inline]
    pub(crate) const fn is_probe(&self) -> bool {
        self.0 & PROBE != 0
    }

    /// What is left of it once time alone has judged the call: a probe's place may be another's by now, so its
    /// permit becomes one of no epoch, whose report changes nothing.
    pub(crate) const fn overtaken(self) -> Self {
        if self.is_probe() { self.void() } else { self }
    }
}

/// A place in a queue. Not `Copy`: its turn is claimed or it is abandoned, exactly once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket holds a place in a queue until it is claimed or abandoned"]
pub struct Ticket(u64);

impl Ticket {
    /// The ticket for `place` of a queue's table; `generation` tells its holder from the ones before.
    #[inline]
    pub(crate) const fn new(generation: u32, place: u32) -> Self {
        Self((generation as u64) << 32 | place as u64)
    }

    /// Its place in the queue's table.
    #[inline]
    #[must_use]
    pub const fn place(&self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    /// The same ticket, given by a queue of that era.
    pub(crate) const fn of(self, era: u32) -> Self {
        Self::new(self.generation(), place_of(self.place(), era) as u32)
    }

    /// The ticket as a queue of that era knows it, by the row of its table.
    pub(crate) const fn known(&self, era: u32) -> Self {
        Self::new(self.generation(), row_of(self.place(), era) as u32)
    }

    /// Whose ticket it is, of all that had this place.
    #[inline]
    pub(crate) const fn generation(&self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The first epoch of an era; 0 of the first.
#[inline]
pub(crate) const fn first_epoch(era: u32) -> u64 {
    ((era & ERAS) as u64) << ERA_SHIFT
}

/// The number of a row's place in a queue of that era.
#[inline]
pub(crate) const fn place_of(row: usize, era: u32) -> usize {
    row & !PLACES | (row & PLACES).wrapping_add(first_place(era)) & PLACES
}

/// The row of a place; none that a queue of that era has, if it is of another's.
#[inline]
pub(crate) const fn row_of(place: usize, era: u32) -> usize {
    place & !PLACES | (place & PLACES).wrapping_sub(first_place(era)) & PLACES
}

/// Where the places of an era begin. Multiples of the golden section are as far from each other as can be: of a thousand
/// eras in a row no two begin within a million places.
#[inline]
pub(crate) const fn first_place(era: u32) -> usize {
    era.wrapping_mul(GOLDEN) as usize & PLACES
}

/// 2^32 by the golden section, rounded to an odd number.
const GOLDEN: u32 = 0x9e37_79b1;
/// Numbers of places go round within these bits; those who wait for tokens have the next one set.
const PLACES: usize = (1 << 31) - 1;
/// From low to high: the place, whether it is one for a probe, the epoch.
const SLOT_MASK: u64 = 0xff;
const PROBE: u64 = 1 << 8;
const EPOCH_SHIFT: u32 = 9;
/// Of the 55 bits of an epoch the upper 23 are the era. They go round after a new pattern a second for three months, and
/// by then nothing is left of the first; four thousand million transitions of one machine take longer.
const ERA_SHIFT: u32 = 32;
const ERAS: u32 = (1 << 23) - 1;
/// In the lower bits of an epoch: none that any machine reaches.
const NO_EPOCH: u64 = (1 << ERA_SHIFT) - 1;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_permit_is_its_epoch_and_its_place_in_one_word() {
        for (epoch, slot) in [(0, 0), (1, 0), (7, 3), (1 << 40, 127), (u64::MAX >> 9, 1)] {
            let (plain, probe) = (Permit::new(epoch, slot), Permit::probe(epoch, slot));
            assert_eq!((plain.epoch(), plain.slot(), plain.is_probe()), (epoch, slot, false));
            assert_eq!((probe.epoch(), probe.slot(), probe.is_probe()), (epoch, slot, true));
        }
    }

    #[test]
    fn an_epoch_is_of_an_era() {
        let granted = Permit::probe(first_epoch(3) + 7, 2);
        let eras = |permit: &Permit| [2, 3, 4].map(|era| permit.is_of_the_era_of(first_epoch(era)));
        assert_eq!(eras(&granted), [false, true, false]);
        let void = granted.void();
        assert_eq!((eras(&void), void.is_probe()), ([false, true, false], false));
        assert_eq!(void.epoch(), first_epoch(3) | NO_EPOCH, "whatever it was");
        assert_eq!(granted.overtaken(), void);
        let last = Permit::new(first_epoch(u32::MAX), 0);
        assert_eq!(last.epoch(), first_epoch(u32::MAX));
        assert_eq!((first_epoch(0), Permit::new(0, 0).void().epoch()), (0, NO_EPOCH));
    }

    #[test]
    fn a_ticket_is_its_place_and_whose_it_is_in_one_word() {
        for (place, generation) in [(0, 0), (1, 2), (u32::MAX, 5), (9, u32::MAX)] {
            let ticket = Ticket::new(generation, place);
            assert_eq!((ticket.place(), ticket.generation()), (place as usize, generation));
        }
    }

    #[test]
    fn each_era_numbers_its_places_from_elsewhere_on() {
        assert_eq!([place_of(7, 0), row_of(7, 0)], [7, 7], "of the first there is nothing to tell");
        let mut first: Vec<_> = (0..1_000).map(first_place).collect();
        for era in [1, 2, 77, u32::MAX] {
            for row in [0, 1, 5_000, PLACES] {
                assert_eq!(row_of(place_of(row, era), era), row);
                let marked = row | 1 << 31;
                assert_eq!(place_of(marked, era), place_of(row, era) | 1 << 31, "the mark stays");
                assert_eq!(row_of(place_of(marked, era), era), marked);
            }
        }
        let ticket = Ticket::new(9, 3);
        assert_eq!(ticket.known(5).of(5), ticket);
        assert_eq!(ticket.known(5).generation(), 9);
        first.sort_unstable();
        assert!(first.windows(2).all(|near| near[1] - near[0] > 1_000_000));
    }
}
