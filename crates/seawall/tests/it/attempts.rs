//! Attempts that did not succeed are told, each once, with what followed; to those who ask for it, and never at the cost
//! of a transition.

use std::{future::pending, pin::pin, time::Duration};

use seawall::{
    BulkheadConfig, CircuitBreaker, CircuitBreakerConfig, Ended, Error, Events, Followed, Heard,
    Override, PerKey, Policy, PolicyConfig, Ratio, Registry, RetryConfig, Tried,
    core::{Limit, Outcome, Pattern, Stopped, Verdict},
};

use crate::{
    allocator::allocations,
    world::{MS, SECOND, World, exact_retry, poll},
};

fn retrying(world: &World) -> Policy {
    world.policy().retry(exact_retry()).build().expect("the settings make sense")
}

/// All there is to hear by now.
fn heard(events: &mut Events) -> Vec<Heard> {
    std::iter::from_fn(|| poll(&mut pin!(events.next()))?).collect()
}

fn tried(heard: Vec<Heard>) -> Vec<Tried> {
    let attempt = |heard| match heard {
        Heard::Attempt(tried) => tried,
        other => panic!("{other:?}"),
    };
    heard.into_iter().map(attempt).collect()
}

fn told(events: &mut Events) -> Vec<String> {
    tried(heard(events)).iter().map(ToString::to_string).collect()
}

/// A call whose attempts take 10 ms and end so, one after the other.
fn call<const N: usize>(
    world: &mut World,
    policy: &Policy,
    answers: [Result<u8, &'static str>; N],
) {
    let (policy, time) = (policy.clone(), world.time.clone());
    let mut answers = answers.into_iter();
    let _ = world.block_on(async move {
        let operation = || {
            let answer = answers.next().expect("so many attempts");
            let asleep = time.sleep(10 * MS);
            async move {
                asleep.await;
                answer
            }
        };
        policy.run(operation).await
    });
}

#[test]
fn a_call_of_three_attempts_is_told_as_three_events_in_order_and_words() {
    let mut world = World::default();
    let registry = Registry::with_clock(world.time.clock());
    let retry = RetryConfig { max_retries: 2, ..exact_retry() };
    let config = PolicyConfig { retry: Some(retry), ..PolicyConfig::default() };
    let orders = registry.policy("orders", &config).unwrap();
    let listeners = [registry.events().with_attempts(), orders.events().with_attempts()];
    let mut silent = orders.events();
    call(&mut world, &orders, [Err("down"); 3]);
    for mut events in listeners {
        assert_eq!(
            told(&mut events),
            [
                "orders: attempt 1 failed after 10.0ms, retried after 100.0ms",
                "orders: attempt 2 failed after 10.0ms, retried after 200.0ms",
                "orders: attempt 3 failed after 10.0ms, not retried: all retries are used",
            ]
        );
    }
    assert_eq!(heard(&mut silent), [], "who listens to transitions hears transitions");
}

#[test]
fn the_event_is_what_the_error_tells() {
    let mut world = World::default();
    let policy = retrying(&world);
    let mut events = policy.events().with_attempts();
    let error = world.block_on(async move {
        let later = |_: &Result<(), &str>| Verdict::LATER.after(Some(400 * SECOND));
        policy.call().no_retry().classify(&later).run(async || Err("busy")).await.unwrap_err()
    });
    let [event] = tried(heard(&mut events)).try_into().expect("one");
    assert_eq!(*error.history().attempts(), [event.attempted]);
    assert_eq!(event.attempted.retry_after, Some(400 * SECOND));
    assert_eq!(event.attempted.ended, Ended::Answered(Outcome::Ignored));
    assert!(event.to_string().starts_with("orders: attempt 1 counted for nothing after "));
    assert_eq!(Some(event.followed), error.history().stopped().map(Followed::Stopped));
    assert_eq!((&*event.name, event.endpoint, event.key), ("orders", None, None));
}

#[test]
fn a_good_call_has_nothing_to_tell_but_of_what_was_before_its_answer() {
    let mut world = World::default();
    let policy = retrying(&world);
    let mut events = policy.events().with_attempts();
    call(&mut world, &policy, [Ok(1)]);
    let all = heard(&mut events);
    assert_eq!(all, []);
    call(&mut world, &policy, [Err("down"), Ok(1)]);
    assert_eq!(told(&mut events), ["orders: attempt 1 failed after 10.0ms, retried after 100.0ms"]);
}

#[test]
fn why_no_other_followed_is_told_when_that_is_known() {
    let mut world = World::default();
    let policy = world.policy().deadline(SECOND).retry(exact_retry()).build().unwrap();
    let mut events = policy.events().with_attempts();
    let caller = policy.clone();
    let _ = world.block_on(async move {
        let operation = async |attempt: seawall::Attempt| match attempt.number {
            1 => Err::<(), _>("down"),
            _ => pending().await,
        };
        caller.run_with(operation).await
    });
    let all = heard(&mut events);
    let [first, second] = tried(all).try_into().expect("two");
    assert_eq!(first.followed, Followed::Retried(100 * MS));
    assert_eq!(second.attempted.ended, Ended::Cut(Limit::Deadline));
    assert_eq!(
        second.to_string(),
        "orders: attempt 2 cut by its deadline after 900.0ms, not retried: no time before the deadline"
    );
    assert_eq!(second.at, world.time.manual.now());

    // A breaker that is forced open while the retry waits.
    let breaker = CircuitBreakerConfig::default();
    let guarded = world.policy().retry(exact_retry()).circuit_breaker(breaker).build().unwrap();
    let mut refused = guarded.events().with_attempts();
    let caller = guarded.clone();
    let job = world.spawn(async move { caller.run(async || Err::<(), _>("down")).await });
    world.settle();
    guarded.force(Override::open("test"));
    world.run();
    assert!(matches!(job.answer(), Some(Err(Error::Failed(..)))));
    let all = heard(&mut refused);
    let [Heard::Change(_), Heard::Attempt(only)] = &all[..] else { panic!("{all:?}") };
    let Followed::Stopped(Stopped::Refused(refusal)) = only.followed else { panic!("{only:?}") };
    assert_eq!(refusal.by, Pattern::CircuitBreaker);
}

#[test]
fn a_caller_that_leaves_while_the_retry_waits_is_told() {
    let mut world = World::default();
    let policy = retrying(&world);
    let mut events = policy.events().with_attempts();
    let caller = policy.clone();
    let job = world.spawn(async move { caller.run(async || Err::<(), _>("down")).await });
    world.settle();
    let all = heard(&mut events);
    assert_eq!(all, [], "it is not known yet");
    world.cancel(&job);
    assert_eq!(told(&mut events), ["orders: attempt 1 failed after 0.0ns, its caller left"]);
}

#[test]
fn every_door_tells_alike() {
    let mut world = World::default();
    // Without a wait, for a thread that waits on this clock would wait for ever.
    let retry = RetryConfig {
        max_retries: 1,
        base_delay: Duration::ZERO,
        budget: Ratio::percent(1_000),
        ..exact_retry()
    };
    let config = PolicyConfig { retry: Some(retry), ..PolicyConfig::default() };
    let policy = world.policy().config(config.clone()).build().unwrap();
    let tenants: PerKey = world.policy().config(config).per_key().build().unwrap();
    let mut events = policy.events().with_attempts();
    let mut of_keys = tenants.events().with_attempts();
    let in_words = |name: &str| {
        let first = "1 failed after 0.0ns, retried after 0.0ns";
        let last = "2 failed after 0.0ns, not retried: all retries are used";
        [first, last].map(|words| format!("{name}: attempt {words}"))
    };

    let (calls, acme) = (policy.clone(), tenants.key("acme"));
    let failed = async |_| Err::<(), _>("down");
    world.block_on(async move {
        let _ = calls.run_with(failed).await;
        let _ = calls.run_held(failed).await.map(|_| ());
        let _ = calls.call().run_reported(failed).await;
        let _ = acme.run_with(failed).await;
    });
    let _ = policy.run_blocking(|| Err::<(), _>("down"));
    let _ = policy.run_pooled(|| Err::<(), _>("down"));
    assert_eq!(told(&mut events), [(); 5].map(|()| in_words("orders")).concat());
    assert_eq!(told(&mut of_keys), in_words("orders acme"));

    let breaker = CircuitBreakerConfig::default();
    let breaker = CircuitBreaker::with_clock("database", breaker, world.time.clock()).unwrap();
    let mut by_hand = breaker.events().with_attempts();
    breaker.permit().unwrap().success();
    breaker.permit().unwrap().failure();
    assert_eq!(
        told(&mut by_hand),
        ["database: attempt 1 failed after 0.0ns, not retried: no retry is set"]
    );
}

#[test]
fn a_flood_of_attempts_pushes_no_transition_out() {
    let world = World::default();
    let breaker = CircuitBreakerConfig::default();
    let policy = world.policy().circuit_breaker(breaker).build().unwrap();
    let (mut events, mut transitions) = (policy.events().with_attempts(), policy.events());
    let fail = |times: u32| {
        (0..times).for_each(|_| drop(policy.run_blocking(|| Err::<(), _>("down"))));
    };
    fail(4);
    policy.force(Override::closed("let them all through"));
    fail(3_000);
    policy.release();
    let all = heard(&mut events);
    let [Heard::Change(first), Heard::Change(second), Heard::MissedAttempts(missed), rest @ ..] =
        &all[..]
    else {
        panic!("{:?}", &all[..4])
    };
    assert_eq!([first.number, second.number], [1, 2]);
    assert_eq!(*missed as usize + rest.len(), 3_004, "who is too slow is told how many it missed");
    assert!(rest.iter().all(|heard| matches!(heard, Heard::Attempt(_))));
    assert_eq!(heard(&mut events), []);
    assert_eq!(heard(&mut transitions).len(), 2);
}

#[test]
fn nothing_is_built_of_an_attempt_unless_somebody_listens() {
    let world = World::default();
    let config =
        PolicyConfig { bulkhead: Some(BulkheadConfig::default()), ..PolicyConfig::default() };
    let tenants: PerKey = world.policy().config(config).per_key().build().unwrap();
    let acme = tenants.key("acme");
    let calls = || (0..100).for_each(|_| drop(acme.run_blocking(|| Err::<(), _>("down"))));
    calls();
    let silent = allocations(calls);
    let transitions = tenants.events();
    assert_eq!(allocations(calls), silent, "nor if they listen to transitions");
    let attempts = transitions.with_attempts();
    assert!(allocations(calls) >= silent + 100, "the count sees what is built for a listener");
    drop(attempts);
    assert_eq!(allocations(calls), silent);
}

#[test]
fn who_listens_hears_what_was_told_and_then_that_nothing_can_come() {
    let policy = World::default().policy().build().unwrap();
    let mut events = policy.events().with_attempts();
    assert!(policy.run_blocking(|| Err::<(), _>("down")).is_err());
    drop(policy);
    assert!(matches!(poll(&mut pin!(events.next())), Some(Some(Heard::Attempt(_)))));
    assert_eq!(poll(&mut pin!(events.next())), Some(None));
    assert_eq!(poll(&mut pin!(events.with_attempts().next())), Some(None));
}
