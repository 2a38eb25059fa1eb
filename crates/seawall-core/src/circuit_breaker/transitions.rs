//! Changes of phase: each begins a new epoch, and what time alone will change next.
//!
//! ```text
//!   enter ▸ a new epoch: no places, no running calls; closed also forgets the row and the windows
//!         ▸ told, unless an override hides it
//! ```
//!
//! What opened it stays to be seen until it closes.

use core::mem;

use super::{CircuitBreaker, Place, rates::Rates};
use crate::{Cause, Draws, Instant, Phase, Transition};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Closed,
    Open {
        until: Instant,
        cause: Cause,
    },
    /// With the cause by which it opened.
    HalfOpen {
        successes: u32,
        cause: Cause,
    },
}

/// What time alone does next.
#[derive(Clone, Copy)]
pub(super) enum Due {
    OverrideOver,
    /// The cause by which it opened.
    PeriodOver(Cause),
    Probe(usize),
    Crossing(u8),
}

impl State {
    pub(super) const fn phase(self) -> Phase {
        match self {
            Self::Closed => Phase::Closed,
            Self::Open { .. } => Phase::Open,
            Self::HalfOpen { .. } => Phase::HalfOpen,
        }
    }
}

impl CircuitBreaker {
    /// The phase as it is stored.
    pub(super) fn shown(&self) -> Phase {
        self.overruled.as_ref().map_or(self.state.phase(), |overruled| overruled.said.phase())
    }

    #[cold]
    pub(super) fn enter(&mut self, state: State, cause: Cause, at: Instant) -> Option<Transition> {
        let from = self.shown();
        self.begin(state);
        self.changed(from, cause, at)
    }

    /// Opens it for a period that is fixed from here on.
    #[cold]
    pub(super) fn open(&mut self, cause: Cause, at: Instant) -> Option<Transition> {
        let (reopens, period) = self.next_period();
        self.reopens = reopens;
        self.enter(State::Open { until: at + period, cause }, cause, at)
    }

    /// How often it would have reopened, and for how long it would open, if it opened now.
    pub(super) fn next_period(&self) -> (u16, core::time::Duration) {
        let failed = matches!(self.state, State::HalfOpen { .. });
        let reopens = self.reopens.saturating_add(failed.into());
        (reopens, self.config.period(reopens, Draws::nth(self.seed.into(), self.epoch + 1)))
    }

    /// A new epoch in `state`.
    pub(super) fn begin(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
        self.probes.fill(Place::FREE);
        self.ended.successes += mem::take(&mut self.successes);
        if let Some(rates) = &mut self.rates {
            rates.running.clear();
        }
        if state == State::Closed {
            (self.failures, self.reopens) = (0, 0);
            self.empty_windows();
        }
        self.refresh();
    }

    pub(super) fn empty_windows(&mut self) {
        let has_rates = self.config.failure_rate.is_some() || self.config.slow_rate.is_some();
        self.rates = has_rates.then(|| Rates::new(&self.config, self.places).into());
    }

    /// After anything may have changed what is to be looked at.
    pub(super) fn refresh(&mut self) {
        self.plain = self.is_closed() && !self.rates.as_ref().is_some_and(|rates| rates.watch());
        self.due = self.next_due().map_or(Instant::NEVER, |(at, _)| at);
    }

    /// A change of the phase that is shown. What an override hides is nobody's concern.
    pub(super) fn changed(&mut self, from: Phase, cause: Cause, at: Instant) -> Option<Transition> {
        let to = self.shown();
        (from != to).then(|| {
            self.transitions += 1;
            self.last_change = at;
            Transition { from, to, cause, at }
        })
    }

    /// What time alone does next, and when.
    pub(super) fn next_due(&self) -> Option<(Instant, Due)> {
        let expiry = self.overruled.as_ref().map(|overruled| (overruled.until, Due::OverrideOver));
        let machine = match self.state {
            // An override that suspends it leaves it closed, and nobody enters.
            State::Closed => self.rates.as_ref().and_then(|rates| {
                rates.next_crossing(&self.config).map(|(at, place)| (at, Due::Crossing(place)))
            }),
            State::Open { until, cause } => Some((until, Due::PeriodOver(cause))),
            State::HalfOpen { .. } => {
                let probes = self.probes.iter().enumerate();
                probes.map(|(n, place)| (place.until, Due::Probe(n))).min_by_key(|(at, _)| *at)
            }
        };
        let soonest = expiry.into_iter().chain(machine).min_by_key(|(at, _)| *at);
        soonest.filter(|(at, _)| *at != Instant::NEVER)
    }
}
