//! All patterns together, and four of them: what a call costs when nothing goes wrong.

use super::{ANSWERED, BY_HAND, Bar, FLOOR, OURS, Row, TOWER_RESILIENCE, WELL, floor, ours, times};
use crate::{
    by_hand::ByHand, contender::Contender, operation::Operation, ours::Ours, tower_resilience,
};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "full-ready",
        holds: "deadline, rate limit, retry, budget, breaker, bulkhead, learned limit; ready",
        threads: 1,
        bars: &[
            Bar::NoAllocation,
            times(FLOOR, 1.5).aiming(1.2),
            times(BY_HAND, 0.6).aiming(0.45),
            times(TOWER_RESILIENCE, 0.12),
        ],
        contenders: || full(Operation::Ready),
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
                ours(OURS, Ours::four(), WELL, Operation::Ready),
                Contender::new(BY_HAND, ANSWERED, move || {
                    let by_hand = by_hand.clone();
                    async move || by_hand.four(|| Operation::Ready.run()).await
                }),
                tower_resilience::contender(tower_resilience::four(), ANSWERED, Operation::Ready),
            ]
        },
    },
    Row {
        name: "full-pending",
        holds: "as full-ready; the operation is pending once, so that a timer is armed",
        threads: 1,
        bars: &[Bar::NoAllocation, times(BY_HAND, 1.0).aiming(0.6)],
        contenders: || full(Operation::PendingOnce),
    },
    Row {
        name: "full-two-threads",
        holds: "as full-ready; two threads on one policy, ns of each thread",
        threads: 2,
        bars: &[Bar::NoAllocation, times(BY_HAND, 1.0).aiming(0.25)],
        contenders: || full(Operation::Ready),
    },
];

fn full(operation: Operation) -> Vec<Contender> {
    let by_hand = ByHand::new();
    vec![
        floor(operation),
        ours(OURS, Ours::full(), WELL, operation),
        by_hand.contender(ANSWERED, operation),
        tower_resilience::contender(tower_resilience::full(), ANSWERED, operation),
    ]
}
