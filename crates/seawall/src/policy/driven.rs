//! What a running call needs of its policy: a visit to the machines, a place to wait for its turn, and threads. What is
//! a part of others too is asked of whoever keeps it.

use std::{sync::Arc, task::Waker};

use seawall_core::{CircuitBreaker, Draw, Instant, Line, Parts, Shared};

use super::{Policy, PolicyMachines};
use crate::{Clock, Driven, attempt::StepLimits, caller::Protection, observe::Teller, pooled::Job};

impl Shared for Policy {
    type Gate = Option<CircuitBreaker>;

    #[inline]
    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, Self::Gate>) -> R) -> R {
        let shared = self.0.shared.as_deref();
        self.0.shell.visit_between(
            (),
            now,
            |own| shared.map(|shared| shared.lend(own)),
            step,
            |own, lent| lent.and_then(|lent| lent.give_back(own, now)),
        )
    }

    #[inline]
    fn draw(&self) -> Draw {
        self.0.shell.draw()
    }
}

impl Driven for Policy {
    #[inline]
    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn park(&self, line: Line, place: usize, waker: &Waker) -> bool {
        self.line(line).0.shell.park((), line, place, waker)
    }

    fn forget(&self, line: Line, place: usize) {
        self.line(line).0.shell.forget((), line, place);
    }

    #[inline]
    fn limits(&self) -> StepLimits {
        self.whose(|shared| shared.timeout.as_ref()).0.limits.now()
    }

    fn teller(&self) -> Option<&Teller> {
        Some(self.0.shell.teller())
    }
}

impl Protection for Policy {
    #[inline]
    fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    fn submit(&self, job: Job) -> u32 {
        self.0.pool.submit(self.pool_threads(), job)
    }

    fn leave_job(&self, number: u32) -> bool {
        self.0.pool.leave(number)
    }
}

impl Policy {
    fn pool_threads(&self) -> u32 {
        let threads = |machines: &PolicyMachines| {
            let bulkhead = machines.bulkhead.as_ref()?;
            Some(bulkhead.pool_threads().unwrap_or(bulkhead.snapshot().max_concurrent))
        };
        self.line(Line::Bulkhead).read(threads).unwrap_or(THREADS)
    }
}

/// Threads for pooled operations where no bulkhead says how many run at once: the bulkhead's own default.
const THREADS: u32 = 100;
