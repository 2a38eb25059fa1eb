//! Timelines, and a model that knows nothing of epochs or places.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + SECOND * seconds as u32
}

fn breaker(config: CircuitBreakerConfig) -> CircuitBreaker {
    CircuitBreaker::new(&config).unwrap()
}

/// What every door does: elapsed time first.
fn admit(breaker: &mut CircuitBreaker, now: Instant) -> Result<Permit, Refusal> {
    while breaker.advance(now).is_some() {}
    match breaker.admit(now) {
        Admission::Go(permit) => Ok(permit),
        Admission::No(refusal) => Err(refusal),
    }
}

fn end(breaker: &mut CircuitBreaker, permit: Permit, outcome: Outcome, now: Instant) {
    while breaker.advance(now).is_some() {}
    breaker.report(permit, End::new(outcome, Duration::ZERO), now);
}

fn call(breaker: &mut CircuitBreaker, outcome: Outcome, now: Instant) {
    let permit = admit(breaker, now).unwrap();
    end(breaker, permit, outcome, now);
}

fn opened() -> CircuitBreaker {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    for _ in 0..5 {
        call(&mut breaker, Outcome::Failure, at(0));
    }
    breaker
}

#[test]
fn the_guides_timeline() {
    let mut breaker = opened();
    assert_eq!(breaker.phase(at(0)), Phase::Open);
    let refusal = admit(&mut breaker, at(20)).unwrap_err();
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::Open, Some(40 * SECOND)));
    assert_eq!(breaker.phase(at(60)), Phase::HalfOpen, "reading applies elapsed time");
    for _ in 0..3 {
        call(&mut breaker, Outcome::Success, at(61));
    }
    assert_eq!(breaker.phase(at(61)), Phase::Closed);
    assert_eq!(breaker.snapshot(at(61)).transitions, 3);
}

#[test]
fn p1_good_weather_then_five_failures_open_it() {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    for _ in 0..100_000 {
        call(&mut breaker, Outcome::Success, at(0));
    }
    for n in 1..=5 {
        assert_eq!(breaker.phase(at(0)), Phase::Closed, "before failure {n}");
        call(&mut breaker, Outcome::Failure, at(0));
    }
    assert_eq!(breaker.phase(at(0)), Phase::Open);
}

#[test]
fn p2_probes_slower_than_the_open_period_still_close_it() {
    let mut breaker = opened();
    for n in 0..3 {
        let permit = admit(&mut breaker, at(60 + n * 90)).unwrap();
        end(&mut breaker, permit, Outcome::Success, at(60 + n * 90 + 89));
    }
    assert_eq!(breaker.phase(at(400)), Phase::Closed);
}

#[test]
fn p3_a_forced_state_stays_until_it_is_released() {
    for (open, phase) in [(true, Phase::ForcedOpen), (false, Phase::ForcedClosed)] {
        let mut breaker = opened();
        breaker.force(open, at(1));
        for hour in 0..24 {
            let now = at(hour * 3_600 + 2);
            assert_eq!(breaker.phase(now), phase);
            match admit(&mut breaker, now) {
                Ok(permit) => end(&mut breaker, permit, Outcome::Failure, now),
                Err(refusal) => {
                    assert_eq!((refusal.reason, refusal.retry_after), (Reason::ForcedOpen, None));
                }
            }
        }
        assert!(breaker.release(at(90_000)).is_some());
        assert_eq!(breaker.snapshot(at(90_000)).failures, 0, "nothing is remembered");
        assert_eq!(breaker.phase(at(90_000)), Phase::Closed);
        assert!(breaker.release(at(90_000)).is_none());
    }
}

#[test]
fn p8_results_of_calls_older_than_the_trip_are_ignored() {
    for late in [Outcome::Success, Outcome::Failure] {
        let mut breaker =
            breaker(CircuitBreakerConfig { successes: 1, ..CircuitBreakerConfig::default() });
        let straggler = admit(&mut breaker, at(0)).unwrap();
        for _ in 0..5 {
            call(&mut breaker, Outcome::Failure, at(0));
        }
        let probe = admit(&mut breaker, at(60)).unwrap();
        end(&mut breaker, straggler, late, at(61));
        assert_eq!(breaker.phase(at(61)), Phase::HalfOpen, "a late {late:?} decides nothing");
        end(&mut breaker, probe, Outcome::Success, at(62));
        assert_eq!(breaker.phase(at(62)), Phase::Closed);
    }
}

#[test]
fn p24_a_hung_probe_keeps_its_place_and_expires_as_a_failure() {
    let mut breaker = opened();
    let probes: Vec<_> = (0..3).map(|_| admit(&mut breaker, at(60)).unwrap()).collect();
    for _ in 0..97 {
        assert_eq!(admit(&mut breaker, at(61)).unwrap_err().reason, Reason::ProbesOut);
    }
    assert_eq!(breaker.wake_at(), Some(at(180)), "half_open_for is twice open_for");
    assert_eq!(breaker.phase(at(179)), Phase::HalfOpen);
    assert_eq!(breaker.phase(at(180)), Phase::Open);
    for probe in probes {
        end(&mut breaker, probe, Outcome::Success, at(181));
    }
    assert_eq!(breaker.phase(at(181)), Phase::Open, "an expired probe has nothing more to say");
    assert_eq!(breaker.phase(at(240)), Phase::HalfOpen, "and it is tried again");
}

#[test]
fn a_cancelled_probe_frees_exactly_one_place() {
    let mut breaker = opened();
    let mut probes: Vec<_> = (0..3).map(|_| admit(&mut breaker, at(60)).unwrap()).collect();
    end(&mut breaker, probes.remove(1), Outcome::Ignored, at(61));
    assert!(admit(&mut breaker, at(61)).is_ok());
    assert!(admit(&mut breaker, at(61)).is_err());
}

#[test]
fn statistics_mean_what_they_say() {
    let mut breaker = breaker(CircuitBreakerConfig::default());
    for _ in 0..150 {
        call(&mut breaker, Outcome::Success, at(1));
    }
    let seen = breaker.snapshot(at(1));
    assert_eq!(
        (seen.phase, seen.failures, seen.successes),
        (Phase::Closed, 0, 150),
        "the guide's sample"
    );
    for _ in 0..4 {
        call(&mut breaker, Outcome::Failure, at(7));
    }
    let seen = breaker.snapshot(at(8));
    assert_eq!((seen.failures, seen.last_failure, seen.last_change), (4, Some(at(7)), None));
    call(&mut breaker, Outcome::Failure, at(9));
    let seen = breaker.snapshot(at(10));
    assert_eq!((seen.phase, seen.failures, seen.last_change), (Phase::Open, 5, Some(at(9))));
}

#[test]
fn every_senseless_setting_is_told() {
    let config = CircuitBreakerConfig {
        failures: 0,
        successes: 0,
        open_for: Duration::ZERO,
        half_open_calls: 256,
        half_open_for: Some(Duration::ZERO),
    };
    let mut fields = Vec::new();
    config.check(&mut |invalid| fields.push(invalid.field));
    assert_eq!(
        fields,
        ["failures", "successes", "open_for", "half_open_calls", "half_open_for"]
            .map(|field| alloc::format!("circuit_breaker.{field}"))
    );
    assert!(CircuitBreaker::new(&config).is_err());
}

/// The rules once more, as naively as they can be written: probes in a list, phases by comparison.
struct Model {
    config: CircuitBreakerConfig,
    phase: Phase,
    generation: u64,
    row: u32,
    until: Instant,
    probes: Vec<(u64, Instant)>,
}

impl Model {
    fn enter(&mut self, phase: Phase) {
        (self.phase, self.row) = (phase, 0);
        self.generation += 1;
        self.probes.clear();
    }

    fn elapse(&mut self, now: Instant) {
        loop {
            let life = self.config.half_open_for.unwrap();
            let expired =
                self.probes.iter().map(|(_, began)| *began + life).min().filter(|due| *due <= now);
            match (self.phase, expired) {
                (Phase::Open, _) if now >= self.until => self.enter(Phase::HalfOpen),
                (Phase::HalfOpen, Some(due)) => {
                    self.enter(Phase::Open);
                    self.until = due + self.config.open_for;
                }
                _ => return,
            }
        }
    }

    fn admits(&self) -> bool {
        match self.phase {
            Phase::Closed => true,
            Phase::HalfOpen => (self.probes.len() as u32) < self.config.half_open_calls,
            _ => false,
        }
    }

    fn end(&mut self, id: u64, generation: u64, outcome: Outcome, now: Instant) {
        if generation != self.generation {
            return;
        }
        self.probes.retain(|(probe, _)| *probe != id);
        match (self.phase, outcome) {
            (Phase::Closed, Outcome::Success) => self.row = 0,
            (Phase::HalfOpen, Outcome::Success) => {
                self.row += 1;
                if self.row == self.config.successes {
                    self.enter(Phase::Closed);
                }
            }
            (Phase::Closed, Outcome::Failure) if self.row + 1 < self.config.failures => {
                self.row += 1
            }
            (_, Outcome::Failure) => {
                self.enter(Phase::Open);
                self.until = now + self.config.open_for;
            }
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn it_agrees_with_the_model_whatever_happens(
        (failures, successes, calls) in (1u32..4, 1u32..4, 1u32..4),
        steps in prop::collection::vec((0u8..5, 0usize..8, 0u64..9), 0..300),
        open_for in 1u64..20,
        half_open_for in 1u64..20,
    ) {
        let config = CircuitBreakerConfig {
            failures, successes, half_open_calls: calls,
            open_for: SECOND * open_for as u32,
            half_open_for: Some(SECOND * half_open_for as u32),
        };
        let mut real = breaker(config.clone());
        let mut model = Model {
            config, phase: Phase::Closed, generation: 0, row: 0, until: at(0), probes: Vec::new(),
        };
        let (mut clock, mut id, mut running) = (0, 0, Vec::new());
        for (kind, which, wait) in steps {
            clock += wait;
            let now = at(clock);
            model.elapse(now);
            prop_assert_eq!(real.phase(now), model.phase);
            if kind < 2 || running.is_empty() {
                let admitted = admit(&mut real, now);
                prop_assert_eq!(admitted.is_ok(), model.admits());
                if let Ok(permit) = admitted {
                    id += 1;
                    if model.phase == Phase::HalfOpen {
                        model.probes.push((id, now));
                    }
                    running.push((id, model.generation, permit));
                }
            } else {
                let (id, generation, permit) = running.remove(which % running.len());
                let outcome = [Outcome::Success, Outcome::Failure, Outcome::Ignored][usize::from(kind) - 2];
                end(&mut real, permit, outcome, now);
                model.end(id, generation, outcome, now);
            }
            prop_assert_eq!(real.phase(now), model.phase);
            let alive = real.probes.iter().filter(|place| **place != Place::FREE).count();
            prop_assert_eq!(alive, model.probes.len(), "places held by probes");
        }
        // Whatever state that was, once good answers come it closes.
        clock += 100;
        for _ in 0..4 {
            clock += 100;
            if let Ok(permit) = admit(&mut real, at(clock)) {
                end(&mut real, permit, Outcome::Success, at(clock));
            }
        }
        prop_assert_eq!(real.phase(at(clock)), Phase::Closed);
    }

    #[test]
    fn a_clock_that_steps_back_opens_and_closes_nothing(back in 0u64..60) {
        let mut breaker = opened();
        prop_assert!(breaker.advance(at(back).min(at(59))).is_none());
        prop_assert_eq!(breaker.phase(at(59)), Phase::Open);
        prop_assert!(breaker.advance(at(60)).is_some());
        prop_assert!(breaker.advance(at(back)).is_none());
        prop_assert_eq!(breaker.phase(at(back)), Phase::HalfOpen);
    }
}
