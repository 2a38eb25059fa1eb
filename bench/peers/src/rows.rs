//! The rows: which contenders do the same work, and which bars ours has to pass.
//!
//! ```text
//!   rows/stack        all patterns together               rows/machines    no shell, no clock: `now` is given
//!   rows/refused      every refusal of that stack         rows/keyed       a limit for each of many keys
//!   rows/alone        each pattern alone                  rows/neighbour   a policy beside one that hangs
//! ```
//!
//! Order, patterns and settings are those of the defaults. Limits are so far away that none is ever met, but where
//! meeting one is the row.

mod alone;
mod keyed;
mod machines;
mod neighbour;
mod refused;
mod stack;

use std::time::Duration;

use seawall::core::Tally;

use crate::{contender::Contender, floor::Floor, operation::Operation, ours::Ours};

/// Contenders that do the same work.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What is called.
    pub(crate) holds: &'static str,
    /// How many threads call at once.
    pub(crate) threads: usize,
    pub(crate) bars: &'static [Bar],
    pub(crate) contenders: fn() -> Vec<Contender>,
}

/// What ours has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    /// Free of allocations, in every round.
    NoAllocation,
    /// At most `bar` times this contender, by medians; where it should end up, if that is lower.
    Times { other: &'static str, bar: f64, aim: Option<f64> },
    /// At most `bar` times `other` above `base`, by medians: what comes on top of work that is the same.
    Above { base: &'static str, other: &'static str, bar: f64 },
}

/// All rows, in the order in which they are measured.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    let themes =
        [stack::ROWS, refused::ROWS, alone::ROWS, machines::ROWS, keyed::ROWS, neighbour::ROWS];
    themes.into_iter().flatten()
}

/// Limit on a whole call.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);
/// Limit on an attempt where none is learned.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(60);
/// What is to last longer than any row.
pub(crate) const PATIENCE: Duration = Duration::from_secs(86_400);
/// Attempts after the first.
pub(crate) const RETRIES: usize = 3;
/// Places in a bulkhead.
pub(crate) const PLACES: usize = 100;
/// More failures than any of the breakers needs: one of them judges a hundred calls at a time.
pub(crate) const FAILURES_TO_OPEN: usize = 200;

/// The contender that is judged.
pub(crate) const OURS: &str = "seawall";
pub(crate) const TOWER_RESILIENCE: &str = "tower-resilience";
const FLOOR: &str = "floor";
pub(crate) const BY_HAND: &str = "by hand";

/// The operation's answer, printed.
pub(crate) const ANSWERED: &str = "Ok(42)";

const fn times(other: &'static str, bar: f64) -> Bar {
    Bar::Times { other, bar, aim: None }
}

impl Bar {
    const fn aiming(self, at: f64) -> Self {
        match self {
            Self::NoAllocation | Self::Above { .. } => self,
            Self::Times { other, bar, .. } => Self::Times { other, bar, aim: Some(at) },
        }
    }
}

fn floor(operation: Operation) -> Contender {
    let floor = Floor::new();
    Contender::new(FLOOR, ANSWERED, move || {
        let floor = floor.clone();
        async move || floor.call(operation).await
    })
}

/// How every call of ours ends in a row.
struct End {
    /// The answer, printed, contains this.
    printed: &'static str,
    counted: fn(&Tally) -> u64,
}

const WELL: End = End { printed: ANSWERED, counted: |calls| calls.succeeded };

/// Refused before anything ran.
const fn refused(printed: &'static str) -> End {
    End { printed, counted: |calls| calls.refused }
}

/// Failed, and not repeated.
const fn failed(printed: &'static str) -> End {
    End { printed, counted: |calls| calls.failed }
}

fn ours(name: &'static str, ours: Ours, end: End, operation: Operation) -> Contender {
    let ended = ours.ended(end.counted);
    Contender::new(name, end.printed, move || {
        let ours = ours.clone();
        async move || ours.call(|| operation.run()).await
    })
    .counting(ended)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::*;
    use crate::measure::{Effort, measure};

    #[test]
    fn every_contender_does_what_its_row_says() {
        // Each sample looks at answers, and an unexpected one panics.
        let effort = Effort { rounds: 1, sample: Duration::from_nanos(1) };
        for row in rows() {
            let figures = measure(&(row.contenders)(), row.threads, effort);
            assert!(figures.iter().any(|(name, _)| *name == OURS), "{}", row.name);
            for bar in row.bars {
                let others = match bar {
                    Bar::NoAllocation => vec![],
                    Bar::Times { other, .. } => vec![other],
                    Bar::Above { base, other, .. } => vec![base, other],
                };
                for other in others {
                    assert!(figures.iter().any(|(name, _)| name == other), "{}: {other}", row.name);
                }
            }
        }
    }

    #[test]
    fn rows_have_names_of_their_own() {
        let mut names = HashSet::new();
        assert!(rows().all(|row| names.insert(row.name)));
    }

    #[test]
    fn the_page_has_every_row() {
        let page = include_str!("../../../docs/benchmarks.md");
        for row in rows() {
            assert!(page.contains(&format!("| {} |", row.name)), "{}", row.name);
        }
    }
}
