//! What to write where a table is expected and something else is written: that value, in the table's main key.
//!
//! ```text
//!   admin = "127.0.0.1:9090"   ─▶ expected a table such as { listen = "127.0.0.1:9090" }
//!   admin = true               ─▶ the same, with an example, for the main key cannot be true
//! ```
//!
//! Only a table with one key that a lone value can be meant for has a main key.

use toml::de::DeValue;

use super::{Value, nearest::nearest};

/// The key of a table that a lone value in its place is meant for.
#[derive(Clone, Copy, Debug)]
pub struct MainKey {
    key: &'static str,
    example: &'static str,
    fits: fn(&Value<'_>) -> bool,
    presets: &'static [&'static str],
}

impl MainKey {
    /// The key, a value as a file could write it, and whether another value can be read there.
    #[must_use]
    pub const fn new(
        key: &'static str,
        example: &'static str,
        fits: fn(&Value<'_>) -> bool,
    ) -> Self {
        Self { key, example, fits, presets: &[] }
    }

    /// The names that can be written in place of the table.
    #[must_use]
    pub const fn or_one_of(self, presets: &'static [&'static str]) -> Self {
        Self { presets, ..self }
    }

    /// The table that should be written where `value` is.
    pub(super) fn instead_of(&self, value: &Value<'_>) -> String {
        let Self { key, example, fits, .. } = self;
        let fitting = value.reader.quietly(|| fits(value)).then(|| written(value)).flatten();
        format!("a table such as {{ {key} = {} }}", fitting.as_deref().unwrap_or(example))
    }

    /// What can be written where `value` is, if it is the field of a pattern.
    pub(super) fn forms(&self, value: &Value<'_>) -> String {
        let table = self.instead_of(value);
        let [most @ .., last] = self.presets else { return format!("{table}, true or false") };
        let names = format!("\"{}\" or \"{last}\"", most.join("\", \""));
        let meant =
            value.value.as_str().and_then(|text| nearest(text, self.presets.iter().copied()));
        let meant = meant.map(|meant| format!("; did you mean \"{meant}\"?"));
        format!("{table}, true, false, {names}{}", meant.unwrap_or_default())
    }
}

/// The value as the file has it, if that is short and plain.
fn written(value: &Value<'_>) -> Option<String> {
    match value.value {
        DeValue::Array(_) => {
            let entries: Option<Vec<_>> = value.list()?.iter().map(written).collect();
            let list = format!("[{}]", entries?.join(", "));
            (list.len() <= LIST_BYTES_MAX).then_some(list)
        }
        DeValue::String(text) => {
            let plain = !text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\'));
            let shown = value.shown();
            (plain && shown.len() == text.len() + "\"\"".len()).then(|| shown.into_owned())
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
            Some(value.shown().into_owned())
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// More would push the rest of the message off a line.
const LIST_BYTES_MAX: usize = 80;
