//! Services that call services, in virtual time: the machines are the real ones, all else is a script.
//!
//! ```text
//!   Traffic ──arrivals──▸ Client ──attempts──▸ Dependency ◂── Script of faults
//!   open loop, users      N instances, each      workers, a queue,
//!   who come again        a Call per use and     no idea who has
//!                         machines of its own    given up
//!              ╰───────── one heap of events, by (time, number) ─────────╯
//!                      after each event: the invariants ▸ Broken
//!                      each second: a row               ▸ Story
//! ```
//!
//! Time jumps from event to event, so an hour costs what happens in it. All chance comes from one seed, nothing is
//! global and nothing depends on an address or a thread: the same seed tells the same story, byte for byte. If a
//! promise breaks, [`Broken`] says which, when, after which events, and the line that repeats it.
//!
//! Load is *open*: arrivals do not wait for answers, as users do not. And a dependency works on for callers who
//! have given up. Both are what turns an overload into a lasting one; a simulation in which load waits politely,
//! or a cancelled call costs nothing, shows no retry storm.
//!
//! ```
//! use seawall_sim::scenarios::{self, Protection};
//!
//! let story = scenarios::retry_storm(Protection::Defaults).replay(42)?;
//! assert!(story.goodput_of_last(10) > 0.95);
//! # Ok::<(), seawall_sim::Stop>(())
//! ```
//!
//! Each driven call is known by an id through which any event may tell it something, so a call that waits can be
//! woken by what happens to another.

mod client;
mod clock;
mod dependency;
mod invariant;
mod journal;
mod latency;
mod scenario;
pub mod scenarios;
mod story;
mod traffic;
mod world;

pub use client::Client;
pub use clock::{Clock, ClockStep};
pub use dependency::{Dependency, Fault, Script};
pub use latency::Latency;
pub use scenario::{Broken, Scenario, Stop};
pub use story::{Row, Scale, Story, Totals};
pub use traffic::{Again, Traffic};
