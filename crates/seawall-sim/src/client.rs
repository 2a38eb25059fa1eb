//! A client: so many instances of a service, each with machines of its own.
//!
//! ```text
//!   Client ──build──▸ House (plan, draws)  RefCell ┌ gate: a breaker, or a picker of endpoints ┐
//!                     one per instance             │ budget, bulkhead, learned limit           │
//!                                                  └ counts, transitions                       ┘
//! ```
//!
//! Budgets and breakers are per instance because that is how they are deployed: ten instances learn ten times that
//! a dependency is down, and send ten times three probes to find out whether it is back.

use core::{
    cell::{Cell, RefCell},
    time::Duration,
};

use seawall_core::{
    AdaptiveTimeout, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Counts, Draw,
    Draws, EventRing, Gate, Instant, Invalid, Line, Parts, Phase, Picker, Plan, Retry, RetryBudget,
    RetryConfig, Shared, TimeoutConfig,
};

/// The instances that call, and the policy each of them has. The defaults are the patterns' own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// How many. Default 1.
    pub instances: u32,
    /// How long a call may take. Default 60 s.
    pub deadline: Option<Duration>,
    /// How attempts follow one another.
    pub retry: Option<RetryConfig>,
    /// Whether retries need a budget. Default true; false is what most clients do.
    pub budget: bool,
    /// The breaker: one, or one per endpoint.
    pub circuit_breaker: Option<CircuitBreakerConfig>,
    /// How many attempts at once.
    pub bulkhead: Option<BulkheadConfig>,
    /// The limit on an attempt.
    pub timeout: Option<TimeoutConfig>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            instances: 1,
            deadline: Some(Duration::from_secs(60)),
            retry: Some(RetryConfig::default()),
            budget: true,
            circuit_breaker: Some(CircuitBreakerConfig::default()),
            bulkhead: Some(BulkheadConfig::default()),
            timeout: Some(TimeoutConfig::default()),
        }
    }
}

/// What a gate must show here beyond admitting.
pub(crate) trait Target: Gate + Sized {
    fn build(breaker: Option<&CircuitBreakerConfig>, endpoints: usize) -> Result<Self, Invalid>;
    /// The number of this half-open phase, if it is one.
    fn half_open(&self, pick: Self::Pick, now: Instant) -> Option<u64>;
    fn phases(&self, now: Instant, told: impl FnMut(Phase));
}

impl Target for Option<CircuitBreaker> {
    fn build(breaker: Option<&CircuitBreakerConfig>, _endpoints: usize) -> Result<Self, Invalid> {
        breaker.map(CircuitBreaker::new).transpose()
    }

    fn half_open(&self, (): (), now: Instant) -> Option<u64> {
        let breaker = self.as_ref().filter(|breaker| breaker.is_half_open())?;
        Some(breaker.snapshot(now).transitions)
    }

    fn phases(&self, now: Instant, mut told: impl FnMut(Phase)) {
        if let Some(breaker) = self {
            told(breaker.phase(now));
        }
    }
}

impl Target for Picker {
    fn build(breaker: Option<&CircuitBreakerConfig>, endpoints: usize) -> Result<Self, Invalid> {
        Self::new(endpoints, breaker)
    }

    fn half_open(&self, pick: u16, now: Instant) -> Option<u64> {
        let breaker = self.snapshot(now).nth(usize::from(pick))?.breaker?;
        (breaker.phase == Phase::HalfOpen).then_some(breaker.transitions)
    }

    fn phases(&self, now: Instant, told: impl FnMut(Phase)) {
        self.snapshot(now).filter_map(|e| e.breaker).map(|b| b.phase).for_each(told);
    }
}

/// The machines of one instance.
#[derive(Debug)]
pub(crate) struct House<G> {
    pub(crate) machines: RefCell<Machines<G>>,
    /// Whose turn has come, by line and place, until the world tells them.
    pub(crate) woken: RefCell<Vec<(Line, usize)>>,
    plan: Plan,
    seed: u64,
    drawn: Cell<u64>,
}

#[derive(Debug)]
pub(crate) struct Machines<G> {
    pub(crate) gate: G,
    pub(crate) budget: Option<RetryBudget>,
    bulkhead: Option<Bulkhead>,
    timeout: Option<AdaptiveTimeout>,
    pub(crate) counts: Counts,
    pub(crate) events: EventRing,
}

impl Client {
    /// The machines of one instance, all of whose chance comes from `seed`.
    pub(crate) fn build<G: Target>(
        &self,
        endpoints: usize,
        seed: u64,
    ) -> Result<House<G>, Invalid> {
        let budget = self.retry.as_ref().filter(|_| self.budget);
        let machines = Machines {
            gate: G::build(self.circuit_breaker.as_ref(), endpoints)?,
            budget: budget.map(|retry| RetryBudget::new(retry.budget, retry.trickle)),
            bulkhead: self.bulkhead.as_ref().map(Bulkhead::new).transpose()?,
            timeout: self.timeout.clone().map(AdaptiveTimeout::new).transpose()?,
            counts: Counts::default(),
            events: EventRing::new(),
        };
        let plan = Plan {
            deadline: self.deadline,
            retry: self.retry.as_ref().map(Retry::new).transpose()?,
            free_if_unreached: endpoints > 1,
            ..Plan::default()
        };
        Ok(House {
            machines: RefCell::new(machines),
            woken: RefCell::default(),
            plan,
            seed,
            drawn: Cell::new(0),
        })
    }
}

impl<G: Gate> Shared for House<G> {
    type Gate = G;

    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, G>) -> R) -> R {
        let Machines { gate, budget, bulkhead, timeout, counts, events } =
            &mut *self.machines.borrow_mut();
        let mut woken = self.woken.borrow_mut();
        let mut parts = Parts {
            plan: &self.plan,
            limiter: None,
            gate,
            budget: budget.as_mut(),
            bulkhead: bulkhead.as_mut(),
            timeout: timeout.as_mut(),
            counts,
            events,
        };
        parts.advance(now);
        let result = step(parts.reborrow());
        woken.extend(core::iter::from_fn(|| parts.settle(now)));
        result
    }

    fn draw(&self) -> Draw {
        self.drawn.set(self.drawn.get() + 1);
        Draws::nth(self.seed, self.drawn.get())
    }
}
