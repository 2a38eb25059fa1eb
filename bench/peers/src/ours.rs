//! seawall: the policies of the rows, with default settings where nothing else is said.

use std::{future::Future, time::Duration};

use seawall::{
    Algorithm, BulkheadConfig, CircuitBreakerConfig, Error, Policy, PolicyConfig, Rate,
    RateLimitConfig, Ratio, RetryConfig, TimeoutConfig, core::Tally,
};

use crate::{
    measure::{alone, begin_and_keep},
    operation::{Broken, Operation, Running},
    rows::{DEADLINE, FAILURES_TO_OPEN, PATIENCE},
};

/// A policy that is called as its users call it.
#[derive(Clone, Debug)]
pub(crate) struct Ours(Policy);

impl Ours {
    /// Every pattern there is.
    pub(crate) fn full() -> Self {
        Self::with(full(wide(Algorithm::TokenBucket)))
    }

    /// Circuit breaker, retry, budget, attempt limit.
    pub(crate) fn four() -> Self {
        let full = full(RateLimitConfig::default());
        Self::with(PolicyConfig { deadline: None, rate_limit: None, bulkhead: None, ..full })
    }

    /// What `config` says.
    pub(crate) fn with(config: PolicyConfig) -> Self {
        Self(Policy::builder("ours").config(config).build().expect("the settings are valid"))
    }

    /// Every pattern, and the breaker open.
    pub(crate) fn open() -> Self {
        let open_for = PATIENCE;
        let breaker = CircuitBreakerConfig { open_for, ..CircuitBreakerConfig::default() };
        let full = full(wide(Algorithm::TokenBucket));
        let ours = Self::with(PolicyConfig { circuit_breaker: Some(breaker), ..full });
        for _ in 0..FAILURES_TO_OPEN {
            drop(alone(ours.call_once(Operation::Failing)));
        }
        ours
    }

    /// Every pattern, the bulkhead's only place taken, and nobody may wait.
    pub(crate) fn crowded() -> Self {
        Self::prepared(with_one_place(0), |ours| {
            ours.begin(Operation::Hanging);
        })
    }

    /// Every pattern, the bulkhead's only place taken, and every place to wait in.
    pub(crate) fn crowded_queue() -> Self {
        let queue = BulkheadConfig::default().max_queue;
        Self::prepared(with_one_place(queue), |ours| while ours.begin(Operation::Hanging) {})
    }

    /// Every pattern, the bulkhead's only place taken, and so many waiting that the deadline comes first.
    pub(crate) fn hopeless() -> Self {
        let queue = BulkheadConfig::default().max_queue;
        Self::prepared(with_one_place(queue), |ours| {
            // The bulkhead believes twenty completions: a hundred waiters then stand for three seconds.
            for _ in 0..20 {
                let slow = || async {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    Ok::<_, Broken>(())
                };
                alone(ours.0.run(slow)).expect("it only sleeps");
            }
            for _ in 0..=100 {
                ours.begin(Operation::Hanging);
            }
        })
    }

    /// Every pattern, and the rate limit used up.
    pub(crate) fn limited(algorithm: Algorithm) -> Self {
        let used_up = match algorithm {
            Algorithm::SlidingWindow => {
                RateLimitConfig { limit: Some(1), window: Some(PATIENCE), ..wide(algorithm) }
            }
            _ => {
                let rate = Rate::new(1, PATIENCE / 2);
                RateLimitConfig { capacity: Some(1), rate, ..wide(algorithm) }
            }
        };
        // One takes what there is, and one more a shaper's only place to wait in.
        Self::prepared(full(used_up), |ours| {
            for _ in 0..2 {
                ours.begin(Operation::Hanging);
            }
        })
    }

    /// Every pattern, no retry earned nor left, and a breaker that failures do not open.
    pub(crate) fn exhausted() -> Self {
        let base_delay = Duration::from_millis(1);
        let retry = RetryConfig { budget: Ratio::ZERO, base_delay, ..RetryConfig::default() };
        let failures = u32::MAX;
        let breaker = CircuitBreakerConfig { failures, ..CircuitBreakerConfig::default() };
        let full = full(wide(Algorithm::TokenBucket));
        let ours =
            Self::with(PolicyConfig { retry: Some(retry), circuit_breaker: Some(breaker), ..full });
        // One call spends the three retries that a budget begins with.
        drop(alone(ours.call(|| Operation::Failing.run())));
        ours
    }

    /// A call. Whoever makes one brings a closure of its own, as users do: so each has code of its own, made for it.
    pub(crate) fn call(
        &self,
        operation: impl FnMut() -> Running,
    ) -> impl Future<Output = Result<u64, Error<Broken>>> {
        self.0.run(operation)
    }

    /// A call that must not be repeated.
    pub(crate) fn call_once(
        &self,
        operation: Operation,
    ) -> impl Future<Output = Result<u64, Error<Broken>>> {
        self.0.call().no_retry().run(move || operation.run())
    }

    /// A call of somebody who has no time left.
    pub(crate) fn call_too_late(
        &self,
        operation: Operation,
    ) -> impl Future<Output = Result<u64, Error<Broken>>> {
        self.0.call().deadline(Duration::ZERO).run(move || operation.run())
    }

    /// Tells how many calls have ended so.
    pub(crate) fn ended(&self, so: fn(&Tally) -> u64) -> impl Fn() -> u64 + use<> {
        let policy = self.0.clone();
        move || so(&policy.counts().calls)
    }

    /// The policy itself.
    pub(crate) const fn policy(&self) -> &Policy {
        &self.0
    }

    /// Whether a call now runs or waits, for ever.
    fn begin(&self, operation: Operation) -> bool {
        let ours = self.clone();
        begin_and_keep(async move { ours.call(|| operation.run()).await }).is_none()
    }

    /// What patient calls leave behind is met by one that is not: a deadline ends waits, and they are to last.
    fn prepared(config: PolicyConfig, prepare: impl FnOnce(&Self)) -> Self {
        let patient = PolicyConfig { deadline: Some(PATIENCE), ..config.clone() };
        let ours = Self::with(patient);
        prepare(&ours);
        ours.0.reload(&config).expect("the settings are valid");
        ours
    }
}

/// Every pattern, with this rate limit.
pub(crate) fn full(rate_limit: RateLimitConfig) -> PolicyConfig {
    PolicyConfig {
        deadline: Some(DEADLINE),
        rate_limit: Some(rate_limit),
        retry: Some(RetryConfig::default()),
        circuit_breaker: Some(CircuitBreakerConfig::default()),
        bulkhead: Some(BulkheadConfig::default()),
        timeout: Some(TimeoutConfig::default()),
        ..PolicyConfig::default()
    }
}

/// A limit that no caller here reaches: fifty calls a microsecond.
pub(crate) fn wide(algorithm: Algorithm) -> RateLimitConfig {
    let limit = RateLimitConfig { algorithm, ..RateLimitConfig::default() };
    match algorithm {
        Algorithm::SlidingWindow => {
            let window = Some(Duration::from_micros(20));
            RateLimitConfig { limit: Some(1_000), window, ..limit }
        }
        _ => {
            let rate = Some(Rate::per_second(1_000_000_000_000));
            RateLimitConfig { capacity: Some(1_000_000_000), rate, ..limit }
        }
    }
}

fn with_one_place(max_queue: u32) -> PolicyConfig {
    let bulkhead = BulkheadConfig {
        max_concurrent: 1,
        max_queue,
        max_wait: PATIENCE,
        ..BulkheadConfig::default()
    };
    PolicyConfig { bulkhead: Some(bulkhead), ..full(wide(Algorithm::TokenBucket)) }
}
