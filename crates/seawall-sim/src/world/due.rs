//! An event that is due: ordered by time, and among those of one moment by number.

use core::cmp::Ordering;

use super::What;

pub(super) struct Due {
    pub(super) at: u64,
    pub(super) number: u64,
    pub(super) what: What,
}

impl Ord for Due {
    /// The greatest is the one that happens first, as a heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Due {}
