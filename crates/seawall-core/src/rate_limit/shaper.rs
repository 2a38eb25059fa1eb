//! The shaper: a leaky bucket that delays instead of refusing, so that calls leave it one by one.
//!
//! ```text
//!   arrive   ││││      │      ││
//!   leave    │  │  │  ││      │  │        T = 1 / rate apart, `capacity` waiters at most
//!
//!   due = latest turn + T x its cost, at once if nobody waits and that has passed
//! ```
//!
//! Turns follow the schedule and not the moment somebody looked: a timer that fires late shortens the gap to the
//! next call, and the rate is kept. The schedule is in parts (see [`Rate`]), so T may be a third of a second and
//! gaps still never shrink below T rounded down. Idle time earns nothing; there is no burst.
//!
//! First come, first served, whatever the priority. So a turn told on arrival only ever comes earlier, when
//! somebody ahead gives up, and a call whose turn would come too late is refused on arrival instead of after
//! waiting in vain. Whoever comes first is called up if its turn is another than it was told, by new settings a later
//! one too; so of all who wait one always knows when to look, and it is the one whose turn comes next.

use alloc::vec::Vec;
use core::time::Duration;

use super::{
    Rate,
    line::{Line, State, Turn, Waiter},
    refused,
};
use crate::{Admission, Instant, Pattern, Permit, Reason, Refusal, Ticket};

/// A queue that lets calls out at a steady rate. A cost of k stands for k calls one behind the other, of 0 for one.
///
/// ```
/// use core::time::Duration;
/// use seawall_core::{Admission, Instant, Rate, Shaper};
///
/// let mut shaper = Shaper::new(10, Rate::per_second(50));
/// let start = Instant::ORIGIN;
/// assert!(matches!(shaper.admit(1, Instant::NEVER, start), Admission::Go(_)));
/// let Admission::Wait(ticket) = shaper.admit(1, Instant::NEVER, start) else { panic!("too early") };
///
/// let due = start + Duration::from_millis(20);
/// assert_eq!(shaper.wake_at(), Some(due));
/// assert_eq!(shaper.settle(due), Some(ticket.place()));
/// assert!(matches!(shaper.claim(ticket, due), Admission::Go(_)));
/// ```
#[derive(Clone, Debug)]
pub struct Shaper {
    rate: Rate,
    /// 0 if the rate is.
    capacity: u32,
    latest: Turn,
    line: Line,
    /// Places refused by new settings, whose holders have not been told.
    news: Vec<u32>,
}

impl Shaper {
    /// An idle shaper that lets calls out at `rate` and keeps at most `capacity` waiting (4 thousand millions
    /// if more is asked). If either is 0 it refuses everything.
    #[must_use]
    pub const fn new(capacity: u64, rate: Rate) -> Self {
        Self {
            rate,
            capacity: places(capacity, rate),
            latest: Turn { at: 0, cost: 0 },
            line: Line::new(),
            news: Vec::new(),
        }
    }

    /// An idle one with the same settings.
    pub(super) const fn fresh(&self) -> Self {
        Self::new(self.capacity as u64, self.rate)
    }

    /// Go if it is due, wait for its turn otherwise.
    ///
    /// Refused with [`Reason::Limited`] when there is no place to wait in, with the time until there is;
    /// with [`Reason::Hopeless`] when its turn would come after `give_up_at`, with the time until a call as
    /// patient would have its turn; with [`Reason::TooLarge`] when it costs more than the capacity.
    pub fn admit(&mut self, cost: u64, give_up_at: Instant, now: Instant) -> Admission {
        let cost = cost.max(1);
        if cost > self.capacity() {
            return Admission::No(refused(None, self.capacity()));
        }
        let at = self.parts(now);
        if self.line.len() == 0 && self.next() <= at {
            self.latest = Turn { at, cost };
            return Admission::Go(Permit::new(0, 0));
        }
        if cost > self.available() {
            return Admission::No(refused(self.room_in(cost, now), self.capacity()));
        }
        let turn = self.instant(self.end());
        if turn > give_up_at {
            let refusal = Refusal::new(Pattern::RateLimit, Reason::Hopeless);
            return Admission::No(refusal.after(turn.since(give_up_at)));
        }
        Admission::Wait(self.line.enter(Waiter { cost, give_up_at }, turn))
    }

    /// The place of a ticket whose wait has ended or whose turn has moved, for its holder to be woken and to
    /// [`claim`](Self::claim); each is given once. Call until `None` after every other verb.
    pub fn settle(&mut self, now: Instant) -> Option<usize> {
        if let Some(place) = self.news.pop() {
            return Some(place as usize);
        }
        let (place, waiter) = self.line.first()?;
        let next = self.next();
        if next > self.parts(now) {
            return self.line.call_up(self.instant(next));
        }
        self.line.decide(place, State::Granted(self.latest));
        self.latest = Turn { at: next, cost: waiter.cost };
        Some(place as usize)
    }

    /// What has become of `ticket`: go, no, or wait on with the ticket.
    pub fn claim(&mut self, ticket: Ticket, now: Instant) -> Admission {
        let answer = match self.line.state(&ticket) {
            // It comes by itself at its time, before anybody has called it up.
            State::Waiting if self.is_first(&ticket) && self.next() <= self.parts(now) => {
                let cost = self.line.first().map_or(1, |(_, waiter)| waiter.cost);
                self.latest = Turn { at: self.next(), cost };
                Admission::Go(Permit::new(0, 0))
            }
            State::Waiting => {
                self.line.look_again(&ticket, self.instant(self.next()), now);
                return Admission::Wait(ticket);
            }
            State::Granted(_) => Admission::Go(Permit::new(0, 0)),
            State::Refused(reason) => {
                let refusal = Refusal::new(Pattern::RateLimit, reason);
                Admission::No(self.room_in(1, now).map_or(refusal, |wait| refusal.after(wait)))
            }
            // Not one of ours: a ticket is claimed once, of the shaper that gave it.
            State::Free => return Admission::No(refused(None, 0)),
        };
        self.forget(&ticket);
        answer
    }

    /// When the holder of `ticket` is to look if nobody calls it up before; `None` if it is not of this shaper.
    #[must_use]
    pub fn due(&self, ticket: &Ticket) -> Option<Instant> {
        self.line.due(ticket)
    }

    fn is_first(&self, ticket: &Ticket) -> bool {
        self.line.first().is_some_and(|(place, _)| place as usize == ticket.place())
    }

    /// The holder of `ticket` has gone. Its turn goes to the next, unless another turn has come meanwhile: then it
    /// has passed unused.
    pub fn abandon(&mut self, ticket: Ticket) {
        match self.line.state(&ticket) {
            State::Free => return,
            State::Granted(before) if self.latest.at == self.after(before) => self.latest = before,
            State::Granted(_) | State::Waiting | State::Refused(_) => {}
        }
        self.forget(&ticket);
    }

    /// Whether anybody waits, or is to be told.
    #[inline]
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        self.line.len() > 0 || !self.news.is_empty()
    }

    /// Whether the one with this place ([`Ticket::place`]) still waits, and has not been called up.
    #[must_use]
    pub fn waits(&self, place: usize) -> bool {
        self.line.waits(place)
    }

    /// When the next turn comes, if anybody waits for one.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.line.first().map(|_| self.instant(self.next()))
    }

    /// How many wait, or have waited and neither claimed their turn nor gone.
    #[must_use]
    pub const fn waiting(&self) -> u32 {
        self.line.held()
    }

    /// The most that may wait.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    /// Places left to wait in.
    #[must_use]
    pub const fn available(&self) -> u64 {
        self.capacity().saturating_sub(self.line.cost())
    }

    /// How long until `cost` places to wait in are free, if no others come; `None` if they never are.
    #[must_use]
    pub fn room_in(&self, cost: u64, now: Instant) -> Option<Duration> {
        if cost > self.capacity() {
            return None;
        }
        match cost.saturating_sub(self.available()) {
            0 => Some(Duration::ZERO),
            // Whatever their costs, by then the ones who have left made so much room.
            missing => {
                let freed = self.next().saturating_add(self.rate.price(missing - 1));
                Some(self.instant(freed).since(now))
            }
        }
    }

    /// How long until a call would go at once, if no others come.
    #[must_use]
    pub fn idle_in(&self, now: Instant) -> Option<Duration> {
        (self.capacity > 0).then(|| self.instant(self.end()).since(now))
    }

    /// Another capacity and rate. The latest turn stays where it was and the next ones follow at the new rate.
    /// Those who no longer have a place are refused, the last first, and so is whoever's turn now comes too late.
    pub fn reconfigure(&mut self, capacity: u64, rate: Rate) {
        if rate != self.rate {
            let at = self.instant(self.latest.at).as_nanos();
            self.latest.at = if self.rate.is_zero() { 0 } else { rate.earned(at) };
            self.line.forget_turns();
        }
        (self.rate, self.capacity) = (rate, places(capacity, rate));
        while self.line.cost() > self.capacity() {
            self.refuse(self.line.last(), Reason::Limited);
        }
        let mut turn = self.next();
        let mut late = Vec::new();
        for (place, waiter) in self.line.waiters() {
            if self.instant(turn) > waiter.give_up_at {
                late.push(place);
            } else {
                turn = turn.saturating_add(rate.price(waiter.cost));
            }
        }
        for place in late {
            self.refuse(place, Reason::Hopeless);
        }
    }

    fn refuse(&mut self, place: u32, reason: Reason) {
        self.line.decide(place, State::Refused(reason));
        self.news.push(place);
    }

    fn forget(&mut self, ticket: &Ticket) {
        self.line.leave(ticket);
        self.news.retain(|place| *place as usize != ticket.place());
    }

    /// When the turn after the latest comes.
    #[inline]
    const fn next(&self) -> u128 {
        self.after(self.latest)
    }

    /// When the turn after `turn` comes.
    #[inline]
    const fn after(&self, turn: Turn) -> u128 {
        turn.at.saturating_add(self.rate.price(turn.cost))
    }

    /// When the turn after all who wait comes.
    const fn end(&self) -> u128 {
        self.next().saturating_add(self.rate.price(self.line.cost()))
    }

    #[inline]
    const fn parts(&self, now: Instant) -> u128 {
        self.rate.earned(now.as_nanos())
    }

    fn instant(&self, parts: u128) -> Instant {
        self.rate.time(parts).map_or(Instant::NEVER, Instant::from_nanos)
    }
}

const fn places(capacity: u64, rate: Rate) -> u32 {
    // One less than there are numbers for places.
    let most = u32::MAX as u64 - 1;
    if rate.is_zero() {
        0
    } else if capacity < most {
        capacity as u32
    } else {
        most as u32
    }
}
