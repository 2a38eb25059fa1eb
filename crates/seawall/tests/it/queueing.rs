//! Calls that wait for a place: in turn, within their limits, and without spinning.

use std::{
    cell::{Cell, RefCell},
    future::{pending, ready},
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use seawall::{
    BulkheadConfig, Error, Policy, RateLimitConfig, RateLimiter, RetryConfig,
    core::{Algorithm, Priority, Rate, Reason},
};

use crate::world::{Job, MS, SECOND, World, assert_nothing_is_left, poll, seen};

fn narrow(world: &World, config: BulkheadConfig) -> Policy {
    world
        .policy()
        .bulkhead(config)
        .retry(RetryConfig::default())
        .build()
        .expect("the settings make sense")
}

fn one_place() -> BulkheadConfig {
    BulkheadConfig { max_concurrent: 1, max_wait: SECOND, ..BulkheadConfig::default() }
}

/// A call that has a place or waits for one until it is dropped.
fn hangs(policy: &Policy) -> Pin<Box<impl Future + use<'_>>> {
    let mut call = Box::pin(policy.run(pending::<Result<(), ()>>));
    assert!(poll(&mut call).is_none());
    call
}

/// A call that waits for a place and holds up its thread.
fn waits_on_a_thread(policy: &Policy) -> JoinHandle<Result<u32, Error<()>>> {
    let waits = policy.clone();
    let caller = thread::spawn(move || waits.run_blocking(|| Ok(7)));
    while seen(policy).bulkheads["orders"].queued == 0 {
        thread::yield_now();
    }
    caller
}

#[test]
fn waiters_run_in_the_order_of_their_urgency_and_are_polled_three_times_at_most() {
    let mut world = World::default();
    let policy = narrow(&world, one_place());
    let order = Arc::new(Mutex::new(Vec::new()));
    let classes =
        [Priority::Normal, Priority::Background, Priority::Low, Priority::Critical, Priority::High];
    let jobs: Vec<_> = classes
        .into_iter()
        .map(|class| {
            let (policy, order, time) = (policy.clone(), order.clone(), world.time.clone());
            world.spawn(async move {
                let call = policy.call().priority(class);
                let answer = call.run(|| {
                    order.lock().unwrap().push(class);
                    let wait = time.sleep(10 * MS);
                    async move {
                        wait.await;
                        Ok::<_, ()>(())
                    }
                });
                answer.await.unwrap();
            })
        })
        .collect();
    world.run();
    let order = order.lock().unwrap();
    let expected =
        [Priority::Normal, Priority::Critical, Priority::High, Priority::Low, Priority::Background];
    assert_eq!(*order, expected);
    for (class, job) in classes.iter().zip(jobs) {
        assert!(job.polls() <= 3, "{class}: {} polls", job.polls());
    }
    assert_nothing_is_left(&policy);
}

#[test]
fn a_wait_ends_with_a_refusal_that_says_why() {
    let mut world = World::default();
    let policy = narrow(&world, BulkheadConfig { max_queue: 1, ..one_place() });
    let (hold, time) = (policy.clone(), world.time.clone());
    world.spawn(async move {
        hold.run(|| {
            let wait = time.sleep(5 * SECOND);
            async move {
                wait.await;
                Ok::<_, ()>(())
            }
        })
        .await
        .unwrap();
    });
    let reasons = Arc::new(Mutex::new(Vec::new()));
    for class in [Priority::Low, Priority::High, Priority::Low] {
        let (policy, reasons) = (policy.clone(), reasons.clone());
        world.spawn(async move {
            let refused = policy.call().priority(class).run(|| async { Ok::<_, ()>(()) }).await;
            let Err(Error::Refused(refused)) = refused else { panic!("{refused:?}") };
            reasons.lock().unwrap().push((class, refused.refusal.reason));
        });
    }
    world.run();
    // A queue below five keeps no place for a class: the only one of its class is not displaced.
    assert_eq!(
        *reasons.lock().unwrap(),
        [
            (Priority::High, Reason::Full),
            (Priority::Low, Reason::Full),
            (Priority::Low, Reason::WaitOver)
        ]
    );
    assert_nothing_is_left(&policy);
}

#[test]
fn a_turn_that_the_places_of_others_put_off_is_not_waited_for() {
    let mut world = World::default();
    let mostly_critical = BulkheadConfig {
        max_concurrent: 10,
        max_run: None,
        reserves: [9, 0, 0, 0, 0],
        ..BulkheadConfig::default()
    };
    let policy = world.policy().bulkhead(mostly_critical).build().unwrap();
    let (one, time) = (policy.clone(), world.time.clone());
    let second = || {
        let (policy, time) = (one.clone(), time.clone());
        async move {
            let call = policy.run(async || {
                time.sleep(SECOND).await;
                Ok::<_, ()>(())
            });
            call.await
        }
    };
    for _ in 0..40 {
        let call = second();
        assert!(world.block_on(call).is_ok());
    }
    // One place for all normal calls: nine wait before this one, a second each.
    let _jobs: Vec<_> = (0..10).map(|_| world.spawn(second())).collect();
    world.settle();
    let mut late = Box::pin(policy.call().deadline(3 * SECOND).run(|| ready(Ok::<_, ()>(()))));
    assert!(poll(&mut late).is_some(), "its turn would come after ten seconds");
}

#[test]
fn dropped_while_waiting_or_granted_it_passes_the_place_on() {
    for polls in 1..=3 {
        let world = World::default();
        let policy = narrow(&world, one_place());
        let (holder, mut leaver) = (hangs(&policy), hangs(&policy));
        let mut next = Box::pin(policy.run(|| async { Ok::<_, ()>(7) }));
        assert!(poll(&mut next).is_none());
        if polls > 1 {
            drop(holder);
            if polls > 2 {
                assert!(poll(&mut leaver).is_none(), "it runs now");
            }
            drop(leaver);
        } else {
            drop(leaver);
            drop(holder);
        }
        assert!(poll(&mut next).is_some(), "dropped after {polls} polls");
        drop(next);
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn a_blocking_call_waits_for_its_place_and_is_woken() {
    let world = World::default();
    let policy = narrow(&world, one_place());
    let (holder, blocking) = (hangs(&policy), waits_on_a_thread(&policy));
    drop(holder);
    assert_eq!(blocking.join().unwrap().unwrap(), 7);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_blocking_wait_ends_when_the_clock_says_so() {
    let world = World::default();
    let policy = narrow(&world, one_place());
    let (holder, blocking) = (hangs(&policy), waits_on_a_thread(&policy));
    while !blocking.is_finished() {
        world.time.advance(SECOND);
        thread::yield_now();
    }
    let Err(Error::Refused(refused)) = blocking.join().unwrap() else {
        panic!("its wait was over")
    };
    assert_eq!(refused.refusal.reason, Reason::WaitOver);
    drop(holder);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_shaper_lets_calls_through_at_their_times() {
    let mut world = World::default();
    let config = RateLimitConfig {
        algorithm: Algorithm::Shaper,
        capacity: Some(100),
        rate: Some(Rate::per_second(50)),
        ..RateLimitConfig::default()
    };
    let policy = world.policy().rate_limit(config).build().unwrap();
    let times = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..20 {
        let (policy, times, time) = (policy.clone(), times.clone(), world.time.clone());
        world.spawn(async move {
            policy
                .run(|| {
                    times.lock().unwrap().push(time.passed());
                    async { Ok::<_, ()>(()) }
                })
                .await
                .unwrap();
        });
    }
    world.run();
    let expected: Vec<_> = (0..20).map(|n| 20 * MS * n).collect();
    assert_eq!(*times.lock().unwrap(), expected);
}

#[test]
fn nothing_starts_after_the_deadline_however_long_this_process_stalls() {
    let mut world = World::default();
    let policy = world.policy().bulkhead(one_place()).deadline(SECOND).build().unwrap();
    let holds = policy.clone();
    let holder = world.spawn(async move { holds.run(pending::<Result<(), ()>>).await });
    let (waits, started) = (policy.clone(), Rc::new(Cell::new(None)));
    let (at, time) = (started.clone(), world.time.clone());
    let waiter = world.spawn(async move {
        let operation = || {
            at.set(Some(time.passed()));
            ready(Ok::<_, ()>(()))
        };
        waits.run(operation).await
    });
    world.settle();
    world.time.advance(500 * MS);
    world.cancel(&holder);
    world.time.advance(2 * SECOND);
    world.settle();
    assert_eq!(started.get(), None);
    let Some(Err(Error::Refused(refused))) = waiter.answer() else { panic!("it waited in vain") };
    assert_eq!(refused.refusal.reason, Reason::TooLate);
    assert_nothing_is_left(&policy);
}

#[test]
fn nothing_starts_after_the_deadline_on_the_callers_own_thread_either() {
    let world = World::default();
    let shaper = RateLimitConfig {
        algorithm: Algorithm::Shaper,
        rate: Some(Rate::per_second(1)),
        ..RateLimitConfig::default()
    };
    let policy = world.policy().rate_limit(shaper).deadline(1_100 * MS).build().unwrap();
    policy.run_blocking(|| Ok::<_, ()>(())).unwrap();
    let waits = policy.clone();
    let caller = thread::spawn(move || waits.run_blocking(|| Ok::<_, ()>(())));
    while world.time.manual.next_wake().is_none() {
        thread::yield_now();
    }
    world.time.advance(10 * SECOND);
    assert!(matches!(caller.join().unwrap(), Err(Error::Refused(_))));
    assert_nothing_is_left(&policy);
}

/// When four calls that came at the origin went, by number.
type Times = Rc<RefCell<Vec<(u32, Duration)>>>;

fn four_go(world: &mut World, policy: &Policy) -> (Vec<Job<()>>, Times) {
    let times = Times::default();
    let call = |number| {
        let (policy, times, time) = (policy.clone(), times.clone(), world.time.clone());
        world.spawn(async move {
            policy.run(|| ready(Ok::<_, ()>(()))).await.expect("its turn comes");
            times.borrow_mut().push((number, time.passed()));
        })
    };
    let jobs = (0..4).map(call).collect();
    (jobs, times)
}

fn one_in(seconds: u32) -> RateLimitConfig {
    RateLimitConfig {
        algorithm: Algorithm::Shaper,
        rate: Rate::new(1, seconds * SECOND),
        ..RateLimitConfig::default()
    }
}

#[test]
fn a_cancelled_turn_at_a_shaper_goes_to_the_next_and_no_two_go_together() {
    let mut world = World::default();
    let policy = world.policy().rate_limit(one_in(1)).build().unwrap();
    let (jobs, times) = four_go(&mut world, &policy);
    world.pass(500 * MS);
    world.cancel(&jobs[1]);
    world.run();
    assert_eq!(*times.borrow(), [(0, Duration::ZERO), (2, SECOND), (3, 2 * SECOND)]);
    assert!(jobs.iter().all(|job| job.polls() <= 3));
}

#[test]
fn a_shaper_that_changes_its_rate_lets_those_who_wait_go_at_the_new_one() {
    for (old, new, expected) in [(60, 1, [0, 1, 2, 3]), (1, 60, [0, 60, 120, 180])] {
        let mut world = World::default();
        let limiter = RateLimiter::with_clock("s", one_in(old), world.time.clock()).unwrap();
        let policy = world.policy().rate_limit(&limiter).build().unwrap();
        let (jobs, times) = four_go(&mut world, &policy);
        world.pass(500 * MS);
        limiter.reconfigure(one_in(new)).unwrap();
        world.run();
        let seconds: Vec<_> = times.borrow().iter().map(|(_, time)| time.as_secs()).collect();
        assert_eq!(seconds, expected, "one in {old} s becomes one in {new} s");
        let polls: Vec<_> = jobs.iter().map(|job| job.polls()).collect();
        assert!(polls.iter().all(|polls| *polls <= 5), "{polls:?}");
    }
}

#[test]
fn many_threads_and_few_places_lose_nobody() {
    let policy = Policy::builder("orders")
        .bulkhead(BulkheadConfig {
            max_concurrent: 2,
            max_queue: 1_000,
            ..BulkheadConfig::default()
        })
        .build()
        .unwrap();
    let most = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let running = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (policy, most, running) = (policy.clone(), most.clone(), running.clone());
            thread::spawn(move || {
                use std::sync::atomic::Ordering::SeqCst;
                for _ in 0..200 {
                    let answer = policy.run_blocking(|| {
                        most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                        thread::yield_now();
                        running.fetch_sub(1, SeqCst);
                        Ok::<_, ()>(())
                    });
                    answer.unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(most.load(std::sync::atomic::Ordering::SeqCst) <= 2);
    assert_eq!(policy.counts().calls.succeeded, 1_600);
}
