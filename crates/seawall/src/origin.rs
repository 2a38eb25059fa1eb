//! Where each setting came from, beside the settings rather than inside them.

use std::{collections::BTreeMap, fmt, panic::Location, sync::Arc};

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file, and the place of the value in it, counted in characters from 1.
    File {
        /// The file, as it was named.
        file: Arc<str>,
        /// The line.
        line: u32,
        /// The column.
        column: u32,
    },
    /// Code: the line that handed the settings over.
    Code(&'static Location<'static>),
    /// A flag of the command line.
    Flag {
        /// The flag with its dashes.
        name: &'static str,
    },
}

/// `default`, `policies.toml:3:12`, `src/main.rs:20:9` or `--listen`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Code(line) => line.fmt(f),
            Self::Flag { name } => f.write_str(name),
        }
    }
}

/// The origin of every field, by its path (`policy.payments.retry.max_retries`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where the field at this path came from: the default where nothing else is known.
    #[must_use]
    pub fn of(&self, field: &str) -> &Origin {
        self.0.get(field).unwrap_or(&Origin::Default)
    }

    /// Every field that was set, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0.iter().map(|(field, origin)| (field.as_str(), origin))
    }

    /// Notes where a field came from; the later note wins, as the later layer does.
    pub fn note(&mut self, field: impl Into<String>, origin: Origin) {
        self.0.insert(field.into(), origin);
    }

    /// All from one line of code.
    pub(crate) fn code(line: &'static Location<'static>) -> Self {
        Self(BTreeMap::from([(String::new(), Origin::Code(line))]))
    }

    /// Those of the table at this path, by their paths from there.
    pub(crate) fn within(&self, table: &str) -> Self {
        let inside = |(field, origin): (&String, &Origin)| {
            let rest = field.strip_prefix(table)?;
            let field = if rest.is_empty() { rest } else { rest.strip_prefix('.')? };
            Some((field.to_owned(), origin.clone()))
        };
        Self(self.0.iter().filter_map(inside).collect())
    }

    /// Where this field was set, or else the nearest table around it, which left it at its default.
    pub(crate) fn nearest(&self, mut field: &str) -> &Origin {
        while !self.0.contains_key(field) && !field.is_empty() {
            field = field.rsplit_once('.').map_or("", |(table, _)| table);
        }
        self.of(field)
    }
}
