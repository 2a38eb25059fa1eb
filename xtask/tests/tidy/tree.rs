//! What the rules read: the files git tracks or would track, and what cargo knows of the packages.
//!
//! Rust is not parsed. With strings and comments blanked out, words and braces can be counted, and that is
//! enough for every question asked here.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

/// A text file of the tree.
pub(crate) struct File {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Of Rust, the text with comments, strings and characters blanked out, line for line.
    pub(crate) code: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { code(text) } else { String::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The code before the tests, which stand at the end or in files of their own.
    pub(crate) fn shipped(&self) -> &str {
        if self.path.split('/').any(|part| part == "tests" || part == "tests.rs") {
            return "";
        }
        let tests = self.code.match_indices("\n#[cfg(test)]\n").find(|(at, mark)| {
            let next = self.code[at + mark.len()..]
                .lines()
                .find(|line| !line.starts_with("#[") && !line.trim().is_empty());
            next.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
        });
        &self.code[..tests.map_or(self.code.len(), |(at, _)| at + 1)]
    }

    /// The names of the test functions.
    pub(crate) fn tests(&self) -> impl Iterator<Item = &str> {
        let functions = whole_words(&self.code, "fn").map(|at| self.code.split_at(at));
        let tests = functions.filter(|(before, _)| {
            let attributes = before.rsplit([';', '{', '}']).next().unwrap_or_default();
            attributes.contains("test]") || attributes.contains("test(")
        });
        tests.map(|(_, function)| ident(function[2..].trim_start()))
    }

    /// The module's name and the files that may declare it. `None` for what cargo finds by itself.
    pub(crate) fn module(&self) -> Option<(&str, [String; 4])> {
        let (mut folder, mut name) = self.path.strip_suffix(".rs")?.rsplit_once('/')?;
        let cargo_looks_here =
            folder.rsplit('/').next().is_some_and(|last| TARGET_FOLDERS.contains(&last));
        if cargo_looks_here || ["lib", "main", "build"].contains(&name) {
            return None;
        }
        if name == "mod" {
            (folder, name) = folder.rsplit_once('/')?;
        }
        Some((name, ["/lib.rs", "/main.rs", "/mod.rs", ".rs"].map(|end| format!("{folder}{end}"))))
    }

    /// Line and target of each link of a page to another file of the tree.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        let mut listing = !self.path.ends_with(".md");
        for (at, line) in self.text.lines().enumerate() {
            listing ^= line.trim_start().starts_with("```");
            for link in line.split("](").skip(1).filter(|_| !listing) {
                let target = link.split([')', '#', ' ']).next().unwrap_or_default();
                if !target.is_empty() && !target.contains(':') {
                    links.push((at + 1, resolve(&self.path, target)));
                }
            }
        }
        links
    }
}

/// All text files that git tracks or would track.
pub(crate) fn files() -> Vec<File> {
    let listed = output(
        "git",
        &["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    );
    let paths: BTreeSet<&str> = listed.split_terminator('\0').collect();
    // What cannot be read as text is a binary, or deleted and not yet committed.
    let texts = paths
        .into_iter()
        .filter_map(|path| Some((path, std::fs::read_to_string(root().join(path)).ok()?)));
    texts.map(|(path, text)| File::new(path, &text)).collect()
}

/// What cargo knows of all packages that are built on this host.
pub(crate) fn metadata() -> Value {
    let rustc = output("rustc", &["--version", "--verbose"]);
    let host =
        rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let json = output(&cargo, &["metadata", "--format-version", "1", "--filter-platform", host]);
    serde_json::from_str(&json).expect("cargo prints JSON")
}

/// The line, from 1, of a byte.
pub(crate) fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The identifier a text starts with; empty if none.
pub(crate) fn ident(text: &str) -> &str {
    &text[..text.find(|c| !is_ident(c)).unwrap_or(text.len())]
}

/// Where `word` stands and is not part of a longer one.
pub(crate) fn whole_words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let open_end = !word.ends_with(is_ident);
        let after = &code[at + word.len()..];
        !code[..*at].ends_with(is_ident) && (open_end || !after.starts_with(is_ident))
    })
}

/// The item code starts with: up to its closing brace, or to a semicolon before any.
pub(crate) fn item(code: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return &code[..at],
            '(' | '[' | '{' => depth += 1,
            '}' if depth <= 1 => return &code[..=at],
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code
}

/// Rust with comments, strings and characters blanked out, line for line.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let opaque = opaque(rest);
        if opaque == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..opaque].chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = &rest[opaque..];
        }
    }
    code
}

/// The length of the comment, string or character a text starts with; 0 if none.
fn opaque(text: &str) -> usize {
    let until = |from: usize, end: &str| {
        text[from..].find(end).map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        until(2, "*/")
    } else if text.starts_with('"') {
        string(text)
    } else if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let quoted = raw[hashes..].starts_with('"');
        if quoted { until(hashes + 2, &format!("\"{}", "#".repeat(hashes))) } else { 0 }
    } else if text.starts_with("'\\") {
        until(text.char_indices().nth(3).map_or(text.len(), |(at, _)| at), "'")
    } else if text.starts_with('\'') && text.chars().nth(2) == Some('\'') {
        until(1 + text[1..].chars().next().map_or(0, char::len_utf8), "'")
    } else {
        0
    }
}

/// The length of the string literal a text starts with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The path from the root that `target` means in the file at `from`.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(root()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the output is text")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root")
}

/// Where cargo looks for targets by itself.
const TARGET_FOLDERS: [&str; 5] = ["bin", "tests", "benches", "examples", "fuzz_targets"];

#[cfg(test)]
mod samples {
    use super::*;

    #[test]
    fn code_is_what_is_neither_comment_nor_text() {
        for (text, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b\n */ c", "a     \n    c"),
            (r#"a("\"b") c"#, r"a(     ) c"),
            (r##"r#"a"b"# c"##, r"         c"),
            (r"f::<'a>('b', '\'', '\u{e9}') c", r"f::<'a>(   ,     ,         ) c"),
            ("r#fn c", "r#fn c"),
        ] {
            assert_eq!(File::new("a.rs", text).code, expected);
        }
    }
}
