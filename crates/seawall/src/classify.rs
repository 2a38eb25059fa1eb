//! One classifier per policy: what an answer means, for retry, breaker and statistics alike.

use std::time::Duration;

use seawall_core::{Outcome, Stopped, Verdict};

use crate::{Ended, Error, RetryOn};

/// Says what an answer means.
///
/// Implemented for every `Fn(&Result<T, E>) -> Verdict`. Without one, [`Plain`] applies.
pub trait Classify<T, E> {
    /// The meaning of this answer.
    fn classify(&self, answer: &Result<T, E>) -> Verdict;
}

impl<T, E, F: Fn(&Result<T, E>) -> Verdict> Classify<T, E> for F {
    #[inline]
    fn classify(&self, answer: &Result<T, E>) -> Verdict {
        self(answer)
    }
}

/// `Ok` is success, `Err` is a failure another attempt may mend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl<T, E> Classify<T, E> for Plain {
    #[inline]
    fn classify(&self, answer: &Result<T, E>) -> Verdict {
        if answer.is_ok() { Verdict::SUCCESS } else { Verdict::FAILURE }
    }
}

/// For operations that are calls under another policy. Its refusals are not the callee's failures and are not retried here, for
/// it has said when to ask again. An error that it took for no failure, or for one that another attempt would not mend, is so
/// here too; an `Ok` is a success, whatever it carries.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use seawall::{BulkheadConfig, CircuitBreakerConfig, Nested, Policy, RetryConfig};
///
/// let none = BulkheadConfig { max_concurrent: 0, max_queue: 0, ..BulkheadConfig::default() };
/// let inner = Policy::builder("inner").bulkhead(none).build()?;
/// let outer = Policy::builder("outer")
///     .retry(RetryConfig::default())
///     .circuit_breaker(CircuitBreakerConfig::default())
///     .build()?;
/// let call = || inner.run(|| async { Ok::<_, std::io::Error>(42) });
/// let refused = outer.call().classify(&Nested).run(call).await.map_err(|error| error.flatten());
/// assert!(refused.unwrap_err().to_string().starts_with("inner: bulkhead"));
/// assert_eq!(outer.counts().attempts.started, 1); // not retried
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Nested;

impl<T, E> Classify<T, Error<E>> for Nested {
    fn classify(&self, answer: &Result<T, Error<E>>) -> Verdict {
        let Err(error) = answer else { return Verdict::SUCCESS };
        let ended = error.history().attempts().last().map(|attempted| attempted.ended);
        let verdict = match (error, ended) {
            (Error::Refused(_), _) | (_, Some(Ended::Answered(Outcome::Ignored))) => {
                Verdict::IGNORED
            }
            (Error::TimedOut(_) | Error::Failed(..), _) => match error.history().stopped() {
                Some(Stopped::NotRetryable) => Verdict::PERMANENT,
                _ => Verdict::FAILURE,
            },
        };
        verdict.after(error.retry_after())
    }
}

/// An answer or an error that carries an HTTP status.
pub trait Status {
    /// The status, if there is one.
    fn status(&self) -> Option<u16>;

    /// When the callee asked to be called again, counted from now.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// Reads the status of results and errors alike: 5xx is a failure, 429 says "later", everything else is an
/// answer. 501 and 505 are about the request and say nothing of the callee: counted, a client with an unknown
/// method could open the breaker for all. An error without a status is a failure that may be retried.
#[derive(Clone, Debug, Default)]
pub struct ByStatus(pub RetryOn);

impl ByStatus {
    /// What an answer with this status and hint means.
    #[must_use]
    pub fn verdict(&self, status: u16, hint: Option<Duration>) -> Verdict {
        let outcome = match status {
            429 | 501 | 505 => Outcome::Ignored,
            500..=599 => Outcome::Failure,
            _ => Outcome::Success,
        };
        let retryable = outcome != Outcome::Success && self.0.status(status);
        Verdict { outcome, retryable, retry_after: hint, reached: true }
    }
}

impl<T: Status, E: Status> Classify<T, E> for ByStatus {
    fn classify(&self, answer: &Result<T, E>) -> Verdict {
        let (status, hint) = match answer {
            Ok(answer) => (answer.status(), answer.retry_after()),
            Err(error) => (error.status(), error.retry_after()),
        };
        match (status, answer) {
            (Some(status), Ok(_)) => self.verdict(status, hint),
            // An error is no answer, whatever its status: 404 is the callee's word, but not its work.
            (Some(status), Err(_)) => match self.verdict(status, hint) {
                Verdict { outcome: Outcome::Success, .. } => Verdict::IGNORED,
                verdict => verdict,
            },
            (None, Ok(_)) => Verdict::SUCCESS,
            (None, Err(_)) => Verdict::FAILURE.after(hint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Answer(Option<u16>, Option<u64>);

    impl Status for Answer {
        fn status(&self) -> Option<u16> {
            self.0
        }

        fn retry_after(&self) -> Option<Duration> {
            self.1.map(Duration::from_secs)
        }
    }

    #[test]
    fn status_decides_for_results_and_errors_alike() {
        let by = ByStatus::default();
        let hint = Some(Duration::from_secs(7));
        for (answer, expected) in [
            (Ok(Answer(Some(200), None)), Verdict::SUCCESS),
            (Ok(Answer(Some(404), None)), Verdict::SUCCESS),
            (Ok(Answer(Some(503), Some(7))), Verdict::FAILURE.after(hint)),
            (Ok(Answer(Some(501), None)), Verdict::IGNORED),
            (Ok(Answer(Some(507), None)), Verdict::PERMANENT),
            (Ok(Answer(Some(429), Some(7))), Verdict::LATER.after(hint)),
            (Ok(Answer(None, None)), Verdict::SUCCESS),
            (Err(Answer(Some(404), None)), Verdict::IGNORED),
            (Err(Answer(Some(502), None)), Verdict::FAILURE),
            (Err(Answer(None, None)), Verdict::FAILURE),
        ] {
            assert_eq!(by.classify(&answer), expected);
        }
    }

    #[test]
    fn an_empty_list_means_none() {
        let none = ByStatus(RetryOn { statuses: Vec::new(), ..RetryOn::default() });
        assert_eq!(none.verdict(503, None), Verdict::PERMANENT);
        assert_eq!(none.verdict(429, None), Verdict::IGNORED);
    }
}
