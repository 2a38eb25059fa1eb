//! Why a name cannot be had: both who has it and who wants it, and where each came from.

use std::fmt;

use super::{Difference, Kind, Named};
use crate::{Invalids, Origin, Origins, PolicyConfig};

/// Why a registry has nothing to give.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is one of this kind and name, with another configuration.
    Conflict {
        /// What it is.
        kind: Kind,
        /// The name.
        name: String,
        /// How the one that exists is set; a component has the settings of its own pattern alone.
        existing: Box<PolicyConfig>,
        /// What was asked for.
        wanted: Box<PolicyConfig>,
        /// What is not the same in both, and where each came from.
        differences: Vec<Difference>,
    },
    /// A component was to have the name of a policy, or a policy that of a component or of a policy for each key. The
    /// parts of a policy bear its name, so one could not be told from the other.
    Taken {
        /// The name.
        name: String,
        /// What has it, and where it was made.
        existing: (Kind, Origin),
        /// What was to have it, and where.
        wanted: (Kind, Origin),
    },
    /// Settings make no sense, or the name is none.
    Invalid(Invalids),
}

impl Named {
    /// Somebody wants it with these settings.
    pub(super) fn conflict(&self, wanted: &PolicyConfig, origins: &Origins) -> RegistryError {
        let existing = self.handle.config();
        RegistryError::Conflict {
            kind: self.kind,
            name: self.handle.name().to_string(),
            existing: Box::new(existing.clone()),
            wanted: Box::new(wanted.clone()),
            differences: Difference::all((existing, &self.origins), (wanted, origins)),
        }
    }

    /// Somebody wants its name for something of this kind.
    pub(super) fn taken(&self, wanted: Kind, origins: &Origins) -> RegistryError {
        RegistryError::Taken {
            name: self.handle.name().to_string(),
            existing: (self.kind, self.origins.nearest("").clone()),
            wanted: (wanted, origins.nearest("").clone()),
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { kind, name, differences, .. } => {
                write!(f, "{kind} {name} exists with another configuration")?;
                for (n, difference) in differences.iter().enumerate() {
                    write!(f, "{} {difference}", if n == 0 { ':' } else { ';' })?;
                }
                Ok(())
            }
            Self::Taken { name, existing: (existing, made), wanted: (wanted, asked) } => write!(
                f,
                "{name} is the name of a {existing} ({made}), so not of a {wanted} ({asked}): the parts of a policy bear \
                 its name"
            ),
            Self::Invalid(invalids) => invalids.fmt(f),
        }
    }
}

impl std::error::Error for RegistryError {}
