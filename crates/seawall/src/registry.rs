//! Everything by name: policies to get or create, statistics to read, transitions to listen to.

mod conflict;

use std::{
    collections::BTreeMap,
    fmt,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use seawall_core::Invalid;

use crate::{
    Clock, Origin, Origins, Policy, PolicyConfig,
    observe::{Events, Stream},
    snapshot::{BulkheadStats, CircuitBreakerStats, Observed, Snapshot, timestamp},
};

pub use conflict::{Difference, Setting};

/// Components by name. Cheap to clone; clones are the same registry.
///
/// ```
/// use seawall::{CircuitBreakerConfig, PolicyConfig, Registry};
///
/// let registry = Registry::new();
/// let config = PolicyConfig { circuit_breaker: Some(CircuitBreakerConfig::default()), ..PolicyConfig::default() };
/// registry.policy("orders", &config)?;
/// assert_eq!(registry.snapshot().circuit_breakers["orders"].state, "closed");
/// # Ok::<(), seawall::RegistryError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    stream: Stream,
    ready: AtomicBool,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    policies: BTreeMap<Arc<str>, Named>,
    others: Vec<Arc<dyn Observed>>,
}

/// A policy, and where its settings came from.
struct Named {
    policy: Policy,
    origins: Origins,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("policies", &self.policies.keys()).finish_non_exhaustive()
    }
}

impl Registry {
    /// An empty registry on a fast clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::fast())
    }

    /// An empty registry; its components use this clock.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock,
            stream: Stream::new(),
            ready: AtomicBool::new(true),
            entries: Mutex::default(),
        }))
    }

    /// The one registry of this process.
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        GLOBAL.get_or_init(Self::new)
    }

    /// The policy of this name, created with `config` if there is none yet.
    ///
    /// A conflict names the line that calls this; a function around it passes its own caller's on with
    /// `#[track_caller]`. Settings from a file keep their places through [`policy_from`](Self::policy_from).
    ///
    /// # Errors
    /// [`RegistryError::Conflict`] if it exists with another configuration, [`RegistryError::Invalid`] if it would be new
    /// and a setting makes no sense. A [`CustomBackoff`](seawall_core::CustomBackoff) is the same only as a clone:
    /// make it once, or every second use is a conflict.
    #[track_caller]
    pub fn policy(&self, name: &str, config: &PolicyConfig) -> Result<Policy, RegistryError> {
        let line = Location::caller();
        self.get_or_create(name, config, || Origins::all(Origin::Code(line)))
    }

    /// As [`policy`](Self::policy), with settings that are the policy of this name in a file: a conflict names
    /// their places in it.
    ///
    /// # Errors
    /// As [`policy`](Self::policy).
    pub fn policy_from(
        &self,
        name: &str,
        config: &PolicyConfig,
        origins: &Origins,
    ) -> Result<Policy, RegistryError> {
        self.get_or_create(name, config, || origins.within(&format!("policy.{name}")))
    }

    fn get_or_create(
        &self,
        name: &str,
        config: &PolicyConfig,
        origins: impl FnOnce() -> Origins,
    ) -> Result<Policy, RegistryError> {
        let mut entries = self.entries();
        if let Some(Named { policy, origins: existing }) = entries.policies.get(name) {
            if policy.config() == config {
                return Ok(policy.clone());
            }
            return Err(RegistryError::Conflict {
                name: name.to_owned(),
                existing: Box::new(policy.config().clone()),
                wanted: Box::new(config.clone()),
                differences: Difference::all((policy.config(), existing), (config, &origins())),
            });
        }
        let policy = Policy::builder(name)
            .config(config.clone())
            .clock(self.0.clock.clone())
            .stream(self.0.stream.clone())
            .build()
            .map_err(RegistryError::Invalid)?;
        let named = Named { policy: policy.clone(), origins: origins() };
        entries.policies.insert(policy.name().clone(), named);
        Ok(policy)
    }

    /// The policy of this name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Policy> {
        self.entries().policies.get(name).map(|named| named.policy.clone())
    }

    /// Shows something that is not a policy in the statistics.
    pub fn show(&self, observed: Arc<dyn Observed>) {
        self.entries().others.push(observed);
    }

    /// The statistics of everything.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = self.0.clock.now();
        let mut snapshot =
            Snapshot { timestamp: timestamp(self.0.clock.wall(now)), ..Snapshot::default() };
        let (policies, others) = {
            let entries = self.entries();
            let policies = entries.policies.values().map(|named| named.policy.clone());
            (policies.collect::<Vec<_>>(), entries.others.clone())
        };
        policies.iter().for_each(|policy| policy.observe(&mut snapshot));
        others.iter().for_each(|other| other.observe(&mut snapshot));
        snapshot
    }

    /// Transitions of everything in it, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.stream.listen()
    }

    /// Where its components tell their transitions.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.0.stream
    }

    /// The clock of its components.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Whether the process takes new work. True until told otherwise.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// Says whether the process takes new work: false while it drains.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Release);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Observed for Policy {
    fn observe(&self, snapshot: &mut Snapshot) {
        self.observe_patterns(snapshot);
        snapshot.policies.insert(self.name().to_string(), self.counts().into());
    }
}

impl Policy {
    /// The statistics of its patterns, without those of its calls.
    pub(crate) fn observe_patterns(&self, snapshot: &mut Snapshot) {
        let (name, now, clock) = (self.name().to_string(), self.clock().now(), self.clock());
        // The learned limit's quantiles take a scan: of a copy, so that no call waits for it.
        let (limiter, breaker, budget, bulkhead, timeout) = self.read(|machines| {
            (
                machines.limiter.as_ref().map(|limiter| limiter.snapshot(now)),
                machines.breaker.as_ref().map(|breaker| breaker.snapshot(now)),
                machines.budget.as_ref().map(|budget| budget.snapshot()),
                machines.bulkhead.as_ref().map(|bulkhead| bulkhead.snapshot()),
                machines.timeout.as_deref().cloned(),
            )
        });
        if let Some(limiter) = limiter {
            snapshot.rate_limiters.insert(name.clone(), limiter.into());
        }
        if let Some(breaker) = breaker {
            let stats = CircuitBreakerStats::new(&name, &breaker, clock);
            snapshot.circuit_breakers.insert(name.clone(), stats);
        }
        if let Some(budget) = budget {
            snapshot.retry_managers.insert(name.clone(), budget.into());
        }
        if let Some(bulkhead) = bulkhead {
            snapshot.bulkheads.insert(name.clone(), BulkheadStats::new(&name, &bulkhead));
        }
        if let Some(timeout) = timeout {
            snapshot.adaptive_timeouts.insert(name, timeout.snapshot().into());
        }
    }
}

/// Why a registry has no policy to give.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryError {
    /// The name is taken by a policy with another configuration.
    Conflict {
        /// The name.
        name: String,
        /// How the policy of this name is set.
        existing: Box<PolicyConfig>,
        /// What was asked for.
        wanted: Box<PolicyConfig>,
        /// What is not the same in both, and where each came from.
        differences: Vec<Difference>,
    },
    /// A setting makes no sense.
    Invalid(Invalid),
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { name, differences, .. } => {
                write!(f, "policy {name} exists with another configuration")?;
                for (n, difference) in differences.iter().enumerate() {
                    write!(f, "{} {difference}", if n == 0 { ':' } else { ';' })?;
                }
                Ok(())
            }
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl std::error::Error for RegistryError {}
