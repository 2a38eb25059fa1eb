//! Waiting for tokens: who comes next, and when to look again.
//!
//! ```text
//!   critical    ○ ○        the first of all ──▸ asks again when its tokens will be there
//!   normal    ○ ○ ○                             everybody else sleeps until they are the first
//!   low           ○
//! ```
//!
//! The most urgent first, of a class first come first. Nobody overtakes who waits, but a more urgent call; so a small
//! one cannot keep taking what a large one waits for. A class that may not touch the reserves of others waits longer, and
//! holds up only those less urgent.
//!
//! Tokens are not taken for somebody who sleeps: the first takes them when it looks. So nothing is lost on one who is
//! gone, and giving up is nothing but leaving.

mod places;

use core::time::Duration;

pub(super) use self::places::{Place, Waiter, Waiting};
use super::{RateLimiter, floor, refused};
use crate::{Admission, Instant, Pattern, Priority, Reason, Refusal, Ticket};

impl RateLimiter {
    /// As [`admit`](Self::admit); where that would refuse for now, it waits for its tokens. Refused are still a cost that
    /// there never is, a wait that would be longer than until `give_up_at`, and one more than ten thousand who wait.
    pub fn admit_or_wait(
        &mut self,
        cost: u64,
        priority: Priority,
        give_up_at: Instant,
        now: Instant,
    ) -> Admission {
        let behind = self.waiting.as_ref().is_some_and(|waiting| waiting.is_before(priority));
        let answer = match behind {
            true => Admission::No(self.not_yet(cost, priority, now)),
            false => self.take(cost, priority, give_up_at, now),
        };
        let answer = match answer {
            Admission::No(Refusal { retry_after: Some(wait), .. }) if !self.is_shaper() => {
                self.wait(Waiter { cost, give_up_at }, priority, now + wait)
            }
            other => other,
        };
        self.count(&answer);
        answer
    }

    /// When the holder of `ticket` is to ask again if nobody calls it up before; `None` if it is not of this limiter.
    #[must_use]
    pub fn due(&self, ticket: &Ticket) -> Option<Instant> {
        let Some((waiting, (place, waiter))) =
            self.waiting.as_ref().and_then(|waiting| Some((waiting, waiting.find(ticket)?)))
        else {
            return self.shaper.due(&ticket.known(self.era));
        };
        // Everybody else is called up when there is nobody before it any more.
        let due = waiting.due().filter(|_| waiting.is_first(place));
        Some(due.unwrap_or(Instant::NEVER).min(waiter.give_up_at))
    }

    /// The place of the first who waits for tokens, if it is to look.
    #[inline]
    pub(super) fn call_up(&mut self, now: Instant) -> Option<usize> {
        let (kind, floors) = (&self.kind, &self.floors);
        let ready = |place: Place, waiter: Waiter| {
            let wanted = waiter.cost.saturating_add(floor(floors, place.class));
            kind.time_until(wanted, now).is_some_and(|wait| wait.is_zero())
        };
        self.waiting.as_mut()?.call_up(ready)
    }

    /// The refusal of one who would have to stand behind others, and does not wait.
    #[cold]
    pub(super) fn not_now(&self, cost: u64, priority: Priority, now: Instant) -> Refusal {
        let most = self.snapshot(now).limit;
        refused(self.time_until(cost, priority, now), most)
    }

    /// As [`not_now`](Self::not_now), of one who may wait: those before it may still leave, so it is not without hope
    /// while its own tokens may come in time.
    #[cold]
    fn not_yet(&self, cost: u64, priority: Priority, now: Instant) -> Refusal {
        let most = self.snapshot(now).limit;
        refused(self.time_until_alone(cost, priority, now), most)
    }

    /// How long until there are tokens for such a call, whoever waits.
    pub(super) fn time_until_alone(
        &self,
        cost: u64,
        priority: Priority,
        now: Instant,
    ) -> Option<Duration> {
        self.kind.time_until(cost.saturating_add(floor(&self.floors, priority)), now)
    }

    /// How long until there are tokens for it and the first who waits before it, or all there can be.
    pub(super) fn time_behind(
        &self,
        cost: u64,
        priority: Priority,
        now: Instant,
    ) -> Option<Duration> {
        let waiting = self.waiting.as_ref().filter(|waiting| waiting.is_before(priority))?;
        let (_, first) = waiting.head()?;
        let wanted = first.cost.saturating_add(cost).saturating_add(floor(&self.floors, priority));
        self.kind.time_until(wanted.min(self.snapshot(now).limit), now)
    }

    /// A place in the line, if there is hope: its tokens will be there at `due`, if nobody comes before it.
    #[cold]
    fn wait(&mut self, waiter: Waiter, class: Priority, due: Instant) -> Admission {
        let refusal = Refusal::new(Pattern::RateLimit, Reason::Hopeless);
        if due > waiter.give_up_at {
            return Admission::No(refusal.after(due.since(waiter.give_up_at)));
        }
        let era = self.era;
        let waiting = self.waiting.get_or_insert_with(|| Waiting::new(era).into());
        if waiting.len() >= WAITERS_MAX {
            return Admission::No(Refusal::new(Pattern::RateLimit, Reason::Full));
        }
        Admission::Wait(waiting.enter(class, waiter, due))
    }

    /// One who waits for tokens asks: they are there, it waits on, or it has waited in vain.
    pub(super) fn look(
        &mut self,
        ticket: Ticket,
        place: Place,
        waiter: Waiter,
        now: Instant,
    ) -> Admission {
        let Waiter { cost, give_up_at } = waiter;
        let first = self.waiting.as_ref().is_some_and(|waiting| waiting.is_first(place));
        let answer = match first {
            _ if self.is_shaper() => Admission::No(refused(None, 0)),
            true => self.take(cost, place.class, give_up_at, now),
            false => Admission::No(self.not_yet(cost, place.class, now)),
        };
        let answer = match answer {
            Admission::No(Refusal { retry_after: Some(wait), .. }) => {
                let due = now + wait;
                if due <= give_up_at && now < give_up_at {
                    if let Some(waiting) = self.waiting.as_mut().filter(|_| first) {
                        waiting.look_again_at(place, due);
                    }
                    return Admission::Wait(ticket);
                }
                Admission::No(Refusal::new(Pattern::RateLimit, Reason::TooLate).after(wait))
            }
            other => other,
        };
        if let Some(waiting) = &mut self.waiting {
            waiting.leave(place);
        }
        answer
    }
}

/// As many as there may be keys: a queue has a bound, and one so long is no use to anybody.
pub(super) const WAITERS_MAX: usize = 10_000;
