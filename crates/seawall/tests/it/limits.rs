//! Rate limits by themselves: asked, and waited for.

use std::{
    future::ready,
    pin::pin,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use seawall::{
    Clock, LeakyBucket, Observed, Policy, RateLimitConfig, RateLimiter, Reserve, Shaper,
    SlidingWindowCounter, Snapshot, TokenBucket,
    core::{Priority, Rate, Reason},
};

use crate::world::{MS, SECOND, Time, World, assert_nothing_is_left, poll};

/// Ten at once, ten a second.
fn bucket(time: &Time) -> TokenBucket {
    TokenBucket::with_clock("searches", 10, Rate::per_second(10), time.clock())
        .expect("the settings make sense")
}

#[test]
fn f59_asked_it_says_when_and_waited_for_it_gives() {
    let mut world = World::default();
    let bucket = bucket(&world.time);
    assert_eq!(bucket.time_until_available(10), Some(Duration::ZERO));
    bucket.try_acquire(10).unwrap();
    let refusal = bucket.try_acquire(3).unwrap_err();
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::Limited, Some(300 * MS)));
    assert_eq!(bucket.time_until_available(3), Some(300 * MS));
    assert_eq!(bucket.time_until_available(11), None);
    let waiting = bucket.clone();
    world.block_on(async move { waiting.acquire(3).await }).unwrap();
    assert_eq!(world.time.passed(), 300 * MS);
    let seen = bucket.snapshot();
    assert_eq!((seen.allowed, seen.refused, seen.waiting, seen.available), (2, 1, 0, 0));
}

#[test]
fn who_waits_is_polled_three_times_at_most_and_the_rate_is_kept() {
    let mut world = World::default();
    let bucket = bucket(&world.time);
    bucket.try_acquire(10).unwrap();
    let times = Arc::new(Mutex::new(Vec::new()));
    let jobs: Vec<_> = (0..30)
        .map(|n| {
            let (bucket, times, time) = (bucket.clone(), times.clone(), world.time.clone());
            world.spawn(async move {
                bucket.acquire(1).await.unwrap();
                times.lock().unwrap().push((n, time.passed()));
            })
        })
        .collect();
    world.run();
    let expected: Vec<_> = (0..30).map(|n| (n, 100 * MS * (n + 1))).collect();
    assert_eq!(*times.lock().unwrap(), expected);
    assert!(jobs.iter().all(|job| job.polls() <= 3));
}

#[test]
fn a_wait_for_tokens_ends_at_the_deadline_or_does_not_begin() {
    let mut world = World::default();
    let bucket = bucket(&world.time);
    bucket.try_acquire(10).unwrap();
    let (ask, begun) = (bucket.clone(), world.time.passed());
    let refused = world.block_on(async move { ask.acquire(3).deadline(200 * MS).await });
    let refused = refused.unwrap_err();
    assert_eq!((&*refused.policy, refused.refusal.reason), ("searches", Reason::Hopeless));
    assert_eq!(world.time.passed(), begun, "refused at once");
    let ask = bucket.clone();
    let never = world.block_on(async move { ask.acquire(11).await }).unwrap_err().refusal;
    assert_eq!((never.reason, never.retry_after), (Reason::TooLarge, None));
    // Somebody more urgent takes what it hoped for.
    let ask = bucket.clone();
    let late = world.spawn(async move { ask.acquire(3).deadline(300 * MS).await });
    world.settle();
    world.time.advance(100 * MS);
    bucket.try_acquire_as(Priority::High, 1).unwrap();
    world.run();
    let refused = late.answer().unwrap().unwrap_err();
    assert_eq!((refused.refusal.reason, world.time.passed()), (Reason::TooLate, 300 * MS));
    assert_eq!(bucket.snapshot().waiting, 0);
}

#[test]
fn the_urgent_are_served_first_and_keep_their_reserve() {
    let mut world = World::default();
    let mut config = RateLimitConfig {
        capacity: Some(10),
        rate: Some(Rate::per_second(10)),
        ..RateLimitConfig::default()
    };
    config.reserves[0] = Reserve::Tokens(4);
    let limiter = RateLimiter::with_clock("searches", config, world.time.clock()).unwrap();
    limiter.try_acquire(6).unwrap();
    assert!(limiter.try_acquire(1).is_err());
    assert_eq!(limiter.time_until_available(1), Some(100 * MS), "one, and the four it must leave");
    limiter.try_acquire_as(Priority::Critical, 4).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    for class in [Priority::Low, Priority::Normal, Priority::Critical] {
        let (limiter, order, time) = (limiter.clone(), order.clone(), world.time.clone());
        world.spawn(async move {
            limiter.acquire(1).priority(class).await.unwrap();
            order.lock().unwrap().push((class, time.passed()));
        });
    }
    world.run();
    let expected =
        [(Priority::Critical, 100 * MS), (Priority::Normal, 600 * MS), (Priority::Low, 700 * MS)];
    assert_eq!(*order.lock().unwrap(), expected);
}

#[test]
fn an_acquire_dropped_anywhere_gives_way_to_the_next() {
    for (asks, called_up) in [(false, false), (true, false), (true, true)] {
        let time = Time::default();
        let bucket = bucket(&time);
        bucket.try_acquire(10).unwrap();
        let mut leaver = Box::pin(bucket.acquire(5));
        let mut next = pin!(bucket.acquire(1));
        assert!(!asks || poll(&mut leaver).is_none());
        assert!(poll(&mut next).is_none());
        time.advance(if called_up { 500 * MS } else { 100 * MS });
        drop(leaver);
        assert_eq!(poll(&mut next), Some(Ok(())), "{asks} {called_up}");
        assert_eq!(bucket.snapshot().waiting, 0);
    }
}

#[test]
fn tokens_are_waited_for_on_a_thread_without_a_runtime() {
    let time = Time::default();
    let bucket = bucket(&time);
    bucket.try_acquire(10).unwrap();
    let waiting = thread::spawn({
        let bucket = bucket.clone();
        move || bucket.acquire(5).blocking()
    });
    while bucket.snapshot().waiting == 0 {
        thread::yield_now();
    }
    while !waiting.is_finished() {
        time.advance(100 * MS);
        thread::yield_now();
    }
    assert_eq!(waiting.join().unwrap(), Ok(()));
}

#[test]
fn each_algorithm_keeps_its_promise_by_itself() {
    let mut world = World::default();
    let clock = || world.time.clock();
    let window = SlidingWindowCounter::with_clock("window", 2, SECOND, clock()).unwrap();
    window.try_acquire(2).unwrap();
    assert_eq!(window.try_acquire(1).unwrap_err().retry_after, Some(SECOND));
    let leaky = LeakyBucket::with_clock("leaky", 2, Rate::per_second(50), clock()).unwrap();
    leaky.try_acquire(2).unwrap();
    assert_eq!(leaky.try_acquire(1).unwrap_err().retry_after, Some(20 * MS));
    let shaper = Shaper::with_clock("shaper", 2, Rate::per_second(50), clock()).unwrap();
    shaper.try_acquire(1).unwrap();
    assert_eq!(shaper.time_until_available(1), Some(20 * MS));
    assert!(shaper.try_acquire(1).is_err());
    assert_eq!(shaper.snapshot().waiting, 0, "to try is not to wait");
    let (asks, time) = (shaper.clone(), world.time.clone());
    world.block_on(async move {
        window.acquire(1).await.unwrap();
        assert_eq!(time.passed(), SECOND);
        leaky.acquire(2).await.unwrap();
        leaky.acquire(1).await.unwrap();
        assert_eq!(time.passed(), SECOND + 20 * MS);
        asks.acquire(1).await.unwrap();
        asks.acquire(1).await.unwrap();
        assert_eq!(time.passed(), SECOND + 40 * MS);
    });
    assert_eq!(shaper.snapshot().allowed, 3);
}

#[test]
fn a_window_in_buckets_frees_a_token_up_to_a_bucket_late() {
    let time = Time::default();
    let window =
        SlidingWindowCounter::bucketed("window", 200_000, SECOND, 10, time.clock()).unwrap();
    time.advance(50 * MS);
    window.try_acquire(200_000).unwrap();
    assert_eq!(window.time_until_available(1), Some(1_050 * MS));
    time.advance(SECOND);
    assert!(window.try_acquire(1).is_err(), "exact, it would be free");
    time.advance(50 * MS);
    window.try_acquire(200_000).unwrap();
    assert_eq!(window.snapshot().allowed, 2);
    let mut shown = Snapshot::default();
    window.observe(&mut shown);
    assert_eq!(shown.rate_limiters["window"].algorithm, "sliding_window");
}

#[test]
fn settings_that_make_no_sense_make_no_limit() {
    let window = SlidingWindowCounter::new("window", 1, Duration::ZERO);
    assert_eq!(window.unwrap_err().found[0].field, "rate_limit.window");
    let zero = TokenBucket::new("closed", 0, Rate::per_second(1)).unwrap();
    assert_eq!(zero.try_acquire(1).unwrap_err().retry_after, None);
    assert_eq!(zero.time_until_available(1), None);
    let none = SlidingWindowCounter::bucketed("none", 1, SECOND, 0, Clock::fast());
    assert_eq!(none.unwrap_err().found[0].field, "rate_limit.buckets");
}

#[test]
fn one_limit_counts_the_calls_of_two_policies() {
    let time = Time::default();
    let bucket = bucket(&time);
    let [reads, writes] =
        ["reads", "writes"].map(|name| Policy::builder(name).rate_limit(&bucket).build().unwrap());
    for n in 0..12 {
        let policy = [&reads, &writes][n % 2];
        let answer = policy.run_blocking(|| Ok::<_, ()>(()));
        assert_eq!(answer.is_ok(), n < 10, "{n}");
    }
    assert!(bucket.try_acquire(1).is_err());
    time.advance(100 * MS);
    assert!(writes.run_blocking(|| Ok::<_, ()>(())).is_ok());
    assert!(reads.run_blocking(|| Ok::<_, ()>(())).is_err());
    let mut shown = Snapshot::default();
    [&reads, &writes].into_iter().for_each(|policy| policy.observe(&mut shown));
    assert!(shown.rate_limiters.is_empty());
    bucket.observe(&mut shown);
    assert_eq!((shown.rate_limiters["searches"].allowed, shown.rate_limiters.len()), (11, 1));
}

#[test]
fn a_shaper_of_two_policies_calls_up_the_waiters_of_both() {
    let mut world = World::default();
    let shaper = Shaper::with_clock("letters", 100, Rate::per_second(50), world.time.clock());
    let shaper = shaper.unwrap();
    let policies =
        ["reads", "writes"].map(|name| Policy::builder(name).rate_limit(&shaper).build().unwrap());
    let times = Arc::new(Mutex::new(Vec::new()));
    for n in 0..10 {
        let (policy, times, time) = (policies[n % 2].clone(), times.clone(), world.time.clone());
        world.spawn(async move {
            policy.run(|| ready(Ok::<_, ()>(()))).await.unwrap();
            times.lock().unwrap().push((n, time.passed()));
        });
    }
    world.run();
    let expected: Vec<_> = (0..10).map(|n| (n, 20 * MS * n as u32)).collect();
    assert_eq!(*times.lock().unwrap(), expected);
    policies.iter().for_each(assert_nothing_is_left);
}
