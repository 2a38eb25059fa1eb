//! One set of machines for all keys, and what they remember of each.
//!
//! ```text
//!   cells      [ acme ][ other ][ … ][ overflow ]      what is remembered, and how many use it
//!                  ▴
//!   machines ──────┘ loaded: they have taken up what is remembered of acme, and the cell keeps nothing meanwhile
//! ```
//!
//! Who comes for another key has them put down the one and take up the other. So the state of a key is in exactly one
//! of two places, and a step on the same key as before costs nothing more.

use std::{borrow::Borrow, fmt, hash::Hash, sync::Arc};

use seawall_core::{
    AdaptiveTimeout, BulkheadMemory, CircuitBreaker, CircuitBreakerMemory, Counts, Instant,
    Invalid, Parts, Phase, Plan, RateLimitMemory, RetryBudgetMemory,
};

use super::{AnyKey, PerKeySnapshot};
use crate::{
    KeyedCell, KeyedSnapshot, PolicyConfig, PolicyMachines, Reloaded,
    keyed::{Cells, OVERFLOW},
    shell::{Machines, Whose},
};

/// The machines, and the cells.
pub(super) struct KeyedMachines<K> {
    machines: PolicyMachines,
    /// Whose memory they have taken up.
    loaded: Option<u32>,
    cells: Cells<K, Cell>,
    /// What the jitter of all follows; of each, with its place.
    seed: u32,
}

/// What is kept of one key.
#[derive(Clone)]
struct Cell {
    memory: Memory,
    /// How many hold the place.
    users: u32,
}

/// What the machines remember of one key; of a pattern there is none of, nothing.
#[derive(Clone, Default)]
struct Memory {
    limiter: RateLimitMemory,
    budget: RetryBudgetMemory,
    breaker: CircuitBreakerMemory,
    bulkhead: BulkheadMemory,
    /// When its callee answered last: what is learned is of all keys, and cannot tell.
    answered: Instant,
}

impl<K: AnyKey> KeyedMachines<K> {
    pub(super) fn new(config: &PolicyConfig, plan: Plan, seed: u64) -> Result<Self, Invalid> {
        let machines = PolicyMachines::new(config, plan, seed, RUNNING_SEEN)?;
        let fresh = Cell { memory: Memory::of(machines.for_one()), users: 0 };
        let cells = Cells::new(config.max_keys.unwrap_or(MAX_KEYS), fresh);
        Ok(Self { machines, loaded: None, cells, seed: seed as u32 })
    }

    /// The place of a key, new or known, with one user more.
    #[inline]
    pub(super) fn enter<Q>(&mut self, key: &Q, now: Instant) -> u32
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Hash + Eq + ?Sized,
    {
        if self.cells.find(key).is_none() {
            // Cells will be looked at, and what is loaded is not in its cell.
            self.put_down();
        }
        let machines = &mut self.machines;
        let place = self.cells.place(key, |cell| is_idle(machines, cell, now));
        self.enter_again(place);
        place
    }

    /// The place of a key that is known, with one user more.
    pub(super) fn enter_known<Q>(&mut self, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let place = self.cells.find(key)?;
        self.enter_again(place);
        Some(place)
    }

    /// The place that a key shares which is not known, with one user more; `None` if there is room for it.
    pub(super) fn enter_shared(&mut self, now: Instant) -> Option<u32> {
        self.put_down();
        let machines = &mut self.machines;
        if self.cells.has_room(|cell| is_idle(machines, cell, now)) {
            return None;
        }
        self.enter_again(OVERFLOW);
        Some(OVERFLOW)
    }

    /// One user more.
    #[inline]
    pub(super) fn enter_again(&mut self, place: u32) {
        let users = &mut self.cells.at(place).users;
        *users = users.saturating_add(1);
    }

    /// One user less.
    #[inline]
    pub(super) fn leave(&mut self, place: u32) {
        let users = &mut self.cells.at(place).users;
        *users = users.saturating_sub(1);
    }

    pub(super) const fn has_breaker(&self) -> bool {
        self.machines.breaker.is_some()
    }

    /// Threads for blocking work of all keys, if that was said.
    pub(super) fn pool_threads(&self) -> Option<u32> {
        self.machines.bulkhead.as_ref()?.pool_threads()
    }

    pub(super) const fn counts(&self) -> Counts {
        self.machines.counts
    }

    /// What is learned of latency, of all keys together.
    pub(super) fn learned(&self) -> Option<&AdaptiveTimeout> {
        self.machines.timeout.as_deref()
    }

    pub(super) fn snapshot(&mut self, now: Instant) -> PerKeySnapshot {
        self.put_down();
        let mut open = 0;
        for (place, cell) in self.cells.all() {
            if !cell.memory.breaker.is_closed() {
                exchange(&mut self.machines, &mut cell.memory, self.seed ^ place);
                let phase = self.machines.breaker.as_ref().map(|breaker| breaker.phase(now));
                exchange(&mut self.machines, &mut cell.memory, self.seed ^ place);
                open += u32::from(matches!(
                    phase,
                    Some(Phase::Open | Phase::HalfOpen | Phase::ForcedOpen)
                ));
            }
        }
        let KeyedSnapshot { keys, max_keys, overflowed, evicted } = self.cells.snapshot();
        PerKeySnapshot { keys, max_keys, overflowed, evicted, open }
    }

    /// Goes on under other settings: each key by the rules of a policy, from what is remembered of it.
    pub(super) fn reload(
        &mut self,
        config: &PolicyConfig,
        plan: Plan,
        seed: u64,
        now: Instant,
    ) -> Result<Reloaded, Invalid> {
        self.put_down();
        // The learned limit is of all keys.
        let own = PolicyConfig { timeout: None, ..config.clone() };
        let mut reloaded = Reloaded::default();
        for (place, cell) in self.cells.all() {
            let mut one =
                PolicyMachines { answered: cell.memory.answered, ..self.machines.for_one() };
            exchange(&mut one, &mut cell.memory, self.seed ^ place);
            reloaded.windows_emptied |= one.reload(&own, plan.clone(), seed, now)?.windows_emptied;
            cell.memory = Memory::of(one);
        }
        let fresh = PolicyMachines::new(&own, plan.clone(), seed, RUNNING_SEEN)?;
        self.cells.begin_as(Cell { memory: Memory::of(fresh), users: 0 });
        self.machines.reload(config, plan, seed, now)?;
        if let Some(max_keys) = config.max_keys {
            self.cells.hold(max_keys);
        }
        Ok(reloaded)
    }

    #[cold]
    fn load(&mut self, place: u32) {
        self.put_down();
        exchange(&mut self.machines, &mut self.cells.at(place).memory, self.seed ^ place);
        self.loaded = Some(place);
    }

    fn put_down(&mut self) {
        if let Some(place) = self.loaded.take() {
            exchange(&mut self.machines, &mut self.cells.at(place).memory, self.seed ^ place);
        }
    }
}

impl<K: AnyKey> Machines for KeyedMachines<K> {
    type Gate = Option<CircuitBreaker>;
    type View = u32;

    #[inline]
    fn parts(&mut self, place: u32) -> Parts<'_, Self::Gate> {
        if self.loaded != Some(place) {
            self.load(place);
        }
        self.machines.parts(())
    }

    fn whose(&self, place: u32) -> Option<Whose> {
        let key = self.cells.key(place).cloned();
        Some(Box::new(|| key.map_or_else(|| "(overflow)".into(), |key| short(key.to_string()))))
    }
}

impl<K> fmt::Debug for KeyedMachines<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedMachines").field("machines", &self.machines).finish_non_exhaustive()
    }
}

impl Memory {
    fn of(machines: PolicyMachines) -> Self {
        let PolicyMachines { limiter, breaker, budget, bulkhead, answered, .. } = machines;
        Self {
            limiter: limiter.map(|limiter| limiter.into_memory()).unwrap_or_default(),
            budget: budget.map(|budget| budget.into_memory()).unwrap_or_default(),
            breaker: breaker.map(CircuitBreaker::into_memory).unwrap_or_default(),
            bulkhead: bulkhead.map(|bulkhead| bulkhead.into_memory()).unwrap_or_default(),
            answered,
        }
    }
}

/// Puts down what the machines remember and takes up another's.
fn exchange(machines: &mut PolicyMachines, memory: &mut Memory, seed: u32) {
    if let Some(limiter) = &mut machines.limiter {
        limiter.exchange(&mut memory.limiter);
    }
    if let Some(budget) = &mut machines.budget {
        budget.exchange(&mut memory.budget);
    }
    if let Some(breaker) = &mut machines.breaker {
        breaker.exchange(&mut memory.breaker, seed);
    }
    if let Some(bulkhead) = &mut machines.bulkhead {
        bulkhead.exchange(&mut memory.bulkhead);
    }
    if let Some(timeout) = &mut machines.timeout {
        timeout.exchange(&mut memory.answered);
    }
}

/// Whether nobody uses it and nobody would miss what is remembered.
fn is_idle(machines: &mut PolicyMachines, cell: &mut Cell, now: Instant) -> bool {
    if cell.users > 0 {
        return false;
    }
    exchange(machines, &mut cell.memory, OVERFLOW);
    let idle = machines.limiter.as_ref().is_none_or(|limiter| limiter.is_idle(now))
        && machines.breaker.as_ref().is_none_or(|breaker| breaker.is_forgettable(now));
    exchange(machines, &mut cell.memory, OVERFLOW);
    idle
}

/// As much of a key as an event tells.
fn short(mut key: String) -> Arc<str> {
    if key.len() > SHOWN_BYTES {
        key.truncate(key.floor_char_boundary(SHOWN_BYTES));
        key.push('…');
    }
    key.into()
}

/// Running calls that the breaker of one key looks at: a callee of one key that hangs is seen by as many.
const RUNNING_SEEN: u8 = 8;

/// 5 MB, and ten times what the guide lets run at once.
const MAX_KEYS: u32 = 10_000;

/// The length up to which a key's memory is stated.
const SHOWN_BYTES: usize = 64;
