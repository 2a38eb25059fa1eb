//! Which answers of an HTTP service another attempt may mend.

/// What may be retried. Statuses are those of answers; the others are ways not to get one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// The connection could not be made: the request certainly never arrived.
    pub connect: bool,
    /// The connection broke before an answer.
    pub reset: bool,
    /// The attempt ran into its own limit.
    pub timeout: bool,
    /// Answers with one of these statuses. An empty list means none.
    pub statuses: Vec<u16>,
}

impl RetryOn {
    /// Whether an answer with this status may be retried.
    #[must_use]
    pub fn status(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }
}

/// Everything but an answer that would come out the same: 429 after its hint, 500, 502, 503, 504.
impl Default for RetryOn {
    fn default() -> Self {
        Self { connect: true, reset: true, timeout: true, statuses: vec![429, 500, 502, 503, 504] }
    }
}
