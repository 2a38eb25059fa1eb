//! A scenario: everything that happens but chance. A seed makes it a story.

use core::{fmt, ops::Range, time::Duration};

use seawall_core::{CircuitBreaker, Invalid, Picker};

use crate::{Client, Clock, Dependency, Story, Traffic, journal::Seconds, world::World};

/// Who calls whom, under which load, and what befalls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The expression that makes it, for the line that repeats a broken run.
    pub name: String,
    /// How long traffic comes. The run goes on until the last call has ended.
    pub lasts: Duration,
    /// Who calls.
    pub client: Client,
    /// Who is called. Of several each attempt picks one; at least one.
    pub dependencies: Vec<Dependency>,
    /// The load.
    pub traffic: Vec<Traffic>,
    /// The clock the clients read.
    pub clock: Clock,
}

impl Scenario {
    /// Runs it. The same seed gives the same story.
    ///
    /// # Errors
    /// A setting that makes no sense, or an invariant that broke.
    pub fn replay(&self, seed: u64) -> Result<Story, Stop> {
        if self.dependencies.len() == 1 {
            World::<Option<CircuitBreaker>>::new(self, seed)?.run()
        } else {
            World::<Picker>::new(self, seed)?.run()
        }
    }

    /// Runs it once for every seed, one after the other.
    ///
    /// # Errors
    /// The first that did not go well.
    pub fn replay_all(&self, seeds: Range<u64>) -> Result<Vec<Story>, Stop> {
        seeds.map(|seed| self.replay(seed)).collect()
    }
}

/// Why there is no story.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// A setting makes no sense.
    Invalid(Invalid),
    /// An invariant broke.
    Broken(Box<Broken>),
}

/// A promise that was not kept: what, when, after what, and how to see it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What broke.
    pub what: String,
    /// The scenario.
    pub name: String,
    /// The seed.
    pub seed: u64,
    /// How long after the start.
    pub at: Duration,
    /// The last fifty events, the one that broke it last.
    pub last: Vec<String>,
}

impl From<Invalid> for Stop {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Broken(broken) => broken.fmt(f),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Seconds(crate::latency::nanos(self.at));
        for line in &self.last {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "broken at {at}, seed {}: {}", self.seed, self.what)?;
        write!(f, "again: {}.replay({})", self.name, self.seed)
    }
}

impl core::error::Error for Stop {}
