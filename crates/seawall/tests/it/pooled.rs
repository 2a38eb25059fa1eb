//! Blocking operations on threads of the policy's own.

use std::{
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use seawall::{BulkheadConfig, Error, Policy, PolicyConfig, PoolSnapshot, core::Stopped};

use crate::world::{MS, SECOND, World, assert_nothing_is_left, exact_retry};

#[test]
fn a_limit_ends_the_wait_and_the_thread_that_hangs_is_counted() {
    let world = World::default();
    let policy = world.policy().deadline(SECOND).build().unwrap();
    let (release, held) = mpsc::sync_channel::<()>(1);
    let held = Arc::new(Mutex::new(held));
    let caller = thread::spawn({
        let policy = policy.clone();
        move || {
            policy.run_pooled(move || {
                let _ = held.lock().unwrap().recv();
                Ok::<_, ()>(())
            })
        }
    });
    while policy.pool_snapshot().threads == 0 {
        thread::yield_now();
    }
    while !caller.is_finished() {
        world.time.advance(SECOND);
        thread::yield_now();
    }
    assert!(matches!(caller.join().unwrap(), Err(Error::TimedOut(_))));
    let seen = policy.pool_snapshot();
    assert_eq!((seen.abandoned, seen.threads, seen.idle), (1, 1, 0), "its thread is not free");
    drop(release);
    while policy.pool_snapshot().idle == 0 {
        thread::yield_now();
    }
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
