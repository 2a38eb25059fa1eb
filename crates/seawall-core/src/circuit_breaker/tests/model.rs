//! The rules once more, as naively as they can be written: lists of what happened, and phases by comparison.

use core::cell::Cell;

use proptest::prelude::*;

use super::*;

const TABLE: usize = 2;
const KINDS: [fn(&'static str) -> Override; 4] =
    [Override::open, Override::closed, Override::disabled, Override::metrics_only];

#[derive(Clone)]
struct Live {
    id: usize,
    epoch: u64,
    began: Instant,
    /// For a probe: when its time is over, and whether it has then succeeded.
    probe: Option<(Instant, bool)>,
    watched: bool,
    settled: bool,
    counted: bool,
}

struct Model {
    config: CircuitBreakerConfig,
    phase: Phase,
    epoch: u64,
    row: u32,
    probes_good: u32,
    reopens: u32,
    until: Instant,
    failed: Vec<(Instant, bool)>,
    slow: Vec<(Instant, bool)>,
    live: Vec<Live>,
    said: Option<(Phase, Instant)>,
    ended: [u64; 3],
}

impl Model {
    fn new(config: CircuitBreakerConfig) -> Self {
        Self {
            config,
            phase: Phase::Closed,
            epoch: 0,
            row: 0,
            probes_good: 0,
            reopens: 0,
            until: at(0),
            failed: Vec::new(),
            slow: Vec::new(),
            live: Vec::new(),
            said: None,
            ended: [0; 3],
        }
    }

    fn shown(&self) -> Phase {
        self.said.map_or(self.phase, |(phase, _)| phase)
    }

    fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
        self.probes_good = 0;
        if phase == Phase::Closed {
            (self.row, self.reopens) = (0, 0);
            self.failed.clear();
            self.slow.clear();
        }
    }

    fn open(&mut self, now: Instant) {
        self.reopens += u32::from(self.phase == Phase::HalfOpen);
        let base = self.config.open_for;
        let cap = self.config.max_open_for.unwrap_or(base);
        self.until = now + base.saturating_mul(1 << self.reopens.min(20)).min(cap);
        self.begin(Phase::Open);
    }

    fn reached(&self, verdicts: &[(Instant, bool)], rate: Option<Ratio>, now: Instant) -> bool {
        let (bad, calls) = self.share(verdicts, now);
        let rate = rate.map_or(u64::MAX, |rate| u64::from(rate.ppm()));
        calls >= u64::from(self.config.minimum_calls)
            && bad * 1_000_000 >= rate.saturating_mul(calls)
    }

    fn share(&self, verdicts: &[(Instant, bool)], now: Instant) -> (u64, u64) {
        let kept: Vec<_> = match self.config.window {
            Window::Calls(n) => verdicts.iter().rev().take(n as usize).collect(),
            Window::Time(time) => {
                let slice = |at: Instant| at.as_nanos() / (time.as_nanos() as u64 / 10);
                verdicts.iter().filter(|(then, _)| slice(now) - slice(*then) < 10).collect()
            }
        };
        (kept.iter().filter(|(_, bad)| *bad).count() as u64, kept.len() as u64)
    }

    fn judge_rates(&mut self, now: Instant) {
        if self.reached(&self.failed, self.config.failure_rate, now)
            || self.reached(&self.slow, self.config.slow_rate, now)
        {
            self.open(now);
        }
    }

    fn probe_good(&mut self) {
        self.probes_good += 1;
        if self.probes_good == self.config.successes {
            self.begin(Phase::Closed);
        }
    }

    fn current(&mut self) -> impl Iterator<Item = &mut Live> {
        let epoch = self.epoch;
        self.live.iter_mut().filter(move |live| live.epoch == epoch)
    }

    fn elapse(&mut self, now: Instant) {
        loop {
            let due = |due: Instant| (due <= now && due != Instant::NEVER).then_some(due);
            let slow_after = self.config.slow_after;
            let expiry = self.said.and_then(|(_, until)| due(until));
            let period = due(self.until).filter(|_| self.phase == Phase::Open);
            let probe = self.current().filter_map(|live| Some(live.probe?.0)).min().and_then(due);
            let crossing = self.current().filter(|live| live.watched && !live.settled);
            let crossing =
                crossing.map(|live| live.began + slow_after.unwrap()).min().and_then(due);
            let next = [expiry, period, probe, crossing].into_iter().flatten().min();
            let Some(at) = next else { return };
            if expiry == Some(at) {
                self.said = None;
                self.begin(Phase::Closed);
            } else if period == Some(at) {
                self.begin(Phase::HalfOpen);
            } else if probe == Some(at) {
                let due =
                    self.current().filter(|live| live.probe.is_some_and(|probe| probe.0 == at));
                // Of those due together one that fails decides, wherever it stands, unless enough succeed first.
                let live = due.min_by_key(|live| live.id).unwrap();
                let (_, good) = live.probe.take().unwrap();
                live.epoch = u64::MAX;
                if good { self.probe_good() } else { self.open(at) }
            } else {
                let live = self.current().filter(|live| live.watched && !live.settled);
                let live = live.min_by_key(|live| live.began).unwrap();
                (live.settled, live.counted) = (true, true);
                self.slow.push((at, true));
                if self.reached(&self.slow, self.config.slow_rate, at) {
                    self.open(at);
                }
            }
        }
    }

    fn admit(&mut self, id: usize, now: Instant) -> bool {
        let watching = self.shown() == Phase::MetricsOnly;
        let probes = self.current().filter(|live| live.probe.is_some()).count();
        let watched = self.current().filter(|live| live.watched).count();
        let mut live = Live {
            id,
            epoch: self.epoch,
            began: now,
            probe: None,
            watched: false,
            settled: false,
            counted: false,
        };
        match (self.shown(), self.phase) {
            (Phase::ForcedClosed | Phase::Disabled, _) => {}
            (Phase::ForcedOpen, _) => return false,
            (_, Phase::HalfOpen) if probes < self.config.half_open_calls as usize => {
                let life = self.config.half_open_for.unwrap();
                let life = self.config.slow_after.map_or(life, |slow_after| slow_after.min(life));
                live.probe = Some((now + life, false));
            }
            (_, Phase::Closed) => {
                live.watched = self.config.slow_after.is_some() && watched < TABLE
            }
            _ if !watching => return false,
            _ => {}
        }
        self.live.push(live);
        true
    }

    fn end(&mut self, live: &Live, outcome: Outcome, took: Duration, now: Instant) {
        if self.shown() != Phase::Disabled {
            self.ended[outcome as usize] += 1;
        }
        let slow = self.config.slow_after.is_some_and(|slow_after| took >= slow_after);
        let suspended = !matches!(self.said, None | Some((Phase::MetricsOnly, _)));
        if live.epoch != self.epoch || suspended || outcome == Outcome::Ignored {
            return;
        }
        let failed = outcome == Outcome::Failure;
        match self.phase {
            Phase::Closed => {
                self.row = if failed { self.row + 1 } else { 0 };
                self.failed.push((now, failed));
                if !live.counted {
                    self.slow.push((now, slow));
                }
                if failed && self.row >= self.config.failures {
                    self.open(now);
                } else if live.counted {
                    // Nothing new in the window of slow calls.
                    if self.reached(&self.failed, self.config.failure_rate, now) {
                        self.open(now);
                    }
                } else {
                    self.judge_rates(now);
                }
            }
            Phase::HalfOpen if live.probe.is_some() && (failed || slow) => self.open(now),
            Phase::HalfOpen if live.probe.is_some() => self.probe_good(),
            _ => {}
        }
    }
}

fn config() -> impl Strategy<Value = CircuitBreakerConfig> {
    let rate = || prop::option::of((1u32..=100).prop_map(Ratio::percent));
    let slow = prop::option::of(((1u32..=100).prop_map(Ratio::percent), 1u32..6));
    let window = prop_oneof![
        (4u32..9).prop_map(Window::Calls),
        (2u32..30).prop_map(|n| Window::Time(SECOND * n)),
    ];
    let rules = (1u32..6, rate(), slow, window, 1u32..5);
    (rules, 1u32..4, 1u32..4, 1u32..20, prop::option::of(1u32..4), 1u32..20).prop_map(
        |(rules, successes, half_open_calls, open_for, growth, half_open_for)| {
            let (failures, failure_rate, slow, window, minimum_calls) = rules;
            CircuitBreakerConfig {
                failures,
                failure_rate,
                slow_rate: slow.map(|(rate, _)| rate),
                slow_after: slow.map(|(_, after)| SECOND * after),
                window,
                minimum_calls,
                successes,
                open_for: SECOND * open_for,
                max_open_for: growth.map(|growth| SECOND * open_for * growth),
                open_jitter: Ratio::ZERO,
                half_open_calls,
                half_open_for: Some(SECOND * half_open_for),
            }
        },
    )
}

fn same(real: &CircuitBreaker, model: &mut Model, now: Instant) {
    let seen = real.snapshot(now);
    assert_eq!((real.phase(now), seen.phase), (model.shown(), model.shown()));
    let watching = model.shown() == Phase::MetricsOnly;
    assert_eq!(seen.would_be, watching.then_some(model.phase));
    assert_eq!(seen.ended.successes, model.ended[0]);
    assert_eq!(seen.ended.failures, model.ended[1]);
    assert_eq!(seen.ended.ignored, model.ended[2]);
    assert_eq!(seen.reopens, model.reopens);
    assert_eq!(seen.failures, model.row);
    let rated = |rate: Option<Ratio>, verdicts: &[(Instant, bool)]| {
        rate.map_or((0, 0), |_| model.share(verdicts, now))
    };
    let (_, calls) = rated(model.config.failure_rate, &model.failed);
    let (slow, _) = rated(model.config.slow_rate, &model.slow);
    assert_eq!((u64::from(seen.window_calls), u64::from(seen.slow_calls)), (calls, slow));
    let running = model.current().filter(|live| live.counted).count();
    assert_eq!(seen.running_slow as usize, running);
}

proptest! {
    #[test]
    fn it_agrees_with_the_model_whatever_happens(
        config in config(),
        steps in prop::collection::vec((0u8..12, any::<prop::sample::Index>(), 0u64..9), 0..200),
    ) {
        let mut real = CircuitBreaker::sized(Arc::new(config.clone()), 0, TABLE as u8).unwrap();
        let mut model = Model::new(config.clone());
        let (mut nanos, mut permits, mut id) = (1, Vec::new(), 0);
        let opened = Cell::new(None);
        let hear = |told: Option<Transition>| {
            if let Some(told) = told.filter(|told| told.to == Phase::Open) {
                opened.set(Some(told.cause));
            }
            told.is_some()
        };
        for (kind, which, wait) in steps {
            // A nanosecond each, so that no two of them fall due together.
            nanos += wait * 1_000_000_000 + 1;
            let now = Instant::from_nanos(nanos);
            model.elapse(now);
            same(&real, &mut model, now);
            while hear(real.advance(now)) {}
            prop_assert!(real.wake_at().is_none_or(|due| due > now));
            match kind {
                10 => {
                    let kind = which.index(KINDS.len());
                    let mut said = KINDS[kind]("");
                    let until = (wait > 3).then(|| now + SECOND * wait as u32);
                    if let Some(until) = until {
                        said = said.lasting(until.since(now));
                    }
                    model.said = Some((said.phase(), until.unwrap_or(Instant::NEVER)));
                    model.begin(Phase::Closed);
                    real.force(said, now);
                }
                11 => {
                    prop_assert_eq!(real.release(now).is_some(), model.said.is_some());
                    if model.said.take().is_some() {
                        model.begin(Phase::Closed);
                    }
                }
                9 if !permits.is_empty() => {
                    let (id, permit): &(usize, Permit) = which.get(&permits);
                    let epoch = model.epoch;
                    let live = model.live.iter_mut().find(|live| live.id == *id).unwrap();
                    if live.epoch == u64::MAX {
                        // Its answer has begun before, and an answer begins once.
                        continue;
                    }
                    if live.epoch == epoch {
                        if let Some(probe) = &mut live.probe {
                            *probe = (now + 3 * SECOND, true);
                        }
                        live.settled = true;
                    }
                    real.flows(permit, now + 3 * SECOND);
                }
                4..=8 if !permits.is_empty() => {
                    let (id, permit) = permits.remove(which.index(permits.len()));
                    let place = model.live.iter().position(|live| live.id == id).unwrap();
                    let live = model.live.remove(place);
                    // Judged by time: what the composition makes of its permit.
                    let overtaken = live.epoch == u64::MAX;
                    let permit = if overtaken { permit.overtaken() } else { permit };
                    let outcome = [
                        Outcome::Success,
                        Outcome::Failure,
                        Outcome::Ignored,
                        Outcome::Success,
                        Outcome::Success,
                    ][usize::from(kind) - 4];
                    let took = if live.settled && !live.counted {
                        Duration::ZERO
                    } else {
                        now.since(live.began)
                    };
                    if live.epoch == real.epoch && outcome == Outcome::Failure {
                        let knew = real.ready_had_failed(&permit, now, now);
                        hear(end_after(&mut real, permit, outcome, took, now));
                        let slow_unseen = !live.watched && live.probe.is_none();
                        prop_assert!(
                            slow_unseen || knew == real.ready_by(now, now),
                            "it knew whether and by what that would open it"
                        );
                    } else {
                        hear(end_after(&mut real, permit, outcome, took, now));
                    }
                    model.end(&live, outcome, took, now);
                }
                _ => {
                    id += 1;
                    let ready = real.ready_by(now, now).is_ok();
                    let admitted = admit(&mut real, now);
                    prop_assert_eq!(admitted.is_ok(), model.admit(id, now));
                    prop_assert_eq!(admitted.is_ok(), ready);
                    match admitted {
                        Ok(permit) => permits.push((id, permit)),
                        Err(refusal) => {
                            let forced = refusal.reason == Reason::ForcedOpen;
                            let cause = if forced { Some(Cause::Override) } else { opened.get() };
                            prop_assert_eq!(refusal.cause, cause);
                            if refusal.reason == Reason::Open {
                                prop_assert_eq!(refusal.retry_after, Some(model.until.since(now)));
                            }
                        }
                    }
                }
            }
            same(&real, &mut model, now);
            let alive = real.probes.iter().filter(|place| **place != Place::FREE).count();
            prop_assert!(alive <= config.half_open_calls as usize);
            let probes = model.current().filter(|live| live.probe.is_some()).count();
            prop_assert_eq!(alive, probes, "places held by probes");
        }
    }
}
