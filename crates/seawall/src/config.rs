//! Settings from TOML: every error at once, each with its place.
//!
//! ```text
//!   text ─▶ syntax ─▶ tree with places ─▶ Table, Value ─▶ config types, each run through its own `check`
//!              │                              │
//!              └──────────────┬───────────────┘
//!             Problems: file:line:column: what is wrong, what would be right
//! ```
//!
//! A field is read onto a value that is already whole (the defaults, or a preset), so what was not written
//! is never missing. Reading goes on after an error: the value stays as it was, and the next field is read.
//! Only what rests on an error is not told: nothing on a line that is no TOML, nothing after a bracket that
//! is never closed.
//!
//! Not serde: it stops at the first error, and has forgotten the places by the time settings are checked.
//!
//! ```
//! let text = r#"
//! [policy.payments]
//! deadline = "2s"
//! retry = { max_retries = 2, budget = "20%" }
//! circuit_breaker = true
//! "#;
//! let read = seawall::config::parse(text, "policies.toml")?;
//! let payments = &read.policies["payments"];
//! assert_eq!(payments.retry.as_ref().unwrap().max_retries, 2);
//! assert_eq!(payments.circuit_breaker.as_ref().unwrap().failures, 5);
//! assert_eq!(payments.bulkhead, None);
//! assert_eq!(read.origins.of("policy.payments.deadline").to_string(), "policies.toml:3:12");
//!
//! let text = "[policy.payments.retry]\nmax_retires = 2\nbase_delay = 100\n";
//! assert_eq!(
//!     seawall::config::parse(text, "policies.toml").unwrap_err().to_string(),
//!     "policies.toml:2:1: unknown field `retry.max_retires`, did you mean `max_retries`?\n\
//!      policies.toml:3:14: retry.base_delay is 100, \
//!      expected a duration in quotes such as \"250ms\", \"1.5s\" or \"1m30s\"",
//! );
//!
//! let registry = seawall::Registry::new();
//! for (name, config) in &read.policies {
//!     registry.policy_from(name, config, &read.origins)?;
//! }
//! let payments = registry.find("payments").ok_or("no [policy.payments]")?;
//! assert!(payments.run_blocking(|| Ok::<_, ()>(())).is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Values
//!
//! | kind | written | not |
//! | --- | --- | --- |
//! | duration | `"250ms"`, `"1.5s"`, `"1m30s"`, `"2h"`; units `h`, `m`, `s`, `ms`, `us`, `ns` | `250`, `"250"` |
//! | share | `"10%"`, `"0.5%"` | `0.1`, `10` |
//! | rate | `"100/s"`, `"6000/m"`, `"1/3s"` | `100`, `"0.5/s"` |
//! | size | `"64KiB"`, `"1MiB"`, `"512B"`, or bytes as a number | `"64k"` |
//! | factor | `1.5` | `"1.5"` |
//! | jitter | `0.5` (a part of the delay), `"full"`, `"equal"`, `"decorrelated"` | `"50%"` |
//! | quantile | `"p95"`, `0.95` | `95` |

mod guide;
mod lines;
mod main_key;
mod nearest;
mod patterns;
mod policies;
mod problem;
mod reader;
mod syntax;
mod table;
mod units;
mod value;
mod words;

#[cfg(test)]
mod tests;

pub use main_key::MainKey;
pub use patterns::{
    BULKHEAD, CIRCUIT_BREAKER, RATE_LIMIT, RETRY, TIMEOUT, bulkhead, bulkhead_or_preset,
    circuit_breaker, rate_limit, retry, timeout,
};
pub use policies::{Policies, parse};
pub use problem::{Problem, Problems};
pub use reader::{FILE_BYTES_MAX, read};
pub use table::{Pattern, Table};
pub use value::Value;

pub use crate::origin::{Origin, Origins};
