//! A pattern that goes and comes again: calls in flight mean nothing to it, whatever they hold of the one before.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::{Future, pending, ready},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use proptest::prelude::*;
use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Override, Policy, PolicyConfig, RateLimitConfig,
    TimeoutConfig,
    core::{Algorithm, Phase, Rate},
};
use tokio::sync::oneshot;

use crate::world::{Job, MS, SECOND, World, assert_nothing_is_left, exact_retry, poll, seen};

/// What an operation says, and what its caller gets.
type Said = Result<(), ()>;
type Answer = Result<(), Error<()>>;

fn places(max_concurrent: u32) -> PolicyConfig {
    let bulkhead = BulkheadConfig { max_concurrent, max_run: None, ..BulkheadConfig::default() };
    PolicyConfig { bulkhead: Some(bulkhead), ..PolicyConfig::default() }
}

fn breaker(half_open_calls: u32) -> PolicyConfig {
    let breaker = CircuitBreakerConfig {
        failures: 1,
        successes: 1,
        open_for: SECOND,
        half_open_calls,
        ..CircuitBreakerConfig::default()
    };
    PolicyConfig { circuit_breaker: Some(breaker), ..PolicyConfig::default() }
}

/// One call a second, and ten that wait.
fn shaper() -> PolicyConfig {
    let limit = RateLimitConfig {
        algorithm: Algorithm::Shaper,
        capacity: Some(10),
        rate: Some(Rate::per_second(1)),
        ..RateLimitConfig::default()
    };
    PolicyConfig { rate_limit: Some(limit), ..PolicyConfig::default() }
}

/// Removes all patterns and adds these.
fn replace(policy: &Policy, config: &PolicyConfig) {
    policy.reload(&PolicyConfig::default()).expect("no settings make sense too");
    policy.reload(config).expect("the settings make sense");
}

/// A call that runs until it is cancelled.
fn hang(world: &mut World, policy: &Policy) -> Job<Answer> {
    let policy = policy.clone();
    world.spawn(async move { policy.run(pending).await })
}

/// A call that fails when its operation is told to.
fn failing(world: &mut World, policy: &Policy) -> (Job<Answer>, oneshot::Sender<()>) {
    let (fail, told) = oneshot::channel::<()>();
    let (policy, told) = (policy.clone(), RefCell::new(Some(told)));
    let job = world.spawn(async move {
        let operation = || {
            let told = told.borrow_mut().take().expect("it runs once");
            async move {
                let _ = told.await;
                Err(())
            }
        };
        policy.run(operation).await
    });
    (job, fail)
}

/// A call that succeeds after so long.
fn sleeping(world: &mut World, policy: &Policy, how_long: Duration) -> Job<Answer> {
    let (policy, time) = (policy.clone(), world.time.clone());
    world.spawn(async move {
        let operation = || {
            let sleep = time.sleep(how_long);
            async move {
                sleep.await;
                Ok(())
            }
        };
        policy.run(operation).await
    })
}

fn active(policy: &Policy) -> (u32, u32) {
    let bulkhead = &seen(policy).bulkheads["orders"];
    (bulkhead.active_calls, bulkhead.queued)
}

#[test]
fn calls_from_before_a_bulkhead_free_none_of_its_places() {
    let mut world = World::default();
    let policy = world.policy().config(places(2)).build().unwrap();
    for round in 1..=3 {
        let old: Vec<_> = (0..2).map(|_| hang(&mut world, &policy)).collect();
        world.settle();
        replace(&policy, &places(2));
        let new: Vec<_> = (0..4).map(|_| hang(&mut world, &policy)).collect();
        world.settle();
        assert_eq!(active(&policy), (2, 2));
        old.iter().for_each(|job| world.cancel(job));
        world.settle();
        assert_eq!(active(&policy), (2, 2), "round {round}");
        assert_eq!(policy.counts().attempts.in_flight(), 2);
        new.iter().for_each(|job| world.cancel(job));
        assert_nothing_is_left(&policy);
    }
}

/// A call that is polled by hand, and sees whether it was woken.
struct Task {
    future: Pin<Box<dyn Future<Output = Answer>>>,
    woken: Arc<Flag>,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Task {
    /// Begins a call, which may have to wait.
    fn begin(
        policy: &Policy,
        operation: impl Future<Output = Said> + 'static,
    ) -> (Self, Option<Answer>) {
        let (policy, operation) = (policy.clone(), RefCell::new(Some(operation)));
        let future = Box::pin(async move {
            policy.run(|| operation.borrow_mut().take().expect("it runs once")).await
        });
        let mut task = Self { future, woken: Arc::default() };
        let answer = task.poll();
        (task, answer)
    }

    fn poll(&mut self) -> Option<Answer> {
        let waker = Waker::from(self.woken.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    fn was_woken(&self) -> bool {
        self.woken.0.swap(false, Ordering::AcqRel)
    }
}

/// Begins a call that has to wait.
fn waits(policy: &Policy) -> Task {
    let (task, answer) = Task::begin(policy, ready(Ok(())));
    assert!(answer.is_none(), "{answer:?}");
    task
}

/// Begins a call that runs until it is dropped.
fn holds(policy: &Policy) -> Task {
    Task::begin(policy, pending()).0
}

#[test]
fn who_waited_for_a_place_that_is_gone_takes_nobodys_and_keeps_nobody_asleep() {
    for called_up in [false, true] {
        let world = World::default();
        let policy = world.policy().config(places(1)).build().unwrap();
        let holder = holds(&policy);
        let (left, mut goes_on) = (waits(&policy), waits(&policy));
        let holder = Some(holder).filter(|_| !called_up);
        replace(&policy, &places(1));
        assert!(left.was_woken() && goes_on.was_woken());
        // Before either looks, others stand in rows like theirs.
        let first = holds(&policy);
        let mut second = waits(&policy);
        assert_eq!(active(&policy), (1, 1));
        drop(left);
        assert_eq!(active(&policy), (1, 1), "it was in no line of these");
        assert!(goes_on.poll().is_none());
        assert_eq!(active(&policy), (1, 2), "it asks as one who comes");
        drop(first);
        assert!(second.was_woken() && !goes_on.was_woken(), "first come, first served");
        assert!(matches!(second.poll(), Some(Ok(()))));
        assert!(goes_on.was_woken());
        assert!(matches!(goes_on.poll(), Some(Ok(()))));
        drop(holder);
        assert_nothing_is_left(&policy);
    }
}

#[test]
fn who_waited_at_a_rate_limit_that_is_gone_goes_on_and_takes_nobodys_turn() {
    let world = World::default();
    let policy = world.policy().config(shaper()).build().unwrap();
    drop(holds(&policy));
    let (left, mut goes_on) = (waits(&policy), waits(&policy));
    replace(&policy, &shaper());
    drop(holds(&policy));
    let mut next = waits(&policy);
    let figures = || {
        let seen = &seen(&policy).rate_limiters["orders"];
        (seen.allowed, seen.rejected, seen.abandoned, seen.waiting)
    };
    assert_eq!(figures(), (1, 0, 0, 1));
    drop(left);
    assert!(matches!(goes_on.poll(), Some(Ok(()))), "nothing is left to wait for");
    assert_eq!(figures(), (1, 0, 0, 1));
    world.time.advance(SECOND);
    assert!(matches!(next.poll(), Some(Ok(()))));
    assert_eq!(figures(), (2, 0, 0, 0));
    assert_nothing_is_left(&policy);
}

#[test]
fn tokens_of_a_rate_limit_that_is_gone_are_not_given_to_another() {
    let bucket = RateLimitConfig { capacity: Some(1), ..RateLimitConfig::default() };
    let limited = PolicyConfig { rate_limit: Some(bucket), ..places(1) };
    let world = World::default();
    let policy = world.policy().config(limited.clone()).build().unwrap();
    let holder = holds(&policy);
    world.time.advance(SECOND);
    let waiting = waits(&policy);
    // The bulkhead stays, and who waits there leaves without having run.
    policy.reload(&places(1)).unwrap();
    policy.reload(&limited).unwrap();
    world.time.advance(MS);
    let taken = || seen(&policy).rate_limiters["orders"].available;
    let queued = waits(&policy);
    assert_eq!(taken(), 0);
    drop(waiting);
    assert_eq!(taken(), 0, "it was taken from another");
    drop(queued);
    assert_eq!(taken(), 1, "its own are given back");
    drop(holder);
}

#[test]
fn who_goes_on_without_a_rate_limit_gives_another_nothing_back() {
    let bucket = RateLimitConfig { capacity: Some(1), ..RateLimitConfig::default() };
    let shaped = PolicyConfig { rate_limit: shaper().rate_limit, ..places(1) };
    let world = World::default();
    let policy = world.policy().config(shaped).build().unwrap();
    let _holder = holds(&policy);
    let mut goes_on = waits(&policy);
    policy.reload(&places(1)).unwrap();
    policy.reload(&PolicyConfig { rate_limit: Some(bucket), ..places(1) }).unwrap();
    world.time.advance(MS);
    assert!(goes_on.poll().is_none());
    assert_eq!(active(&policy), (1, 1), "it waits for a place now");
    let _queued = waits(&policy);
    let available = || seen(&policy).rate_limiters["orders"].available;
    assert_eq!(available(), 0);
    drop(goes_on);
    assert_eq!(available(), 0, "it took nothing");
}

#[test]
fn calls_from_before_a_breaker_neither_open_it_nor_count_there() {
    let mut world = World::default();
    let policy = world.policy().build().unwrap();
    let (_without, fail_without) = failing(&mut world, &policy);
    world.settle();
    policy.reload(&breaker(3)).unwrap();
    let (_old, fail_old) = failing(&mut world, &policy);
    world.settle();
    for _ in 0..2 {
        replace(&policy, &breaker(3));
    }
    let (_own, fail_own) = failing(&mut world, &policy);
    world.settle();
    fail_without.send(()).unwrap();
    fail_old.send(()).unwrap();
    world.settle();
    assert_eq!(policy.phase(), Some(Phase::Closed));
    let ended = || seen(&policy).circuit_breakers["orders"].totals.failures;
    assert_eq!((ended(), policy.counts().calls.failed), (0, 2));
    fail_own.send(()).unwrap();
    world.settle();
    assert_eq!((policy.phase(), ended()), (Some(Phase::Open), 1));
}

#[test]
fn a_probe_of_a_breaker_that_is_gone_is_none_of_one_with_fewer_places() {
    let mut world = World::default();
    let policy = world.policy().config(breaker(3)).build().unwrap();
    let open = |policy: &Policy| {
        let _ = policy.run_blocking(|| Err::<(), _>(()));
        world.time.advance(SECOND);
        assert_eq!(policy.phase(), Some(Phase::HalfOpen));
    };
    open(&policy);
    let mut probes: Vec<_> = (0..3).map(|_| holds(&policy)).collect();
    replace(&policy, &breaker(1));
    open(&policy);
    let own = holds(&policy);
    drop(probes.pop());
    world.time.advance(MS);
    assert_eq!(policy.phase(), Some(Phase::HalfOpen));
    let refused = || matches!(policy.run_blocking(|| Ok::<_, ()>(())), Err(Error::Refused(_)));
    assert!(refused(), "its only place is taken");
    drop(probes);
    assert!(refused());
    drop(own);
    assert!(!refused(), "its own gives it back");
    world.settle();
}

#[test]
fn a_retry_that_a_budget_that_is_gone_paid_for_is_not_paid_back_to_another() {
    let world = World::default();
    let retrying = PolicyConfig { retry: Some(exact_retry()), ..PolicyConfig::default() };
    let policy = world.policy().config(retrying.clone()).build().unwrap();
    let paid = |most: usize| {
        let all = (0..most).map(|_| {
            let policy = policy.clone();
            let call = async move { policy.run(|| ready(Err::<(), _>(()))).await };
            let mut call = Box::pin(call);
            (poll(&mut call).is_none()).then_some(call)
        });
        all.flatten().collect::<Vec<_>>()
    };
    let account = || {
        let account = &seen(&policy).retry_managers["orders"];
        (account.total_retries, account.balance)
    };
    let before = paid(3);
    assert_eq!(account().0, 3);
    replace(&policy, &retrying);
    let own = paid(3);
    assert_eq!(own.len(), 3);
    drop(before);
    assert_eq!(account(), (3, 0.3), "nothing of its own came back");
    assert_eq!(paid(3).len(), 0);
    drop(own);
    assert_eq!(account(), (0, 3.6), "its own does");
}

#[test]
fn calls_from_before_a_timeout_teach_it_nothing() {
    let mut world = World::default();
    let limits = |attempt| {
        let timeout = TimeoutConfig { warm_up: 1, attempt, ..TimeoutConfig::default() };
        PolicyConfig { timeout: Some(timeout), ..PolicyConfig::default() }
    };
    let policy = world.policy().build().unwrap();
    for before in [PolicyConfig::default(), limits(20 * SECOND)] {
        policy.reload(&before).unwrap();
        let answered = sleeping(&mut world, &policy, 10 * SECOND);
        let left = hang(&mut world, &policy);
        world.settle();
        replace(&policy, &limits(SECOND));
        world.time.advance(10 * SECOND);
        world.settle();
        assert!(matches!(answered.answer(), Some(Ok(()))));
        world.cancel(&left);
        let learned = &seen(&policy).adaptive_timeouts["orders"];
        assert_eq!((learned.samples, learned.current_timeout_ms), (0, 1_000.0));

        let answered = sleeping(&mut world, &policy, 10 * MS);
        world.run();
        assert!(matches!(answered.answer(), Some(Ok(()))));
        let learned = &seen(&policy).adaptive_timeouts["orders"];
        assert_eq!(learned.samples, 1, "its own do");
        assert!(learned.p99.is_some_and(|p99| p99 < 11.0), "no cut of another: {learned:?}");
    }
}

#[test]
fn it_is_the_same_for_each_of_many_keys() {
    let world = World::default();
    let config = PolicyConfig { circuit_breaker: breaker(1).circuit_breaker, ..places(1) };
    let tenants = world.policy().config(config.clone()).per_key::<Arc<str>>().build().unwrap();
    let key = |name: &str| {
        let key = tenants.key(name);
        let call = Box::pin(async move { key.run(pending::<Said>).await });
        let mut task = Task { future: call, woken: Arc::default() };
        let answer = task.poll();
        (task, answer)
    };
    // What is replaced has replaced another, and one key has come further than the others.
    tenants.reload(&PolicyConfig::default()).unwrap();
    tenants.reload(&config).unwrap();
    for _ in 0..2 {
        tenants.force("a", Override::open("test"));
        tenants.release("a");
    }
    let old = [key("a").0, key("b").0, key("b").0];
    tenants.reload(&PolicyConfig::default()).unwrap();
    let without = [key("a").0, key("c").0];
    tenants.reload(&config).unwrap();
    // Left unanswered for so long, they are failures.
    world.time.advance(SECOND);
    let new = ["a", "b", "c", "d"].map(|name| key(name).0);
    // The new one of that key has come as far.
    drop(new);
    for opens in [true, false] {
        let ended = tenants.key("a").run_blocking(|| if opens { Err(()) } else { Ok(()) });
        assert_eq!(ended.is_err(), opens);
        world.time.advance(SECOND);
    }
    let new = ["a", "b", "c", "d"].map(|name| key(name).0);
    drop((old, without));
    for name in ["a", "b", "c", "d"] {
        assert_eq!(tenants.phase(name), Some(Phase::Closed), "{name}");
    }
    let mut waiting = ["a", "b", "c", "d"].map(|name| {
        let (task, answer) = key(name);
        assert!(answer.is_none(), "{name} has one place, and it is taken");
        task
    });
    drop(new);
    assert!(waiting.iter().all(Task::was_woken));
    assert!(waiting.iter_mut().all(|task| task.poll().is_none()), "it runs");
    drop(waiting);
    let _ = tenants.key("d").run_blocking(|| Err::<(), _>(()));
    assert_eq!(tenants.phase("d"), Some(Phase::Open), "what came later is judged too");
}

/// What a history of reloads and calls is about.
struct History {
    world: World,
    policy: Policy,
    config: PolicyConfig,
    seen: Rc<Seen>,
    calls: Vec<(Job<Answer>, Option<oneshot::Sender<Said>>)>,
}

/// What is seen of operations.
#[derive(Default)]
struct Seen {
    /// How often there was another bulkhead, and another breaker.
    bulkheads: Cell<u32>,
    breakers: Cell<u32>,
    /// What runs, by the bulkhead that let it in.
    running: RefCell<BTreeMap<u32, u32>>,
    /// The last breaker of which a call has ended.
    judged: Cell<u32>,
}

impl History {
    fn new() -> Self {
        let world = World::default();
        let policy = world.policy().build().expect("the settings make sense");
        Self {
            world,
            policy,
            config: PolicyConfig::default(),
            seen: Rc::default(),
            calls: Vec::new(),
        }
    }

    fn call(&mut self) {
        let (end, told) = oneshot::channel::<Said>();
        let (policy, told) = (self.policy.clone(), RefCell::new(Some(told)));
        let seen = self.seen.clone();
        let job = self.world.spawn(async move {
            let operation = || {
                let told = told.borrow_mut().take().expect("it runs once");
                let runs = Runs::new(&seen);
                async move {
                    let _runs = runs;
                    told.await.unwrap_or(Ok(()))
                }
            };
            policy.run(operation).await
        });
        self.calls.push((job, Some(end)));
    }

    fn step(&mut self, step: u8, which: prop::sample::Index) {
        match step {
            0..=2 => self.call(),
            3 | 4 if !self.calls.is_empty() => {
                let at = which.index(self.calls.len());
                let answer = if step == 3 { Ok(()) } else { Err(()) };
                if let Some(end) = self.calls[at].1.take() {
                    let _ = end.send(answer);
                }
            }
            5 if !self.calls.is_empty() => {
                let (job, _end) = self.calls.swap_remove(which.index(self.calls.len()));
                self.world.cancel(&job);
            }
            6 => {
                self.seen.bulkheads.update(|n| n + u32::from(self.config.bulkhead.is_none()));
                self.toggle(|config| &mut config.bulkhead, places(2).bulkhead);
            }
            7 => {
                self.seen.breakers.update(|n| n + u32::from(self.config.circuit_breaker.is_none()));
                self.toggle(|config| &mut config.circuit_breaker, breaker(2).circuit_breaker);
            }
            8 => self.toggle(|config| &mut config.rate_limit, shaper().rate_limit),
            _ => self.world.time.advance(400 * MS),
        }
    }

    fn toggle<C>(
        &mut self,
        pattern: impl Fn(&mut PolicyConfig) -> &mut Option<C>,
        added: Option<C>,
    ) {
        let pattern = pattern(&mut self.config);
        *pattern = if pattern.is_some() { None } else { added };
        self.policy.reload(&self.config).expect("the settings make sense");
    }

    /// What must be true at any time; `settled` if everybody has looked.
    fn check(&self, settled: bool) {
        if let Some(bulkhead) = seen(&self.policy).bulkheads.get("orders") {
            let own =
                self.seen.running.borrow().get(&self.seen.bulkheads.get()).copied().unwrap_or(0);
            assert!(
                own <= bulkhead.active_calls && bulkhead.active_calls <= 2,
                "{own} {bulkhead:?}"
            );
            assert!(!settled || own == bulkhead.active_calls, "{own} {bulkhead:?}");
        }
        let judged = self.seen.judged.get() == self.seen.breakers.get();
        let phase = self.policy.phase();
        assert!(judged || phase.is_none_or(|phase| phase == Phase::Closed), "{phase:?}");
    }
}

/// An operation that runs: who let it in.
struct Runs {
    seen: Rc<Seen>,
    bulkhead: u32,
    breaker: u32,
}

impl Runs {
    fn new(seen: &Rc<Seen>) -> Self {
        let (bulkhead, breaker) = (seen.bulkheads.get(), seen.breakers.get());
        *seen.running.borrow_mut().entry(bulkhead).or_default() += 1;
        Self { seen: seen.clone(), bulkhead, breaker }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.seen.judged.set(self.seen.judged.get().max(self.breaker));
        if let Some(running) = self.seen.running.borrow_mut().get_mut(&self.bulkhead) {
            *running -= 1;
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_reloaded_while_calls_run_limits_hold_and_all_is_given_back(
        steps in prop::collection::vec((0u8..10, any::<prop::sample::Index>(), any::<bool>()), 1..80),
    ) {
        let mut history = History::new();
        for (step, which, settles) in steps {
            history.step(step, which);
            if settles {
                history.world.settle();
            }
            history.check(settles);
        }
        // The operations that have not been told end well.
        history.calls.iter_mut().for_each(|(_, end)| drop(end.take()));
        history.world.run();
        assert_nothing_is_left(&history.policy);
        let calls = history.policy.counts().calls;
        prop_assert_eq!(calls.started, calls.succeeded + calls.failed + calls.refused + calls.ignored);
    }
}
