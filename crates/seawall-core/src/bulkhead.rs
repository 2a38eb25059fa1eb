//! The bulkhead: at most so many calls at once, so that one slow dependency cannot fill the whole ship; and a
//! short line of those who wait for a place, by urgency.
//!
//! ```text
//!   admit ── a place free, nobody before me ─────────────▸ Go      leave: the place is free
//!     ├───── no place, and room to wait ──▸ Wait ─┬ my turn ─▸ Go
//!     │                                           ├ max_wait, the deadline, a more urgent call ─▸ No
//!     │                                           └ abandoned: as if never asked, granted or not
//!     └───── no room, or no hope ─────────▸ No
//! ```
//!
//! Who is next: the oldest head of a class that has waited half of `max_wait`, else the head of the most urgent
//! class. So urgency decides while waits are short, and age before they are over. (Counting age against
//! urgency in steps starves: under steady overload the urgent ones have aged too.) Passed over is only who may
//! not start: a class leaves alone what others have reserved and not used.
//!
//! Who may wait: in a queue of five or more every class keeps one place. Where there is no room, the youngest of
//! the least urgent class that has more than one waiting makes room for a more urgent call. Who cannot be served
//! in time, by what calls have taken lately, is refused at once and not after a wait in vain.
//!
//! A visit to the bulkhead ends with [`settle`](Bulkhead::settle) until it has nothing more to tell: there places
//! are handed on. So no place is free that a waiter may use. A place is held until the call has ended
//! altogether, for a streamed answer until its last byte.

mod config;
mod expiry;
mod memory;
mod queue;
mod rules;
mod snapshot;
#[cfg(test)]
mod tests;

use core::time::Duration;

pub use self::{config::BulkheadConfig, memory::BulkheadMemory, snapshot::BulkheadSnapshot};
use self::{
    queue::{Queue, State, Waiter},
    rules::{EVERY_CLASS, end, lane, unreserved},
};
use crate::{
    Admission, Instant, Invalid, Pattern, Permit, Priority, Reason, Refusal, Ticket,
    invalid::first,
    permit::{first_epoch, place_of, row_of},
    time::nanos,
};

/// The machine. 376 bytes, and 64 for each who ever waited at once, of whom there are at most `2 * max_queue +
/// max_concurrent`. Every verb takes constant time or that of a heap of the waiters; only waits that end together
/// are ended together.
#[derive(Clone, Debug)]
pub struct Bulkhead {
    /// Calls that have a place, granted tickets included.
    running: u32,
    /// With fewer running any class may start, whatever is reserved.
    unreserved: u32,
    /// Of all machines that have been here.
    era: u32,
    queue: Queue,
    /// Calls that have a place, by class.
    active: [u32; 5],
    admitted: [u64; 5],
    completed: u64,
    /// Of those completed, the ones of which it has no memory: they were others'.
    forgotten: u64,
    /// How long calls have run lately, in eighths of a nanosecond.
    run_time: u64,
    config: BulkheadConfig,
    /// The latest instant seen.
    latest: Instant,
    refused: u64,
    waits_over: u64,
    displaced: u64,
    hopeless: u64,
    abandoned: u64,
}

impl Bulkhead {
    /// An empty bulkhead.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn new(config: &BulkheadConfig) -> Result<Self, Invalid> {
        first(|found| config.check(found))?;
        Ok(Self {
            running: 0,
            unreserved: unreserved(config),
            era: 0,
            queue: Queue::new(),
            active: [0; 5],
            admitted: [0; 5],
            completed: 0,
            forgotten: 0,
            run_time: 0,
            config: config.clone(),
            latest: Instant::ORIGIN,
            refused: 0,
            waits_over: 0,
            displaced: 0,
            hopeless: 0,
            abandoned: 0,
        })
    }

    /// The same machine, to whom permits and tickets of those that were here before mean nothing: `era` is another than
    /// theirs, and not 0, which is that of the first.
    #[must_use]
    pub const fn joining(mut self, era: u32) -> Self {
        self.era = era;
        self
    }

    /// A place, a ticket to wait for one, or a refusal. The ticket is refused at `give_up_at` at the latest.
    #[inline]
    pub fn admit(&mut self, priority: Priority, give_up_at: Instant, now: Instant) -> Admission {
        if self.queue.len() == 0 && self.running < self.unreserved {
            return Admission::Go(self.start(priority));
        }
        self.admit_or_wait(priority, give_up_at, now)
    }

    /// Whether a call of this class would have a place at once.
    #[must_use]
    pub fn has_place(&self, priority: Priority) -> bool {
        // Whoever waits may not start, or would have been called up: nobody comes before this one.
        self.may_start(priority)
    }

    /// The place, as of [`Ticket::place`], of one whose wait has ended, or will end sooner than it was told: it is to be
    /// woken, and to [`claim`](Self::claim). Each is told once. Asked at the end of every visit, until `None`.
    #[inline]
    pub fn settle(&mut self, now: Instant) -> Option<usize> {
        if self.queue.len() > 0 {
            self.advance(now);
        }
        self.queue.tell().map(|row| place_of(row as usize, self.era))
    }

    /// What has become of `ticket`: its turn has come, it was refused, or it still waits and is given back.
    pub fn claim(&mut self, ticket: Ticket, now: Instant) -> Admission {
        self.advance(now);
        let known = ticket.known(self.era);
        let reason = match self.queue.state(&known) {
            State::Waiting => {
                self.queue.look(&known);
                return Admission::Wait(ticket);
            }
            State::Granted => {
                let class = self.vacate(&known);
                self.admitted[class.index()] += 1;
                return Admission::Go(self.permit(class));
            }
            State::Refused(reason) => {
                self.vacate(&known);
                reason
            }
            State::Free => Reason::WaitOver, // a ticket of another bulkhead
        };
        Admission::No(Refusal::new(Pattern::Bulkhead, reason))
    }

    /// The waiter leaves. If its turn had come, its place goes to the next.
    pub fn abandon(&mut self, ticket: Ticket) {
        let ticket = ticket.known(self.era);
        match self.queue.state(&ticket) {
            State::Free => return,
            State::Waiting => self.abandoned += 1,
            State::Granted => {
                self.abandoned += 1;
                self.free(self.queue.waiter(ticket.place() as u32).class.index());
            }
            State::Refused(_) => {}
        }
        self.vacate(&ticket);
    }

    /// The call that held `permit` has ended, after `ran`. Of another bulkhead's permits nothing is known here.
    #[inline]
    pub fn leave(&mut self, permit: Permit, ran: Duration) {
        if permit.epoch() != first_epoch(self.era) {
            return;
        }
        self.free(usize::from(permit.slot()));
        self.completed += 1;
        // From nothing, so that it is short while little is known: then too many wait, and not too few.
        self.run_time -= self.run_time >> DECAY_SHIFT;
        self.run_time += nanos(ran).min(u64::MAX >> (DECAY_SHIFT + 1));
    }

    /// The call that was given `permit` does not run after all.
    pub fn withdraw(&mut self, permit: Permit) {
        if permit.epoch() == first_epoch(self.era) {
            self.free(usize::from(permit.slot()));
        }
    }

    /// When the wait of the one who holds `ticket` ends, and it is to ask if nobody calls it up before; `None` if the
    /// ticket is not of this bulkhead.
    #[must_use]
    pub fn due(&self, ticket: &Ticket) -> Option<Instant> {
        let ticket = ticket.known(self.era);
        let known = self.queue.state(&ticket) != State::Free;
        known.then(|| end(&self.config, self.queue.waiter(ticket.place() as u32)))
    }

    /// Whether anybody waits, or is to be told: then [`settle`](Self::settle) may have something to say.
    #[inline]
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        self.queue.is_asked()
    }

    /// Whether the one with this place ([`Ticket::place`]) still waits, and has nothing to hear of.
    #[must_use]
    pub fn waits(&self, place: usize) -> bool {
        self.queue.waits(row_of(place, self.era))
    }

    /// When the next wait ends.
    #[inline]
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.queue.next_end().map(|(end, _)| end)
    }

    /// How long one may hold a place.
    #[inline]
    #[must_use]
    pub const fn max_run(&self) -> Option<Duration> {
        self.config.max_run
    }

    /// Threads for blocking work, if that was said.
    #[must_use]
    pub const fn pool_threads(&self) -> Option<u32> {
        self.config.pool_threads
    }

    /// Other settings from now on. Nothing that runs is cut: a lower limit is reached as calls end. Who finds no
    /// place, and no room in a shorter queue, is refused, the least urgent and of them the youngest first.
    ///
    /// # Errors
    /// The first setting that makes no sense; then nothing has changed.
    pub fn reconfigure(&mut self, config: &BulkheadConfig, now: Instant) -> Result<(), Invalid> {
        first(|found| config.check(found))?;
        self.end_waits(now); // the old settings have ruled until now
        self.unreserved = unreserved(config);
        self.config = config.clone();
        self.queue.line_up(|waiter| (lane(config, waiter.class), end(config, waiter)));
        for class in Priority::ALL {
            while self.is_shut_out(class)
                && let Some((place, _)) = self.queue.tail(class.index())
            {
                self.refuse_waiter(place, Reason::TooLarge);
            }
        }
        self.advance(now); // whoever finds a place needs no room to wait
        let kept = u32::from(config.max_queue >= EVERY_CLASS);
        while self.queue.len() > config.max_queue
            && let Some(place) = self.youngest_of_the_least_urgent(0, kept)
        {
            self.refuse_waiter(place, Reason::Full);
        }
        Ok(())
    }
}

/// What happens off the straight way.
impl Bulkhead {
    #[cold]
    fn admit_or_wait(&mut self, class: Priority, give_up_at: Instant, now: Instant) -> Admission {
        let now = self.advance(now);
        // Nobody who waits may start now; so whoever of this class waits does not come before this one.
        if self.may_start(class) {
            return Admission::Go(self.start(class));
        }
        let waiter = Waiter { class, entered: now, give_up_at };
        let end = end(&self.config, &waiter);
        if self.is_shut_out(class) {
            return self.refuse(Reason::TooLarge, None);
        }
        if self.config.max_queue == 0 {
            return self.refuse(Reason::Full, None);
        }
        if end <= now {
            return self.refuse(Reason::TooLate, None);
        }
        let expected = self.expected_wait(class);
        if expected > end.since(now) {
            return self.refuse(Reason::Hopeless, Some(expected));
        }
        if self.queue.occupied() >= self.config.max_queue.saturating_mul(2) {
            return self.refuse(Reason::Full, None);
        }
        if !self.has_room(class) {
            match self.youngest_of_the_least_urgent(lane(&self.config, class) + 1, 1) {
                Some(place) => self.refuse_waiter(place, Reason::Displaced),
                None => return self.refuse(Reason::Full, None),
            }
        }
        Admission::Wait(self.queue.enter(waiter, lane(&self.config, class), end).of(self.era))
    }

    /// Ends the waits that are over, then hands free places on. Returns now: not before what was seen already,
    /// so that on a clock that steps back no time passes.
    fn advance(&mut self, now: Instant) -> Instant {
        self.end_waits(now);
        while let Some((place, class)) = self.next() {
            self.running += 1;
            self.active[class.index()] += 1;
            self.queue.decide(place, lane(&self.config, class), State::Granted);
        }
        self.latest
    }

    fn end_waits(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        while let Some((end, place)) = self.queue.next_end()
            && end <= self.latest
        {
            let in_time = self.queue.waiter(place).give_up_at > end;
            let reason = if in_time { Reason::WaitOver } else { Reason::TooLate };
            self.refuse_waiter(place, reason);
        }
    }

    #[inline]
    fn start(&mut self, class: Priority) -> Permit {
        self.running += 1;
        self.active[class.index()] += 1;
        self.admitted[class.index()] += 1;
        self.permit(class)
    }

    #[inline]
    const fn permit(&self, class: Priority) -> Permit {
        Permit::new(first_epoch(self.era), class.index() as u8)
    }

    /// A place that one of `class` held.
    #[inline]
    fn free(&mut self, class: usize) {
        self.running = self.running.saturating_sub(1);
        if let Some(active) = self.active.get_mut(class) {
            *active = active.saturating_sub(1);
        }
    }

    #[cold]
    fn refuse(&mut self, reason: Reason, retry_after: Option<Duration>) -> Admission {
        self.count(reason);
        Admission::No(Refusal { retry_after, ..Refusal::new(Pattern::Bulkhead, reason) })
    }

    fn refuse_waiter(&mut self, place: u32, reason: Reason) {
        self.count(reason);
        let lane = lane(&self.config, self.queue.waiter(place).class);
        self.queue.decide(place, lane, State::Refused(reason));
    }

    const fn count(&mut self, reason: Reason) {
        self.refused += 1;
        self.waits_over += matches!(reason, Reason::WaitOver | Reason::TooLate) as u64;
        self.displaced += matches!(reason, Reason::Displaced) as u64;
        self.hopeless += matches!(reason, Reason::Hopeless) as u64;
    }

    /// The ticket's place in the queue is free for another. Whose it was, by class.
    fn vacate(&mut self, ticket: &Ticket) -> Priority {
        let place = ticket.place() as u32;
        let class = self.queue.waiter(place).class;
        self.queue.vacate(place, lane(&self.config, class));
        class
    }
}

/// A call weighs an eighth of what calls have taken lately: it follows a change within some twenty calls.
const DECAY_SHIFT: u32 = 3;
