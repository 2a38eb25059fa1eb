//! Other settings for a policy that is in use: all of them, or none.
//!
//! ```text
//!   kept pattern      goes on under its new settings: counts, an open breaker, who waits, what was learned
//!   added pattern     starts empty; calls that run already mean nothing to it, whatever they hold of one that was removed
//!   removed pattern   is gone; whoever waits there goes on without it
//! ```
//!
//! A part that is shared by handle stays as it is: its own handle gives it other settings, for all who share it, and
//! settings for it here are a mistake.
//!
//! Nothing that runs is cut. A lower limit is reached as calls end, a shorter queue refuses the least urgent first,
//! an open breaker keeps the end of its period, and a retry budget what the new ratio would have let it save.

use std::sync::Arc;

use seawall_core::{
    AdaptiveTimeout, Bulkhead, CircuitBreaker, CircuitBreakerConfig, Instant, Invalid, Plan,
    RateLimiter, Retry, RetryBudget, RetryConfig, Windows,
};

use crate::{Invalids, Policy, PolicyConfig, PolicyMachines};

/// What a reload could not carry over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// The breaker's windows changed kind or size and start empty.
    pub windows_emptied: bool,
}

impl Policy {
    /// Goes on under other settings. [`config`](Self::config) remains what it was built from, and a part that is shared
    /// by handle what it is.
    ///
    /// ```
    /// use seawall::{BulkheadConfig, Policy, PolicyConfig};
    ///
    /// let bulkhead = |n| Some(BulkheadConfig { max_concurrent: n, ..BulkheadConfig::default() });
    /// let config = PolicyConfig { bulkhead: bulkhead(10), ..PolicyConfig::default() };
    /// let policy = Policy::builder("orders").config(config.clone()).build()?;
    /// policy.reload(&PolicyConfig { bulkhead: bulkhead(20), ..config })?;
    /// # Ok::<(), seawall::Invalids>(())
    /// ```
    ///
    /// # Errors
    /// All settings that make no sense, and those of a shared part; then nothing has changed.
    pub fn reload(&self, config: &PolicyConfig) -> Result<Reloaded, Invalids> {
        Invalids::check(self.name(), |found| {
            config.check(found);
            config.check_of_one(found);
            if let Some(handles) = self.0.shared.as_deref() {
                handles.check_settings(config, found);
            }
        })?;
        self.go_on(config).map_err(|invalid| Invalids::one(self.name(), invalid))
    }

    fn go_on(&self, config: &PolicyConfig) -> Result<Reloaded, Invalid> {
        let handles = self.0.shared.as_deref();
        let plan = plan(config)?;
        let now = self.0.clock.now();
        let seed = self.0.shell.draw().below(u64::MAX);
        self.0.limits.set(config.timeout.as_ref());
        // Whoever waits in a line that has gone goes on without it.
        self.0.shell.change((), now, |machines| {
            let reloaded = machines.reload(config, plan, seed, now);
            if handles.is_some_and(|handles| handles.budget.is_some()) {
                machines.budget = None;
            }
            reloaded
        })
    }
}

impl PolicyConfig {
    /// Tells what only a policy for each key can do.
    pub(crate) fn check_of_one(&self, found: &mut dyn FnMut(Invalid)) {
        if let Some(keys) = self.max_keys {
            let expected = "not set in one policy for all calls: `per_key` makes one for each key";
            found(Invalid::new("max_keys", keys, expected));
        }
    }
}

/// What every call does under these settings.
pub(crate) fn plan(config: &PolicyConfig) -> Result<Plan, Invalid> {
    Ok(Plan {
        deadline: config.deadline,
        retry: config.retry.as_ref().map(Retry::new).transpose()?,
        retry_timeouts: config.retry_on.timeout,
        ..Plan::default()
    })
}

impl PolicyMachines {
    pub(crate) fn reload(
        &mut self,
        config: &PolicyConfig,
        plan: Plan,
        seed: u64,
        now: Instant,
    ) -> Result<Reloaded, Invalid> {
        let mut reloaded = Reloaded::default();
        let era = self.era.wrapping_add(1);
        self.era = era;
        match (&mut self.limiter, &config.rate_limit) {
            (Some(limiter), Some(config)) => limiter.reconfigure(config, now)?,
            (limiter, config) => {
                let new = config.as_ref().map(RateLimiter::new).transpose()?;
                *limiter = new.map(|limiter| Box::new(limiter.joining(era, now)));
            }
        }
        match (&mut self.breaker, &config.circuit_breaker) {
            (Some(breaker), Some(config)) => {
                reloaded.windows_emptied = breaker.reconfigure(config, now)? == Windows::Emptied;
            }
            (breaker, config) => {
                let running = self.running;
                let new = |config: &CircuitBreakerConfig| {
                    CircuitBreaker::sized(Arc::new(config.clone()), seed, running)
                        .map(|breaker| breaker.joining(era))
                };
                *breaker = config.as_ref().map(new).transpose()?;
            }
        }
        match (&mut self.bulkhead, &config.bulkhead) {
            (Some(bulkhead), Some(config)) => bulkhead.reconfigure(config, now)?,
            (bulkhead, config) => {
                let new = config.as_ref().map(Bulkhead::new).transpose()?;
                *bulkhead = new.map(|bulkhead| Box::new(bulkhead.joining(era)));
            }
        }
        match (&mut self.timeout, &config.timeout) {
            (Some(timeout), Some(config)) => timeout.reconfigure(config.clone())?,
            (timeout, config) => {
                let new = config.clone().map(AdaptiveTimeout::new).transpose()?;
                *timeout = new.map(|timeout| Box::new(timeout.joining(era)));
            }
        }
        match (&mut self.budget, &config.retry) {
            (Some(budget), Some(retry)) => budget.reconfigure(retry.budget, retry.trickle, now),
            (budget, retry) => {
                let new = |retry: &RetryConfig| {
                    Box::new(RetryBudget::new(retry.budget, retry.trickle).joining(era))
                };
                *budget = retry.as_ref().map(new);
            }
        }
        self.plan = Plan { enforces_learned: self.plan.enforces_learned, ..plan };
        Ok(reloaded)
    }
}
