//! The rules again, in the most naive way: one list of everybody, searched from its beginning; and a bulkhead
//! and its model driven side by side.

use alloc::{collections::BTreeMap, vec::Vec};

use super::*;
use crate::bulkhead::queue::State;

/// What became of one who asked, in comparable form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Go,
    Wait,
    No(Reason, Option<Duration>),
}

impl From<&Admission> for Answer {
    fn from(admission: &Admission) -> Self {
        match admission {
            Admission::Go(_) => Self::Go,
            Admission::Wait(_) => Self::Wait,
            Admission::No(refusal) => Self::No(refusal.reason, refusal.retry_after),
        }
    }
}

#[derive(Clone, Debug)]
struct One {
    id: u32,
    class: Priority,
    entered: Instant,
    give_up_at: Instant,
    state: State,
    untold: bool,
    /// It waits, is to hear that its wait ends sooner, and has not looked since.
    called: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    config: BulkheadConfig,
    latest: Instant,
    /// Everybody with a ticket, in the order in which they came.
    all: Vec<One>,
    running: [u32; 5],
    run_time: u64,
    shown: BulkheadSnapshot,
}

impl Model {
    fn new(config: &BulkheadConfig) -> Self {
        let shown = Bulkhead::new(config).unwrap().snapshot();
        let (all, latest) = (Vec::new(), Instant::ORIGIN);
        Self { config: config.clone(), latest, all, running: [0; 5], run_time: 0, shown }
    }

    fn waiting(&self) -> impl DoubleEndedIterator<Item = &One> {
        self.all.iter().filter(|one| one.state == State::Waiting)
    }

    fn count(&self, class: Priority) -> usize {
        self.waiting().filter(|one| one.class == class).count()
    }

    fn end(&self, one: &One) -> Instant {
        one.give_up_at.min(one.entered + self.config.max_wait)
    }

    fn all_running(&self) -> u32 {
        self.running.iter().sum()
    }

    pub(super) fn may_start(&self, class: Priority) -> bool {
        let mut free = i64::from(self.config.max_concurrent) - i64::from(self.all_running());
        for other in Priority::ALL {
            let (reserve, active) =
                (self.config.reserves[other.index()], self.running[other.index()]);
            if other != class && reserve > active {
                free -= i64::from(reserve - active);
            }
        }
        free > 0
    }

    fn shut_out(&self, class: Priority) -> bool {
        let others = Priority::ALL.iter().filter(|&&other| other != class);
        others.map(|other| self.config.reserves[other.index()]).sum::<u32>()
            >= self.config.max_concurrent
    }

    fn refuse(&mut self, reason: Reason, after: Option<Duration>) -> Answer {
        self.shown.refused += 1;
        match reason {
            Reason::WaitOver | Reason::TooLate => self.shown.waits_over += 1,
            Reason::Displaced => self.shown.displaced += 1,
            Reason::Hopeless => self.shown.hopeless += 1,
            _ => {}
        }
        Answer::No(reason, after)
    }

    fn decide(&mut self, id: u32, state: State) {
        let one = self.all.iter_mut().find(|one| one.id == id).unwrap();
        (one.state, one.untold) = (state, true);
        if let State::Refused(reason) = state {
            self.refuse(reason, None);
        } else {
            self.running[one.class.index()] += 1;
        }
    }

    fn next(&self) -> Option<u32> {
        let mut heads: Vec<&One> = Vec::new();
        for one in self.waiting() {
            let behind = |head: &&One| !self.config.priority || head.class == one.class;
            if !heads.iter().any(behind) {
                heads.push(one);
            }
        }
        heads.retain(|head| self.may_start(head.class));
        heads.sort_by_key(|head| head.class);
        let old = |head: &&&One| self.latest.since(head.entered) >= self.config.max_wait / 2;
        let oldest = heads.iter().filter(old).min_by_key(|head| head.entered);
        oldest.or(heads.first()).map(|head| head.id)
    }

    fn advance(&mut self, now: Instant) {
        self.end_waits(now);
        while let Some(id) = self.next() {
            self.decide(id, State::Granted);
        }
    }

    fn end_waits(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        let over: Vec<One> =
            self.waiting().filter(|one| self.end(one) <= self.latest).cloned().collect();
        for one in over {
            let late = one.give_up_at <= one.entered + self.config.max_wait;
            let reason = if late { Reason::TooLate } else { Reason::WaitOver };
            self.decide(one.id, State::Refused(reason));
        }
    }

    fn go(&mut self, class: Priority) -> Answer {
        self.running[class.index()] += 1;
        self.shown.admitted_by_class[class.index()] += 1;
        Answer::Go
    }

    fn admit(&mut self, id: u32, class: Priority, give_up_at: Instant, now: Instant) -> Answer {
        let reserved: u32 = self.config.reserves.iter().sum();
        let nobody = self.waiting().next().is_none();
        if nobody && self.all_running() + reserved < self.config.max_concurrent {
            return self.go(class); // the clock is not looked at
        }
        self.advance(now);
        if self.may_start(class) {
            return self.go(class);
        }
        let one = One {
            id,
            class,
            entered: self.latest,
            give_up_at,
            state: State::Waiting,
            untold: false,
            called: false,
        };
        let places = self.config.max_queue as usize;
        if self.shut_out(class) {
            return self.refuse(Reason::TooLarge, None);
        }
        if places == 0 {
            return self.refuse(Reason::Full, None);
        }
        if give_up_at <= self.latest {
            return self.refuse(Reason::TooLate, None);
        }
        let takes =
            |ahead: usize, places: u32| self.run_time / 8 * ahead as u64 / u64::from(places);
        let expected = match self.config.priority {
            true => Priority::ALL[..=class.index()]
                .iter()
                .map(|&from| {
                    let ahead = self.waiting().filter(|one| (from..=class).contains(&one.class));
                    let rows = Priority::ALL.iter().zip(self.config.reserves);
                    let others = rows.filter(|(other, _)| !(from..=class).contains(other));
                    let reserved: u32 = others.map(|(_, reserve)| reserve).sum();
                    takes(ahead.count(), self.config.max_concurrent - reserved)
                })
                .max()
                .unwrap_or(0),
            false => takes(self.waiting().count(), self.config.max_concurrent),
        };
        if self.shown.completed >= 20
            && expected > self.end(&one).as_nanos() - self.latest.as_nanos()
        {
            return self.refuse(Reason::Hopeless, Some(Duration::from_nanos(expected)));
        }
        let unseen = self.all.iter().filter(|one| matches!(one.state, State::Refused(_))).count();
        if self.waiting().count() + unseen >= 2 * places {
            return self.refuse(Reason::Full, None);
        }
        let kept = match self.config.priority && places >= 5 {
            true => Priority::ALL.iter().filter(|&&c| c != class && self.count(c) == 0).count(),
            false => 0,
        };
        if self.waiting().count() + kept >= places {
            let lower = Priority::ALL.iter().rev().find(|&&c| c > class && self.count(c) > 1);
            let Some(lower) = lower.filter(|_| self.config.priority) else {
                return self.refuse(Reason::Full, None);
            };
            let victim = self.waiting().rfind(|one| one.class == *lower).unwrap().id;
            self.decide(victim, State::Refused(Reason::Displaced));
        }
        self.all.push(one);
        Answer::Wait
    }

    fn claim(&mut self, id: u32, now: Instant) -> Answer {
        self.advance(now);
        let at = self.all.iter().position(|one| one.id == id).unwrap();
        let One { class, state, .. } = self.all[at];
        match state {
            State::Waiting => {
                (self.all[at].untold, self.all[at].called) = (false, false);
                return Answer::Wait;
            }
            State::Granted => self.shown.admitted_by_class[class.index()] += 1,
            State::Refused(_) | State::Free => {}
        }
        self.all.remove(at);
        let State::Refused(reason) = state else { return Answer::Go };
        Answer::No(reason, None)
    }

    fn abandon(&mut self, id: u32) {
        let at = self.all.iter().position(|one| one.id == id).unwrap();
        let One { class, state, .. } = self.all.remove(at);
        self.shown.abandoned += u64::from(!matches!(state, State::Refused(_)));
        self.running[class.index()] -= u32::from(state == State::Granted);
    }

    fn leave(&mut self, class: Priority, ran: Duration) {
        self.running[class.index()] -= 1;
        self.shown.completed += 1;
        self.run_time = self.run_time - self.run_time / 8 + nanos(ran);
    }

    fn reconfigure(&mut self, config: &BulkheadConfig, now: Instant) {
        self.end_waits(now);
        if self.config.priority && !config.priority {
            self.all.sort_by_key(|one| (one.entered, one.class));
        }
        let before: Vec<Instant> = self.all.iter().map(|one| self.end(one)).collect();
        self.config = config.clone();
        let sooner: Vec<bool> = (self.all.iter().zip(&before))
            .map(|(one, before)| one.state == State::Waiting && self.end(one) < *before)
            .collect();
        if sooner.contains(&true) {
            for (one, sooner) in self.all.iter_mut().zip(sooner) {
                one.called |= sooner;
                one.untold |= one.called && one.state == State::Waiting;
            }
        }
        let shut_out: Vec<u32> =
            self.waiting().filter(|one| self.shut_out(one.class)).map(|one| one.id).collect();
        for id in shut_out {
            self.decide(id, State::Refused(Reason::TooLarge));
        }
        self.advance(now);
        while self.waiting().count() > config.max_queue as usize {
            let kept = usize::from(config.max_queue >= 5);
            let lowest = Priority::ALL.iter().rev().find(|&&c| self.count(c) > kept).unwrap();
            let last = self.waiting().rfind(|one| one.class == *lowest || !config.priority);
            let id = last.unwrap().id;
            self.decide(id, State::Refused(Reason::Full));
        }
    }

    fn tell(&mut self, now: Instant) -> Vec<u32> {
        if self.waiting().next().is_some() {
            self.advance(now);
        }
        let look = |one: &mut One| core::mem::take(&mut one.untold).then_some(one.id);
        self.all.iter_mut().filter_map(look).collect()
    }

    fn snapshot(&self) -> BulkheadSnapshot {
        BulkheadSnapshot {
            running: self.all_running(),
            max_concurrent: self.config.max_concurrent,
            queued: self.waiting().count() as u32,
            queued_by_class: Priority::ALL.map(|class| self.count(class) as u32),
            ..self.shown
        }
    }
}

/// A bulkhead and its model; after every verb they must agree.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) bulkhead: Bulkhead,
    pub(super) model: Model,
    /// The word of each ticket out, by the number of its holder.
    pub(super) tickets: BTreeMap<u32, (u32, u32)>,
    /// Numbers and classes of those who run.
    pub(super) running: Vec<(u32, Priority)>,
    /// Tickets that are worth nothing any longer.
    stale: Vec<(u32, u32)>,
    asked: u64,
    /// Tickets out at once, at most.
    most: usize,
    granted: [Option<u32>; 5],
}

impl Pair {
    pub(super) fn new(config: &BulkheadConfig) -> Self {
        Self {
            bulkhead: Bulkhead::new(config).unwrap(),
            model: Model::new(config),
            tickets: BTreeMap::new(),
            running: Vec::new(),
            stale: Vec::new(),
            asked: 0,
            most: 0,
            granted: [None; 5],
        }
    }

    /// `id` is new and larger than all before if the order within a class is to be checked.
    pub(super) fn admit(&mut self, id: u32, class: Priority, give_up_at: Instant, now: Instant) {
        self.asked += 1;
        let admission = self.bulkhead.admit(class, give_up_at, now);
        assert_eq!(Answer::from(&admission), self.model.admit(id, class, give_up_at, now));
        self.take(id, class, admission);
        self.agree();
    }

    pub(super) fn claim(&mut self, id: u32, now: Instant) {
        let (generation, place) = self.tickets.remove(&id).unwrap();
        let class = self.model.all.iter().find(|one| one.id == id).unwrap().class;
        let admission = self.bulkhead.claim(Ticket::new(generation, place), now);
        assert_eq!(Answer::from(&admission), self.model.claim(id, now));
        if !matches!(admission, Admission::Wait(_)) {
            self.stale.push((generation, place));
        }
        self.take(id, class, admission);
        self.agree();
    }

    pub(super) fn abandon(&mut self, id: u32) {
        let (generation, place) = self.tickets.remove(&id).unwrap();
        self.bulkhead.abandon(Ticket::new(generation, place));
        self.model.abandon(id);
        self.stale.push((generation, place));
        self.agree();
    }

    pub(super) fn leave(&mut self, at: usize, ran: Duration) {
        let (_, class) = self.running.remove(at);
        self.bulkhead.leave(Permit::new(0, class.index() as u8), ran);
        self.model.leave(class, ran);
        self.agree();
    }

    pub(super) fn reconfigure(&mut self, config: &BulkheadConfig, now: Instant) {
        self.bulkhead.reconfigure(config, now).unwrap();
        self.model.reconfigure(config, now);
        self.agree();
    }

    /// Ends a visit, and checks what must be true between visits.
    pub(super) fn settle(&mut self, now: Instant) {
        let mut expected = self.model.tell(now);
        let mut told = Vec::new();
        while let Some(place) = self.bulkhead.settle(now) {
            let (&id, _) = self.tickets.iter().find(|(_, t)| t.1 as usize == place).unwrap();
            let one = self.model.all.iter().find(|one| one.id == id).unwrap();
            if one.state == State::Granted {
                let before = self.granted[one.class.index()].replace(id);
                assert!(before < Some(id), "first come, first served within {}", one.class);
            }
            told.push(id);
        }
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected, "each is told once");
        self.agree();
        for (id, &(generation, place)) in &self.tickets {
            let one = self.model.all.iter().find(|one| one.id == *id).unwrap();
            let due = self.bulkhead.due(&Ticket::new(generation, place));
            assert_eq!(due, Some(self.model.end(one)), "who asks then hears its end");
        }
        for one in self.model.waiting() {
            assert!(!self.model.may_start(one.class), "a place is free and {} waits", one.class);
            assert!(self.model.end(one) > self.model.latest, "a wait that is over");
        }
    }

    /// Numbers are used again: they say nothing about who came first.
    pub(super) fn forget_the_order(&mut self) {
        self.granted = [None; 5];
    }

    /// A ticket that was claimed or abandoned is worth nothing, whoever has its place now.
    pub(super) fn misuse(&mut self, at: usize, claim: bool, now: Instant) {
        let Some(&(generation, place)) = self.stale.get(at % self.stale.len().max(1)) else {
            return;
        };
        let ticket = Ticket::new(generation, place);
        if claim {
            self.model.advance(now);
            let no = self.bulkhead.claim(ticket, now);
            assert_eq!(Answer::from(&no), Answer::No(Reason::WaitOver, None));
        } else {
            self.bulkhead.abandon(ticket);
        }
        self.agree();
    }

    fn take(&mut self, id: u32, class: Priority, admission: Admission) {
        match admission {
            Admission::Go(permit) => {
                assert_eq!(permit, Permit::new(0, class.index() as u8));
                self.running.push((id, class));
            }
            Admission::Wait(ticket) => {
                let word = (ticket.generation(), ticket.place() as u32);
                assert!(
                    self.tickets.values().all(|other| other.1 != word.1),
                    "one place, one ticket"
                );
                self.tickets.insert(id, word);
                self.most = self.most.max(self.tickets.len());
                assert!((word.1 as usize) < self.most, "a place of the table lost");
            }
            Admission::No(_) => {}
        }
    }

    fn agree(&self) {
        let seen = self.bulkhead.snapshot();
        assert_eq!(seen, self.model.snapshot());
        let next_end = self.model.waiting().map(|one| self.model.end(one)).min();
        assert_eq!(self.bulkhead.wake_at(), next_end);
        let of = |state| self.model.all.iter().filter(|one| one.state == state).count() as u64;
        let granted = of(State::Granted);
        assert_eq!(u64::from(seen.running), self.running.len() as u64 + granted, "a place lost");
        let admitted: u64 = seen.admitted_by_class.iter().sum();
        assert_eq!(admitted, seen.completed + self.running.len() as u64);
        let ended = admitted + seen.refused + seen.abandoned;
        assert_eq!(self.asked, ended + of(State::Waiting) + granted, "a call lost");
        let config = &self.model.config;
        assert!(seen.queued <= config.max_queue, "{seen:?}");
    }

    /// All that matters for what comes next, in time from now: the whole state, but for its counters.
    pub(super) fn state(&self, now: Instant) -> std::string::String {
        let of = |one: &One| {
            let ticket = self.tickets.get(&one.id).map(|ticket| ticket.1);
            let age = self.model.latest.since(one.entered);
            let left = self.model.end(one).since(self.model.latest);
            (one.id, one.class, age, left, one.state, ticket)
        };
        let lag = self.model.latest.since(now);
        std::format!(
            "{:?} {:?} {lag:?}",
            self.running,
            self.model.all.iter().map(of).collect::<Vec<_>>()
        )
    }
}
