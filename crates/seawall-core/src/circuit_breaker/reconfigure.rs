//! A breaker under another configuration: what has begun goes on, what comes obeys the new settings.
//!
//! ```text
//!   phase, row, open period and its end, permits, live probes   stay
//!   window of the same kind and size                            keeps what it holds
//!   any other window                                            starts empty, and that is told
//! ```
//!
//! Starting anew at every change of a number would forget an outage because somebody edited a file.

use alloc::sync::Arc;
use core::mem;

use super::{CircuitBreaker, CircuitBreakerConfig, places};
use crate::{Instant, Invalid, invalid::first};

/// What [`CircuitBreaker::reconfigure`] did to the windows of its rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a window is kept or it is not")]
#[must_use = "an operator wants to know that a window starts anew"]
pub enum Windows {
    /// They hold what they held.
    Kept,
    /// Kind or size changed: they start empty.
    Emptied,
}

impl CircuitBreaker {
    /// Goes on under another configuration. An open period keeps its end, probes their limits, permits their
    /// worth; a window of the same kind and size keeps what it holds.
    ///
    /// # Errors
    /// The first setting that makes no sense; then nothing has changed.
    pub fn reconfigure(
        &mut self,
        config: &CircuitBreakerConfig,
        now: Instant,
    ) -> Result<Windows, Invalid> {
        first(|found| config.check(found))?;
        // Never fewer: a lowered limit is for those that come.
        let held = self.probes.len();
        let mut probes = places(config.half_open_calls.max(held as u32));
        probes[..held].copy_from_slice(&self.probes);
        self.probes = probes;
        let old = mem::replace(&mut self.config, Arc::new(config.clone()));
        let kept = match &mut self.rates {
            Some(rates) => rates.reconfigure(&old, config, self.places, now),
            None => {
                self.empty_windows();
                true
            }
        };
        self.refresh();
        Ok(if kept { Windows::Kept } else { Windows::Emptied })
    }
}
