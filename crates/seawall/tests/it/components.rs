//! Patterns by themselves: what each promises around an operation and by hand.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use seawall::{
    AdaptiveTimeout, Algorithm, Bulkhead, BulkheadConfig, CircuitBreaker, CircuitBreakerConfig,
    Clock, Error, Heard, LeakyBucket, Observed, Rate, Ratio, Retry, RetryConfig, Shaper,
    SlidingWindowCounter, Snapshot, Status, TimeoutConfig, TokenBucket,
    core::{Limit, Outcome, Override, Phase, Priority, Reason},
};

use crate::world::{MS, SECOND, Time, World, exact_retry, poll};

fn breaker(time: &Time, failures: u32) -> CircuitBreaker {
    let config = CircuitBreakerConfig { failures, ..CircuitBreakerConfig::default() };
    CircuitBreaker::with_clock("database", config, time.clock()).expect("the settings make sense")
}

fn bulkhead(time: &Time, config: BulkheadConfig) -> Bulkhead {
    Bulkhead::with_clock("reports", config, time.clock()).expect("the settings make sense")
}

fn one_place() -> BulkheadConfig {
    BulkheadConfig { max_concurrent: 1, max_wait: SECOND, ..BulkheadConfig::default() }
}

#[test]
fn settings_that_make_no_sense_make_no_component() {
    let invalid = BulkheadConfig { max_wait: Duration::ZERO, ..one_place() };
    assert_eq!(Bulkhead::new("x", invalid).unwrap_err().found[0].field, "bulkhead.max_wait");
    let invalid = CircuitBreakerConfig { failures: 0, ..CircuitBreakerConfig::default() };
    assert_eq!(
        CircuitBreaker::new("x", invalid).unwrap_err().found[0].field,
        "circuit_breaker.failures"
    );
    let invalid = RetryConfig { max_retries: 101, ..RetryConfig::default() };
    assert_eq!(Retry::new("x", invalid).unwrap_err().found[0].field, "retry.max_retries");
    let invalid = TimeoutConfig { factor: Ratio::ZERO, ..TimeoutConfig::default() };
    assert_eq!(AdaptiveTimeout::new("x", invalid).unwrap_err().found[0].field, "timeout.factor");
}

#[test]
fn components_go_wherever_their_user_goes() {
    fn everywhere<T: Send + Sync + Clone + std::fmt::Debug>() {}
    everywhere::<CircuitBreaker>();
    everywhere::<Bulkhead>();
    everywhere::<Retry>();
    everywhere::<seawall::RetryBudget>();
    everywhere::<AdaptiveTimeout>();
}

#[test]
fn permits_open_a_breaker_and_close_it_again() {
    let time = Time::default();
    let breaker = breaker(&time, 2);
    let mut events = breaker.events();
    breaker.permit().unwrap().failure();
    breaker.permit().unwrap().ignore();
    assert_eq!(breaker.phase(), Phase::Closed);
    breaker.permit().unwrap().failure();
    assert_eq!(breaker.phase(), Phase::Open);
    let refused = breaker.permit().unwrap_err();
    assert_eq!((&*refused.policy, refused.refusal.reason), ("database", Reason::Open));
    assert_eq!(refused.refusal.retry_after, Some(60 * SECOND));
    time.advance(60 * SECOND);
    let probes: Vec<_> = (0..3).map(|_| breaker.permit().unwrap()).collect();
    assert_eq!(breaker.permit().unwrap_err().refusal.reason, Reason::ProbesOut);
    probes.into_iter().for_each(seawall::Permit::success);
    assert_eq!(breaker.phase(), Phase::Closed);
    let seen = breaker.snapshot();
    assert_eq!((seen.ended.failures, seen.ended.ignored, seen.refused), (2, 1, 2));
    let Some(Some(Heard::Change(change))) = poll(&mut pin!(events.next())) else {
        panic!("it has opened")
    };
    assert_eq!((&*change.name, change.transition.to), ("database", Phase::Open));
}

#[test]
fn a_permit_dropped_counts_by_its_age() {
    let time = Time::default();
    let breaker = breaker(&time, 1);
    drop(breaker.permit().unwrap());
    assert_eq!((breaker.phase(), breaker.snapshot().ended.ignored), (Phase::Closed, 1));
    let permit = breaker.permit().unwrap();
    time.advance(SECOND);
    drop(permit);
    assert_eq!(breaker.phase(), Phase::Open);
}

#[test]
fn a_permit_dropped_by_a_panic_is_a_failure() {
    let breaker = breaker(&Time::default(), 1);
    let permit = breaker.permit().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _held = permit;
        panic!("on purpose");
    }));
    assert!(panic.is_err());
    assert_eq!(breaker.phase(), Phase::Open);
}

#[test]
fn a_permit_from_before_a_transition_decides_nothing() {
    let time = Time::default();
    let breaker = breaker(&time, 1);
    let straggler = breaker.permit().unwrap();
    breaker.permit().unwrap().failure();
    time.advance(60 * SECOND);
    assert_eq!(breaker.phase(), Phase::HalfOpen);
    straggler.success();
    assert_eq!(breaker.snapshot().half_open_successes, 0);
}

#[test]
fn an_operation_may_use_the_component_it_runs_under() {
    let time = Time::default();
    let breaker = breaker(&time, 5);
    let answer = breaker.run_blocking(|| {
        breaker.permit().unwrap().success();
        breaker.run_blocking(|| Ok::<_, ()>(breaker.phase())).map_err(|_| ())
    });
    assert_eq!(answer.unwrap(), Phase::Closed);
    let bulkhead = bulkhead(&time, BulkheadConfig { max_queue: 0, ..one_place() });
    let answer = bulkhead.run_blocking(|| Ok::<_, ()>(bulkhead.run_blocking(|| Ok::<_, ()>(()))));
    let Ok(Err(Error::Refused(refused))) = answer else { panic!("the inner one finds no place") };
    assert_eq!(refused.refusal.reason, Reason::Full);
}

#[test]
fn an_override_holds_until_it_is_released() {
    let breaker = breaker(&Time::default(), 5);
    breaker.force(Override::open("maintenance"));
    assert_eq!(breaker.permit().unwrap_err().refusal.reason, Reason::ForcedOpen);
    breaker.release();
    breaker.permit().unwrap().success();
}

#[test]
fn other_settings_keep_what_was_counted() {
    let breaker = breaker(&Time::default(), 5);
    (0..3).for_each(|_| breaker.permit().unwrap().failure());
    let config = CircuitBreakerConfig { failures: 4, ..CircuitBreakerConfig::default() };
    breaker.reconfigure(config).unwrap();
    breaker.permit().unwrap().failure();
    assert_eq!(breaker.phase(), Phase::Open);
}

#[test]
fn a_rate_limit_named_by_its_algorithm_keeps_it() {
    let minute = Duration::from_secs(60);
    let counter = SlidingWindowCounter::bucketed("x", 5, minute, 10, Clock::fast()).unwrap();
    counter.try_acquire(5).unwrap();
    counter.reconfigure(7, minute).unwrap();
    let seen = counter.snapshot();
    assert_eq!((seen.algorithm, seen.limit, seen.available), (Algorithm::SlidingWindow, 7, 2));

    let bucket = TokenBucket::new("x", 5, Rate::per_second(1)).unwrap();
    bucket.reconfigure(9, Rate::per_second(2)).unwrap();
    assert_eq!((bucket.snapshot().algorithm, bucket.snapshot().limit), (Algorithm::TokenBucket, 9));
    let leaky = LeakyBucket::new("x", 5, Rate::per_second(1)).unwrap();
    leaky.reconfigure(9, Rate::per_second(2)).unwrap();
    assert_eq!((leaky.snapshot().algorithm, leaky.snapshot().limit), (Algorithm::LeakyBucket, 9));
    let shaper = Shaper::new("x", 5, Rate::per_second(1)).unwrap();
    shaper.reconfigure(9, Rate::per_second(2)).unwrap();
    assert_eq!(shaper.snapshot().algorithm, Algorithm::Shaper);
}

#[test]
fn a_slot_is_the_next_ones_when_it_is_dropped() {
    let mut world = World::default();
    let bulkhead = bulkhead(&world.time, one_place());
    let held = bulkhead.try_acquire(Priority::Normal).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let jobs: Vec<_> = [Priority::Low, Priority::Normal, Priority::High]
        .into_iter()
        .map(|class| {
            let (bulkhead, order, time) = (bulkhead.clone(), order.clone(), world.time.clone());
            world.spawn(async move {
                let slot = bulkhead.acquire(class).await.unwrap();
                order.lock().unwrap().push(class);
                time.sleep(10 * MS).await;
                drop(slot);
            })
        })
        .collect();
    world.settle();
    assert_eq!(bulkhead.snapshot().queued, 3);
    drop(held);
    world.run();
    assert_eq!(*order.lock().unwrap(), [Priority::High, Priority::Normal, Priority::Low]);
    // One to ask, one when called up, one after its own sleep.
    assert!(jobs.iter().all(|job| job.polls() <= 3));
    let seen = bulkhead.snapshot();
    assert_eq!((seen.running, seen.queued, seen.completed), (0, 0, 4));
}

#[test]
fn to_try_neither_waits_nor_drives_anybody_out() {
    let mut world = World::default();
    let bulkhead = bulkhead(&world.time, BulkheadConfig { max_queue: 1, ..one_place() });
    let held = bulkhead.try_acquire(Priority::Low).unwrap();
    let waiter = {
        let bulkhead = bulkhead.clone();
        world.spawn(async move { bulkhead.acquire(Priority::Background).await.map(drop) })
    };
    world.settle();
    let refused = bulkhead.try_acquire(Priority::Critical).unwrap_err();
    assert_eq!(refused.refusal.reason, Reason::Full);
    let seen = bulkhead.snapshot();
    assert_eq!((seen.queued, seen.refused, seen.abandoned), (1, 1, 0));
    drop(held);
    world.run();
    assert_eq!(waiter.answer(), Some(Ok(())));
}

#[test]
fn who_tries_for_a_slot_is_refused_and_counted_as_who_asks_for_one() {
    let world = World::default();
    for (most, reason) in [(1, Reason::Full), (0, Reason::TooLarge)] {
        let config = BulkheadConfig { max_concurrent: most, max_queue: 0, ..one_place() };
        let bulkhead = bulkhead(&world.time, config);
        let _held = bulkhead.try_acquire(Priority::Normal);
        let before = bulkhead.snapshot().refused;
        let asked = bulkhead.acquire(Priority::Normal).blocking().unwrap_err();
        let tried = bulkhead.try_acquire(Priority::Normal).unwrap_err();
        assert_eq!([asked, tried].map(|refused| refused.refusal.reason), [reason; 2]);
        assert_eq!(bulkhead.snapshot().refused, before + 2);
    }
}

#[test]
fn a_wait_for_a_slot_ends_at_max_wait_or_at_the_callers_deadline() {
    let mut world = World::default();
    let bulkhead = bulkhead(&world.time, one_place());
    let held = bulkhead.try_acquire(Priority::Normal).unwrap();
    for (deadline, until, reason) in [
        (None, SECOND, Reason::WaitOver),
        (Some(300 * MS), 300 * MS, Reason::TooLate),
        (Some(Duration::ZERO), Duration::ZERO, Reason::TooLate),
    ] {
        let (bulkhead, begun) = (bulkhead.clone(), world.time.passed());
        let refused = world.block_on(async move {
            let ask = bulkhead.acquire(Priority::Normal);
            match deadline {
                Some(deadline) => ask.deadline(deadline).await,
                None => ask.await,
            }
        });
        assert_eq!(refused.unwrap_err().refusal.reason, reason);
        assert_eq!(world.time.passed() - begun, until);
    }
    drop(held);
    assert_eq!(bulkhead.snapshot().running, 0);
}

#[test]
fn an_acquire_dropped_anywhere_leaves_nothing_behind() {
    for (asks, called_up) in [(false, false), (true, false), (true, true)] {
        let bulkhead = bulkhead(&Time::default(), one_place());
        let held = bulkhead.try_acquire(Priority::Normal).unwrap();
        let mut leaver = Box::pin(bulkhead.acquire(Priority::High));
        let mut next = pin!(bulkhead.acquire(Priority::Normal));
        assert!(!asks || poll(&mut leaver).is_none());
        assert!(poll(&mut next).is_none());
        if called_up {
            drop(held);
            drop(leaver);
        } else {
            drop(leaver);
            drop(held);
        }
        assert!(matches!(poll(&mut next), Some(Ok(_))), "{asks} {called_up}");
        let seen = bulkhead.snapshot();
        assert_eq!((seen.running, seen.queued), (0, 0), "{asks} {called_up}");
    }
}

#[test]
fn a_slot_is_waited_for_on_a_thread_without_a_runtime() {
    let time = Time::default();
    let bulkhead = bulkhead(&time, one_place());
    let held = bulkhead.acquire(Priority::Normal).blocking().unwrap();
    let waiting = thread::spawn({
        let bulkhead = bulkhead.clone();
        move || bulkhead.acquire(Priority::Normal).blocking().map(drop)
    });
    while bulkhead.snapshot().queued == 0 {
        thread::yield_now();
    }
    drop(held);
    assert_eq!(waiting.join().unwrap(), Ok(()));
}

#[test]
fn a_runtime_that_ends_gives_back_what_its_tasks_held() {
    let bulkhead = Bulkhead::new("reports", one_place()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for _ in 0..3 {
        let bulkhead = bulkhead.clone();
        runtime.spawn(async move {
            let _slot = bulkhead.acquire(Priority::Normal).await;
            std::future::pending::<()>().await;
        });
    }
    runtime.block_on(tokio::task::yield_now());
    assert_eq!((bulkhead.snapshot().running, bulkhead.snapshot().queued), (1, 2));
    drop(runtime);
    assert_eq!((bulkhead.snapshot().running, bulkhead.snapshot().queued), (0, 0));
}

#[test]
fn a_panic_gives_the_place_back() {
    let bulkhead = bulkhead(&Time::default(), one_place());
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _ = bulkhead.run_blocking(|| -> Result<(), ()> { panic!("on purpose") });
    }));
    assert!(panic.is_err());
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _slot = bulkhead.try_acquire(Priority::Normal).unwrap();
        panic!("on purpose");
    }));
    assert!(panic.is_err());
    assert_eq!(bulkhead.snapshot().running, 0);
}

#[test]
fn a_limit_ends_the_wait_for_a_pooled_operation() {
    let config = BulkheadConfig { max_run: Some(10 * MS), ..one_place() };
    let time = Time::default();
    let bulkhead = Bulkhead::with_clock("reports", config, time.clock()).unwrap();
    let (release, hold) = std::sync::mpsc::sync_channel::<()>(0);
    let hold = Mutex::new(hold);
    let late = bulkhead.run_pooled(move || {
        time.advance(10 * MS); // not before it has begun
        hold.lock().unwrap().recv().map_err(drop)
    });
    assert!(matches!(late, Err(Error::TimedOut(_))));
    assert_eq!(bulkhead.pool_snapshot().abandoned, 1);
    drop(release);
}

struct Answer(Option<u16>);

impl Status for Answer {
    fn status(&self) -> Option<u16> {
        self.0
    }
}

#[test]
fn retries_follow_the_list_of_statuses_and_an_empty_one_means_none() {
    let time = Time::default();
    for (statuses, answer, attempts) in [
        (&[503][..], Ok(503), 4),
        (&[503], Err(503), 4),
        (&[500], Ok(503), 1),
        (&[], Ok(503), 1),
        (&[], Ok(429), 1),
    ] {
        let retry = Retry::with_clock("quotes", exact_retry(), time.clock()).unwrap();
        let (calls, clock) = (std::cell::Cell::new(0), time.clone());
        let policy = retry.on_status(statuses);
        let call = policy.run(|| {
            calls.set(calls.get() + 1);
            let answer = match answer {
                Ok(status) => Ok(Answer(Some(status))),
                Err(status) => Err(Answer(Some(status))),
            };
            async { answer }
        });
        let mut call = pin!(call);
        while poll(&mut call).is_none() {
            assert!(clock.step());
        }
        assert_eq!(calls.get(), attempts, "{statuses:?} {answer:?}");
        let seen = retry.budget().snapshot();
        assert!((seen.amplification() - f64::from(attempts)).abs() < 1e-9);
    }
}

#[test]
fn a_retry_tells_its_attempts_and_stops_when_the_budget_is_empty() {
    let mut world = World::default();
    let retry = Retry::with_clock("quotes", exact_retry(), world.time.clock()).unwrap();
    let numbers = Arc::new(Mutex::new(Vec::new()));
    for expected in [&[1, 2, 3, 4][..], &[1]] {
        let (retry, told) = (retry.clone(), numbers.clone());
        let answer = world.block_on(async move {
            let call = retry.run_with(|attempt| {
                told.lock().unwrap().push(attempt.number);
                async { Err::<(), _>("down") }
            });
            call.await
        });
        assert!(matches!(answer, Err(Error::Failed("down", _))));
        assert_eq!(std::mem::take(&mut *numbers.lock().unwrap()), expected);
    }
    let seen = retry.budget().snapshot();
    assert_eq!((seen.first_attempts, seen.retries, seen.within_budget), (2, 3, false));
}

#[test]
fn by_itself_a_learned_limit_always_cuts() {
    let mut world = World::default();
    let timeout =
        AdaptiveTimeout::with_clock("search", TimeoutConfig::default(), world.time.clock())
            .unwrap();
    (0..100).for_each(|_| timeout.record(10 * MS));
    let limit = timeout.current_limit();
    assert!(limit > 14 * MS && limit < 16 * MS);
    let (run, begun) = (timeout.clone(), world.time.passed());
    let answer =
        world.block_on(async move { run.run(std::future::pending::<Result<(), ()>>).await });
    let Err(Error::TimedOut(late)) = answer else { panic!("{answer:?}") };
    assert_eq!((late.limit, world.time.passed() - begun), (Limit::Learned, limit));
    // And still after other settings.
    timeout.reconfigure(TimeoutConfig { floor: 20 * MS, ..TimeoutConfig::default() }).unwrap();
    let run = timeout.clone();
    let answer =
        world.block_on(async move { run.run(std::future::pending::<Result<(), ()>>).await });
    let Err(Error::TimedOut(late)) = answer else { panic!("{answer:?}") };
    assert_eq!((late.limit, late.after), (Limit::Learned, 20 * MS));
}

#[test]
fn a_component_is_shown_by_its_name_and_in_its_section_alone() {
    let time = Time::default();
    let mut seen = Snapshot::default();
    breaker(&time, 1).observe(&mut seen);
    bulkhead(&time, one_place()).observe(&mut seen);
    let retry = Retry::with_clock("quotes", exact_retry(), time.clock()).unwrap();
    retry.observe(&mut seen);
    let timeout = TimeoutConfig::default();
    AdaptiveTimeout::with_clock("search", timeout, time.clock()).unwrap().observe(&mut seen);
    assert_eq!(seen.circuit_breakers.keys().collect::<Vec<_>>(), ["database"]);
    assert_eq!(seen.bulkheads.keys().collect::<Vec<_>>(), ["reports"]);
    assert_eq!(seen.retry_managers.keys().collect::<Vec<_>>(), ["quotes"]);
    assert_eq!(seen.adaptive_timeouts.keys().collect::<Vec<_>>(), ["search"]);
    assert!(seen.policies.is_empty() && seen.rate_limiters.is_empty());
}

#[test]
fn an_operation_is_judged_as_a_permit_is() {
    let mut world = World::default();
    let breaker = breaker(&world.time, 1);
    let run = breaker.clone();
    let answer = world.block_on(async move { run.run(|| async { Err::<(), _>("down") }).await });
    let Err(Error::Failed("down", history)) = answer else { panic!("{answer:?}") };
    assert_eq!(history.attempts()[0].ended, seawall::Ended::Answered(Outcome::Failure));
    assert_eq!(breaker.phase(), Phase::Open);
}

#[test]
fn an_acquire_that_is_over_takes_no_second_slot() {
    let bulkhead = bulkhead(&World::default().time, BulkheadConfig::default());
    let mut acquire = pin!(bulkhead.acquire(Priority::Normal));
    let slot = poll(&mut acquire).expect("there are slots").unwrap();
    assert!(poll(&mut acquire).is_none());
    assert_eq!(bulkhead.snapshot().running, 1);
    drop(slot);
}
