//! `priority = …` on a route: how urgent its requests are, where they wait for a place in the bulkhead.

use http::{HeaderMap, HeaderName};
use seawall::{Priority, config::Value};

/// How urgent the requests of a route are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PriorityBy {
    /// All of them this.
    Class(Priority),
    /// Each as this field says, by the name of a class; normal without it, or if it names none. Whoever can reach the
    /// gateway can write it: believe it only where all who can are yours.
    Header(HeaderName),
}

impl Default for PriorityBy {
    fn default() -> Self {
        Self::Class(Priority::Normal)
    }
}

impl PriorityBy {
    /// The class of a request with these fields.
    #[must_use]
    pub fn of(&self, headers: &HeaderMap) -> Priority {
        match self {
            Self::Class(class) => *class,
            Self::Header(name) => {
                let said = headers.get(name).and_then(|value| value.to_str().ok());
                let class = said.map(|said| said.trim().to_ascii_lowercase());
                class.and_then(|class| Priority::parse(&class)).unwrap_or_default()
            }
        }
    }

    /// The name of a class, or `"header:NAME"`.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let text = value.text()?;
        if let Some(name) = text.strip_prefix("header:") {
            return match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => Some(Self::Header(name)),
                Err(_) => value
                    .expected("\"header:\" and the name of a field, such as \"header:x-priority\""),
            };
        }
        match Priority::parse(text) {
            Some(class) => Some(Self::Class(class)),
            None => {
                let [a, b, c, d, e] = Priority::ALL.map(Priority::name);
                value.unknown(&[a, b, c, d, e, "header:x-priority"])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn read(setting: &str) -> Result<PriorityBy, String> {
        let text = format!(
            "[upstream.a]\nendpoints = ['http://127.0.0.1:1']\n[[route]]\nname = 'a'\nupstream = 'a'\n{setting}"
        );
        let config = Config::from_toml(&text, "f").map_err(|problems| problems.to_string())?;
        Ok(config.routes[0].priority.clone())
    }

    #[test]
    fn a_class_or_a_field_that_names_one() {
        assert_eq!(read(""), Ok(PriorityBy::default()));
        assert_eq!(read("priority = 'low'"), Ok(PriorityBy::Class(Priority::Low)));
        let by = read("priority = 'header:X-Priority'").unwrap();
        for (said, class) in [
            (Some("critical"), Priority::Critical),
            (Some(" High "), Priority::High),
            (Some("urgent"), Priority::Normal),
            (None, Priority::Normal),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert("x-priority", said.parse().unwrap());
            }
            assert_eq!(by.of(&headers), class, "{said:?}");
        }
        assert_eq!(
            read("priority = 'hihg'").unwrap_err().trim(),
            "f:6:12: priority is \"hihg\", expected \"critical\", \"high\", \"normal\", \"low\", \
             \"background\" or \"header:x-priority\"; did you mean \"high\"?"
        );
        assert!(read("priority = 'header:a b'").unwrap_err().contains("the name of a field"));
    }
}
