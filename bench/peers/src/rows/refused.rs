//! Every refusal of the full stack, beside the same stack's own success.
//!
//! A refusal is the answer under load, so it must be the cheapest. Peers stand here where they have such a refusal:
//! nobody else bounds a queue, tells a hopeless wait, or looks at the deadline before it calls.
//!
//! A budget refuses after an attempt has run and failed. So there it is the difference to a failure that nobody
//! wants to repeat that is judged; both keep a history of the attempt, which is allocated.

use seawall::Algorithm;
use tower_resilience::ratelimiter::WindowType;

use super::{Bar, OURS, Row, WELL, failed, ours, refused, times};
use crate::{
    by_hand::ByHand,
    contender::Contender,
    operation::Operation::{Failing, Ready},
    ours::{Ours, full, wide},
    tower_resilience as peer,
};

const OWN_SUCCESS: &str = "seawall, answered";
const NOT_RETRIED: &str = "seawall, no retry";

pub(super) const ROWS: &[Row] = &[
    row("refused-open", "as full-ready, the circuit breaker open", || {
        let mut row = beside_success(Ours::full(), Ours::open(), "CircuitBreaker, reason: Open");
        row.push(ByHand::open().contender("Err(Open)", Ready));
        row.push(peer::contender(peer::open(), "OpenCircuit", Ready));
        row
    }),
    row("refused-full", "as full-ready, no place in the bulkhead, and a queue of 0", || {
        let mut row = beside_success(Ours::full(), Ours::crowded(), "Bulkhead, reason: Full");
        row.push(ByHand::crowded().contender("Err(Full)", Ready));
        row.push(peer::contender(peer::crowded(), "Bulkhead", Ready));
        row
    }),
    row("refused-queue-full", "as full-ready, no place in the bulkhead, 200 in its queue", || {
        beside_success(Ours::full(), Ours::crowded_queue(), "Bulkhead, reason: Full")
    }),
    row("refused-hopeless", "as full-ready, so many waiting that the deadline comes first", || {
        beside_success(Ours::full(), Ours::hopeless(), "Bulkhead, reason: Hopeless")
    }),
    row("refused-token-bucket", "as full-ready, the rate limit's bucket empty", || {
        let mut row = limited(Algorithm::TokenBucket);
        row.push(ByHand::limited().contender("Err(Limited)", Ready));
        let limited = peer::limited(peer::token_bucket(peer::narrow()));
        row.push(peer::contender(limited, "RateLimited", Ready));
        row
    }),
    row("refused-window", "as full-ready, the rate limit an exact sliding window, full", || {
        let mut row = limited(Algorithm::SlidingWindow);
        let limited = peer::limited(peer::window(peer::narrow(), WindowType::SlidingLog));
        row.push(peer::contender(limited, "RateLimited", Ready));
        row
    }),
    row("refused-leaky-bucket", "as full-ready, the rate limit a leaky bucket, full", || {
        limited(Algorithm::LeakyBucket)
    }),
    row("refused-shaper", "as full-ready, the rate limit a shaper, its queue full", || {
        limited(Algorithm::Shaper)
    }),
    row("refused-late", "as full-ready, by a caller whose deadline has passed", || {
        let late = Ours::full();
        let end = refused("Deadline, reason: TooLate");
        let ended = late.ended(end.counted);
        let late = Contender::new(OURS, end.printed, move || {
            let late = late.clone();
            async move || late.call_too_late(Ready).await
        });
        vec![ours(OWN_SUCCESS, Ours::full(), WELL, Ready), late.counting(ended)]
    }),
    Row {
        name: "refused-budget",
        holds: "as full-ready; one attempt runs, fails, and the budget refuses the retry",
        threads: 1,
        bars: &[Bar::Above { base: NOT_RETRIED, other: OWN_SUCCESS, bar: 0.7 }],
        contenders: || {
            let once = Ours::exhausted();
            let end = failed("stopped: Some(NotRepeatable)");
            let ended = once.ended(end.counted);
            let once = Contender::new(NOT_RETRIED, end.printed, move || {
                let once = once.clone();
                async move || once.call_once(Failing).await
            });
            let end = failed("RetryBudget, reason: Exhausted");
            vec![
                ours(OWN_SUCCESS, Ours::full(), WELL, Ready),
                once.counting(ended),
                ours(OURS, Ours::exhausted(), end, Failing),
            ]
        },
    },
];

const fn row(name: &'static str, holds: &'static str, contenders: fn() -> Vec<Contender>) -> Row {
    const BARS: &[Bar] = &[Bar::NoAllocation, times(OWN_SUCCESS, 0.7).aiming(0.5)];
    Row { name, holds, threads: 1, bars: BARS, contenders }
}

fn beside_success(success: Ours, bad: Ours, printed: &'static str) -> Vec<Contender> {
    vec![ours(OWN_SUCCESS, success, WELL, Ready), ours(OURS, bad, refused(printed), Ready)]
}

fn limited(algorithm: Algorithm) -> Vec<Contender> {
    let success = Ours::with(full(wide(algorithm)));
    beside_success(success, Ours::limited(algorithm), "RateLimit, reason: Limited")
}
