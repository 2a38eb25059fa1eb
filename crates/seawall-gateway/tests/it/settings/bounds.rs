//! A range as the page writes it: values to be taken, and values beyond them to be refused.
//!
//! ```text
//!   `1` to `1024`      1 and 1024 are taken, 0 and 1025 are not
//!   at least, up to    one end of that
//!   above, below       the end itself is not taken, its neighbour is
//!   `"full"`           taken
//!   `open_for`         another setting: left to the reader of the page
//! ```

use seawall::config::{Value, read};

use crate::kit::page::quoted;

/// A value at an end of a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Taken { value: String, library_only: bool },
    Refused { value: String },
}

/// The ends of the ranges in a cell; `kind` is the cell that says what is written.
pub(super) fn bounds(cell: &str, kind: &str) -> Vec<Bound> {
    let mut bounds = Vec::new();
    for [before, literal, after] in quoted(cell) {
        if literal.starts_with(|first: char| first.is_ascii_lowercase()) {
            continue;
        }
        let library_only = after.trim_start().starts_with("(not in the gateway)");
        let before = before.trim_end();
        let taken = |value: String| Bound::Taken { value, library_only };
        let refused = |value: Option<String>| value.map(|value| Bound::Refused { value });
        let beyond = |up| neighbour(literal, kind, up);
        if before.ends_with("above") || before.ends_with("below") {
            bounds.extend(refused(Some(literal.to_owned())));
            bounds.extend(beyond(before.ends_with("above")).map(taken));
            continue;
        }
        bounds.push(taken(literal.to_owned()));
        if before.ends_with("to") {
            bounds.extend(refused(beyond(true)));
        } else if before.ends_with("at least") || after.trim() == "to" {
            bounds.extend(refused(beyond(false)));
        }
    }
    bounds
}

/// The next value that can be written, `None` where there is none.
fn neighbour(literal: &str, kind: &str, up: bool) -> Option<String> {
    let step = |value: u128| if up { value.checked_add(1) } else { value.checked_sub(1) };
    // Five places, of which the last is what a thousandth of a per cent is to a whole.
    let percent = |ppm: u128| format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    if let Some(status) = literal.strip_prefix("[\"").and_then(|rest| rest.strip_suffix("\"]")) {
        return Some(format!("[\"{}\"]", step(status.parse().ok()?)?));
    }
    let value = |read_it: fn(&Value<'_>) -> Option<u128>| {
        let text = format!("value = {literal}");
        let read =
            read(&text, "f", |mut root| root.take("value").and_then(|value| read_it(&value)));
        read.ok().and_then(|(value, _)| value)
    };
    let nanos = value(|value| value.duration().map(|time| time.as_nanos()));
    let ppm = value(|value| value.share().map(|share| share.ppm().into()));
    let quantile = value(|value| value.quantile().map(|share| share.ppm().into()));
    let number = value(|value| value.count().map(u128::from));
    let size = value(|value| value.size().map(|bytes| bytes as u128));
    if kind.starts_with("factor") {
        let millionths = step(literal.parse::<u128>().ok()? * 1_000_000)?;
        return Some(format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000));
    }
    if kind.starts_with("quantile") {
        return Some(format!("\"p{}\"", percent(step(quantile?)?)));
    }
    if let Some(nanos) = nanos {
        return Some(format!("\"{}ns\"", step(nanos)?));
    }
    if let Some(ppm) = ppm {
        return Some(format!("\"{}%\"", percent(step(ppm)?)));
    }
    number.or(size).and_then(step).map(|number| number.to_string())
}

#[test]
fn ends_and_what_lies_beyond_them() {
    let show = |cell, kind| {
        let shown = |bound| match bound {
            Bound::Taken { value, library_only: false } => format!("+{value}"),
            Bound::Taken { value, library_only: true } => format!("({value})"),
            Bound::Refused { value } => format!("-{value}"),
        };
        bounds(cell, kind).into_iter().map(shown).collect::<Vec<_>>().join(" ")
    };
    for (cell, kind, expected) in [
        ("`1` to `1024`", "number of calls", "+1 -0 +1024 -1025"),
        ("at least `0`", "number", "+0"),
        ("above `\"0s\"`, `\"none\"`", "duration", "-\"0s\" +\"1ns\" +\"none\""),
        (
            "above `\"0%\"`, up to `\"100%\"`",
            "share",
            "-\"0%\" +\"0.0001%\" +\"100%\" -\"100.0001%\"",
        ),
        (
            "at least `\"p50\"`, below `\"p100\"`",
            "quantile",
            "+\"p50\" -\"p49.9999\" -\"p100\" +\"p99.9999\"",
        ),
        ("`0` to `1`, `\"full\"`", "factor or word", "+0 +1 -1.000001 +\"full\""),
        ("`[\"400\"]` to `[\"599\"]`", "list", "+[\"400\"] -[\"399\"] +[\"599\"] -[\"600\"]"),
        ("`\"8KiB\"` to `\"16KiB\"`", "size", "+\"8KiB\" -8191 +\"16KiB\" -16385"),
        ("`\"a\"`, `\"b\"` (not in the gateway)", "word", "+\"a\" (\"b\")"),
        ("at least `open_for`", "duration", ""),
    ] {
        assert_eq!(show(cell, kind), expected, "{cell}");
    }
}
