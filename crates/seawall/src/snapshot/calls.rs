//! How calls and attempts ended, by policy and by endpoint, and for how many keys a policy has room.

use seawall_core::{Counts, EndpointSnapshot, Tally};

use super::millis;
use crate::PerKeySnapshot;

/// Calls and attempts of a policy or route by how they ended; started = the others added up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the keys are those of the counts, explained there")]
pub struct CallStats {
    pub calls: TallyStats,
    pub attempts: TallyStats,
    pub timed_out: u64,
    pub false_timeouts: u64,
    pub deadline_passed: u64,
    pub overran: u64,
    pub broke_off_late: u64,
    pub panicked: u64,
}

/// How many started, and how they ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the keys are those of the tally, explained there")]
pub struct TallyStats {
    pub started: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub refused: u64,
    pub ignored: u64,
    pub in_flight: u64,
}

/// A policy for each key: how many there are and may be, look-ups for which there was no room, keys forgotten, and
/// those whose breaker refuses calls.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the keys are those of the policy's snapshot, explained there")]
pub struct PerKeyStats {
    pub in_use: u32,
    pub max_keys: u32,
    pub overflowed: u64,
    pub evicted: u64,
    pub open: u32,
}

/// One endpoint of an upstream.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the keys are those of the picker's snapshot, explained there")]
pub struct EndpointStats {
    pub state: &'static str,
    pub in_flight: u32,
    pub attempts: u64,
    pub latency_ms: f64,
}

impl From<Counts> for CallStats {
    fn from(seen: Counts) -> Self {
        Self {
            calls: seen.calls.into(),
            attempts: seen.attempts.into(),
            timed_out: seen.timed_out,
            false_timeouts: seen.false_timeouts,
            deadline_passed: seen.deadline_passed,
            overran: seen.overran,
            broke_off_late: seen.broke_off_late,
            panicked: seen.panicked,
        }
    }
}

impl From<Tally> for TallyStats {
    fn from(seen: Tally) -> Self {
        Self {
            started: seen.started,
            succeeded: seen.succeeded,
            failed: seen.failed,
            refused: seen.refused,
            ignored: seen.ignored,
            in_flight: seen.in_flight(),
        }
    }
}

impl From<PerKeySnapshot> for PerKeyStats {
    fn from(seen: PerKeySnapshot) -> Self {
        let PerKeySnapshot { keys, max_keys, overflowed, evicted, open } = seen;
        Self { in_use: keys, max_keys, overflowed, evicted, open }
    }
}

impl From<EndpointSnapshot> for EndpointStats {
    fn from(seen: EndpointSnapshot) -> Self {
        Self {
            state: seen.breaker.map_or("closed", |breaker| breaker.phase.name()),
            in_flight: seen.running,
            attempts: seen.attempts,
            latency_ms: millis(seen.latency),
        }
    }
}
