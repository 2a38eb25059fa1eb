//! What is looked for: for each target a function from bytes that panics if a promise is broken.
//!
//! ```text
//!   bytes ─▶ settings, then operations one after another ─▶ the machine
//!                                        └───────────────▶ a count beside it, which must agree
//! ```
//!
//! Bytes that end early end the story; no bytes are wrong. The counts are as simple as they can be: what a
//! machine does cleverly is compared with what anybody would do on paper.

mod breaker;
mod budget;
mod bulkhead;
mod config;
mod rate_limit;
mod tape;

pub use breaker::breaker;
pub use budget::budget;
pub use bulkhead::bulkhead;
pub use config::config;
pub use rate_limit::rate_limit;
