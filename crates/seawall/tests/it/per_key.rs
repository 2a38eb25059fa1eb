//! A policy for each key: what one does is nobody else's concern, whatever it waits for, however it ends.

use std::{
    collections::HashMap,
    future::pending,
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use proptest::prelude::*;
use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Events, Heard, Key, Override, PerKey, Policy,
    PolicyConfig, RateLimitConfig, Ratio, RetryConfig, TimeoutConfig, Window,
    core::{Algorithm, Phase, Rate, Reason, Verdict},
};

use crate::world::{MS, SECOND, World, caught, exact_retry, poll};

type Pending = std::pin::Pin<Box<dyn Future<Output = Result<(), Error<()>>>>>;

/// One place and one to wait in, and a breaker that opens at the second failure.
fn narrow() -> PolicyConfig {
    PolicyConfig {
        circuit_breaker: Some(CircuitBreakerConfig {
            failures: 2,
            open_for: 5 * SECOND,
            ..CircuitBreakerConfig::default()
        }),
        bulkhead: Some(BulkheadConfig {
            max_concurrent: 1,
            max_queue: 1,
            max_wait: SECOND,
            ..BulkheadConfig::default()
        }),
        ..PolicyConfig::default()
    }
}

fn tenants(world: &World, config: PolicyConfig, max_keys: u32) -> PerKey {
    world
        .policy()
        .config(config)
        .per_key()
        .max_keys(max_keys)
        .build()
        .expect("the settings make sense")
}

fn hanging(tenants: &PerKey, key: &str) -> Pending {
    let key = tenants.key(key);
    Box::pin(async move { key.run(pending).await })
}

fn good(tenants: &PerKey, key: &str) -> Pending {
    let key = tenants.key(key);
    Box::pin(async move { key.run(|| async { Ok(()) }).await })
}

fn fail(tenants: &PerKey, key: &str, times: u32) {
    for _ in 0..times {
        let _ = tenants.key(key).run_blocking(|| Err::<(), _>(()));
    }
}

fn next(events: &mut Events) -> Option<Heard> {
    poll(&mut pin!(events.next())).expect("there is something to hear")
}

fn reason(answer: Option<Result<(), Error<()>>>) -> Reason {
    match answer {
        Some(Err(Error::Refused(refused))) => refused.refusal.reason,
        other => panic!("{other:?}"),
    }
}

/// Whether the learned limit cuts a hung attempt for acme, for whose places others wait, where the callee answers for
/// another key, or for acme too.
fn is_cut(answers: &str, reloads: bool) -> bool {
    let world = World::default();
    let two = BulkheadConfig { max_concurrent: 2, max_run: None, ..BulkheadConfig::default() };
    let config = PolicyConfig {
        bulkhead: Some(two),
        timeout: Some(TimeoutConfig { warm_up: 10, ..TimeoutConfig::default() }),
        retry: Some(exact_retry()),
        ..PolicyConfig::default()
    };
    let tenants = tenants(&world, config.clone(), 10);
    let good = |key| {
        let (key, time) = (tenants.key(key), world.time.clone());
        let sleep = move || {
            let sleep = time.sleep(10 * MS);
            async {
                sleep.await;
                Ok::<_, ()>(())
            }
        };
        Box::pin(async move { key.run(sleep).await })
    };
    for _ in 0..20 {
        let mut call = good("other");
        assert!(poll(&mut call).is_none());
        world.time.advance(10 * MS);
        assert!(poll(&mut call).is_some());
    }
    let mut answered = good(answers);
    assert!(poll(&mut answered).is_none());
    // The first hangs, the last waits for a place.
    let mut calls = [(); 4].map(|()| hanging(&tenants, "acme"));
    calls.iter_mut().for_each(|call| assert!(poll(call).is_none()));
    world.time.advance(10 * MS);
    assert!(poll(&mut answered).is_some());
    if reloads {
        tenants.reload(&config).expect("the settings make sense");
    }
    world.time.advance(6 * MS);
    assert!(poll(&mut calls[0]).is_none());
    tenants.counts().timed_out > 0
}

#[test]
fn who_answers_for_one_key_does_not_make_the_hung_callee_of_another_a_busy_one() {
    for reloads in [false, true] {
        assert!(is_cut("other", reloads));
        assert!(!is_cut("acme", reloads));
    }
}

#[test]
fn one_hung_and_full_one_open_and_the_others_unaffected() {
    let world = World::default();
    let tenants = tenants(&world, narrow(), 10);
    let mut hung = [(); 2].map(|()| hanging(&tenants, "hung"));
    assert!(hung.iter_mut().all(|call| poll(call).is_none()));
    assert_eq!(reason(poll(&mut good(&tenants, "hung"))), Reason::Full);
    fail(&tenants, "down", 2);
    assert_eq!(reason(poll(&mut good(&tenants, "down"))), Reason::Open);
    for key in ["a", "b", "a"] {
        assert!(matches!(poll(&mut good(&tenants, key)), Some(Ok(()))), "{key}");
    }
    let phases = ["hung", "down", "a", "never seen"].map(|key| tenants.phase(key));
    let (open, closed) = (Some(Phase::Open), Some(Phase::Closed));
    assert_eq!(phases, [closed, open, closed, closed]);
    let seen = tenants.snapshot();
    assert_eq!(
        (seen.keys, seen.max_keys, seen.overflowed, seen.evicted, seen.open),
        (4, 10, 0, 0, 1)
    );
    drop(hung);
    let calls = tenants.counts().calls;
    assert_eq!((calls.started, calls.succeeded, calls.failed, calls.refused), (9, 3, 2, 2));
    assert_eq!((calls.ignored, calls.in_flight()), (2, 0));
    assert!(matches!(poll(&mut good(&tenants, "hung")), Some(Ok(()))), "its place is free again");
}

#[test]
fn each_key_has_its_own_rate_limit_and_its_own_retries() {
    let mut world = World::default();
    let config = PolicyConfig {
        rate_limit: Some(RateLimitConfig {
            capacity: Some(2),
            rate: Some(Rate::per_second(1)),
            ..RateLimitConfig::default()
        }),
        retry: Some(RetryConfig {
            budget: Ratio::ZERO,
            max_retries: 9,
            base_delay: MS,
            ..RetryConfig::default()
        }),
        ..PolicyConfig::default()
    };
    let tenants = tenants(&world, config, 10);
    for key in ["a", "b"] {
        let mut attempts = 0;
        let own = tenants.key(key);
        let answer = world.block_on(async move {
            let answer = own
                .run(|| {
                    attempts += 1;
                    async { Err::<(), _>(()) }
                })
                .await;
            (answer.is_err(), attempts)
        });
        assert_eq!(answer, (true, 4), "{key}: three retries in hand");
        assert!(matches!(poll(&mut good(&tenants, key)), Some(Ok(()))));
        assert_eq!(reason(poll(&mut good(&tenants, key))), Reason::Limited, "{key}");
    }
}

#[test]
fn waiters_are_called_up_by_their_own_keys_leaving_and_polled_three_times_at_most() {
    let mut world = World::default();
    let tenants = tenants(&world, narrow(), 10);
    let call = |world: &mut World, name: &str, takes| {
        let (key, time) = (tenants.key(name), world.time.clone());
        world.spawn(async move {
            let answer = key.run(|| {
                let wait = time.sleep(takes);
                async move {
                    wait.await;
                    Ok::<_, ()>(())
                }
            });
            assert!(answer.await.is_ok());
            time.passed()
        })
    };
    // Waiters of both have the same place in their lines.
    let jobs = [("a", 10 * MS), ("b", 25 * MS), ("a", MS), ("b", MS)]
        .map(|(name, takes)| call(&mut world, name, takes));
    world.run();
    assert!(jobs.iter().all(|job| job.polls() <= 3));
    assert_eq!(jobs.map(|job| job.answer().unwrap()), [10 * MS, 25 * MS, 11 * MS, 26 * MS]);
    assert_eq!(tenants.counts().attempts.in_flight(), 0);
}

#[test]
fn a_wait_ends_in_time_although_others_come_and_go() {
    let mut world = World::default();
    let tenants = tenants(&world, narrow(), 10);
    let mut holder = hanging(&tenants, "a");
    assert!(poll(&mut holder).is_none());
    let waiter = world.spawn(good(&tenants, "a"));
    for _ in 0..10 {
        world.pass(100 * MS);
        assert!(matches!(poll(&mut good(&tenants, "b")), Some(Ok(()))));
    }
    world.settle();
    assert_eq!(reason(waiter.answer()), Reason::WaitOver);
}

#[test]
fn whoever_leaves_queued_granted_or_running_lets_its_key_go() {
    for stage in 0..3 {
        let world = World::default();
        let tenants = tenants(&world, narrow(), 1);
        let mut holder = hanging(&tenants, "a");
        assert!(poll(&mut holder).is_none());
        let mut leaver = hanging(&tenants, "a");
        assert!(poll(&mut leaver).is_none());
        assert!(tenants.key("b").is_shared(), "it is in use");
        drop(holder);
        if stage > 1 {
            assert!(poll(&mut leaver).is_none(), "it runs now");
        }
        assert!(tenants.key("b").is_shared(), "it is in use still");
        drop(leaver);
        assert!(!tenants.key("b").is_shared(), "stage {stage}");
        assert_eq!(tenants.snapshot().evicted, 1);
        assert_eq!(tenants.counts().calls.in_flight(), 0);
    }
}

#[test]
fn one_that_is_held_is_not_forgotten_in_a_flood() {
    let mut world = World::default();
    let config = PolicyConfig {
        bulkhead: Some(BulkheadConfig {
            max_concurrent: 1,
            max_queue: 0,
            ..BulkheadConfig::default()
        }),
        ..PolicyConfig::default()
    };
    let tenants = tenants(&world, config, 20);
    let key = tenants.key("held");
    let (_, held) =
        world.block_on(async move { key.run_held(|_| async { Ok::<_, ()>(()) }).await.unwrap() });
    for n in 0..1_000 {
        assert!(matches!(poll(&mut good(&tenants, &n.to_string())), Some(Ok(()))));
    }
    let seen = tenants.snapshot();
    assert_eq!((seen.keys, seen.evicted, seen.overflowed), (20, 981, 0));
    assert_eq!(reason(poll(&mut good(&tenants, "held"))), Reason::Full);
    held.complete();
    assert!(matches!(poll(&mut good(&tenants, "held")), Some(Ok(()))));
}

#[test]
fn a_panic_lets_its_key_go_and_fails_for_it_alone() {
    let mut world = World::default();
    let tenants = tenants(&world, narrow(), 2);
    for _ in 0..2 {
        let key = tenants.key("a");
        let panicking = async move {
            let answer = key.run(|| -> std::future::Ready<Result<(), ()>> { panic!("a bug") });
            assert!(caught(answer).await.is_err());
        };
        world.block_on(panicking);
    }
    assert_eq!((tenants.phase("a"), tenants.phase("b")), (Some(Phase::Open), Some(Phase::Closed)));
    assert_eq!(tenants.counts().panicked, 2);
    // Open for 5 s, and a probe may live for 10.
    world.pass(15 * SECOND);
    let [_b, c] = ["b", "c"].map(|key| tenants.key(key));
    assert!(!c.is_shared(), "nobody uses a any more");
}

#[test]
fn an_open_breaker_is_not_forgotten_and_one_nobody_asks_any_more_is() {
    let mut world = World::default();
    let tenants = tenants(&world, narrow(), 4);
    fail(&tenants, "down", 2);
    for second in 0..15 {
        for n in 0..100 {
            assert!(matches!(poll(&mut good(&tenants, &format!("{second} {n}"))), Some(Ok(()))));
        }
        let phase = if second < 5 { Phase::Open } else { Phase::HalfOpen };
        // Without asking it for anything.
        assert_eq!(tenants.snapshot().open, 1);
        if second == 4 || second == 5 {
            assert_eq!(tenants.phase("down"), Some(phase), "{second}");
        }
        world.pass(SECOND);
    }
    assert_eq!(tenants.snapshot().overflowed, 0);
    for n in 0..4 {
        let _known = tenants.key(&format!("late {n}"));
    }
    assert_eq!((tenants.snapshot().open, tenants.phase("down")), (0, Some(Phase::Closed)));
}

#[test]
fn those_for_whom_there_is_no_room_share_one_cell_and_are_counted() {
    let mut world = World::default();
    let tenants = tenants(&world, narrow(), 2);
    fail(&tenants, "a", 2);
    fail(&tenants, "b", 2);
    // No room: c and d open one breaker together, and a flood finds it open.
    fail(&tenants, "c", 1);
    fail(&tenants, "d", 1);
    for n in 0..100 {
        assert_eq!(reason(poll(&mut good(&tenants, &n.to_string()))), Reason::Open);
    }
    for (key, told) in [("c", "orders (overflow): circuit_breaker"), ("a", "orders: circuit_br")] {
        let key = tenants.key(key);
        let own = key.clone();
        // Before anything waits, and after.
        let ended = [
            poll(&mut (Box::pin(async move { own.run(|| async { Ok(()) }).await }) as Pending)),
            Some(key.run_blocking(|| Ok(()))),
        ];
        for answer in ended {
            let Some(Err(Error::Refused(refused))) = answer else { panic!("{answer:?}") };
            assert_eq!(refused.is_shared, key.is_shared());
            assert!(refused.to_string().starts_with(told), "{refused}");
        }
    }
    for key in ["c", "never seen"] {
        assert_eq!(tenants.phase(key), Some(Phase::Open), "{key}");
    }
    let seen = tenants.snapshot();
    assert_eq!((seen.keys, seen.overflowed, seen.evicted, seen.open), (2, 103, 0, 3));
    tenants.release("c");
    assert!(tenants.key("c").is_shared() && !tenants.key("a").is_shared());
    assert!(!tenants.force("c", Override::closed("for one")), "it would be for all who share");
    assert_eq!(reason(poll(&mut good(&tenants, "c"))), Reason::Open);
    // Once there is room c is closed: what the others did is not its own.
    world.pass(15 * SECOND);
    assert_eq!(tenants.phase("c"), Some(Phase::Closed));
    assert_eq!(tenants.snapshot().evicted, 0, "to ask is not to come");
    assert!(matches!(poll(&mut good(&tenants, "c")), Some(Ok(()))));
    assert_eq!(tenants.snapshot().evicted, 1);
}

#[test]
fn an_override_of_one_key_is_of_that_key_and_keeps_it() {
    let mut world = World::default();
    let tenants = tenants(&world, narrow(), 2);
    let mut events = tenants.events();
    assert!(tenants.force("a", Override::open("moves").lasting(60 * SECOND)));
    for n in 0..10 {
        assert!(matches!(poll(&mut good(&tenants, &n.to_string())), Some(Ok(()))));
    }
    assert_eq!(reason(poll(&mut good(&tenants, "a"))), Reason::ForcedOpen);
    tenants.release("a");
    tenants.release("never seen");
    assert!(matches!(poll(&mut good(&tenants, "a")), Some(Ok(()))));
    assert!(tenants.force("a", Override::open("moves").lasting(60 * SECOND)));
    world.pass(60 * SECOND);
    assert_eq!(tenants.phase("a"), Some(Phase::Closed));
    let lines = [(); 4].map(|()| next(&mut events));
    let line = |from, to, why| format!("orders a: circuit_breaker {from} -> {to} ({why})");
    let said = line("closed", "forced_open", "override");
    let expected = [
        said.clone(),
        line("forced_open", "closed", "override"),
        said,
        line("forced_open", "closed", "override over"),
    ];
    assert_eq!(
        lines.map(|heard| match heard {
            Some(Heard::Change(change)) => change.to_string(),
            other => panic!("{other:?}"),
        }),
        expected
    );
}

#[test]
fn an_event_names_the_key_but_not_without_end() {
    let world = World::default();
    let tenants = tenants(&world, narrow(), 1);
    let mut events = tenants.events();
    let long = "ü".repeat(1_000);
    for key in [long.as_str(), "b"] {
        fail(&tenants, key, 2);
    }
    let keys = [(); 2].map(|()| match next(&mut events) {
        Some(Heard::Change(change)) => change.key.unwrap(),
        other => panic!("{other:?}"),
    });
    assert_eq!(*keys[0], *("ü".repeat(32) + "…"));
    assert_eq!(*keys[1], *"(overflow)");
}

#[test]
fn every_door_of_a_policy_is_one_of_a_key() {
    let mut world = World::default();
    let clock = world.time.clock();
    let config = PolicyConfig {
        timeout: Some(TimeoutConfig::default()),
        deadline: Some(60 * SECOND),
        ..narrow()
    };
    let tenants = tenants(&world, config, 10);
    let key = tenants.key("a");
    assert_eq!(key.run_blocking(|| Ok::<_, ()>(1)).unwrap(), 1);
    assert_eq!(key.run_pooled(|| Ok::<_, ()>(2)).unwrap(), 2);
    assert_eq!(tenants.pool_snapshot().threads, 1);
    let own = key.clone();
    assert_eq!(
        world.block_on(async move {
            own.run_with(|attempt| async move { Ok::<_, ()>(attempt.number) }).await.unwrap()
        }),
        1
    );
    let own = key.clone();
    let late =
        world.block_on(async move { own.call().deadline(MS).run(pending::<Result<(), ()>>).await });
    assert!(
        matches!(late, Err(Error::TimedOut(late)) if &*late.policy == "orders" && late.after == MS)
    );
    let ignoring = key.typed::<u8, u8>().classify(|_: &Result<u8, u8>| Verdict::IGNORED);
    for _ in 0..5 {
        assert!(ignoring.run_blocking(|| Err(3)).is_err());
    }
    assert_eq!(key.phase(), Some(Phase::Closed));
    // Held: its place and its key, until it has ended.
    let own = key.clone();
    let (answer, held) =
        world.block_on(async move { own.run_held(|_| async { Ok::<_, ()>(4) }).await.unwrap() });
    assert_eq!(answer, 4);
    drop(key);
    assert_eq!(reason(poll_twice(&tenants, "a")), Reason::Full);
    held.complete();
    assert!(matches!(poll(&mut good(&tenants, "a")), Some(Ok(()))));
    assert_eq!(tenants.counts().calls.in_flight(), 0);
    assert_eq!(clock.now(), tenants.clock().now());
}

/// Of one who waits and the next one, the second's answer.
fn poll_twice(tenants: &PerKey, key: &str) -> Option<Result<(), Error<()>>> {
    let mut waiter = good(tenants, key);
    assert!(poll(&mut waiter).is_none());
    poll(&mut good(tenants, key))
}

#[test]
fn all_keys_share_what_is_learned_of_latency() {
    let mut world = World::default();
    let timeout = TimeoutConfig { warm_up: 10, ..TimeoutConfig::default() };
    let config = PolicyConfig {
        timeout: Some(timeout),
        retry: Some(RetryConfig::default()),
        ..PolicyConfig::default()
    };
    let tenants = tenants(&world, config, 100);
    for n in 0..20 {
        let (key, time) = (tenants.key(&n.to_string()), world.time.clone());
        world.block_on(async move {
            let slept = key.run(|| {
                let wait = time.sleep(20 * MS);
                async move {
                    wait.await;
                    Ok::<_, ()>(())
                }
            });
            slept.await.unwrap();
        });
    }
    // A key nobody has seen is cut by what the others have taken.
    let (key, time) = (tenants.key("new"), world.time.clone());
    let mut first = true;
    let began = time.passed();
    world.block_on(async move {
        let answer = key.run(|| {
            let wait = time.sleep(if std::mem::take(&mut first) { 50 * SECOND } else { MS });
            async move {
                wait.await;
                Ok::<_, ()>(())
            }
        });
        answer.await.unwrap();
    });
    assert!(world.time.passed() - began < SECOND);
    assert_eq!(tenants.counts().timed_out, 1);
}

#[test]
fn other_settings_are_those_of_all_keys_and_each_goes_on_from_where_it_was() {
    let mut world = World::default();
    let tenants = tenants(&world, narrow(), 10);
    fail(&tenants, "open", 2);
    fail(&tenants, "half", 1);
    let mut holder = hanging(&tenants, "held");
    assert!(poll(&mut holder).is_none());
    let waiter = world.spawn(good(&tenants, "held"));
    world.settle();
    let mut config = narrow();
    config.circuit_breaker =
        Some(CircuitBreakerConfig { failures: 3, ..config.circuit_breaker.unwrap() });
    config.bulkhead = Some(BulkheadConfig { max_concurrent: 2, ..config.bulkhead.unwrap() });
    assert!(!tenants.reload(&config).unwrap().windows_emptied);
    world.settle();
    assert!(matches!(waiter.answer(), Some(Ok(()))), "there is a place for it now");
    assert_eq!(tenants.phase("open"), Some(Phase::Open));
    // One and one is not three; nor is it for one that came later.
    for key in ["half", "new"] {
        fail(&tenants, key, 1);
        assert_eq!(tenants.phase(key), Some(Phase::Closed));
    }
    fail(&tenants, "half", 1);
    assert_eq!(tenants.phase("half"), Some(Phase::Open));
    fail(&tenants, "new", 1);
    assert_eq!(tenants.phase("new"), Some(Phase::Closed));

    // Taken away and brought back, a pattern starts empty, and what ran before means nothing to it.
    let bare = PolicyConfig { circuit_breaker: None, ..config.clone() };
    tenants.reload(&bare).unwrap();
    assert_eq!((tenants.phase("open"), tenants.phase("other")), (None, None));
    let mut before = hanging(&tenants, "open");
    assert!(poll(&mut before).is_none());
    let one = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
    tenants.reload(&PolicyConfig { circuit_breaker: Some(one), ..config.clone() }).unwrap();
    world.pass(10 * SECOND);
    drop(before);
    assert_eq!(tenants.phase("open"), Some(Phase::Closed));
    fail(&tenants, "open", 1);
    assert_eq!(tenants.phase("open"), Some(Phase::Open));

    let wrong = PolicyConfig { deadline: Some(std::time::Duration::ZERO), ..config };
    assert!(tenants.reload(&wrong).is_err());
    assert_eq!(tenants.phase("open"), Some(Phase::Open));
}

#[test]
fn a_key_first_seen_after_a_reload_is_as_new_under_the_settings_of_now() {
    let limit = |capacity| {
        Some(RateLimitConfig {
            capacity: Some(capacity),
            rate: Some(Rate::per_second(1)),
            ..RateLimitConfig::default()
        })
    };
    let retry = Some(RetryConfig {
        budget: Ratio::ZERO,
        max_retries: 9,
        base_delay: MS,
        ..RetryConfig::default()
    });
    let bare = PolicyConfig::default();
    let mut world = World::default();
    for before in [bare.clone(), PolicyConfig { rate_limit: limit(2), ..bare.clone() }] {
        let tenants = tenants(&world, before, 10);
        let _seen = tenants.key("seen before");
        let after = PolicyConfig { rate_limit: limit(5), retry: retry.clone(), ..bare.clone() };
        tenants.reload(&after).unwrap();
        // What a key has in hand that nobody has seen: three retries, and five calls.
        let (own, mut attempts) = (tenants.key("new"), 0);
        let made = world.block_on(async move {
            let counted = || {
                attempts += 1;
                async { Err::<(), _>(()) }
            };
            assert!(own.run(counted).await.is_err());
            attempts
        });
        assert_eq!(made, 4);
        for _ in 0..4 {
            assert!(matches!(poll(&mut good(&tenants, "new")), Some(Ok(()))));
        }
        assert_eq!(reason(poll(&mut good(&tenants, "new"))), Reason::Limited);
    }
}

/// Counted by who holds it.
struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn nothing_of_a_waiter_stays_behind_however_it_leaves_its_line() {
    for is_late in [false, true] {
        let world = World::default();
        let tenants = tenants(&world, narrow(), 10);
        let mut holders = ["a", "b"].map(|key| hanging(&tenants, key));
        assert!(holders.iter_mut().all(|call| poll(call).is_none()));
        let wakers = [(); 2].map(|()| Arc::new(Nobody));
        let mut waiters = ["a", "b"].map(|key| good(&tenants, key));
        // Both at the first place of their lines.
        for (waiter, waker) in waiters.iter_mut().zip(&wakers) {
            let waker = Waker::from(waker.clone());
            assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let held = || wakers.each_ref().map(Arc::strong_count);
        let [mut leaver, _stays] = waiters;
        assert!(held().iter().all(|held| *held > 1));
        let others = held()[1];
        if is_late {
            world.time.advance(SECOND);
            assert_eq!(reason(poll(&mut leaver)), Reason::WaitOver);
        } else {
            drop(leaver);
        }
        assert_eq!(held()[0], 1, "its own is gone");
        if !is_late {
            assert_eq!(held()[1], others, "and no other");
        }
    }
}

#[test]
fn whoever_waits_in_a_line_that_goes_is_let_out_of_it() {
    let mut world = World::default();
    let tenants = tenants(&world, narrow(), 10);
    let mut holders = ["a", "b"].map(|key| hanging(&tenants, key));
    assert!(holders.iter_mut().all(|call| poll(call).is_none()));
    let waiters = ["a", "b"].map(|key| world.spawn(good(&tenants, key)));
    world.settle();
    tenants.reload(&PolicyConfig { bulkhead: None, ..narrow() }).unwrap();
    world.settle();
    for waiter in waiters {
        assert!(matches!(waiter.answer(), Some(Ok(()))));
        assert!(waiter.polls() <= 3);
    }
}

#[test]
fn how_many_keys_there_may_be_is_a_setting_too() {
    let world = World::default();
    let built = |config: PolicyConfig| world.policy().config(config).per_key::<Arc<str>>();
    let saying = |max_keys| PolicyConfig { max_keys, ..narrow() };
    for (config, said, expected) in [
        (saying(None), None, 10_000),
        (saying(Some(500)), None, 500),
        (saying(Some(500)), Some(2), 2),
        (saying(Some(u32::MAX)), None, u32::MAX - 1),
    ] {
        let builder = built(config);
        let tenants = match said {
            Some(max_keys) => builder.max_keys(max_keys),
            None => builder,
        };
        assert_eq!(tenants.build().unwrap().snapshot().max_keys, expected);
    }
    let all = world.policy().config(saying(Some(500))).build().unwrap_err().to_string();
    assert_eq!(
        all,
        "orders: max_keys is 500, expected not set in one policy for all calls: `per_key` makes one for each key"
    );
    let all = world.policy().config(narrow()).build().unwrap();
    assert_eq!(all.reload(&saying(Some(500))).unwrap_err().found[0].field, "max_keys");
}

#[test]
fn a_reload_makes_room_for_more_keys_and_throws_none_out() {
    let world = World::default();
    let tenants = tenants(&world, narrow(), 2);
    let keys = ["a", "b", "c"].map(|key| tenants.key(key));
    assert_eq!(keys.each_ref().map(Key::is_shared), [false, false, true]);
    let reload = |max_keys| {
        tenants.reload(&PolicyConfig { max_keys, ..narrow() }).unwrap();
        tenants.snapshot().max_keys
    };
    assert_eq!((reload(None), reload(Some(20))), (2, 20));
    let more: Vec<_> = (0..18).map(|n| tenants.key(&*n.to_string())).collect();
    assert!(!more.iter().any(Key::is_shared) && tenants.key("late").is_shared());
    assert_eq!(reload(Some(1)), 20);
    assert!(tenants.key("late").is_shared() && !tenants.key("a").is_shared());
    drop((keys, more));
    assert!(!tenants.key("late").is_shared());
    assert_eq!((tenants.snapshot().keys, tenants.snapshot().evicted), (20, 1));
}

#[test]
fn what_does_not_fit_many_times_is_refused_with_what_would() {
    let build = |config: PolicyConfig| {
        Policy::builder("tenants").config(config).per_key::<Arc<str>>().build().map(drop)
    };
    let window = |limit, buckets| PolicyConfig {
        rate_limit: Some(RateLimitConfig {
            algorithm: Algorithm::SlidingWindow,
            limit: Some(limit),
            buckets,
            ..RateLimitConfig::default()
        }),
        ..PolicyConfig::default()
    };
    let breaker =
        |config| PolicyConfig { circuit_breaker: Some(config), ..PolicyConfig::default() };
    let calls = |n| {
        breaker(CircuitBreakerConfig {
            window: Window::Calls(n),
            ..CircuitBreakerConfig::default()
        })
    };
    let probes =
        |n| breaker(CircuitBreakerConfig { half_open_calls: n, ..CircuitBreakerConfig::default() });
    for fits in [window(16, None), window(100_000, Some(15)), calls(256), probes(16)] {
        assert_eq!(build(fits), Ok(()));
    }
    for (wrong, field, expected) in [
        (window(17, None), "rate_limit.limit", "rate_limit.buckets, up to 15"),
        (window(17, Some(16)), "rate_limit.buckets", "at most 15"),
        (calls(257), "circuit_breaker.over", "at most 256 calls"),
        (probes(17), "circuit_breaker.half_open_calls", "at most 16"),
        (
            PolicyConfig { deadline: Some(std::time::Duration::ZERO), ..PolicyConfig::default() },
            "deadline",
            "more than 0s",
        ),
    ] {
        let invalid = build(wrong).unwrap_err().to_string();
        assert!(invalid.contains(field) && invalid.contains(expected), "{invalid}");
    }
    let part = seawall::Bulkhead::new("places", BulkheadConfig::default()).unwrap();
    let shared = Policy::builder("tenants").bulkhead(&part).per_key::<Arc<str>>().build();
    assert!(shared.unwrap_err().to_string().contains("no handle"));
}

#[test]
fn a_key_and_its_maker_say_nothing_of_keys_when_they_are_printed() {
    let tenants = tenants(&World::default(), narrow(), 1);
    let key: Key = tenants.key("secret");
    assert!(!format!("{tenants:?} {key:?} {:?}", tenants.clone()).contains("secret"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Forgotten or not, nobody can tell: only what is as new is forgotten.
    #[test]
    fn one_with_a_place_is_answered_as_if_nothing_were_ever_forgotten(
        steps in prop::collection::vec((0_usize..5, 0_u8..4, 0_u64..300), 1..150),
    ) {
        let world = World::default();
        let config = PolicyConfig {
            circuit_breaker: None,
            rate_limit: Some(RateLimitConfig {
                capacity: Some(2),
                rate: Some(Rate::per_second(1)),
                ..RateLimitConfig::default()
            }),
            ..narrow()
        };
        let keyed = tenants(&world, config.clone(), 2);
        let own = [(); 5].map(|()| world.policy().config(config.clone()).build().unwrap());
        let mut running: [Vec<(Pending, Pending)>; 5] = Default::default();
        for (n, step, millis) in steps {
            world.time.advance(std::time::Duration::from_millis(millis));
            if step == 3 {
                running[n].pop();
                continue;
            }
            let (key, policy) = (keyed.key(&*n.to_string()), own[n].clone());
            if key.is_shared() {
                prop_assert!(running[n].is_empty(), "it is in use");
                continue;
            }
            let (mut mine, mut its): (Pending, Pending) = if step == 2 {
                (Box::pin(async move { key.run(pending).await }), Box::pin(async move { policy.run(pending).await }))
            } else {
                (Box::pin(async move { key.run(|| async { Ok(()) }).await }), Box::pin(async move { policy.run(|| async { Ok(()) }).await }))
            };
            match (poll(&mut mine), poll(&mut its)) {
                (None, None) => running[n].push((mine, its)),
                (mine, its) => prop_assert_eq!(format!("{mine:?}"), format!("{its:?}")),
            }
        }
        drop(running);
        let counts = keyed.counts();
        prop_assert_eq!(counts.calls.in_flight() + counts.attempts.in_flight(), 0);
    }

    /// As a policy for each key that is never forgotten, as long as there is room.
    #[test]
    fn each_key_is_answered_as_by_a_policy_of_its_own(
        steps in prop::collection::vec((0_usize..4, 0_u8..6, 0_u64..900), 1..120),
    ) {
        let world = World::default();
        let config = PolicyConfig {
            rate_limit: Some(RateLimitConfig {
                capacity: Some(4),
                rate: Some(Rate::per_second(3)),
                ..RateLimitConfig::default()
            }),
            ..narrow()
        };
        let names = ["a", "b", "c", "d"];
        let keyed = tenants(&world, config.clone(), 4);
        let own: HashMap<_, _> = names
            .map(|name| (name, world.policy().config(config.clone()).build().unwrap()))
            .into();
        let mut running: [Vec<(Pending, Pending)>; 4] = Default::default();
        for (n, step, millis) in steps {
            world.time.advance(std::time::Duration::from_millis(millis));
            let policy = own[names[n]].clone();
            let (mut mine, mut its): (Pending, Pending) = match step {
                0 | 1 => (good(&keyed, names[n]), Box::pin(async move { policy.run(|| async { Ok(()) }).await })),
                2 | 3 => {
                    let key = keyed.key(names[n]);
                    (
                        Box::pin(async move { key.run(|| async { Err(()) }).await }),
                        Box::pin(async move { policy.run(|| async { Err(()) }).await }),
                    )
                }
                4 => (hanging(&keyed, names[n]), Box::pin(async move { policy.run(pending).await })),
                _ => {
                    running[n].pop();
                    continue;
                }
            };
            match (poll(&mut mine), poll(&mut its)) {
                (None, None) => running[n].push((mine, its)),
                (mine, its) => prop_assert_eq!(format!("{mine:?}"), format!("{its:?}")),
            }
            prop_assert_eq!(keyed.phase(names[n]), own[names[n]].phase());
        }
        drop(running);
        let sum = |count: fn(&Policy) -> u64| own.values().map(count).sum::<u64>();
        let counts = keyed.counts();
        prop_assert_eq!(counts.calls.started, sum(|policy| policy.counts().calls.started));
        prop_assert_eq!(counts.calls.succeeded, sum(|policy| policy.counts().calls.succeeded));
        prop_assert_eq!(counts.calls.failed, sum(|policy| policy.counts().calls.failed));
        prop_assert_eq!(counts.calls.refused, sum(|policy| policy.counts().calls.refused));
        prop_assert_eq!(counts.calls.in_flight(), 0);
    }
}
