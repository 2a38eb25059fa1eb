//! "Did you mean": the known word a mistyped one is closest to.
//!
//! Insertions, deletions, replacements and swaps of neighbours count one each; a word may be wrong in a
//! third of its letters. Case, and `-` for `_`, count nothing.

/// The closest of `known`, if one is close enough to be what was meant; the first of equals.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let letters = letters(word);
    if letters.len() > WORD_MAX {
        return None;
    }
    let allowed = (letters.len() / 3).clamp(1, 3);
    let scored = known.map(|known| (distance(&letters, &self::letters(known)), known));
    scored
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn letters(word: &str) -> Vec<char> {
    let same = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    word.chars().take(WORD_MAX + 1).map(same).collect()
}

/// Edits between two words, a swap of neighbours counted as one.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut edits = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                edits = edits.min(before[j - 1] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// No field is longer; a longer word is no slip of the finger.
const WORD_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in [
            ("", "abc", 3),
            ("retry", "retry", 0),
            ("rerty", "retry", 1),
            ("retrry", "retry", 1),
            ("rety", "retry", 1),
            ("retro", "retry", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(&letters(a), &letters(b)), edits, "{a} {b}");
            assert_eq!(distance(&letters(b), &letters(a)), edits, "{b} {a}");
        }
    }

    #[test]
    fn only_close_words_are_proposed() {
        let known = ["max_retries", "max_delay", "on", "jitter"];
        for (word, meant) in [
            ("max_retires", Some("max_retries")),
            ("Max-Retries", Some("max_retries")),
            ("maxdelay", Some("max_delay")),
            ("jiter", Some("jitter")),
            ("no", Some("on")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), meant, "{word}");
        }
        assert_eq!(nearest(&"é".repeat(100_000), known.into_iter()), None);
    }
}
