//! What happened last, kept cheaply and put in words only if somebody asks.

use core::fmt::{self, Debug};

/// The last events, oldest overwritten first.
#[derive(Debug)]
pub(crate) struct Journal<E> {
    entries: Vec<(u64, E)>,
    next: usize,
}

impl<E: Copy + Debug> Journal<E> {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::with_capacity(KEPT), next: 0 }
    }

    pub(crate) fn note(&mut self, at: u64, event: E) {
        if self.entries.len() < KEPT {
            self.entries.push((at, event));
        } else {
            self.entries[self.next] = (at, event);
            self.next = (self.next + 1) % KEPT;
        }
    }

    /// One line each, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let (newer, older) = self.entries.split_at(self.next);
        older
            .iter()
            .chain(newer)
            .map(|(at, event)| format!("{}  {event:?}", Seconds(*at)))
            .collect()
    }
}

/// Nanoseconds, shown as seconds to the nanosecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seconds(pub(crate) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09} s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// Enough to see how it came, little enough to read.
const KEPT: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_last_fifty_in_order() {
        let mut journal = Journal::new();
        for n in 0..120_u64 {
            journal.note(n * 1_000_000, n);
        }
        let lines = journal.lines();
        assert_eq!(lines.len(), 50);
        assert_eq!(lines[0], "0.070000000 s  70");
        assert_eq!(lines[49], "0.119000000 s  119");
    }
}
