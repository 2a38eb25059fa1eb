//! What a breaker remembers of one key, where one machine serves many: its settings and figures are those of all.
//!
//! ```text
//!   machine  [ settings · figures · what it remembers ] ◂── exchange ──▸ [ memory of a key ]
//! ```
//!
//! Ten thousand whole machines would hold their settings and totals ten thousand times. So there is one, and before
//! a step it takes up the memory of the key the step is about. Nothing is copied that is not there: probes are kept
//! only while half-open, windows change hands by their address.

use alloc::boxed::Box;
use core::mem::{swap, take};

use super::{
    CircuitBreaker, Place, overrides::Overruled, places, rates::Rates, transitions::State,
};
use crate::Instant;

/// What a [`CircuitBreaker`] remembers of one of many. 88 bytes, and of what the settings ask for: 160 for one window
/// of time, 104 for the second, 8 for each running call in the table; 16 for each place for a probe while half-open.
///
/// The default is of no machine, and takes the place of one where there is none.
#[derive(Clone, Debug, Default)]
pub struct CircuitBreakerMemory {
    epoch: u64,
    state: State,
    /// None, if all of them are free.
    probes: Box<[Place]>,
    rates: Option<Box<Rates>>,
    overruled: Option<Box<Overruled>>,
    last_success: Instant,
    last_change: Instant,
    failures: u32,
    reopens: u16,
}

impl CircuitBreakerMemory {
    /// Whether calls simply flow, as of the last step, and nobody but the breaker says so.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed) && self.overruled.is_none()
    }
}

impl CircuitBreaker {
    /// What it remembers, without its settings and figures.
    #[must_use]
    pub fn into_memory(self) -> CircuitBreakerMemory {
        let probing = self.is_probing();
        CircuitBreakerMemory {
            epoch: self.epoch,
            state: self.state,
            probes: if probing { self.probes } else { Box::default() },
            rates: self.rates,
            overruled: self.overruled,
            last_success: self.last_success,
            last_change: self.last_change,
            failures: self.failures,
            reopens: self.reopens,
        }
    }

    /// Puts down what it remembers and takes up `memory`, whose jitter follows `seed`. Both are of machines with the
    /// same settings. Figures stay: they are of all whose memories it had.
    pub fn exchange(&mut self, memory: &mut CircuitBreakerMemory, seed: u32) {
        self.ended.successes += take(&mut self.successes);
        swap(&mut self.epoch, &mut memory.epoch);
        swap(&mut self.state, &mut memory.state);
        swap(&mut self.rates, &mut memory.rates);
        swap(&mut self.overruled, &mut memory.overruled);
        swap(&mut self.last_success, &mut memory.last_success);
        swap(&mut self.last_change, &mut memory.last_change);
        swap(&mut self.failures, &mut memory.failures);
        swap(&mut self.reopens, &mut memory.reopens);
        match (self.is_probing(), memory.probes.is_empty()) {
            (false, true) => {}
            (true, true) => {
                let free = places(self.probes.len() as u32);
                memory.probes = core::mem::replace(&mut self.probes, free);
            }
            (true, false) => swap(&mut self.probes, &mut memory.probes),
            (false, false) => self.probes = take(&mut memory.probes),
        }
        self.seed = seed;
        self.refresh();
    }

    /// Whether nothing is lost if it is forgotten at `now`, while no call of it runs: it is closed, and nobody says
    /// otherwise; or nobody has asked for as long as a probe may live, since it would have let one through. A callee
    /// that has gone for good must not be remembered for ever.
    #[must_use]
    pub fn is_forgettable(&self, now: Instant) -> bool {
        if let Some(overruled) = &self.overruled {
            return overruled.until <= now;
        }
        let since = match self.state {
            State::Closed => return true,
            State::Open { until, .. } => until,
            State::HalfOpen { .. } => self.last_change.max(self.last_success),
        };
        since + self.config.probe_life() <= now
    }

    fn is_probing(&self) -> bool {
        self.probes.iter().any(|place| *place != Place::FREE)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{sync::Arc, vec::Vec};
    use core::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{CircuitBreakerConfig, End, Outcome, Override, Permit, Phase, Ratio};

    const SECOND: Duration = Duration::from_secs(1);

    fn config(rates: bool) -> Arc<CircuitBreakerConfig> {
        Arc::new(CircuitBreakerConfig {
            failures: 3,
            failure_rate: rates.then_some(Ratio::percent(50)),
            slow_rate: rates.then_some(Ratio::percent(50)),
            slow_after: rates.then_some(SECOND),
            minimum_calls: 2,
            open_for: 3 * SECOND,
            half_open_calls: 2,
            successes: 2,
            ..CircuitBreakerConfig::default()
        })
    }

    fn machine(rates: bool) -> CircuitBreaker {
        CircuitBreaker::sized(config(rates), 0, 8).unwrap()
    }

    proptest! {
        #[test]
        fn two_keys_in_one_machine_are_answered_as_by_two_machines(
            rates in any::<bool>(),
            steps in prop::collection::vec((0usize..2, 0u8..8, 0u64..1_500), 1..80),
        ) {
            let mut one = machine(rates);
            let mut memories = [(); 2].map(|()| machine(rates).into_memory());
            let mut two = [(); 2].map(|()| machine(rates));
            let mut permits: [Vec<(Permit, Permit)>; 2] = Default::default();
            let mut now = Instant::ORIGIN;
            for (key, step, millis) in steps {
                now = now + Duration::from_millis(millis);
                let whole = &mut two[key];
                one.exchange(&mut memories[key], 0);
                while let Some(told) = one.advance(now) {
                    prop_assert_eq!(Some(told), whole.advance(now));
                }
                prop_assert_eq!(None, whole.advance(now));
                match step {
                    0..=3 => match (one.admit(now), whole.admit(now)) {
                        (Ok(mine), Ok(its)) => permits[key].push((mine, its)),
                        (mine, its) => prop_assert_eq!(mine.err(), its.err()),
                    },
                    4 => prop_assert_eq!(
                        one.force(Override::open("test").lasting(SECOND), now),
                        whole.force(Override::open("test").lasting(SECOND), now)
                    ),
                    _ if !permits[key].is_empty() => {
                        let outcome = [Outcome::Success, Outcome::Failure][usize::from(step % 2)];
                        let (mine, its) = permits[key].remove(0);
                        let end = End::new(outcome, SECOND / 2);
                        prop_assert_eq!(one.report(mine, end, now), whole.report(its, end, now));
                    }
                    _ => {}
                }
                prop_assert_eq!(one.phase(now), whole.phase(now));
                one.exchange(&mut memories[key], 0);
            }
            for (memory, whole) in memories.iter_mut().zip(&mut two) {
                one.exchange(memory, 0);
                while one.advance(now).is_some() {}
                while whole.advance(now).is_some() {}
                one.exchange(memory, 0);
            }
            let [mine, first, second] = [&one, &two[0], &two[1]].map(|seen| seen.snapshot(now));
            prop_assert_eq!(mine.refused, first.refused + second.refused);
            prop_assert_eq!(mine.transitions, first.transitions + second.transitions);
            prop_assert_eq!(mine.ended.successes, first.ended.successes + second.ended.successes);
            prop_assert_eq!(mine.ended.failures, first.ended.failures + second.ended.failures);
        }
    }

    #[test]
    fn it_says_closed_only_if_the_breaker_itself_says_so() {
        let now = Instant::ORIGIN;
        assert!(machine(false).into_memory().is_closed());
        for said in [Override::closed("test"), Override::open("test")] {
            let mut breaker = machine(false);
            breaker.force(said, now);
            assert!(!breaker.into_memory().is_closed(), "an operator says so");
        }
        let mut breaker = machine(false);
        for _ in 0..3 {
            let permit = breaker.admit(now).unwrap();
            breaker.report(permit, End::new(Outcome::Failure, SECOND), now);
        }
        assert!(!breaker.into_memory().is_closed(), "it is open");
    }

    #[test]
    fn probes_are_kept_only_while_there_are_any() {
        let at = |seconds| Instant::ORIGIN + SECOND * seconds;
        let mut breaker = machine(false);
        let mut idle = machine(false).into_memory();
        breaker.exchange(&mut idle, 0);
        assert!(idle.probes.is_empty());
        for _ in 0..3 {
            let permit = breaker.admit(at(0)).unwrap();
            breaker.report(permit, End::new(Outcome::Failure, SECOND), at(0));
        }
        while breaker.advance(at(3)).is_some() {}
        let _probe = breaker.admit(at(3)).unwrap();
        breaker.exchange(&mut idle, 0);
        assert_eq!(idle.probes.iter().filter(|place| **place != Place::FREE).count(), 1);
        assert!(breaker.into_memory().probes.is_empty(), "that one has none");
    }

    #[test]
    fn it_is_forgotten_closed_or_once_nobody_asks_any_more() {
        let at = |seconds| Instant::ORIGIN + SECOND * seconds;
        let mut breaker = machine(false);
        assert!(breaker.is_forgettable(at(0)));
        for _ in 0..3 {
            let permit = breaker.admit(at(0)).unwrap();
            breaker.report(permit, End::new(Outcome::Failure, SECOND), at(0));
        }
        // Open until 3 s, and a probe may live for 10 s.
        assert!(!breaker.is_forgettable(at(12)) && breaker.is_forgettable(at(13)));
        while breaker.advance(at(5)).is_some() {}
        let probe = breaker.admit(at(5)).unwrap();
        breaker.report(probe, End::new(Outcome::Success, SECOND), at(6));
        assert_eq!(breaker.phase(at(6)), Phase::HalfOpen);
        assert!(!breaker.is_forgettable(at(15)) && breaker.is_forgettable(at(16)));
        breaker.force(Override::closed("test").lasting(60 * SECOND), at(16));
        assert!(!breaker.is_forgettable(at(75)) && breaker.is_forgettable(at(76)));
    }
}
