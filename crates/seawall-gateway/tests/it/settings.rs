//! docs/settings.md against the code: no setting that the readers know is missing, none is there that they do not know,
//! and ranges, defaults and presets are those of the readers themselves.
//!
//! ```text
//!   a row ──▸ its value, written into a file ──▸ reads as the file without it
//!         ──▸ the ends of its range             ──▸ are taken, what lies beyond is not
//!   the readers' source ──▸ every key they ask for has a row
//! ```

mod bounds;
mod places;
mod source;

use std::collections::BTreeSet;

use self::{
    bounds::{Bound, bounds},
    places::{Side, Written},
};
use crate::kit::page::{Row, page, quoted, rows};

/// A setting as the page has it.
struct Setting {
    line: usize,
    field: String,
    row: Row,
}

impl Setting {
    /// What stands in the column of this side, without its backquotes.
    fn value(&self, side: Side) -> &str {
        self.row[side.column()].trim_matches('`')
    }

    fn range(&self) -> Vec<Bound> {
        bounds(&self.row["range"], &self.row["type"])
    }

    /// A value to write where it does not belong.
    fn any(&self) -> String {
        let bound = self.range().into_iter().find_map(|bound| match bound {
            Bound::Taken { value, .. } => Some(value),
            Bound::Refused { .. } => None,
        });
        let elsewhere = Side::BOTH.map(|side| self.value(side));
        let elsewhere = elsewhere.into_iter().find(|value| !NO_VALUE.contains(value));
        bound.or(elsewhere.map(str::to_owned)).unwrap_or_else(|| "1".to_owned())
    }
}

fn settings() -> Vec<Setting> {
    let found = rows(&page(PAGE), &["guide", "field", "range", "library", "gateway"]);
    let setting = |(line, row): (usize, Row)| {
        let field = row["field"].trim_matches('`').to_owned();
        Setting { line, field, row }
    };
    found.into_iter().map(setting).collect()
}

#[test]
fn each_setting_has_one_row() {
    let mut seen = BTreeSet::new();
    for Setting { line, field, .. } in settings() {
        assert!(seen.insert(field.clone()), "{PAGE}:{line}: {field} a second time");
    }
    assert!(seen.len() > 60, "only {} settings were found", seen.len());
}

#[test]
fn every_key_the_readers_ask_for_has_a_row() {
    let rows: BTreeSet<String> = settings().into_iter().map(|setting| setting.field).collect();
    let keys = source::keys();
    assert!(keys.len() > 60, "only {} keys were found", keys.len());
    for source::Key { file, reader, name, prefixes } in keys {
        let known = prefixes.iter().any(|prefix| rows.contains(&format!("{prefix}{name}")));
        assert!(known, "{PAGE}: no row for `{name}`, which `{reader}` of {file} reads");
    }
}

#[test]
fn values_are_those_of_a_file_that_says_nothing() {
    for setting in settings() {
        for side in Side::BOTH {
            let Setting { line, field, .. } = &setting;
            let at = format!("{PAGE}:{line}: {field}, {}", side.column());
            let value = setting.value(side);
            match value {
                "" => {
                    let any = setting.any();
                    let read = Written::new(side, field, Some(&any)).read();
                    assert!(read.is_err(), "{at}: empty, but {any} is taken");
                }
                "needed" => {
                    let read = Written::new(side, field, None).read();
                    assert!(read.is_err(), "{at}: needed, but a file without it is read");
                }
                "none" => {
                    let without = Written::new(side, field, None).read().expect(&at);
                    let with = Written::new(side, field, Some(&setting.any())).read();
                    assert_ne!(with.expect(&at), without, "{at}: none, but it is there");
                }
                _ => {
                    let with = Written::new(side, field, Some(value)).read();
                    let without = Written::beside(side, field, value).read().expect(&at);
                    assert_eq!(with.expect(&at), without, "{at}: {value} is not the value");
                }
            }
        }
    }
}

#[test]
fn ranges_end_where_the_readers_say() {
    for setting in settings() {
        let Setting { line, field, .. } = &setting;
        for side in Side::BOTH {
            if setting.value(side).is_empty() {
                continue;
            }
            let at = format!("{PAGE}:{line}: {field}, {}", side.column());
            for bound in setting.range() {
                match bound {
                    Bound::Taken { library_only: true, .. } if side == Side::Gateway => {}
                    Bound::Taken { value, .. } => {
                        let read = Written::new(side, field, Some(&value)).read();
                        assert!(read.is_ok(), "{at}: {value} should be taken: {read:?}");
                    }
                    Bound::Refused { value } => {
                        let read = Written::new(side, field, Some(&value)).read();
                        assert!(read.is_err(), "{at}: {value} should be refused");
                    }
                }
            }
        }
    }
}

#[test]
fn the_guides_names_lead_to_ours() {
    for Setting { line, field, row } in settings() {
        for guide in row["guide"].split(", ").filter(|name| name.starts_with(char::is_lowercase)) {
            let ours = field.rsplit('.').next().unwrap();
            if guide == ours {
                continue;
            }
            let text = format!("[policy.p]\n{guide} = 1\n");
            let told = seawall::config::parse(&text, "f").unwrap_err().to_string();
            let (same, near) = (format!("here it is `{field}`"), told.contains("did you mean"));
            // One name of the guide's is two settings here, and one of ours stands elsewhere in the gateway.
            let twice = ["bulkhead.max_run", "upstream.retry_budget"].contains(&field.as_str());
            assert!(near || twice || told.contains(&same), "{PAGE}:{line}: {guide}: {told}");
        }
    }
}

/// The pages of the patterns tell of each of their settings, and the same of it.
#[test]
fn the_pages_of_the_patterns_say_the_same() {
    let columns = ["setting", "meaning", "range", "library", "gateway"];
    for (path, prefixes) in OWNERS {
        let told = rows(&page(path), &columns);
        let owned = settings().into_iter().filter(|setting| {
            let name = setting.field.as_str();
            prefixes.iter().any(|prefix| match prefix.strip_suffix('.') {
                Some(_) => name.starts_with(prefix),
                None => name == *prefix,
            })
        });
        let mut owned: Vec<_> = owned.collect();
        for (line, row) in told {
            let field = row["setting"].trim_matches('`');
            let place = owned.iter().position(|setting| setting.field == field);
            let place = place.unwrap_or_else(|| panic!("{path}:{line}: {field} is not in {PAGE}"));
            let Setting { row: ours, .. } = owned.remove(place);
            for column in ["range", "library", "gateway"] {
                assert_eq!(row[column], ours[column], "{path}:{line}: {field}, {column}");
            }
            assert!(!row["meaning"].is_empty(), "{path}:{line}: {field} means nothing");
        }
        let left: Vec<_> = owned.into_iter().map(|setting| setting.field).collect();
        assert!(left.is_empty(), "{path} does not tell of {left:?}");
    }
}

#[test]
fn a_quoted_literal_comes_with_its_neighbours() {
    let cell = "at least `1`, up to `\"2s\"`";
    assert_eq!(quoted(cell), [["at least ", "1", ", up to "], [", up to ", "\"2s\"", ""]]);
}

const PAGE: &str = "docs/settings.md";

/// Cells that are no value to write.
const NO_VALUE: [&str; 3] = ["", "needed", "none"];

/// Whose settings a page tells.
const OWNERS: [(&str, &[&str]); 5] = [
    ("docs/retry.md", &["retry", "retry.", "upstream.retry_budget", "upstream.retry_trickle"]),
    ("docs/circuit-breaker.md", &["circuit_breaker", "circuit_breaker."]),
    ("docs/bulkhead.md", &["bulkhead", "bulkhead."]),
    ("docs/timeout.md", &["deadline", "timeout", "timeout."]),
    ("docs/rate-limit.md", &["rate_limit", "rate_limit."]),
];
