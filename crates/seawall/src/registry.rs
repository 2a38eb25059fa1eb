//! Everything by name: policies and components to get or create, statistics to read, transitions to listen to.
//!
//! ```text
//!   name ─▸ a policy, or one for each key                 its parts bear its name
//!        ─▸ or components, one of each kind               so no component has a policy's name
//! ```
//!
//! What is made is made while nothing is locked: settings may hold the caller's own code ([`CustomBackoff`]), and that may
//! come back here. Of any number who ask for a new name at once one's is kept, and all have that. A name with other
//! settings is a mistake that one of the two callers made: they are told both, and the first stays.
//!
//! [`CustomBackoff`]: seawall_core::CustomBackoff

mod by_name;
mod conflict;
mod error;
mod handle;
mod statistics;

use std::{
    collections::BTreeMap,
    fmt, mem,
    panic::Location,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use self::handle::{Handle, Made};
use crate::{
    Clock, Origins, Policy, PolicyBuilder, PolicyConfig,
    observe::{Events, Stream},
    snapshot::{Observed, Snapshot},
};

pub use by_name::Kind;
pub use conflict::{Difference, Setting};
pub use error::RegistryError;

/// Policies and components by name. Cheap to clone; clones are the same registry.
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
    /// By name a policy, or components.
    names: BTreeMap<Arc<str>, Vec<Named>>,
    others: Vec<Arc<dyn Observed>>,
}

/// What has a name, and where its settings came from.
struct Named {
    kind: Kind,
    handle: Handle,
    origins: Origins,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("names", &self.names.keys()).finish_non_exhaustive()
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
    #[must_use]
    pub fn global() -> &'static Self {
        global()
    }

    /// The policy of this name, created with `config` if there is none yet.
    ///
    /// A conflict names the line that calls this; a function around it passes its own caller's on with
    /// `#[track_caller]`. Settings from a file keep their places through [`policy_from`](Self::policy_from).
    ///
    /// # Errors
    /// [`RegistryError::Conflict`] if it exists with another configuration, [`RegistryError::Invalid`] if it would be new
    /// and settings make no sense. A [`CustomBackoff`](seawall_core::CustomBackoff) is the same only as a clone:
    /// make it once, or every second use is a conflict.
    #[track_caller]
    pub fn policy(&self, name: &str, config: &PolicyConfig) -> Result<Policy, RegistryError> {
        let line = Location::caller();
        self.get_or_create((Kind::Policy, name), config, policy, || Origins::code(line))
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
        let origins = || origins.within(&format!("policy.{name}"));
        self.get_or_create((Kind::Policy, name), config, policy, origins)
    }

    fn get_or_create<P: Made>(
        &self,
        (kind, name): (Kind, &str),
        config: &PolicyConfig,
        builder: fn(Arc<str>, PolicyConfig) -> PolicyBuilder,
        origins: impl Fn() -> Origins,
    ) -> Result<P, RegistryError> {
        let known = |entries: &Entries| entries.known((kind, name), config, &origins);
        if let Some(answer) = known(&self.entries()) {
            return answer;
        }
        let builder = builder(name.into(), config.clone())
            .clock(self.0.clock.clone())
            .stream(self.0.stream.clone());
        let made = P::build(builder).map_err(RegistryError::Invalid)?;
        let mut entries = self.entries();
        // Another may have been faster.
        if let Some(answer) = known(&entries) {
            return answer;
        }
        let named = Named { kind, handle: made.clone().held(), origins: origins() };
        entries.names.entry(named.handle.name().clone()).or_default().push(named);
        Ok(made)
    }

    /// The policy of this name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Policy> {
        self.find_kind(Kind::Policy, name)
    }

    fn find_kind<P: Made>(&self, kind: Kind, name: &str) -> Option<P> {
        P::found(&self.entries().find(kind, name)?.handle).cloned()
    }

    /// Shows something that is not a policy in the statistics.
    pub fn show(&self, observed: Arc<dyn Observed>) {
        self.entries().others.push(observed);
    }

    /// The statistics of everything.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::taken_now(&self.0.clock);
        let (named, others) = {
            let entries = self.entries();
            let named = entries.names.values().flatten();
            let named = named.map(|named| (named.kind, named.handle.clone()));
            (named.collect::<Vec<_>>(), entries.others.clone())
        };
        named.iter().for_each(|(kind, handle)| handle.observe(*kind, &mut snapshot));
        others.iter().for_each(|other| other.observe(&mut snapshot));
        snapshot
    }

    /// Transitions of everything in it, from now on. Attempts that did not succeed too,
    /// if that is [asked for](Events::with_attempts).
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

    /// Makes it as new: without names, with nothing to show, ready. For tests that share one. Handles that are held go on
    /// working and are seen here no more; who asks for their names gets others. Who listens goes on listening.
    ///
    /// ```
    /// use seawall::{BulkheadConfig, Registry};
    ///
    /// let registry = Registry::new();
    /// registry.bulkhead("database", &BulkheadConfig::database())?;
    /// registry.reset();
    /// registry.bulkhead("database", &BulkheadConfig::default())?; // other settings, and no conflict
    /// # Ok::<(), seawall::RegistryError>(())
    /// ```
    pub fn reset(&self) {
        self.set_ready(true);
        // What they run when they are dropped is run when nothing is locked any more.
        let _forgotten = mem::take(&mut *self.entries());
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one registry of this process: [`Registry::global`].
#[must_use]
pub fn global() -> &'static Registry {
    static GLOBAL: OnceLock<Registry> = OnceLock::new();
    GLOBAL.get_or_init(Registry::new)
}

impl Entries {
    /// What there is to say to who asks for this with these settings; `None` if it is to be made.
    fn known<P: Made>(
        &self,
        (kind, name): (Kind, &str),
        config: &PolicyConfig,
        origins: impl Fn() -> Origins,
    ) -> Option<Result<P, RegistryError>> {
        let Some(named) = self.find(kind, name) else {
            return self.excluding(kind, name).map(|named| Err(named.taken(kind, &origins())));
        };
        Some(match P::found(&named.handle) {
            Some(made) if named.handle.config() == config => Ok(made.clone()),
            _ => Err(named.conflict(config, &origins())),
        })
    }

    fn find(&self, kind: Kind, name: &str) -> Option<&Named> {
        self.names.get(name)?.iter().find(|named| named.kind == kind)
    }

    /// What has this name, so that nothing of this kind can: a policy shows its parts under its own.
    fn excluding(&self, kind: Kind, name: &str) -> Option<&Named> {
        let mut named = self.names.get(name)?.iter();
        named.find(|named| named.kind != kind && (named.kind.has_parts() || kind.has_parts()))
    }
}

fn policy(name: Arc<str>, config: PolicyConfig) -> PolicyBuilder {
    Policy::builder(name).config(config)
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}
