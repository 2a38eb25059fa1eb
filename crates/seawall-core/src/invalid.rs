//! A setting that makes no sense: which field, what it was, what would be right.

use alloc::string::{String, ToString};
use core::fmt;

/// One wrong setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalid {
    /// The field, as it is named in configuration (`circuit_breaker.failures`).
    pub field: &'static str,
    /// The value that was given.
    pub value: String,
    /// What would be right.
    pub expected: &'static str,
}

impl Invalid {
    /// `field` was `value`, but should be `expected`.
    #[must_use]
    pub fn new(field: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self { field, value: value.to_string(), expected }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, expected {}", self.field, self.value, self.expected)
    }
}

impl core::error::Error for Invalid {}

/// The first thing a configuration's `check` finds wrong, or nothing.
pub(crate) fn first(check: impl FnOnce(&mut dyn FnMut(Invalid))) -> Result<(), Invalid> {
    let mut found = None;
    check(&mut |invalid| {
        found.get_or_insert(invalid);
    });
    found.map_or(Ok(()), Err)
}
