//! What is not TOML, told so that one slip is one error.
//!
//! ```text
//!   a bracket or long string never closed    that error, and what is wrong on the lines before it
//!   else                                     the first error of each line
//!   its shadow                               the line; after a broken `[header]` all up to the next one
//! ```
//!
//! The parser goes on after an error and guesses. What it guessed inside a shadow is nobody's mistake, so
//! nothing there is judged. After an unclosed bracket all that follows is a guess.

use std::{fmt::Write, ops::Range};

use toml::de::Error;

use super::lines::Lines;

/// What is wrong, and which parts of the tree are guesses.
#[derive(Debug, Default)]
pub(super) struct Syntax {
    /// Where, and what.
    pub(super) problems: Vec<(usize, String)>,
    /// In order, apart from each other.
    shadows: Vec<Range<usize>>,
}

impl Syntax {
    pub(super) fn new(text: &str, lines: &Lines<'_>, errors: &[Error]) -> Self {
        if errors.is_empty() {
            return Self::default();
        }
        let open = unclosed(text);
        let end = open.map_or(usize::MAX, |at| lines.span(lines.line(at)).start);
        let mut told: Vec<_> =
            errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
        told.sort_by_key(|(span, _)| span.start);

        let mut syntax = Self::default();
        let mut line_told = None;
        for (span, message) in told.into_iter().take_while(|(span, _)| span.start < end) {
            let line = lines.line(span.start);
            if line_told.replace(line) != Some(line) {
                syntax.shade(shadow(text, lines, line, lines.line(span.end)));
                syntax.problems.push((span.start, clear(message, text.get(span))));
            }
        }
        if let Some(at) = open {
            let opener = if text[at..].starts_with(['[', '{']) { 1 } else { 3 };
            syntax
                .problems
                .push((at, format!("this `{}` is never closed", &text[at..at + opener])));
            syntax.shadows.clear();
            syntax.shade(0..text.len() + 1);
        }
        syntax
    }

    /// Whether something is not TOML, so that what is missing may only not have been understood.
    pub(super) const fn is_flawed(&self) -> bool {
        !self.shadows.is_empty()
    }

    /// Whether what the parser saw at `at` is a guess.
    pub(super) fn shades(&self, at: usize) -> bool {
        let next = self.shadows.partition_point(|shadow| shadow.start <= at);
        next > 0 && self.shadows[next - 1].contains(&at)
    }

    fn shade(&mut self, shadow: Range<usize>) {
        match self.shadows.last_mut() {
            Some(last) if shadow.start <= last.end => last.end = last.end.max(shadow.end),
            _ => self.shadows.push(shadow),
        }
    }
}

/// The text with every key that has no value blanked out: the parser reads nothing after one. `None` where
/// there is none.
pub(super) fn readable(text: &str, lines: &Lines<'_>, errors: &[Error]) -> Option<String> {
    let bare = errors.iter().filter(|error| error.message().starts_with("key with no value"));
    let mut bare: Vec<_> = bare.filter_map(|error| Some(lines.line(error.span()?.start))).collect();
    bare.sort_unstable();
    let mut readable = String::with_capacity(text.len());
    for line in bare {
        let span = lines.span(line);
        if let Some(before) = text.get(readable.len()..span.start) {
            readable.push_str(before);
            readable.extend(text[span].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        }
    }
    (!readable.is_empty()).then(|| {
        readable.push_str(&text[readable.len()..]);
        readable
    })
}

/// The lines of an error; if it broke a header, all up to the next.
fn shadow(text: &str, lines: &Lines<'_>, first: usize, last: usize) -> Range<usize> {
    let is_header = |line: usize| text[lines.span(line)].trim_start().starts_with('[');
    let mut end = last.max(first) + 1;
    if is_header(first) {
        while end < lines.count() && !is_header(end) {
            end += 1;
        }
    }
    // The end of the text belongs to its last line.
    let after = if end < lines.count() { lines.span(end).start } else { text.len() + 1 };
    lines.span(first).start..after
}

/// The parser's words, except where they mislead: it takes whatever is no value for an unquoted string.
fn clear(message: &str, text: Option<&str>) -> String {
    if !message.starts_with("string values must be quoted") {
        return message.to_owned();
    }
    match text.unwrap_or_default().trim() {
        "" => "a value is missing".to_owned(),
        text @ ("yes" | "on" | "True") => format!("`{text}` is no value, did you mean true?"),
        text @ ("no" | "off" | "False") => format!("`{text}` is no value, did you mean false?"),
        text => {
            let mut message = format!("`{}` is no value", short(text));
            if !text.contains(['"', '\\']) {
                let _ = write!(message, "; as text it needs quotes: \"{}\"", short(text));
            }
            message
        }
    }
}

/// As much of a text as an error needs.
pub(super) fn short(text: &str) -> String {
    let mut short: String = text.chars().take(SHORT_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The first bracket or long string that is never closed.
fn unclosed(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open: Vec<usize> = Vec::new();
    let mut blank = true;
    let mut at = 0;
    while at < bytes.len() {
        let starts_line = std::mem::replace(&mut blank, false);
        match bytes[at] {
            b'#' => at = line_end(bytes, at),
            // A header: its brackets end with its line, and the parser tells if they do not.
            b'[' if starts_line && open.is_empty() => at = line_end(bytes, at),
            b'"' | b'\'' => {
                let Some(end) = string_end(bytes, at) else {
                    return open.first().copied().or(Some(at));
                };
                at = end;
            }
            b'[' | b'{' => open.push(at),
            closer @ (b']' | b'}') => match open.last() {
                // In ASCII an opening bracket and its closing one are two apart.
                Some(last) if bytes[*last] + 2 == closer => drop(open.pop()),
                Some(last) => return Some(*last),
                None => {}
            },
            b'\n' => blank = true,
            b' ' | b'\t' | b'\r' => blank = starts_line,
            _ => {}
        }
        at += 1;
    }
    open.first().copied()
}

/// The last byte of the string that starts at `at`; one of a single line ends with it. `None` if it is never
/// closed.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = bytes[at];
    let long = bytes[at..].starts_with(&[quote; 3]);
    let mut end = if long { at + 3 } else { at + 1 };
    while end < bytes.len() {
        match bytes[end] {
            b'\\' if quote == b'"' && bytes.get(end + 1) != Some(&b'\n') => end += 1,
            b'\n' if !long => return Some(end - 1),
            byte if byte == quote && !long => return Some(end),
            byte if byte == quote && bytes[end..].starts_with(&[quote; 3]) => {
                // Up to two quotes may stand before the closing three.
                let more = bytes[end + 3..].iter().take(2).take_while(|byte| **byte == quote);
                return Some(end + 2 + more.count());
            }
            _ => {}
        }
        end += 1;
    }
    (!long).then_some(bytes.len())
}

/// The byte before the end of the line.
fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |line| at + line - 1)
}

/// A value is recognized by its beginning.
const SHORT_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_closed_is_found() {
        for (text, at) in [
            ("a = [1, 2\nb = 3\n", Some(4)),
            ("a = [1, 2]\nb = { x = 1 }\n", None),
            ("a = [[1, 2]\nb = 3\n[t]\n", Some(4)),
            ("a = { x = [1, 2 }\n", Some(10)),
            ("a = \"[\" # [\nb = '{'\n", None),
            ("a = \"\\\"[\"\n", None),
            ("a = \"[\nb = ']'\n", None),
            ("a = \"\"\"[\n\"\"\"\"\"\nb = 1\n", None),
            ("a = '''x\nb = 1\n", Some(4)),
            ("a = [\"\"\"x\nb = 1\n", Some(4)),
            ("  [t\na = 1\n", None),
            ("a = ]\nb = }\n", None),
            ("#", None),
            ("[", None),
            ("\"\\", None),
            ("a = \"x\\\nb = [\n", Some(12)),
        ] {
            assert_eq!(unclosed(text), at, "{text:?}");
        }
    }
}
