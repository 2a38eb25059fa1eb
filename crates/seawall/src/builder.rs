//! Building a policy: which patterns, how set, on which clock.

use std::{sync::Arc, time::Duration};

use seawall_core::{
    AdaptiveTimeout, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Counts,
    EventRing, Instant, Invalid, Plan, RateLimitConfig, RateLimiter, RetryBudget, RetryConfig,
    TimeoutConfig,
};

use crate::{
    AnyKey, Clock, Invalids, Part, PerKeyBuilder, Policy, PolicyConfig, PolicyMachines, RetryOn,
    attempt::KeptLimits,
    name::check_name,
    observe::{Stream, Teller},
    policy::Inner,
    pooled::Pool,
    reload::plan,
    shared::Handles,
    shell::{Shell, random_seed},
};

/// Builds a [`Policy`]. Decide, in this order: how long a caller can wait ([`deadline`](Self::deadline)); how many calls in
/// how much time ([`rate_limit`](Self::rate_limit)); whether the operation may run twice ([`retry`](Self::retry)); when to
/// stop calling ([`circuit_breaker`](Self::circuit_breaker)); how many at once ([`bulkhead`](Self::bulkhead)); how long one
/// attempt may take ([`timeout`](Self::timeout)). The order of the lines does not matter.
#[derive(Clone, Debug)]
#[must_use = "nothing is built before `build`"]
pub struct PolicyBuilder {
    name: Arc<str>,
    config: PolicyConfig,
    clock: Option<Clock>,
    seed: Option<u64>,
    stream: Option<Stream>,
    enforces_learned: bool,
    shared: Handles,
}

impl PolicyBuilder {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            config: PolicyConfig::default(),
            clock: None,
            seed: None,
            stream: None,
            enforces_learned: false,
            shared: Handles::default(),
        }
    }

    /// Limits the whole call, waits included. More than 0; without this line there is no limit.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = Some(deadline);
        self
    }

    /// Limits how many calls pass in how much time; retries too, if [`limit_each_attempt`](RateLimitConfig::limit_each_attempt).
    pub fn rate_limit(mut self, rate_limit: impl Into<Part<RateLimitConfig>>) -> Self {
        (self.config.rate_limit, self.shared.limiter) = rate_limit.into().split();
        self
    }

    /// Repeats attempts that failed.
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.config.retry = Some(retry);
        self
    }

    /// Retries are paid for by this account, which may be others' too, and not by one of the policy's own. Only beside
    /// [`retry`](Self::retry).
    pub fn retry_budget(mut self, budget: &crate::RetryBudget) -> Self {
        self.shared.budget = Some(budget.0.clone());
        self
    }

    /// What is retried; without this line, everything another attempt may mend. Who asks for what:
    /// [`PolicyConfig::retry_on`].
    pub fn retry_on(mut self, retry_on: RetryOn) -> Self {
        self.config.retry_on = retry_on;
        self
    }

    /// Stops calling what fails.
    pub fn circuit_breaker(
        mut self,
        circuit_breaker: impl Into<Part<CircuitBreakerConfig>>,
    ) -> Self {
        (self.config.circuit_breaker, self.shared.breaker) = circuit_breaker.into().split();
        self
    }

    /// Limits how many calls run at once, and how many wait for a place.
    pub fn bulkhead(mut self, bulkhead: impl Into<Part<BulkheadConfig>>) -> Self {
        (self.config.bulkhead, self.shared.bulkhead) = bulkhead.into().split();
        self
    }

    /// Limits each attempt.
    pub fn timeout(mut self, timeout: impl Into<Part<TimeoutConfig>>) -> Self {
        (self.config.timeout, self.shared.timeout) = timeout.into().split();
        self
    }

    /// All settings at once, in place of those above and of all handles.
    pub fn config(mut self, config: PolicyConfig) -> Self {
        (self.config, self.shared) = (config, Handles::default());
        self
    }

    /// Uses this clock instead of the fast one.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Fixes all random numbers.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Tells transitions on this stream as well as others do.
    pub fn stream(mut self, stream: Stream) -> Self {
        self.stream = Some(stream);
        self
    }

    /// Lets the learned limit cut although nothing follows.
    pub(crate) const fn enforcing(mut self) -> Self {
        self.enforces_learned = true;
        self
    }

    /// A policy for each key instead of one: each with its own rate limit, budget, breaker and bulkhead. What the
    /// limits are is said once, for all of them.
    pub const fn per_key<K: AnyKey>(self) -> PerKeyBuilder<K> {
        PerKeyBuilder::new(self)
    }

    /// The policy.
    ///
    /// # Errors
    /// All settings that make no sense, a name that is none, and parts that go by other clocks.
    pub fn build(self) -> Result<Policy, Invalids> {
        Invalids::check(&self.name, |found| {
            self.check(found);
            self.config.check(found);
            self.config.check_of_one(found);
        })?;
        let name = self.name.clone();
        self.checked().map_err(|invalid| Invalids::one(&name, invalid))
    }

    fn checked(self) -> Result<Policy, Invalid> {
        let Built { name, config, plan, clock, seed, stream, teller, shared } = self.parts()?;
        let mut machines = PolicyMachines::new(&config, plan, seed, RUNNING_SEEN)?;
        machines.budget = machines.budget.filter(|_| shared.budget.is_none());
        let shell = Shell::new(machines, teller, Some(seed));
        // Threads belong to the places they fill.
        let pool = match &shared.bulkhead {
            Some(part) => part.0.pool.clone(),
            None => Arc::new(Pool::new(name.clone())),
        };
        let limits = KeptLimits::new(config.timeout.as_ref());
        let shared = shared.any().then(|| Box::new(shared));
        Ok(Policy(Arc::new(Inner { name, config, clock, stream, shell, pool, limits, shared })))
    }

    /// Tells what makes no sense beside the settings.
    pub(crate) fn check(&self, found: &mut dyn FnMut(Invalid)) {
        check_name(&self.name, found);
        self.shared.check_clocks(self.clock.as_ref(), found);
        self.shared.check_use(&self.config, found);
    }

    /// Whose it is.
    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its settings.
    pub(crate) const fn settings(&self) -> &PolicyConfig {
        &self.config
    }

    /// Whether a part of it is others' too.
    pub(crate) fn shares(&self) -> bool {
        self.shared.any()
    }

    /// What there is of a policy beside its machines.
    pub(crate) fn parts(self) -> Result<Built, Invalid> {
        let Self { name, config, clock, seed, stream, enforces_learned, shared } = self;
        let stream = stream.unwrap_or_default();
        Ok(Built {
            plan: Plan { enforces_learned, ..plan(&config)? },
            config,
            clock: shared.clock(clock),
            seed: seed.unwrap_or_else(random_seed),
            teller: Teller::new(name.clone(), Arc::new([]), &stream),
            stream,
            name,
            shared,
        })
    }
}

/// What was asked for, with what was not said filled in.
pub(crate) struct Built {
    pub(crate) name: Arc<str>,
    pub(crate) config: PolicyConfig,
    pub(crate) plan: Plan,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) stream: Stream,
    pub(crate) teller: Teller,
    pub(crate) shared: Handles,
}

impl PolicyMachines {
    /// Machines that have seen nothing. The breaker looks at `running` calls that run.
    pub(crate) fn new(
        config: &PolicyConfig,
        plan: Plan,
        seed: u64,
        running: u8,
    ) -> Result<Self, Invalid> {
        let breaker = |config: &CircuitBreakerConfig| {
            CircuitBreaker::sized(Arc::new(config.clone()), seed, running)
        };
        let budget = |retry: &RetryConfig| RetryBudget::new(retry.budget, retry.trickle);
        Ok(Self {
            plan,
            running,
            era: 0,
            breaker: config.circuit_breaker.as_ref().map(breaker).transpose()?,
            budget: config.retry.as_ref().map(budget).map(Box::new),
            limiter: config.rate_limit.as_ref().map(RateLimiter::new).transpose()?.map(Box::new),
            bulkhead: config.bulkhead.as_ref().map(Bulkhead::new).transpose()?.map(Box::new),
            timeout: config.timeout.clone().map(AdaptiveTimeout::new).transpose()?.map(Box::new),
            answered: Instant::ORIGIN,
            counts: Counts::default(),
            events: EventRing::new(),
        })
    }

    /// The same machines for one of many keys: without what is of all of them.
    pub(crate) fn for_one(&self) -> Self {
        Self {
            plan: self.plan.clone(),
            running: self.running,
            era: self.era,
            breaker: self.breaker.clone(),
            budget: self.budget.clone(),
            limiter: self.limiter.clone(),
            bulkhead: self.bulkhead.clone(),
            timeout: None,
            answered: Instant::ORIGIN,
            counts: Counts::default(),
            events: EventRing::new(),
        }
    }
}

/// Running calls that a breaker looks at.
const RUNNING_SEEN: u8 = 64;
