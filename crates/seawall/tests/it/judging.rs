//! One word on every answer, heard by retry, breaker and statistics alike, and one state for whoever judges.

use std::{io, time::Duration};

use seawall::{
    CircuitBreakerConfig, Error, Policy, Rate, RateLimitConfig, Ratio, RetryConfig,
    core::{Outcome, Pattern, Phase, Reason, Tally, Verdict},
};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, exact_retry, seen};

#[test]
fn every_verdict_can_be_said_and_is_heard_by_all() {
    let hint = Some(7 * SECOND);
    let doubled = [200 * MS, 400 * MS];
    for (verdict, attempts, waits) in [
        (Verdict::SUCCESS, 1, Vec::new()),
        (Verdict::FAILURE, 3, vec![100 * MS, 200 * MS]),
        (Verdict::PERMANENT, 1, Vec::new()),
        (Verdict::IGNORED, 1, Vec::new()),
        (Verdict::LATER, 3, doubled.to_vec()),
        (Verdict::LATER.after(hint), 3, vec![7 * SECOND; 2]),
        (Verdict::FAILURE.after(hint), 3, vec![7 * SECOND; 2]),
        (Verdict::UNREACHED, 3, vec![100 * MS, 200 * MS]),
    ] {
        let mut world = World::default();
        let retry = RetryConfig { max_retries: 2, ..exact_retry() };
        let policy = world.policy().retry(retry).circuit_breaker(opens_after(9)).build().unwrap();
        let (caller, time) = (policy.clone(), world.time.clone());
        let begun = world.block_on(async move {
            let (judge, mut begun) = (move |_: &Result<(), ()>| verdict, Vec::new());
            let call = caller.call().classify(&judge).run(|| {
                begun.push(time.passed());
                async { Err(()) }
            });
            let _ = call.await;
            begun
        });
        let between: Vec<_> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let low_enough =
            |(wait, least): (&Duration, &Duration)| least <= wait && *wait <= *least * 3 / 2;
        assert_eq!(between.len(), waits.len(), "{verdict:?}");
        assert!(between.iter().zip(&waits).all(low_enough), "{verdict:?}: {between:?}");
        let counts = policy.counts();
        let told = |of: Tally| [of.succeeded, of.failed, of.ignored];
        let expected = |times| match verdict.outcome {
            Outcome::Success => [times, 0, 0],
            Outcome::Failure => [0, times, 0],
            Outcome::Ignored => [0, 0, times],
        };
        assert_eq!(told(counts.attempts), expected(attempts), "{verdict:?}");
        assert_eq!(told(counts.calls), expected(1), "{verdict:?}");
        let breaker = &seen(&policy).circuit_breakers["orders"];
        let totals = [breaker.totals.successes, breaker.totals.failures, breaker.totals.ignored];
        assert_eq!(totals, expected(attempts), "{verdict:?}");
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn views_of_several_types_and_clones_are_one_state() {
    let world = World::default();
    let policy = world.policy().circuit_breaker(opens_after(3)).build().unwrap();
    let other = |_: &Result<u32, String>| Verdict::FAILURE;
    let numbers = policy.typed::<u32, String>().classify(other);
    let files = policy.clone().typed::<Vec<u8>, io::Error>();
    assert_eq!(numbers.run_blocking(|| Ok(7)).unwrap(), 7, "a failure to this classifier");
    assert!(files.run_blocking(|| Err(io::ErrorKind::NotFound.into())).is_err());
    assert_eq!(policy.phase(), Some(Phase::Closed));
    assert!(policy.clone().run_blocking(|| Err::<(), _>(())).is_err());
    assert_eq!(policy.phase(), Some(Phase::Open), "three in a row, of three kinds");
    assert!(matches!(numbers.run_blocking(|| Ok(7)), Err(Error::Refused(_))));
    assert!(matches!(files.run_blocking(|| Ok(Vec::new())), Err(Error::Refused(_))));
}

#[test]
fn a_call_takes_from_the_rate_limit_what_it_costs() {
    let world = World::default();
    let policy = world.policy().rate_limit(bucket(10, 1)).build().unwrap();
    let ask = |cost| {
        let answer = policy.call().cost(cost).run_blocking(|| Ok::<_, ()>(()));
        answer.map_err(|error| (error.retry_after(), error))
    };
    assert!(ask(7).is_ok());
    let Err((after, Error::Refused(refused))) = ask(5) else { panic!("three are left") };
    assert_eq!((refused.refusal.by, refused.refusal.reason), (Pattern::RateLimit, Reason::Limited));
    assert_eq!(after, Some(2 * SECOND), "two are missing");
    assert!(ask(3).is_ok());
    world.time.advance(10 * SECOND);
    let Err((after, Error::Refused(refused))) = ask(11) else { panic!("there are never so many") };
    assert_eq!((refused.refusal.reason, after), (Reason::TooLarge, None), "waiting does not help");
    assert!(ask(10).is_ok(), "and nothing was taken for it");
}

#[test]
fn no_time_is_named_where_none_would_help() {
    let world = World::default();
    for config in [bucket(0, 1), bucket(1, 0)] {
        let policy = world.policy().rate_limit(config).build().unwrap();
        let ask = || policy.run_blocking(|| Ok::<_, ()>(()));
        let error = ask().and_then(|()| ask()).unwrap_err();
        assert!(matches!(error, Error::Refused(_)));
        assert_eq!(error.retry_after(), None);
    }
}

#[test]
fn equal_seeds_wait_equally_and_others_do_not() {
    let told = |seed| {
        let mut world = World::default();
        let retry = RetryConfig { budget: Ratio::percent(1_000), ..RetryConfig::default() };
        let policy = Policy::builder("orders").clock(world.time.clock()).seed(seed).retry(retry);
        let (policy, time) = (policy.build().unwrap(), world.time.clone());
        world.block_on(async move {
            let mut begun = Vec::new();
            for _ in 0..20 {
                let call = policy.run(|| {
                    begun.push(time.passed());
                    async { Err::<(), _>(()) }
                });
                let _ = call.await;
            }
            begun
        })
    };
    assert_eq!(told(1), told(1));
    assert_ne!(told(1), told(2));
}

fn opens_after(failures: u32) -> CircuitBreakerConfig {
    CircuitBreakerConfig { failures, ..CircuitBreakerConfig::default() }
}

fn bucket(capacity: u64, per_second: u64) -> RateLimitConfig {
    let rate = Some(Rate::per_second(per_second));
    RateLimitConfig { capacity: Some(capacity), rate, ..RateLimitConfig::default() }
}
