//! Whose wait ends first: a binary heap that knows where each of its members stands.
//!
//! Deadlines come in any order and waiters leave from the middle, so a line would not do. One who has the usual
//! time to wait ends last of all and stays where it is put.

use alloc::vec::Vec;

use crate::Instant;

/// Waiters by the end of their wait. 24 bytes a place; adding and removing take time in the logarithm of their
/// number.
#[derive(Clone, Debug)]
pub(super) struct Expiry {
    heap: Vec<(Instant, u32)>,
    /// Where in the heap each place stands; of no meaning for one that is not in it.
    stands: Vec<usize>,
}

impl Expiry {
    pub(super) const fn new() -> Self {
        Self { heap: Vec::new(), stands: Vec::new() }
    }

    /// The end that comes first, and whose it is.
    #[inline]
    pub(super) fn first(&self) -> Option<(Instant, u32)> {
        self.heap.first().copied()
    }

    /// The wait of `place` ends at `end`.
    pub(super) fn add(&mut self, place: u32, end: Instant) {
        if self.stands.len() <= place as usize {
            self.stands.resize(place as usize + 1, 0);
        }
        self.stands[place as usize] = self.heap.len();
        self.heap.push((end, place));
        self.order(self.heap.len() - 1);
    }

    /// `place`, which was added, waits no longer. When its wait would have ended.
    pub(super) fn remove(&mut self, place: u32) -> Instant {
        let at = self.stands[place as usize];
        let (end, _) = self.heap.swap_remove(at);
        if at < self.heap.len() {
            self.stands[self.heap[at].1 as usize] = at;
            self.order(at);
        }
        end
    }

    /// Moves the one at `at` to where it belongs; all others are in order.
    fn order(&mut self, mut at: usize) {
        while at > 0 && self.heap[at] < self.heap[(at - 1) / 2] {
            at = self.swap(at, (at - 1) / 2);
        }
        while let Some(child) = self.earlier_child(at)
            && self.heap[child] < self.heap[at]
        {
            at = self.swap(at, child);
        }
    }

    fn earlier_child(&self, at: usize) -> Option<usize> {
        (2 * at + 1..self.heap.len().min(2 * at + 3)).min_by_key(|&child| self.heap[child])
    }

    /// Swaps two and returns where the first now stands.
    fn swap(&mut self, from: usize, to: usize) -> usize {
        self.heap.swap(from, to);
        self.stands[self.heap[from].1 as usize] = from;
        self.stands[self.heap[to].1 as usize] = to;
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Draws;

    #[test]
    fn whoever_leaves_the_others_come_in_order() {
        for seed in 0..100 {
            let mut expiry = Expiry::new();
            let end = |place| Instant::from_nanos(Draws::nth(seed, u64::from(place)).below(1_000));
            (0..30).for_each(|place| expiry.add(place, end(place)));
            for place in (0..30).step_by(3) {
                assert_eq!(expiry.remove(place), end(place));
            }
            let mut stay: Vec<_> = (0..30).filter(|place| place % 3 != 0).map(end).collect();
            stay.sort_unstable();
            for expected in stay {
                let (end, place) = expiry.first().unwrap();
                assert_eq!((end, expiry.remove(place)), (expected, expected));
            }
            assert_eq!(expiry.first(), None);
        }
    }
}
