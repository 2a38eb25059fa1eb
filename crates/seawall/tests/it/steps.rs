//! The steps of an attempt: connecting and each read are cut at their own limits, and by the deadline.

use std::{
    collections::VecDeque,
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use seawall::{
    AdaptiveTimeout, Attempt, BulkheadConfig, Clock, Deadline, Error, LimitPassed, Policy,
    PolicyBuilder, PolicyConfig, RetryConfig, TimeoutConfig,
    core::{Limit, Stopped},
};

use crate::world::{MS, SECOND, Time, World, assert_nothing_is_left, exact_retry};

fn limits(connect: Duration, read: Duration) -> TimeoutConfig {
    TimeoutConfig { connect, read, ..TimeoutConfig::default() }
}

fn limited(world: &World) -> PolicyBuilder {
    world.policy().timeout(limits(100 * MS, 200 * MS))
}

/// The attempt of a call that is over: its limits stay as they were.
fn attempt(policy: &Policy) -> Attempt {
    policy.run_blocking_with(Ok::<_, ()>).expect("nothing in it fails")
}

fn passed(limit: Limit, after: Duration) -> Option<(Limit, Duration)> {
    Some((limit, after))
}

/// Which limit ended a step, and when.
fn cut<T>(step: Result<T, LimitPassed>) -> Option<(Limit, Duration)> {
    step.err().map(|passed| (passed.limit, passed.after))
}

/// An item after each of these waits.
struct Drip {
    time: Time,
    waits: VecDeque<Duration>,
    next: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Drip {
    fn new(time: &Time, waits: impl IntoIterator<Item = Duration>) -> Self {
        Self { time: time.clone(), waits: waits.into_iter().collect(), next: None }
    }
}

impl Stream for Drip {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let this = &mut *self;
        if this.next.is_none() {
            let Some(wait) = this.waits.pop_front() else { return Poll::Ready(None) };
            this.next = Some(Box::pin(this.time.sleep(wait)));
        }
        let came = this.next.as_mut().map(|next| next.as_mut().poll(cx));
        if came == Some(Poll::Pending) {
            return Poll::Pending;
        }
        this.next = None;
        Poll::Ready(Some(()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.waits.len(), Some(self.waits.len()))
    }
}

async fn next<S: Stream>(stream: &mut Pin<&mut S>) -> Option<S::Item> {
    poll_fn(|cx| stream.as_mut().poll_next(cx)).await
}

#[test]
fn f36_connecting_is_cut_at_its_limit_and_is_a_failure_that_is_retried() {
    let mut world = World::default();
    let retry = RetryConfig { max_retries: 1, ..exact_retry() };
    let policy = limited(&world).retry(retry).build().unwrap();
    let caller = policy.clone();
    let ended = world
        .block_on(async move { caller.run_with(|attempt| attempt.connect(pending::<()>())).await });
    let Err(Error::Failed(error, history)) = ended else { panic!("{ended:?}") };
    assert_eq!((error.limit, error.after), (Limit::Connect, 100 * MS));
    assert_eq!(error.to_string(), "connect limit passed after 100.0ms");
    assert_eq!((history.attempts().len(), history.stopped()), (2, Some(Stopped::MaxRetries)));
    assert_eq!(world.time.passed(), 300 * MS, "twice, and 100 ms between them");
    assert_nothing_is_left(&policy);
}

#[test]
fn f36_f37_the_limits_are_three_and_thirty_seconds_and_without_a_timeout_there_are_none() {
    let mut world = World::default();
    let defaults = world.policy().timeout(TimeoutConfig::default()).build().unwrap();
    let none = world.policy().build().unwrap();
    let time = world.time.clone();
    world.block_on(async move {
        let attempt_ = attempt(&defaults);
        assert_eq!(
            cut(attempt_.connect(pending::<()>()).await),
            passed(Limit::Connect, 3 * SECOND)
        );
        assert_eq!(cut(attempt_.read(pending::<()>()).await), passed(Limit::Read, 30 * SECOND));
        let attempt = attempt(&none);
        assert_eq!(attempt.connect(time.sleep(3600 * SECOND)).await, Ok(()));
        assert_eq!(attempt.read(time.sleep(3600 * SECOND)).await, Ok(()));
    });
}

#[test]
fn f37_each_read_has_the_whole_limit() {
    let mut world = World::default();
    let attempt = attempt(&limited(&world).build().unwrap());
    let time = world.time.clone();
    world.block_on(async move {
        for _ in 0..3 {
            assert_eq!(attempt.read(time.sleep(200 * MS)).await, Ok(()), "ready at the limit");
        }
        let read = attempt.read(pending::<()>());
        time.sleep(SECOND).await;
        assert_eq!(cut(read.await), passed(Limit::Read, 200 * MS), "from its first poll on");
    });
}

#[test]
fn f37_a_stream_is_cut_by_silence_and_not_by_its_length_or_a_slow_reader() {
    let mut world = World::default();
    let attempt = attempt(&limited(&world).build().unwrap());
    let time = world.time.clone();
    world.block_on(async move {
        let waits = [150, 150, 0, 150, 250, 0].map(|n| n * MS);
        let mut body = pin!(attempt.read_stream(Drip::new(&time, waits)));
        assert_eq!(body.size_hint(), (0, Some(7)));
        for _ in 0..4 {
            assert_eq!(next(&mut body).await, Some(Ok(())));
            time.sleep(SECOND).await;
        }
        let silence = next(&mut body).await.and_then(cut);
        assert_eq!(silence, passed(Limit::Read, 200 * MS));
        time.sleep(SECOND).await;
        assert_eq!(next(&mut body).await, None, "over, whatever still comes");

        let mut short = pin!(attempt.read_stream(Drip::new(&time, [MS])));
        assert_eq!(next(&mut short).await, Some(Ok(())));
        assert_eq!((next(&mut short).await, next(&mut short).await), (None, None));
    });
}

#[test]
fn f38_steps_are_clipped_to_what_is_left_of_the_deadline() {
    let mut world = World::default();
    let outer = world.policy().deadline(90 * MS).build().unwrap();
    let inner = limited(&world).deadline(SECOND).build().unwrap();
    let time = world.time.clone();
    world.block_on(async move {
        let operation = async || {
            time.sleep(30 * MS).await;
            inner.run_with(|attempt| attempt.connect(pending::<()>())).await
        };
        let Err(Error::Failed(Error::Failed(error, history), _)) = outer.run(operation).await
        else {
            panic!("connecting had 60 ms");
        };
        assert_eq!((error.limit, error.after), (Limit::Deadline, 60 * MS));
        assert_eq!(history.stopped(), Some(Stopped::NoRetry));
    });
    assert_eq!(world.time.passed(), 90 * MS);
}

#[test]
fn f38_of_two_limits_the_first_cuts_and_is_named() {
    for (deadline, limit) in [(99, Limit::Deadline), (100, Limit::Deadline), (101, Limit::Connect)]
    {
        let mut world = World::default();
        let policy = limited(&world).deadline(deadline * MS).build().unwrap();
        let ended = world.block_on(async move {
            policy.run_with(|attempt| attempt.connect(pending::<()>())).await
        });
        let Err(Error::Failed(error, _)) = ended else { panic!("{ended:?}") };
        assert_eq!(error.limit, limit, "deadline of {deadline} ms");
        assert_eq!(error.after, (deadline * MS).min(100 * MS));
    }
}

#[tokio::test(start_paused = true)]
async fn f38_in_a_spawned_task_a_step_is_clipped_if_the_deadline_is_carried() {
    let policy = Policy::builder("orders")
        .deadline(SECOND)
        .timeout(limits(20 * SECOND, 30 * SECOND))
        .clock(Clock::tokio())
        .build()
        .unwrap();
    // Left to themselves, they outlive the call, and nobody else would cut them.
    let spawned = policy.run_with(async |attempt: Attempt| {
        let connecting = attempt.connect(pending::<()>());
        let carried = tokio::spawn(Deadline::current().scope(connecting));
        Ok::<_, ()>((carried, tokio::spawn(attempt.connect(pending::<()>()))))
    });
    let (carried, alone) = spawned.await.unwrap();
    let carried = carried.await.unwrap().unwrap_err();
    assert_eq!(carried.limit, Limit::Deadline);
    assert!((SECOND..SECOND + 2 * MS).contains(&carried.after), "{:?}", carried.after);
    let alone = alone.await.unwrap().unwrap_err();
    assert_eq!(alone.limit, Limit::Connect);
}

#[test]
fn a_body_that_is_read_after_its_head_is_cut_by_silence_alone() {
    let mut world = World::default();
    let policy =
        limited(&world).deadline(300 * MS).bulkhead(BulkheadConfig::default()).build().unwrap();
    let (caller, time) = (policy.clone(), world.time.clone());
    world.block_on(async move {
        let body = |attempt: Attempt| {
            let body = attempt.read_stream(Drip::new(&time, [150 * MS; 9]));
            async move { Ok::<_, ()>(body) }
        };
        let (body, held) = caller.call().run_held(body).await.unwrap();
        let mut body = pin!(body);
        while let Some(part) = next(&mut body).await {
            assert_eq!(part, Ok(()));
        }
        held.complete();
    });
    assert_eq!(world.time.passed(), 9 * 150 * MS);
    assert_nothing_is_left(&policy);
}

#[test]
fn what_lies_ready_when_we_wake_late_is_taken() {
    let mut world = World::default();
    let attempt = attempt(&limited(&world).build().unwrap());
    let time = world.time.clone();
    let job = world.spawn(async move {
        let mut body = pin!(attempt.read_stream(Drip::new(&time, [150 * MS, SECOND])));
        (next(&mut body).await, next(&mut body).await.and_then(cut))
    });
    world.settle();
    world.time.advance(10 * SECOND);
    world.run();
    let late = passed(Limit::Read, 200 * MS);
    assert_eq!(job.answer(), Some((Some(Ok(())), late)), "the next one is waited for anew");
}

#[test]
fn other_limits_hold_from_the_next_attempt_on() {
    let mut world = World::default();
    let policy = limited(&world).build().unwrap();
    let before = attempt(&policy);
    let config = |timeout| PolicyConfig { timeout, ..PolicyConfig::default() };
    policy.reload(&config(Some(limits(50 * MS, 70 * MS)))).unwrap();
    let after = attempt(&policy);
    policy.reload(&config(None)).unwrap();
    let none = attempt(&policy);
    let time = world.time.clone();
    world.block_on(async move {
        let connect = async |attempt: &Attempt| cut(attempt.connect(pending::<()>()).await);
        assert_eq!(connect(&before).await, passed(Limit::Connect, 100 * MS));
        assert_eq!(connect(&after).await, passed(Limit::Connect, 50 * MS));
        assert_eq!(cut(after.read(pending::<()>()).await), passed(Limit::Read, 70 * MS));
        assert_eq!(none.connect(time.sleep(3600 * SECOND)).await, Ok(()));
    });
}

#[test]
fn all_keys_have_the_limits_of_their_policy_and_other_ones_at_once() {
    let mut world = World::default();
    let tenants = limited(&world).per_key::<Arc<str>>().build().unwrap();
    let of = |key: &str| tenants.key(key).run_blocking_with(Ok::<_, ()>).unwrap();
    let before = of("acme");
    let timeout = Some(limits(50 * MS, 70 * MS));
    tenants.reload(&PolicyConfig { timeout, ..PolicyConfig::default() }).unwrap();
    let after = [of("acme"), of("other")];
    world.block_on(async move {
        let connecting = before.connect(pending::<()>()).await;
        assert_eq!(cut(connecting), passed(Limit::Connect, 100 * MS));
        for attempt in after {
            assert_eq!(
                cut(attempt.connect(pending::<()>()).await),
                passed(Limit::Connect, 50 * MS)
            );
            assert_eq!(cut(attempt.read(pending::<()>()).await), passed(Limit::Read, 70 * MS));
        }
    });
}

#[test]
fn a_shared_timeout_limits_the_steps_of_all_who_share_it() {
    let mut world = World::default();
    let config = limits(50 * MS, 70 * MS);
    let timeout = AdaptiveTimeout::with_clock("quotes", config, world.time.clock()).unwrap();
    let attempt = attempt(&world.policy().timeout(&timeout).build().unwrap());
    let ended = world.block_on(async move { cut(attempt.connect(pending::<()>()).await) });
    assert_eq!(ended, passed(Limit::Connect, 50 * MS));
}
