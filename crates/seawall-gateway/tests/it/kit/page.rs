//! Pages as tests read them: tables by their headings, and blocks by their language.

use std::{collections::BTreeMap, fs, path::PathBuf};

/// A row of a table: its cells by the heading of their column.
pub(crate) type Row = BTreeMap<String, String>;

/// A folder or file of the project, by its path from the root.
pub(crate) fn place(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

/// The text of a page.
pub(crate) fn page(path: &str) -> String {
    fs::read_to_string(place(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All pages that a reader is led to.
pub(crate) fn pages() -> Vec<(String, String)> {
    let docs = fs::read_dir(place("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.to_str().unwrap()));
    let paths = docs.filter(|path| path.ends_with(".md")).chain(["README.md".to_owned()]);
    paths.map(|path| (path.clone(), page(&path))).collect()
}

/// The rows of every table that has all of these columns, each with the line it stands on.
pub(crate) fn rows(text: &str, columns: &[&str]) -> Vec<(usize, Row)> {
    let mut heading: Option<Vec<String>> = None;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some(cells) = cells(line) else {
            heading = None;
            continue;
        };
        let Some(heading) = &heading else {
            heading = Some(cells);
            continue;
        };
        let is_rule = cells.iter().all(|cell| cell.bytes().all(|byte| byte == b'-'));
        if !is_rule && columns.iter().all(|column| heading.iter().any(|cell| cell == column)) {
            rows.push((number + 1, heading.iter().cloned().zip(cells).collect()));
        }
    }
    rows
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inside = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// The blocks in this language, each with the line it begins on.
pub(crate) fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String, &str)> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((number + 2, String::new(), language)),
            (Some((_, block, _)), None) => block.extend([line, "\n"]),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, None) => {}
        }
    }
    blocks.retain(|(.., found)| *found == language);
    blocks.into_iter().map(|(line, block, _)| (line, block)).collect()
}

/// What stands in backquotes, each with what stands before and after it, up to the next.
pub(crate) fn quoted(cell: &str) -> Vec<[&str; 3]> {
    let parts: Vec<_> = cell.split('`').collect();
    parts.windows(3).step_by(2).map(|three| [three[0], three[1], three[2]]).collect()
}
