//! A dependency: workers, a queue before them, and faults by script.
//!
//! ```text
//!              refuse: at once, never reached        slow xN, errors: while it works
//!   attempt ──────────────┬──────▸ queue ─────────────▸ worker ──────▸ answer
//!                         ╰ full: a fast failure        hang: nothing starts, nothing is answered
//! ```
//!
//! It does not learn that a caller has given up: the job stays in the queue, takes its worker for its whole time,
//! and its answer goes to nobody. That waste is what keeps an overload alive after its cause is gone.
//!
//! A fault meets what arrives or starts after it began. After a hang, what hung is answered at once.

use core::time::Duration;
use std::collections::VecDeque;

use seawall_core::{Draw, Ratio, Verdict};

use crate::latency::Latency;

/// One callee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Jobs it works on at once. Default 10.
    pub workers: u32,
    /// Jobs that wait, first come first served; more fail at once. Default 100.
    pub queue: u32,
    /// How long a job takes. Default exponential, 100 ms.
    pub latency: Latency,
    /// What befalls it.
    pub script: Script,
}

impl Default for Dependency {
    fn default() -> Self {
        Self {
            workers: 10,
            queue: 100,
            latency: Latency::Exponential(Duration::from_millis(100)),
            script: Script::default(),
        }
    }
}

/// What befalls a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Jobs take so many times longer.
    Slow(u32),
    /// This share of jobs fails, after its usual time.
    Errors(Ratio),
    /// It accepts and answers nothing.
    Hang,
    /// It refuses connections.
    Refuse,
    /// It is well again.
    Recover,
}

/// Faults over time.
///
/// ```
/// use core::time::Duration;
/// use seawall_sim::{Fault, Script};
///
/// let second = Duration::from_secs(1);
/// let script = Script::during(second * 10, second * 20, Fault::Hang).at(second * 30, Fault::Slow(5));
/// assert_eq!(script.steps.len(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// When and what, in order of time.
    pub steps: Vec<(Duration, Fault)>,
}

impl Script {
    /// One fault from `from` to `until`.
    #[must_use]
    pub fn during(from: Duration, until: Duration, fault: Fault) -> Self {
        Self::default().at(from, fault).at(until, Fault::Recover)
    }

    /// Another step.
    #[must_use]
    pub fn at(mut self, at: Duration, fault: Fault) -> Self {
        self.steps.push((at, fault));
        self
    }

    /// A fault that comes and goes every `half` from `from` until `until`, where it ends.
    #[must_use]
    pub fn flap(mut self, from: Duration, until: Duration, half: Duration, fault: Fault) -> Self {
        let half = half.max(Duration::from_nanos(1));
        let (mut at, mut broken) = (from, false);
        while at < until {
            broken = !broken;
            self = self.at(at, if broken { fault } else { Fault::Recover });
            at += half;
        }
        self.at(until, Fault::Recover)
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Good,
    Failed,
    Unreached,
}

impl Answer {
    pub(crate) const fn verdict(self) -> Verdict {
        match self {
            Self::Good => Verdict::SUCCESS,
            Self::Failed => Verdict::FAILURE,
            Self::Unreached => Verdict::UNREACHED,
        }
    }
}

/// What became of a job that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// A worker takes it.
    Starts,
    Waits,
    Refused(Answer),
}

/// A dependency while it runs. `J` names a job.
#[derive(Debug)]
pub(crate) struct Server<J> {
    workers: u32,
    queue_max: usize,
    latency: Latency,
    queue: VecDeque<J>,
    busy: u32,
    /// What was done while it hung.
    held: Vec<(J, Answer)>,
    slow: u32,
    errors: Ratio,
    hangs: bool,
    refuses: bool,
}

impl<J> Server<J> {
    pub(crate) fn new(dependency: &Dependency) -> Self {
        Self {
            workers: dependency.workers,
            queue_max: dependency.queue as usize,
            latency: dependency.latency,
            queue: VecDeque::new(),
            busy: 0,
            held: Vec::new(),
            slow: 1,
            errors: Ratio::ZERO,
            hangs: false,
            refuses: false,
        }
    }

    /// Jobs that work and jobs that wait, and how many of each there may be.
    pub(crate) fn load(&self) -> [(u64, u64); 2] {
        [
            (u64::from(self.busy), u64::from(self.workers)),
            (self.queue.len() as u64, self.queue_max as u64),
        ]
    }

    /// A job comes.
    pub(crate) fn arrive(&mut self, job: J) -> Arrived {
        if self.refuses {
            Arrived::Refused(Answer::Unreached)
        } else if !self.hangs && self.busy < self.workers {
            self.busy += 1;
            Arrived::Starts
        } else if self.queue.len() < self.queue_max {
            self.queue.push_back(job);
            Arrived::Waits
        } else {
            Arrived::Refused(Answer::Failed)
        }
    }

    /// How long a job that starts now takes, and how it ends.
    pub(crate) fn work(&self, draw: Draw) -> (u64, Answer) {
        let fails = draw.next().next().below(1_000_000) < u64::from(self.errors.ppm());
        let answer = if fails { Answer::Failed } else { Answer::Good };
        (self.latency.sample(draw).saturating_mul(u64::from(self.slow)), answer)
    }

    /// A job is done: its answer, unless it hangs.
    pub(crate) fn done(&mut self, job: J, answer: Answer) -> Option<(J, Answer)> {
        if self.hangs {
            self.held.push((job, answer));
            return None;
        }
        self.busy = self.busy.saturating_sub(1);
        Some((job, answer))
    }

    /// The next job that may start.
    pub(crate) fn next(&mut self) -> Option<J> {
        if self.hangs || self.busy >= self.workers {
            return None;
        }
        let job = self.queue.pop_front()?;
        self.busy += 1;
        Some(job)
    }

    /// Something befalls it; what is answered because of it.
    pub(crate) fn befall(&mut self, fault: Fault) -> Vec<(J, Answer)> {
        match fault {
            Fault::Slow(times) => self.slow = times,
            Fault::Errors(share) => self.errors = share,
            Fault::Hang => self.hangs = true,
            Fault::Refuse => self.refuses = true,
            Fault::Recover => {
                (self.slow, self.errors) = (1, Ratio::ZERO);
                (self.hangs, self.refuses) = (false, false);
            }
        }
        if self.hangs {
            return Vec::new();
        }
        self.busy -= self.held.len() as u32;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server<u32> {
        let latency = Latency::Constant(Duration::from_nanos(7));
        Server::new(&Dependency { workers: 1, queue: 1, latency, ..Dependency::default() })
    }

    #[test]
    fn one_works_one_waits_and_the_next_fails_fast() {
        let mut server = server();
        assert_eq!(server.arrive(1), Arrived::Starts);
        assert_eq!(server.arrive(2), Arrived::Waits);
        assert_eq!(server.arrive(3), Arrived::Refused(Answer::Failed));
        assert_eq!(server.load(), [(1, 1), (1, 1)]);
        assert_eq!(server.next(), None);
        assert_eq!(server.done(1, Answer::Good), Some((1, Answer::Good)));
        assert_eq!(server.next(), Some(2));
        assert_eq!(server.load(), [(1, 1), (0, 1)]);
    }

    #[test]
    fn what_hung_is_answered_when_it_is_well_again() {
        let mut server = server();
        assert_eq!(server.arrive(1), Arrived::Starts);
        assert_eq!(server.befall(Fault::Hang), []);
        assert_eq!(server.done(1, Answer::Good), None);
        assert_eq!(server.arrive(2), Arrived::Waits);
        assert_eq!(server.next(), None);
        assert_eq!(server.befall(Fault::Recover), [(1, Answer::Good)]);
        assert_eq!(server.next(), Some(2));
        assert_eq!(server.done(2, Answer::Good), Some((2, Answer::Good)));
        assert_eq!(server.befall(Fault::Hang), []);
        assert_eq!(server.arrive(3), Arrived::Waits, "though a worker is free");
        assert_eq!(server.next(), None);
    }

    #[test]
    fn faults_do_what_they_say_and_pass() {
        let (mut server, draw) = (server(), Draw::new(5));
        assert_eq!(server.work(draw), (7, Answer::Good));
        let _ = (server.befall(Fault::Slow(3)), server.befall(Fault::Errors(Ratio::ONE)));
        assert_eq!(server.work(draw), (21, Answer::Failed));
        let _ = server.befall(Fault::Refuse);
        assert_eq!(server.arrive(1), Arrived::Refused(Answer::Unreached));
        let _ = server.befall(Fault::Recover);
        assert_eq!((server.work(draw), server.arrive(1)), ((7, Answer::Good), Arrived::Starts));
    }

    #[test]
    fn a_flap_ends_well() {
        let s = Duration::from_secs;
        let script = Script::default().flap(s(1), s(4), s(1), Fault::Hang);
        let expected = [Fault::Hang, Fault::Recover, Fault::Hang, Fault::Recover];
        assert_eq!(script.steps.iter().map(|(_, fault)| *fault).collect::<Vec<_>>(), expected);
        assert_eq!(script.steps.last(), Some(&(s(4), Fault::Recover)));
    }
}
