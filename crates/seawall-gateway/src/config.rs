//! The gateway's settings: what was written, and what it means.
//!
//! ```text
//!   TOML ─▶ raw: each table read onto its preset ─▶ checked: references resolved ─▶ Config ─▶ consequences
//!   flags ─────────────── the same presets ───────────────────────────────────────────┘
//! ```
//!
//! `Config` is plain values: after it is built nothing is looked up by name and nothing is checked again.
//!
//! ```
//! use seawall_gateway::config::Config;
//!
//! let text = r#"
//! [upstream.orders]
//! endpoints = ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]
//!
//! [[route]]
//! name = "orders"
//! upstream = "orders"
//! "#;
//! let config = Config::from_toml(text, "gateway.toml")?;
//! assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
//! assert_eq!(config.routes[0].timeout.attempt.as_secs(), 5);
//! assert_eq!(
//!     config.consequences()[0].to_string(),
//!     "route orders: if one endpoint hangs, another answers after at most 5.025s; \
//!      if all hang, the call ends after at most 15s",
//! );
//! # Ok::<(), seawall::config::Problems>(())
//! ```

mod checked;
mod consequences;
mod endpoint;
mod flags;
mod matching;
mod preset;
mod priority;
mod rate_limit;
mod raw;

#[cfg(test)]
mod tests;

pub use checked::{Config, RouteConfig, UpstreamConfig};
pub use consequences::Consequence;
pub use endpoint::{EndpointConfig, EndpointError};
pub use flags::FlagError;
pub use matching::RouteMatch;
pub use priority::PriorityBy;
pub use rate_limit::{LimitBy, RouteLimitConfig};
