//! `cargo xtask flaky`: every test ten times, on a machine that is busy with something else.
//!
//! A test that passes nine times of ten is worse than none: it teaches to look away. Four threads that only
//! count take the processors away at any moment, which is what another build beside this one would do.

use std::{
    collections::BTreeMap,
    fs,
    hint::spin_loop,
    process::Stdio,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    binaries::{self, Binary, Ended, run_within},
    step::{Step, scratch},
};

/// Whether nothing failed in ten rounds.
pub(crate) fn run() -> bool {
    let step = Step::cargo("test --workspace");
    let Some(binaries) = binaries::build(step) else { return false };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..BUSY {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    spin_loop();
                }
            });
        }
        let passed = rounds(&binaries);
        done.store(true, Ordering::Relaxed);
        passed
    })
}

fn rounds(binaries: &[Binary]) -> bool {
    let begun = Instant::now();
    let mut failed = BTreeMap::<String, u32>::new();
    for round in 1..=ROUNDS {
        for name in round_of(binaries, begun) {
            *failed.entry(name).or_default() += 1;
        }
        if begun.elapsed() >= TIME {
            println!("not finished: {} of {ROUNDS} rounds in {} s", round - 1, TIME.as_secs());
            break;
        }
        eprintln!("round {round} of {ROUNDS} after {} s", begun.elapsed().as_secs());
    }
    for (name, times) in &failed {
        println!("{times} of {ROUNDS}: {name}");
    }
    failed.is_empty() && begun.elapsed() < TIME
}

/// All of them, as many at once as there are processors; what failed.
fn round_of(binaries: &[Binary], begun: Instant) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for worker in 0..thread::available_parallelism().map_or(1, Into::into) {
            let (next, failed) = (&next, &failed);
            scope.spawn(move || {
                while let Some(binary) = binaries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let left = TIME.saturating_sub(begun.elapsed());
                    if left.is_zero() {
                        return;
                    }
                    let found = failures(binary, left, worker);
                    found.iter().for_each(|name| eprintln!("failed: {name}"));
                    failed.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What failed in one run, by its path.
fn failures(binary: &Binary, limit: Duration, worker: usize) -> Vec<String> {
    let home = format!("{}::{}", binary.package.replace('-', "_"), binary.target);
    let path = scratch().join(format!("flaky.{worker}.out"));
    let opened = fs::create_dir_all(scratch()).and_then(|()| fs::File::create(&path));
    let Ok(output) = opened else { return vec![format!("{home}: nowhere to write")] };
    let mut command = binary.command();
    command.env("PROPTEST_CASES", CASES);
    let ended = run_within(limit, command, [output.into(), Stdio::null()]);
    let said = fs::read_to_string(&path).unwrap_or_default();
    let mut failed: Vec<String> = named(&said).map(|test| format!("{home} {test}")).collect();
    match ended {
        Ended::Failed if failed.is_empty() => failed.push(format!("{home} broke off")),
        Ended::Late => failed.push(format!("{home} did not end")),
        Ended::Passed | Ended::Failed => {}
    }
    if !failed.is_empty() {
        let kept = scratch().join(format!("flaky.{}.{}.out", binary.package, binary.target));
        match fs::rename(&path, &kept) {
            Ok(()) => eprintln!("what it said: {}", kept.display()),
            Err(error) => eprintln!("what it said is lost: {error}"),
        }
    }
    failed
}

/// The tests that a binary's output calls failed.
fn named(said: &str) -> impl Iterator<Item = &str> {
    let results = said.lines().filter_map(|line| line.strip_prefix("test "));
    results.filter_map(|result| result.strip_suffix(" ... FAILED"))
}

const ROUNDS: u32 = 10;
/// Twice as many as the smallest machine of ours has processors.
const BUSY: u32 = 4;
/// Of each property and round. Time is looked for here and not chance, and ten rounds are ten times as many.
const CASES: &str = "32";
/// Longer than this nobody waits for it.
const TIME: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_read_off_the_output() {
        let said = "test a::b ... ok\ntest a::c ... FAILED\nfailures:\n    a::c\n";
        assert_eq!(named(said).collect::<Vec<_>>(), ["a::c"]);
    }
}
