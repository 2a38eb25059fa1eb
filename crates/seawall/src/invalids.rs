//! Everything that is wrong with one policy or component, told at once.
//!
//! A machine tells the first setting that makes no sense; whoever mends settings wants to see all of them, and of
//! twenty policies which one has them. So what has a name is checked as a whole before anything of it is made.

use std::{fmt, sync::Arc};

use seawall_core::Invalid;

use crate::name::is_name;

/// All settings that make no sense, and whose they are. At least one.
///
/// It reads as a line for each of them:
///
/// ```
/// use std::time::Duration;
/// use seawall::{BulkheadConfig, Policy};
///
/// let never = BulkheadConfig { max_wait: Duration::ZERO, ..BulkheadConfig::default() };
/// let wrong = Policy::builder("orders").deadline(Duration::ZERO).bulkhead(never).build().unwrap_err();
/// assert_eq!(
///     wrong.to_string(),
///     "orders: deadline is 0s, expected more than 0s, or no deadline\n\
///      orders: bulkhead.max_wait is 0s, expected more than 0s",
/// );
/// assert_eq!(wrong.found[1].field, "bulkhead.max_wait");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalids {
    /// The policy or component that was to be made or to change.
    pub name: Arc<str>,
    /// What is wrong, in the order of the patterns.
    pub found: Vec<Invalid>,
}

impl Invalids {
    /// All that `check` finds wrong with `name`.
    pub(crate) fn check(
        name: &Arc<str>,
        check: impl FnOnce(&mut dyn FnMut(Invalid)),
    ) -> Result<(), Self> {
        let mut found = Vec::new();
        check(&mut |invalid| found.push(invalid));
        if found.is_empty() { Ok(()) } else { Err(Self { name: name.clone(), found }) }
    }

    /// What a machine finds.
    pub(crate) fn one(name: &Arc<str>, invalid: Invalid) -> Self {
        Self { name: name.clone(), found: vec![invalid] }
    }
}

impl fmt::Display for Invalids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, invalid) in self.found.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            if is_name(&self.name) {
                write!(f, "{}: {invalid}", self.name)?;
            } else {
                // Whatever is in it, it is one line.
                write!(f, "{:?}: {invalid}", self.name)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Invalids {}
