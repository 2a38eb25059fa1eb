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

use alloc::vec::Vec;
use core::time::Duration;

use crate::{
    CircuitBreaker, CircuitBreakerConfig, CircuitBreakerSnapshot, Draw, End, Instant, Invalid,
    Outcome, Pattern, Permit, Reason, Refusal, Transition, gate::Gate, time::nanos,
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

#[derive(Clone, Debug)]
struct Endpoint {
    breaker: Option<CircuitBreaker>,
    running: u32,
    latency: u64,
    seen: Instant,
    /// When it last answered well.
    answered: Instant,
    /// Whether the newest attempt there has not been heard of.
    asking: bool,
    attempts: u64,
    /// Picks it may yet have before all others while half-open.
    preferred: u32,
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

impl Endpoint {
    /// Half-open, and not all that came back said nothing: an endpoint that answers "later" for ever must not
    /// draw all traffic.
    fn wants_probes(&self) -> bool {
        self.preferred > 0 && self.breaker.as_ref().is_some_and(CircuitBreaker::is_half_open)
    }

    fn ready_by(&self, at: Instant, now: Instant) -> Result<(), Refusal> {
        self.breaker.ready_by(at, now)
    }

    fn wake_at(&self) -> Instant {
        self.breaker.as_ref().and_then(CircuitBreaker::wake_at).unwrap_or(Instant::NEVER)
    }

    fn learn(&mut self, end: End, now: Instant) {
        self.asking = false;
        let latency = self.latency_at(now);
        let sample = match end.outcome {
            Outcome::Success => nanos(end.took()),
            Outcome::Failure => nanos(end.took().max(FAILURE_COSTS)),
            // An attempt that was cut short says only that it would have taken longer.
            Outcome::Ignored => nanos(end.took()).max(latency),
        };
        self.latency =
            if sample >= latency { sample } else { latency - (latency - sample) / FASTER_BY };
        self.seen = now;
    }

    fn latency_at(&self, now: Instant) -> u64 {
        let halvings = now.since(self.seen).as_secs() / HALF_LIFE.as_secs();
        self.latency.checked_shr(halvings.min(64) as u32).unwrap_or(0)
    }

    fn load(&self, now: Instant) -> u64 {
        let latency = self.latency_at(now);
        // Nothing known, and one is already on its way to find out: the others first.
        if latency < UNKNOWN_BELOW && self.asking {
            return nanos(FAILURE_COSTS).saturating_add(u64::from(self.running));
        }
        latency.saturating_mul(u64::from(self.running) + 1)
    }
}

/// What one endpoint of a [`Picker`] shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointSnapshot {
    /// Attempts running there.
    pub running: u32,
    /// Its latency as the picker sees it, failures counted as five seconds.
    pub latency: Duration,
    /// Attempts sent there, ever.
    pub attempts: u64,
    /// Its breaker.
    pub breaker: Option<CircuitBreakerSnapshot>,
}

/// linkerd2-proxy's penalty for a failure.
const FAILURE_COSTS: Duration = Duration::from_secs(5);
/// A failure's five seconds fade below a millisecond in about as long as the gateway's breaker stays open twice.
const HALF_LIFE: Duration = Duration::from_secs(1);
/// A faster answer moves the average by an eighth, TCP's weight for round trips (RFC 6298).
const FASTER_BY: u64 = 8;
/// Below ten microseconds no network answers: the average has faded.
const UNKNOWN_BELOW: u64 = 10_000;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::{Draws, Phase, Ratio};

    const MS: Duration = Duration::from_millis(1);

    fn picker(endpoints: usize) -> Picker {
        let config =
            CircuitBreakerConfig { open_for: 5_000 * MS, ..CircuitBreakerConfig::default() };
        Picker::new(endpoints, Some(&config)).unwrap()
    }

    /// Sends `calls` one after the other, 1 ms apart, each taking `took(endpoint)`; returns how many went where.
    fn send(picker: &mut Picker, calls: u64, end: impl Fn(u16) -> (Outcome, Duration)) -> Vec<u64> {
        let mut seen = alloc::vec![0; picker.endpoints.len()];
        let mut running: Vec<(Instant, u16, Permit, End)> = Vec::new();
        for n in 0..calls {
            let now = Instant::ORIGIN + MS * n as u32;
            picker.advance(now, |_, _| {});
            running.sort_by_key(|(at, ..)| core::cmp::Reverse(*at));
            while running.last().is_some_and(|(at, ..)| *at <= now) {
                let (at, pick, permit, end) = running.pop().unwrap();
                picker.report(pick, permit, end, at);
                picker.leave(pick);
            }
            if let Ok((pick, permit)) = picker.admit(&[], now, || Draws::nth(5, n)) {
                let (outcome, took) = end(pick);
                seen[usize::from(pick)] += 1;
                running.push((now + took, pick, permit, End::new(outcome, took)));
            }
        }
        seen
    }

    #[test]
    fn equal_endpoints_get_equal_shares() {
        let seen = send(&mut picker(4), 8_000, |_| (Outcome::Success, 5 * MS));
        assert!(seen.iter().all(|n| (1_700..2_300).contains(n)), "{seen:?}");
    }

    #[test]
    fn a_ten_times_slower_endpoint_gets_less_than_a_fifth_of_its_share() {
        let seen = send(&mut picker(4), 8_000, |n| {
            (Outcome::Success, if n == 2 { 50 * MS } else { 5 * MS })
        });
        assert!(seen[2] < 2_000 / 5, "{seen:?}");
        assert!(seen[2] > 0, "it is still looked at: {seen:?}");
    }

    #[test]
    fn an_endpoint_that_fails_fast_attracts_nothing() {
        let without = Picker::new(3, None).unwrap();
        let seen = send(&mut without.clone(), 3_000, |n| {
            if n == 0 { (Outcome::Failure, MS / 10) } else { (Outcome::Success, 5 * MS) }
        });
        assert!(seen[0] < 3_000 / 20, "{seen:?}");
    }

    #[test]
    fn an_endpoint_not_tried_goes_first_and_an_open_one_is_not_offered() {
        let mut picker = picker(3);
        for _ in 0..5 {
            let (pick, permit) =
                picker.admit(&[Some(1), Some(2)], Instant::ORIGIN, || Draw::new(7)).unwrap();
            assert_eq!(pick, 0);
            picker.report(pick, permit, End::new(Outcome::Failure, MS), Instant::ORIGIN);
            picker.leave(pick);
        }
        assert_eq!(
            picker.snapshot(Instant::ORIGIN).next().unwrap().breaker.unwrap().phase,
            Phase::Open
        );
        for n in 0..100 {
            let (pick, _) = picker.admit(&[Some(1)], Instant::ORIGIN, || Draws::nth(1, n)).unwrap();
            assert_eq!(pick, 2);
            let (pick, _) =
                picker.admit(&[Some(1), Some(2)], Instant::ORIGIN, || Draws::nth(1, n)).unwrap();
            assert_ne!(pick, 0, "all but the open one were tried: one of them again");
        }
        assert!(picker.has_fresh(&[Some(1)], Instant::ORIGIN));
        assert!(!picker.has_fresh(&[Some(1), Some(2)], Instant::ORIGIN));
    }

    #[test]
    fn when_nobody_admits_the_soonest_is_named_and_probes_go_first_after_it() {
        let mut picker = picker(2);
        for wait in [0u32, 1] {
            let now = Instant::ORIGIN + 1_000 * MS * wait;
            for _ in 0..5 {
                let (pick, permit) =
                    picker.admit(&[Some(1 - wait as u16)], now, || Draw::new(0)).unwrap();
                picker.report(pick, permit, End::new(Outcome::Failure, MS), now);
                picker.leave(pick);
            }
        }
        let now = Instant::ORIGIN + 2_000 * MS;
        let refusal = picker.admit(&[], now, || Draw::new(0)).unwrap_err();
        assert_eq!((refusal.by, refusal.retry_after), (Pattern::Pick, Some(3_000 * MS)));
        let refused = picker.snapshot(now).map(|endpoint| endpoint.breaker.unwrap().refused);
        assert_eq!(refused.collect::<Vec<_>>(), [1, 1]);
        assert_eq!(picker.ready_by(now + 3_000 * MS, now), Ok(()));
        assert!(picker.ready_by(now + 2_999 * MS, now).is_err());
        assert_eq!(picker.wake_at(), Some(Instant::ORIGIN + 5_000 * MS));

        let now = Instant::ORIGIN + 5_000 * MS;
        let mut changed = Vec::new();
        picker.advance(now, |n, transition| changed.push((n, transition.to)));
        assert_eq!(changed, [(0, Phase::HalfOpen)]);
        let probes: Vec<_> =
            (0..3).map(|_| picker.admit(&[], now, || Draw::new(1)).unwrap()).collect();
        assert!(probes.iter().all(|(pick, _)| *pick == 0));
        assert_eq!(picker.admit(&[], now, || Draw::new(1)).unwrap_err().reason, Reason::ProbesOut);
    }

    #[test]
    fn a_half_open_endpoint_that_says_later_does_not_draw_all_traffic() {
        let mut picker = picker(3);
        for _ in 0..5 {
            let (pick, permit) =
                picker.admit(&[Some(1), Some(2)], Instant::ORIGIN, || Draw::new(7)).unwrap();
            picker.report(pick, permit, End::new(Outcome::Failure, MS), Instant::ORIGIN);
            picker.leave(pick);
        }
        let mut seen = [0; 3];
        for n in 0..2_000u32 {
            let now = Instant::ORIGIN + 5_000 * MS + 5 * MS * n;
            picker.advance(now, |_, _| {});
            let (pick, permit) = picker.admit(&[], now, || Draws::nth(5, u64::from(n))).unwrap();
            let outcome = if pick == 0 { Outcome::Ignored } else { Outcome::Success };
            picker.report(pick, permit, End::new(outcome, 3 * MS), now);
            picker.leave(pick);
            seen[usize::from(pick)] += 1;
        }
        assert!(seen[0] < 1_200 && seen[1] > 200 && seen[2] > 200, "{seen:?}");
    }

    /// Sends an attempt to this one of two endpoints.
    fn enter(picker: &mut Picker, want: u16, now: Instant) -> Permit {
        let (pick, permit) = picker.admit(&[Some(1 - want)], now, || Draw::new(0)).unwrap();
        assert_eq!(pick, want);
        permit
    }

    fn fails(picker: &mut Picker, pick: u16, now: Instant) {
        let permit = enter(picker, pick, now);
        picker.report(pick, permit, End::new(Outcome::Failure, MS), now);
        picker.leave(pick);
    }

    #[test]
    fn there_are_one_to_65_535_endpoints() {
        let made = |endpoints| Picker::new(endpoints, None).is_ok();
        assert_eq!([0, 1, 65_535, 65_536].map(made), [false, true, true, false]);
    }

    #[test]
    fn it_tells_of_the_endpoint_it_is_asked_about() {
        let mut picker = picker(2);
        let at = |ms: u32| Instant::ORIGIN + MS * ms;
        let permit = enter(&mut picker, 0, at(1));
        picker.report(0, permit, End::new(Outcome::Success, MS), at(9));
        (0..5).for_each(|_| fails(&mut picker, 1, at(9)));
        assert_eq!([0, 1, 7].map(|pick| picker.is_calm(pick)), [true, false, true]);
        let since =
            |ms| [0, 1, 7].map(|pick| picker.has_answered_since(pick, at(ms)) == Some(true));
        assert_eq!((since(8), since(9)), ([true, false, false], [false; 3]));
        assert_eq!([0, 1, 7].map(<Picker as Gate>::endpoint), [0, 1, 7]);
        picker.leave(0);
        let running: Vec<_> = picker.snapshot(at(9)).map(|endpoint| endpoint.running).collect();
        assert_eq!(running, [0, 0]);
    }

    #[test]
    fn a_slower_answer_counts_at_once_a_faster_one_by_an_eighth_and_silence_halves() {
        let mut picker = Picker::new(2, None).unwrap();
        let now = Instant::ORIGIN;
        let mut told = |outcome, took: u32, seen: u32| {
            let permit = enter(&mut picker, 0, now);
            picker.report(0, permit, End::new(outcome, MS * took), now);
            picker.leave(0);
            picker.snapshot(now + MS * seen).next().unwrap().latency
        };
        assert_eq!(told(Outcome::Success, 80, 0), 80 * MS);
        assert_eq!(told(Outcome::Success, 160, 0), 160 * MS);
        assert_eq!(told(Outcome::Success, 80, 0), 150 * MS);
        assert_eq!(told(Outcome::Ignored, 10, 0), 150 * MS, "it would have taken longer");
        assert_eq!(told(Outcome::Ignored, 240, 999), 240 * MS);
        assert_eq!(told(Outcome::Ignored, 240, 1_000), 120 * MS);
        assert_eq!(told(Outcome::Ignored, 240, 3_999), 30 * MS);
        assert_eq!(told(Outcome::Failure, 1, 0), FAILURE_COSTS);
        assert_eq!(told(Outcome::Failure, 6_000, 100_000), Duration::ZERO);
    }

    #[test]
    fn instead_of_one_only_another_will_do() {
        let mut picker = picker(2);
        let now = Instant::ORIGIN;
        let permit = enter(&mut picker, 0, now);
        let instead = |picker: &Picker, pick| picker.ready_instead(pick, &permit, now, now).is_ok();
        assert!(instead(&picker, 0) && instead(&picker, 1));
        (0..5).for_each(|_| fails(&mut picker, 1, now));
        assert!(!instead(&picker, 0), "the other is open");
        assert!(instead(&picker, 1), "and this one is not");
    }

    #[test]
    fn a_half_open_endpoint_gets_its_probes_first_and_one_that_was_withdrawn_again() {
        let mut picker = picker(2);
        (0..5).for_each(|_| fails(&mut picker, 1, Instant::ORIGIN));
        let now = picker.wake_at().unwrap();
        picker.advance(now, |_, _| {});
        let mut probes = Vec::new();
        let mut pick = |picker: &mut Picker, n| {
            let (pick, permit) = picker.admit(&[], now, || Draws::nth(5, n)).unwrap();
            (pick == 1).then(|| probes.push(permit));
            pick
        };
        assert_eq!([0, 1, 2].map(|n| pick(&mut picker, n)), [1, 1, 1], "as many as it may have");
        assert!((0..20).all(|n| pick(&mut picker, n) == 0), "and no more");
        picker.withdraw(1, probes.pop().unwrap(), now);
        assert_eq!(picker.admit(&[], now, || Draw::new(0)).unwrap().0, 1);
        let seen = picker.snapshot(now).nth(1).unwrap();
        assert_eq!((seen.running, seen.attempts), (3, 8), "what was withdrawn was never sent");
    }

    #[test]
    fn a_refusal_tells_what_opened_the_endpoint_that_is_back_first() {
        use crate::Cause::{Failures, ProbeFailed};
        let mut picker = picker(2);
        let at = |ms: u32| Instant::ORIGIN + MS * ms;
        (0..5).for_each(|_| fails(&mut picker, 0, at(0)));
        (0..5).for_each(|_| fails(&mut picker, 1, at(2_000)));
        for (pick, now, wait, cause) in
            [(0, 5_000, 2_000, Failures(5)), (1, 7_000, 3_000, ProbeFailed)]
        {
            picker.advance(at(now), |_, _| {});
            fails(&mut picker, pick, at(now));
            let refusal = picker.admit(&[], at(now), || Draw::new(0)).unwrap_err();
            assert_eq!((refusal.retry_after, refusal.cause), (Some(MS * wait), Some(cause)));
        }
    }

    #[test]
    fn what_is_slow_is_said_by_the_breaker_of_each_endpoint() {
        let (slow_rate, slow_after) = (Some(Ratio::percent(50)), Some(300 * MS));
        let config =
            CircuitBreakerConfig { slow_rate, slow_after, ..CircuitBreakerConfig::default() };
        let slow_after = |config| Picker::new(2, config).unwrap().slow_after(1);
        assert_eq!([Some(&config), None].map(slow_after), [config.slow_after, None]);
    }

    #[test]
    fn a_probe_that_flows_long_enough_is_judged_by_time_at_its_endpoint() {
        let config = CircuitBreakerConfig { successes: 2, ..CircuitBreakerConfig::default() };
        let mut picker = Picker::new(2, Some(&config)).unwrap();
        (0..5).for_each(|_| fails(&mut picker, 1, Instant::ORIGIN));
        let now = picker.wake_at().unwrap();
        picker.advance(now, |_, _| {});
        let mut told = Vec::new();
        for until in [now + 1_000 * MS, now + 2_000 * MS] {
            let probe = enter(&mut picker, 1, now);
            picker.flows(1, &probe, until);
            assert!(picker.still_flows(1, &probe, until) && told.is_empty());
            picker.advance(until, |pick, transition| told.push((pick, transition.to)));
            let judged = !picker.still_flows(1, &probe, until);
            assert!(
                judged || !told.is_empty(),
                "time has judged it, or it is of a phase that is over"
            );
        }
        assert_eq!(told, [(1, Phase::Closed)], "two successes");
    }

    #[test]
    fn endpoints_that_fail_together_do_not_probe_together() {
        let config = CircuitBreakerConfig {
            failures: 1,
            open_jitter: Ratio::percent(20),
            ..CircuitBreakerConfig::default()
        };
        let periods = |seed| {
            let mut picker = Picker::seeded(3, Some(&config), seed).unwrap();
            for endpoint in &mut picker.endpoints {
                let breaker = endpoint.breaker.as_mut().unwrap();
                let permit = breaker.admit(Instant::ORIGIN).unwrap();
                breaker.report(permit, End::new(Outcome::Failure, MS), Instant::ORIGIN);
            }
            let seen = picker.snapshot(Instant::ORIGIN);
            seen.map(|seen| seen.breaker.unwrap().open_period.unwrap()).collect::<Vec<_>>()
        };
        let (one, other) = (periods(1), periods(99));
        assert!(one[0] != one[1] && one[1] != one[2] && one[0] != one[2], "{one:?}");
        assert_ne!(one, other);
        assert_eq!(one, periods(1));
    }

    proptest! {
        #[test]
        fn what_entered_leaves_and_nobody_open_is_picked(
            endpoints in 1usize..5, steps in prop::collection::vec((0u8..4, any::<u64>(), 0u64..2_000), 0..300),
        ) {
            let mut picker = picker(endpoints);
            let (mut now, mut held) = (Instant::ORIGIN, Vec::new());
            for (kind, bits, wait) in steps {
                now = now + MS * wait as u32;
                picker.advance(now, |_, _| {});
                if kind == 0 || held.is_empty() {
                    if let Ok((pick, permit)) = picker.admit(&[], now, || Draw::new(bits)) {
                        let phase = picker.endpoints[usize::from(pick)].breaker.as_ref().unwrap().phase(now);
                        prop_assert!(phase != Phase::Open);
                        held.push((pick, permit));
                    }
                } else {
                    let (pick, permit) = held.remove(bits as usize % held.len());
                    let outcome = [Outcome::Success, Outcome::Failure, Outcome::Ignored][usize::from(kind) - 1];
                    picker.report(pick, permit, End::new(outcome, MS), now);
                    picker.leave(pick);
                }
                let running: u32 = picker.endpoints.iter().map(|endpoint| endpoint.running).sum();
                prop_assert_eq!(running as usize, held.len());
            }
        }
    }
}
