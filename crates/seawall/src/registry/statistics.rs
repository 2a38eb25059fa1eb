//! What a policy shows of itself: its patterns, each in the section of its kind, and how its calls ended. Of one for each
//! key, what is of all of them: how full it is, how calls ended, and the learned limit.

use crate::{
    AnyKey, PerKey, Policy,
    snapshot::{BulkheadStats, CircuitBreakerStats, Observed, Snapshot},
};

impl Observed for Policy {
    fn observe(&self, snapshot: &mut Snapshot) {
        self.observe_patterns(snapshot);
        snapshot.policies.insert(self.name().to_string(), self.counts().into());
    }
}

impl<K: AnyKey> Observed for PerKey<K> {
    fn observe(&self, snapshot: &mut Snapshot) {
        let name = self.name().to_string();
        let (full, counts, timeout) = self.seen();
        if let Some(timeout) = timeout {
            snapshot.adaptive_timeouts.insert(name.clone(), timeout.snapshot().into());
        }
        snapshot.per_key.insert(name.clone(), full.into());
        snapshot.policies.insert(name, counts.into());
    }
}

impl Policy {
    /// Its statistics at one moment, each figure under its name in the section of its kind: what
    /// [`Registry::snapshot`](crate::Registry::snapshot) shows of it. A part that is shared by handle is shown by the
    /// handle.
    ///
    /// ```
    /// use seawall::{CircuitBreakerConfig, Override, Policy};
    ///
    /// let orders = Policy::builder("orders").circuit_breaker(CircuitBreakerConfig::default()).build()?;
    /// orders.force(Override::open("the database moves"));
    /// let said = orders.snapshot().circuit_breakers["orders"].overridden.clone();
    /// assert_eq!(said.map(|said| said.reason), Some("the database moves".to_owned()));
    /// # Ok::<(), seawall::Invalids>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::taken_now(self.clock());
        self.observe(&mut snapshot);
        snapshot
    }

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
