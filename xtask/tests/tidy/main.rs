//! The house rules no linter knows, as tests.
//!
//! ```text
//!   git ls-files ──▶ File (path, text, code) ──▶ rules on one file, rules on all files ──┐
//!   cargo metadata ──▶ packages ───────────────▶ rules on dependencies ──────────────────┴──▶ findings
//! ```
//!
//! A rule is a pure function from what it reads to its findings, and each has a test with a bad sample and
//! the exact line it prints: where, what is wrong, what would be right.

mod packages;
mod tree;

use std::{collections::BTreeSet, fmt::Display};

use packages::{bare_core, floors, licences};
use tree::{File, files, ident, item, line, metadata, whole_words};

#[test]
fn the_tree_is_tidy() {
    let files = files();
    let mut found: Vec<String> =
        files.iter().flat_map(|file| RULES.iter().flat_map(|rule| rule(file))).collect();
    found.extend([unreached(&files), unlinked(&files), links(&files), promises(&files)].concat());
    let metadata = metadata();
    found.extend([floors(&metadata), bare_core(&metadata), licences(&metadata)].concat());
    for warning in files.iter().flat_map(long) {
        println!("warning: {warning}");
    }
    assert!(found.is_empty(), "{} findings\n{}", found.len(), found.join("\n"));
}

// Rules on one file.

const RULES: [fn(&File) -> Vec<String>; 8] =
    [picture, length, functions, core_names, words, allows, absolute, msrv];

/// Every Rust file opens with a sentence about itself.
fn picture(file: &File) -> Vec<String> {
    let bare = file.is_rust() && !file.text.starts_with("//! ");
    bare.then(|| say(file, 1, "nothing says what this file is", "open it with `//!`"))
        .into_iter()
        .collect()
}

/// A file is read in one sitting.
fn length(file: &File) -> Vec<String> {
    let lines = file.shipped().lines().count();
    let wrong = format!("{lines} lines before its tests");
    let right = format!("at most {LINES_MAX}: a folder of smaller files");
    (lines > LINES_MAX).then(|| say(file, lines, wrong, right)).into_iter().collect()
}

/// A file past the first limit is worth a thought, not a failure.
fn long(file: &File) -> Option<String> {
    let lines = file.shipped().lines().count();
    let wrong = format!("{lines} lines before its tests");
    let right = format!("at most {LINES_USUAL}, or a reason");
    (LINES_USUAL < lines && lines <= LINES_MAX).then(|| say(file, lines, wrong, right))
}

/// A function fits on a screen.
fn functions(file: &File) -> Vec<String> {
    let code = file.shipped();
    let mut found = Vec::new();
    for at in whole_words(code, "fn") {
        let name = ident(code[at + 2..].trim_start());
        let lines = item(&code[at..]).lines().count();
        if !name.is_empty() && lines > FUNCTION_LINES_MAX {
            let wrong = format!("`{name}` has {lines} lines");
            let right = format!("at most {FUNCTION_LINES_MAX}: a part of it deserves a name");
            found.push(say(file, line(code, at), wrong, right));
        }
    }
    found
}

/// The core decides and does nothing else.
fn core_names(file: &File) -> Vec<String> {
    if !file.path.starts_with("crates/seawall-core/src/") {
        return Vec::new();
    }
    let code = file.shipped();
    let found = ACTING.iter().flat_map(|name| whole_words(code, name).map(move |at| (at, name)));
    found
        .map(|(at, name)| {
            let wrong = format!("`{name}` in the core");
            say(file, line(code, at), wrong, "take the value as an argument")
        })
        .collect()
}

/// What is here is finished.
fn words(file: &File) -> Vec<String> {
    let found = UNFINISHED.iter().flat_map(|word| file.text.match_indices(word));
    found
        .filter(|_| file.path != THIS_FILE)
        .map(|(at, word)| {
            say(file, line(&file.text, at), format!("`{word}`"), "finish it or leave it out")
        })
        .collect()
}

/// A relaxation has a reason, and goes when it is no longer needed.
fn allows(file: &File) -> Vec<String> {
    let allows = file.code.match_indices("[allow(");
    let right = "`#[expect(…, reason = \"…\")]`";
    let mut found: Vec<String> =
        allows.map(|(at, _)| say(file, line(&file.code, at), "an allowed lint", right)).collect();
    for (at, _) in file.code.match_indices("[expect(") {
        let attribute = file.code[at..].split(']').next().unwrap_or_default();
        if !attribute.contains("reason =") {
            let at = line(&file.code, at);
            found.push(say(file, at, "an expected lint without its reason", right));
        }
    }
    found
}

/// Nothing depends on where the repository lies. A folder of that name inside a longer path is fine.
fn absolute(file: &File) -> Vec<String> {
    let rooted = |at: usize| {
        let before = file.text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~})]*/".contains(c))
    };
    let found = PLACES.iter().flat_map(|place| file.text.match_indices(place));
    found
        .filter(|(at, _)| file.path != THIS_FILE && rooted(*at))
        .map(|(at, place)| {
            let wrong = format!("an absolute path (`{place}`)");
            say(file, line(&file.text, at), wrong, "a path from the root of the repository")
        })
        .collect()
}

/// One oldest compiler for all, named in one place.
fn msrv(file: &File) -> Vec<String> {
    let member = file.path.starts_with("crates/") || file.path.starts_with("xtask/");
    if !file.path.ends_with("Cargo.toml") || file.path == "Cargo.toml" {
        return Vec::new();
    }
    let own = file.text.lines().position(|line| line.starts_with("rust-version ="));
    let inherits = file.text.lines().any(|line| line == "rust-version.workspace = true");
    match own {
        Some(at) => {
            vec![say(file, at + 1, "a `rust-version` of its own", "the root manifest names it")]
        }
        None if member && !inherits => {
            vec![say(file, 1, "no `rust-version`", "`rust-version.workspace = true`")]
        }
        None => Vec::new(),
    }
}

// Rules on all files.

/// A Rust file is reached by a `mod`.
fn unreached(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let Some((module, parents)) = file.module() else { continue };
        let declares = |parent: &File| {
            whole_words(&parent.code, "mod").any(|at| {
                let rest = parent.code[at + 3..].trim_start();
                ident(rest) == module && rest[module.len()..].starts_with(';')
            })
        };
        if !files.iter().any(|parent| parents.contains(&parent.path) && declares(parent)) {
            let right = format!("`mod {module};` above it");
            found.push(say(file, 1, "no `mod` reaches this file", right));
        }
    }
    found
}

/// A page is reached by a link from another.
fn unlinked(files: &[File]) -> Vec<String> {
    let is_page = |path: &str| {
        let here = path.starts_with("docs/") || !path.contains('/');
        here && path.ends_with(".md") && path != "README.md"
    };
    let linked = |page: &File| {
        let others = files.iter().filter(|file| file.path != page.path);
        others.flat_map(File::links).any(|(_, to)| to == page.path)
    };
    let right = "a link from README.md or a page it leads to";
    files
        .iter()
        .filter(|file| is_page(&file.path) && !linked(file))
        .map(|page| say(page, 1, "no page links here", right))
        .collect()
}

/// A link between pages leads somewhere.
fn links(files: &[File]) -> Vec<String> {
    let exists = |to: &str| {
        let folder = format!("{to}/");
        to.is_empty() || files.iter().any(|file| file.path == to || file.path.starts_with(&folder))
    };
    let links =
        files.iter().flat_map(|file| file.links().into_iter().map(move |link| (file, link)));
    links
        .filter(|(_, (_, to))| !exists(to))
        .map(|(file, (line, to))| {
            say(file, line, format!("{to} does not exist"), "a link to a file that does")
        })
        .collect()
}

/// Whatever stands in backquotes in the last cell of a row is a test, and a promise that is kept names one.
fn promises(files: &[File]) -> Vec<String> {
    let Some(page) = files.iter().find(|file| file.path == "docs/promises.md") else {
        return Vec::new();
    };
    let tests: BTreeSet<&str> = files.iter().flat_map(File::tests).collect();
    let mut found = Vec::new();
    for (at, row) in page.text.lines().enumerate().filter(|(_, row)| row.starts_with('|')) {
        let cells: Vec<&str> = row.trim().trim_matches('|').split('|').map(str::trim).collect();
        let names: Vec<&str> =
            cells.last().into_iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        if names.is_empty() && cells.iter().any(|cell| cell.trim_matches('*') == "kept") {
            let right = "the test's name in the last cell";
            found.push(say(page, at + 1, "kept, but no test says so", right));
        }
        for name in names {
            let function = name.rsplit("::").next().unwrap_or(name);
            if !tests.contains(function) {
                let wrong = format!("there is no test `{name}`");
                found.push(say(page, at + 1, wrong, "the name of a test"));
            }
        }
    }
    found
}

// Helpers.

fn say(file: &File, line: usize, wrong: impl Display, right: impl Display) -> String {
    format!("{}:{line}: {wrong}; right: {right}", file.path)
}

/// Exempt where it has to spell out what it looks for.
const THIS_FILE: &str = "xtask/tests/tidy/main.rs";

/// A file is read in one sitting, better in half of one …
const LINES_USUAL: usize = 300;
/// … and longer than this it may not be.
const LINES_MAX: usize = 500;
/// A screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Clocks, runtimes, chance and I/O.
const ACTING: [&str; 11] = [
    "std::",
    "Instant::now",
    "SystemTime",
    "quanta",
    "tokio",
    "futures",
    "rand",
    "getrandom",
    "fastrand",
    "println",
    "eprintln",
];

/// Marks of unfinished work.
const UNFINISHED: [&str; 6] = ["TODO", "FIXME", "XXX", "todo!", "unimplemented!", "#[ignore"];

/// Where a path of one machine begins.
const PLACES: [&str; 8] =
    ["/home/", "/root/", "/work/", "/usr/local", "/tmp/", "/mnt/", "/Users/", "C:\\"];

#[cfg(test)]
mod samples {
    use super::*;

    #[test]
    fn a_file_opens_with_its_picture() {
        assert_eq!(picture(&File::new("a.rs", "//! What it is.\n")), NOTHING);
        let found = picture(&File::new("a.rs", "use b;\n//! Late.\n"));
        assert_eq!(found, ["a.rs:1: nothing says what this file is; right: open it with `//!`"]);
    }

    #[test]
    fn a_file_ends_where_its_tests_begin() {
        let tests = format!("#[cfg(test)]\n#[expect(x)]\nmod tests {{\n{}}}\n", "\n".repeat(600));
        let long = format!("#[cfg(test)]\nextern crate std;\n{}", "fn f() {}\n".repeat(498));
        assert_eq!(length(&File::new("a.rs", &(long.clone() + &tests))), NOTHING);
        assert_eq!(length(&File::new("a/tests/b.rs", &"\n".repeat(600))), NOTHING);
        let found = length(&File::new("a.rs", &(long + "// one more\n" + &tests)));
        assert_eq!(
            found,
            ["a.rs:501: 501 lines before its tests; right: at most 500: a folder of smaller files"]
        );
    }

    #[test]
    fn a_long_file_is_a_warning_first() {
        assert_eq!(long(&File::new("a.rs", &"\n".repeat(300))), None);
        assert_eq!(long(&File::new("a.rs", &"\n".repeat(501))), None);
        let found = long(&File::new("a.rs", &"\n".repeat(301)));
        let expected = "a.rs:301: 301 lines before its tests; right: at most 300, or a reason";
        assert_eq!(found.as_deref(), Some(expected));
    }

    #[test]
    fn a_function_fits_on_a_screen() {
        let fits =
            format!("fn f(a: [u8; 2], b: fn()) {{\n\"}}\"; '{{';\n{}}}\n", "{}\n".repeat(67));
        assert_eq!(functions(&File::new("a.rs", &fits)), NOTHING);
        let found = functions(&File::new("a.rs", &format!("\n{}", fits.replacen('\n', "\n\n", 1))));
        let expected = "a.rs:2: `f` has 71 lines; right: at most 70: a part of it deserves a name";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn the_core_names_nothing_that_acts() {
        let text = "//! No tokio.\nuse std::time;\nfn random(x_rand: Brand) {}\n#[cfg(test)]\nmod tests {\nuse std::fs;\n}\n";
        let found = core_names(&File::new("crates/seawall-core/src/a.rs", text));
        let expected = "crates/seawall-core/src/a.rs:2: `std::` in the core; right: take the value as an argument";
        assert_eq!(found, [expected]);
        assert_eq!(core_names(&File::new("crates/seawall/src/a.rs", text)), NOTHING);
    }

    #[test]
    fn nothing_is_left_unfinished() {
        let found = words(&File::new("a.md", "fine\nbut TODO\n"));
        assert_eq!(found, ["a.md:2: `TODO`; right: finish it or leave it out"]);
    }

    #[test]
    fn a_relaxation_has_a_reason() {
        let text = "// #[allow(a)]\n#![allow(b)]\n#[expect(c)]\n#[expect(d, reason = \"e\")]\n";
        let right = "right: `#[expect(…, reason = \"…\")]`";
        let expected = [
            format!("a.rs:2: an allowed lint; {right}"),
            format!("a.rs:3: an expected lint without its reason; {right}"),
        ];
        assert_eq!(allows(&File::new("a.rs", text)), expected);
    }

    #[test]
    fn no_path_is_absolute() {
        let text =
            "https://example.com/home/ and src/work/ and /dev/null and /proc/self\n`/home/me`\n";
        let expected =
            "a.md:2: an absolute path (`/home/`); right: a path from the root of the repository";
        assert_eq!(absolute(&File::new("a.md", text)), [expected]);
    }

    #[test]
    fn one_manifest_names_the_compiler() {
        let own = "[package]\nrust-version = \"1.80\"\n";
        assert_eq!(msrv(&File::new("Cargo.toml", own)), NOTHING);
        assert_eq!(
            msrv(&File::new("crates/a/Cargo.toml", "rust-version.workspace = true\n")),
            NOTHING
        );
        let found = msrv(&File::new("crates/a/Cargo.toml", own));
        let expected =
            "crates/a/Cargo.toml:2: a `rust-version` of its own; right: the root manifest names it";
        assert_eq!(found, [expected]);
        let found = msrv(&File::new("crates/a/Cargo.toml", "[package]\n"));
        let expected =
            "crates/a/Cargo.toml:1: no `rust-version`; right: `rust-version.workspace = true`";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn every_module_is_reached() {
        let files = [
            File::new("crates/a/src/lib.rs", "pub mod b;\nmod d { }\n// mod c;\n"),
            File::new("crates/a/src/b.rs", "mod inner;"),
            File::new("crates/a/src/b/inner.rs", ""),
            File::new("crates/a/src/c/mod.rs", ""),
            File::new("crates/a/src/d.rs", ""),
            File::new("crates/a/tests/it/main.rs", ""),
        ];
        let expected = [
            "crates/a/src/c/mod.rs:1: no `mod` reaches this file; right: `mod c;` above it",
            "crates/a/src/d.rs:1: no `mod` reaches this file; right: `mod d;` above it",
        ];
        assert_eq!(unreached(&files), expected);
    }

    #[test]
    fn every_page_is_linked() {
        let readme = "[a](docs/a.md#part) [self](README.md)\n```text\n[x](docs/b.md)\n```\n";
        let files = [
            File::new("README.md", readme),
            File::new("docs/a.md", "a"),
            File::new("docs/b.md", "[b](b.md)"),
            File::new("crates/a/notes.md", ""),
        ];
        let expected =
            "docs/b.md:1: no page links here; right: a link from README.md or a page it leads to";
        assert_eq!(unlinked(&files), [expected]);
    }

    #[test]
    fn every_link_leads_somewhere() {
        let page =
            "[up](../README.md) [folder](./) [web](https://a.b/c) [part](#part)\n[no](gone.md)\n";
        let files = [File::new("README.md", ""), File::new("docs/a.md", page)];
        let expected =
            "docs/a.md:2: docs/gone.md does not exist; right: a link to a file that does";
        assert_eq!(links(&files), [expected]);
    }

    #[test]
    fn a_kept_promise_names_its_tests() {
        let page = "| F1 | a | *kept* | `b::c` |\n| F2 | `d` | kept | |\n| F3 | e | kept | `helper` |\n| F4 | f | later | |\n| a fault | `g::h` |\n";
        let code = "#[test]\nfn c() {}\nfn helper() {}\n";
        let files = [File::new("docs/promises.md", page), File::new("a.rs", code)];
        let expected = [
            "docs/promises.md:2: kept, but no test says so; right: the test's name in the last cell",
            "docs/promises.md:3: there is no test `helper`; right: the name of a test",
            "docs/promises.md:5: there is no test `g::h`; right: the name of a test",
        ];
        assert_eq!(promises(&files), expected);
    }

    const NOTHING: [&str; 0] = [];
}
