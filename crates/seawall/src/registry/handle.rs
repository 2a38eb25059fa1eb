//! What a registry holds by name: one policy, of which a component has a pattern, or one for each key.

use std::sync::Arc;

use super::Kind;
use crate::{Invalids, Observed, PerKey, Policy, PolicyBuilder, PolicyConfig, Snapshot};

/// One of them.
#[derive(Clone)]
pub(super) enum Handle {
    One(Policy),
    Each(PerKey),
}

impl Handle {
    pub(super) fn name(&self) -> &Arc<str> {
        match self {
            Self::One(policy) => policy.name(),
            Self::Each(tenants) => tenants.name(),
        }
    }

    pub(super) fn config(&self) -> &PolicyConfig {
        match self {
            Self::One(policy) => policy.config(),
            Self::Each(tenants) => tenants.config(),
        }
    }

    /// Its statistics; those of calls are a policy's.
    pub(super) fn observe(&self, kind: Kind, snapshot: &mut Snapshot) {
        match self {
            Self::One(policy) if kind == Kind::Policy => policy.observe(snapshot),
            Self::One(policy) => policy.observe_patterns(snapshot),
            Self::Each(tenants) => tenants.observe(snapshot),
        }
    }
}

/// What is made under a name, and found under it again.
pub(super) trait Made: Clone {
    fn build(builder: PolicyBuilder) -> Result<Self, Invalids>;

    fn found(handle: &Handle) -> Option<&Self>;

    fn held(self) -> Handle;
}

impl Made for Policy {
    fn build(builder: PolicyBuilder) -> Result<Self, Invalids> {
        builder.build()
    }

    fn found(handle: &Handle) -> Option<&Self> {
        match handle {
            Handle::One(policy) => Some(policy),
            Handle::Each(_) => None,
        }
    }

    fn held(self) -> Handle {
        Handle::One(self)
    }
}

impl Made for PerKey {
    fn build(builder: PolicyBuilder) -> Result<Self, Invalids> {
        builder.per_key().build()
    }

    fn found(handle: &Handle) -> Option<&Self> {
        match handle {
            Handle::Each(tenants) => Some(tenants),
            Handle::One(_) => None,
        }
    }

    fn held(self) -> Handle {
        Handle::Each(self)
    }
}
