//! The circuit breaker: after enough failures stop calling, then find out carefully whether to start again.
//!
//! ```text
//!             a rule trips                         the open period has passed
//!   closed ───────────────────────▸ open ─────────────────────────────▸ half-open
//!     ▴                              ▴                                    │   │
//!     │                              └── a probe fails, is slow or ───────┘   │
//!     │                                  outlives half_open_for               │
//!     └───────────────────── successes of probes ────────────────────────────┘
//!
//!   an override (see `overrides`) lies over all of it; when it leaves, closed and empty.
//! ```
//!
//! Closed means calls flow. Any rule trips: failures in a row, the share of failed calls, the share of slow ones,
//! and of a call that still runs it is known when it becomes slow. So a callee that hangs opens it without a
//! single completion.
//!
//! In half-open at most `half_open_calls` probes are alive at once; each owns its
//! place until it ends, is cancelled (frees exactly one place) or outlives `half_open_for` (a failure). A probe
//! whose streamed answer began well is a success if nothing else is heard of it by a stated moment: its reader
//! may pause for hours, and that must not hold up the verdict on the callee.
//!
//! Every failed half-open phase doubles the open period up to a cap. Jitter is drawn at the transition from seed
//! and epoch, so that a refusal names the exact moment to come back, and no verb needs a random number.
//!
//! Every transition begins a new epoch and every permit carries the epoch that granted it. A result of an
//! older epoch decides nothing: a call that began before the trip can neither close the breaker while the
//! probe still hangs nor open it again. Probes are kept by place, not counted up and down, because a counter
//! loses or invents a place as soon as one result goes missing, and then the breaker is locked half-open.
//!
//! One lower bound, `due`, stands for all that time alone may change; before it nothing is looked at. It may be
//! early, since what it waited for may have ended, and is never late.
//!
//! Drive it with [`advance`](CircuitBreaker::advance) until it returns `None`, then
//! [`admit`](CircuitBreaker::admit) or [`report`](CircuitBreaker::report).

use alloc::{boxed::Box, sync::Arc};

pub use self::{
    config::{CircuitBreakerConfig, Window},
    memory::CircuitBreakerMemory,
    overrides::Override,
    reconfigure::Windows,
    snapshot::{CircuitBreakerSnapshot, Ended, Overridden},
};
use self::{overrides::Overruled, rates::Rates, running::RUNNING_MAX, transitions::State};
use crate::{Instant, Invalid, Permit, Phase, Refusal, invalid::first, permit::first_epoch};

mod config;
mod elapsed;
mod ledger;
mod memory;
mod overrides;
mod rates;
mod ready;
mod reconfigure;
mod running;
mod snapshot;
mod transitions;
mod verdicts;

/// The machine. 160 bytes, and 16 per place for a probe: 208 by default. With rates 264 more, and 8 per place in the
/// table of running calls: 984 with 64. Beyond that a bit per call in a window of calls, twice;
/// the configuration may be shared.
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    /// Before this moment time alone changes nothing.
    due: Instant,
    epoch: u64,
    /// Closed, not overruled, and running calls are not looked at: whoever asks may go, and a success does little more than
    /// end the row of failures.
    plain: bool,
    /// Places in the table of running calls.
    places: u8,
    /// Failures in a row.
    failures: u32,
    /// Since the last transition.
    successes: u64,
    state: State,
    /// Half-open phases that failed in a row.
    reopens: u16,
    config: Arc<CircuitBreakerConfig>,
    /// 32 bits are enough to tell instances apart.
    seed: u32,
    probes: Box<[Place]>,
    rates: Option<Box<Rates>>,
    overruled: Option<Box<Overruled>>,
    /// Without the successes since the last transition.
    ended: Ended,
    refused: u64,
    transitions: u32,
    /// The origin before the first.
    last_success: Instant,
    last_failure: Instant,
    last_change: Instant,
}

/// A place for a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// When time alone ends the probe; `NEVER` marks a free place.
    until: Instant,
    /// Whether it has then succeeded.
    good: bool,
}

impl Place {
    const FREE: Self = Self { until: Instant::NEVER, good: false };

    /// Taken, so however late `until` is, it is not `NEVER`.
    fn taken(until: Instant, good: bool) -> Self {
        Self { until: until.min(Instant::from_nanos(u64::MAX - 1)), good }
    }
}

impl CircuitBreaker {
    /// A closed breaker whose jitter follows seed 0.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn new(config: &CircuitBreakerConfig) -> Result<Self, Invalid> {
        Self::seeded(config, 0)
    }

    /// A closed breaker whose jitter follows `seed`.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn seeded(config: &CircuitBreakerConfig, seed: u64) -> Result<Self, Invalid> {
        Self::sized(Arc::new(config.clone()), seed, RUNNING_MAX)
    }

    /// As [`seeded`](Self::seeded), for one of many: they share `config`, and each looks at `running` calls that run,
    /// 64 at most.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn sized(
        config: Arc<CircuitBreakerConfig>,
        seed: u64,
        running: u8,
    ) -> Result<Self, Invalid> {
        first(|found| config.check(found))?;
        let mut breaker = Self {
            due: Instant::NEVER,
            epoch: 0,
            plain: true,
            places: running,
            failures: 0,
            successes: 0,
            state: State::Closed,
            reopens: 0,
            seed: folded(seed),
            probes: places(config.half_open_calls),
            rates: None,
            overruled: None,
            ended: Ended::default(),
            refused: 0,
            transitions: 0,
            last_success: Instant::ORIGIN,
            last_failure: Instant::NEVER,
            last_change: Instant::NEVER,
            config,
        };
        breaker.empty_windows();
        breaker.refresh();
        Ok(breaker)
    }

    /// The same machine, to whom calls that run already mean nothing, let through by another or without one: `era` is
    /// another than that of those that were here before, and not 0, which is that of the first and of none.
    #[must_use]
    pub const fn joining(mut self, era: u32) -> Self {
        self.epoch = first_epoch(era);
        self
    }

    /// The same machine with a jitter of its own.
    pub(crate) const fn reseeded(mut self, seed: u64) -> Self {
        self.seed = folded(seed);
        self
    }

    /// Leave to call.
    ///
    /// # Errors
    /// A refusal with the time to ask again and what opened it.
    #[inline]
    pub fn admit(&mut self, now: Instant) -> Result<Permit, Refusal> {
        if self.plain { Ok(Permit::new(self.epoch, 0)) } else { self.admit_other(now) }
    }

    #[cold]
    fn admit_other(&mut self, now: Instant) -> Result<Permit, Refusal> {
        if let Err(refusal) = self.ready_by_other(now, now) {
            self.refused += 1;
            return Err(refusal);
        }
        let anybody = Permit::new(self.epoch, 0);
        if self.is_suspended() {
            return Ok(anybody);
        }
        match self.state {
            State::Closed => {
                let Some(rates) = &mut self.rates else { return Ok(anybody) };
                let place = rates.enter(now);
                if let Some(slow_after) = self.config.slow_after.filter(|_| place > 0) {
                    self.due = self.due.min(now + slow_after);
                }
                Ok(Permit::new(self.epoch, place))
            }
            State::HalfOpen { .. } if self.has_place() => {
                let Some(n) = self.probes.iter().position(|place| *place == Place::FREE) else {
                    return Ok(anybody);
                };
                let until = now + self.config.probe_for();
                self.probes[n] = Place::taken(until, false);
                self.due = self.due.min(until);
                Ok(Permit::probe(self.epoch, n as u8 + 1))
            }
            // It only watches, and would have refused.
            State::Open { .. } | State::HalfOpen { .. } => Ok(anybody),
        }
    }

    /// Whether calls simply flow, and nobody but the breaker says so.
    #[inline]
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed) && self.overruled.is_none()
    }

    /// Whether a call would be a probe.
    #[inline]
    #[must_use]
    pub const fn is_half_open(&self) -> bool {
        matches!(self.state, State::HalfOpen { .. }) && self.overruled.is_none()
    }

    /// Whether an override keeps the machine from deciding, even for show.
    fn is_suspended(&self) -> bool {
        self.overruled
            .as_ref()
            .is_some_and(|overruled| overruled.said.phase() != Phase::MetricsOnly)
    }
}

const fn folded(seed: u64) -> u32 {
    (seed ^ seed >> 32) as u32
}

fn places(n: u32) -> Box<[Place]> {
    alloc::vec![Place::FREE; n as usize].into_boxed_slice()
}

#[cfg(test)]
mod tests;
