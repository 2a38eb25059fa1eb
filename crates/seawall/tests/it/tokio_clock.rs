//! On tokio's clock a paused runtime moves the policy's time too.

use std::{
    cell::Cell,
    future::{Future, pending, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Clock, Error, Policy, RetryConfig, TimeoutConfig,
    core::{Limit, Phase},
};
use tokio::time::Instant;

use crate::world::{MS, SECOND, assert_nothing_is_left, exact_retry, poll};

fn policy() -> Policy {
    Policy::builder("orders")
        .deadline(2 * SECOND)
        .retry(exact_retry())
        .circuit_breaker(CircuitBreakerConfig::default())
        .timeout(TimeoutConfig { attempt: 900 * MS, ..TimeoutConfig::default() })
        .clock(Clock::tokio())
        .build()
        .expect("the settings make sense")
}

#[tokio::test(start_paused = true)]
async fn waits_and_limits_follow_a_paused_runtime() {
    let (policy, begun) = (policy(), Instant::now());
    let mut runs = Vec::new();
    let ended = policy
        .run(|| {
            runs.push(begun.elapsed());
            async { Err::<(), _>(()) }
        })
        .await;
    assert!(ended.is_err());
    assert_eq!(runs, [Duration::ZERO, 100 * MS, 300 * MS, 700 * MS]);

    let begun = Instant::now();
    let ended = policy.run(pending::<Result<(), ()>>).await;
    // Cut at 900, again at 1 900; what is left would end after the deadline.
    let Err(Error::TimedOut(late)) = ended else { panic!("{ended:?}") };
    assert!(begun.elapsed() <= 2 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(late.history.attempts()[0].took, 900 * MS);
    assert_eq!(late.limit, Limit::Attempt);
    assert_nothing_is_left(&policy);
}

#[tokio::test(start_paused = true)]
async fn the_open_period_ends_when_a_paused_runtime_is_advanced() {
    let policy = policy();
    for _ in 0..5 {
        let _ = policy.call().no_retry().run(async || Err::<(), _>(())).await;
    }
    tokio::time::advance(60 * SECOND - MS).await;
    assert_eq!(policy.phase(), Some(Phase::Open));
    tokio::time::advance(MS).await;
    assert_eq!(policy.phase(), Some(Phase::HalfOpen));
}

#[tokio::test(start_paused = true)]
async fn the_clock_shows_what_a_paused_runtime_was_advanced_by() {
    let policy = policy();
    let clock = policy.clock().clone();
    let before = clock.now();
    tokio::time::advance(3 * SECOND).await;
    assert_eq!(clock.now().since(before), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_while_we_stood_still_is_read_first() {
    let policy = policy();
    let answered = Cell::new(false);
    let answer = || if answered.get() { Poll::Ready(Ok::<_, ()>(7)) } else { Poll::Pending };
    let mut call = pin!(policy.call().no_retry().run(|| poll_fn(|_| answer())));
    assert!(poll(&mut call).is_none());
    // Its limit of 900 ms has passed, and whoever reads the answer has had no turn yet.
    tokio::time::advance(1_400 * MS).await;
    assert!(poll(&mut call).is_none(), "our lateness is not the callee's");
    answered.set(true);
    assert!(matches!(poll(&mut call), Some(Ok(7))));
    assert_nothing_is_left(&policy);
}

/// The clock stands almost still while the runtime's timers fire: what a timer says has come, has come.
#[tokio::test(start_paused = true)]
async fn a_timer_ahead_of_its_clock_is_believed_and_nothing_spins() {
    let minute = 60 * SECOND;
    let builder = || Policy::builder("orders").clock(Clock::fast());
    let begun = std::time::Instant::now();
    let polls = Cell::new(0);
    let never = || {
        poll_fn(|_| {
            polls.set(polls.get() + 1);
            Poll::<Result<(), ()>>::Pending
        })
    };

    let ended = builder().deadline(minute).build().unwrap().run(never).await;
    let Err(Error::TimedOut(late)) = ended else { panic!("{ended:?}") };
    assert!((minute..minute + SECOND).contains(&late.after), "{:?}", late.after);
    assert!(polls.get() <= 3, "{} polls", polls.get());

    let slow = RetryConfig { base_delay: minute, max_delay: minute, ..exact_retry() };
    let ended = builder().retry(slow).build().unwrap().run(async || Err::<(), _>(())).await;
    assert_eq!(ended.unwrap_err().history().attempts().len(), 4);

    let narrow =
        BulkheadConfig { max_concurrent: 1, max_wait: minute, ..BulkheadConfig::default() };
    let policy = builder().bulkhead(narrow).build().unwrap();
    let mut holder = pin!(policy.run(never));
    let held = poll_fn(|cx| Poll::Ready(holder.as_mut().poll(cx).is_pending()));
    assert!(held.await);
    assert!(matches!(policy.run(never).await, Err(Error::Refused(_))));
    assert!(begun.elapsed() < minute / 2, "none of these minutes was waited for");
}
