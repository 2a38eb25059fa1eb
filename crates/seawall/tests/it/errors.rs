//! What the caller reads: whose fault it was, what was tried, why nothing followed, and when to ask again.

use std::{error::Error as _, fmt, future::pending, time::Duration};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Ended, Error, Nested, Policy, PolicyBuilder, Ratio,
    RetryConfig,
    core::{Limit, Outcome, Pattern, Phase, Reason, Refusal, Stopped, Verdict},
};

use crate::world::{MS, SECOND, World, exact_retry};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection reset")
    }
}

impl std::error::Error for Down {}

/// The error of a call whose every attempt fails after 10 ms.
fn fails(world: &mut World, policy: &Policy) -> Error<Down> {
    let (policy, time) = (policy.clone(), world.time.clone());
    world
        .block_on(async move {
            policy
                .run(async || {
                    time.sleep(10 * MS).await;
                    Err::<(), _>(Down)
                })
                .await
        })
        .expect_err("every attempt fails")
}

fn built(policy: PolicyBuilder) -> Policy {
    policy.build().expect("the settings make sense")
}

#[test]
fn the_callees_own_hint_reaches_the_caller_when_it_lies_beyond_the_deadline() {
    let mut world = World::default();
    let policy = built(world.policy().deadline(SECOND).retry(exact_retry()));
    let later = |_: &Result<(), Down>| Verdict::LATER.after(Some(7 * SECOND));
    let error = world
        .block_on(async move { policy.call().classify(&later).run(async || Err(Down)).await })
        .expect_err("no retry ends in time");
    assert_eq!(error.history().stopped(), Some(Stopped::Deadline));
    assert_eq!(error.retry_after(), Some(7 * SECOND));
}

#[test]
fn a_failure_tells_every_attempt_and_why_no_other_followed() {
    let mut world = World::default();
    let policy = built(world.policy().retry(exact_retry()));
    let error = fails(&mut world, &policy);
    assert_eq!(error.to_string(), "connection reset (4 attempts)");
    assert_eq!(error.source().unwrap().to_string(), "connection reset");
    assert_eq!(error.history().stopped(), Some(Stopped::MaxRetries));
    let tried: Vec<_> =
        error.history().attempts().iter().map(|tried| (tried.number, tried.started)).collect();
    assert_eq!(tried, [(1, Duration::ZERO), (2, 110 * MS), (3, 320 * MS), (4, 730 * MS)]);
    for tried in error.history().attempts() {
        assert_eq!((tried.took, tried.ended), (10 * MS, Ended::Answered(Outcome::Failure)));
    }
    assert_eq!(error.retry_after(), None, "nobody knows");
    assert_eq!(error.into_failed(), Some(Down));
}

#[test]
fn a_single_attempt_reads_as_the_callees_own_error() {
    let mut world = World::default();
    let policy = built(world.policy());
    let error = fails(&mut world, &policy);
    assert_eq!(
        (error.to_string(), error.history().stopped()),
        ("connection reset".into(), Some(Stopped::NoRetry))
    );
}

#[test]
fn an_exhausted_budget_is_named_and_the_callees_error_kept() {
    let mut world = World::default();
    let policy = built(world.policy().retry(RetryConfig { budget: Ratio::ZERO, ..exact_retry() }));
    assert_eq!(fails(&mut world, &policy).history().attempts().len(), 4, "the cold allowance");
    let error = fails(&mut world, &policy);
    assert_eq!(error.to_string(), "connection reset (1 attempt; retry_budget exhausted)");
    let exhausted = Refusal::new(Pattern::RetryBudget, Reason::Exhausted);
    assert_eq!(error.history().stopped(), Some(Stopped::Refused(exhausted)));
}

#[test]
fn a_breaker_that_opens_during_a_call_says_when_to_ask_again() {
    let mut world = World::default();
    let breaker = CircuitBreakerConfig { failures: 2, ..CircuitBreakerConfig::default() };
    let policy = built(world.policy().retry(exact_retry()).circuit_breaker(breaker));
    let error = fails(&mut world, &policy);
    assert_eq!(
        error.to_string(),
        "connection reset (2 attempts; circuit_breaker open (2 failures in a row), retry after 60.0s)"
    );
    assert_eq!(error.retry_after(), Some(60 * SECOND));
    world.pass(20 * SECOND);
    let error = fails(&mut world, &policy);
    let told = "orders: circuit_breaker open (2 failures in a row), retry after 40.0s";
    assert_eq!(error.to_string(), told);
    assert_eq!((error.retry_after(), error.history().attempts().len()), (Some(40 * SECOND), 0));
    assert_eq!((error.history().stopped(), error.into_failed()), (None, None));
}

#[test]
fn a_bulkhead_without_places_names_no_time() {
    let mut world = World::default();
    let policy = built(
        world.policy().bulkhead(BulkheadConfig { max_concurrent: 0, ..BulkheadConfig::default() }),
    );
    let error = fails(&mut world, &policy);
    let told = "orders: bulkhead asked for more than there ever is";
    assert_eq!((error.to_string().as_str(), error.retry_after()), (told, None));
}

#[test]
fn a_call_cut_by_its_deadline_says_after_how_long_and_what_was_tried() {
    let mut world = World::default();
    let policy = built(world.policy().deadline(SECOND).retry(exact_retry()));
    let caller = policy.clone();
    let error = world.block_on(async move {
        let operation = async |attempt: seawall::Attempt| match attempt.number {
            1 => Err::<(), _>(Down),
            _ => pending().await,
        };
        caller.run_with(operation).await.unwrap_err()
    });
    assert_eq!(error.to_string(), "orders: deadline passed after 1.0s (2 attempts)");
    let tried = error.history().attempts();
    assert_eq!(
        (tried[0].ended, tried[0].took),
        (Ended::Answered(Outcome::Failure), Duration::ZERO)
    );
    assert_eq!((tried[1].ended, tried[1].took), (Ended::Cut(Limit::Deadline), 900 * MS));
    assert_eq!(error.history().stopped(), Some(Stopped::Deadline));
    assert!(error.source().is_none() && error.into_failed().is_none());
}

#[test]
fn the_error_of_a_policy_inside_a_policy_flattens_to_what_happened() {
    let mut world = World::default();
    let outer = built(world.policy().deadline(SECOND));
    let none = built(
        Policy::builder("none")
            .clock(world.time.clock())
            .bulkhead(BulkheadConfig { max_concurrent: 0, ..BulkheadConfig::default() }),
    );
    let slow = built(Policy::builder("slow").clock(world.time.clock()).deadline(10 * MS));
    let plain = built(Policy::builder("plain").clock(world.time.clock()));
    for (inner, expected) in [
        (&none, "none: bulkhead asked for more than there ever is"),
        (&slow, "slow: deadline passed after 10.0ms"),
        (&plain, "plain: deadline passed after 1.0s"),
    ] {
        let (outer, inner) = (outer.clone(), inner.clone());
        let error = world.block_on(async move {
            outer.run(async || inner.run(pending::<Result<(), Down>>).await).await.unwrap_err()
        });
        assert_eq!(error.flatten().to_string(), expected);
    }
    let (outer, inner) = (outer.clone(), plain.clone());
    let error: Error<Down> = world.block_on(async move {
        outer
            .run(async || inner.run(async || Err::<(), _>(Down)).await)
            .await
            .unwrap_err()
            .flatten()
    });
    assert_eq!(error.into_failed(), Some(Down));
    let outer = none.clone();
    let refused = world
        .block_on(async move { outer.run(pending::<Result<(), Error<Down>>>).await })
        .unwrap_err();
    assert!(matches!(refused.flatten(), Error::Refused(_)));
}

#[test]
fn a_refusal_is_the_source_of_its_error_however_deep_the_policies() {
    let mut world = World::default();
    let none = BulkheadConfig { max_concurrent: 0, ..BulkheadConfig::default() };
    let policy = built(world.policy().bulkhead(none));
    let refusal = Refusal::new(Pattern::Bulkhead, Reason::TooLarge);
    let error = fails(&mut world, &policy);
    assert_eq!(error.source().unwrap().downcast_ref(), Some(&refusal));

    let outer = built(world.policy());
    let nested = world.block_on(async move {
        outer.run(async || policy.run(async || Err::<(), _>(Down)).await).await.unwrap_err()
    });
    let inner = nested.source().unwrap();
    assert_eq!(inner.to_string(), "orders: bulkhead asked for more than there ever is");
    assert_eq!(inner.source().unwrap().downcast_ref(), Some(&refusal));
    assert!(inner.source().unwrap().source().is_none());
}

#[test]
fn a_report_of_a_refused_call_tells_that_nothing_ran() {
    let mut world = World::default();
    let full = BulkheadConfig { max_concurrent: 0, ..BulkheadConfig::default() };
    let policy = built(world.policy().bulkhead(full));
    let (answer, report) = world
        .block_on(async move { policy.call().run_reported(async |_| Ok::<_, Down>(())).await });
    assert!(matches!(answer, Err(Error::Refused(_))));
    assert_eq!((report.attempts, report.took), (0, Duration::ZERO));
    assert_eq!(report.history, seawall::History::default());
}

#[test]
fn what_the_callee_named_is_told_though_the_budget_ends_the_retries() {
    let mut world = World::default();
    let policy = world.policy().retry(RetryConfig { budget: Ratio::ZERO, ..exact_retry() });
    let policy = built(policy);
    // The three it begins with.
    (0..3).for_each(|_| drop(fails(&mut world, &policy)));
    let hint = Some(30 * SECOND);
    let later = move |answer: &Result<(), Down>| match answer {
        Ok(()) => Verdict::SUCCESS,
        Err(Down) => Verdict::FAILURE.after(hint),
    };
    let error = policy.typed().classify(later).run_blocking(|| Err(Down)).unwrap_err();
    assert!(matches!(error.history().stopped(), Some(Stopped::Refused(_))), "{error:?}");
    assert_eq!(error.retry_after(), hint);
}

#[test]
fn the_refusals_of_a_policy_inside_are_not_the_callees_failures_and_not_retried() {
    let world = World::default();
    let none = BulkheadConfig { max_concurrent: 0, max_queue: 0, ..BulkheadConfig::default() };
    let inner = built(world.policy().bulkhead(none));
    let once = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
    let outer = built(world.policy().retry(exact_retry()).circuit_breaker(once));
    let call = || outer.call().classify(&Nested);
    let refused = call().run_blocking(|| inner.run_blocking(|| Ok::<_, Down>(()))).unwrap_err();
    assert!(matches!(refused.flatten(), Error::Refused(_)));
    assert_eq!((outer.counts().attempts.started, outer.phase()), (1, Some(Phase::Closed)));

    let fine = built(world.policy());
    let failed = call().no_retry().run_blocking(|| fine.run_blocking(|| Err::<(), _>(Down)));
    assert!(matches!(failed.unwrap_err().flatten(), Error::Failed(Down, _)));
    assert_eq!(outer.phase(), Some(Phase::Open), "what its callee does counts");

    let hopeless = |_: &Result<(), Down>| Verdict::PERMANENT;
    let outer = built(world.policy().retry(exact_retry()));
    let call = || fine.call().classify(&hopeless).run_blocking(|| Err(Down));
    let failed = outer.call().classify(&Nested).run_blocking(call).unwrap_err();
    assert_eq!(
        (failed.history().attempts().len(), failed.history().stopped()),
        (1, Some(Stopped::NotRetryable))
    );
}
