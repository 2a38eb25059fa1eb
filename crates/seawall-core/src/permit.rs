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
        Self(epoch << SLOT_BITS | slot as u64)
    }

    /// The epoch that granted it.
    #[inline]
    pub(crate) const fn epoch(&self) -> u64 {
        self.0 >> SLOT_BITS
    }

    /// The place it occupies; 0 for none in particular.
    #[inline]
    pub(crate) const fn slot(&self) -> u8 {
        (self.0 & SLOT_MASK) as u8
    }

    /// Of no epoch: its report changes nothing.
    pub(crate) const VOID: Self = Self(u64::MAX);

    /// Whether it occupies a place for a probe.
    #[inline]
    pub(crate) const fn is_probe(&self) -> bool {
        self.slot() > 0
    }

    /// What is left of it once time alone has judged the call: a probe's place may be another's by now, so its
    /// permit becomes one of no epoch, whose report changes nothing.
    pub(crate) const fn overtaken(self) -> Self {
        if self.is_probe() { Self::VOID } else { self }
    }
}

/// 56 bits of epoch last longer than any process: a million transitions a second for 2 000 years.
const SLOT_BITS: u32 = 8;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
