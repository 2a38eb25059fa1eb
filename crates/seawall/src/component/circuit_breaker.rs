//! The circuit breaker by itself: around an operation, or as a permit that is held while the caller's own code runs.

use std::{fmt, thread};

use seawall_core::{Ask, CircuitBreakerConfig, CircuitBreakerSnapshot, Override, Phase, Verdict};

use super::{
    KEPT,
    by_hand::{Begun, begin, end},
    component,
};
use crate::{Events, Policy, PolicyMachines, Refused};

/// Stops calling what fails. Cheap to clone; clones are the same breaker.
///
/// ```
/// use seawall::{CircuitBreaker, CircuitBreakerConfig, core::Phase};
///
/// let config = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
/// let breaker = CircuitBreaker::new("database", config)?;
/// let answer = breaker.run_blocking(|| Err::<(), _>("connection lost"));
/// assert!(answer.is_err());
/// assert_eq!(breaker.phase(), Phase::Open);
/// let refused = breaker.permit().unwrap_err();
/// let told = "database: circuit_breaker open (1 failure), retry after 60.0s";
/// assert_eq!(refused.to_string(), told);
/// # Ok::<(), seawall::Invalids>(())
/// ```
#[derive(Clone, Debug)]
pub struct CircuitBreaker(pub(crate) Policy);

component!(CircuitBreaker, circuit_breaker: CircuitBreakerConfig);

impl CircuitBreaker {
    /// Leave to call by hand: from streams, drivers, other languages. Who holds it says how the call went; its latency
    /// runs from here.
    ///
    /// ```
    /// # use seawall::{CircuitBreaker, CircuitBreakerConfig};
    /// # fn send() -> bool { true }
    /// let breaker = CircuitBreaker::new("database", CircuitBreakerConfig::default())?;
    /// let permit = breaker.permit()?;
    /// if send() { permit.success() } else { permit.failure() }
    /// assert_eq!(breaker.snapshot().successes, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The refusal, with the time to ask again and what opened it.
    pub fn permit(&self) -> Result<Permit, Refused> {
        begin(&self.0, Ask::default()).map(Permit)
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.snapshot().phase
    }

    /// Overrides it until the time of that is over or [`release`](Self::release).
    pub fn force(&self, said: Override) {
        self.0.force(said);
    }

    /// Ends an override: closed, with nothing remembered.
    pub fn release(&self) {
        self.0.release();
    }

    /// Transitions from now on. Attempts that did not succeed too,
    /// if that is [asked for](Events::with_attempts).
    #[must_use]
    pub fn events(&self) -> Events {
        self.0.events()
    }

    /// Its figures.
    #[must_use]
    pub fn snapshot(&self) -> CircuitBreakerSnapshot {
        let now = self.clock().now();
        let seen = |machines: &PolicyMachines| {
            machines.breaker.as_ref().map(|breaker| breaker.snapshot(now))
        };
        self.0.read(seen).expect(KEPT)
    }
}

/// Leave to call, until it is said how the call went.
///
/// Dropped before, the call ended without an answer: a failure if it ran at least
/// [`slow_after`](CircuitBreakerConfig::slow_after), or a second where that is not set, or if its holder panics; else it
/// says nothing. Below a second it says nothing either if another call has succeeded since it began. A permit that is from before a transition decides nothing, whatever it says.
#[must_use = "dropped at once, it says that nothing was called"]
pub struct Permit(Begun);

impl Permit {
    /// The callee did well.
    pub fn success(self) {
        self.end(Verdict::SUCCESS);
    }

    /// The callee failed.
    pub fn failure(self) {
        self.end(Verdict::FAILURE);
    }

    /// What came says nothing about the callee.
    pub fn ignore(self) {
        self.end(Verdict::IGNORED);
    }

    fn end(mut self, verdict: Verdict) {
        end(&mut self.0, verdict);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if thread::panicking() && !self.0.call().is_over() {
            end(&mut self.0, Verdict::FAILURE);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("of", self.0.shared().name()).finish_non_exhaustive()
    }
}
