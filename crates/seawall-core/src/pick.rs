//! The picker: which endpoint of an upstream gets the next attempt.
//!
//! ```text
//!   endpoints ▸ those whose breaker would admit ▸ those not tried in this call, if any
//!             ▸ a half-open one first, while it has places for probes
//!             ▸ of two drawn at random, the less loaded        load = latency x (running + 1)
//! ```
//!
//! An open endpoint costs a call nothing: it is not offered. Two random choices (Mitzenmacher 2001) spread load
//! almost as well as always taking the least loaded, without the herd that rushes to whoever looked idle last.
//!
//! Latency is a peak average: a slower answer is believed at once, a faster one by an eighth, and it halves
//! every second without traffic, so an endpoint that was slow is tried again. A failure counts as five seconds
//! however fast it came, or the endpoint that fails fastest would look the least loaded.
//!
//! Choosing scans the endpoints, which up to some hundreds is cheaper than any index kept beside them.

mod endpoint;

use alloc::vec::Vec;
use core::time::Duration;

use self::endpoint::Endpoint;
pub use self::endpoint::EndpointSnapshot;

use crate::{
    CircuitBreaker, CircuitBreakerConfig, Draw, End, Instant, Invalid, Outcome, Pattern, Permit,
    Reason, Refusal, Transition, gate::Gate,
};

/// The endpoints of one upstream.
#[derive(Clone, Debug)]
pub struct Picker {
    endpoints: Vec<Endpoint>,
    /// Probes a half-open endpoint may have before all others, until one succeeds.
    probes: u32,
    /// The earliest moment at which time alone changes any endpoint's breaker.
    wake_at: Instant,
}

impl Picker {
    /// As [`seeded`](Self::seeded), with seed 0.
    ///
    /// # Errors
    /// As [`seeded`](Self::seeded).
    pub fn new(endpoints: usize, breaker: Option<&CircuitBreakerConfig>) -> Result<Self, Invalid> {
        Self::seeded(endpoints, breaker, 0)
    }

    /// `endpoints` of them, each with a breaker of its own if one is configured. No two of these draw alike from
    /// `seed`.
    ///
    /// # Errors
    /// The first setting of the breaker that makes no sense; more than 65 535 endpoints.
    pub fn seeded(
        endpoints: usize,
        breaker: Option<&CircuitBreakerConfig>,
        seed: u64,
    ) -> Result<Self, Invalid> {
        if endpoints == 0 || endpoints > usize::from(u16::MAX) {
            return Err(Invalid::new("endpoints", endpoints, "1 to 65535 endpoints"));
        }
        let probes = breaker.map_or(0, |config| config.half_open_calls);
        let breaker = breaker.map(CircuitBreaker::new).transpose()?;
        let endpoint = |n| Endpoint {
            breaker: breaker.clone().map(|breaker| breaker.reseeded(seed.wrapping_add(n))),
            running: 0,
            latency: 0,
            seen: Instant::ORIGIN,
            answered: Instant::ORIGIN,
            asking: false,
            attempts: 0,
            preferred: 0,
        };
        let endpoints = (0..endpoints as u64).map(endpoint).collect();
        Ok(Self { endpoints, probes, wake_at: Instant::NEVER })
    }

    /// When time alone may next change the answer.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        (self.wake_at != Instant::NEVER).then_some(self.wake_at)
    }

    /// The figures of every endpoint, in order.
    pub fn snapshot(&self, now: Instant) -> impl Iterator<Item = EndpointSnapshot> {
        self.endpoints.iter().map(move |endpoint| EndpointSnapshot {
            running: endpoint.running,
            latency: Duration::from_nanos(endpoint.latency_at(now)),
            attempts: endpoint.attempts,
            breaker: endpoint.breaker.as_ref().map(|breaker| breaker.snapshot(now)),
        })
    }

    /// The endpoint for the next attempt, among those that pass `offered`.
    fn choose(&self, now: Instant, draw: Draw, offered: impl Fn(usize) -> bool) -> Option<usize> {
        let candidates = || (0..self.endpoints.len()).filter(|n| offered(*n));
        if let Some(half_open) = candidates().find(|n| self.endpoints[*n].wants_probes()) {
            return Some(half_open);
        }
        let count = candidates().count() as u64;
        let first = draw.below(count);
        let mut second = draw.next().below(count.saturating_sub(1));
        second += u64::from(second >= first);
        let first = candidates().nth(first as usize)?;
        let Some(second) = candidates().nth(second as usize) else { return Some(first) };
        let lighter = self.endpoints[second].load(now) < self.endpoints[first].load(now);
        Some(if lighter { second } else { first })
    }

    /// Nobody admits: each breaker has refused this call.
    #[cold]
    fn refuse(&mut self, now: Instant) -> Refusal {
        for breaker in self.endpoints.iter_mut().filter_map(|endpoint| endpoint.breaker.as_mut()) {
            // It refuses, as it has just said, and counts that.
            let _ = breaker.admit(now);
        }
        self.refusal(now, now)
    }

    fn refusal(&self, at: Instant, now: Instant) -> Refusal {
        let refusals =
            self.endpoints.iter().filter_map(|endpoint| endpoint.ready_by(at, now).err());
        let soonest = refusals.min_by_key(|refusal| refusal.retry_after.unwrap_or(Duration::MAX));
        let soonest = soonest.unwrap_or(Refusal::new(Pattern::Pick, Reason::Open));
        Refusal { by: Pattern::Pick, ..soonest }
    }
}

impl Gate for Picker {
    type Pick = u16;

    #[inline]
    fn advance(&mut self, now: Instant, mut told: impl FnMut(u16, Transition)) {
        if now < self.wake_at {
            return;
        }
        self.wake_at = Instant::NEVER;
        for (n, endpoint) in self.endpoints.iter_mut().enumerate() {
            // A period is over, or time has judged a probe: either way it may have probes again.
            if endpoint.wake_at() <= now {
                endpoint.preferred = self.probes;
            }
            endpoint.breaker.advance(now, |_, transition| told(n as u16, transition));
            self.wake_at = self.wake_at.min(endpoint.wake_at());
        }
    }

    fn admit(
        &mut self,
        tried: &[Option<u16>],
        now: Instant,
        draw: impl FnOnce() -> Draw,
    ) -> Result<(u16, Permit), Refusal> {
        let draw = draw();
        let admits = |n: usize| self.endpoints[n].ready_by(now, now).is_ok();
        let fresh = |n: usize| !tried.contains(&Some(n as u16)) && admits(n);
        let chosen = self.choose(now, draw, fresh).or_else(|| self.choose(now, draw, admits));
        let Some(n) = chosen else { return Err(self.refuse(now)) };
        let endpoint = &mut self.endpoints[n];
        let ((), permit) = endpoint.breaker.admit(&[], now, || draw)?;
        endpoint.running += 1;
        endpoint.attempts += 1;
        endpoint.asking = true;
        endpoint.preferred = endpoint.preferred.saturating_sub(1);
        self.wake_at = self.wake_at.min(endpoint.wake_at());
        Ok((n as u16, permit))
    }

    fn ready_by(&self, at: Instant, now: Instant) -> Result<(), Refusal> {
        let ready = self.endpoints.iter().any(|endpoint| endpoint.ready_by(at, now).is_ok());
        if ready { Ok(()) } else { Err(self.refusal(at, now)) }
    }

    fn ready_instead(
        &self,
        pick: u16,
        _permit: &Permit,
        at: Instant,
        now: Instant,
    ) -> Result<(), Refusal> {
        let mut others = (0..self.endpoints.len()).filter(|n| *n != usize::from(pick));
        let ready = others.any(|n| self.endpoints[n].ready_by(at, now).is_ok());
        if ready { Ok(()) } else { Err(self.refusal(at, now)) }
    }

    fn has_fresh(&self, tried: &[Option<u16>], now: Instant) -> bool {
        self.endpoints.iter().enumerate().any(|(n, endpoint)| {
            !tried.contains(&Some(n as u16)) && endpoint.ready_by(now, now).is_ok()
        })
    }

    fn report(&mut self, pick: u16, permit: Permit, end: End, now: Instant) -> Option<Transition> {
        let endpoint = self.endpoints.get_mut(usize::from(pick))?;
        endpoint.learn(end, now);
        if end.outcome == Outcome::Success {
            endpoint.preferred = self.probes;
            endpoint.answered = now;
        }
        let transition = endpoint.breaker.report((), permit, end, now);
        self.wake_at = self.wake_at.min(endpoint.wake_at());
        transition
    }

    fn flows(&mut self, pick: u16, permit: &Permit, until: Instant) {
        if let Some(endpoint) = self.endpoints.get_mut(usize::from(pick)) {
            endpoint.asking = false;
            endpoint.breaker.flows((), permit, until);
            self.wake_at = self.wake_at.min(endpoint.wake_at());
        }
    }

    fn still_flows(&self, pick: u16, permit: &Permit, until: Instant) -> bool {
        let endpoint = self.endpoints.get(usize::from(pick));
        endpoint.is_none_or(|endpoint| endpoint.breaker.still_flows((), permit, until))
    }

    fn withdraw(&mut self, pick: u16, permit: Permit, now: Instant) {
        if let Some(endpoint) = self.endpoints.get_mut(usize::from(pick)) {
            // Unlike a report it says nothing about latency: the average goes on fading.
            endpoint.breaker.withdraw((), permit, now);
            endpoint.attempts -= 1;
            endpoint.asking = false;
            endpoint.preferred = (endpoint.preferred + 1).min(self.probes);
        }
        self.leave(pick);
    }

    fn leave(&mut self, pick: u16) {
        if let Some(endpoint) = self.endpoints.get_mut(usize::from(pick)) {
            endpoint.running = endpoint.running.saturating_sub(1);
        }
    }

    #[inline]
    fn endpoint(pick: u16) -> u16 {
        pick
    }

    fn has_answered_since(&self, pick: u16, at: Instant) -> Option<bool> {
        Some(self.endpoints.get(usize::from(pick)).is_some_and(|endpoint| endpoint.answered > at))
    }

    fn slow_after(&self, pick: u16) -> Option<Duration> {
        self.endpoints.get(usize::from(pick))?.breaker.slow_after(())
    }

    fn is_calm(&self, pick: u16) -> bool {
        self.endpoints.get(usize::from(pick)).is_none_or(|endpoint| endpoint.breaker.is_calm(()))
    }
}

#[cfg(test)]
mod tests;
