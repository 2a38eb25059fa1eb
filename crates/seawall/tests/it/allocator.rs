//! Good calls and refusals allocate nothing: a counting allocator under the whole test binary.
//!
//! Counted per thread, so that tests that run beside each other do not count each other's.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::ready,
    pin::pin,
    time::Duration,
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Clock, Error, ManualClock, Override, Policy, RetryConfig,
    TimeoutConfig, core::Phase,
};

use crate::world::{MS, SECOND, poll};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Allocated and not freed; below 0 where other threads' memory was freed.
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to implement; this one counts and delegates"
)]
// SAFETY: every request goes unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        keep(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        keep(-(layout.size() as i64));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        keep(size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// A thread that is ending has no counter any more, and nobody asks for it.
fn count() {
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

fn keep(bytes: i64) {
    let _ = BYTES.try_with(|kept| kept.set(kept.get() + bytes));
}

/// How many bytes this thread has allocated in `work` and not freed by its end.
pub(crate) fn bytes_kept_by(work: impl FnOnce()) -> i64 {
    let before = BYTES.get();
    work();
    BYTES.get() - before
}

/// How often this thread allocates while `work` is done.
pub(crate) fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn full(clock: Clock) -> Policy {
    Policy::builder("orders")
        .deadline(2 * SECOND)
        .retry(RetryConfig::default())
        .circuit_breaker(CircuitBreakerConfig::default())
        .bulkhead(BulkheadConfig::default())
        .timeout(TimeoutConfig::default())
        .clock(clock)
        .build()
        .expect("the defaults make sense")
}

/// One call whose operation is ready at once.
fn call(policy: &Policy, answer: Result<u32, &'static str>) -> Result<u32, Error<&'static str>> {
    let mut running = pin!(policy.run(|| ready(answer)));
    poll(&mut running).expect("nothing in it waits")
}

#[test]
fn a_good_call_under_five_patterns_allocates_nothing_after_warm_up() {
    let policy = full(Clock::fast());
    let good = || (0..1_000).for_each(|_| assert!(call(&policy, Ok(1)).is_ok()));
    good();
    assert_eq!(allocations(good), 0);
    assert_eq!(policy.counts().calls.succeeded, 2_000);
}

#[test]
fn learning_the_limit_again_each_second_allocates_nothing() {
    let manual = ManualClock::new();
    let policy = full(Clock::manual(&manual));
    (0..200).for_each(|_| assert!(call(&policy, Ok(1)).is_ok()));
    let seconds = || {
        for _ in 0..1_000 {
            manual.advance(10 * MS);
            assert!(call(&policy, Ok(1)).is_ok());
        }
    };
    assert_eq!(allocations(seconds), 0);
}

#[test]
fn a_refusal_allocates_nothing() {
    let policy = full(Clock::fast());
    policy.force(Override::open("test"));
    let refused = || {
        (0..1_000).for_each(|_| assert!(matches!(call(&policy, Ok(1)), Err(Error::Refused(_)))));
    };
    assert_eq!(allocations(refused), 0);
}

#[test]
fn no_event_is_built_unless_somebody_listens() {
    let policy = full(Clock::manual(&ManualClock::new()));
    let changes = || {
        for _ in 0..100 {
            policy.force(Override::open("test"));
            policy.release();
        }
    };
    // The first event makes room for those to come.
    changes();
    // The override itself, which is rare, and no more.
    let overrides = 100;
    assert_eq!(allocations(changes), overrides);
    let listener = policy.events();
    assert!(allocations(changes) > overrides, "the count sees what is built for a listener");
    drop(listener);
    assert_eq!(allocations(changes), overrides);
    assert_eq!(policy.phase(), Some(Phase::Closed));
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(Duration::ZERO)))), 1);
}
