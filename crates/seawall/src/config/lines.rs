//! From a byte in a text to the line and column people count.
//!
//! Characters are counted once, in blocks, so that a place costs the same in a file of one long line as in
//! one of many short ones.

use std::ops::Range;

/// A text with its lines.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Where each line starts.
    starts: Vec<usize>,
    /// Characters before each block.
    characters: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        let mut characters = vec![0];
        for block in text.as_bytes().chunks(BLOCK) {
            characters.push(characters[characters.len() - 1] + count(block));
        }
        Self { text, starts, characters }
    }

    /// Line and column, both from 1.
    pub(super) fn place(&self, at: usize) -> (u32, u32) {
        let at = at.min(self.text.len());
        let line = self.line(at);
        let column = self.before(at) - self.before(self.starts[line]) + 1;
        (line as u32 + 1, column as u32)
    }

    /// The number of the line `at` is in, from 0.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at) - 1
    }

    /// The bytes of a line, its end included; empty after the last line.
    pub(super) fn span(&self, line: usize) -> Range<usize> {
        let start = |line: usize| self.starts.get(line).copied().unwrap_or(self.text.len());
        start(line)..start(line + 1)
    }

    /// How many lines there are.
    pub(super) fn count(&self) -> usize {
        self.starts.len()
    }

    /// Characters before `at`.
    fn before(&self, at: usize) -> usize {
        let block = at / BLOCK;
        self.characters[block] + count(&self.text.as_bytes()[block * BLOCK..at])
    }
}

/// Characters that start in these bytes.
fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// 256 bytes: a few cache lines to count, and memory of a thirty-second of the text.
const BLOCK: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let text = "ab\né=1\n\nlast";
        let lines = Lines::new(text);
        for (at, place) in [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (2, 2)), (8, (3, 1))] {
            assert_eq!(lines.place(at), place, "byte {at}");
        }
        assert_eq!(lines.place(text.len()), (4, 5));
        assert_eq!(lines.place(usize::MAX), (4, 5));
        assert_eq!(Lines::new("").place(0), (1, 1));
    }

    #[test]
    fn blocks_do_not_show() {
        let text = "é".repeat(BLOCK * 2);
        let lines = Lines::new(&text);
        for characters in [0, 1, BLOCK / 2, BLOCK - 1, BLOCK, BLOCK * 2] {
            assert_eq!(lines.place(characters * 2), (1, characters as u32 + 1));
        }
    }
}
