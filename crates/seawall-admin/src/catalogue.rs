//! Every metric: its name, kind, labels and meaning, and where in the snapshot its value is.
//!
//! ```text
//!   families ─▶ exposition: /metrics
//!          └──▶ docs/metrics.md          a test compares them
//! ```
//!
//! One row is one family, and there is no other place that names a metric. Seconds are the unit of time,
//! counters end in `_total`, and labels take only names that the configuration chose, so their number is
//! bounded by it.
//!
//! A breaker's phase is one number. One metric per phase, each 0 or 1, has to be kept consistent by whoever
//! sets them, and then reads open and closed at once.

mod calls;
mod patterns;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use seawall::Snapshot;

/// One metric family.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The names of the values each sample comes with.
    pub(crate) labels: &'static [&'static str],
    /// What it means, in one line without backslashes.
    pub(crate) help: &'static str,
    /// Tells its samples: the values of the labels, and the number.
    pub(crate) read: fn(&Snapshot, Samples<'_>),
}

/// Takes samples.
pub(crate) type Samples<'a> = &'a mut dyn FnMut(&[&str], f64);

/// How a family's numbers move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only up, from 0 at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Quantiles.
    Summary,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
        }
    }
}

/// The families, in the order of the text.
pub(crate) fn families() -> impl Iterator<Item = &'static Family> {
    [
        calls::CALLS,
        patterns::BREAKERS,
        patterns::RETRIES,
        patterns::BULKHEADS,
        patterns::RATE_LIMITS,
        calls::LIMITS,
        calls::KEYS,
        calls::ENDPOINTS,
    ]
    .into_iter()
    .flatten()
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Snapshot, Samples<'_>),
) -> Family {
    Family { name, kind: Kind::Counter, labels, help, read }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Snapshot, Samples<'_>),
) -> Family {
    Family { name, kind: Kind::Gauge, labels, help, read }
}

/// One sample per component of a section.
fn each<S>(section: &BTreeMap<String, S>, to: Samples<'_>, value: impl Fn(&S) -> f64) {
    section.iter().for_each(|(name, stats)| to(&[name], value(stats)));
}

const POLICY: &[&str] = &["policy"];
