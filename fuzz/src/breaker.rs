//! The circuit breaker: probes never exceed their number, every end is counted, and there is always an exit.

use std::time::Duration;

use seawall_core::{
    CircuitBreaker, CircuitBreakerConfig, End, Instant, Outcome, Override, Permit, Phase, Ratio,
    Window,
};

use crate::tape::Tape;

/// Runs the story in `data`.
///
/// # Panics
/// If a promise is broken.
pub fn breaker(data: &[u8]) {
    let mut tape = Tape::new(data);
    let Some(config) = settings(&mut tape) else { return };
    let Ok(mut breaker) = CircuitBreaker::new(&config) else { return };
    let mut story = Story { config, held: Vec::new(), probes: Vec::new(), ended: 0, hidden: 0 };
    let (mut now, mut newest) = (Instant::ORIGIN, Instant::ORIGIN);
    while let Some(next) = tape.moment(now) {
        now = next;
        newest = newest.max(now);
        let shown = breaker.phase(now);
        while breaker.advance(now).is_some() {
            story.probes.clear();
        }
        assert_eq!(shown, breaker.phase(now), "what was shown was stale");
        if story.step(&mut tape, &mut breaker, now).is_none() {
            break;
        }
        story.check(&breaker, now);
    }
    story.leads_out(breaker, newest);
}

/// What anybody could write down beside it.
struct Story {
    config: CircuitBreakerConfig,
    /// Those of calls that run.
    held: Vec<Permit>,
    /// Which of them began in this half-open phase.
    probes: Vec<usize>,
    ended: u64,
    /// Ends that an override kept out of the books.
    hidden: u64,
}

impl Story {
    fn step(
        &mut self,
        tape: &mut Tape<'_>,
        breaker: &mut CircuitBreaker,
        now: Instant,
    ) -> Option<()> {
        match tape.below(16)? {
            0..=6 => {
                let half_open = breaker.is_half_open();
                match breaker.admit(now) {
                    Ok(permit) => {
                        assert!(breaker.phase(now) != Phase::Open, "an open breaker admitted");
                        if half_open {
                            self.probes.push(self.held.len());
                        }
                        self.held.push(permit);
                        let alive = self.probes.len() as u64;
                        assert!(alive <= u64::from(self.config.half_open_calls), "{alive} probes");
                    }
                    Err(refusal) => assert!(
                        breaker.phase(now) != Phase::Closed,
                        "a closed breaker refused: {refusal}"
                    ),
                }
            }
            7..=13 if !self.held.is_empty() => self.end(tape, breaker, now)?,
            14 => {
                let said = match tape.below(4)? {
                    0 => Override::open("fuzz"),
                    1 => Override::closed("fuzz"),
                    2 => Override::disabled("fuzz"),
                    _ => Override::metrics_only("fuzz"),
                };
                let lasting = tape.duration()?.max(Duration::from_nanos(1));
                self.changed(breaker.force(said.lasting(lasting), now).is_some());
                self.probes.clear();
            }
            _ => {
                self.changed(breaker.release(now).is_some());
            }
        }
        Some(())
    }

    fn end(
        &mut self,
        tape: &mut Tape<'_>,
        breaker: &mut CircuitBreaker,
        now: Instant,
    ) -> Option<()> {
        let at = usize::from(tape.byte()?) % self.held.len();
        let outcome = match tape.below(4)? {
            0 => Outcome::Success,
            1 | 2 => Outcome::Failure,
            _ => Outcome::Ignored,
        };
        let took = tape.duration()?;
        let last = self.held.len() - 1;
        let permit = self.held.swap_remove(at);
        self.probes.retain(|probe| *probe != at);
        self.probes.iter_mut().filter(|probe| **probe == last).for_each(|probe| *probe = at);
        self.ended += 1;
        self.hidden += u64::from(breaker.phase(now) == Phase::Disabled);
        let changed = breaker.report(permit, End::new(outcome, took), now).is_some();
        self.changed(changed);
        Some(())
    }

    fn changed(&mut self, changed: bool) {
        if changed {
            self.probes.clear();
        }
    }

    fn check(&self, breaker: &CircuitBreaker, now: Instant) {
        let seen = breaker.snapshot(now);
        let told = seen.ended.successes + seen.ended.failures + seen.ended.ignored;
        assert_eq!(told + self.hidden, self.ended, "an end was lost");
        assert_eq!(seen.phase, breaker.phase(now), "two pictures of one machine");
    }

    /// Left alone long enough and then served well, every breaker closes.
    fn leads_out(&self, mut breaker: CircuitBreaker, newest: Instant) {
        let (mut now, mut wait) = (newest, Duration::from_millis(1));
        breaker.release(now);
        while breaker.phase(now) != Phase::Closed {
            assert!(now != Instant::NEVER, "no way out of {:?}", breaker.snapshot(now));
            now = now + wait;
            wait = wait.saturating_mul(2);
            while breaker.advance(now).is_some() {}
            for _ in 0..self.config.successes {
                if let Ok(permit) = breaker.admit(now) {
                    breaker.report(permit, End::new(Outcome::Success, Duration::ZERO), now);
                }
            }
        }
    }
}

fn settings(tape: &mut Tape<'_>) -> Option<CircuitBreakerConfig> {
    let slow = tape.below(2)? == 0;
    let share = |percent: u8| (percent > 0).then(|| Ratio::percent(u32::from(percent)));
    Some(CircuitBreakerConfig {
        failures: u32::from(tape.below(4)?),
        successes: u32::from(tape.below(4)?),
        half_open_calls: u32::from(tape.below(4)?),
        open_for: tape.duration()?,
        max_open_for: Some(Duration::from_secs(86_400)).filter(|_| slow),
        failure_rate: share(tape.below(101)?),
        slow_rate: if slow { share(tape.below(101)?) } else { None },
        slow_after: if slow { Some(tape.duration()?) } else { None },
        window: match tape.below(2)? {
            0 => Window::Calls(u32::from(tape.byte()?)),
            _ => Window::Time(tape.duration()?),
        },
        minimum_calls: u32::from(tape.below(8)?),
        ..CircuitBreakerConfig::default()
    })
}
