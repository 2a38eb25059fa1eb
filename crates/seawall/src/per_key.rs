//! One policy for each tenant, host or API key: its own limits for each, its settings once, and bounded memory.
//!
//! ```text
//!   key("acme") ──▸ its place in the table, looked up once and held until the last user has gone
//!       run ──▸ lock ▸ the machines take up what they remember of acme ▸ one step ▸ unlock
//!
//!   each key    rate limit · retry budget · circuit breaker · bulkhead · running calls
//!   all keys    settings · deadline · learned limit · counts · random numbers · threads for pooled calls
//! ```
//!
//! A key may be forgotten while nobody uses it, its rate limit is as new and its breaker closed; so no flood of keys
//! gives anybody a fresh limit or closes a breaker. Where nothing may be forgotten, new keys share one overflow cell,
//! one tenant to each other. A breaker that nobody has asked for as long as a probe may live after its open period is
//! forgotten too: callees that have gone for good must not fill the map. A retry budget is no reason to stay: so a
//! new key has its three retries in hand, and many keys of few calls each may retry more than one with many calls.
//!
//! One mutex, as for a policy, and one set of machines behind it: ten thousand copies of the same settings would
//! cost more than what the keys are. The learned limit is of all keys together, since few have calls enough to learn
//! from. Two more locks a call than under a policy: to look the key up, and to let it go.

mod build;
mod key;
mod machines;

use std::{borrow::Borrow, fmt, hash::Hash, sync::Arc};

use seawall_core::{AdaptiveTimeout, Counts, Override, Phase};

use self::machines::KeyedMachines;
pub use self::{
    build::PerKeyBuilder,
    key::{AnyKey, Key},
};
use crate::{
    Clock, Invalids, PolicyConfig, Reloaded,
    attempt::KeptLimits,
    observe::{Events, Stream},
    pooled::{Pool, PoolSnapshot},
    reload::plan,
    shell::Shell,
};

/// A policy for each key. Cheap to clone; clones share everything. Made by
/// [`PolicyBuilder::per_key`](crate::PolicyBuilder::per_key).
///
/// A key with all patterns takes at most 512 bytes, itself included if it has up to 64: 5 MB for 10 000. A slow rate
/// takes 208 more, a sliding window 80 and 8 for each of its counters, and what waits or runs is there while it does.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), seawall::Invalids> {
/// use std::sync::Arc;
/// use seawall::{CircuitBreakerConfig, Error, Policy, core::Phase};
///
/// let tenants = Policy::builder("tenants")
///     .circuit_breaker(CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() })
///     .per_key::<Arc<str>>()
///     .build()?;
///
/// assert!(tenants.key("acme").run(|| async { Err::<(), _>("down") }).await.is_err());
/// let refused = tenants.key("acme").run(|| async { Ok::<_, &str>(()) }).await;
/// assert!(matches!(refused, Err(Error::Refused(_))));
/// assert!(tenants.key("other").run(|| async { Ok::<_, &str>(()) }).await.is_ok());
/// assert_eq!(tenants.phase("acme"), Some(Phase::Open));
/// # Ok(()) }
/// ```
pub struct PerKey<K: AnyKey = Arc<str>>(Arc<Inner<K>>);

struct Inner<K: AnyKey> {
    name: Arc<str>,
    config: PolicyConfig,
    clock: Clock,
    stream: Stream,
    shell: Shell<KeyedMachines<K>>,
    pool: Arc<Pool>,
    limits: KeptLimits,
}

impl<K: AnyKey> PerKey<K> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The settings it was built from.
    #[must_use]
    pub fn config(&self) -> &PolicyConfig {
        &self.0.config
    }

    /// The policy for one key. While this or a clone of it lives, the key is not forgotten; so hold it for a call, or
    /// for as long as there are calls. Looks the key up.
    #[must_use]
    pub fn key<Q>(&self, key: &Q) -> Key<K>
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.0.clock.now();
        let place = self.0.shell.with(|machines| machines.enter(key, now));
        Key::new(self.0.clone(), place)
    }

    /// Where the breaker of a key stands. Of one that is not known, where it would: closed, or where there is no room for
    /// it, as that of all who share the overflow cell. `None` without a breaker.
    #[must_use]
    pub fn phase<Q>(&self, key: &Q) -> Option<Phase>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.0.clock.now();
        let place = self
            .0
            .shell
            .with(|machines| machines.enter_known(key).or_else(|| machines.enter_shared(now)));
        match place {
            Some(place) => Key::new(self.0.clone(), place).phase(),
            None => self.0.shell.read(|machines| machines.has_breaker().then_some(Phase::Closed)),
        }
    }

    /// Overrides the breaker of one key until the time of that is over or [`release`](Self::release). `false` if there
    /// is no breaker, or no room for the key: then it shares with others, for whom nothing was said.
    pub fn force<Q>(&self, key: &Q, said: Override) -> bool
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Hash + Eq + ?Sized,
    {
        let key = self.key(key);
        !key.is_shared() && key.with_breaker(|breaker, now| breaker.force(said, now))
    }

    /// Ends the override of one key: closed, with nothing remembered.
    pub fn release<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(key) = self.known(key) {
            key.with_breaker(seawall_core::CircuitBreaker::release);
        }
    }

    /// Calls and attempts of all keys, forgotten ones included, by how they ended.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.shell.read(KeyedMachines::counts)
    }

    /// How full it is, and how many breakers are open. Looks at every key, and calls wait meanwhile.
    #[must_use]
    pub fn snapshot(&self) -> PerKeySnapshot {
        let now = self.0.clock.now();
        self.0.shell.with(|machines| machines.snapshot(now))
    }

    /// All it shows at one moment. The learned limit is a copy, as for a policy.
    pub(crate) fn seen(&self) -> (PerKeySnapshot, Counts, Option<AdaptiveTimeout>) {
        let now = self.0.clock.now();
        self.0.shell.with(|machines| {
            (machines.snapshot(now), machines.counts(), machines.learned().cloned())
        })
    }

    /// Transitions from now on, each with the key it is about. Attempts that did not succeed too,
    /// if that is [asked for](Events::with_attempts).
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.stream.listen()
    }

    /// Other settings for all keys at once, each by the rules of [`Policy::reload`](crate::Policy::reload). Calls
    /// wait meanwhile, about a microsecond for each key. Where [`max_keys`](PolicyConfig::max_keys) is less than the
    /// keys there are, no key is added, and none goes.
    ///
    /// # Errors
    /// All settings that make no sense for each of many keys; then nothing has changed.
    pub fn reload(&self, config: &PolicyConfig) -> Result<Reloaded, Invalids> {
        Invalids::check(self.name(), |found| build::check(config, found))?;
        // A schedule of the caller's own is asked here, where nothing is locked.
        let plan = plan(config).map_err(|invalid| Invalids::one(self.name(), invalid))?;
        let now = self.0.clock.now();
        let seed = self.0.shell.draw().below(u64::MAX);
        let reloaded = self.0.shell.with(|machines| machines.reload(config, plan, seed, now));
        self.0.limits.set(config.timeout.as_ref());
        // Whoever waits looks for itself whether it still has to.
        self.0.shell.wake_all();
        reloaded.map_err(|invalid| Invalids::one(self.name(), invalid))
    }

    /// The threads of [`Key::run_pooled`], which all keys share.
    #[must_use]
    pub fn pool_snapshot(&self) -> PoolSnapshot {
        self.0.pool.snapshot()
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn known<Q>(&self, key: &Q) -> Option<Key<K>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let place = self.0.shell.with(|machines| machines.enter_known(key))?;
        Some(Key::new(self.0.clone(), place))
    }
}

impl<K: AnyKey> Clone for PerKey<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Not its keys, which may be secrets.
impl<K: AnyKey> fmt::Debug for PerKey<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerKey").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// What a [`PerKey`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PerKeySnapshot {
    /// Keys with state of their own.
    pub keys: u32,
    /// The most there may be.
    pub max_keys: u32,
    /// Look-ups of keys for which there was no room, ever.
    pub overflowed: u64,
    /// Keys forgotten, ever.
    pub evicted: u64,
    /// Keys whose breaker refuses calls: open, half-open or forced open. The overflow cell counts as one.
    pub open: u32,
}
