//! Blocking operations on threads of the policy's own.

use std::{
    mem,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use seawall::{
    BulkheadConfig, CircuitBreakerConfig, Error, Policy, PolicyConfig, PoolSnapshot, TimeoutConfig,
    core::{Phase, Stopped},
};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, exact_retry, seen};

#[test]
fn a_limit_ends_the_wait_and_the_thread_that_hangs_is_counted() {
    let world = World::default();
    let policy = world.policy().deadline(SECOND).build().unwrap();
    let mut holding = Holding::new();
    let (caller, job) = (policy.clone(), holding.job());
    let caller = thread::spawn(move || caller.run_pooled(job));
    until(|| holding.begun() == 1);
    time_out(&world, caller);
    let seen = policy.pool_snapshot();
    assert_eq!((seen.abandoned, seen.threads, seen.idle), (1, 1, 0), "its thread is not free");
    holding.let_go();
    until(|| policy.pool_snapshot().idle == 1);
    assert_eq!(policy.run_pooled(|| Ok::<_, ()>(7)).unwrap(), 7);
    assert_eq!(policy.pool_snapshot().threads, 1, "and is used again");
    assert_nothing_is_left(&policy);
}

#[test]
fn attempts_follow_one_another_and_the_answer_is_the_last_ones() {
    let world = World::default();
    let policy = world.policy().retry(exact_retry()).build().unwrap();
    let tries = Arc::new(AtomicU32::new(0));
    let caller = thread::spawn({
        let (policy, tries) = (policy.clone(), tries.clone());
        move || {
            policy
                .run_pooled(move || if tries.fetch_add(1, SeqCst) < 2 { Err("no") } else { Ok(7) })
        }
    });
    while !caller.is_finished() {
        world.time.advance(100 * MS);
        thread::yield_now();
    }
    assert_eq!(caller.join().unwrap().unwrap(), 7);
    assert_eq!(tries.load(SeqCst), 3);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_panic_is_passed_on_and_counted() {
    let policy = Policy::builder("orders").build().unwrap();
    let panicking = policy.clone();
    let caller =
        thread::spawn(move || panicking.run_pooled(|| -> Result<(), ()> { panic!("a bug") }));
    assert!(caller.join().is_err());
    assert_eq!(policy.counts().panicked, 1);
    assert_eq!(policy.run_pooled(|| Ok::<_, ()>(7)).unwrap(), 7);
    assert_nothing_is_left(&policy);
}

#[test]
fn there_are_as_many_threads_as_places_and_they_bear_the_policys_name() {
    let bulkhead = BulkheadConfig { max_concurrent: 3, ..BulkheadConfig::default() };
    let policy = Policy::builder("orders").bulkhead(bulkhead).build().unwrap();
    let together = Arc::new(Barrier::new(3));
    let callers: Vec<_> = (0..9)
        .map(|_| {
            let (policy, together) = (policy.clone(), together.clone());
            thread::spawn(move || {
                policy.run_pooled(move || {
                    together.wait();
                    Ok::<_, ()>(thread::current().name().map(ToOwned::to_owned))
                })
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.join().unwrap().unwrap().as_deref(), Some("orders"));
    }
    assert_eq!(policy.pool_snapshot().threads, 3);
    assert_nothing_is_left(&policy);
}

fn threads(pool_threads: u32) -> PolicyConfig {
    let pool_threads = Some(pool_threads);
    PolicyConfig {
        bulkhead: Some(BulkheadConfig { pool_threads, ..BulkheadConfig::default() }),
        ..PolicyConfig::default()
    }
}

type Job = Box<dyn Fn() -> Result<(), ()> + Send + Sync>;

/// Two calls on one thread, and a third once there may be two.
fn there_are_so_many(
    run: impl Fn(Job) -> Result<(), Error<()>> + Clone + Send + 'static,
    pool: impl Fn() -> PoolSnapshot,
    allow_two: impl FnOnce(),
) {
    let begun = Arc::new(AtomicU32::new(0));
    let (release, held) = mpsc::sync_channel::<()>(0);
    let held = Arc::new(Mutex::new(held));
    let call = || {
        let (run, begun, held) = (run.clone(), Arc::clone(&begun), Arc::clone(&held));
        let job = move || {
            begun.fetch_add(1, SeqCst);
            let _ = held.lock().map(|held| held.recv());
            Ok(())
        };
        thread::spawn(move || run(Box::new(job)))
    };
    let threads_for = |jobs| loop {
        let seen = pool();
        if seen.threads + seen.waiting >= jobs {
            return seen.threads;
        }
        thread::yield_now();
    };
    let mut callers = vec![call()];
    while begun.load(SeqCst) == 0 {
        thread::yield_now();
    }
    callers.push(call());
    assert_eq!(threads_for(2), 1);
    allow_two();
    callers.push(call());
    assert_eq!(threads_for(3), 2);
    drop(release);
    for caller in callers {
        assert!(matches!(caller.join(), Ok(Ok(()))));
    }
}

#[test]
fn pool_threads_says_how_many_threads_there_are() {
    let policy = Policy::builder("orders").config(threads(1)).build().unwrap();
    let caller = policy.clone();
    let run = move |job: Job| caller.run_pooled(job);
    let allow_two = || assert!(policy.reload(&threads(2)).is_ok());
    there_are_so_many(run, || policy.pool_snapshot(), allow_two);
    assert_nothing_is_left(&policy);

    let tenants = Policy::builder("tenants").config(threads(1)).per_key::<Arc<str>>();
    let tenants = tenants.build().unwrap();
    let caller = tenants.clone();
    let run = move |job: Job| caller.key("acme").run_pooled(job);
    let allow_two = || assert!(tenants.reload(&threads(2)).is_ok());
    there_are_so_many(run, || tenants.pool_snapshot(), allow_two);
}

/// Jobs that do not return until they are let go.
struct Holding {
    begun: Arc<AtomicU32>,
    release: Option<mpsc::SyncSender<()>>,
    held: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Holding {
    fn new() -> Self {
        let (release, held) = mpsc::sync_channel(0);
        Self { begun: Arc::default(), release: Some(release), held: Arc::new(Mutex::new(held)) }
    }

    fn job(&self) -> Job {
        let (begun, held) = (self.begun.clone(), self.held.clone());
        Box::new(move || {
            begun.fetch_add(1, SeqCst);
            let _ = held.lock().map(|held| held.recv());
            Ok(())
        })
    }

    fn begun(&self) -> u32 {
        self.begun.load(SeqCst)
    }

    fn let_go(&mut self) {
        self.release = None;
    }
}

/// A limit of a second on an attempt.
fn limited(bulkhead: BulkheadConfig) -> PolicyConfig {
    PolicyConfig {
        bulkhead: Some(bulkhead),
        timeout: Some(TimeoutConfig {
            attempt: SECOND,
            adaptive: false,
            ..TimeoutConfig::default()
        }),
        ..PolicyConfig::default()
    }
}

fn until(met: impl Fn() -> bool) {
    while !met() {
        thread::yield_now();
    }
}

fn time_out(world: &World, caller: JoinHandle<Result<(), Error<()>>>) {
    while !caller.is_finished() {
        world.time.advance(SECOND);
        thread::yield_now();
    }
    let ended = caller.join().expect("it does not panic");
    assert!(matches!(ended, Err(Error::TimedOut(_))), "{ended:?}");
}

#[test]
fn a_job_whose_caller_left_before_it_began_never_runs_and_blames_nobody() {
    let world = World::default();
    let one_thread =
        BulkheadConfig { max_concurrent: 5, pool_threads: Some(1), ..BulkheadConfig::default() };
    let policy = world.policy().config(limited(one_thread)).build().unwrap();
    let mut holding = Holding::new();
    let call = || {
        let (policy, job) = (policy.clone(), holding.job());
        thread::spawn(move || policy.run_pooled(job))
    };
    let mut callers = vec![call()];
    until(|| holding.begun() == 1);
    callers.extend((0..4).map(|_| call()));
    until(|| policy.pool_snapshot().waiting == 4);
    callers.into_iter().for_each(|caller| time_out(&world, caller));

    let pool = policy.pool_snapshot();
    assert_eq!((pool.waiting, pool.abandoned), (0, 1), "one runs, and four are gone");
    let counts = policy.counts().attempts;
    assert_eq!((counts.failed, counts.ignored), (1, 4), "four were never asked of the callee");
    assert_eq!(seen(&policy).bulkheads["orders"].active_calls, 1, "the one that runs");
    holding.let_go();
    until(|| policy.pool_snapshot().idle == 1);
    assert_eq!(holding.begun(), 1);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_job_that_was_left_keeps_its_place_until_it_returns() {
    let world = World::default();
    let one = BulkheadConfig { max_concurrent: 1, max_queue: 0, ..BulkheadConfig::default() };
    let policy = world.policy().config(limited(one)).build().unwrap();
    let mut holding = Holding::new();
    let (caller, job) = (policy.clone(), holding.job());
    let caller = thread::spawn(move || caller.run_pooled(job));
    until(|| holding.begun() == 1);
    time_out(&world, caller);
    assert_eq!(policy.counts().attempts.in_flight(), 0);

    assert_eq!(seen(&policy).bulkheads["orders"].active_calls, 1);
    assert!(matches!(policy.run_pooled(|| Ok::<_, ()>(7)), Err(Error::Refused(_))));
    holding.let_go();
    until(|| policy.pool_snapshot().idle == 1);
    assert_eq!(policy.run_pooled(|| Ok::<_, ()>(7)).unwrap(), 7);
    assert_nothing_is_left(&policy);
}

/// An answer that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("nobody waits for it any more")
    }
}

#[test]
fn an_answer_that_panics_when_it_is_dropped_takes_no_thread_with_it() {
    let world = World::default();
    let one_thread =
        BulkheadConfig { max_concurrent: 5, pool_threads: Some(1), ..BulkheadConfig::default() };
    let policy = world.policy().config(limited(one_thread)).build().unwrap();
    let mut holding = Holding::new();
    let (caller, job) = (policy.clone(), holding.job());
    let caller = thread::spawn(move || {
        let ended = caller.run_pooled(move || job().map(|()| Bomb));
        ended.map(mem::forget)
    });
    until(|| holding.begun() == 1);
    time_out(&world, caller);
    holding.let_go();
    let (done, is_done) = mpsc::sync_channel(1);
    let again = policy.clone();
    thread::spawn(move || done.send(again.run_pooled(|| Ok::<_, ()>(7))));
    let again = is_done.recv_timeout(20 * SECOND);
    assert_eq!(again.expect("the one thread is there").unwrap(), 7);
    assert_eq!(policy.pool_snapshot().threads, 1);
    assert_nothing_is_left(&policy);
}

#[test]
fn a_thread_that_hangs_for_one_key_says_nothing_of_another() {
    let world = World::default();
    let one_thread = BulkheadConfig { pool_threads: Some(1), ..BulkheadConfig::default() };
    // While a caller is not let run, its clock goes on.
    let open_for = 100_000_000 * SECOND;
    let once = CircuitBreakerConfig { failures: 1, open_for, ..CircuitBreakerConfig::default() };
    let config = PolicyConfig { circuit_breaker: Some(once), ..limited(one_thread) };
    let tenants = Policy::builder("tenants").config(config).clock(world.time.clock());
    let tenants = tenants.per_key::<Arc<str>>().build().unwrap();
    let mut holding = Holding::new();
    let call = |key: &'static str| {
        let (tenants, job) = (tenants.clone(), holding.job());
        thread::spawn(move || tenants.key(key).run_pooled(job))
    };
    let hangs = call("acme");
    until(|| holding.begun() == 1);
    let waits = call("umbrella");
    until(|| tenants.pool_snapshot().waiting == 1);
    time_out(&world, waits);
    time_out(&world, hangs);
    assert_eq!(
        ["acme", "umbrella"].map(|key| tenants.phase(key)),
        [Phase::Open, Phase::Closed].map(Some)
    );
    holding.let_go();
    until(|| tenants.pool_snapshot().idle == 1);
    assert_eq!(tenants.key("umbrella").run_pooled(|| Ok::<_, ()>(7)).unwrap(), 7);
}

#[test]
fn the_wait_for_a_thread_is_no_latency_of_the_callee() {
    let world = World::default();
    let one_thread = BulkheadConfig { pool_threads: Some(1), ..BulkheadConfig::default() };
    let policy = Policy::builder("orders").clock(world.time.clock()).bulkhead(one_thread);
    let policy = policy.timeout(TimeoutConfig::default()).build().unwrap();
    let mut holding = Holding::new();
    let call = |job: Job| {
        let policy = policy.clone();
        thread::spawn(move || policy.run_pooled(job))
    };
    let mut callers = vec![call(holding.job())];
    until(|| holding.begun() == 1);
    callers.extend((0..3).map(|_| call(Box::new(|| Ok(())))));
    until(|| policy.pool_snapshot().waiting == 3);
    world.time.advance(900 * MS);
    holding.let_go();
    callers.into_iter().for_each(|caller| caller.join().unwrap().unwrap());
    let latency = &seen(&policy).adaptive_timeouts["orders"];
    assert!(latency.p50.is_some_and(|p50| p50 < 1.0), "{latency:?}");
    assert!(latency.p99.is_some_and(|p99| p99 > 800.0), "{latency:?}");
}

#[test]
fn one_policy_whose_threads_all_hang_takes_none_from_another() {
    let bulkhead = BulkheadConfig { max_concurrent: 2, max_queue: 0, ..BulkheadConfig::default() };
    let world = World::default();
    let hung = world.policy().bulkhead(bulkhead).build().unwrap();
    let (release, held) = mpsc::sync_channel::<()>(1);
    let held = Arc::new(Mutex::new(held));
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let (hung, held) = (hung.clone(), held.clone());
            thread::spawn(move || {
                hung.run_pooled(move || {
                    let _ = held.lock().unwrap().recv();
                    Ok::<_, ()>(())
                })
            })
        })
        .collect();
    while hung.pool_snapshot().threads < 2 {
        thread::yield_now();
    }
    assert!(matches!(hung.run_pooled(|| Ok::<_, ()>(())), Err(Error::Refused(_))));
    let well = Policy::builder("well").build().unwrap();
    for _ in 0..100 {
        assert_eq!(well.run_pooled(|| Ok::<_, ()>(7)).unwrap(), 7);
    }
    drop(release);
    callers.into_iter().for_each(|caller| caller.join().unwrap().unwrap());
    assert_nothing_is_left(&hung);
}

#[test]
fn a_report_tells_of_a_good_call_what_an_error_tells_of_a_bad_one() {
    let mut world = World::default();
    let policy = world.policy().retry(exact_retry()).build().unwrap();
    let (caller, time) = (policy.clone(), world.time.clone());
    let job = world.spawn(async move {
        caller
            .call()
            .run_reported(|attempt| {
                let wait = time.sleep(10 * MS);
                async move {
                    wait.await;
                    if attempt.number < 3 { Err("no") } else { Ok(7) }
                }
            })
            .await
    });
    world.run();
    let (answer, report) = job.answer().unwrap();
    assert_eq!(answer.unwrap(), 7);
    assert_eq!((report.attempts, report.history.attempts().len()), (3, 2));
    assert_eq!(report.history.stopped(), Some(Stopped::Succeeded));
    assert_eq!(report.took, 330 * MS, "three attempts, and waits of 100 and 200 ms");
}
