//! `seawall demo`: the same load and the same faults, once straight and once through the gateway.
//!
//! ```text
//!   plan ──► traffic ──► straight: round robin ──► backend 1 2 3 ◄── plan (faults)
//!    │          └──────► gate: the gateway ──────► backend 1 2 3 ◄── plan
//!    └──► measure, verdict ◄── samples, stalls   screen, transcript ◄── all of it
//! ```
//!
//! The demo knows the gateway only as a [`Gate`]: an address to send to, a count of attempts, and lines
//! about what it did. So the same run judges anything that stands in front of the backends, and a test
//! shows that something which protects nothing is told so.

mod account;
mod backend;
mod measure;
mod plan;
mod run;
mod screen;
mod stall;
mod traffic;
mod transcript;
mod verdict;

pub(crate) use measure::Report;
pub(crate) use plan::{LEFT_WAITING, MIN_SECONDS, Plan, RATE, SECONDS};
pub(crate) use run::{Event, Gate, Started, run};
pub(crate) use screen::Screen;
pub(crate) use traffic::{DEADLINE, PRIORITY};
