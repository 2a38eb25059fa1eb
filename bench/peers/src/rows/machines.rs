//! The core's machines, `now` given as an argument: no shell, no clock, no operation.
//!
//! What peers do besides is theirs: recloser reads a clock only when it is open, failsafe and both budgets lock
//! themselves, governor's is an atomic; and a budget's time cannot be given to it. Latencies are a thousand
//! between 1 and 100 ms, because a histogram is fast where it has just been.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use failsafe::CircuitBreaker as _;
use governor::{RateLimiter, clock, nanos::Nanos};
use hdrhistogram::Histogram;
use seawall::core::{
    CircuitBreaker, CircuitBreakerConfig, End, Instant, Outcome, Rate, Ratio, RetryBudget, Sketch,
    TokenBucket, Window,
};
use tower::retry::budget::{Budget, TpsBudget};
use tower_resilience::retry::RetryBudgetBuilder;

use super::{Bar, OURS, Row, TOWER_RESILIENCE, times};
use crate::{
    by_hand,
    contender::Contender,
    singles::{self, FAILSAFE, GOVERNOR, RECLOSER, TOWER},
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "machine-breaker",
        holds: "a bare circuit breaker, admit and report: five failures in a row",
        threads: 1,
        bars: &[Bar::NoAllocation, times(RECLOSER, 1.0), times(FAILSAFE, 1.0)],
        contenders: || {
            vec![
                breaker(CircuitBreakerConfig::default()),
                recloser(),
                Contender::blocking(FAILSAFE, SUCCESS, || {
                    let breaker = singles::failsafe_machine();
                    move || breaker.call(|| black_box(Ok::<_, ()>(true)))
                }),
            ]
        },
    },
    Row {
        name: "machine-breaker-calls",
        holds: "a bare circuit breaker, admit and report: half of 100 calls, which is recloser's rule",
        threads: 1,
        bars: &[Bar::NoAllocation, times(RECLOSER, 1.0)],
        contenders: || {
            let config = CircuitBreakerConfig {
                failure_rate: Some(Ratio::percent(50)),
                window: Window::Calls(100),
                ..CircuitBreakerConfig::default()
            };
            vec![breaker(config), recloser()]
        },
    },
    Row {
        name: "machine-token-bucket",
        holds: "a bare token bucket, one token taken",
        threads: 1,
        bars: &[Bar::NoAllocation, times(GOVERNOR, 1.0)],
        contenders: || {
            vec![
                Contender::blocking(OURS, SUCCESS, || {
                    let mut now = Instant::ORIGIN;
                    let mut bucket =
                        TokenBucket::new(1_000_000_000, Rate::per_second(1_000_000_000));
                    move || {
                        now = now + STEP;
                        bucket.admit(1, now).map(|()| true)
                    }
                }),
                Contender::blocking(GOVERNOR, SUCCESS, || {
                    let given = Given::default();
                    let limit =
                        RateLimiter::direct_with_clock(singles::wide_quota(), given.clone());
                    move || {
                        given.pass(STEP);
                        limit.check().map(|()| true)
                    }
                }),
            ]
        },
    },
    Row {
        name: "machine-sketch",
        holds: "a bare sketch of latencies, one recorded",
        threads: 1,
        bars: &[Bar::NoAllocation, times(HDR_HISTOGRAM, 1.0)],
        contenders: || {
            vec![
                Contender::blocking(OURS, SUCCESS, || {
                    let (mut sketch, mut now) = (Sketch::new(), Instant::ORIGIN);
                    let mut latencies = latencies();
                    move || {
                        now = now + STEP;
                        sketch.record(latencies(), now);
                        Ok::<_, ()>(true)
                    }
                }),
                Contender::blocking(HDR_HISTOGRAM, SUCCESS, || {
                    let mut histogram = Histogram::<u64>::new_with_bounds(1, 67_000_000_000, 2)
                        .expect("1 ns to 67 s, to a hundredth");
                    let mut latencies = latencies();
                    move || {
                        let nanos = latencies().as_nanos() as u64;
                        histogram.record(nanos).map(|()| true)
                    }
                }),
            ]
        },
    },
    Row {
        name: "machine-budget",
        holds: "a bare retry budget: a first attempt, and every sixteenth time a retry",
        threads: 1,
        bars: &[Bar::NoAllocation, times(TOWER, 1.0), times(TOWER_RESILIENCE, 1.0)],
        contenders: || {
            vec![
                Contender::blocking(OURS, SUCCESS, || {
                    let mut now = Instant::ORIGIN;
                    let mut budget = RetryBudget::new(Ratio::percent(10), false);
                    let mut calls = 0_u64;
                    move || {
                        now = now + STEP;
                        budget.deposit(now);
                        calls += 1;
                        Ok::<_, ()>(!calls.is_multiple_of(16) || budget.charge(now))
                    }
                }),
                Contender::blocking(TOWER, SUCCESS, || {
                    let budget = TpsBudget::default();
                    let mut calls = 0_u64;
                    move || {
                        budget.deposit();
                        calls += 1;
                        Ok::<_, ()>(!calls.is_multiple_of(16) || budget.withdraw())
                    }
                }),
                Contender::blocking(TOWER_RESILIENCE, SUCCESS, || {
                    let budget = RetryBudgetBuilder::new().token_bucket().build();
                    let budget = budget.expect("its own defaults");
                    let mut calls = 0_u64;
                    move || {
                        budget.deposit();
                        calls += 1;
                        Ok::<_, ()>(!calls.is_multiple_of(16) || budget.try_withdraw())
                    }
                }),
            ]
        },
    },
];

fn breaker(config: CircuitBreakerConfig) -> Contender {
    Contender::blocking(OURS, SUCCESS, move || {
        let mut now = Instant::ORIGIN;
        let mut breaker = CircuitBreaker::new(&config).expect("the settings are valid");
        move || {
            now = now + STEP;
            let _ = breaker.advance(now);
            let permit = breaker.admit(now)?;
            let end = End::new(black_box(Outcome::Success), Duration::ZERO);
            Ok::<_, seawall::core::Refusal>(breaker.report(permit, end, now).is_none())
        }
    })
}

fn recloser() -> Contender {
    Contender::blocking(RECLOSER, SUCCESS, || {
        let breaker = by_hand::recloser();
        move || breaker.call(|| black_box(Ok::<_, ()>(true)))
    })
}

fn latencies() -> impl FnMut() -> Duration {
    let some: Vec<Duration> =
        (0..1_024_u64).map(|n| Duration::from_micros(1_000 + n * 7_919 % 99_000)).collect();
    let mut at = 0;
    move || {
        at = (at + 1) % some.len();
        some[at]
    }
}

/// governor's own fake clock advances by a loop that compares and swaps; this one is a number.
#[derive(Clone, Debug, Default)]
pub(super) struct Given(Arc<AtomicU64>);

impl Given {
    /// Time passes. Only ever on one thread.
    pub(super) fn pass(&self, step: Duration) {
        let now = self.0.load(Ordering::Relaxed) + step.as_nanos() as u64;
        self.0.store(now, Ordering::Relaxed);
    }
}

impl clock::Clock for Given {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

/// What passes between two calls.
pub(super) const STEP: Duration = Duration::from_nanos(50);

const SUCCESS: &str = "Ok(true)";
const HDR_HISTOGRAM: &str = "hdrhistogram";
