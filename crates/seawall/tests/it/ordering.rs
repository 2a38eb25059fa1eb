//! One order, outside in, whatever the order of the builder's lines: deadline, rate limit, retry, breaker, bulkhead,
//! attempt limit.

use std::{
    cell::RefCell,
    future::{pending, ready},
    rc::Rc,
    time::Duration,
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Override, Policy, PolicyBuilder, PolicyConfig,
    Rate, RateLimitConfig, RateLimiter, Ratio, RetryConfig, TimeoutConfig,
    core::{Limit, Pattern, Phase, Reason},
};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, exact_retry, seen};

type Line = fn(PolicyBuilder) -> PolicyBuilder;

const LINES: [Line; 6] = [
    |policy| policy.deadline(2 * SECOND),
    |policy| policy.rate_limit(tokens(6)),
    |policy| policy.retry(exact_retry()),
    |policy| policy.circuit_breaker(opens_after(3)),
    |policy| policy.bulkhead(places(1)),
    |policy| policy.timeout(limits()),
];

fn tokens(capacity: u64) -> RateLimitConfig {
    let rate = Rate::new(1, 3_600 * SECOND);
    RateLimitConfig { capacity: Some(capacity), rate, ..RateLimitConfig::default() }
}

fn opens_after(failures: u32) -> CircuitBreakerConfig {
    CircuitBreakerConfig { failures, ..CircuitBreakerConfig::default() }
}

fn places(max_concurrent: u32) -> BulkheadConfig {
    BulkheadConfig { max_concurrent, max_queue: 2, ..BulkheadConfig::default() }
}

fn limits() -> TimeoutConfig {
    TimeoutConfig { attempt: 300 * MS, ..TimeoutConfig::default() }
}

/// Six calls at once, each dearer than the one before, of which the first hangs and the others fail: what becomes of
/// each, and when.
fn story(builder: impl FnOnce(PolicyBuilder) -> PolicyBuilder) -> Vec<String> {
    let mut world = World::default();
    let policy = builder(world.policy()).build().expect("the settings make sense");
    let told = Rc::new(RefCell::new(Vec::new()));
    for n in 0..6 {
        let (policy, time, told) = (policy.clone(), world.time.clone(), Rc::clone(&told));
        world.spawn(async move {
            let operation = async || if n == 0 { pending().await } else { Err::<(), _>("down") };
            let error = policy.call().cost(n).run(operation).await.expect_err("nothing goes well");
            told.borrow_mut().push(format!("{n} after {:?}: {error}", time.passed()));
        });
    }
    world.run();
    assert_nothing_is_left(&policy);
    told.take()
}

#[test]
fn the_order_of_the_builders_lines_does_not_matter() {
    let expected = story(|policy| LINES.iter().fold(policy, |policy, line| line(policy)));
    let patterns = ["rate_limit", "circuit_breaker", "bulkhead", "attempt limit"];
    let all = expected.join("\n");
    assert!(patterns.iter().all(|pattern| all.contains(pattern)), "each has its say:\n{all}");
    for number in 0..720 {
        let told = story(|mut policy| {
            let (mut left, mut number) = (LINES.to_vec(), number);
            while !left.is_empty() {
                let count = left.len();
                policy = left.swap_remove(number % count)(policy);
                number /= count;
            }
            policy
        });
        assert_eq!(told, expected, "order {number}");
    }
}

#[test]
fn retries_do_not_pass_the_rate_limit_again() {
    let mut world = World::default();
    let policy = world.policy().rate_limit(tokens(2)).retry(exact_retry()).build().unwrap();
    for expected in ["down (4 attempts)", "down", "orders: rate_limit limit reached"] {
        let caller = policy.clone();
        let error = world.block_on(async move { caller.run(async || Err::<(), _>("down")).await });
        let told = error.expect_err("nothing goes well").to_string();
        assert!(told.starts_with(expected), "{told}");
    }
    assert!(policy.counts().attempts.started > 4);
}

#[test]
fn where_each_attempt_is_limited_retries_pass_the_rate_limit_and_wait_for_it() {
    let mut world = World::default();
    let rate = Some(Rate::per_second(1));
    let each = RateLimitConfig { rate, limit_each_attempt: true, ..tokens(2) };
    let quota = RateLimiter::with_clock("quota", each.clone(), world.time.clock()).unwrap();
    let retry = RetryConfig { budget: Ratio::percent(1_000), ..exact_retry() };
    let own = world.policy().rate_limit(each.clone()).retry(retry.clone()).build().unwrap();
    let shared = world.policy().rate_limit(&quota).retry(retry).build().unwrap();
    let mut starts = |policy: &Policy| {
        let (policy, time, begun) = (policy.clone(), world.time.clone(), world.time.passed());
        world.block_on(async move {
            let mut starts = Vec::new();
            let down = || {
                starts.push(time.passed() - begun);
                ready(Err::<(), _>("down"))
            };
            let told = policy.run(down).await.expect_err("nothing goes well").to_string();
            assert!(told.starts_with("down (4 attempts)"), "{told}");
            starts
        })
    };
    // 100 ms until the first retry, 200 until the second, 400 until the third, and a token a second.
    let limited = [Duration::ZERO, 100 * MS, SECOND, 2 * SECOND];
    assert_eq!(starts(&own), limited);
    assert_eq!(starts(&shared), limited);
    let seen = seen(&own).rate_limiters.remove("orders").unwrap();
    assert_eq!((seen.allowed, quota.snapshot().allowed), (4, 4));

    let calls = RateLimitConfig { limit_each_attempt: false, ..each };
    own.reload(&PolicyConfig { rate_limit: Some(calls), ..own.config().clone() }).unwrap();
    assert_eq!(starts(&own), [0, 100, 300, 700].map(|ms| MS * ms));
}

#[test]
fn what_the_breaker_refuses_takes_nothing_from_the_rate_limit() {
    let world = World::default();
    let breaker = opens_after(1);
    let policy = world.policy().rate_limit(tokens(1)).circuit_breaker(breaker).build().unwrap();
    let call = || policy.run_blocking(|| Ok::<_, ()>(()));
    let refused_by = || match call() {
        Err(Error::Refused(refused)) => refused.refusal.by,
        other => panic!("{other:?}"),
    };
    policy.force(Override::open("test"));
    for _ in 0..10 {
        assert_eq!(refused_by(), Pattern::CircuitBreaker);
    }
    policy.release();
    assert!(call().is_ok(), "its token is still there");
    policy.force(Override::open("test"));
    assert_eq!(refused_by(), Pattern::RateLimit, "the limit is asked first");
}

#[test]
fn an_open_breaker_refuses_at_once_although_a_place_would_have_to_be_waited_for() {
    let mut world = World::default();
    let policy =
        world.policy().circuit_breaker(opens_after(1)).bulkhead(places(1)).build().unwrap();
    let hung = world.spawn({
        let policy = policy.clone();
        async move { policy.run(pending::<Result<(), ()>>).await }
    });
    world.settle();
    policy.force(Override::open("test"));
    let late = world.spawn({
        let policy = policy.clone();
        async move { policy.run(pending::<Result<(), ()>>).await }
    });
    world.settle();
    let Some(Err(Error::Refused(refused))) = late.answer() else { panic!("it waits") };
    assert_eq!(refused.refusal.by, Pattern::CircuitBreaker);
    world.cancel(&hung);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_refusal_of_ours_is_neither_held_against_the_callee_nor_repeated() {
    let mut world = World::default();
    let policy = world
        .policy()
        .retry(exact_retry())
        .circuit_breaker(opens_after(1))
        .bulkhead(BulkheadConfig { max_concurrent: 1, max_queue: 0, ..BulkheadConfig::default() })
        .build()
        .unwrap();
    let hung = world.spawn({
        let policy = policy.clone();
        async move { policy.run(pending::<Result<(), ()>>).await }
    });
    world.settle();
    for _ in 0..10 {
        let call = world.spawn({
            let policy = policy.clone();
            async move { policy.run(async || Ok::<_, ()>(())).await }
        });
        world.settle();
        let Some(Err(Error::Refused(refused))) = call.answer() else { panic!("it waits") };
        assert_eq!((refused.refusal.by, refused.refusal.reason), (Pattern::Bulkhead, Reason::Full));
    }
    let counts = policy.counts();
    assert_eq!((counts.calls.refused, counts.calls.failed, counts.attempts.started), (10, 0, 1));
    let seen = seen(&policy);
    let retries = &seen.retry_managers["orders"];
    assert_eq!(
        (retries.total_requests, retries.total_retries),
        (1, 0),
        "refused calls earn nothing"
    );
    assert_eq!(seen.circuit_breakers["orders"].failure_count, 0);
    assert_eq!(policy.phase(), Some(Phase::Closed));
    world.cancel(&hung);
    assert_nothing_is_left(&policy);
}

#[test]
fn while_a_call_waits_for_its_place_the_deadline_runs_and_the_attempts_limit_does_not() {
    for (deadline, limit, when) in
        [(SECOND, Limit::Attempt, 550 * MS), (400 * MS, Limit::Deadline, 400 * MS)]
    {
        let mut world = World::default();
        let policy = world.policy().deadline(deadline).bulkhead(places(1)).timeout(limits());
        let policy = policy.build().unwrap();
        let run = |busy| {
            let (policy, time) = (policy.clone(), world.time.clone());
            async move {
                let ended = policy
                    .run(async || {
                        time.sleep(busy).await;
                        Ok::<_, ()>(())
                    })
                    .await;
                (ended, time.passed())
            }
        };
        let calls = [run(250 * MS), run(10 * SECOND)];
        let [first, second] = calls.map(|call| world.spawn(call));
        world.run();
        assert!(matches!(first.answer(), Some((Ok(()), _))));
        let (ended, ended_at) = second.answer().unwrap();
        let Err(Error::TimedOut(late)) = ended else { panic!("{ended:?}") };
        assert_eq!((late.limit, ended_at), (limit, when), "it began to run after 250 ms");
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn a_retry_whose_tokens_come_with_the_deadline_is_not_waited_for() {
    let mut world = World::default();
    let bucket = RateLimitConfig {
        capacity: Some(1),
        rate: Some(Rate::per_second(1)),
        limit_each_attempt: true,
        ..RateLimitConfig::default()
    };
    let policy = world.policy().rate_limit(bucket).retry(exact_retry()).deadline(SECOND);
    let policy = policy.build().unwrap();
    let one = policy.clone();
    let _ = world.block_on(async move { one.run(|| ready(Err::<(), _>(()))).await });
    assert_eq!(world.time.passed(), Duration::ZERO, "it could not start");
}
