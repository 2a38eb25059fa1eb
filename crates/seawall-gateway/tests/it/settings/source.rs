//! The keys that the readers ask for, from their source: a field is read by its name and nowhere listed.

use std::{fs, path::Path};

use crate::kit::page::place;

/// A key, who reads it, and what it stands in.
pub(super) struct Key {
    pub(super) file: String,
    pub(super) reader: String,
    pub(super) name: String,
    pub(super) prefixes: &'static [&'static str],
}

/// All of them.
pub(super) fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    for folder in ["crates/seawall/src/config", "crates/seawall-gateway/src/config"] {
        visit(&place(folder), &mut keys);
    }
    keys
}

fn visit(folder: &Path, keys: &mut Vec<Key>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, keys);
            continue;
        }
        let file = path.file_name().unwrap().to_str().unwrap();
        // The verbs themselves, and what is tried on them.
        if !["table.rs", "tests.rs"].contains(&file) {
            let text = fs::read_to_string(&path).unwrap();
            keys.extend(read(file, &text));
        }
    }
}

fn read(file: &str, text: &str) -> Vec<Key> {
    let code = text.split("mod tests {").next().unwrap_or_default();
    let code: Vec<_> = code.lines().filter(|line| !line.trim().starts_with("//")).collect();
    let code = code.join("\n");
    let mut keys = Vec::new();
    for verb in [".set(", ".take(", ".pattern("] {
        for (at, _) in code.match_indices(verb) {
            let Some(rest) = code[at + verb.len()..].trim_start().strip_prefix('"') else {
                continue;
            };
            let name = rest.split('"').next().unwrap_or_default();
            if TABLES.contains(&name) {
                continue;
            }
            let before = code[..at].rmatch_indices("fn ").next();
            let reader = before.map_or("", |(start, _)| &code[start + "fn ".len()..at]);
            let reader = reader.split(|c: char| c != '_' && !c.is_alphanumeric()).next();
            let reader = reader.unwrap_or_default();
            let prefixes = READERS.iter().find(|(known, ..)| *known == (file, reader));
            let (_, prefixes) = prefixes.unwrap_or_else(|| {
                panic!("`{reader}` of {file} reads `{name}`: say in READERS what that stands in")
            });
            let (file, reader, name) = (file.to_owned(), reader.to_owned(), name.to_owned());
            keys.push(Key { file, reader, name, prefixes });
        }
    }
    keys
}

/// Tables whose keys are told one by one.
const TABLES: [&str; 2] = ["admin", "route"];

/// What the keys of a reader stand in; one that reads keys of two tables has both.
const READERS: [((&str, &str), &[&str]); 16] = [
    (("patterns.rs", "retry"), &["retry."]),
    (("patterns.rs", "circuit_breaker"), &["circuit_breaker."]),
    (("patterns.rs", "timeout"), &["timeout."]),
    (("bulkhead.rs", "bulkhead_or_preset"), &[""]),
    (("bulkhead.rs", "bulkhead"), &["bulkhead."]),
    (("rate_limit.rs", "rate_limit"), &["rate_limit."]),
    (("rate_limit.rs", "read"), &["rate_limit."]),
    (("policies.rs", "policy"), &[""]),
    (("raw.rs", "read"), &[""]),
    (("raw.rs", "admin"), &["admin."]),
    (("upstream.rs", "upstream"), &["upstream.", ""]),
    (("upstream.rs", "endpoint"), &["upstream.endpoints."]),
    (("route.rs", "route"), &["route.", ""]),
    (("route.rs", "read_limits"), &[""]),
    (("route.rs", "read_retry"), &[""]),
    (("matching.rs", "read"), &["route.match."]),
];

#[test]
fn a_key_is_found_with_its_reader() {
    let code = "fn retry(mut table: Table) {\n // table.set(\"no\")\n table.set(\n\"max_retries\", x);\n}\nmod tests {\n table.take(\"no\");";
    let found = read("patterns.rs", code);
    let found: Vec<_> = found.iter().map(|key| (&*key.reader, &*key.name)).collect();
    assert_eq!(found, [("retry", "max_retries")]);
}
