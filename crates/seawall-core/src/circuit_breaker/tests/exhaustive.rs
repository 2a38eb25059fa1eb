//! Every state of a small breaker with two callers, an operator and a clock: none is a trap.

use alloc::{format, string::String};
use std::collections::{BTreeSet, VecDeque};

use super::*;

/// A breaker, what its callers hold, and when it is.
#[derive(Debug)]
struct World {
    breaker: CircuitBreaker,
    held: Vec<Permit>,
    now: Instant,
}

/// What can happen next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Wait,
    Admit,
    End(usize, Outcome),
    Flows(usize),
    Force(u8),
    Release,
}

impl World {
    fn copy(&self) -> Self {
        let again = |permit: &Permit| match permit.is_probe() {
            true => Permit::probe(permit.epoch(), permit.slot()),
            false => Permit::new(permit.epoch(), permit.slot()),
        };
        let held = self.held.iter().map(again).collect();
        Self { breaker: self.breaker.clone(), held, now: self.now }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = alloc::vec![Step::Wait, Step::Release];
        steps.extend((0..4).map(Step::Force));
        if self.held.len() < 2 {
            steps.push(Step::Admit);
        }
        for n in 0..self.held.len() {
            let outcomes = [Outcome::Success, Outcome::Failure, Outcome::Ignored];
            steps.extend(outcomes.map(|outcome| Step::End(n, outcome)));
            steps.push(Step::Flows(n));
        }
        steps
    }

    fn take(&mut self, step: Step) {
        let Self { breaker, held, now } = self;
        while breaker.advance(*now).is_some() {}
        match step {
            Step::Wait => {
                *now = *now + SECOND;
                while breaker.advance(*now).is_some() {}
            }
            Step::Admit => {
                let ready = breaker.ready_by(*now, *now);
                let admitted = breaker.admit(*now);
                assert_eq!(admitted.is_ok(), ready.is_ok());
                match admitted {
                    Ok(permit) => held.push(permit),
                    Err(refusal) => self.comes_back(refusal),
                }
            }
            Step::End(n, outcome) => {
                let permit = held.remove(n);
                breaker.report(permit, End::new(outcome, Duration::ZERO), *now);
            }
            Step::Flows(n) => breaker.flows(&held[n], *now + SECOND),
            Step::Force(n) => {
                let kinds: [fn(&'static str) -> Override; 4] =
                    [Override::open, Override::closed, Override::disabled, Override::metrics_only];
                breaker.force(kinds[usize::from(n)]("").lasting(2 * SECOND), *now);
            }
            Step::Release => drop(breaker.release(*now)),
        }
    }

    /// A refusal tells what opened it, and one that names the end of a period names it exactly.
    fn comes_back(&self, refusal: Refusal) {
        let forced = refusal.reason == Reason::ForcedOpen;
        assert!(
            refusal.cause.is_some_and(|cause| forced == (cause == Cause::Override)),
            "{self:?}"
        );
        let wait = refusal.retry_after.unwrap();
        if refusal.reason == Reason::ProbesOut {
            return;
        }
        let admits = |now: Instant| admit(&mut self.breaker.clone(), now).is_ok();
        assert!(admits(self.now + wait), "{self:?}");
        assert!(!admits(self.now + (wait - Duration::from_nanos(1))), "{self:?}");
    }

    /// Good answers alone close it, whoever still holds a permit and whether or not it comes back.
    fn has_an_exit(&self, permits_come_back: bool) {
        let Self { mut breaker, held, mut now } = self.copy();
        breaker.release(now);
        if permits_come_back {
            for permit in held {
                breaker.report(permit, End::new(Outcome::Success, Duration::ZERO), now);
            }
        }
        for _ in 0..6 {
            now = now + 10 * SECOND;
            if let Ok(permit) = admit(&mut breaker, now) {
                breaker.report(permit, End::new(Outcome::Success, Duration::ZERO), now);
            }
        }
        assert_eq!(breaker.phase(now), Phase::Closed, "{self:?}");
    }

    /// The state, in relative time and with nothing that decides nothing.
    fn key(&self) -> String {
        let Self { breaker, held, now } = self;
        let left = |at: Instant| at.since(*now).as_secs().min(9);
        let held: BTreeSet<_> = held
            .iter()
            .map(|permit| match permit.epoch() == breaker.epoch {
                true => (permit.is_probe(), permit.slot()),
                false => (false, 99),
            })
            .collect();
        let state = match breaker.state {
            State::Open { until, .. } => format!("open {}", left(until)),
            State::HalfOpen { successes, .. } => format!("half-open {successes}"),
            State::Closed => "closed".into(),
        };
        let probes: Vec<_> =
            breaker.probes.iter().map(|place| (left(place.until), place.good)).collect();
        let said = breaker.overruled.as_ref().map(|over| (over.said.phase(), left(over.until)));
        let rates = breaker.rates.as_ref().map(|rates| windows(rates, *now));
        let counts = (breaker.failures.min(2), breaker.reopens.min(2), self.held.len());
        format!("{state} {probes:?} {said:?} {rates:?} {counts:?} {held:?}")
    }
}

/// What the windows hold, and how long the calls that are looked at have run.
fn windows(rates: &Rates, now: Instant) -> String {
    let mut running = rates.running.clone();
    let mut ages = Vec::new();
    while let Some((place, since)) = running.oldest() {
        ages.push((place, now.since(since).as_secs()));
        running.settle(place);
    }
    let counted = [1, 2].map(|place| running.is_counted(place));
    format!("{:?} {:?} {ages:?} {counted:?}", rates.failure, rates.slow)
}

/// How many states there are: all that can be reached.
fn states(config: &CircuitBreakerConfig) -> usize {
    let breaker = CircuitBreaker::new(config).unwrap();
    let first = World { breaker, held: Vec::new(), now: at(0) };
    let mut seen = BTreeSet::from([first.key()]);
    let mut left = VecDeque::from([first]);
    while let Some(world) = left.pop_front() {
        let alive = world.breaker.probes.iter().filter(|place| **place != Place::FREE).count();
        assert!(alive <= config.half_open_calls as usize);
        world.has_an_exit(true);
        world.has_an_exit(false);
        for step in world.steps() {
            let mut next = world.copy();
            next.take(step);
            if seen.insert(next.key()) {
                left.push_back(next);
            }
        }
    }
    seen.len()
}

fn small() -> CircuitBreakerConfig {
    CircuitBreakerConfig {
        failures: 2,
        successes: 2,
        open_for: SECOND,
        max_open_for: Some(2 * SECOND),
        half_open_calls: 1,
        half_open_for: Some(3 * SECOND),
        ..CircuitBreakerConfig::default()
    }
}

#[test]
fn no_state_is_without_an_exit() {
    assert_eq!(states(&small()), 191);
}

#[test]
fn no_state_with_rates_is_without_an_exit() {
    let config = CircuitBreakerConfig {
        failures: 3,
        successes: 1,
        failure_rate: Some(Ratio::ONE),
        slow_rate: Some(Ratio::ONE),
        slow_after: Some(2 * SECOND),
        window: Window::Calls(2),
        minimum_calls: 2,
        ..small()
    };
    assert_eq!(states(&config), 2_900);
}
