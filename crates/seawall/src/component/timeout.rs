//! The learned limit by itself.

use std::time::Duration;

use seawall_core::{Latencies, Shared, TimeoutConfig};

use super::{KEPT, component};
use crate::{Policy, PolicyBuilder, PolicyMachines};

/// Limits each call by what calls have taken lately. Cheap to clone; clones learn together.
///
/// Used by itself it cuts at the learned limit, always: nothing else is there to bound the call. As part of a policy the
/// learned limit cuts only if another attempt may follow.
///
/// ```
/// use std::time::Duration;
/// use seawall::{AdaptiveTimeout, TimeoutConfig};
///
/// let timeout = AdaptiveTimeout::new("search", TimeoutConfig::default())?;
/// assert_eq!(timeout.current_limit(), Duration::from_secs(60));
/// (0..100).for_each(|_| timeout.record(Duration::from_millis(100)));
/// let learned = timeout.current_limit().as_millis(); // 1.5 times the 95th percentile, read to a hundredth
/// assert!((148..=152).contains(&learned), "{learned}");
/// # Ok::<(), seawall::Invalids>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdaptiveTimeout(pub(crate) Policy);

component!(AdaptiveTimeout, timeout: TimeoutConfig, built by PolicyBuilder::enforcing);

impl AdaptiveTimeout {
    /// Learns from a call that ended well after `took`, made elsewhere. Calls that it runs it learns from by itself.
    pub fn record(&self, took: Duration) {
        let now = self.clock().now();
        self.0.visit(now, |parts| {
            if let Some(timeout) = parts.timeout {
                timeout.record(took, now);
            }
        });
    }

    /// The limit on the next call: the learned one, else the configured one.
    #[must_use]
    pub fn current_limit(&self) -> Duration {
        let limit = |machines: &PolicyMachines| machines.timeout.as_ref().map(|it| it.limit());
        self.0.read(limit).expect(KEPT)
    }

    /// Its figures.
    #[must_use]
    pub fn snapshot(&self) -> Latencies {
        // Quantiles take a scan: of a copy, so that no call waits for it.
        self.0.read(|machines| machines.timeout.as_deref().cloned()).expect(KEPT).snapshot()
    }
}
