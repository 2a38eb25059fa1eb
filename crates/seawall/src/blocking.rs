//! The blocking driver: the same `Call`, on the caller's thread.
//!
//! Waits and retries obey the deadline. A running operation cannot be interrupted: its answer is returned and
//! judged however late it comes, and an overrun is counted.

use std::sync::Arc;

use seawall_core::{Action, Event, Gate, Outcome};

use crate::{
    Attempt, Classify, Driven, Ended, clock::Parker, guard::Guard, observe::Trail, run::Ending,
};

/// Runs an operation to its end on this thread.
pub(crate) fn run_blocking<S, T, E, C, F>(
    mut guard: Guard<S>,
    classify: &C,
    mut operation: F,
) -> Ending<T, E>
where
    S: Driven,
    C: Classify<T, E>,
    F: FnMut(Attempt<<S::Gate as Gate>::Pick>) -> Result<T, E>,
{
    let parker = Arc::new(Parker::here());
    let begun = guard.clock().now();
    let mut now = begun;
    let mut answer = None;
    let mut trail = Trail::default();
    let mut action = guard.begin(now);
    loop {
        action = match action {
            Action::Start { attempt } => {
                let started = now;
                trail.retried(now);
                let running = guard.attempt(started);
                let answered = guard.watched(|_| operation(running));
                now = guard.clock().now();
                let verdict = classify.classify(&answered);
                if verdict.outcome != Outcome::Success {
                    let ended = Ended::Answered(verdict.outcome);
                    trail.push(&guard, ended, verdict.retry_after, started, now);
                }
                answer = Some(answered);
                guard.on(Event::Ended { attempt, verdict }, now)
            }
            Action::Wait => {
                let (event, seen) = guard.block(&parker);
                now = seen;
                event.map_or(Action::Wait, |event| guard.on(event, now))
            }
            // Only a running operation is cancelled, and none runs while this loop decides.
            Action::Cancel { attempt, .. } => guard.on(Event::Cancelled { attempt }, now),
            Action::Done(finish) => {
                let history = trail.end(finish);
                return Ending { answer, finish, history, took: now.since(begun) };
            }
        };
    }
}
