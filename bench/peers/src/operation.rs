//! What is called: an operation that costs as little as one can.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// How the operation behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Answers at the first poll.
    Ready,
    /// Wakes itself at the first poll and answers at the second.
    PendingOnce,
    /// Fails at the first poll, in a way that must not be retried.
    Failing,
    /// Never ends.
    Hanging,
}

impl Operation {
    /// Runs it once.
    #[inline]
    pub(crate) const fn run(self) -> Running {
        Running { operation: self }
    }
}

/// The operation's own error: the callee did not do its work, and asking again would not help.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

/// A run of an [`Operation`].
#[derive(Debug)]
pub(crate) struct Running {
    operation: Operation,
}

impl Future for Running {
    type Output = Result<u64, Broken>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.operation {
            Operation::Ready => Poll::Ready(Ok(ANSWER)),
            Operation::PendingOnce => {
                self.operation = Operation::Ready;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Operation::Failing => Poll::Ready(Err(Broken)),
            Operation::Hanging => Poll::Pending,
        }
    }
}

const ANSWER: u64 = 42;
