//! The promises of the library, kept by its run loops: async, blocking, held.
//!
//! Each module is a chapter of promises; each test is named after one. Time stands still unless a test moves
//! it ([`world`]), so nothing sleeps and every run of a test is the same run.

mod allocator;
mod attempts;
mod blocking;
mod by_name;
mod cancelling;
mod components;
mod counting;
mod deadlines;
mod errors;
mod events;
mod foreign;
mod futures;
mod half_open;
mod held;
mod hung;
mod invalids;
mod isolation;
mod judging;
mod keyed;
mod limits;
mod opened_by;
mod ordering;
mod panics;
mod per_key;
mod per_key_bounds;
mod per_key_shown;
mod per_key_threads;
mod pooled;
mod queueing;
mod registry;
mod reloading;
mod replaced;
mod retries;
mod sharing;
mod steps;
mod tokio_clock;
mod world;
