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
    pub expected: String,
    /// The fields of its pattern beside which it is wrong: with other values of theirs it might be right (`base_delay`
    /// of `retry.max_delay`). None if it is wrong by itself.
    pub beside: &'static [&'static str],
}

impl Invalid {
    /// `field` was `value`, but should be `expected`.
    #[must_use]
    pub fn new(field: &'static str, value: impl ToString, expected: impl Into<String>) -> Self {
        Self { field, value: value.to_string(), expected: expected.into(), beside: &[] }
    }

    /// It is wrong because of what these other fields are.
    #[must_use]
    pub fn beside(self, fields: &'static [&'static str]) -> Self {
        Self { beside: fields, ..self }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_field_the_value_and_what_would_be_right() {
        let invalid = Invalid::new("retry.max_retries", 101, "0 to 100");
        assert_eq!(invalid.to_string(), "retry.max_retries is 101, expected 0 to 100");
    }

    #[test]
    fn it_may_be_wrong_only_beside_others() {
        let alone = Invalid::new("retry.max_delay", "1s", "at least base_delay");
        assert_eq!(alone.beside, [""; 0]);
        assert_eq!(alone.beside(&["base_delay"]).beside, ["base_delay"]);
    }

    #[test]
    fn of_several_the_first_is_told() {
        let found = |fields: &[&'static str]| {
            first(|found| fields.iter().for_each(|field| found(Invalid::new(field, 0, "more"))))
        };
        assert_eq!(found(&[]), Ok(()));
        assert_eq!(found(&["a", "b"]), Err(Invalid::new("a", 0, "more")));
    }
}
