//! Parts shared by handle: what one policy does to a part, all who share it see; and nobody waits for a lock for ever.

use std::{
    future::{pending, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::sync_channel,
    },
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use seawall::{
    AdaptiveTimeout, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Clock, Error,
    Heard, Observed, Policy, PolicyBuilder, PolicyConfig, Ratio, Retry, RetryBudget, RetryConfig,
    Snapshot, TimeoutConfig,
    core::{Limit, Override, Pattern, Phase, Priority, Reason, Stopped},
};

use crate::world::{MS, SECOND, Time, World, assert_nothing_is_left, exact_retry, poll, seen};

fn named(name: &'static str, time: &Time) -> PolicyBuilder {
    Policy::builder(name).clock(time.clock())
}

fn breaker(time: &Time) -> CircuitBreaker {
    let config = CircuitBreakerConfig { failures: 2, ..CircuitBreakerConfig::default() };
    CircuitBreaker::with_clock("database", config, time.clock()).expect("the settings make sense")
}

fn one_place(time: &Time) -> Bulkhead {
    let config =
        BulkheadConfig { max_concurrent: 1, max_wait: SECOND, ..BulkheadConfig::default() };
    Bulkhead::with_clock("connections", config, time.clock()).expect("the settings make sense")
}

fn fail(policy: &Policy) -> Error<()> {
    policy.run_blocking(|| Err::<(), _>(())).expect_err("it fails")
}

fn reason<E>(error: Error<E>) -> (Pattern, Reason) {
    match error {
        Error::Refused(refused) => (refused.refusal.by, refused.refusal.reason),
        other => panic!("{}", other.history()),
    }
}

#[test]
fn a_breaker_that_one_policy_opens_refuses_the_other() {
    let time = Time::default();
    let breaker = breaker(&time);
    let mut events = breaker.events();
    let [reads, writes] = ["reads", "writes"]
        .map(|name| named(name, &time).circuit_breaker(&breaker).build().unwrap());
    let mut own = reads.events();
    fail(&reads);
    fail(&writes);
    assert_eq!([reads.phase(), writes.phase()], [Some(Phase::Open); 2]);
    assert_eq!(reason(fail(&reads)), (Pattern::CircuitBreaker, Reason::Open));
    assert_eq!(reason(fail(&writes)), (Pattern::CircuitBreaker, Reason::Open));
    let Some(Some(Heard::Change(change))) = poll(&mut pin!(events.next())) else {
        panic!("it has opened")
    };
    assert_eq!((&*change.name, change.number, change.transition.to), ("database", 1, Phase::Open));
    assert!(poll(&mut pin!(events.next())).is_none(), "told once");
    assert!(poll(&mut pin!(own.next())).is_none(), "and by the part alone");
    // What time alone brings about is seen through either.
    time.advance(60 * SECOND);
    assert_eq!(writes.phase(), Some(Phase::HalfOpen));
    reads.force(Override::closed("known to be well"));
    assert_eq!(breaker.phase(), Phase::ForcedClosed);
    writes.release();
    assert_eq!(reads.phase(), Some(Phase::Closed));
    assert_nothing_is_left(&reads);
}

#[test]
fn a_waiter_of_one_policy_is_called_up_by_another_that_leaves() {
    let mut world = World::default();
    let places = one_place(&world.time);
    let [reads, writes] =
        ["reads", "writes"].map(|name| named(name, &world.time).bulkhead(&places).build().unwrap());
    let (holder, time) = (reads.clone(), world.time.clone());
    world.spawn(async move {
        let held = holder.run(|| {
            let wait = time.sleep(10 * MS);
            async move {
                wait.await;
                Ok::<_, ()>(())
            }
        });
        held.await.unwrap();
    });
    let waiters: Vec<_> = [&writes, &reads, &writes]
        .map(|policy| {
            let policy = policy.clone();
            world.spawn(async move { policy.run(|| ready(Ok::<_, ()>(()))).await.unwrap() })
        })
        .into();
    world.settle();
    assert_eq!(places.snapshot().queued, 3);
    world.run();
    assert_eq!(world.time.passed(), 10 * MS);
    for waiter in waiters {
        assert!(waiter.polls() <= 3, "{} polls", waiter.polls());
    }
    [reads, writes].iter().for_each(assert_nothing_is_left);
    assert_eq!((places.snapshot().running, places.snapshot().completed), (0, 4));
}

#[test]
fn a_call_dropped_in_a_shared_line_passes_its_place_on() {
    for called_up in [false, true] {
        let time = Time::default();
        let places = one_place(&time);
        let [reads, writes] =
            ["reads", "writes"].map(|name| named(name, &time).bulkhead(&places).build().unwrap());
        let mut holder = Box::pin(reads.run(pending::<Result<(), ()>>));
        let mut leaver = Box::pin(writes.run(pending::<Result<(), ()>>));
        let mut next = pin!(reads.run(|| ready(Ok::<_, ()>(7))));
        assert!(poll(&mut holder).is_none() && poll(&mut leaver).is_none());
        assert!(poll(&mut next).is_none());
        if called_up {
            drop(holder);
            drop(leaver);
        } else {
            drop(leaver);
            drop(holder);
        }
        assert!(poll(&mut next).is_some(), "called up: {called_up}");
        [&reads, &writes].into_iter().for_each(assert_nothing_is_left);
        assert_eq!((places.snapshot().running, places.snapshot().queued), (0, 0));
    }
}

#[test]
fn a_slot_held_by_hand_keeps_a_policys_call_waiting() {
    let time = Time::default();
    let places = one_place(&time);
    let policy = named("reads", &time).bulkhead(&places).build().unwrap();
    let slot = places.try_acquire(Priority::Low).unwrap();
    let mut call = pin!(policy.run(|| ready(Ok::<_, ()>(7))));
    assert!(poll(&mut call).is_none());
    drop(slot);
    assert!(matches!(poll(&mut call), Some(Ok(7))));
}

#[test]
fn a_budget_that_one_policy_spends_is_empty_for_the_other() {
    let mut world = World::default();
    let clock = world.time.clock();
    let budget = RetryBudget::with_clock("database", Ratio::percent(10), false, clock).unwrap();
    let [reads, writes] = ["reads", "writes"].map(|name| {
        named(name, &world.time).retry(exact_retry()).retry_budget(&budget).build().unwrap()
    });
    for (policy, attempts, stopped) in [(&reads, 4, Stopped::MaxRetries), (&writes, 1, exhausted())]
    {
        let policy = policy.clone();
        let error = world
            .block_on(async move { policy.run(|| ready(Err::<(), _>(()))).await.unwrap_err() });
        assert_eq!(error.history().attempts().len(), attempts);
        assert_eq!(error.history().stopped(), Some(stopped));
    }
    let figures = budget.snapshot();
    assert_eq!((figures.first_attempts, figures.retries), (2, 3));
    // It pays for a component too.
    let retry = Retry::paid_by("deletes", exact_retry(), &budget).unwrap();
    let error = retry.run_blocking(|| Err::<(), _>(())).unwrap_err();
    assert_eq!(error.history().stopped(), Some(exhausted()));
    assert_eq!(retry.budget().snapshot().first_attempts, 3);
}

#[test]
fn a_budget_earns_at_another_ratio_for_all_whose_retries_it_pays_for() {
    let budget = RetryBudget::new("database", Ratio::percent(10), false).unwrap();
    let reads = Policy::builder("reads").retry(exact_retry()).retry_budget(&budget);
    let reads = reads.build().unwrap();
    (0..100).for_each(|_| reads.run_blocking(|| Ok::<_, ()>(())).unwrap());
    budget.reconfigure(Ratio::percent(50), false).unwrap();
    let earned = budget.snapshot();
    assert_eq!((earned.ratio, earned.first_attempts), (Ratio::percent(50), 100));
    let before = earned.balance;
    (0..10).for_each(|_| reads.run_blocking(|| Ok::<_, ()>(())).unwrap());
    assert!((budget.snapshot().balance - before - 5.0).abs() < 1e-9, "{:?}", budget.snapshot());
    let wrong = budget.reconfigure(Ratio::percent(1_001), false).unwrap_err();
    assert_eq!((wrong.found[0].field, &*wrong.name), ("retry.budget", "database"));
    assert_eq!(budget.snapshot().ratio, Ratio::percent(50));
}

#[test]
fn a_budget_that_pays_for_nothing_is_a_mistake() {
    let budget = RetryBudget::new("database", Ratio::percent(10), false).unwrap();
    let wrong = Policy::builder("reads").retry_budget(&budget).build().unwrap_err();
    let told = "reads: retry_budget is shared with database, and no retries, expected beside \
        `retry`: it pays for that";
    assert_eq!(wrong.to_string(), told);
}

fn exhausted() -> Stopped {
    let refusal = seawall::core::Refusal::new(Pattern::RetryBudget, Reason::Exhausted);
    Stopped::Refused(refusal)
}

#[test]
fn what_one_policy_learns_limits_the_other() {
    let mut world = World::default();
    let config = TimeoutConfig { attempt: 5 * SECOND, ..TimeoutConfig::default() };
    let timeout = AdaptiveTimeout::with_clock("search", config, world.time.clock()).unwrap();
    let reads = named("reads", &world.time).timeout(&timeout).build().unwrap();
    let writes = named("writes", &world.time).timeout(&timeout).retry(exact_retry());
    let writes = writes.build().unwrap();
    let (run, time) = (reads.clone(), world.time.clone());
    world.block_on(async move {
        for _ in 0..100 {
            let answer = run.run(|| {
                let wait = time.sleep(10 * MS);
                async move {
                    wait.await;
                    Ok::<_, ()>(())
                }
            });
            answer.await.unwrap();
        }
    });
    assert!(timeout.current_limit() < 16 * MS);
    let error =
        world.block_on(async move { writes.run(pending::<Result<(), ()>>).await.unwrap_err() });
    let limits: Vec<_> = error.history().attempts().iter().map(|it| it.ended).collect();
    assert_eq!(limits[0], seawall::Ended::Cut(Limit::Learned));
    // Without another attempt it does not cut; the configured limit does, which the part brings.
    let error =
        world.block_on(async move { reads.run(pending::<Result<(), ()>>).await.unwrap_err() });
    let Error::TimedOut(late) = error else { panic!("nothing answered") };
    assert_eq!((late.limit, late.after), (Limit::Attempt, 5 * SECOND));
}

#[test]
fn who_answers_one_policy_does_not_make_the_hung_callee_of_another_a_busy_one() {
    for (answers, cut) in [("writes", 1), ("reads", 0)] {
        let world = World::default();
        let two = BulkheadConfig { max_concurrent: 2, max_run: None, ..BulkheadConfig::default() };
        let config = TimeoutConfig { warm_up: 10, ..TimeoutConfig::default() };
        let timeout = AdaptiveTimeout::with_clock("search", config, world.time.clock()).unwrap();
        let policy = |name| {
            let policy = named(name, &world.time).bulkhead(two.clone()).timeout(&timeout);
            policy.retry(exact_retry()).build().unwrap()
        };
        let (reads, writes) = (policy("reads"), policy("writes"));
        let good = |policy: &Policy| {
            let (policy, time) = (policy.clone(), world.time.clone());
            let sleep = move || {
                let sleep = time.sleep(10 * MS);
                async {
                    sleep.await;
                    Ok::<_, ()>(())
                }
            };
            Box::pin(async move { policy.run(sleep).await })
        };
        for _ in 0..20 {
            let mut call = good(&writes);
            assert!(poll(&mut call).is_none());
            world.time.advance(10 * MS);
            assert!(poll(&mut call).is_some());
        }
        let mut answered = good(if answers == "reads" { &reads } else { &writes });
        assert!(poll(&mut answered).is_none());
        // The first hangs, the last waits for a place.
        let mut calls = [(); 4].map(|()| Box::pin(reads.run(pending::<Result<(), ()>>)));
        calls.iter_mut().for_each(|call| assert!(poll(call).is_none()));
        world.time.advance(10 * MS);
        assert!(poll(&mut answered).is_some());
        world.time.advance(6 * MS);
        assert!(poll(&mut calls[0]).is_none());
        assert_eq!(reads.counts().timed_out, cut, "{answers}");
    }
}

#[test]
fn a_limit_that_is_set_anew_is_that_of_all_who_share_it() {
    let mut world = World::default();
    let limits = |attempt| TimeoutConfig { attempt, ..TimeoutConfig::default() };
    let clock = world.time.clock();
    let timeout = AdaptiveTimeout::with_clock("search", limits(10 * SECOND), clock).unwrap();
    let policy = named("reads", &world.time).timeout(&timeout).build().unwrap();
    for attempt in [SECOND, 20 * SECOND] {
        timeout.reconfigure(limits(attempt)).unwrap();
        let run = policy.clone();
        let error = world.block_on(async move { run.run(pending::<Result<(), ()>>).await });
        let Err(Error::TimedOut(late)) = error else { panic!("nothing answered") };
        assert_eq!((late.limit, late.after), (Limit::Attempt, attempt));
    }
}

#[test]
fn the_last_line_says_whose_part_it_is() {
    let time = Time::default();
    let (breaker, own) = (breaker(&time), CircuitBreakerConfig::default());
    let policy = named("reads", &time).circuit_breaker(own.clone()).circuit_breaker(&breaker);
    assert!(seen(&policy.build().unwrap()).circuit_breakers.is_empty());
    let policy = named("reads", &time).circuit_breaker(&breaker).circuit_breaker(own);
    assert_eq!(seen(&policy.build().unwrap()).circuit_breakers.len(), 1);
}

#[test]
fn a_reload_leaves_shared_parts_alone_and_refuses_settings_for_them() {
    let time = Time::default();
    let (breaker, places) = (breaker(&time), one_place(&time));
    let budget = RetryBudget::with_clock("b", Ratio::percent(10), false, time.clock()).unwrap();
    let policy = named("reads", &time).circuit_breaker(&breaker).bulkhead(&places);
    let policy = policy.retry(exact_retry()).retry_budget(&budget).build().unwrap();
    let own = PolicyConfig {
        retry: Some(RetryConfig { max_retries: 0, ..exact_retry() }),
        ..PolicyConfig::default()
    };
    let config = PolicyConfig {
        circuit_breaker: Some(CircuitBreakerConfig { failures: 99, ..Default::default() }),
        bulkhead: Some(BulkheadConfig { max_concurrent: 99, ..Default::default() }),
        ..own.clone()
    };
    assert_eq!(
        policy.reload(&config).unwrap_err().to_string(),
        "reads: circuit_breaker is set and shared with database, expected not set here: `reconfigure` of its handle \
         is for all who share it\n\
         reads: bulkhead is set and shared with connections, expected not set here: `reconfigure` of its handle is \
         for all who share it"
    );
    policy.reload(&own).unwrap();
    assert_eq!(places.snapshot().max_concurrent, 1);
    let shown = seen(&policy);
    assert!(shown.circuit_breakers.is_empty() && shown.bulkheads.is_empty());
    assert!(shown.retry_managers.is_empty());
    fail(&policy);
    fail(&policy);
    assert_eq!((breaker.phase(), budget.snapshot().first_attempts), (Phase::Open, 2));
    policy.reload(&PolicyConfig::default()).unwrap();
    assert_eq!(reason(fail(&policy)), (Pattern::CircuitBreaker, Reason::Open));
    let places = places.reconfigure(BulkheadConfig { max_concurrent: 5, ..Default::default() });
    assert!(places.is_ok());
}

#[test]
fn all_that_is_shared_goes_by_one_clock() {
    let (time, other) = (Time::default(), Time::default());
    let (breaker, places) = (breaker(&time), one_place(&other));
    let policy = Policy::builder("reads").circuit_breaker(&breaker).bulkhead(&places).build();
    assert_eq!(
        policy.unwrap_err().to_string(),
        "reads: clock is not that of the shared connections, expected one clock for all: give `clock` here and each \
         part's `with_clock` the same"
    );
    let policy = Policy::builder("reads").circuit_breaker(&breaker).clock(Clock::fast()).build();
    assert_eq!(policy.unwrap_err().found[0].value, "not that of the shared database");
    // Without a line of its own a policy goes by the clock of its parts.
    let policy = Policy::builder("reads").circuit_breaker(&breaker).build().unwrap();
    assert_eq!(*policy.clock(), time.clock());
}

#[test]
fn a_shared_part_is_shown_once_under_its_own_name() {
    let time = Time::default();
    let (breaker, places) = (breaker(&time), one_place(&time));
    let mut shown = Snapshot::default();
    for name in ["reads", "writes"] {
        let policy = named(name, &time).circuit_breaker(&breaker).bulkhead(&places);
        policy.build().unwrap().observe(&mut shown);
    }
    assert!(shown.circuit_breakers.is_empty() && shown.bulkheads.is_empty());
    breaker.observe(&mut shown);
    places.observe(&mut shown);
    assert_eq!(shown.circuit_breakers.keys().collect::<Vec<_>>(), ["database"]);
    assert_eq!(shown.bulkheads.keys().collect::<Vec<_>>(), ["connections"]);
    assert_eq!(shown.policies.keys().collect::<Vec<_>>(), ["reads", "writes"]);
}

#[test]
fn pooled_operations_share_the_threads_of_their_bulkhead() {
    let places = Bulkhead::new("connections", BulkheadConfig::default()).unwrap();
    let policy = Policy::builder("reads").bulkhead(&places).build().unwrap();
    let name = policy.run_pooled(|| Ok::<_, ()>(thread::current().name().map(str::to_owned)));
    assert_eq!(name.unwrap().as_deref(), Some("connections"));
    assert_eq!(places.pool_snapshot().threads, 1);
}

/// Looks at everything when it wakes somebody: with a lock held it would wait for ever.
struct Curious {
    policies: [Policy; 2],
    places: Bulkhead,
    woken: AtomicU32,
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        let calls = self.policies.iter().map(|policy| policy.counts().calls.started);
        assert_eq!((calls.sum::<u64>(), self.places.snapshot().queued), (2, 0));
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

/// Fails if the test does not end.
fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = sync_channel(1);
    let running = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    let ended = wait.recv_timeout(Duration::from_secs(60));
    assert!(ended.is_ok() || running.is_finished(), "it hangs");
    assert!(running.join().is_ok(), "it failed");
}

#[test]
fn nobody_is_woken_under_a_lock() {
    within_a_minute(|| {
        let time = Time::default();
        let places = one_place(&time);
        let policies =
            ["reads", "writes"].map(|name| named(name, &time).bulkhead(&places).build().unwrap());
        let [reads, writes] = policies.clone();
        let curious = Arc::new(Curious { policies, places, woken: AtomicU32::new(0) });
        let waker = Waker::from(curious.clone());
        let mut holder = Box::pin(reads.run(pending::<Result<(), ()>>));
        assert!(poll(&mut holder).is_none());
        let mut waiter = pin!(writes.run(|| ready(Ok::<_, ()>(7))));
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(holder);
        assert_eq!(curious.woken.load(Ordering::SeqCst), 1);
        assert!(poll(&mut waiter).is_some());
    });
}

#[test]
fn many_threads_of_policies_that_share_crosswise_all_come_to_an_end() {
    within_a_minute(|| {
        let breaker = CircuitBreaker::new("breaker", CircuitBreakerConfig::default()).unwrap();
        let timeout = AdaptiveTimeout::new("timeout", TimeoutConfig::default()).unwrap();
        let budget = RetryBudget::new("budget", Ratio::percent(10), false).unwrap();
        let config =
            BulkheadConfig { max_concurrent: 2, max_queue: 1_000, ..BulkheadConfig::default() };
        let places = Bulkhead::new("places", config).unwrap();
        let retry = RetryConfig { base_delay: Duration::ZERO, ..RetryConfig::default() };
        // Whatever the order of the lines.
        let policies = [
            Policy::builder("a").bulkhead(&places).circuit_breaker(&breaker),
            Policy::builder("b").circuit_breaker(&breaker).timeout(&timeout).bulkhead(&places),
            Policy::builder("c").timeout(&timeout).bulkhead(&places),
            Policy::builder("d").circuit_breaker(&breaker).retry_budget(&budget),
        ]
        .map(|builder| builder.retry(retry.clone()).retry_budget(&budget).build().unwrap());
        let running = Arc::new(AtomicU32::new(0));
        thread::scope(|threads| {
            for n in 0..8 {
                let (policy, running) = (&policies[n % 4], &running);
                let (breaker, places, timeout) = (&breaker, &places, &timeout);
                threads.spawn(move || {
                    let bounded = n % 4 < 3;
                    for call in 0..200 {
                        let answer = policy.run_blocking(|| {
                            let others = running.fetch_add(u32::from(bounded), Ordering::SeqCst);
                            assert!(!bounded || others < 2);
                            thread::yield_now();
                            running.fetch_sub(u32::from(bounded), Ordering::SeqCst);
                            if call % 7 == 0 { Err(()) } else { Ok(()) }
                        });
                        assert!(
                            answer.is_ok()
                                || call % 7 == 0
                                || matches!(answer, Err(Error::Refused(_)))
                        );
                        // And by hand, beside.
                        if let Ok(permit) = breaker.permit() {
                            permit.success();
                        }
                        timeout.record(MS);
                        drop(places.try_acquire(Priority::Low));
                    }
                });
            }
        });
        policies.iter().for_each(assert_nothing_is_left);
        assert_eq!((places.snapshot().running, places.snapshot().queued), (0, 0));
        let firsts: u64 = policies.iter().map(|policy| policy.counts().calls.started).sum();
        let refused: u64 = policies.iter().map(|policy| policy.counts().calls.refused).sum();
        assert_eq!(firsts, 1_600);
        assert_eq!(budget.snapshot().first_attempts, firsts - refused);
    });
}
