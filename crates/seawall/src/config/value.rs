//! One value with its place, read as what it should be.
//!
//! Every reading is an `Option`: the value, or `None` after the problem has been told.

use std::{borrow::Cow, fmt::Display, time::Duration};

use seawall_core::{Rate, Ratio};
use toml::de::DeValue;

use super::{MainKey, nearest::nearest, reader::Reader, syntax::short, table::Table, units};
use crate::name::{NAME, is_name};

/// A value in a file.
#[derive(Clone, Debug)]
pub struct Value<'r> {
    pub(super) reader: &'r Reader,
    pub(super) value: &'r DeValue<'r>,
    /// The byte it starts at.
    pub(super) at: usize,
    /// The path of its field from the root, for origins.
    pub(super) path: String,
    /// The field as problems call it.
    pub(super) label: String,
}

impl<'r> Value<'r> {
    /// Tells that this value is wrong: `field is value, expected …`.
    pub fn expected<T>(&self, right: impl Display) -> Option<T> {
        self.problem(format_args!("{} is {}, expected {right}", self.label, self.shown()));
        None
    }

    /// Tells what is wrong with this value.
    pub fn problem(&self, message: impl Display) {
        self.reader.problem(self.at, message);
    }

    /// Tells that this value will have a meaning, but has none yet.
    #[must_use]
    pub fn unsupported<T>(&self) -> Option<T> {
        self.problem(format_args!("{} = {} is not supported yet", self.label, self.shown()));
        None
    }

    /// The field as problems call it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// A text.
    #[must_use]
    pub fn text(&self) -> Option<&'r str> {
        self.value.as_str().or_else(|| self.expected("a text in quotes"))
    }

    /// A text that can be a name.
    #[must_use]
    pub fn name(&self) -> Option<&'r str> {
        let name = self.value.as_str().filter(|name| is_name(name));
        name.or_else(|| self.expected(NAME))
    }

    /// The index of the one of `names` this text refers to.
    #[must_use]
    pub fn reference(&self, names: &[&str]) -> Option<usize> {
        let text = self.text()?;
        let found = names.iter().position(|name| *name == text);
        if found.is_none() {
            let meant = nearest(text, names.iter().copied());
            let meant = meant.map(|meant| format!(", did you mean \"{meant}\"?"));
            let (label, meant) = (&self.label, meant.unwrap_or_default());
            // Its definition may be in a part that could not be read.
            self.reader.absence(
                self.at,
                format_args!("{label} is {}, which is not defined{meant}", self.shown()),
            );
        }
        found
    }

    /// `true` or `false`.
    #[must_use]
    pub fn flag(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.expected("true or false"))
    }

    /// A whole number.
    #[must_use]
    pub fn count(&self) -> Option<u32> {
        let count = self.integer().and_then(|count| u32::try_from(count).ok());
        count.or_else(|| self.expected("a whole number, 0 to 4294967295"))
    }

    /// A whole number that may be larger than a count.
    #[must_use]
    pub fn tokens(&self) -> Option<u64> {
        self.integer().or_else(|| self.expected("a whole number of tokens"))
    }

    /// A duration such as `"250ms"`.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        let duration = self.value.as_str().and_then(units::duration);
        duration.or_else(|| self.expected(DURATION))
    }

    /// A duration, or `"none"`.
    #[must_use]
    pub fn duration_or_none(&self) -> Option<Option<Duration>> {
        match self.value.as_str() {
            Some("none") => Some(None),
            text => match text.and_then(units::duration) {
                Some(duration) => Some(Some(duration)),
                None => self.expected(format_args!("{DURATION}, or \"none\"")),
            },
        }
    }

    /// A share such as `"10%"`.
    #[must_use]
    pub fn share(&self) -> Option<Ratio> {
        let share = self.value.as_str().and_then(units::share);
        share.or_else(|| match self.number().and_then(Ratio::from_f64) {
            // Is 1 all of it, or a hundredth? Only a fraction says what was meant.
            Some(meant) if meant < Ratio::ONE => self.expected(format_args!("\"{meant}\"")),
            _ => self.expected("a share in quotes such as \"10%\""),
        })
    }

    /// A share, or `"none"`.
    #[must_use]
    pub fn share_or_none(&self) -> Option<Option<Ratio>> {
        match self.value.as_str() {
            Some("none") => Some(None),
            _ => self.share().map(Some),
        }
    }

    /// A rate such as `"100/s"`.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let rate = self.value.as_str().and_then(units::rate);
        rate.or_else(|| self.expected("a rate in quotes such as \"100/s\", \"6000/m\" or \"1/3s\""))
    }

    /// A size such as `"64KiB"`, or a number of bytes.
    #[must_use]
    pub fn size(&self) -> Option<usize> {
        let size = self.integer().or_else(|| self.value.as_str().and_then(units::size));
        let size = size.and_then(|size| usize::try_from(size).ok());
        size.or_else(|| self.expected("a size such as \"64KiB\", \"1MiB\" or a number of bytes"))
    }

    /// A factor such as `1.5`.
    #[must_use]
    pub fn factor(&self) -> Option<Ratio> {
        let factor = self.number().and_then(Ratio::from_f64);
        factor.or_else(|| self.expected("a number such as 1.5"))
    }

    /// A quantile: `"p95"` or `0.95`.
    #[must_use]
    pub fn quantile(&self) -> Option<Ratio> {
        let fraction = || self.number().and_then(part);
        let quantile = self.value.as_str().and_then(units::quantile).or_else(fraction);
        quantile.or_else(|| self.expected("a quantile such as \"p95\" or 0.95"))
    }

    /// The entries of a list.
    #[must_use]
    pub fn list(&self) -> Option<Vec<Self>> {
        let Some(entries) = self.value.as_array() else { return self.expected("a list in [ ]") };
        let entry = |entry: &'r toml::Spanned<DeValue<'r>>| Self {
            value: entry.get_ref(),
            at: if entry.span().is_empty() { self.at } else { entry.span().start },
            ..self.clone()
        };
        Some(entries.iter().map(entry).collect())
    }

    /// A table. Its fields are called by the name of this one.
    #[must_use]
    pub fn table(&self) -> Option<Table<'r>> {
        match self.value.as_table() {
            Some(entries) => Some(Table::new(self, entries)),
            None => self.expected("a table"),
        }
    }

    /// A table, of which a lone value in its place is shown in its main key.
    #[must_use]
    pub fn table_with(&self, main: &MainKey) -> Option<Table<'r>> {
        match self.value.as_table() {
            Some(entries) => Some(Table::new(self, entries)),
            None => self.expected(main.instead_of(self)),
        }
    }

    /// Whether it is a table.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether it is a list.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// This value with another path for origins and another name for problems.
    #[must_use]
    pub fn named(self, path: impl Into<String>, label: impl Into<String>) -> Self {
        Self { path: path.into(), label: label.into(), ..self }
    }

    /// The value as problems quote it, a long one shortened.
    #[must_use]
    pub fn shown(&self) -> Cow<'static, str> {
        match self.value {
            DeValue::String(text) => format!("\"{}\"", short(text)).into(),
            DeValue::Integer(number) => short(&number.to_string()).into(),
            DeValue::Float(number) => short(number.as_str()).into(),
            DeValue::Boolean(flag) => flag.to_string().into(),
            DeValue::Datetime(_) => "a date".into(),
            DeValue::Array(entries) if entries.is_empty() => "[]".into(),
            DeValue::Array(_) => "a list".into(),
            DeValue::Table(_) => "a table".into(),
        }
    }

    fn integer(&self) -> Option<u64> {
        let integer = self.value.as_integer()?;
        u64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self.value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => self.integer().map(|number| number as f64),
        }
    }
}

/// A number from 0 to 1.
pub(super) fn part(number: f64) -> Option<Ratio> {
    Ratio::from_f64(number).filter(|part| *part <= Ratio::ONE)
}

const DURATION: &str = "a duration in quotes such as \"250ms\", \"1.5s\" or \"1m30s\"";
