//! Where a call stands: the picture of [`Call`](super::Call), with what each place has to remember.

use core::mem;

use super::{
    Limit, Outcome, Refusal, Turn,
    attempt::{Cut, Running, Stream, Wait},
};

#[derive(Debug)]
pub(super) enum State<P> {
    Fresh,
    /// Over before it began.
    Refused(Refusal),
    Queued {
        turn: Turn,
        retry: Option<(Wait, Last)>,
    },
    Running(Running<P>),
    Cutting {
        cut: Cut<P>,
        limit: Limit,
        then: Option<Wait>,
    },
    Waiting {
        wait: Wait,
        last: Last,
    },
    Streaming(Stream<P>),
    /// Not a success; what follows is decided next.
    Answered(Outcome),
    Over,
}

impl<P> State<P> {
    /// The attempt that runs, if one does; over without it.
    #[inline]
    pub(super) fn take_running(&mut self) -> Option<Running<P>> {
        // Looked at before it is moved: what stays where it is need not be copied.
        if !matches!(self, Self::Running(_)) {
            return None;
        }
        match mem::replace(self, Self::Over) {
            Self::Running(running) => Some(running),
            _ => None,
        }
    }
}

/// How the attempt before a pause ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Last {
    Answered(Outcome),
    Cut(Limit),
}
