//! Values that are one of a few words.

use seawall_core::{Jitter, Strategy};

use super::{
    nearest::nearest,
    value::{Value, part},
};

impl Value<'_> {
    /// How delays are scattered: `"full"`, `"equal"`, `"decorrelated"`, or a part of the delay as a number.
    #[must_use]
    pub fn jitter(&self) -> Option<Jitter> {
        match self.value.as_str() {
            Some("full") => Some(Jitter::Full),
            Some("equal") => Some(Jitter::Equal),
            Some("decorrelated") => Some(Jitter::Decorrelated),
            _ => match self.number().and_then(part) {
                Some(part) => Some(Jitter::Fraction(part)),
                None => {
                    let meant = self.meant(&["full", "equal", "decorrelated"]);
                    let right = "\"full\", \"equal\", \"decorrelated\" or a number from 0 to 1";
                    self.expected(format_args!("{right}{meant}"))
                }
            },
        }
    }

    /// How delays grow: `"exponential"`, `"linear"` or `"fibonacci"`.
    #[must_use]
    pub fn strategy(&self) -> Option<Strategy> {
        match self.value.as_str() {
            Some("exponential") => Some(Strategy::Exponential),
            Some("linear") => Some(Strategy::Linear),
            Some("fibonacci") => Some(Strategy::Fibonacci),
            Some("custom") => {
                let Self { label, .. } = self;
                self.problem(format_args!(
                    "{label} = \"custom\" is a function: only code can set it"
                ));
                None
            }
            _ => self.unknown(&["exponential", "linear", "fibonacci"]),
        }
    }

    /// Tells that this is none of the words it could be, and which is meant.
    #[must_use]
    pub fn unknown<T>(&self, words: &[&str]) -> Option<T> {
        let known = match words {
            [] => "nothing".to_owned(),
            [one] => format!("\"{one}\""),
            [most @ .., last] => format!("\"{}\" or \"{last}\"", most.join("\", \"")),
        };
        self.expected(format_args!("{known}{}", self.meant(words)))
    }

    /// Which of the words is meant, as the end of a sentence; nothing if none is near.
    pub(super) fn meant(&self, words: &[&str]) -> String {
        let meant = self.value.as_str().and_then(|text| nearest(text, words.iter().copied()));
        meant.map(|meant| format!("; did you mean \"{meant}\"?")).unwrap_or_default()
    }
}
