//! Code that is not ours, a schedule or a waker, runs where nothing is locked: it may come back to what it is run by.

use std::{
    cell::Cell,
    fmt,
    future::{pending, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    ptr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker},
    thread,
};

use seawall::{
    Bulkhead, BulkheadConfig, CircuitBreakerConfig, Clock, Heard, ManualClock, PerKey, Policy,
    PolicyBuilder, PolicyConfig, Priority, RateLimitConfig, Registry, RegistryError, RetryConfig,
    Strategy,
    core::{Algorithm, CustomBackoff, Rate},
};

use crate::world::{MS, SECOND};

/// Settings with a schedule of somebody's own, which does `this` whenever it is asked.
fn asking(this: impl Fn() + Send + Sync + 'static) -> RetryConfig {
    let own = CustomBackoff::new(move |_| {
        this();
        MS
    });
    RetryConfig { strategy: Strategy::Custom(own), ..RetryConfig::default() }
}

/// What comes of it, unless it waits for itself.
fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::sync_channel(1);
    thread::spawn(move || done.send(work()));
    is_done.recv_timeout(20 * SECOND).expect("it waits for a lock that it holds")
}

#[test]
fn a_schedule_that_asks_its_registry_finds_it_open() {
    let registry = Registry::new();
    let inside = registry.clone();
    let config = asking(move || assert!(inside.find("other").is_none()));
    ends(move || registry.retry("quotes", &config)).unwrap();
}

#[test]
fn of_two_who_ask_for_a_new_name_at_once_the_first_stays() {
    let registry = Registry::new();
    let inside = registry.clone();
    let first = RetryConfig::default();
    let config = asking(move || drop(inside.retry("quotes", &first).unwrap()));
    let (same, late) = (registry.clone(), config.clone());
    let second = ends(move || same.retry("quotes", &late));
    assert!(matches!(second, Err(RegistryError::Conflict { .. })), "{second:?}");
    assert!(registry.retry("quotes", &RetryConfig::default()).is_ok());
    assert_eq!(registry.snapshot().retry_managers.len(), 1);
}

#[test]
fn a_schedule_that_asks_its_policy_for_many_keys_finds_it_open() {
    let tenants = Policy::builder("tenants").per_key::<Arc<str>>().build().unwrap();
    let inside = tenants.clone();
    let retry = asking(move || assert_eq!(inside.counts().calls.started, 0));
    let config = PolicyConfig { retry: Some(retry), ..PolicyConfig::default() };
    ends(move || tenants.reload(&config)).unwrap();
}

/// A key that asks its policy for figures when it is shown.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Asking(u32);

static TENANTS: OnceLock<PerKey<Asking>> = OnceLock::new();

impl From<&Self> for Asking {
    fn from(key: &Self) -> Self {
        key.clone()
    }
}

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = TENANTS.get().map(|tenants| tenants.snapshot().keys);
        write!(f, "{} of {keys:?}", self.0)
    }
}

#[test]
fn a_key_that_asks_its_policy_when_it_is_shown_finds_it_open() {
    let once = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
    let tenants = Policy::builder("tenants").circuit_breaker(once).per_key::<Asking>();
    let tenants = TENANTS.get_or_init(|| tenants.build().unwrap());
    let mut events = pin!(tenants.events().with_attempts());
    let failed = ends(|| tenants.key(&Asking(1)).run_blocking(|| Err::<(), _>(())));
    assert!(failed.is_err());
    for _ in 0..2 {
        let next = pin!(events.next()).poll(&mut Context::from_waker(Waker::noop()));
        let told = match next {
            Poll::Ready(Some(Heard::Change(change))) => change.key,
            Poll::Ready(Some(Heard::Attempt(tried))) => tried.key,
            next => panic!("{next:?}"),
        };
        assert_eq!(told.as_deref(), Some("1 of Some(1)"));
    }
}

/// One place, and time that stands.
fn narrow() -> PolicyBuilder {
    let one = BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() };
    Policy::builder("orders").bulkhead(one).clock(Clock::manual(&ManualClock::new()))
}

fn hangs(call: Pin<&mut impl Future>, waker: &Waker) {
    assert!(call.poll(&mut Context::from_waker(waker)).is_pending());
}

/// What a waker whose clones ask the policy for its figures points to.
static ASKING: RawWakerVTable = RawWakerVTable::new(clone_and_ask, |_| (), |_| (), |_| ());

#[expect(unsafe_code, reason = "no safe waker runs code of its own when it is cloned")]
fn clone_and_ask(policy: *const ()) -> RawWaker {
    // SAFETY: it was made of a policy that lives for ever.
    let asked = unsafe { &*policy.cast::<Policy>() };
    assert!(asked.counts().calls.started > 0);
    RawWaker::new(policy, &ASKING)
}

#[test]
#[expect(unsafe_code, reason = "as above")]
fn a_waker_is_cloned_where_nothing_is_locked() {
    ends(|| {
        let policy: &'static Policy = Box::leak(Box::new(narrow().build().unwrap()));
        let mut holder = pin!(policy.run(pending::<Result<(), ()>>));
        hangs(holder.as_mut(), Waker::noop());
        // SAFETY: the table's functions are safe on any thread, and the policy lives for ever.
        let waker = unsafe { Waker::new(ptr::from_ref(policy).cast(), &ASKING) };
        let mut waiter = pin!(policy.run(pending::<Result<(), ()>>));
        hangs(waiter.as_mut(), &waker);
    });
}

/// Wakers that panic, and how many were asked to wake.
#[derive(Default)]
struct Failing(AtomicU32);

impl Wake for Failing {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
        panic!("a waker that fails");
    }
}

#[test]
fn a_waker_that_panics_keeps_nobody_else_asleep() {
    let failing = Arc::new(Failing::default());
    let waker = Waker::from(failing.clone());
    let policy = narrow().build().unwrap();
    let calls: [_; 4] = std::array::from_fn(|_| policy.run(pending::<Result<(), ()>>));
    let mut calls = calls.map(Box::pin);
    calls.iter_mut().for_each(|call| hangs(call.as_mut(), &waker));
    let let_out = || policy.reload(&PolicyConfig::default());
    assert!(catch_unwind(AssertUnwindSafe(let_out)).is_err(), "whoever woke them hears of it");
    assert_eq!(failing.0.load(SeqCst), 3);

    let tenants = narrow().per_key::<Arc<str>>().build().unwrap();
    let key = tenants.key("acme");
    let calls: [_; 4] = std::array::from_fn(|_| key.run(pending::<Result<(), ()>>));
    let mut calls = calls.map(Box::pin);
    calls.iter_mut().for_each(|call| hangs(call.as_mut(), &waker));
    let let_out = || tenants.reload(&PolicyConfig::default());
    assert!(catch_unwind(AssertUnwindSafe(let_out)).is_err(), "whoever woke them hears of it");
    assert_eq!(failing.0.load(SeqCst), 2 * 3);
}

/// Counts how often it wakes.
#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// One a second, and nine who wait for that.
fn shaped() -> RateLimitConfig {
    RateLimitConfig {
        algorithm: Algorithm::Shaper,
        capacity: Some(10),
        rate: Some(Rate::per_second(1)),
        ..RateLimitConfig::default()
    }
}

#[test]
fn a_waker_that_panics_in_ones_own_line_keeps_nobody_asleep_in_a_shared_one() {
    let time = ManualClock::new();
    let clock = Clock::manual(&time);
    let one = BulkheadConfig { max_concurrent: 1, max_run: None, ..BulkheadConfig::default() };
    let places = Bulkhead::with_clock("places", one, clock.clone()).unwrap();
    let policy = Policy::builder("orders").rate_limit(shaped()).bulkhead(&places).clock(clock);
    let policy = policy.build().unwrap();
    let mut holder = Box::pin(policy.run(pending::<Result<(), ()>>));
    hangs(holder.as_mut(), Waker::noop());
    let woken = Arc::new(Count::default());
    let mut waits_for_place = pin!(places.acquire(Priority::Normal));
    hangs(waits_for_place.as_mut(), &Waker::from(woken.clone()));
    let mut waits_for_turn = pin!(policy.run(pending::<Result<(), ()>>));
    hangs(waits_for_turn.as_mut(), &Waker::from(Arc::new(Failing::default())));

    let advanced = catch_unwind(AssertUnwindSafe(|| time.advance(SECOND)));
    assert!(advanced.is_err(), "its timer wakes it");
    let left = catch_unwind(AssertUnwindSafe(|| drop(holder)));
    assert!(left.is_err(), "so does the one who leaves, before it has looked");
    assert_eq!(woken.0.load(SeqCst), 1, "who has the place now has been told");
}

#[test]
fn a_waker_that_panics_during_a_reload_keeps_nobody_asleep_in_a_line_that_goes() {
    let time = ManualClock::new();
    let one = BulkheadConfig { max_concurrent: 1, max_run: None, ..BulkheadConfig::default() };
    let policy = Policy::builder("orders").clock(Clock::manual(&time)).bulkhead(one.clone());
    let policy = policy.rate_limit(shaped()).build().unwrap();
    let mut holder = pin!(policy.run(pending::<Result<(), ()>>));
    hangs(holder.as_mut(), Waker::noop());
    time.advance(SECOND);
    let mut waits_for_place = pin!(policy.run(pending::<Result<(), ()>>));
    hangs(waits_for_place.as_mut(), &Waker::from(Arc::new(Failing::default())));
    let woken = Arc::new(Count::default());
    let mut waits_for_turn = pin!(policy.run(pending::<Result<(), ()>>));
    hangs(waits_for_turn.as_mut(), &Waker::from(woken.clone()));

    let short = BulkheadConfig { max_queue: 0, ..one };
    let config = PolicyConfig { bulkhead: Some(short), ..PolicyConfig::default() };
    let reload = || policy.reload(&config);
    assert!(catch_unwind(AssertUnwindSafe(reload)).is_err(), "whoever woke it hears of it");
    assert_eq!(woken.0.load(SeqCst), 1, "its line has gone");
}

#[test]
fn a_waker_that_panics_leaves_no_call_in_flight_for_ever() {
    for answer in [Ok(()), Err(())] {
        let policy = narrow().build().unwrap();
        let is_answered = Cell::new(false);
        let answered = |_: &mut Context<'_>| match is_answered.get() {
            true => Poll::Ready(answer),
            false => Poll::Pending,
        };
        let mut holder = Box::pin(policy.run(|| poll_fn(answered)));
        hangs(holder.as_mut(), Waker::noop());
        let mut waiter = Box::pin(policy.run(pending::<Result<(), ()>>));
        hangs(waiter.as_mut(), &Waker::from(Arc::new(Failing::default())));
        is_answered.set(true);
        let ends = || holder.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(catch_unwind(AssertUnwindSafe(ends)).is_err(), "whoever woke it hears of it");
        drop((holder, waiter));
        let counts = policy.counts();
        assert_eq!((counts.calls.in_flight(), counts.attempts.in_flight()), (0, 0), "{answer:?}");
    }
}

#[test]
fn an_operation_that_panics_beside_a_waker_that_does_aborts_nothing() {
    let policy = narrow().build().unwrap();
    let mut waiter = pin!(policy.run(pending::<Result<(), ()>>));
    let call = || {
        policy.run_blocking(|| -> Result<(), ()> {
            hangs(waiter.as_mut(), &Waker::from(Arc::new(Failing::default())));
            panic!("an operation that fails")
        })
    };
    let panicked = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
    assert_eq!(panicked.downcast_ref(), Some(&"an operation that fails"));
}
