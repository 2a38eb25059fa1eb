//! Bytes, read one after another as whatever is needed next.

use std::time::Duration;

use seawall_core::Instant;

/// What is left of the input.
pub(crate) struct Tape<'t>(&'t [u8]);

impl<'t> Tape<'t> {
    pub(crate) const fn new(bytes: &'t [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u8) -> Option<u8> {
        Some(self.byte()? % n)
    }

    /// A duration from nothing to a day, small ones as often as large ones.
    pub(crate) fn duration(&mut self) -> Option<Duration> {
        let (digits, scale) = (self.byte()?, self.byte()? % 6);
        Some(Duration::from_nanos(
            u64::from(digits)
                * 1_000_u64.pow(scale.min(3).into())
                * 10_u64.pow(scale.saturating_sub(3).into()),
        ))
    }

    /// The next moment: mostly later than `now`, sometimes earlier, as a clock may step.
    pub(crate) fn moment(&mut self, now: Instant) -> Option<Instant> {
        let (backwards, step) = (self.byte()? == u8::MAX, self.duration()?);
        let earlier = now.as_nanos().saturating_sub(step.as_nanos() as u64);
        Some(if backwards { Instant::from_nanos(earlier) } else { now + step })
    }
}
