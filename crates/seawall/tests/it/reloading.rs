//! Other settings under load: one test for each thing that must, or must not, change.

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Policy, PolicyConfig, RateLimitConfig, Ratio,
    RetryConfig, TimeoutConfig,
    core::{Algorithm, Phase, Priority, Rate, Reason, Window},
};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, poll, seen};

type Pending = std::pin::Pin<Box<dyn Future<Output = Result<(), Error<()>>>>>;

fn built(world: &World, config: &PolicyConfig) -> Policy {
    world.policy().config(config.clone()).build().expect("the settings make sense")
}

/// A call that runs until it is dropped.
fn hanging(policy: &Policy, class: Priority) -> Pending {
    let policy = policy.clone();
    Box::pin(async move { policy.call().priority(class).run(std::future::pending).await })
}

fn fail(policy: &Policy, times: u32) {
    for _ in 0..times {
        let _ = policy.run_blocking(|| Err::<(), _>(()));
    }
}

fn breaker(config: CircuitBreakerConfig) -> PolicyConfig {
    PolicyConfig { circuit_breaker: Some(config), ..PolicyConfig::default() }
}

fn bulkhead(config: BulkheadConfig) -> PolicyConfig {
    PolicyConfig { bulkhead: Some(config), ..PolicyConfig::default() }
}

#[test]
fn it_is_valid_or_nothing_changes() {
    let world = World::default();
    let old = PolicyConfig {
        deadline: Some(SECOND),
        bulkhead: Some(BulkheadConfig { max_concurrent: 3, ..BulkheadConfig::default() }),
        ..PolicyConfig::default()
    };
    let policy = built(&world, &old);
    let wrong = PolicyConfig {
        deadline: None,
        bulkhead: Some(BulkheadConfig { max_concurrent: 9, ..BulkheadConfig::default() }),
        timeout: Some(TimeoutConfig { warm_up: 0, ..TimeoutConfig::default() }),
        ..old
    };
    assert_eq!(policy.reload(&wrong).unwrap_err().found[0].field, "timeout.warm_up");
    assert_eq!(seen(&policy).bulkheads["orders"].max_concurrent, 3);
    let mut call = hanging(&policy, Priority::Normal);
    assert!(poll(&mut call).is_none());
    world.time.advance(SECOND);
    assert!(matches!(poll(&mut call), Some(Err(Error::TimedOut(_)))), "the deadline is there");
}

#[test]
fn permits_in_flight_stay_valid_and_a_lower_limit_drains_without_cutting() {
    let world = World::default();
    let policy =
        built(&world, &bulkhead(BulkheadConfig { max_concurrent: 4, ..BulkheadConfig::default() }));
    let mut running: Vec<_> = (0..4).map(|_| hanging(&policy, Priority::Normal)).collect();
    assert!(running.iter_mut().all(|call| poll(call).is_none()));
    policy
        .reload(&bulkhead(BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() }))
        .unwrap();
    assert_eq!(seen(&policy).bulkheads["orders"].active_calls, 4, "nothing is cut");
    let mut next = hanging(&policy, Priority::Normal);
    assert!(poll(&mut next).is_none());
    for left in [3, 2, 1] {
        drop(running.pop());
        assert_eq!(seen(&policy).bulkheads["orders"].active_calls, left);
        assert_eq!(seen(&policy).bulkheads["orders"].queued, 1);
    }
    drop(running.pop());
    assert!(poll(&mut next).is_none());
    let stats = &seen(&policy).bulkheads["orders"];
    assert_eq!((stats.active_calls, stats.queued), (1, 0));
    drop(next);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_shrunk_queue_refuses_the_least_urgent_first() {
    let world = World::default();
    let one = BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() };
    let policy = built(&world, &bulkhead(one.clone()));
    let mut holder = hanging(&policy, Priority::Normal);
    assert!(poll(&mut holder).is_none());
    let classes = [Priority::Background, Priority::Critical, Priority::Low];
    let mut waiting: Vec<_> = classes.map(|class| hanging(&policy, class)).into_iter().collect();
    assert!(waiting.iter_mut().all(|call| poll(call).is_none()));
    policy.reload(&bulkhead(BulkheadConfig { max_queue: 1, ..one })).unwrap();
    let ended: Vec<_> = waiting.iter_mut().map(poll).collect();
    for (class, answer) in classes.iter().zip(ended) {
        match answer {
            None => assert_eq!(*class, Priority::Critical),
            Some(Err(Error::Refused(refused))) => assert_eq!(refused.refusal.reason, Reason::Full),
            other => panic!("{class}: {other:?}"),
        }
    }
}

#[test]
fn who_waits_for_a_place_waits_as_long_as_the_settings_of_now_say() {
    for (old, new) in [(SECOND, 10 * SECOND), (30 * SECOND, 3 * SECOND)] {
        let mut world = World::default();
        let one = |max_wait| BulkheadConfig {
            max_concurrent: 1,
            max_run: None,
            max_wait,
            ..BulkheadConfig::default()
        };
        let policy = built(&world, &bulkhead(one(old)));
        let mut holder = hanging(&policy, Priority::Normal);
        assert!(poll(&mut holder).is_none());
        let call = hanging(&policy, Priority::Normal);
        let time = world.time.clone();
        let waiter = world.spawn(async move { (call.await, time.passed()) });
        world.settle();
        policy.reload(&bulkhead(one(new))).unwrap();
        world.pass(new);
        let Some((Err(Error::Refused(refused)), after)) = waiter.answer() else {
            panic!("from {old:?} to {new:?}: it waits")
        };
        assert_eq!((refused.refusal.reason, after), (Reason::WaitOver, new));
        assert!(waiter.polls() <= 4, "{} polls from {old:?} to {new:?}", waiter.polls());
    }
}

#[test]
fn more_places_and_a_shorter_queue_refuse_nobody_for_whom_there_is_a_place() {
    let world = World::default();
    let one = BulkheadConfig { max_concurrent: 1, max_queue: 100, ..BulkheadConfig::default() };
    let policy = built(&world, &bulkhead(one.clone()));
    let mut calls: Vec<_> = (0..51).map(|_| hanging(&policy, Priority::Normal)).collect();
    assert!(calls.iter_mut().all(|call| poll(call).is_none()));
    let many = BulkheadConfig { max_concurrent: 40, max_queue: 10, ..one };
    policy.reload(&bulkhead(many)).unwrap();
    let refused = calls.iter_mut().filter_map(poll).count();
    let stats = &seen(&policy).bulkheads["orders"];
    assert_eq!((refused, stats.active_calls, stats.queued), (1, 40, 10));
}

#[test]
fn open_stays_open_with_its_old_end() {
    let world = World::default();
    let policy = built(&world, &breaker(CircuitBreakerConfig::default()));
    fail(&policy, 5);
    world.time.advance(10 * SECOND);
    let short = CircuitBreakerConfig { open_for: SECOND, ..CircuitBreakerConfig::default() };
    policy.reload(&breaker(short)).unwrap();
    world.time.advance(49 * SECOND);
    assert_eq!(policy.phase(), Some(Phase::Open));
    world.time.advance(SECOND);
    assert_eq!(policy.phase(), Some(Phase::HalfOpen));
}

#[test]
fn a_changed_window_starts_empty_and_says_so_and_unchanged_patterns_keep_every_count() {
    let world = World::default();
    let windowed = |window| CircuitBreakerConfig {
        failures: 100,
        failure_rate: Some(Ratio::percent(50)),
        window,
        minimum_calls: 10,
        ..CircuitBreakerConfig::default()
    };
    let config = breaker(windowed(Window::Calls(20)));
    let policy = built(&world, &config);
    fail(&policy, 9);
    assert!(!policy.reload(&config).unwrap().windows_emptied);
    assert_eq!(seen(&policy).circuit_breakers["orders"].failure_count, 9);
    assert!(policy.reload(&breaker(windowed(Window::Calls(40)))).unwrap().windows_emptied);
    fail(&policy, 1);
    assert_eq!(policy.phase(), Some(Phase::Closed), "nine of ten are forgotten");
    assert_eq!(policy.counts().calls.failed, 10, "the policy's own are not");
}

#[test]
fn the_balance_of_the_budget_is_clamped() {
    let world = World::default();
    let with = |percent| PolicyConfig {
        retry: Some(RetryConfig { budget: Ratio::percent(percent), ..RetryConfig::default() }),
        ..PolicyConfig::default()
    };
    let policy = built(&world, &with(10));
    for _ in 0..1_000 {
        policy.run_blocking(|| Ok::<_, ()>(())).unwrap();
    }
    policy.reload(&with(1)).unwrap();
    let stats = &seen(&policy).retry_managers["orders"];
    assert_eq!((stats.balance, stats.total_requests), (13.0, 1_000));
}

#[test]
fn an_added_pattern_starts_empty_and_ignores_calls_in_flight() {
    let world = World::default();
    let policy = built(&world, &PolicyConfig::default());
    let failing: Vec<_> = (0..5)
        .map(|_| {
            let (policy, time) = (policy.clone(), world.time.clone());
            Box::pin(async move {
                policy
                    .run(|| {
                        let wait = time.sleep(SECOND);
                        async move {
                            wait.await;
                            Err::<(), _>(())
                        }
                    })
                    .await
            }) as Pending
        })
        .collect();
    let mut failing = failing;
    assert!(failing.iter_mut().all(|call| poll(call).is_none()));
    let one = BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() };
    let config = PolicyConfig { bulkhead: Some(one), ..breaker(CircuitBreakerConfig::default()) };
    policy.reload(&config).unwrap();
    world.time.advance(SECOND);
    assert!(failing.iter_mut().all(|call| poll(call).is_some()));
    assert_eq!(policy.phase(), Some(Phase::Closed), "it never admitted them");
    let mut call = hanging(&policy, Priority::Normal);
    assert!(poll(&mut call).is_none());
    assert_eq!(seen(&policy).bulkheads["orders"].active_calls, 1, "nor did the bulkhead");
}

#[test]
fn who_waits_in_a_line_that_goes_is_let_through() {
    let world = World::default();
    let policy =
        built(&world, &bulkhead(BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() }));
    let mut holder = hanging(&policy, Priority::Normal);
    assert!(poll(&mut holder).is_none());
    let ready = policy.clone();
    let mut waiting: Pending = Box::pin(async move { ready.run(|| async { Ok(()) }).await });
    assert!(poll(&mut waiting).is_none());
    policy.reload(&PolicyConfig::default()).unwrap();
    assert!(matches!(poll(&mut waiting), Some(Ok(()))));
    drop(holder);
    assert_nothing_is_left(&policy);
}

#[test]
fn all_who_wait_in_lines_that_go_go_on_at_once_however_many() {
    let mut world = World::default();
    let shaper = RateLimitConfig {
        algorithm: Algorithm::Shaper,
        rate: Some(Rate::new(1, 60 * SECOND).unwrap()),
        ..RateLimitConfig::default()
    };
    let line = BulkheadConfig { max_concurrent: 1, max_queue: 300, ..BulkheadConfig::default() };
    let shaped = PolicyConfig { rate_limit: Some(shaper), ..PolicyConfig::default() };
    for (config, calls) in [(shaped, 3), (bulkhead(line), 250)] {
        let policy = built(&world, &config);
        let mut first = hanging(&policy, Priority::Normal);
        assert!(poll(&mut first).is_none());
        let call = |_| {
            let policy = policy.clone();
            world.spawn(async move { policy.run(|| async { Ok::<_, ()>(()) }).await })
        };
        let waiting: Vec<_> = (0..calls).map(call).collect();
        world.settle();
        policy.reload(&PolicyConfig::default()).unwrap();
        world.settle();
        assert!(waiting.iter().all(|call| call.answer().is_some_and(|ended| ended.is_ok())));
        drop(first);
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn limits_and_deadlines_follow() {
    let world = World::default();
    let limited = |capacity| PolicyConfig {
        rate_limit: Some(RateLimitConfig {
            capacity: Some(capacity),
            ..RateLimitConfig::default()
        }),
        ..PolicyConfig::default()
    };
    let policy = built(&world, &limited(10));
    for _ in 0..8 {
        policy.run_blocking(|| Ok::<_, ()>(())).unwrap();
    }
    policy.reload(&limited(1)).unwrap();
    policy.run_blocking(|| Ok::<_, ()>(())).unwrap();
    let refused = policy.run_blocking(|| Ok::<_, ()>(()));
    assert!(matches!(refused, Err(Error::Refused(_))), "two were left, one may be: {refused:?}");
    policy.reload(&PolicyConfig { deadline: Some(10 * MS), ..PolicyConfig::default() }).unwrap();
    let mut call = hanging(&policy, Priority::Normal);
    assert!(poll(&mut call).is_none());
    world.time.advance(10 * MS);
    assert!(matches!(poll(&mut call), Some(Err(Error::TimedOut(_)))));
}

/// One call at a time, and so many per hour.
fn limited(algorithm: Algorithm, most: u64) -> PolicyConfig {
    let window = algorithm == Algorithm::SlidingWindow;
    let rate_limit = RateLimitConfig {
        algorithm,
        capacity: (!window).then_some(most),
        rate: if window { None } else { Rate::new(1, 3_600 * SECOND) },
        limit: window.then_some(most),
        window: window.then_some(3_600 * SECOND),
        ..RateLimitConfig::default()
    };
    let one = BulkheadConfig { max_concurrent: 1, max_run: None, ..BulkheadConfig::default() };
    PolicyConfig { rate_limit: Some(rate_limit), ..bulkhead(one) }
}

#[test]
fn what_another_algorithm_let_through_is_not_given_back_to_this_one() {
    for (from, to) in [
        (Algorithm::TokenBucket, Algorithm::SlidingWindow),
        (Algorithm::SlidingWindow, Algorithm::TokenBucket),
        (Algorithm::TokenBucket, Algorithm::LeakyBucket),
    ] {
        let world = World::default();
        let policy = built(&world, &limited(from, 10));
        let mut holder = hanging(&policy, Priority::Normal);
        assert!(poll(&mut holder).is_none());
        let mut queued = [(); 2].map(|()| hanging(&policy, Priority::Normal));
        queued.iter_mut().for_each(|call| assert!(poll(call).is_none()));
        world.time.advance(SECOND);
        policy.reload(&limited(to, 2)).unwrap();
        world.time.advance(SECOND);
        let mut new = [(); 2].map(|()| hanging(&policy, Priority::Normal));
        new.iter_mut().for_each(|call| assert!(poll(call).is_none()));
        drop((queued, holder));
        for mut runs in new {
            assert!(poll(&mut runs).is_none());
        }
        assert_eq!(policy.counts().attempts.started, 3, "{from:?} {to:?}: the holder and these");
        let more = (0..5).filter(|_| policy.run_blocking(|| Ok::<_, ()>(())).is_ok()).count();
        assert_eq!(more, 0, "{from:?} {to:?}: two, and two have run");
    }
}

#[test]
fn a_lowered_limit_is_not_raised_again_by_those_who_leave() {
    let world = World::default();
    let policy = built(&world, &limited(Algorithm::SlidingWindow, 5));
    let mut holder = hanging(&policy, Priority::Normal);
    assert!(poll(&mut holder).is_none());
    let mut queued = [(); 4].map(|()| hanging(&policy, Priority::Normal));
    queued.iter_mut().for_each(|call| assert!(poll(call).is_none()));
    world.time.advance(SECOND);
    policy.reload(&limited(Algorithm::SlidingWindow, 2)).unwrap();
    drop(queued);
    drop(holder);
    let ran = (0..5).filter(|_| policy.run_blocking(|| Ok::<_, ()>(())).is_ok()).count();
    assert_eq!(ran, 1, "and the holder: two in the window");
}
