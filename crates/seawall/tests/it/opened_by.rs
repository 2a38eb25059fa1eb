//! A breaker's refusal says what opened it, at every door.

use seawall::{
    CircuitBreaker, CircuitBreakerConfig, Error, Override, PerKey, Policy, PolicyConfig, Ratio,
    Window,
    core::{Cause, Refusal, Stopped},
};

use crate::world::{MS, SECOND, World, exact_retry};

type Call = Result<(), Error<&'static str>>;

/// Opens at the second failure in a row, at half of the last four calls failed, or at half of them slow.
fn config() -> CircuitBreakerConfig {
    CircuitBreakerConfig {
        failures: 2,
        failure_rate: Some(Ratio::percent(50)),
        slow_rate: Some(Ratio::percent(50)),
        slow_after: Some(SECOND),
        window: Window::Calls(4),
        minimum_calls: 4,
        ..CircuitBreakerConfig::default()
    }
}

fn orders(world: &World) -> Policy {
    world.policy().circuit_breaker(config()).build().expect("the settings make sense")
}

/// A call that takes so many milliseconds on the manual clock.
fn call(world: &World, policy: &Policy, took: u32, answer: Result<(), &'static str>) {
    let operation = || {
        world.time.advance(MS * took);
        answer
    };
    assert_eq!(policy.run_blocking(operation).map_err(Error::into_failed), answer.map_err(Some));
}

fn refused(call: Call) -> Refusal {
    match call {
        Err(Error::Refused(refused)) => refused.refusal,
        other => panic!("{other:?}"),
    }
}

/// What a caller is told, whichever way it calls.
fn told(world: &mut World, policy: &Policy) -> String {
    let good = async || Ok::<_, &str>(());
    let (run, held) = (policy.clone(), policy.clone());
    let reported = policy.clone();
    let calls: [Call; 5] = [
        world.block_on(async move { run.run(good).await }),
        world.block_on(async move { held.run_held(async |_| Ok(())).await.map(|_| ()) }),
        world.block_on(async move { reported.call().run_reported(async |_| Ok(())).await.0 }),
        policy.run_blocking(|| Ok(())),
        policy.run_pooled(|| Ok(())),
    ];
    let [first, others @ ..] = calls.map(refused);
    assert!(others.iter().all(|other| *other == first), "{first} {others:?}");
    first.to_string()
}

#[test]
fn failures_in_a_row() {
    let mut world = World::default();
    let policy = orders(&world);
    (0..2).for_each(|_| call(&world, &policy, 0, Err("down")));
    assert_eq!(
        told(&mut world, &policy),
        "circuit_breaker open (2 failures in a row), retry after 60.0s"
    );
    assert_eq!(
        policy.run_blocking(|| Ok::<_, &str>(())).unwrap_err().to_string(),
        "orders: circuit_breaker open (2 failures in a row), retry after 60.0s"
    );
}

#[test]
fn the_share_of_failures() {
    let mut world = World::default();
    let policy = orders(&world);
    for answer in [Ok(()), Err("down"), Ok(()), Err("down")] {
        call(&world, &policy, 0, answer);
    }
    assert_eq!(
        told(&mut world, &policy),
        "circuit_breaker open (2 of 4 calls failed), retry after 60.0s"
    );
}

#[test]
fn the_share_of_slow_calls() {
    let mut world = World::default();
    let policy = orders(&world);
    for took in [0, 1_000, 0, 1_000] {
        call(&world, &policy, took, Ok(()));
    }
    let told = told(&mut world, &policy);
    assert_eq!(told, "circuit_breaker open (2 of 4 calls slow), retry after 60.0s");
}

#[test]
fn a_failed_probe_and_before_that_what_had_opened_it() {
    let mut world = World::default();
    let policy = orders(&world);
    (0..2).for_each(|_| call(&world, &policy, 0, Err("down")));
    world.time.advance(60 * SECOND);
    let hanging = [(); 3].map(|()| {
        let policy = policy.clone();
        world.spawn(async move { policy.run(std::future::pending::<Result<(), &str>>).await })
    });
    world.settle();
    // Not by the doors that run all of this world to its end.
    assert_eq!(
        refused(policy.run_blocking(|| Ok(()))).to_string(),
        "circuit_breaker half-open, all probes out (2 failures in a row), retry after 1.0s"
    );
    hanging.iter().for_each(|probe| world.cancel(probe));
    call(&world, &policy, 0, Err("down"));
    assert_eq!(told(&mut world, &policy), "circuit_breaker open (probe failed), retry after 60.0s");
}

#[test]
fn an_operator() {
    let mut world = World::default();
    let policy = orders(&world);
    policy.force(Override::open("the database moves"));
    assert_eq!(told(&mut world, &policy), "circuit_breaker forced open (override)");
    policy.force(Override::open("the database moves").lasting(SECOND));
    let told = told(&mut world, &policy);
    assert_eq!(told, "circuit_breaker forced open (override), retry after 1.0s");
}

#[test]
fn a_retry_that_it_refuses_tells_it_too() {
    let mut world = World::default();
    let policy = world.policy().retry(exact_retry()).circuit_breaker(config()).build().unwrap();
    let error = world.block_on(async move { policy.run(async || Err::<(), _>("down")).await });
    let error = error.unwrap_err();
    let Some(Stopped::Refused(refusal)) = error.history().stopped() else { panic!("{error:?}") };
    assert_eq!(refusal.cause, Some(Cause::Failures(2)));
    assert_eq!(
        error.to_string(),
        "down (2 attempts; circuit_breaker open (2 failures in a row), retry after 60.0s)"
    );
}

#[test]
fn by_hand_and_of_each_key() {
    let world = World::default();
    let breaker = CircuitBreaker::with_clock("database", config(), world.time.clock()).unwrap();
    (0..2).for_each(|_| breaker.permit().unwrap().failure());
    assert_eq!(
        breaker.permit().unwrap_err().to_string(),
        "database: circuit_breaker open (2 failures in a row), retry after 60.0s"
    );

    let config = PolicyConfig { circuit_breaker: Some(config()), ..PolicyConfig::default() };
    let tenants: PerKey = world.policy().config(config).per_key().build().unwrap();
    let call = |key: &'static str, answer| tenants.key(key).run_blocking(move || answer);
    for (key, answer) in [("a", Err("down")), ("b", Ok(())), ("a", Err("down")), ("b", Err(""))] {
        assert_eq!(call(key, answer).map_err(Error::into_failed), answer.map_err(Some));
    }
    for answer in [Ok(()), Err("")] {
        assert_eq!(call("b", answer).map_err(Error::into_failed), answer.map_err(Some));
    }
    let causes = ["a", "b"].map(|key| refused(call(key, Ok(()))).cause);
    let rate = Cause::FailureRate { failed: 2, calls: 4 };
    assert_eq!(causes, [Some(Cause::Failures(2)), Some(rate)]);
}

/// A refusal is carried by value through every answer of a call.
#[test]
fn an_error_is_as_small_as_it_says() {
    assert_eq!(size_of::<Error<()>>(), 64);
}
