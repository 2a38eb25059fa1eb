//! What is wrong with a file, and where.

use std::{error::Error, fmt, sync::Arc};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Problem {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, in characters from 1.
    pub column: u32,
    /// What is wrong and what would be right.
    pub message: String,
}

/// `file:line:column: message`, which editors and terminals can follow.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message } = self;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}

impl Error for Problem {}

/// Every mistake in a file, by place. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Box<[Problem]>);

impl Problems {
    pub(super) fn one(problem: Problem) -> Self {
        Self([problem].into())
    }

    /// An error, unless nothing is wrong.
    pub(super) fn all(mut found: Vec<Problem>) -> Result<(), Self> {
        found.sort();
        found.dedup();
        if found.is_empty() { Ok(()) } else { Err(Self(found.into())) }
    }

    /// The mistakes, by place.
    #[must_use]
    pub const fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

/// One per line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl Error for Problems {}
