//! What runs inside an operation has the operation's deadline, and gives it back.

use std::{
    cell::RefCell,
    future::{pending, ready},
    rc::Rc,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use proptest::prelude::*;
use seawall::{
    Attempt, BulkheadConfig, CircuitBreakerConfig, Clock, Deadline, Error, ManualClock, Policy,
    RetryConfig, TimeoutConfig,
    core::{Limit, Phase, Stopped},
};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, caught, exact_retry, up_to};

fn left() -> Option<Duration> {
    Deadline::current().remaining()
}

/// The deadline as an operation under this policy sees it.
async fn seen_by(policy: &Policy) -> Option<Duration> {
    policy.run(async || Ok::<_, ()>(left())).await.expect("nothing in it fails")
}

#[test]
fn a_call_ends_by_the_least_of_its_own_its_policys_and_the_outer_deadline() {
    let mut world = World::default();
    let named = |deadline| world.policy().deadline(deadline).build().unwrap();
    let (second, long, short) = (named(SECOND), named(5 * SECOND), named(300 * MS));
    let free = world.policy().build().unwrap();
    let time = world.time.clone();
    world.block_on(async move {
        let operation = async || {
            time.sleep(100 * MS).await;
            assert_eq!(left(), Some(900 * MS));
            assert_eq!(seen_by(&long).await, Some(900 * MS), "the outer");
            assert_eq!(seen_by(&free).await, Some(900 * MS), "it has none of its own");
            assert_eq!(seen_by(&short).await, Some(300 * MS), "its policy's");
            let own = long.call().deadline(50 * MS).run(|| ready(Ok::<_, ()>(left())));
            assert_eq!(own.await.unwrap(), Some(50 * MS));
            let deep = free.run(async || Ok::<_, ()>(seen_by(&free).await)).await;
            assert_eq!(deep.unwrap(), Some(900 * MS), "through a call without one");
            Ok::<_, ()>(())
        };
        second.run(operation).await.unwrap();
        assert_eq!(left(), None);
        assert_eq!(seen_by(&free).await, None);
    });
}

#[test]
fn an_attempt_tells_what_is_left_of_its_call_whenever_it_is_asked() {
    let world = World::default();
    let policy = world.policy().deadline(SECOND).build().unwrap();
    let left = policy.run_blocking_with(|attempt| {
        let after = |wait| {
            world.time.advance(wait);
            attempt.remaining()
        };
        Ok::<_, ()>([Duration::ZERO, 600 * MS, 600 * MS].map(after))
    });
    assert_eq!(left.unwrap(), [SECOND, 400 * MS, Duration::ZERO].map(Some));
    let free = world.policy().build().unwrap();
    assert_eq!(free.run_blocking_with(|attempt| Ok::<_, ()>(attempt.remaining())).unwrap(), None);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_deadline_runs_from_the_first_poll_however_early_the_call_was_made() {
    for reported in [false, true] {
        let mut world = World::default();
        let (policy, time) = (world.policy().build().unwrap(), world.time.clone());
        let (answer, ended) = world.block_on(async move {
            let caller = policy.call().deadline(SECOND);
            let answer = if reported {
                let call = caller.run_reported(|_| pending::<Result<(), ()>>());
                time.sleep(5 * SECOND).await;
                call.await.0
            } else {
                let call = caller.run(pending::<Result<(), ()>>);
                time.sleep(5 * SECOND).await;
                call.await
            };
            (answer, time.passed())
        });
        let Err(Error::TimedOut(late)) = answer else { panic!("it had a second") };
        assert_eq!((late.after, ended), (SECOND, 6 * SECOND), "reported: {reported}");
    }
}

#[test]
fn a_call_on_threads_has_its_whole_deadline_however_early_it_was_made() {
    let world = World::default();
    let policy = world.policy().build().unwrap();
    let left = || Ok::<_, ()>(Deadline::current().remaining());
    let [here, pooled] = [(); 2].map(|()| policy.call().deadline(SECOND));
    world.time.advance(5 * SECOND);
    assert_eq!(here.run_blocking(left).unwrap(), Some(SECOND));
    assert_eq!(pooled.run_pooled(left).unwrap(), Some(SECOND));
    assert_nothing_is_left(&policy);
}

#[test]
fn an_inner_call_does_not_wait_for_a_retry_that_the_outer_deadline_would_cut() {
    let mut world = World::default();
    let outer = world.policy().deadline(250 * MS).build().unwrap();
    let inner = world.policy().deadline(SECOND).retry(exact_retry()).build().unwrap();
    let time = world.time.clone();
    let (ended, after) = world.block_on(async move {
        let ended = outer.run(async || inner.run(async || Err::<(), _>("no")).await).await;
        (ended, time.passed())
    });
    let Err(Error::Failed(Error::Failed("no", history), _)) = ended else { panic!("{ended:?}") };
    assert_eq!((history.attempts().len(), history.stopped()), (2, Some(Stopped::Deadline)));
    assert_eq!(after, 100 * MS, "the second retry would have come at 300");
}

#[test]
fn an_inner_call_that_begins_too_late_is_refused_before_it_runs() {
    let world = World::default();
    let outer = world.policy().deadline(SECOND).build().unwrap();
    let inner = world.policy().build().unwrap();
    let ended = outer.run_blocking(|| {
        world.time.advance(2 * SECOND);
        assert_eq!(left(), Some(Duration::ZERO));
        inner.run_blocking(|| Ok::<_, ()>(()))
    });
    assert!(matches!(ended, Err(Error::Failed(Error::Refused(_), _))), "{ended:?}");
    assert_eq!(inner.counts().attempts.started, 0);
    assert_nothing_is_left(&inner);
}

#[test]
fn a_policy_on_another_clock_goes_by_its_own() {
    let mut world = World::default();
    let outer = world.policy().deadline(SECOND).build().unwrap();
    let fast = Policy::builder("fast").deadline(9 * SECOND).build().unwrap();
    let other = Clock::manual(&ManualClock::new());
    let manual = Policy::builder("manual").deadline(9 * SECOND).clock(other).build().unwrap();
    world.block_on(async move {
        let operation = async || {
            let ends = async |attempt: Attempt| Ok::<_, ()>(attempt.remaining());
            assert!(fast.run_with(ends).await.unwrap() > Some(8 * SECOND));
            assert_eq!(
                seen_by(&fast).await,
                Some(SECOND),
                "what runs for both ends with the first"
            );
            assert_eq!(left(), Some(SECOND), "restored");
            assert_eq!(seen_by(&manual).await, Some(9 * SECOND));
            assert_eq!(left(), Some(SECOND), "restored");
            let inside = manual.run(async || Ok::<_, ()>(seen_by(&outer).await)).await;
            assert_eq!(inside.unwrap(), Some(SECOND), "its own again");
            Ok::<_, ()>(())
        };
        outer.run(operation).await.unwrap();
    });
}

#[test]
fn on_the_fast_clock_all_policies_inherit() {
    let outer = Policy::builder("outer").deadline(SECOND).build().unwrap();
    let inner = Policy::builder("inner").deadline(60 * SECOND).build().unwrap();
    let seen = outer.run_blocking(|| inner.run_blocking(|| Ok::<_, ()>(left())));
    assert!(seen.unwrap() <= Some(SECOND));
    assert_eq!(left(), None);
}

#[test]
fn between_polls_and_after_cancelling_the_thread_knows_of_no_deadline() {
    let mut world = World::default();
    let policy = world.policy().deadline(SECOND).build().unwrap();
    let caller = policy.clone();
    let ended = world.block_on(async move {
        let hung = caller.run(async || {
            assert!(left().is_some());
            pending::<Result<(), ()>>().await
        });
        let ended = up_to(1, false, hung).await.is_some();
        assert_eq!(left(), None);
        ended
    });
    assert!(!ended);
    let waiting = world.spawn({
        let policy = policy.clone();
        async move { policy.run(pending::<Result<(), ()>>).await }
    });
    world.settle();
    assert_eq!(left(), None);
    world.cancel(&waiting);
    assert_eq!(left(), None);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_future_is_dropped_under_the_deadline_it_ran_under() {
    struct Dropped(Rc<RefCell<Vec<Option<Duration>>>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.borrow_mut().push(left());
        }
    }
    let mut world = World::default();
    let limits = TimeoutConfig { attempt: 400 * MS, ..TimeoutConfig::default() };
    let policy = world.policy().deadline(SECOND).timeout(limits).build().unwrap();
    let seen = Rc::default();
    let dropped = Rc::clone(&seen);
    let ended = world.block_on(async move {
        let operation = || {
            let dropped = Dropped(Rc::clone(&dropped));
            async move {
                let _dropped = dropped;
                pending::<Result<(), ()>>().await
            }
        };
        policy.run(operation).await
    });
    assert!(ended.is_err());
    assert_eq!(*seen.borrow(), [Some(600 * MS)]);
}

#[test]
fn a_panic_leaves_no_deadline_behind() {
    fn while_made() -> std::future::Ready<Result<(), ()>> {
        assert!(left().is_some());
        panic!("a bug in the operation")
    }
    async fn while_polled() -> Result<(), ()> {
        while_made().await
    }
    let mut world = World::default();
    for clock in [world.time.clock(), Clock::fast()] {
        let policy = Policy::builder("orders").deadline(SECOND).clock(clock).build().unwrap();
        for caller in [policy.clone(), policy.clone()] {
            let made = caught(async move { caller.run(while_made).await });
            assert!(world.block_on(made).is_err());
            assert_eq!(left(), None);
            let caller = policy.clone();
            let polled = caught(async move { caller.run(while_polled).await });
            assert!(world.block_on(polled).is_err());
            assert_eq!(left(), None);
        }
        let blocking = || policy.run_blocking(|| -> Result<(), ()> { panic!("a bug") });
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(blocking)).is_err());
        assert_eq!(left(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_spawned_task_has_the_deadline_only_if_it_is_carried() {
    let clock = Clock::tokio();
    let named = |name| Policy::builder(name).clock(clock.clone());
    let outer = named("outer").deadline(SECOND).build().unwrap();
    let inner = named("inner").build().unwrap();
    let ended = outer
        .run(async || {
            tokio::time::sleep(400 * MS).await;
            let lost = tokio::spawn(async { left() }).await.unwrap();
            assert_eq!(lost, None);
            let inner = inner.clone();
            let part = async move {
                tokio::time::sleep(MS).await;
                let begun = tokio::time::Instant::now();
                let ended = inner.run(pending::<Result<(), ()>>).await;
                (ended, begun.elapsed())
            };
            // Left to itself, it ends without anybody who would cut it.
            Ok::<_, ()>(tokio::spawn(Deadline::current().scope(part)))
        })
        .await;
    let part = tokio::time::timeout(60 * SECOND, ended.unwrap());
    let (ended, took) = part.await.expect("it was cut at its deadline").unwrap();
    assert!(matches!(ended, Err(Error::TimedOut(late)) if late.limit == Limit::Deadline));
    assert!((599 * MS..602 * MS).contains(&took), "{took:?}");
    assert_eq!(left(), None);
}

#[test]
fn work_that_may_outlive_its_call_is_given_none() {
    let mut world = World::default();
    let policy = world.policy().deadline(SECOND).build().unwrap();
    let seen = world.block_on(async move {
        let operation = async || {
            let free = Deadline::default().scope(async { left() }).await;
            Ok::<_, ()>((free, left()))
        };
        policy.run(operation).await
    });
    assert_eq!(seen.unwrap(), (None, Some(SECOND)));
}

#[test]
fn a_thread_of_the_pool_knows_the_deadline_of_the_call_it_works_for() {
    let world = World::default();
    let outer = world.policy().deadline(SECOND).build().unwrap();
    let (long, free) = (world.policy().deadline(9 * SECOND), world.policy());
    let (long, free) = (long.build().unwrap(), free.build().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let ended = outer.run_pooled({
        let (long, free, seen) = (long.clone(), free.clone(), Arc::clone(&seen));
        move || {
            for policy in [&long, &free] {
                seen.lock().unwrap().push(policy.run_pooled(|| Ok::<_, ()>(left())));
            }
            Ok::<_, ()>(left())
        }
    });
    assert_eq!(ended.unwrap(), Some(SECOND));
    for seen in seen.lock().unwrap().drain(..) {
        assert_eq!(seen.unwrap(), Some(SECOND));
    }
    assert_eq!(free.run_pooled(|| Ok::<_, ()>(left())).unwrap(), None, "its thread has forgotten");
    let fast = Policy::builder("fast").build().unwrap();
    let through = outer.run_blocking(|| fast.run_pooled(|| Ok::<_, ()>(left())));
    assert_eq!(through.unwrap(), Some(SECOND), "through a call without one on another clock");
}

#[test]
fn a_deadline_is_carried_to_a_thread() {
    let world = World::default();
    let outer = world.policy().deadline(SECOND).build().unwrap();
    let inner = world.policy().build().unwrap();
    let seen = outer.run_blocking(|| {
        let (deadline, inner) = (Deadline::current(), inner.clone());
        let lost = thread::spawn(left).join().unwrap();
        let carried = move || {
            let seen = deadline.scope_blocking(|| inner.run_blocking(|| Ok::<_, ()>(left())));
            (seen.unwrap(), left())
        };
        Ok::<_, ()>((lost, thread::spawn(carried).join().unwrap()))
    });
    assert_eq!(seen.unwrap(), (None, (Some(SECOND), None)));
}

#[test]
fn a_callee_that_fails_at_once_opens_its_breaker_under_a_short_deadline_too() {
    for deadline in [2 * MS, MS, MS / 10] {
        let world = World::default();
        let once = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
        let policy = world.policy().deadline(deadline).circuit_breaker(once).build().unwrap();
        let _ = policy.call().deadline(deadline / 4).run_blocking(|| Err::<(), _>(()));
        assert_eq!(policy.phase(), Some(Phase::Closed), "{deadline:?}: its caller had no time");
        let _ = policy.run_blocking(|| Err::<(), _>(()));
        assert_eq!(policy.phase(), Some(Phase::Open), "{deadline:?} {:?}", policy.counts());
    }
}

#[test]
fn what_gives_up_with_the_deadline_opens_the_outer_breaker_only_once_it_is_late() {
    let mut world = World::default();
    let breaker = CircuitBreakerConfig { failures: 3, ..CircuitBreakerConfig::default() };
    let outer = world.policy().deadline(2 * SECOND).circuit_breaker(breaker).build().unwrap();
    let inner = world.policy().build().unwrap();
    // The inner call's timer stands before the outer's: its error is an answer, with the deadline.
    let calls = |world: &mut World, deadline: Duration| {
        for _ in 0..3 {
            let (outer, inner) = (outer.clone(), inner.clone());
            let ended = world.block_on(async move {
                let hung = || inner.run(pending::<Result<(), ()>>);
                outer.call().deadline(deadline).run(hung).await
            });
            assert!(ended.is_err(), "{ended:?}");
        }
    };
    calls(&mut world, 5 * MS);
    assert_eq!(outer.phase(), Some(Phase::Closed), "its callers had 5 ms");
    calls(&mut world, SECOND);
    assert_eq!(outer.phase(), Some(Phase::Open), "a second is late");
    assert_eq!(outer.counts().calls.failed, 6);
    assert_nothing_is_left(&outer);
    assert_nothing_is_left(&inner);
}

/// A call in a call in a call, each under any settings.
#[derive(Clone, Debug)]
struct Nested {
    deadlines: [Option<u64>; 3],
    retries: [u32; 3],
    places: Option<u32>,
    attempt: u64,
    takes: u64,
    fails: bool,
}

fn nested() -> impl Strategy<Value = Nested> {
    let deadline = || prop::option::of(1u64..2_000);
    (
        [deadline(), deadline(), deadline()],
        [0u32..4, 0u32..4, 0u32..4],
        prop::option::of(1u32..3),
        11u64..2_000,
        0u64..2_000,
        any::<bool>(),
    )
        .prop_map(|(deadlines, retries, places, attempt, takes, fails)| Nested {
            deadlines,
            retries,
            places,
            attempt,
            takes,
            fails,
        })
}

impl Nested {
    fn policy(&self, world: &World, level: usize) -> Policy {
        let retry = RetryConfig { max_retries: self.retries[level], ..exact_retry() };
        let attempt = Duration::from_millis(self.attempt);
        let mut policy = world
            .policy()
            .retry(retry)
            .timeout(TimeoutConfig { attempt, ..TimeoutConfig::default() });
        if let Some(deadline) = self.deadlines[level] {
            policy = policy.deadline(Duration::from_millis(deadline));
        }
        if let Some(max_concurrent) = self.places {
            policy =
                policy.bulkhead(BulkheadConfig { max_concurrent, ..BulkheadConfig::default() });
        }
        policy.build().expect("the settings make sense")
    }

    /// Runs a few of them side by side under `deadline`, cut by nobody: when anything began, and when all ended.
    fn run(&self, world: &mut World, deadline: &Deadline) -> (Vec<Duration>, Vec<Duration>) {
        let [a, b, c] = [0, 1, 2].map(|level| self.policy(world, level));
        let (begun, ended): (Rc<RefCell<Vec<_>>>, Rc<RefCell<Vec<_>>>) = <_>::default();
        for _ in 0..3 {
            let (a, b, c, time) = (a.clone(), b.clone(), c.clone(), world.time.clone());
            let (begun, ended, this) = (Rc::clone(&begun), Rc::clone(&ended), self.clone());
            world.spawn(deadline.clone().scope(async move {
                let note = |noted: &RefCell<Vec<_>>| noted.borrow_mut().push(time.passed());
                let work = async || {
                    note(&begun);
                    time.sleep(Duration::from_millis(this.takes)).await;
                    if this.fails { Err("no") } else { Ok(()) }
                };
                let inner = async || {
                    note(&begun);
                    c.run(work).await
                };
                let middle = async || {
                    note(&begun);
                    b.run(inner).await
                };
                let _ = a.run(middle).await;
                note(&ended);
            }));
        }
        world.run();
        [&a, &b, &c].into_iter().for_each(assert_nothing_is_left);
        (begun.take(), ended.take())
    }
}

proptest! {
    #[test]
    fn nothing_inside_begins_or_ends_after_the_outer_deadline(nest in nested(), outer in 1u64..1_500) {
        let mut world = World::default();
        let outer = Duration::from_millis(outer);
        let policy = world.policy().deadline(outer).build().unwrap();
        let deadline = policy.run_blocking(|| Ok::<_, ()>(Deadline::current())).unwrap();
        let (begun, ended) = nest.run(&mut world, &deadline);
        prop_assert_eq!(ended.len(), 3);
        prop_assert!(begun.iter().all(|at| *at < outer), "{begun:?}");
        prop_assert!(ended.iter().all(|at| *at <= outer), "{ended:?}");
        prop_assert_eq!(left(), None);
    }
}

#[test]
fn a_deadline_is_inherited_through_a_policy_on_another_clock() {
    let (one, other) = (ManualClock::new(), ManualClock::new());
    let on = |name, clock: &ManualClock, seconds| {
        let policy = Policy::builder(name).clock(Clock::manual(clock)).deadline(seconds * SECOND);
        policy.build().unwrap()
    };
    let (outer, between, inner) =
        (on("outer", &one, 1), on("between", &other, 1), on("inner", &one, 60));
    let left = |attempt: Attempt| Ok::<_, ()>(attempt.remaining());
    let seen = outer.run_blocking(|| between.run_blocking(|| inner.run_blocking_with(left)));
    assert_eq!(seen.unwrap(), Some(SECOND));
    let told = outer.run_blocking(|| {
        Deadline::default()
            .scope_blocking(|| between.run_blocking(|| inner.run_blocking_with(left)))
    });
    assert_eq!(told.unwrap(), Some(60 * SECOND), "whoever says that there is none is heard");
}
