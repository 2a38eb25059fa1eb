//! The circuit breaker: after enough failures stop calling, then find out carefully whether to start again.
//!
//! ```text
//!             failures in a row                    open_for has passed
//!   closed ───────────────────────▸ open ─────────────────────────────▸ half-open
//!     ▴                              ▴                                    │   │
//!     │                              └── a probe fails or outlives ───────┘   │
//!     │                                  half_open_for                        │
//!     └───────────────────── successes of probes ────────────────────────────┘
//!
//!   forced open, forced closed: entered and left by an operator only; leaving starts closed and empty.
//! ```
//!
//! Closed means calls flow. In half-open at most `half_open_calls` probes are alive at once; each owns its
//! place until it ends, is cancelled (frees exactly one place) or outlives `half_open_for` (a failure). A probe
//! whose streamed answer began well is a success if nothing else is heard of it by a stated moment: its reader
//! may pause for hours, and that must not hold up the verdict on the callee.
//!
//! Every transition begins a new epoch and every permit carries the epoch that granted it. A result of an
//! older epoch changes nothing: a call that began before the trip can neither close the breaker while the
//! probe still hangs nor open it again. Probes are kept by place, not counted up and down, because a counter
//! loses or invents a place as soon as one result goes missing, and then the breaker is locked half-open.
//!
//! Drive it with [`advance`](CircuitBreaker::advance) until it returns `None`, then
//! [`admit`](CircuitBreaker::admit) or [`report`](CircuitBreaker::report).

use alloc::boxed::Box;
use core::{mem, time::Duration};

use crate::{
    Admission, Cause, End, Instant, Invalid, Outcome, Pattern, Permit, Phase, Reason, Refusal,
    Transition, invalid::first,
};

/// Settings of a [`CircuitBreaker`]. The defaults are the guide's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "configuration, written with struct update from Default"
)]
pub struct CircuitBreakerConfig {
    /// Failures in a row that open it. Default 5; at least 1.
    pub failures: u32,
    /// Successes of probes that close it. Default 3; at least 1.
    pub successes: u32,
    /// How long it stays open. Default 60 s; above zero.
    pub open_for: Duration,
    /// Probes alive at once in half-open. Default 3; 1 to 255.
    pub half_open_calls: u32,
    /// How long a probe may live. Default: twice `open_for`, at least 10 s; above zero.
    pub half_open_for: Option<Duration>,
}

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            successes: 3,
            open_for: Duration::from_secs(60),
            half_open_calls: 3,
            half_open_for: None,
        }
    }
}

impl CircuitBreakerConfig {
    /// Tells every setting that makes no sense.
    pub fn check(&self, found: &mut dyn FnMut(Invalid)) {
        if self.failures == 0 {
            found(Invalid::new("circuit_breaker.failures", 0, "at least 1"));
        }
        if self.successes == 0 {
            found(Invalid::new("circuit_breaker.successes", 0, "at least 1"));
        }
        if self.open_for.is_zero() {
            found(Invalid::new("circuit_breaker.open_for", "0s", "more than 0s, such as 60s"));
        }
        if self.half_open_calls == 0 || self.half_open_calls > PROBES_MAX {
            found(Invalid::new(
                "circuit_breaker.half_open_calls",
                self.half_open_calls,
                "1 to 255",
            ));
        }
        if self.half_open_for == Some(Duration::ZERO) {
            found(Invalid::new("circuit_breaker.half_open_for", "0s", "more than 0s, such as 10s"));
        }
    }
}

/// The machine. 160 bytes, and 16 per place for a probe.
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    failures: u32,
    successes: u32,
    open_for: Duration,
    half_open_for: Duration,
    state: State,
    epoch: u64,
    probes: Box<[Place]>,
    tally: Tally,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { successes: u32 },
    ForcedClosed,
    ForcedOpen,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    successes: u64,
    /// The failures in a row that opened it.
    opened_by: u32,
    last_success: Instant,
    last_failure: Option<Instant>,
    changed: Option<Instant>,
    transitions: u64,
    refused: u64,
}

impl CircuitBreaker {
    /// A closed breaker.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn new(config: &CircuitBreakerConfig) -> Result<Self, Invalid> {
        first(|found| config.check(found))?;
        let half_open_for = config
            .half_open_for
            .unwrap_or_else(|| (config.open_for.saturating_mul(2)).max(PROBE_LIFE_MIN));
        Ok(Self {
            failures: config.failures,
            successes: config.successes,
            open_for: config.open_for,
            half_open_for,
            state: State::Closed { failures: 0 },
            epoch: 0,
            probes: alloc::vec![Place::FREE; config.half_open_calls as usize].into_boxed_slice(),
            tally: Tally::default(),
        })
    }

    /// Applies what elapsed time changes, one transition at a time; call until `None`.
    #[inline]
    pub fn advance(&mut self, now: Instant) -> Option<Transition> {
        if self.is_closed() { None } else { self.advance_probation(now) }
    }

    #[cold]
    fn advance_probation(&mut self, now: Instant) -> Option<Transition> {
        loop {
            let due = self.wake_at().filter(|due| *due <= now)?;
            if let State::Open { .. } = self.state {
                // Open ▸ half-open when the period is over.
                return Some(self.enter(State::HalfOpen { successes: 0 }, Cause::PeriodOver, due));
            }
            let place = self.probes.iter_mut().find(|place| place.until == due)?;
            if !mem::replace(place, Place::FREE).good {
                // Half-open ▸ open when a probe outlives its limit.
                self.tally.last_failure = Some(due);
                return Some(self.open(Cause::ProbeExpired, due));
            }
            if let Some(closed) = self.succeeded(due) {
                return Some(closed);
            }
        }
    }

    /// Leave to call, or a refusal with the time to ask again.
    #[inline]
    pub fn admit(&mut self, now: Instant) -> Admission {
        if self.is_closed() {
            Admission::Go(Permit::new(self.epoch, 0))
        } else {
            self.admit_probe(now)
        }
    }

    #[cold]
    fn admit_probe(&mut self, now: Instant) -> Admission {
        if let Err(refusal) = self.ready_by(now, now) {
            self.tally.refused += 1;
            return Admission::No(refusal);
        }
        let half_open = self.is_half_open();
        let free = self.probes.iter_mut().enumerate().find(|(_, place)| **place == Place::FREE);
        match free {
            Some((n, place)) if half_open => {
                *place = Place { until: now + self.half_open_for, good: false };
                Admission::Go(Permit::new(self.epoch, n as u8 + 1))
            }
            _ => Admission::Go(Permit::new(self.epoch, 0)),
        }
    }

    /// The streamed answer of an admitted call began well: it has succeeded if nothing else is reported before
    /// `until`. Of a probe this is remembered here; a report that comes later must not carry its place, see
    /// [`Permit::overtaken`].
    pub(crate) fn flows(&mut self, permit: &Permit, until: Instant) {
        if permit.epoch() == self.epoch && permit.is_probe() {
            self.probes[usize::from(permit.slot()) - 1] = Place { until, good: true };
        }
    }

    /// Whether what [`flows`](Self::flows) said of this permit still stands. A permit without a place for a probe is
    /// never judged by time.
    pub(crate) fn still_flows(&self, permit: &Permit, until: Instant) -> bool {
        let place = usize::from(permit.slot()).checked_sub(1).and_then(|n| self.probes.get(n));
        permit.epoch() != self.epoch
            || place.is_none_or(|place| *place == Place { until, good: true })
    }

    /// Whether a call would be admitted at `at`, as far as can be said at `now`.
    ///
    /// # Errors
    /// The refusal it would get.
    #[inline]
    pub fn ready_by(&self, at: Instant, now: Instant) -> Result<(), Refusal> {
        match self.state {
            State::Closed { .. } | State::ForcedClosed => Ok(()),
            State::Open { until } if until <= at && at > now => Ok(()),
            State::Open { until } => Err(no(Reason::Open).after(until.since(now))),
            State::HalfOpen { .. } if self.probes.contains(&Place::FREE) || at > now => Ok(()),
            State::HalfOpen { .. } => Err(no(Reason::ProbesOut).after(PROBE_RETRY)),
            State::ForcedOpen => Err(no(Reason::ForcedOpen)),
        }
    }

    /// As [`ready_by`](Self::ready_by), had the call that holds `permit` failed now.
    ///
    /// # Errors
    /// The refusal it would get.
    pub fn ready_had_failed(
        &self,
        permit: &Permit,
        at: Instant,
        now: Instant,
    ) -> Result<(), Refusal> {
        let opens = match self.state {
            State::Closed { failures } => failures + 1 >= self.failures,
            State::HalfOpen { .. } => true,
            State::Open { .. } | State::ForcedClosed | State::ForcedOpen => false,
        };
        if opens && permit.epoch() == self.epoch && at < now + self.open_for {
            return Err(no(Reason::Open).after(self.open_for));
        }
        self.ready_by(at, now)
    }

    /// The end of a call it admitted.
    #[inline]
    pub fn report(&mut self, permit: Permit, end: End, now: Instant) -> Option<Transition> {
        if permit.epoch() != self.epoch {
            return None;
        }
        match (&mut self.state, end.outcome) {
            // Closed stays closed; a success ends the row of failures.
            (State::Closed { failures }, Outcome::Success) => {
                *failures = 0;
                self.tally.successes += 1;
                self.tally.last_success = now;
                None
            }
            _ => self.report_other(permit, end, now),
        }
    }

    #[cold]
    fn report_other(&mut self, permit: Permit, end: End, now: Instant) -> Option<Transition> {
        if permit.is_probe() {
            self.probes[usize::from(permit.slot()) - 1] = Place::FREE;
        }
        match end.outcome {
            Outcome::Success => self.succeeded(now),
            Outcome::Failure => self.failed(now),
            Outcome::Ignored => None,
        }
    }

    fn succeeded(&mut self, now: Instant) -> Option<Transition> {
        self.tally.successes += 1;
        self.tally.last_success = now;
        let State::HalfOpen { successes } = &mut self.state else { return None };
        *successes += 1;
        let successes = *successes;
        // Half-open ▸ closed at the last success needed.
        (successes >= self.successes).then(|| {
            let cause = Cause::ProbesSucceeded(successes);
            self.enter(State::Closed { failures: 0 }, cause, now)
        })
    }

    fn failed(&mut self, now: Instant) -> Option<Transition> {
        self.tally.last_failure = Some(now);
        match &mut self.state {
            // Closed ▸ open at the last failure allowed.
            State::Closed { failures } => {
                *failures += 1;
                let failures = *failures;
                (failures >= self.failures).then(|| {
                    self.tally.opened_by = failures;
                    self.open(Cause::Failures(failures), now)
                })
            }
            // Half-open ▸ open at any failure.
            State::HalfOpen { .. } => Some(self.open(Cause::ProbeFailed, now)),
            State::Open { .. } | State::ForcedClosed | State::ForcedOpen => None,
        }
    }

    /// Forces it open (every call is refused) or closed (every call flows and nothing is recorded) until
    /// [`release`](Self::release).
    pub fn force(&mut self, open: bool, now: Instant) -> Transition {
        self.enter(if open { State::ForcedOpen } else { State::ForcedClosed }, Cause::Override, now)
    }

    /// Ends a forced state: closed, with nothing remembered. `None` if none was forced.
    pub fn release(&mut self, now: Instant) -> Option<Transition> {
        matches!(self.state, State::ForcedOpen | State::ForcedClosed)
            .then(|| self.enter(State::Closed { failures: 0 }, Cause::Override, now))
    }

    /// Whether a success was reported since `at`.
    #[must_use]
    pub fn has_answered_since(&self, at: Instant) -> bool {
        self.tally.last_success > at
    }

    /// Whether calls simply flow.
    #[inline]
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether a call would be a probe.
    #[inline]
    #[must_use]
    pub const fn is_half_open(&self) -> bool {
        matches!(self.state, State::HalfOpen { .. })
    }

    /// When time alone next changes the answer.
    #[inline]
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::HalfOpen { .. } => {
                let next = self.probes.iter().map(|place| place.until).min();
                next.filter(|until| *until != Instant::NEVER)
            }
            State::Closed { .. } | State::ForcedClosed | State::ForcedOpen => None,
        }
    }

    /// Where it stands at `now`, elapsed time applied.
    #[must_use]
    pub fn phase(&self, now: Instant) -> Phase {
        if self.wake_at().is_none_or(|due| due > now) {
            return self.state.phase();
        }
        let mut then = self.clone();
        while then.advance(now).is_some() {}
        then.state.phase()
    }

    /// Its figures at `now`, elapsed time applied to the state.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> CircuitBreakerSnapshot {
        CircuitBreakerSnapshot {
            phase: self.phase(now),
            failures: match self.state {
                State::Closed { failures } => failures,
                State::Open { .. } | State::HalfOpen { .. } => self.tally.opened_by,
                State::ForcedClosed | State::ForcedOpen => 0,
            },
            successes: self.tally.successes,
            half_open_successes: if let State::HalfOpen { successes } = self.state {
                successes
            } else {
                0
            },
            last_failure: self.tally.last_failure,
            last_change: self.tally.changed,
            transitions: self.tally.transitions,
            refused: self.tally.refused,
        }
    }

    fn open(&mut self, cause: Cause, now: Instant) -> Transition {
        self.enter(State::Open { until: now + self.open_for }, cause, now)
    }

    #[cold]
    fn enter(&mut self, state: State, cause: Cause, at: Instant) -> Transition {
        let from = mem::replace(&mut self.state, state).phase();
        self.epoch += 1;
        self.probes.fill(Place::FREE);
        self.tally.successes = 0;
        self.tally.changed = Some(at);
        self.tally.transitions += 1;
        Transition { from, to: state.phase(), cause, at }
    }
}

impl State {
    const fn phase(self) -> Phase {
        match self {
            Self::Closed { .. } => Phase::Closed,
            Self::Open { .. } => Phase::Open,
            Self::HalfOpen { .. } => Phase::HalfOpen,
            Self::ForcedClosed => Phase::ForcedClosed,
            Self::ForcedOpen => Phase::ForcedOpen,
        }
    }
}

/// What a [`CircuitBreaker`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitBreakerSnapshot {
    /// Where it stands.
    pub phase: Phase,
    /// Failures in a row: so far while closed, else those that opened it.
    pub failures: u32,
    /// Successes since the last transition.
    pub successes: u64,
    /// Successes of probes in this half-open phase.
    pub half_open_successes: u32,
    /// When it last saw a failure.
    pub last_failure: Option<Instant>,
    /// When its phase last changed.
    pub last_change: Option<Instant>,
    /// Changes of phase, ever.
    pub transitions: u64,
    /// Calls refused, ever.
    pub refused: u64,
}

const fn no(reason: Reason) -> Refusal {
    Refusal::new(Pattern::CircuitBreaker, reason)
}

/// A permit names its place in one byte, and 0 means none.
const PROBES_MAX: u32 = 255;
/// A probe of a service that answers within ten seconds must not expire because `open_for` is short.
const PROBE_LIFE_MIN: Duration = Duration::from_secs(10);
/// Nobody can say when a probe ends; a second is short beside the open period a failed one brings.
const PROBE_RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
