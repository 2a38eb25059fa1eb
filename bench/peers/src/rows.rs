//! The rows: which contenders do the same work, and which bars ours has to pass.
//!
//! Order, patterns and settings are those of the defaults. Limits are so far away that none is ever met.

use std::time::Duration;

use seawall_core::{CircuitBreaker, CircuitBreakerConfig, End, Instant, Outcome};

use crate::{
    by_hand::{self, ByHand},
    floor::Floor,
    measure::Contender,
    operation::Operation,
    ours::Ours,
    tower_resilience::{self, Stack},
};

/// Contenders that do the same work.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What is called.
    pub(crate) holds: &'static str,
    /// How many threads call at once.
    pub(crate) threads: usize,
    pub(crate) bars: &'static [Bar],
    pub(crate) contenders: fn() -> Vec<Contender>,
}

/// What ours has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    /// Free of allocations, in every round.
    NoAllocation,
    /// At most `bar` times this contender, by medians; where it should end up, if that is lower.
    Times { other: &'static str, bar: f64, aim: Option<f64> },
}

/// All rows, in the order in which they are measured.
pub(crate) const ROWS: [Row; 8] = [
    Row {
        name: "full-ready",
        holds: "deadline, retry, budget, circuit breaker, bulkhead, learned limit; a ready operation",
        threads: 1,
        bars: &[
            Bar::NoAllocation,
            times(FLOOR, 1.5).aiming(1.2),
            times(BY_HAND, 0.6).aiming(0.45),
            times(TOWER_RESILIENCE, 0.12),
        ],
        contenders: || {
            let by_hand = ByHand::new();
            vec![
                floor(Operation::Ready),
                ours(OURS, Ours::full(), Operation::Ready),
                full_by_hand(by_hand, Operation::Ready),
                stack(tower_resilience::full(), Operation::Ready),
            ]
        },
    },
    Row {
        name: "four-ready",
        holds: "circuit breaker, retry, budget, attempt limit; a ready operation",
        threads: 1,
        bars: &[Bar::NoAllocation, times(FLOOR, 1.5).aiming(1.2), times(BY_HAND, 0.6).aiming(0.45)],
        contenders: || {
            let by_hand = ByHand::new();
            vec![
                floor(Operation::Ready),
                ours(OURS, Ours::four(), Operation::Ready),
                Contender::new(BY_HAND, move || {
                    let by_hand = by_hand.clone();
                    async move || by_hand.four(Operation::Ready).await
                }),
                stack(tower_resilience::four(), Operation::Ready),
            ]
        },
    },
    Row {
        name: "full-pending",
        holds: "as full-ready; an operation that is pending once, so that a timer is armed",
        threads: 1,
        bars: &[Bar::NoAllocation, times(BY_HAND, 1.0).aiming(0.6)],
        contenders: || {
            vec![
                floor(Operation::PendingOnce),
                ours(OURS, Ours::full(), Operation::PendingOnce),
                full_by_hand(ByHand::new(), Operation::PendingOnce),
                stack(tower_resilience::full(), Operation::PendingOnce),
            ]
        },
    },
    Row {
        name: "full-two-threads",
        holds: "as full-ready; two threads on one policy, ns of each thread",
        threads: 2,
        bars: &[Bar::NoAllocation, times(BY_HAND, 1.0).aiming(0.25)],
        contenders: || {
            vec![
                floor(Operation::Ready),
                ours(OURS, Ours::full(), Operation::Ready),
                full_by_hand(ByHand::new(), Operation::Ready),
                stack(tower_resilience::full(), Operation::Ready),
            ]
        },
    },
    Row {
        name: "refused-open",
        holds: "as full-ready, the circuit breaker open; beside it, the same stack's own success",
        threads: 1,
        bars: &[Bar::NoAllocation, times(OWN_SUCCESS, 0.7).aiming(0.5)],
        contenders: || {
            vec![
                ours(OWN_SUCCESS, Ours::full(), Operation::Ready),
                ours(OURS, Ours::open(), Operation::Ready),
                full_by_hand(ByHand::open(), Operation::Ready),
                stack(tower_resilience::open(), Operation::Ready),
            ]
        },
    },
    Row {
        name: "refused-full",
        holds: "as full-ready, the bulkhead full; beside it, the same stack's own success",
        threads: 1,
        bars: &[Bar::NoAllocation, times(OWN_SUCCESS, 0.7).aiming(0.5)],
        contenders: || {
            vec![
                ours(OWN_SUCCESS, Ours::full(), Operation::Ready),
                ours(OURS, Ours::crowded(), Operation::Ready),
                full_by_hand(ByHand::crowded(), Operation::Ready),
                stack(tower_resilience::crowded(), Operation::Ready),
            ]
        },
    },
    Row {
        name: "breaker-ready",
        holds: "a circuit breaker alone; a ready operation",
        threads: 1,
        bars: &[Bar::NoAllocation, times(FLOOR, 1.5).aiming(1.2)],
        contenders: || {
            let by_hand = ByHand::new();
            vec![
                floor(Operation::Ready),
                ours(OURS, Ours::breaker(), Operation::Ready),
                Contender::new(BY_HAND, move || {
                    let by_hand = by_hand.clone();
                    async move || by_hand.breaker(Operation::Ready).await
                }),
                stack(tower_resilience::breaker_alone(), Operation::Ready),
            ]
        },
    },
    Row {
        name: "breaker-machine",
        holds: "the bare machine, admit and report, `now` given; recloser reads its own clock, but only when open",
        threads: 1,
        bars: &[Bar::NoAllocation, times(BY_HAND, 1.0)],
        contenders: || {
            vec![
                Contender::blocking(OURS, || {
                    let mut now = Instant::ORIGIN;
                    let config = CircuitBreakerConfig::default();
                    let mut breaker = CircuitBreaker::new(&config).expect("the defaults are valid");
                    move || {
                        now = now + Duration::from_nanos(1);
                        admit_and_report(&mut breaker, now)
                    }
                }),
                Contender::blocking(BY_HAND, || {
                    let breaker = by_hand::breaker();
                    move || breaker.call(|| std::hint::black_box(Ok::<_, ()>(42)))
                }),
            ]
        },
    },
];

/// Limit on a whole call.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);
/// Limit on an attempt where none is learned.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(60);
/// Attempts after the first.
pub(crate) const RETRIES: usize = 3;
/// Places in a bulkhead.
pub(crate) const PLACES: usize = 100;
/// More failures than any of the breakers needs: one of them judges a hundred calls at a time.
pub(crate) const FAILURES_TO_OPEN: usize = 200;

/// The contender that is judged.
pub(crate) const OURS: &str = "seawall";
const FLOOR: &str = "floor";
const BY_HAND: &str = "by hand";
const TOWER_RESILIENCE: &str = "tower-resilience";
const OWN_SUCCESS: &str = "seawall, answered";

const fn times(other: &'static str, bar: f64) -> Bar {
    Bar::Times { other, bar, aim: None }
}

impl Bar {
    const fn aiming(self, at: f64) -> Self {
        match self {
            Self::NoAllocation => self,
            Self::Times { other, bar, .. } => Self::Times { other, bar, aim: Some(at) },
        }
    }
}

fn floor(operation: Operation) -> Contender {
    let floor = Floor::new();
    Contender::new(FLOOR, move || {
        let floor = floor.clone();
        async move || floor.call(operation).await
    })
}

fn ours(name: &'static str, ours: Ours, operation: Operation) -> Contender {
    Contender::new(name, move || {
        let ours = ours.clone();
        async move || ours.call(operation).await
    })
}

fn full_by_hand(by_hand: ByHand, operation: Operation) -> Contender {
    Contender::new(BY_HAND, move || {
        let by_hand = by_hand.clone();
        async move || by_hand.full(operation).await
    })
}

fn stack(stack: impl Stack, operation: Operation) -> Contender {
    Contender::new(TOWER_RESILIENCE, move || {
        let mut stack = stack.clone();
        async move || tower_resilience::call(&mut stack, operation).await
    })
}

fn admit_and_report(breaker: &mut CircuitBreaker, now: Instant) -> bool {
    let _ = breaker.advance(now);
    let Ok(permit) = breaker.admit(now) else { return false };
    let end = End::new(std::hint::black_box(Outcome::Success), Duration::ZERO);
    breaker.report(permit, end, now).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::alone;

    #[test]
    fn all_contenders_do_what_their_row_says() {
        alone(async {
            for operation in [Operation::Ready, Operation::PendingOnce] {
                assert!(Floor::new().call(operation).await.is_ok());
                assert!(Ours::full().call(operation).await.is_ok());
                assert!(Ours::four().call(operation).await.is_ok());
                assert!(Ours::breaker().call(operation).await.is_ok());
                assert!(ByHand::new().full(operation).await.is_ok());
                assert!(ByHand::new().four(operation).await.is_ok());
                assert!(ByHand::new().breaker(operation).await.is_ok());
                let (mut full, mut four) = (tower_resilience::full(), tower_resilience::four());
                assert!(tower_resilience::call(&mut full, operation).await.is_ok());
                assert!(tower_resilience::call(&mut four, operation).await.is_ok());
                let mut breaker = tower_resilience::breaker_alone();
                assert!(tower_resilience::call(&mut breaker, operation).await.is_ok());
            }
        });
        let mut breaker = CircuitBreaker::new(&CircuitBreakerConfig::default()).unwrap();
        assert!(admit_and_report(&mut breaker, Instant::ORIGIN));
    }

    #[test]
    fn refusals_are_those_the_row_names() {
        // What is refused or kept is made outside: a runtime does not start inside another.
        let (open, full) = (Ours::open(), Ours::crowded());
        let (open_by_hand, full_by_hand) = (ByHand::open(), ByHand::crowded());
        let (mut open_stack, mut full_stack) =
            (tower_resilience::open(), tower_resilience::crowded());
        alone(async {
            for (ours, pattern) in [(open, "circuit_breaker"), (full, "bulkhead")] {
                for _ in 0..200 {
                    let refusal = ours.call(Operation::Ready).await.unwrap_err();
                    assert!(matches!(refusal, seawall::Error::Refused(_)), "{refusal}");
                    assert!(refusal.to_string().contains(pattern), "{refusal}");
                }
            }
            for _ in 0..200 {
                let refusal = open_by_hand.full(Operation::Ready).await;
                assert!(matches!(refusal, Err(by_hand::Error::Open)), "{refusal:?}");
                let refusal = full_by_hand.full(Operation::Ready).await;
                assert!(matches!(refusal, Err(by_hand::Error::Full)), "{refusal:?}");
            }
            for _ in 0..20 {
                assert!(tower_resilience::call(&mut open_stack, Operation::Ready).await.is_err());
                assert!(tower_resilience::call(&mut full_stack, Operation::Ready).await.is_err());
            }
        });
    }
}
