//! A no, with its three answers: who refused, why, and when to ask again.

use core::{fmt, time::Duration};

use crate::Cause;

/// Which pattern refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pattern {
    /// The deadline of the whole call.
    Deadline,
    /// The retry budget.
    RetryBudget,
    /// The rate limit.
    RateLimit,
    /// The picker of endpoints: no endpoint admits.
    Pick,
    /// The circuit breaker.
    CircuitBreaker,
    /// The bulkhead.
    Bulkhead,
}

impl Pattern {
    /// The name, as in configuration and statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::RetryBudget => "retry_budget",
            Self::RateLimit => "rate_limit",
            Self::Pick => "pick",
            Self::CircuitBreaker => "circuit_breaker",
            Self::Bulkhead => "bulkhead",
        }
    }
}

/// Why it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The breaker is open.
    Open,
    /// The breaker is half-open and all its probes are out.
    ProbesOut,
    /// An operator forced the breaker open.
    ForcedOpen,
    /// Every place is taken, and every place to wait in.
    Full,
    /// A more urgent call took its place in the queue.
    Displaced,
    /// It waited as long as a call may wait.
    WaitOver,
    /// Its turn would come too late.
    Hopeless,
    /// So many were let through lately that it must wait.
    Limited,
    /// It asks for more at once than there ever is: more tokens, or a place where its class has none.
    TooLarge,
    /// What was asked for cannot end before the deadline.
    TooLate,
    /// Retries have used up what first attempts earned.
    Exhausted,
}

impl Reason {
    /// The reason in words, to stand after the pattern's name.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::ProbesOut => "half-open, all probes out",
            Self::ForcedOpen => "forced open",
            Self::Full => "full",
            Self::Displaced => "displaced by a more urgent call",
            Self::WaitOver => "waited too long",
            Self::Hopeless => "its turn would come too late",
            Self::Limited => "limit reached",
            Self::TooLarge => "asked for more than there ever is",
            Self::TooLate => "cannot end before the deadline",
            Self::Exhausted => "exhausted",
        }
    }
}

/// Who refused, why, and when to ask again. 32 bytes, and no allocation: it is made by the thousand while a callee is
/// down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Who refused.
    pub by: Pattern,
    /// Why.
    pub reason: Reason,
    /// How long from now until asking again makes sense. `None`: no time can be named, because the answer
    /// depends on others (a full bulkhead) or will not change by waiting (a forced state).
    pub retry_after: Option<Duration>,
    /// What opened the breaker that refused; of several, the one whose time is told. `None` from any other pattern.
    pub cause: Option<Cause>,
}

impl Refusal {
    /// A refusal that names no time.
    #[must_use]
    pub const fn new(by: Pattern, reason: Reason) -> Self {
        Self { by, reason, retry_after: None, cause: None }
    }

    /// The same refusal with the time to ask again.
    #[must_use]
    pub const fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same refusal with what opened the breaker.
    #[must_use]
    pub const fn because(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }
}

/// `circuit_breaker open (5 failures in a row), retry after 30.0s`
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.by.name(), self.reason.words())?;
        if let Some(cause) = self.cause {
            write!(f, " ({cause})")?;
        }
        match self.retry_after {
            Some(wait) => write!(f, ", retry after {wait:.1?}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn each_pattern_and_each_reason_has_a_word_of_its_own() {
        use Pattern::{Bulkhead, CircuitBreaker, Deadline, Pick, RateLimit, RetryBudget};
        let patterns = [Deadline, RetryBudget, RateLimit, Pick, CircuitBreaker, Bulkhead];
        let expected =
            ["deadline", "retry_budget", "rate_limit", "pick", "circuit_breaker", "bulkhead"];
        assert_eq!(patterns.map(Pattern::name), expected);
        use Reason::{
            Displaced, Exhausted, ForcedOpen, Full, Hopeless, Limited, Open, ProbesOut, TooLarge,
            TooLate, WaitOver,
        };
        let reasons = [
            Open, ProbesOut, ForcedOpen, Full, Displaced, WaitOver, Hopeless, Limited, TooLarge,
            TooLate, Exhausted,
        ];
        let mut words = reasons.map(Reason::words);
        assert!(words.iter().all(|word| word.len() > 3));
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn it_is_told_with_its_time_if_there_is_one() {
        let full = Refusal::new(Pattern::Bulkhead, Reason::Full);
        assert_eq!(full.to_string(), "bulkhead full");
        let open = Refusal::new(Pattern::CircuitBreaker, Reason::Open);
        let open = open.after(Duration::from_millis(1_500));
        assert_eq!(open.to_string(), "circuit_breaker open, retry after 1.5s");
        let open = open.because(Cause::Failures(5));
        let told = "circuit_breaker open (5 failures in a row), retry after 1.5s";
        assert_eq!(open.to_string(), told);
    }

    /// With the cause 30, and 24 without it. What carries a refusal copies all of them.
    #[test]
    fn it_is_as_small_as_it_says() {
        assert_eq!((size_of::<Cause>(), size_of::<Refusal>()), (12, 32));
    }
}
