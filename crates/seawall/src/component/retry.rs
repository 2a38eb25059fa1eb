//! Retries by themselves, and the budget that pays for them.

use std::sync::Arc;

use seawall_core::{Ratio, RetryBudgetSnapshot, RetryConfig};

use super::{KEPT, component};
use crate::{
    Attempt, ByStatus, Clock, Error, Invalids, Observed, Policy, PolicyMachines, Reloaded, RetryOn,
    Snapshot, Status, Typed,
};

/// Repeats what failed, after a pause, as far as its budget pays. Cheap to clone; clones share the budget.
///
/// ```
/// use std::time::Duration;
/// use seawall::{Retry, RetryConfig};
///
/// let config = RetryConfig { base_delay: Duration::from_millis(1), ..RetryConfig::default() };
/// let retry = Retry::new("quotes", config)?;
/// let mut answers = [Err("busy"), Ok(3)].into_iter();
/// assert_eq!(retry.run_blocking(|| answers.next().unwrap()).unwrap(), 3);
/// assert_eq!(retry.budget().snapshot().amplification(), 2.0);
/// # Ok::<(), seawall::Invalids>(())
/// ```
#[doc(alias = "RetryManager")]
#[derive(Clone, Debug)]
pub struct Retry(pub(crate) Policy);

component!(Retry, retry: RetryConfig);

impl Retry {
    /// As [`run`](Self::run); the operation is told which attempt it is.
    ///
    /// # Errors
    /// As [`Policy::run`].
    pub fn run_with<T, E, F, Fut>(&self, operation: F) -> impl Future<Output = Result<T, Error<E>>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.0.run_with(operation)
    }

    /// Retries only answers with one of these statuses, told by a result or by an error; an empty list means none. An
    /// error without a status is retried.
    ///
    /// ```
    /// # use seawall::{Retry, RetryConfig, Status};
    /// struct Response(u16);
    /// impl Status for Response {
    ///     fn status(&self) -> Option<u16> { Some(self.0) }
    /// }
    ///
    /// let retry = Retry::new("quotes", RetryConfig::default())?;
    /// let mut calls = 0;
    /// let answer = retry.on_status(&[]).run_blocking(|| {
    ///     calls += 1;
    ///     Ok::<_, Response>(Response(503))
    /// });
    /// assert!(answer.is_ok_and(|response| response.0 == 503));
    /// assert_eq!(calls, 1);
    /// # Ok::<(), seawall::Invalids>(())
    /// ```
    #[must_use]
    pub fn on_status<T: Status, E: Status>(&self, statuses: &[u16]) -> Typed<T, E, ByStatus> {
        let retry_on = RetryOn { statuses: statuses.to_vec(), ..RetryOn::default() };
        self.0.typed().classify(ByStatus(retry_on))
    }

    /// With this name, on the clock of an account that pays for its retries and perhaps for others'.
    ///
    /// # Errors
    /// All settings that make no sense, and a name that is none.
    pub fn paid_by(
        name: impl Into<Arc<str>>,
        config: RetryConfig,
        budget: &RetryBudget,
    ) -> Result<Self, Invalids> {
        Policy::builder(name).retry(config).retry_budget(budget).build().map(Self)
    }

    /// What pays for its retries.
    #[must_use]
    pub fn budget(&self) -> RetryBudget {
        RetryBudget(self.0.whose(|shared| shared.budget.as_ref()).clone())
    }
}

/// An account of retries, earned by first attempts. Cheap to clone; clones are the same account.
///
/// ```
/// use seawall::{Policy, Ratio, RetryBudget, RetryConfig};
///
/// let budget = RetryBudget::new("database", Ratio::percent(10), false)?;
/// let reads = Policy::builder("reads").retry(RetryConfig::default()).retry_budget(&budget).build()?;
/// let writes = Policy::builder("writes").retry(RetryConfig::default()).retry_budget(&budget).build()?;
/// # Ok::<(), seawall::Invalids>(())
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget(pub(crate) Policy);

impl RetryBudget {
    /// An account that earns `ratio` retries per first attempt, 0 to 1000 %; `trickle` as
    /// [`RetryConfig::trickle`].
    ///
    /// # Errors
    /// A ratio that makes no sense, and a name that is none.
    pub fn new(name: impl Into<Arc<str>>, ratio: Ratio, trickle: bool) -> Result<Self, Invalids> {
        Self::with_clock(name, ratio, trickle, Clock::default())
    }

    /// As [`new`](Self::new), on this clock.
    ///
    /// # Errors
    /// A ratio that makes no sense, and a name that is none.
    pub fn with_clock(
        name: impl Into<Arc<str>>,
        ratio: Ratio,
        trickle: bool,
        clock: Clock,
    ) -> Result<Self, Invalids> {
        let config = RetryConfig { budget: ratio, trickle, ..RetryConfig::default() };
        Retry::with_clock(name, config, clock).map(|retry| retry.budget())
    }

    /// Earns at another ratio from now on, or recovers in another way, for all whose retries it pays for. What was earned
    /// stays, up to what the new ratio would have let it save.
    ///
    /// # Errors
    /// A ratio that makes no sense; then nothing has changed.
    pub fn reconfigure(&self, ratio: Ratio, trickle: bool) -> Result<Reloaded, Invalids> {
        let config = RetryConfig { budget: ratio, trickle, ..RetryConfig::default() };
        self.0.reload(&Retry::alone(config))
    }

    /// Its name, as statistics tell it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        self.0.name()
    }

    /// Its figures.
    #[must_use]
    pub fn snapshot(&self) -> RetryBudgetSnapshot {
        let seen = |machines: &PolicyMachines| machines.budget.as_ref().map(|it| it.snapshot());
        self.0.read(seen).expect(KEPT)
    }
}

impl Observed for RetryBudget {
    fn observe(&self, snapshot: &mut Snapshot) {
        self.0.observe_patterns(snapshot);
    }
}
