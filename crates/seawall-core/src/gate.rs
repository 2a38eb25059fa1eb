//! The gate of a call: the machine that says whether, and to whom, an attempt may go.
//!
//! ```text
//!   a policy     one breaker or none        Pick = ()      Option<CircuitBreaker>
//!   a gateway    a breaker per endpoint     Pick = index   Picker
//! ```
//!
//! [`Call`](crate::Call) drives either through this trait, so that order, retries and refunds are written once.

use core::time::Duration;

use crate::{CircuitBreaker, Draw, End, Instant, Permit, Refusal, Transition};

/// Says whether and to whom an attempt may go.
pub trait Gate {
    /// To whom: `()` where there is only one.
    type Pick: Copy + PartialEq;

    /// Applies what elapsed time changes, telling every transition with the endpoint it belongs to.
    fn advance(&mut self, now: Instant, told: impl FnMut(u16, Transition));

    /// Leave to send an attempt, if possible to one not `tried` before in this call.
    ///
    /// # Errors
    /// The refusal, with the soonest time at which anybody may admit.
    fn admit(
        &mut self,
        tried: &[Option<Self::Pick>],
        now: Instant,
        draw: impl FnOnce() -> Draw,
    ) -> Result<(Self::Pick, Permit), Refusal>;

    /// Whether anybody is expected to admit at `at`.
    ///
    /// # Errors
    /// The refusal that would be given.
    fn ready_by(&self, at: Instant, now: Instant) -> Result<(), Refusal>;

    /// As [`ready_by`](Self::ready_by), for an attempt that would be made instead of the one that holds this permit
    /// and would be cut for it. Where there are several to choose from, only another will do: to ask a slow one twice
    /// makes it slower.
    ///
    /// # Errors
    /// The refusal that would be given.
    fn ready_instead(
        &self,
        pick: Self::Pick,
        permit: &Permit,
        at: Instant,
        now: Instant,
    ) -> Result<(), Refusal>;

    /// Whether one that is not `tried` would admit now.
    fn has_fresh(&self, tried: &[Option<Self::Pick>], now: Instant) -> bool;

    /// How an admitted attempt ended.
    fn report(
        &mut self,
        pick: Self::Pick,
        permit: Permit,
        end: End,
        now: Instant,
    ) -> Option<Transition>;

    /// An admitted attempt's streamed answer began well: it has succeeded if nothing else is reported before
    /// `until`.
    fn flows(&mut self, pick: Self::Pick, permit: &Permit, until: Instant);

    /// Whether what [`flows`](Self::flows) said of this permit still stands: time has not judged it.
    fn still_flows(&self, pick: Self::Pick, permit: &Permit, until: Instant) -> bool;

    /// An admitted attempt does not start after all: as if it had not been admitted.
    fn withdraw(&mut self, pick: Self::Pick, permit: Permit, now: Instant);

    /// An admitted attempt holds nothing there any longer; once per admission, after its report.
    fn leave(&mut self, pick: Self::Pick);

    /// The endpoint's number in events.
    fn endpoint(pick: Self::Pick) -> u16;

    /// Whether a success was reported from there since `at`: whatever is slow there, it does answer. `None` if it
    /// remembers none.
    fn has_answered_since(&self, pick: Self::Pick, at: Instant) -> Option<bool>;

    /// How long an attempt runs there before it is slow, if that was said.
    fn slow_after(&self, pick: Self::Pick) -> Option<Duration>;

    /// Whether all is well there, so that latency seen there is worth learning downwards from.
    fn is_calm(&self, pick: Self::Pick) -> bool;
}

/// One breaker, or none: everything is admitted.
impl Gate for Option<CircuitBreaker> {
    type Pick = ();

    #[inline]
    fn advance(&mut self, now: Instant, mut told: impl FnMut(u16, Transition)) {
        if let Some(breaker) = self {
            while let Some(transition) = breaker.advance(now) {
                told(0, transition);
            }
        }
    }

    #[inline]
    fn admit(
        &mut self,
        _tried: &[Option<()>],
        now: Instant,
        _draw: impl FnOnce() -> Draw,
    ) -> Result<((), Permit), Refusal> {
        let Some(breaker) = self else { return Ok(((), Permit::new(0, 0))) };
        breaker.admit(now).map(|permit| ((), permit))
    }

    #[inline]
    fn ready_by(&self, at: Instant, now: Instant) -> Result<(), Refusal> {
        self.as_ref().map_or(Ok(()), |breaker| breaker.ready_by(at, now))
    }

    fn ready_instead(
        &self,
        _pick: (),
        permit: &Permit,
        at: Instant,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.as_ref().map_or(Ok(()), |breaker| breaker.ready_had_failed(permit, at, now))
    }

    fn has_fresh(&self, _tried: &[Option<()>], _now: Instant) -> bool {
        false
    }

    #[inline]
    fn report(&mut self, _pick: (), permit: Permit, end: End, now: Instant) -> Option<Transition> {
        self.as_mut()?.report(permit, end, now)
    }

    fn flows(&mut self, _pick: (), permit: &Permit, until: Instant) {
        if let Some(breaker) = self {
            breaker.flows(permit, until);
        }
    }

    fn still_flows(&self, _pick: (), permit: &Permit, until: Instant) -> bool {
        self.as_ref().is_none_or(|breaker| breaker.still_flows(permit, until))
    }

    fn withdraw(&mut self, _pick: (), permit: Permit, _now: Instant) {
        if let Some(breaker) = self {
            breaker.withdraw(&permit);
        }
    }

    #[inline]
    fn leave(&mut self, _pick: ()) {}

    #[inline]
    fn endpoint(_pick: ()) -> u16 {
        0
    }

    fn has_answered_since(&self, _pick: (), at: Instant) -> Option<bool> {
        self.as_ref().map(|breaker| breaker.has_answered_since(at))
    }

    fn slow_after(&self, _pick: ()) -> Option<Duration> {
        self.as_ref().and_then(CircuitBreaker::slow_after)
    }

    #[inline]
    fn is_calm(&self, _pick: ()) -> bool {
        self.as_ref().is_none_or(CircuitBreaker::is_closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CircuitBreakerConfig, Outcome};

    #[test]
    fn a_withdrawn_attempt_gives_its_place_back_and_counts_nowhere() {
        let config = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
        let mut gate = Some(CircuitBreaker::new(&config).unwrap());
        let failure = End::new(Outcome::Failure, Duration::ZERO);
        let ((), permit) = gate.admit(&[], Instant::ORIGIN, || Draw::new(0)).unwrap();
        gate.report((), permit, failure, Instant::ORIGIN);
        let now = Instant::ORIGIN + config.open_for;
        gate.advance(now, |_, _| {});
        for _ in 0..10 {
            let ((), probe) = gate.admit(&[], now, || Draw::new(0)).unwrap();
            gate.withdraw((), probe, now);
        }
        assert_eq!(gate.unwrap().snapshot(now).ended.ignored, 0);
    }

    #[test]
    fn one_breaker_is_one_endpoint_and_calm_while_it_is_closed() {
        let mut gate = Some(CircuitBreaker::new(&CircuitBreakerConfig::default()).unwrap());
        assert!(gate.is_calm(()) && None::<CircuitBreaker>.is_calm(()));
        let said = crate::Override::open("test");
        gate.as_mut().unwrap().force(said, Instant::ORIGIN);
        assert!(!gate.is_calm(()));
        assert_eq!(<Option<CircuitBreaker> as Gate>::endpoint(()), 0);
        assert!(!gate.has_fresh(&[], Instant::ORIGIN), "there is nowhere else to go");
    }

    #[test]
    fn one_breaker_is_asked_and_told_as_if_by_itself() {
        let config = CircuitBreakerConfig { failures: 2, ..CircuitBreakerConfig::default() };
        let mut gate = Some(CircuitBreaker::new(&config).unwrap());
        let (at, ms) = (|n| Instant::ORIGIN + Duration::from_millis(n), Duration::from_millis(1));
        let end = |outcome| End::new(outcome, ms);
        let admit = |gate: &mut Option<CircuitBreaker>, now| gate.admit(&[], now, || Draw::new(0));
        assert_eq!(None::<CircuitBreaker>.has_answered_since((), at(0)), None);
        assert_eq!(gate.has_answered_since((), at(0)), Some(false));
        let ((), permit) = admit(&mut gate, at(0)).unwrap();
        assert_eq!(gate.report((), permit, end(Outcome::Success), at(5)), None);
        let since = |ms| gate.has_answered_since((), at(ms));
        assert_eq!([4, 5].map(since), [Some(true), Some(false)]);

        let ((), first) = admit(&mut gate, at(6)).unwrap();
        let ((), second) = admit(&mut gate, at(6)).unwrap();
        assert!(gate.ready_instead((), &first, at(9), at(6)).is_ok(), "one failure is not enough");
        assert_eq!(gate.report((), first, end(Outcome::Failure), at(6)), None);
        assert!(gate.ready_instead((), &second, at(9), at(6)).is_err(), "the second would open it");
        assert!(gate.ready_by(at(9), at(6)).is_ok());
        let opened = gate.report((), second, end(Outcome::Failure), at(6));
        assert!(opened.is_some_and(|opened| opened.to == crate::Phase::Open));
        assert!(gate.ready_by(at(9), at(6)).is_err());

        let now = at(6) + config.open_for;
        gate.advance(now, |_, _| {});
        let ((), probe) = admit(&mut gate, now).unwrap();
        let until = now + ms;
        gate.flows((), &probe, until);
        assert!(gate.still_flows((), &probe, until));
        gate.advance(until, |_, _| {});
        assert!(!gate.still_flows((), &probe, until), "time has judged it");
    }

    #[test]
    fn it_tells_what_its_breaker_calls_slow() {
        let slow_after = Some(Duration::from_millis(300));
        let slow_rate = Some(crate::Ratio::percent(50));
        let slow =
            CircuitBreakerConfig { slow_rate, slow_after, ..CircuitBreakerConfig::default() };
        for (config, told) in [(slow, slow_after), (CircuitBreakerConfig::default(), None)] {
            assert_eq!(CircuitBreaker::new(&config).ok().slow_after(()), told);
        }
        assert_eq!(None::<CircuitBreaker>.slow_after(()), None);
    }
}
