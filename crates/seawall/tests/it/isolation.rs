//! A dependency that hangs takes no more of a service than its bulkhead gives it, so the others hardly notice.
//!
//! ```text
//!   requests ──▸ 20 workers ┬──▸ A, which hangs: one every 6 ms
//!                each held  ╰──▸ B, 10 to 50 ms: one every 3 ms, so 10 workers on average
//!                to the end
//! ```
//!
//! Policies share nothing, but what they protect does: the service's own workers. So that is what is measured: what
//! B's requests take from their arrival on, the wait for a worker included. What it costs in cycles is `cargo xtask bench`'s
//! to tell.

use std::{rc::Rc, time::Duration};

use seawall::{BulkheadConfig, Policy, core::Draws};
use tokio::sync::Semaphore;

use crate::world::{Job, MS, SECOND, World, assert_nothing_is_left};

/// How the neighbour is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neighbour {
    Idle,
    /// It hangs, and whoever would be its ninth is refused.
    Bounded,
    /// It hangs, and nothing bounds how many wait for it.
    Unbounded,
}

#[test]
fn beside_a_policy_that_hangs_the_p99_of_another_is_at_most_a_fifth_longer() {
    let idle = p99_of_b(Neighbour::Idle);
    let bounded = p99_of_b(Neighbour::Bounded);
    assert!(bounded * 10 <= idle * 12, "{bounded:?} beside one that hangs, {idle:?} without");
    let unbounded = p99_of_b(Neighbour::Unbounded);
    assert!(unbounded > idle * 100, "{unbounded:?}: it is the bulkhead that makes the difference");
}

/// What 99 of 100 requests to B do not exceed.
fn p99_of_b(neighbour: Neighbour) -> Duration {
    let mut world = World::default();
    let workers = Rc::new(Semaphore::new(20));
    let bounded = |world: &World, max_concurrent| {
        let bulkhead = BulkheadConfig { max_concurrent, max_queue: 0, ..BulkheadConfig::default() };
        world.policy().bulkhead(bulkhead).build().expect("the settings make sense")
    };
    let places = if neighbour == Neighbour::Unbounded { u32::MAX } else { 8 };
    let (a, b) = (bounded(&world, places), bounded(&world, 20));
    let (mut draws, mut asked) = (Draws::seeded(1), Vec::new());
    for n in 0..1_000 {
        if n % 2 == 0 && neighbour != Neighbour::Idle {
            drop(request(&mut world, &workers, &a, 60 * SECOND));
        }
        let takes = Duration::from_micros(10_000 + draws.draw().below(40_000));
        asked.push(request(&mut world, &workers, &b, takes));
        world.pass(3 * MS);
    }
    let hang = if neighbour == Neighbour::Idle { 0 } else { 8 };
    assert!(a.counts().attempts.in_flight() >= hang, "as many hang as may");
    world.run();
    assert_eq!(b.counts().calls.succeeded, 1_000);
    assert_nothing_is_left(&a);
    assert_nothing_is_left(&b);
    let mut took: Vec<_> = asked.iter().map(|job| job.answer().expect("all have ended")).collect();
    took.sort_unstable();
    took[took.len() * 99 / 100 - 1]
}

/// A request that needs a worker to its end; how long it takes from now on.
fn request(
    world: &mut World,
    workers: &Rc<Semaphore>,
    policy: &Policy,
    takes: Duration,
) -> Job<Duration> {
    let (workers, policy, time) = (workers.clone(), policy.clone(), world.time.clone());
    let begun = time.passed();
    world.spawn(async move {
        let _worker = workers.acquire().await.expect("it is never closed");
        let work = || {
            let wait = time.sleep(takes);
            async move {
                wait.await;
                Ok::<_, ()>(())
            }
        };
        // Refused or not, the request is over and its worker free.
        let _ = policy.run(work).await;
        time.passed() - begun
    })
}
