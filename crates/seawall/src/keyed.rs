//! A machine for each key, in bounded memory whatever the keys are.
//!
//! ```text
//!   key ──▸ known?      its cell, which is now the youngest
//!           room?       a new cell
//!           full        of the 16 oldest the first idle one gives its place;
//!                       those looked at in vain are the youngest now, so the next search goes on behind them
//!           none idle   the overflow cell, which all such keys share, and each such call is counted
//!
//!   oldest ◂─ ○ ─ ○ ─ ● ─ ○ ─ ● ─▸ youngest       a list by last use, threaded through one table
//! ```
//!
//! A cell is forgotten only if it is idle: nobody could tell it from a new one. So no flood of made-up keys gives
//! anybody a fresh limit or closes a breaker, and whoever is in use stays. What a flood can do is fill the map
//! with cells that are not idle; then newcomers share one.
//!
//! One mutex and not a shard for each part of the keys: the bound is exact, the oldest is the oldest of all, and the
//! lock is held for a look-up. The hash is the standard library's, with keys of its own for each map: a stranger
//! cannot choose keys that meet.
//!
//! What a key costs: its cell, the key, and 20 bytes for links and look-up. With a [`RateLimiter`] that keeps a
//! bucket and keys of up to 64 bytes that is less than 512 bytes, 5 MB for 10 000 keys.

mod cells;

use std::{
    borrow::Borrow,
    fmt,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use seawall_core::{Instant, RateLimiter};

pub(crate) use self::cells::{Cells, OVERFLOW};

/// A machine that can be forgotten when it has nothing to remember.
pub trait KeyedCell {
    /// Whether at `now` it cannot be told from a new one, and nobody holds anything of it.
    fn is_idle(&self, now: Instant) -> bool;
}

/// As long as all it has is there, and nobody waits or has been called up.
impl KeyedCell for RateLimiter {
    fn is_idle(&self, now: Instant) -> bool {
        let seen = self.snapshot(now);
        // One that has nothing never changes.
        seen.waiting == 0 && seen.reset.is_none_or(|wait| wait.is_zero())
    }
}

/// A map of at most so many keys, each with a cell that was made when it was first seen.
///
/// `K` is kept for a new key and made from what it was looked up by, such as `Arc<str>` from `&str`.
///
/// ```
/// use std::sync::Arc;
/// use seawall::{Keyed, core::{Instant, Priority, Rate, RateLimitConfig, RateLimiter}};
///
/// let each = RateLimitConfig { capacity: Some(1), ..RateLimitConfig::default() };
/// let limits = Keyed::<Arc<str>, _>::new(10_000, RateLimiter::new(&each)?);
/// let now = Instant::ORIGIN;
/// let ask = |key| limits.with(key, now, |cell| cell.admit(1, Priority::Normal, now, now));
/// assert!(matches!(ask("a"), seawall::core::Admission::Go(_)));
/// assert!(matches!(ask("a"), seawall::core::Admission::No(_)));
/// assert!(matches!(ask("b"), seawall::core::Admission::Go(_)));
/// # Ok::<(), seawall::Invalid>(())
/// ```
pub struct Keyed<K, C>(Mutex<Cells<K, C>>);

impl<K: Hash + Eq + Clone, C: KeyedCell + Clone> Keyed<K, C> {
    /// An empty map of at most `max_keys` keys, whose cells begin as `fresh`. With 0 all keys share one cell.
    #[must_use]
    pub fn new(max_keys: u32, fresh: C) -> Self {
        Self(Mutex::new(Cells::new(max_keys, fresh)))
    }

    /// Visits the cell of `key`. The map is locked meanwhile: be short, and do not visit it again.
    pub fn with<Q, R>(&self, key: &Q, now: Instant, visit: impl FnOnce(&mut C) -> R) -> R
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut cells = self.lock();
        let place = cells.place(key, |cell| cell.is_idle(now));
        // The visit comes last, so that whatever happens in it the map is whole.
        visit(cells.at(place))
    }
}

impl<K, C> Keyed<K, C> {
    /// How full it is.
    #[must_use]
    pub fn snapshot(&self) -> KeyedSnapshot {
        self.lock().snapshot()
    }

    fn lock(&self) -> MutexGuard<'_, Cells<K, C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Not its keys, which may be secrets.
impl<K, C> fmt::Debug for Keyed<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyed").field(&self.snapshot()).finish()
    }
}

/// What a [`Keyed`] map shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedSnapshot {
    /// Keys with a cell of their own.
    pub keys: u32,
    /// The most there may be.
    pub max_keys: u32,
    /// Visits to the shared cell, ever: of keys for which there was no room.
    pub overflowed: u64,
    /// Idle cells that gave their place, ever.
    pub evicted: u64,
}
