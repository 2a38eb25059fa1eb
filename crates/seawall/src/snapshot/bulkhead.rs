//! The figures of a bulkhead.

use seawall_core::{BulkheadSnapshot, Priority};

use super::percent;

/// A bulkhead. `rejected_calls` are all that were refused, `waits_over`, `displaced` and `hopeless` among them.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the guide's keys, explained by the machine's snapshot")]
pub struct BulkheadStats {
    pub name: String,
    pub active_calls: u32,
    pub max_concurrent: u32,
    pub utilization_percent: f64,
    pub queued: u32,
    pub queued_by_class: ByClass<u32>,
    pub admitted_by_class: ByClass<u64>,
    pub completed: u64,
    pub rejected_calls: u64,
    pub waits_over: u64,
    pub displaced: u64,
    pub hopeless: u64,
    pub abandoned: u64,
}

/// One figure for each class of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(clippy::exhaustive_structs, reason = "the guide's five classes")]
#[expect(missing_docs, reason = "the classes of `Priority`")]
pub struct ByClass<N> {
    pub critical: N,
    pub high: N,
    pub normal: N,
    pub low: N,
    pub background: N,
}

impl BulkheadStats {
    /// The bulkhead `name` as `seen`.
    #[must_use]
    pub fn new(name: &str, seen: &BulkheadSnapshot) -> Self {
        Self {
            name: name.to_owned(),
            active_calls: seen.running,
            max_concurrent: seen.max_concurrent,
            utilization_percent: percent(seen.running.into(), seen.max_concurrent.into()),
            queued: seen.queued,
            queued_by_class: seen.queued_by_class.into(),
            admitted_by_class: seen.admitted_by_class.into(),
            completed: seen.completed,
            rejected_calls: seen.refused,
            waits_over: seen.waits_over,
            displaced: seen.displaced,
            hopeless: seen.hopeless,
            abandoned: seen.abandoned,
        }
    }
}

impl<N: Copy> ByClass<N> {
    /// The figures with the names of their classes, the most urgent first.
    #[must_use]
    pub fn named(&self) -> [(&'static str, N); 5] {
        let Self { critical, high, normal, low, background } = *self;
        let figures = [critical, high, normal, low, background];
        Priority::ALL.map(|class| (class.name(), figures[class.index()]))
    }
}

/// From figures in the order of [`Priority::ALL`].
impl<N> From<[N; 5]> for ByClass<N> {
    fn from([critical, high, normal, low, background]: [N; 5]) -> Self {
        Self { critical, high, normal, low, background }
    }
}

#[cfg(test)]
mod tests {
    use seawall_core::{Bulkhead, BulkheadConfig};

    use super::*;

    #[test]
    fn every_figure_of_a_bulkhead_is_in_its_place() {
        let mut seen = Bulkhead::new(&BulkheadConfig::default()).unwrap().snapshot();
        (seen.running, seen.max_concurrent, seen.refused) = (1, 4, 50);
        (seen.queued, seen.queued_by_class) = (15, [1, 2, 3, 4, 5]);
        (seen.admitted_by_class, seen.completed) = ([6, 7, 8, 9, 10], 39);
        (seen.waits_over, seen.displaced, seen.hopeless, seen.abandoned) = (11, 12, 13, 14);
        let shown = BulkheadStats {
            name: "b".to_owned(),
            active_calls: 1,
            max_concurrent: 4,
            utilization_percent: 25.0,
            queued: 15,
            queued_by_class: ByClass { critical: 1, high: 2, normal: 3, low: 4, background: 5 },
            admitted_by_class: ByClass { critical: 6, high: 7, normal: 8, low: 9, background: 10 },
            completed: 39,
            rejected_calls: 50,
            waits_over: 11,
            displaced: 12,
            hopeless: 13,
            abandoned: 14,
        };
        assert_eq!(BulkheadStats::new("b", &seen), shown);
        assert_eq!(
            shown.queued_by_class.named(),
            [("critical", 1), ("high", 2), ("normal", 3), ("low", 4), ("background", 5)]
        );
    }
}
