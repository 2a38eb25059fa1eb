//! One text being read: where what is wrong with it is gathered.

use std::{cell::RefCell, fmt::Display, sync::Arc};

use toml::de::DeTable;

use super::{
    lines::Lines,
    problem::{Problem, Problems},
    syntax::{Syntax, readable},
    table::Table,
};
use crate::{Origin, Origins};

/// Reads a text by handing its root table to `meaning`; `file` is what problems and origins call it.
///
/// `meaning` takes what it knows from the table, tells what is wrong, and goes on with a value that makes
/// sense. What it returns is given out only if nothing was wrong.
///
/// # Errors
///
/// Everything that is wrong, by place.
pub fn read<T>(
    text: &str,
    file: &str,
    meaning: impl FnOnce(Table<'_>) -> T,
) -> Result<(T, Origins), Problems> {
    let file: Arc<str> = file.into();
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes, expected at most 1 MiB", text.len());
        return Err(Problems::one(Problem { file, line: 1, column: 1, message }));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Lines::new(text);
    let (mut root, mut errors) = DeTable::parse_recoverable(text);
    let readable = readable(text, &lines, &errors);
    if let Some(readable) = &readable {
        let (more, more_errors) = DeTable::parse_recoverable(readable);
        root = more;
        errors.extend(more_errors);
    }
    let syntax = Syntax::new(text, &lines, &errors);
    let reader = Reader { syntax, notes: RefCell::default() };
    let meant = meaning(Table::root(&reader, root.get_ref()));

    let Notes { mut problems, places } = reader.notes.into_inner();
    problems.extend(reader.syntax.problems);
    let problems = problems.into_iter().map(|(at, message)| {
        let (line, column) = lines.place(at);
        Problem { file: file.clone(), line, column, message: printable(message) }
    });
    Problems::all(problems.collect())?;
    let mut origins = Origins::default();
    for (field, at) in places {
        let (line, column) = lines.place(at);
        origins.note(field, Origin::File { file: file.clone(), line, column });
    }
    Ok((meant, origins))
}

/// What the tables and values of one text share.
#[derive(Debug)]
pub(super) struct Reader {
    syntax: Syntax,
    notes: RefCell<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    problems: Vec<(usize, String)>,
    places: Vec<(String, usize)>,
}

impl Reader {
    /// Something at `at` is wrong; not told where the parser only guessed.
    pub(super) fn problem(&self, at: usize, message: impl Display) {
        if !self.syntax.shades(at) {
            self.notes.borrow_mut().problems.push((at, message.to_string()));
        }
    }

    /// Something that should be in the text is not; not told if there are parts that could not be read.
    pub(super) fn absence(&self, at: usize, message: impl Display) {
        if !self.syntax.is_flawed() {
            self.problem(at, message);
        }
    }

    /// Asks whether something could be read, without telling what is wrong with it.
    pub(super) fn quietly<T>(&self, ask: impl FnOnce() -> T) -> T {
        let told = self.notes.borrow().problems.len();
        let answer = ask();
        self.notes.borrow_mut().problems.truncate(told);
        answer
    }

    /// The field at this path was written at `at`.
    pub(super) fn written(&self, path: String, at: usize) {
        self.notes.borrow_mut().places.push((path, at));
    }
}

/// A message goes to a terminal, and may quote what a file has in it.
fn printable(message: String) -> String {
    if !message.contains(char::is_control) {
        return message;
    }
    let shown =
        |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    message.chars().map(shown).collect()
}

/// The largest text that is read: 1 MiB, a thousand times a usual file.
pub const FILE_BYTES_MAX: usize = 1 << 20;
