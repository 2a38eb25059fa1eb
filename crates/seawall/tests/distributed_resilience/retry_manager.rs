//! Retry: the delays, the budget, which answers are repeated, and for whom none is.

use std::{cell::RefCell, future::ready, sync::atomic::AtomicU32, sync::atomic::Ordering};

use seawall::{
    Error, Jitter, Ratio, Status,
    core::{Pattern, Reason, Stopped},
    guide::{RetryBudget, RetryConfig, RetryManager, RetryStrategy},
};
use tokio::time::Instant;

use crate::{Down, MS, SECOND, clock};

/// Without chance.
fn exact() -> RetryConfig {
    RetryConfig { jitter: Jitter::Fraction(Ratio::ZERO), ..RetryConfig::default() }
}

fn manager(config: RetryConfig) -> RetryManager {
    RetryManager::with_clock("quotes", config, clock()).expect("the settings make sense")
}

/// The pauses between the attempts of a call that never ends well, in milliseconds.
async fn pauses(config: RetryConfig) -> Vec<u128> {
    let started = RefCell::new(Vec::new());
    let answer = manager(config)
        .run(|| {
            started.borrow_mut().push(Instant::now());
            ready(Err::<(), _>(Down))
        })
        .await;
    assert!(matches!(answer, Err(Error::Failed(Down, _))), "its own last error");
    let started = started.into_inner();
    started.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect()
}

/// With as many retries as the cold allowance would not pay for.
fn paid(config: RetryConfig, max_retries: u32) -> RetryConfig {
    RetryConfig { max_retries, budget: Ratio::percent(1_000), ..config }
}

#[tokio::test(start_paused = true)]
async fn delays_double() {
    assert_eq!(pauses(exact()).await, [100, 200, 400]);
}

#[tokio::test(start_paused = true)]
async fn the_fourth_delay_is_800_ms() {
    assert_eq!(pauses(paid(exact(), 4)).await, [100, 200, 400, 800]);
}

#[tokio::test(start_paused = true)]
async fn no_delay_is_longer_than_the_cap_jitter_included() {
    let config = RetryConfig { max_delay: 300 * MS, ..RetryConfig::default() };
    let pauses = pauses(paid(config, 10)).await;
    assert!(pauses.iter().all(|pause| *pause <= 300), "{pauses:?}");
    let capped = &pauses[3..];
    assert!(capped.iter().any(|pause| *pause != capped[0]), "scattered at the cap too: {pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn jitter_is_half_on_either_side() {
    let mut seen = Vec::new();
    for _ in 0..50 {
        seen.push(pauses(RetryConfig { max_retries: 1, ..RetryConfig::default() }).await[0]);
    }
    assert!(seen.iter().all(|pause| (50..=150).contains(pause)), "{seen:?}");
    assert!(seen.iter().any(|pause| *pause < 90) && seen.iter().any(|pause| *pause > 110));
}

#[tokio::test(start_paused = true)]
async fn linear_and_fibonacci_delays() {
    let linear = RetryConfig { strategy: RetryStrategy::Linear, ..exact() };
    assert_eq!(pauses(paid(linear, 4)).await, [100, 200, 300, 400]);
    let fibonacci = RetryConfig { strategy: RetryStrategy::Fibonacci, ..exact() };
    assert_eq!(pauses(paid(fibonacci, 5)).await, [100, 200, 300, 500, 800]);
}

#[tokio::test(start_paused = true)]
async fn it_stops_at_the_first_success() {
    let calls = AtomicU32::new(0);
    let answer = manager(exact())
        .run(|| ready(if calls.fetch_add(1, Ordering::Relaxed) < 2 { Err(Down) } else { Ok(7) }))
        .await;
    assert_eq!((answer.unwrap(), calls.into_inner()), (7, 3));
}

#[tokio::test(start_paused = true)]
async fn after_three_retries_the_last_error_comes_back_with_what_was_tried() {
    let calls = AtomicU32::new(0);
    let error = manager(exact())
        .run(|| ready(Err::<(), _>(calls.fetch_add(1, Ordering::Relaxed))))
        .await
        .unwrap_err();
    assert_eq!(error.history().attempts().len(), 4);
    assert_eq!(error.history().stopped(), Some(Stopped::MaxRetries));
    assert_eq!(error.into_failed(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn retries_are_a_tenth_of_the_calls_and_three() {
    let manager = manager(exact());
    for _ in 0..200 {
        let _ = manager.run(|| ready(Err::<(), _>(Down))).await;
    }
    let seen = manager.budget().snapshot();
    assert_eq!(seen.first_attempts, 200, "no first attempt is refused");
    assert!((20..=23).contains(&seen.retries), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_is_said_and_never_refuses_a_first_attempt() {
    let manager = manager(RetryConfig { budget: Ratio::ZERO, ..exact() });
    let first = manager.run(|| ready(Err::<(), _>(Down))).await.unwrap_err();
    assert_eq!(first.history().attempts().len(), 4, "the cold allowance");
    let error = manager.run(|| ready(Err::<(), _>(Down))).await.unwrap_err();
    assert_eq!(error.history().attempts().len(), 1);
    let Some(Stopped::Refused(refusal)) = error.history().stopped() else { panic!("{error:?}") };
    assert_eq!((refusal.by, refusal.reason), (Pattern::RetryBudget, Reason::Exhausted));
    assert_eq!(manager.run(|| ready(Ok::<_, Down>(7))).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_budgets_figures_are_those_the_guide_prints() {
    let manager = manager(RetryConfig { max_retries: 1, ..exact() });
    for call in 0..1_000 {
        let failing = AtomicU32::new(u32::from(call % 22 == 0 && call < 45 * 22));
        let answer = manager
            .run(|| ready(if failing.swap(0, Ordering::Relaxed) == 1 { Err(Down) } else { Ok(()) }))
            .await;
        assert!(answer.is_ok());
    }
    let seen = manager.budget().snapshot();
    assert_eq!((seen.first_attempts, seen.retries, seen.within_budget), (1_000, 45, true));
}

#[tokio::test(start_paused = true)]
async fn several_may_share_one_budget() {
    let budget = RetryBudget::with_clock("database", Ratio::percent(10), false, clock()).unwrap();
    let [reads, writes] =
        ["reads", "writes"].map(|name| RetryManager::paid_by(name, exact(), &budget).unwrap());
    let _ = reads.run(|| ready(Err::<(), _>(Down))).await;
    let error = writes.run(|| ready(Err::<(), _>(Down))).await.unwrap_err();
    assert_eq!(error.history().attempts().len(), 1, "the other has spent it");
}

#[derive(Debug)]
struct Response(u16);

impl Status for Response {
    fn status(&self) -> Option<u16> {
        Some(self.0)
    }
}

/// How often a call is made that is always answered with this status.
async fn attempts(status: u16) -> u32 {
    let calls = AtomicU32::new(0);
    let manager = manager(exact());
    let by_status = manager.on_status::<Response, Response>(&[500, 502, 503, 504]);
    let answer = by_status
        .run(|| {
            calls.fetch_add(1, Ordering::Relaxed);
            ready(Ok(Response(status)))
        })
        .await;
    assert_eq!(answer.expect("the answer itself").0, status);
    calls.into_inner()
}

#[tokio::test(start_paused = true)]
async fn five_hundreds_are_retried_four_hundreds_are_not() {
    for (status, expected) in
        [(500, 4), (502, 4), (503, 4), (504, 4), (501, 1), (400, 1), (404, 1), (200, 1)]
    {
        assert_eq!(attempts(status).await, expected, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_pauses_too() {
    let manager = manager(paid(exact(), 10));
    let begun = Instant::now();
    let call = manager.call().deadline(SECOND);
    let error = call.run(|| ready(Err::<(), _>(Down))).await.unwrap_err();
    assert_eq!(error.history().attempts().len(), 4, "at 0, 100, 300 and 700 ms");
    assert_eq!(error.history().stopped(), Some(Stopped::Deadline));
    assert_eq!(begun.elapsed(), 700 * MS, "a pause that ends too late is not made");
}
