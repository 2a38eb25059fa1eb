//! A call whose operation is the caller's own code: begun here, ended by whoever holds what it was given.
//!
//! ```text
//!   Start ▸ handed out      Done ▸ refused      Wait ▸ until called up, or the moment the call named
//! ```
//!
//! The drivers' loops without an operation: what follows a start is not theirs.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use seawall_core::{Action, Ask, Event, Finish, Outcome, Priority, Refusal, Verdict};

use crate::{
    Attempted, Ended, Policy, Refused,
    clock::{Parker, Timer},
    guard::Guard,
    observe::Untold,
};

/// A call that was let through.
pub(super) type Begun = Guard<Policy>;

/// Lets a call through or not, where there is no line, or it asks to be answered at once.
pub(super) fn begin(policy: &Policy, ask: Ask) -> Result<Begun, Refused> {
    let (begun, action) = self::ask(policy, ask, None);
    answered(policy, action).map(|()| begun)
}

/// Says how the caller's own code went.
pub(super) fn end(begun: &mut Begun, verdict: Verdict) {
    let call = begun.call();
    let (attempt, ended) = (call.attempt(), Ended::Answered(verdict.outcome));
    let now = begun.clock().now();
    let started = call.started().unwrap_or(now);
    let failed = verdict.outcome != Outcome::Success;
    let attempted = failed.then(|| Attempted::new(attempt, call.begun(), started, now, ended));
    let untold = attempted.and_then(|attempted| Untold::new(begun, attempted));
    // Nothing follows: a component that is driven by hand does not retry.
    let action = begun.on(Event::Ended { attempt, verdict }, now);
    if let (Some(untold), Action::Done(finish)) = (untold, action) {
        untold.ended(finish);
    }
}

/// A call, and what it has to do first.
fn ask(policy: &Policy, ask: Ask, within: Option<Duration>) -> (Begun, Action) {
    let now = policy.clock().now();
    let mut begun = Guard::new(policy.clone(), ask).within(within);
    let action = begun.begin(now);
    (begun, action)
}

/// Whether it was let through.
fn answered(policy: &Policy, action: Action) -> Result<(), Refused> {
    match action {
        Action::Done(Finish::Refused(refusal)) => Err(refused(policy, refusal)),
        // Nothing has run, so nothing is cut and nothing has ended.
        Action::Start { .. } | Action::Wait | Action::Cancel { .. } | Action::Done(_) => Ok(()),
    }
}

pub(super) fn refused(policy: &Policy, refusal: Refusal) -> Refused {
    Refused { policy: policy.name().clone(), refusal, is_shared: false }
}

pin_project! {
    /// Waits for what a component gives, as a future or on this thread. Dropped, it is as if it had never asked: its place
    /// in line, or what it was given and did not take, goes to the next.
    #[must_use = "nothing is asked before it is awaited"]
    pub struct Acquire<'c, G> {
        policy: &'c Policy,
        ask: Ask,
        within: Option<Duration>,
        // There once it has asked, until it is over.
        begun: Option<Begun>,
        over: bool,
        #[pin]
        timer: Timer,
        gained: fn(Begun) -> G,
    }
}

impl<'c, G> Acquire<'c, G> {
    pub(super) fn new(policy: &'c Policy, ask: Ask, gained: fn(Begun) -> G) -> Self {
        Self {
            policy,
            ask,
            within: None,
            begun: None,
            over: false,
            timer: Timer::default(),
            gained,
        }
    }

    /// How urgent it is. Default normal.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.ask.priority = priority;
        self
    }

    /// Waits no longer than this from when it asks; refused at once where that would be in vain. Without this line as
    /// long as the component has it.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.within = Some(deadline);
        self
    }

    /// Waits on this thread. Needs no runtime.
    ///
    /// # Errors
    /// The refusal.
    pub fn blocking(self) -> Result<G, Refused> {
        let (mut begun, mut action) = ask(self.policy, self.ask, self.within);
        let parker = Arc::new(Parker::here());
        loop {
            action = match action {
                Action::Wait => {
                    let (event, now) = begun.block(&parker);
                    event.map_or(Action::Wait, |event| begun.on(event, now))
                }
                action => return answered(self.policy, action).map(|()| (self.gained)(begun)),
            }
        }
    }
}

impl<G> Future for Acquire<'_, G> {
    type Output = Result<G, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if *this.over {
            // Polled again after its end, it has nothing more to say.
            return Poll::Pending;
        }
        let (mut begun, mut action) = match this.begun.take() {
            Some(begun) => (begun, Action::Wait),
            None => ask(this.policy, *this.ask, *this.within),
        };
        while action == Action::Wait {
            let Poll::Ready((event, now)) = begun.poll_event(this.timer.as_mut(), cx) else {
                *this.begun = Some(begun);
                return Poll::Pending;
            };
            action = begun.on(event, now);
        }
        *this.over = true;
        Poll::Ready(answered(this.policy, action).map(|()| (this.gained)(begun)))
    }
}

impl<G> fmt::Debug for Acquire<'_, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("of", self.policy.name()).finish_non_exhaustive()
    }
}
