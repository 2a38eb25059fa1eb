//! Failure engineering for calls to other services.

mod blocking;
mod builder;
mod caller;
mod classify;
mod clock;
#[cfg(feature = "config")]
pub mod config;
mod error;
mod guard;
mod observe;
mod policy;
mod policy_config;
mod registry;
mod retry_on;
mod run;
mod shell;
pub mod snapshot;

pub use builder::PolicyBuilder;
pub use caller::Caller;
pub use classify::{ByStatus, Classify, Plain, Status};
pub use clock::{Clock, ManualClock};
pub use error::{Attempted, Ended, Error, History, Refused, TimedOut};
pub use guard::Held;
pub use observe::{Change, Events, Heard, Stream, Teller};
pub use policy::{Policy, PolicyMachines, Typed};
pub use policy_config::PolicyConfig;
pub use registry::{Registry, RegistryError};
pub use retry_on::RetryOn;
pub use run::{Attempt, Ending, run_held};
pub use seawall_core as core;
pub use seawall_core::{
    BulkheadConfig, CircuitBreakerConfig, Invalid, Jitter, Ratio, RetryConfig, Strategy,
    TimeoutConfig,
};
pub use shell::{Machines, Shell, ShellVisit};
pub use snapshot::{Observed, Snapshot};
