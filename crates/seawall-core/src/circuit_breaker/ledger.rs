//! The verdicts on the calls in a window, good or bad, and their sums.
//!
//! ```text
//!   calls   a ring of one bit each, oldest overwritten first      sum = running, exact
//!   time    ten slices, by the number of the slice `now` is in    sum = of the slices not yet too old
//! ```
//!
//! Slices are numbered from the clock's origin and not from their first use: each is forgotten at a moment that
//! anybody can say beforehand. Reading leaves out what is too old without changing anything, so a window nobody
//! writes to still fades. A clock that steps back writes into the newest slice.

use alloc::boxed::Box;

use super::Window;
use crate::{Instant, Ratio, ratio::PPM, time::nanos};

/// The verdicts in one window.
#[derive(Clone, Debug)]
pub(super) enum Ledger {
    Ring(Ring),
    Slices(Slices),
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) bad: u32,
    pub(super) calls: u32,
}

impl Ledger {
    pub(super) fn new(window: Window) -> Self {
        match window {
            Window::Calls(size) => Self::Ring(Ring {
                bits: alloc::vec![0; size.div_ceil(u64::BITS) as usize].into_boxed_slice(),
                size,
                next: 0,
                sum: Sum::default(),
            }),
            Window::Time(time) => Self::Slices(Slices {
                width: (nanos(time) / SLICES as u64).max(1),
                newest: 0,
                sums: [Sum::default(); SLICES],
            }),
        }
    }

    /// A call got its verdict.
    pub(super) fn record(&mut self, bad: bool, now: Instant) {
        match self {
            Self::Ring(ring) => ring.record(bad),
            Self::Slices(slices) => slices.record(bad, now),
        }
    }

    /// What it holds at `now`.
    pub(super) fn sum(&self, now: Instant) -> Sum {
        match self {
            Self::Ring(ring) => ring.sum,
            Self::Slices(slices) => slices.sum(now),
        }
    }

    /// What it would hold with one more verdict.
    pub(super) fn sum_with(&self, bad: bool, now: Instant) -> Sum {
        let mut sum = self.sum(now);
        if let Self::Ring(ring) = self
            && sum.calls == ring.size
        {
            sum.remove(ring.at(ring.next));
        }
        sum.add(bad);
        sum
    }
}

impl Sum {
    /// At this share, or above it.
    pub(super) fn reaches(self, rate: Ratio, minimum_calls: u32) -> bool {
        self.calls >= minimum_calls
            && u64::from(self.bad) * PPM >= u64::from(self.calls) * u64::from(rate.ppm())
    }

    /// The share of the bad; `None` of nothing.
    pub(super) fn rate(self) -> Option<Ratio> {
        let ppm = (u64::from(self.bad) * PPM).checked_div(u64::from(self.calls))?;
        Some(Ratio::from_ppm(ppm as u32))
    }

    const fn add(&mut self, bad: bool) {
        // Full: from here on nothing is counted, rather than a share that is wrong.
        if self.calls < u32::MAX {
            self.calls += 1;
            self.bad += bad as u32;
        }
    }

    fn and(self, other: Self) -> Self {
        let calls = self.calls.saturating_add(other.calls);
        Self { bad: self.bad.saturating_add(other.bad).min(calls), calls }
    }

    const fn remove(&mut self, bad: bool) {
        self.calls -= 1;
        self.bad -= bad as u32;
    }
}

#[derive(Clone, Debug)]
pub(super) struct Ring {
    bits: Box<[u64]>,
    size: u32,
    /// Where the next verdict goes; once it is full, the oldest is there.
    next: u32,
    sum: Sum,
}

impl Ring {
    fn record(&mut self, bad: bool) {
        if self.sum.calls == self.size {
            self.sum.remove(self.at(self.next));
        }
        self.sum.add(bad);
        let (word, bit) = (self.next / u64::BITS, self.next % u64::BITS);
        let word = &mut self.bits[word as usize];
        *word = *word & !(1 << bit) | u64::from(bad) << bit;
        let next = self.next + 1;
        self.next = if next == self.size { 0 } else { next };
    }

    fn at(&self, n: u32) -> bool {
        self.bits[(n / u64::BITS) as usize] >> (n % u64::BITS) & 1 == 1
    }
}

#[derive(Clone, Debug)]
pub(super) struct Slices {
    /// Nanoseconds in a slice.
    width: u64,
    /// The number of the newest slice written to.
    newest: u64,
    /// Slice n at n modulo their number.
    sums: [Sum; SLICES],
}

impl Slices {
    fn record(&mut self, bad: bool, now: Instant) {
        let current = self.number(now);
        for age in 0..(current - self.newest).min(SLICES as u64) {
            // Each slice that began since takes the place of one a whole window older.
            self.sums[((current - age) % SLICES as u64) as usize] = Sum::default();
        }
        self.newest = current;
        self.sums[(current % SLICES as u64) as usize].add(bad);
    }

    fn sum(&self, now: Instant) -> Sum {
        let age = self.number(now) - self.newest;
        if age == 0 {
            return self.sums.into_iter().fold(Sum::default(), Sum::and);
        }
        let kept = (SLICES as u64).saturating_sub(age);
        let numbers = (0..kept).filter_map(|age| self.newest.checked_sub(age));
        let slices = numbers.map(|number| self.sums[(number % SLICES as u64) as usize]);
        slices.fold(Sum::default(), Sum::and)
    }

    fn number(&self, now: Instant) -> u64 {
        let now = now.as_nanos();
        // Mostly it is still the newest, and to divide costs more than everything else.
        let end = self.newest.saturating_add(1).saturating_mul(self.width);
        if now < end { self.newest } else { (now / self.width).max(self.newest) }
    }
}

/// A tenth of the window is what it may be late in forgetting; Hystrix, Polly and failsafe-go use as many.
const SLICES: usize = 10;
