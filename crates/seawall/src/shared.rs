//! Parts of a policy that are other policies' too: one breaker, bulkhead, rate limit, budget or learned limit for all of
//! them.
//!
//! ```text
//!   visit   lock own ▸ rate limit ▸ breaker ▸ budget ▸ bulkhead ▸ learned limit
//!           ▸ one step of one call ▸ see whose turn has come, everywhere ▸ unlock ▸ wake and tell
//! ```
//!
//! A part is a component: its machine, its wakers and its events live there, behind its own mutex. So whoever waits in a
//! shared line is called up by whichever policy makes room, and a transition is told once, under the part's name.
//!
//! No two threads wait for each other's locks. Each locks its policy's own machines first, then parts in this order, one
//! of each kind; a part is of one kind, and a component that is a part shares nothing itself. The order is that of the
//! fields of [`Handles`].

use std::mem::swap;

use seawall_core::{
    BulkheadConfig, CircuitBreakerConfig, Instant, Invalid, RateLimitConfig, TimeoutConfig,
};

use crate::{
    AdaptiveTimeout, Bulkhead, Clock, Policy, PolicyConfig, PolicyMachines,
    shell::{Lent, News},
};

/// A part of a policy: its own, made from settings, or one that is others' too, given by its handle.
///
/// ```
/// use seawall::{Bulkhead, BulkheadConfig, Policy};
///
/// let pool = Bulkhead::new("connections", BulkheadConfig::default())?;
/// let reads = Policy::builder("reads").bulkhead(&pool).build()?;
/// let writes = Policy::builder("writes").bulkhead(&pool).build()?; // 100 at once, together
/// # Ok::<(), seawall::Invalids>(())
/// ```
#[derive(Clone, Debug)]
pub struct Part<C> {
    own: Option<C>,
    shared: Option<Policy>,
}

impl<C> Part<C> {
    const fn shared(by: Policy) -> Self {
        Self { own: None, shared: Some(by) }
    }

    /// The settings of one's own, or whose it is: one of both.
    pub(crate) fn split(self) -> (Option<C>, Option<Policy>) {
        (self.own, self.shared)
    }
}

/// Where a kind of part comes from.
macro_rules! part {
    ($config:ty $(, $handle:ty)*) => {
        impl From<$config> for Part<$config> {
            fn from(config: $config) -> Self {
                Self { own: Some(config), shared: None }
            }
        }

        $(
            impl From<&$handle> for Part<$config> {
                fn from(handle: &$handle) -> Self {
                    Self::shared(handle.0.clone())
                }
            }
        )*
    };
}

part!(CircuitBreakerConfig, crate::CircuitBreaker);
part!(BulkheadConfig, Bulkhead);
part!(TimeoutConfig, AdaptiveTimeout);
part!(RateLimitConfig, crate::RateLimiter);

/// Whose parts a policy uses; its own where there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handles {
    pub(crate) limiter: Option<Policy>,
    pub(crate) breaker: Option<Policy>,
    pub(crate) budget: Option<Policy>,
    pub(crate) bulkhead: Option<Policy>,
    pub(crate) timeout: Option<Policy>,
}

impl Handles {
    /// All kinds, in the order of their locks.
    fn in_order(&self) -> [Option<&Policy>; 5] {
        let Self { limiter, breaker, budget, bulkhead, timeout } = self;
        [limiter, breaker, budget, bulkhead, timeout].map(Option::as_ref)
    }

    /// Whether anything is shared at all.
    pub(crate) fn any(&self) -> bool {
        self.in_order().iter().any(Option::is_some)
    }

    /// The wanted clock, else that of what is shared.
    pub(crate) fn clock(&self, wanted: Option<Clock>) -> Clock {
        let mut parts = self.in_order().into_iter().flatten();
        wanted.or_else(|| Some(parts.next()?.clock().clone())).unwrap_or_default()
    }

    /// Tells what goes by another clock: its instants would mean nothing to the others.
    pub(crate) fn check_clocks(&self, wanted: Option<&Clock>, found: &mut dyn FnMut(Invalid)) {
        let clock = self.clock(wanted.cloned());
        for part in self.in_order().into_iter().flatten().filter(|part| *part.clock() != clock) {
            let value = format_args!("not that of the shared {}", part.name());
            let expected =
                "one clock for all: give `clock` here and each part's `with_clock` the same";
            found(Invalid::new("clock", value, expected));
        }
    }

    /// Tells what is shared and would never be used.
    pub(crate) fn check_use(&self, config: &PolicyConfig, found: &mut dyn FnMut(Invalid)) {
        if let (Some(budget), None) = (&self.budget, &config.retry) {
            let value = format_args!("shared with {}, and no retries", budget.name());
            found(Invalid::new("retry_budget", value, "beside `retry`: it pays for that"));
        }
    }

    /// Tells settings of what is shared.
    pub(crate) fn check_settings(&self, config: &PolicyConfig, found: &mut dyn FnMut(Invalid)) {
        let PolicyConfig { rate_limit, circuit_breaker, bulkhead, timeout, .. } = config;
        let settings = [
            ("rate_limit", rate_limit.is_some(), &self.limiter),
            ("circuit_breaker", circuit_breaker.is_some(), &self.breaker),
            ("bulkhead", bulkhead.is_some(), &self.bulkhead),
            ("timeout", timeout.is_some(), &self.timeout),
        ];
        for (field, is_set, part) in settings {
            if let (true, Some(part)) = (is_set, part) {
                let value = format_args!("set and shared with {}", part.name());
                let expected = "not set here: `reconfigure` of its handle is for all who share it";
                found(Invalid::new(field, value, expected));
            }
        }
    }

    /// Locks all that is shared, and has the policy's own machines, locked already, take its place for one step.
    #[cold]
    pub(crate) fn lend(&self, own: &mut PolicyMachines) -> Borrowed<'_> {
        let parts = self.in_order().map(|part| part.map(|part| part.0.shell.lend()));
        let mut borrowed = Borrowed(parts);
        borrowed.exchange(own);
        borrowed
    }
}

/// What is shared, locked for one step.
pub(crate) struct Borrowed<'h>([Option<Lent<'h, PolicyMachines>>; 5]);

impl<'h> Borrowed<'h> {
    /// Takes it back and unlocks it. What there is to tell is for when nothing is locked any more.
    #[cold]
    pub(crate) fn give_back(
        mut self,
        own: &mut PolicyMachines,
        now: Instant,
    ) -> Option<Box<[News<'h>]>> {
        self.exchange(own);
        let news = self.0.into_iter().flatten().filter_map(|lent| lent.give_back((), now));
        let news: Box<[_]> = news.collect();
        (!news.is_empty()).then_some(news)
    }

    /// Puts what is shared where the policy has nothing, or back.
    fn exchange(&mut self, own: &mut PolicyMachines) {
        let [limiter, breaker, budget, bulkhead, timeout] = &mut self.0;
        if let Some(lent) = limiter {
            swap(&mut own.limiter, &mut lent.machines().limiter);
        }
        if let Some(lent) = breaker {
            let lent = lent.machines();
            swap(&mut own.breaker, &mut lent.breaker);
            // Who changes tells it, and only breakers do.
            swap(&mut own.events, &mut lent.events);
        }
        if let Some(lent) = budget {
            swap(&mut own.budget, &mut lent.machines().budget);
        }
        if let Some(lent) = bulkhead {
            swap(&mut own.bulkhead, &mut lent.machines().bulkhead);
        }
        if let Some(lent) = timeout {
            let lent = lent.machines();
            // Wherever it is now: what others are answered says nothing of this policy's callee.
            if let Some(timeout) = own.timeout.as_mut().or(lent.timeout.as_mut()) {
                timeout.exchange(&mut own.answered);
            }
            swap(&mut own.timeout, &mut lent.timeout);
        }
    }
}
