//! What an operator says, laid over the machine: it decides while it lasts, and leaves nothing behind.
//!
//! ```text
//!                   calls      how they end                        shows
//!   forced open     refused    -                                   forced_open
//!   forced closed   flow       counted, decides nothing            forced_closed
//!   disabled        flow       not even counted                    disabled
//!   metrics only    flow       decides where it would stand        metrics_only, and that
//! ```
//!
//! It ends when it is released or its time is over. Coming and going each begin a new epoch, closed and with
//! empty windows: results from before an operator stepped in say nothing about the time after. In metrics only
//! the machine runs on beneath, with as many probes as it would have; the calls it would have refused decide
//! nothing.

use alloc::{borrow::Cow, boxed::Box};
use core::time::Duration;

use super::{CircuitBreaker, State};
use crate::{Cause, Instant, Phase, Transition};

/// What an operator says about a breaker, why, and for how long.
///
/// ```
/// use core::time::Duration;
/// use seawall_core::{CircuitBreaker, CircuitBreakerConfig, Instant, Override, Phase};
///
/// let mut breaker = CircuitBreaker::new(&CircuitBreakerConfig::default())?;
/// let now = Instant::ORIGIN;
/// breaker.force(Override::open("database moves").lasting(Duration::from_secs(600)), now);
/// assert_eq!(breaker.phase(now), Phase::ForcedOpen);
/// assert_eq!(breaker.phase(now + Duration::from_secs(600)), Phase::Closed);
/// # Ok::<(), seawall_core::Invalid>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    phase: Phase,
    reason: Cow<'static, str>,
    lasting: Option<Duration>,
}

impl Override {
    /// Every call is refused.
    pub fn open(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Phase::ForcedOpen, reason.into())
    }

    /// Every call flows; how it ends is counted and decides nothing.
    pub fn closed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Phase::ForcedClosed, reason.into())
    }

    /// Every call flows, and nothing is recorded: as if there were no breaker.
    pub fn disabled(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Phase::Disabled, reason.into())
    }

    /// Every call flows, and the breaker shows where it would stand.
    pub fn metrics_only(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Phase::MetricsOnly, reason.into())
    }

    /// Ends by itself after so long. Without it, only a release ends it.
    #[must_use]
    pub const fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = Some(lasting);
        self
    }

    /// The phase it brings.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Why; cut off after 200 bytes.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn new(phase: Phase, reason: Cow<'static, str>) -> Self {
        let end = reason.floor_char_boundary(REASON_MAX);
        let reason = match reason {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
            Cow::Owned(mut text) => {
                text.truncate(end);
                Cow::Owned(text)
            }
        };
        Self { phase, reason, lasting: None }
    }
}

/// An override that holds.
#[derive(Clone, Debug)]
pub(super) struct Overruled {
    pub(super) said: Override,
    /// When its time is over.
    pub(super) until: Instant,
}

impl CircuitBreaker {
    /// Lays an override over it, in place of any other, until its time is over or [`release`](Self::release).
    /// `None` if it shows the same phase as before.
    pub fn force(&mut self, said: Override, now: Instant) -> Option<Transition> {
        let until = said.lasting.map_or(Instant::NEVER, |lasting| now + lasting);
        self.overrule(Some(Box::new(Overruled { said, until })), Cause::Override, now)
    }

    /// Ends an override: closed, with nothing remembered. `None` if there was none.
    pub fn release(&mut self, now: Instant) -> Option<Transition> {
        self.overruled.as_ref()?;
        self.overrule(None, Cause::Override, now)
    }

    /// The override's time is over.
    pub(super) fn expire(&mut self, at: Instant) -> Option<Transition> {
        self.overrule(None, Cause::OverrideOver, at)
    }

    fn overrule(
        &mut self,
        overruled: Option<Box<Overruled>>,
        cause: Cause,
        at: Instant,
    ) -> Option<Transition> {
        let from = self.shown();
        self.overruled = overruled;
        self.begin(State::Closed);
        self.changed(from, cause, at)
    }
}

/// A sentence and the address of a ticket.
const REASON_MAX: usize = 200;
