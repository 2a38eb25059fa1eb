//! The three limiters of the guide, and the shaper that its third one is described as.

use seawall::{
    Rate, Shaper,
    core::Reason,
    guide::{LeakyBucket, SlidingWindowCounter, TokenBucket},
};
use tokio::time::Instant;

use crate::{MS, SECOND, clock, pass};

fn bucket(capacity: u64, rate: u64) -> TokenBucket {
    TokenBucket::with_clock("searches", capacity, Rate::per_second(rate), clock())
        .expect("the settings make sense")
}

/// How many of so many are let through, one by one.
fn allowed(mut allow: impl FnMut() -> bool, asked: u32) -> u32 {
    (0..asked).map(|_| u32::from(allow())).sum()
}

#[tokio::test(start_paused = true)]
async fn a_token_bucket_allows_a_burst_of_its_capacity() {
    let bucket = bucket(1_000, 100);
    assert_eq!(allowed(|| bucket.try_acquire(1).is_ok(), 1_500), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_token_bucket_refills_a_hundred_a_second() {
    let bucket = bucket(1_000, 100);
    bucket.try_acquire(1_000).unwrap();
    let mut through = 0;
    for _ in 0..100 {
        pass(100 * MS).await;
        through += allowed(|| bucket.try_acquire(1).is_ok(), 50);
    }
    assert_eq!(through, 1_000, "ten seconds of it, however often it was asked");
}

#[tokio::test(start_paused = true)]
async fn a_token_bucket_never_holds_more_than_its_capacity() {
    let bucket = bucket(10, 100);
    pass(3_600 * SECOND).await;
    assert_eq!(allowed(|| bucket.try_acquire(1).is_ok(), 100), 10);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_there_will_be_tokens() {
    let bucket = bucket(10, 100);
    bucket.try_acquire(10).unwrap();
    let refusal = bucket.try_acquire(5).unwrap_err();
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::Limited, Some(50 * MS)));
    pass(50 * MS).await;
    bucket.try_acquire(5).unwrap();
}

#[tokio::test(start_paused = true)]
async fn more_than_there_ever_is_is_refused_for_good() {
    let refusal = bucket(10, 100).try_acquire(11).unwrap_err();
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::TooLarge, None));
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_nothing_is_accepted_and_refuses_everything() {
    let refusal = bucket(2, 0).try_acquire(1).unwrap_err();
    assert_eq!(refusal.retry_after, None, "no time helps");
}

#[tokio::test(start_paused = true)]
async fn a_sliding_window_allows_its_limit_in_any_minute() {
    let minute = 60 * SECOND;
    let counter = SlidingWindowCounter::with_clock("searches", 1_000, minute, clock()).unwrap();
    assert_eq!(allowed(|| counter.try_acquire(1).is_ok(), 1_200), 1_000);
    pass(minute - MS).await;
    assert_eq!(allowed(|| counter.try_acquire(1).is_ok(), 10), 0);
    pass(MS).await;
    assert_eq!(allowed(|| counter.try_acquire(1).is_ok(), 1_200), 1_000);
}

#[tokio::test(start_paused = true)]
async fn the_border_of_two_windows_lets_no_double_burst_through() {
    let counter = SlidingWindowCounter::with_clock("searches", 100, 60 * SECOND, clock()).unwrap();
    pass(59 * SECOND).await;
    assert_eq!(allowed(|| counter.try_acquire(1).is_ok(), 100), 100);
    pass(2 * SECOND).await;
    assert_eq!(allowed(|| counter.try_acquire(1).is_ok(), 100), 0, "a fixed window would");
}

#[tokio::test(start_paused = true)]
async fn a_leaky_bucket_holds_its_capacity_and_leaks_at_its_rate() {
    let bucket = LeakyBucket::with_clock("searches", 500, Rate::per_second(50), clock()).unwrap();
    assert_eq!(allowed(|| bucket.try_acquire(1).is_ok(), 600), 500);
    pass(SECOND).await;
    assert_eq!(allowed(|| bucket.try_acquire(1).is_ok(), 600), 50);
}

#[tokio::test(start_paused = true)]
async fn a_shaper_lets_out_fifty_a_second() {
    let shaper = Shaper::with_clock("letters", 500, Rate::per_second(50), clock()).unwrap();
    let begun = Instant::now();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let shaper = shaper.clone();
            tokio::spawn(async move { shaper.acquire(1).await.map(|()| Instant::now()) })
        })
        .collect();
    let mut out = Vec::new();
    for task in tasks {
        out.push(task.await.unwrap().unwrap());
    }
    out.sort_unstable();
    assert!(out.windows(2).all(|pair| pair[1] - pair[0] >= 19 * MS), "{out:?}");
    let took = out[99] - begun;
    assert!((1_980 * MS..2_010 * MS).contains(&took), "{took:?}");
}
