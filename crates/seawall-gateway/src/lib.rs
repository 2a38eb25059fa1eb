//! A reverse proxy made of the floors below.
//!
//! ```text
//!   config ─▶ route, upstream            what is set, and what counts and learns
//!
//!   listen ─▶ framing ─▶ headers ─▶ pipeline ─▶ limit ─▶ replay ─▶ pool ─▶ endpoint
//!     ▲                                │ respond: what we answer ourselves
//!     └────────── body ◀── headers ◀───┘◀────────────────────────────────────┘
//! ```
//!
//! [`Gateway`] binds, serves and drains. The order of the patterns is the engine's; `pipeline` is the life of
//! one request around it.

pub mod body;
pub mod config;
pub mod framing;
mod gateway;
pub mod headers;
mod lengths;
mod limit;
pub mod listen;
mod pipeline;
pub mod pool;
pub mod replay;
pub mod respond;
mod route;
mod upstream;

pub use config::Config;
pub use gateway::{Gateway, StartError};
