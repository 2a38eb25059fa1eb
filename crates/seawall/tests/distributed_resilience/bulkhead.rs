//! Bulkhead: how many at once, who is turned away, who goes first.

use std::{
    future::{pending, ready},
    sync::{Arc, Mutex},
};

use seawall::{
    Error,
    core::{Limit, Reason},
    guide::{Bulkhead, BulkheadConfig, PriorityLevel},
};
use tokio::{task::yield_now, time::Instant};

use crate::{Down, MS, SECOND, clock, pass};

fn bulkhead(config: BulkheadConfig) -> Bulkhead {
    Bulkhead::with_clock("api_calls", config, clock()).expect("the settings make sense")
}

fn places(max_concurrent: u32, max_queue: u32) -> BulkheadConfig {
    BulkheadConfig { max_concurrent, max_queue, ..BulkheadConfig::default() }
}

fn why<T: std::fmt::Debug>(answer: Result<T, Error<Down>>) -> Reason {
    match answer {
        Err(Error::Refused(refused)) => refused.refusal.reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// The order in which calls of these classes get the only place.
async fn order(config: BulkheadConfig, classes: &[PriorityLevel]) -> Vec<PriorityLevel> {
    let (bulkhead, served) = (bulkhead(config), Arc::new(Mutex::new(Vec::new())));
    let slot = bulkhead.try_acquire(PriorityLevel::Normal).expect("it is free");
    let mut tasks = Vec::new();
    for class in classes.iter().copied() {
        let (bulkhead, served) = (bulkhead.clone(), Arc::clone(&served));
        tasks.push(tokio::spawn(async move {
            let call = bulkhead.call().priority(class);
            let serve = || {
                served.lock().expect("nobody panics").push(class);
                ready(Ok::<_, Down>(()))
            };
            call.run(serve).await.expect("it has its turn");
        }));
        yield_now().await;
    }
    drop(slot);
    for task in tasks {
        task.await.expect("it ends");
    }
    let served = served.lock().expect("nobody panics");
    served.clone()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_run_at_once_and_two_hundred_wait() {
    use PriorityLevel::{Background, Critical, High, Low, Normal};
    let bulkhead = bulkhead(BulkheadConfig::default());
    let call = |class| {
        let bulkhead = bulkhead.clone();
        let call =
            async move { bulkhead.call().priority(class).run(pending::<Result<(), Down>>).await };
        tokio::spawn(call)
    };
    let mut tasks: Vec<_> = (0..296).map(|_| call(Normal)).collect();
    pass(MS).await;
    let seen = bulkhead.snapshot();
    assert_eq!((seen.running, seen.queued, seen.refused), (100, 196, 0));
    assert_eq!(why(call(Normal).await.unwrap()), Reason::Full, "one place is kept for each class");
    tasks.extend([Critical, High, Low, Background].map(call));
    pass(MS).await;
    let seen = bulkhead.snapshot();
    assert_eq!((seen.running, seen.queued, seen.refused), (100, 200, 1));
    tasks.iter().for_each(|task| task.abort());
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_the_next_is_refused_at_once() {
    let bulkhead = bulkhead(places(1, 0));
    let _slot = bulkhead.try_acquire(PriorityLevel::Normal).unwrap();
    let asked = Instant::now();
    assert_eq!(why(bulkhead.run(|| ready(Ok::<_, Down>(()))).await), Reason::Full);
    assert!(asked.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_after_success_failure_and_cancellation() {
    let bulkhead = bulkhead(places(1, 0));
    assert!(bulkhead.run(|| ready(Ok::<_, Down>(()))).await.is_ok());
    assert!(bulkhead.run(|| ready(Err::<(), _>(Down))).await.is_err());
    let cancelled = bulkhead.run(pending::<Result<(), Down>>);
    assert!(tokio::time::timeout(MS, cancelled).await.is_err());
    assert_eq!(bulkhead.snapshot().running, 0);
    assert!(bulkhead.run(|| ready(Ok::<_, Down>(()))).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_goes_first() {
    use PriorityLevel::{Background, Critical, High, Low, Normal};
    let asked = [Background, Low, Normal, High, Critical];
    let served = order(places(1, 200), &asked).await;
    assert_eq!(served, [Critical, High, Normal, Low, Background]);
}

#[tokio::test(start_paused = true)]
async fn of_one_class_first_come_first_served_and_all_alike_without_priorities() {
    use PriorityLevel::{Background, Critical, High, Low};
    let asked = [Background, Low, High, Critical];
    let served = order(BulkheadConfig { priority: false, ..places(1, 200) }, &asked).await;
    assert_eq!(served, asked);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_room_for_the_more_urgent() {
    let bulkhead = bulkhead(places(1, 2));
    let slot = bulkhead.try_acquire(PriorityLevel::Normal).unwrap();
    let wait = |class| {
        let bulkhead = bulkhead.clone();
        tokio::spawn(async move {
            bulkhead.call().priority(class).run(|| ready(Ok::<_, Down>(class))).await
        })
    };
    let waiting = [wait(PriorityLevel::Low), wait(PriorityLevel::Low)];
    yield_now().await;
    let urgent = wait(PriorityLevel::Critical);
    yield_now().await;
    let [older, younger] = waiting;
    assert_eq!(why(younger.await.unwrap()), Reason::Displaced);
    drop(slot);
    assert_eq!(urgent.await.unwrap().unwrap(), PriorityLevel::Critical);
    assert_eq!(older.await.unwrap().unwrap(), PriorityLevel::Low);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_thirty_seconds() {
    let bulkhead = bulkhead(BulkheadConfig { max_run: None, ..places(1, 10) });
    let _slot = bulkhead.try_acquire(PriorityLevel::Normal).unwrap();
    let asked = Instant::now();
    assert_eq!(why(bulkhead.run(|| ready(Ok::<_, Down>(()))).await), Reason::WaitOver);
    assert_eq!(asked.elapsed(), 30 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_runs_longer_than_thirty_seconds_is_cut() {
    let bulkhead = bulkhead(places(1, 0));
    let asked = Instant::now();
    let cut = bulkhead.run(pending::<Result<(), Down>>).await.unwrap_err();
    let Error::TimedOut(late) = cut else { panic!("{cut:?}") };
    assert_eq!((late.limit, asked.elapsed()), (Limit::Attempt, 30 * SECOND));
    assert_eq!(bulkhead.snapshot().running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_takes_nothing_from_another() {
    let [hung, well] = ["hung", "well"]
        .map(|name| Bulkhead::with_clock(name, BulkheadConfig::database(), clock()).unwrap());
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let hung = hung.clone();
            tokio::spawn(async move { hung.run(pending::<Result<(), Down>>).await })
        })
        .collect();
    pass(MS).await;
    let asked = Instant::now();
    for _ in 0..100 {
        assert!(well.run(|| ready(Ok::<_, Down>(()))).await.is_ok());
    }
    assert!(asked.elapsed().is_zero() && well.snapshot().refused == 0);
    assert_eq!((hung.snapshot().running, hung.snapshot().queued), (20, 46));
    tasks.iter().for_each(|task| task.abort());
}

#[tokio::test(start_paused = true)]
async fn its_statistics_are_those_the_guide_prints() {
    let bulkhead = bulkhead(places(100, 0));
    let mut slots: Vec<_> =
        (0..100).map(|_| bulkhead.try_acquire(PriorityLevel::Normal).unwrap()).collect();
    (0..5).for_each(|_| assert!(bulkhead.try_acquire(PriorityLevel::Normal).is_err()));
    slots.truncate(23);
    let seen = bulkhead.snapshot();
    assert_eq!((seen.running, seen.max_concurrent, seen.refused), (23, 100, 5));
}
