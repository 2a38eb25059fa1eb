//! Leave to proceed: what a machine hands out with a yes and takes back with a report.
//!
//! A permit is one word (a two-field permit costs 6 to 10 ns a call) and carries the epoch that granted
//! it. A machine enters a new epoch at every transition, so a result that arrives late is told apart from
//! a result that counts.

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

    /// Of no epoch: its report changes nothing.
    pub(crate) const VOID: Self = Self(u64::MAX << EPOCH_SHIFT);

    /// Whether its place is one for a probe.
    #[inline]
    pub(crate) const fn is_probe(&self) -> bool {
        self.0 & PROBE != 0
    }

    /// What is left of it once time alone has judged the call: a probe's place may be another's by now, so its
    /// permit becomes one of no epoch, whose report changes nothing.
    pub(crate) const fn overtaken(self) -> Self {
        if self.is_probe() { Self::VOID } else { self }
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

    /// Whose ticket it is, of all that had this place.
    #[inline]
    pub(crate) const fn generation(&self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// From low to high: the place, whether it is one for a probe, the epoch.
const SLOT_MASK: u64 = 0xff;
const PROBE: u64 = 1 << 8;
/// 55 bits of epoch last longer than any process: a million transitions a second for 1 000 years.
const EPOCH_SHIFT: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_its_epoch_and_its_place_in_one_word() {
        for (epoch, slot) in [(0, 0), (1, 0), (7, 3), (1 << 40, 127), (u64::MAX >> 9, 1)] {
            let (plain, probe) = (Permit::new(epoch, slot), Permit::probe(epoch, slot));
            assert_eq!((plain.epoch(), plain.slot(), plain.is_probe()), (epoch, slot, false));
            assert_eq!((probe.epoch(), probe.slot(), probe.is_probe()), (epoch, slot, true));
        }
        assert_ne!(Permit::VOID.epoch(), 0, "no machine begins there");
    }

    #[test]
    fn a_ticket_is_its_place_and_whose_it_is_in_one_word() {
        for (place, generation) in [(0, 0), (1, 2), (u32::MAX, 5), (9, u32::MAX)] {
            let ticket = Ticket::new(generation, place);
            assert_eq!((ticket.place(), ticket.generation()), (place as usize, generation));
        }
    }
}
