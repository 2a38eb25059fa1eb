//! One admin door for every process: probes, statistics and metrics of a [`Registry`](seawall::Registry).
//!
//! ```text
//!   request ─▶ Admin ─▶ /livez /readyz        may it live, may it have work
//!                │
//!                └────▶ Registry::snapshot ─▶ /stats      JSON, the guide's keys
//!                                        └──▶ /metrics    catalogue ─▶ exposition: Prometheus text
//! ```
//!
//! [`Admin`] is a tower service, so a gateway serves it on its admin address and any application mounts it
//! among its own routes. It reads and changes nothing.

mod admin;
mod catalogue;
mod exposition;

pub use admin::Admin;
