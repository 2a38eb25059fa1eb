//! How urgent a call is, in the guide's five classes.
//!
//! Where calls wait for a place or for tokens, the class decides who goes first; it never decides whether a call
//! is judged a success, nor how often it is retried.

use core::fmt;

/// How urgent a call is; the smaller, the more urgent. The numbers are the guide's.
///
/// ```
/// use seawall_core::Priority;
///
/// assert!(Priority::Critical < Priority::Background);
/// assert_eq!(Priority::parse("high"), Some(Priority::High));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the guide's five classes")]
pub enum Priority {
    /// Must run: payments, log-in.
    Critical = 1,
    /// Somebody waits for it.
    High = 2,
    /// The default.
    #[default]
    Normal = 3,
    /// Nobody waits for it now.
    Low = 4,
    /// May wait until nothing else does.
    Background = 5,
}

impl Priority {
    /// All classes, the most urgent first.
    pub const ALL: [Self; 5] =
        [Self::Critical, Self::High, Self::Normal, Self::Low, Self::Background];

    /// The name, as configuration and statistics write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Background => "background",
        }
    }

    /// The class of this name; `None` if there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Its place in an array of all classes.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize - 1
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_guides_and_names_lead_back() {
        for (n, class) in Priority::ALL.into_iter().enumerate() {
            assert_eq!((class as usize, class.index()), (n + 1, n));
            assert_eq!(Priority::parse(class.name()), Some(class));
        }
        assert_eq!(Priority::parse("urgent"), None);
        assert_eq!(Priority::default(), Priority::Normal);
    }

    #[test]
    fn it_prints_its_name() {
        use alloc::string::ToString;

        assert_eq!(Priority::Critical.to_string(), Priority::Critical.name());
    }
}
