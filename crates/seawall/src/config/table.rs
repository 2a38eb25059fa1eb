//! One table: its fields are taken by name, and what nobody took is a mistake.
//!
//! So the code that reads a field is the list of known fields, and no second list can differ from it.

use std::{collections::BTreeSet, fmt::Display};

use seawall_core::Invalid;
use toml::de::{DeTable, DeValue};

use super::{
    MainKey, guide::counterpart, nearest::nearest, reader::Reader, syntax::short, value::Value,
};
use crate::name::{NAME, is_name};

/// A table in a file.
#[derive(Debug)]
#[must_use = "`end` tells of fields that nobody knows"]
pub struct Table<'r> {
    reader: &'r Reader,
    entries: &'r DeTable<'r>,
    /// The byte it starts at.
    at: usize,
    path: String,
    label: String,
    /// Fields that have been asked for.
    known: BTreeSet<&'static str>,
    /// Fields that have been refused: asked for again, they are not there.
    refused: BTreeSet<&'static str>,
    /// Fields that are written, but not as anything that could be read.
    misread: BTreeSet<&'static str>,
}

impl<'r> Table<'r> {
    pub(super) fn root(reader: &'r Reader, entries: &'r DeTable<'r>) -> Self {
        let (path, label) = (String::new(), String::new());
        let (known, refused, misread) = Default::default();
        Self { reader, entries, at: 0, path, label, known, refused, misread }
    }

    pub(super) fn new(value: &Value<'r>, entries: &'r DeTable<'r>) -> Self {
        let Value { reader, at, path, label, .. } = value.clone();
        Self { at, path, label, ..Self::root(reader, entries) }
    }

    /// The field, if it is written.
    pub fn take(&mut self, name: &'static str) -> Option<Value<'r>> {
        self.known.insert(name);
        let value = self.peek(name)?;
        self.reader.written(value.path.clone(), value.at);
        Some(value)
    }

    /// Reads the field into `into` if it is written, and tells whether that was done.
    pub fn set<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value<'r>) -> Option<T>,
        into: &mut T,
    ) -> bool {
        let Some(value) = self.take(name) else { return false };
        match read(&value) {
            Some(read) => {
                *into = read;
                true
            }
            None => {
                self.misread.insert(name);
                false
            }
        }
    }

    /// The tables in the table `name`, each by the name it was given; `main` is the main key of each.
    pub fn named(&mut self, name: &'static str, main: Option<&MainKey>) -> Vec<(String, Self)> {
        self.known.insert(name);
        let Some(tables) = self.peek(name).and_then(|value| value.table()) else {
            return Vec::new();
        };
        let mut named = Vec::new();
        for (key, _) in tables.entries {
            let Some(value) = tables.peek(key.get_ref()) else { continue };
            if !is_name(key.get_ref()) {
                let shown = short(key.get_ref());
                tables.reader.problem(
                    key.span().start,
                    format_args!("{name}.\"{shown}\" is no name, expected {NAME}"),
                );
                continue;
            }
            let path = value.path.clone();
            let table = main.map_or_else(|| value.table(), |main| value.table_with(main));
            if let Some(table) = table {
                self.reader.written(path, table.at);
                named.push((key.get_ref().to_string(), Self { label: String::new(), ..table }));
            }
        }
        named
    }

    /// A pattern: a table of its settings, `true` for all its defaults, or `false`.
    pub fn pattern(&mut self, name: &'static str, main: &MainKey) -> Pattern<'r> {
        let Some(value) = self.take(name) else { return Pattern::Absent };
        match value.value {
            DeValue::Boolean(false) => Pattern::Off,
            DeValue::Boolean(true) => Pattern::On,
            DeValue::Table(entries) => {
                let value = Value { label: name.to_owned(), ..value };
                Pattern::Set(Self::new(&value, entries))
            }
            _ => {
                value.expected::<()>(main.forms(&value));
                Pattern::Absent
            }
        }
    }

    /// Tells of each of these fields that is written that it is not supported yet.
    pub fn later(&mut self, names: &[&'static str]) {
        for name in names {
            self.refuse(name, format_args!("`{}` is not supported yet", self.label(name)));
        }
        // Nobody meant them by a mistyped word.
        self.known.retain(|known| !names.contains(known));
    }

    /// Tells `message` if the field is written, and takes it as not written from then on.
    pub fn refuse(&mut self, name: &'static str, message: impl Display) {
        self.known.insert(name);
        self.refused.insert(name);
        if let Some((key, _)) = self.entries.get_key_value(name) {
            self.reader.problem(key.span().start, message);
        }
    }

    /// Tells that something is missing from this table.
    pub fn missing(&self, message: impl Display) {
        self.reader.absence(self.at, message);
    }

    /// Runs a config type's own check, and tells what it finds where it was written.
    ///
    /// Of a setting that was not written it is told at the table. What could not be read has been told; whether it
    /// would have made a field beside it right, nobody knows.
    pub fn check(&self, check: impl FnOnce(&mut dyn FnMut(Invalid))) {
        check(&mut |Invalid { field, value, expected, beside, .. }| {
            let name = field.rsplit('.').next().unwrap_or(field);
            if [name].iter().chain(beside).any(|field| self.misread.contains(field)) {
                return;
            }
            match self.peek(name) {
                Some(written) => {
                    written.problem(format_args!("{field} is {value}, expected {expected}"))
                }
                None => {
                    let why = if value == "not set" { "" } else { " by default" };
                    self.missing(format_args!("{field} is {value}{why}, expected {expected}"))
                }
            }
        });
    }

    /// Tells of every field that nobody asked for.
    pub fn end(self) {
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(name) || self.refused.contains(name) {
                continue;
            }
            let label = self.label(&short(name));
            let message = match nearest(name, self.known.iter().copied()) {
                Some(meant) => format!("unknown field `{label}`, did you mean `{meant}`?"),
                None => match counterpart(name) {
                    Some(ours) => format!("unknown field `{label}`, here it is `{ours}`"),
                    None => format!("unknown field `{label}`{}", self.all_known()),
                },
            };
            self.reader.problem(key.span().start, message);
        }
    }

    /// What could have been meant, if that is little.
    fn all_known(&self) -> String {
        let mut known = self.known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        match known.pop() {
            Some(last) if (1..LISTED_MAX).contains(&known.len()) => {
                format!(", expected {} or {last}", known.join(", "))
            }
            _ => String::new(),
        }
    }

    /// The names of all its fields, with their values.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'r str, Value<'r>)> {
        let keys = self.entries.keys().map(|key| key.get_ref().as_ref());
        keys.filter_map(|key: &str| Some((key, self.peek(key)?))).collect()
    }

    /// The field, if it is written, without taking it.
    #[must_use]
    pub fn peek(&self, name: &str) -> Option<Value<'r>> {
        let (key, value) = self.entries.get_key_value(name)?;
        if self.refused.contains(name) {
            return None;
        }
        // What the parser could not read has no place of its own.
        let span = if value.span().is_empty() { key.span() } else { value.span() };
        Some(Value {
            reader: self.reader,
            value: value.get_ref(),
            at: span.start,
            path: join(&self.path, name),
            label: self.label(name),
        })
    }

    fn label(&self, name: &str) -> String {
        join(&self.label, name)
    }
}

/// How a pattern is written.
#[derive(Debug)]
#[non_exhaustive]
pub enum Pattern<'r> {
    /// Not at all.
    Absent,
    /// `false`.
    Off,
    /// `true`.
    On,
    /// As a table of settings.
    Set(Table<'r>),
}

impl<'r> Pattern<'r> {
    /// The pattern's settings: `base` with what is written in its place, or `None` if it is not to be
    /// applied; `absent` says whether it is where nothing is written.
    #[must_use]
    pub fn on<C>(self, absent: bool, base: C, read: impl FnOnce(Table<'r>, C) -> C) -> Option<C> {
        match self {
            Self::Absent => absent.then_some(base),
            Self::Off => None,
            Self::On => Some(base),
            Self::Set(table) => Some(read(table, base)),
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// As many as there are classes; of more tables there is a page.
const LISTED_MAX: usize = 5;
