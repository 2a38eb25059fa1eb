//! What changed, returned as data: phases, transitions, and the bounded ring that keeps the last of them.
//!
//! A machine calls nobody. It returns a [`Transition`]; whoever drives it numbers it into an [`EventRing`]
//! and tells others after the lock is gone. Gauges read the machine, never the events, so a lost event can
//! never leave a gauge wrong.

use alloc::vec::Vec;
use core::{fmt, mem};

use crate::Instant;

/// Where a machine that admits calls stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Calls flow.
    Closed,
    /// Calls are refused until the open period ends.
    Open,
    /// A few probes decide between closed and open.
    HalfOpen,
    /// An operator lets every call through; how they end is counted and decides nothing.
    ForcedClosed,
    /// An operator refuses every call.
    ForcedOpen,
    /// An operator lets every call through, and nothing is recorded.
    Disabled,
    /// An operator lets every call through, and the breaker shows where it would stand.
    MetricsOnly,
}

impl Phase {
    /// The name, as the guide's statistics print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedClosed => "forced_closed",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a phase changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// So many failures in a row.
    Failures(u32),
    /// Too large a share of the calls in the window failed.
    FailureRate {
        /// Calls that failed.
        failed: u32,
        /// Calls in the window.
        calls: u32,
    },
    /// Too large a share of the calls in the window was slow.
    SlowRate {
        /// Calls that were slow, those still running included.
        slow: u32,
        /// Calls in the window.
        calls: u32,
    },
    /// The open period is over.
    PeriodOver,
    /// A probe failed.
    ProbeFailed,
    /// A probe outlived `half_open_for`.
    ProbeExpired,
    /// A probe was slow.
    ProbeSlow,
    /// So many probes succeeded.
    ProbesSucceeded(u32),
    /// An operator said so.
    Override,
    /// What an operator said held for a stated time, and that is over.
    OverrideOver,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures(1) => f.write_str("1 failure"),
            Self::Failures(n) => write!(f, "{n} failures in a row"),
            Self::FailureRate { failed, calls } => write!(f, "{failed} of {calls} calls failed"),
            Self::SlowRate { slow, calls } => write!(f, "{slow} of {calls} calls slow"),
            Self::PeriodOver => f.write_str("open period over"),
            Self::ProbeFailed => f.write_str("probe failed"),
            Self::ProbeExpired => f.write_str("probe did not end in time"),
            Self::ProbeSlow => f.write_str("probe slow"),
            Self::ProbesSucceeded(1) => f.write_str("1 probe succeeded"),
            Self::ProbesSucceeded(n) => write!(f, "{n} probes succeeded"),
            Self::Override => f.write_str("override"),
            Self::OverrideOver => f.write_str("override over"),
        }
    }
}

/// A change of phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The phase that ended.
    pub from: Phase,
    /// The phase that began.
    pub to: Phase,
    /// Why.
    pub cause: Cause,
    /// When; a change that time alone brings about carries the moment it fell due.
    pub at: Instant,
}

/// A transition with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Numbered {
    /// Counts up from 1 without gaps, per ring.
    pub number: u64,
    /// Which endpoint changed; 0 where there is only one.
    pub endpoint: u16,
    /// What changed.
    pub transition: Transition,
}

/// The transitions of one mutex full of machines that nobody was told of, the oldest dropped first. Its memory grows
/// to what there was at once, and stays.
#[derive(Debug, Default)]
pub struct EventRing {
    last: u64,
    /// The newest that was handed out to be told.
    told: u64,
    /// The newest ones, in order; what was told is in it until the next one comes.
    events: Vec<Numbered>,
}

impl EventRing {
    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: 0, told: 0, events: Vec::new() }
    }

    /// Numbers a transition and keeps it.
    #[cold]
    pub fn push(&mut self, endpoint: u16, transition: Transition) {
        if !self.has_news() {
            self.events.clear();
        }
        if self.events.len() == EVENTS_MAX {
            self.events.remove(0);
        }
        self.last += 1;
        self.events.push(Numbered { number: self.last, endpoint, transition });
    }

    /// Whether there are transitions that nobody was told of.
    #[inline]
    #[must_use]
    pub const fn has_news(&self) -> bool {
        self.last != self.told
    }

    /// The transitions that nobody was told of, oldest first. From now on they count as told.
    #[cold]
    pub fn news(&mut self) -> impl Iterator<Item = &Numbered> {
        let told = mem::replace(&mut self.told, self.last);
        self.after(told)
    }

    /// The transitions numbered above `seen` that are still kept, oldest first. A reader finds a gap by the
    /// first number it gets.
    pub fn after(&self, seen: u64) -> impl Iterator<Item = &Numbered> {
        self.events.iter().filter(move |event| event.number > seen)
    }
}

/// 1280 bytes: two full outages of ten endpoints in one visit.
const EVENTS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_sees_the_gap_and_the_newest_events() {
        let transition = Transition {
            from: Phase::Closed,
            to: Phase::Open,
            cause: Cause::Failures(5),
            at: Instant::ORIGIN,
        };
        let mut ring = EventRing::new();
        assert_eq!(ring.after(0).count(), 0);
        for n in 0..40u16 {
            ring.push(n, transition);
        }
        let numbers: Vec<_> = ring.after(3).map(|event| event.number).collect();
        assert_eq!(numbers, (9..=40).collect::<Vec<_>>());
        assert!(ring.has_news());
        assert_eq!(
            ring.news().map(|event| event.number).collect::<Vec<_>>(),
            (9..=40).collect::<Vec<_>>()
        );
        assert!(!ring.has_news() && ring.news().next().is_none());
        assert_eq!(ring.after(38).map(|event| event.endpoint).collect::<Vec<_>>(), [38, 39]);
        assert_eq!(ring.after(40).count() + ring.after(99).count(), 0);
        let room = ring.events.capacity();
        for n in 41..100 {
            ring.push(n, transition);
            assert_eq!(ring.news().map(|event| event.number).collect::<Vec<_>>(), [u64::from(n)]);
        }
        assert_eq!(
            (ring.events.len(), ring.events.capacity()),
            (1, room),
            "what was told gives its place"
        );
    }

    #[test]
    fn phases_and_causes_are_told_in_words() {
        use alloc::string::ToString;

        use Phase::{Closed, Disabled, ForcedClosed, ForcedOpen, HalfOpen, MetricsOnly, Open};
        let phases = [Closed, Open, HalfOpen, ForcedClosed, ForcedOpen, Disabled, MetricsOnly];
        let expected = "closed open half_open forced_closed forced_open disabled metrics_only";
        let told: Vec<_> = phases.iter().map(ToString::to_string).collect();
        assert_eq!(told.join(" "), expected);
        assert_eq!(Cause::Failures(5).to_string(), "5 failures in a row");
        assert_ne!(Cause::ProbeFailed.to_string(), Cause::ProbeExpired.to_string());
    }
}
