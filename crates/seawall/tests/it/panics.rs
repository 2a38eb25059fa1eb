//! A panic in the operation is the caller's to see, the breaker's to count, and nobody's to pay for.

use std::{
    cell::Cell,
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Machines, Policy, RetryConfig, Shell, Stream,
    Teller,
    core::{CircuitBreaker, Counts, EventRing, Instant, Parts, Phase, Plan},
};

use crate::world::{MS, World, assert_nothing_is_left, caught};

fn policy(world: &World) -> Policy {
    world
        .policy()
        .retry(RetryConfig::default())
        .circuit_breaker(CircuitBreakerConfig::default())
        .bulkhead(BulkheadConfig { max_concurrent: 2, ..BulkheadConfig::default() })
        .build()
        .expect("the settings make sense")
}

/// Runs 100 calls whose operation panics where `operation` does; how many saw the panic.
fn panics<Fut: Future<Output = Result<(), ()>> + 'static>(operation: fn() -> Fut) -> Policy {
    let mut world = World::default();
    let policy = policy(&world);
    let (mut passed_on, mut refused) = (0, 0);
    for _ in 0..100 {
        let caller = policy.clone();
        match world.block_on(caught(async move { caller.run(operation).await })) {
            Err(panic) => {
                assert_eq!(panic.downcast_ref(), Some(&"a bug in the operation"));
                passed_on += 1;
            }
            Ok(Err(Error::Refused(_))) => refused += 1,
            Ok(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((passed_on, refused), (5, 95), "the breaker opened at the fifth");
    policy
}

#[test]
fn p23_a_storm_of_panics_opens_the_breaker_and_each_is_passed_on() {
    async fn while_polled() -> Result<(), ()> {
        std::future::ready(()).await;
        panic!("a bug in the operation")
    }
    fn while_made() -> std::future::Pending<Result<(), ()>> {
        panic!("a bug in the operation")
    }
    for policy in [panics(while_polled), panics(while_made)] {
        assert_eq!(policy.phase(), Some(Phase::Open));
        let counts = policy.counts();
        assert_eq!((counts.panicked, counts.calls.failed, counts.attempts.failed), (5, 5, 5));
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn a_panic_in_the_classifier_gives_everything_back() {
    let mut world = World::default();
    let policy = policy(&world);
    let typed = policy.typed::<(), ()>().classify(|_: &Result<(), ()>| panic!("a bug beside it"));
    assert!(world.block_on(caught(async move { typed.run(async || Ok(())).await })).is_err());
    assert_eq!(policy.counts().panicked, 0, "the operation did not");
    assert_nothing_is_left(&policy);
}

#[test]
fn p20_cancelled_work_stops() {
    let mut world = World::default();
    let policy = world.policy().retry(RetryConfig::default()).build().unwrap();
    let (running, ended) = (Rc::new(()), Rc::new(Cell::new(0)));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (policy, time) = (policy.clone(), world.time.clone());
            let (running, ended) = (Rc::clone(&running), Rc::clone(&ended));
            world.spawn(async move {
                policy
                    .run(async || {
                        let _running = Rc::clone(&running);
                        time.sleep(100 * MS).await;
                        ended.set(ended.get() + 1);
                        Ok::<_, ()>(())
                    })
                    .await
            })
        })
        .collect();
    world.pass(MS);
    assert_eq!(Rc::strong_count(&running), 201, "each call and each operation");
    calls.iter().for_each(|call| world.cancel(call));
    assert_eq!(Rc::strong_count(&running), 1);
    world.pass(1_000 * MS);
    assert_eq!((ended.get(), policy.counts().calls.ignored), (0, 100));
    assert_nothing_is_left(&policy);
}

#[test]
fn an_operation_that_calls_its_own_policy_does_not_deadlock() {
    let mut world = World::default();
    let policy = policy(&world);
    let caller = policy.clone();
    let ended = world.block_on(async move {
        caller
            .run(async || {
                caller.run(async || Ok::<_, Error<()>>(caller.counts().calls.started)).await
            })
            .await
    });
    assert_eq!(ended.unwrap(), 2);
    let caller = policy.clone();
    let ended = world.block_on(async move {
        let third = async || caller.run(pending::<Result<(), ()>>).await;
        let second = async || caller.call().no_retry().run(third).await;
        caller.call().no_retry().run(second).await
    });
    let Err(Error::Failed(Error::Failed(Error::Refused(refused), _), _)) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(refused.refusal.by, seawall::core::Pattern::Bulkhead, "two places, three calls");
    assert_nothing_is_left(&policy);
}

/// A breaker, and nothing else.
struct Gate {
    plan: Plan,
    breaker: Option<CircuitBreaker>,
    counts: Counts,
    events: EventRing,
}

impl Machines for Gate {
    type Gate = Option<CircuitBreaker>;
    type View = ();

    fn parts(&mut self, (): ()) -> Parts<'_, Self::Gate> {
        Parts {
            plan: &self.plan,
            limiter: None,
            gate: &mut self.breaker,
            budget: None,
            bulkhead: None,
            timeout: None,
            counts: &mut self.counts,
            events: &mut self.events,
        }
    }
}

#[test]
fn a_panic_under_the_lock_leaves_the_machines_to_the_next() {
    let gate = Gate {
        plan: Plan::default(),
        breaker: None,
        counts: Counts::default(),
        events: EventRing::new(),
    };
    let teller = Teller::new("orders".into(), [].into(), &Stream::new());
    let shell = Shell::new(gate, teller, Some(7));
    let panicking = || shell.visit((), Instant::ORIGIN, |_| panic!("a bug under the lock"));
    assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
    shell.visit((), Instant::ORIGIN, |parts| parts.counts.panicked += 1);
    assert_eq!(shell.read(|gate| gate.counts.panicked), 1);
}
