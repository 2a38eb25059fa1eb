//! The driver: it obeys a call's actions as the drivers of the library do, in virtual time.
//!
//! ```text
//!   begin ─▸ Start ─▸ a job at a dependency       answer ─▸ Ended ─╮
//!            Wait ──▸ a timer for `wake_at`       ring ───▸ Tick ──┼─▸ the next action
//!            Cancel ▸ nobody waits for the job ───────▸ Cancelled ─╯
//!            Done ──▸ rows, and a user who may come again
//! ```
//!
//! One timer per call is armed and, like those of the library, never disarmed: if it rings early it is set anew.

use seawall_core::{Action, Ask, Call, Event, Finish, Instant, Line, Stopped};

use super::{
    Answer, Id, Job, SECOND, What, World,
    calls::{Live, Running},
};
use crate::{
    Stop,
    client::Target,
    dependency::Arrived,
    latency::nanos,
    story::{Row, Totals},
};

impl<G: Target> World<'_, G> {
    /// A caller comes.
    pub(super) fn begin(&mut self, traffic: usize, again: u8) -> Result<(), Stop> {
        let seen = self.seen();
        let instance = self.arrivals.draw().below(self.instances.len() as u64) as usize;
        let stream = &self.scenario.traffic[traffic];
        let patience = stream.patience;
        self.story.totals.classes[stream.priority.index()].0 += 1;
        self.count(|row| &mut row.offered, |totals| &mut totals.offered);
        let mut call = Call::new(Ask { priority: stream.priority, ..Ask::default() });
        let action = call.begin(&self.instances[instance].house, seen);
        let books = &mut self.instances[instance].books;
        books.calls += 1;
        books.calls_in_flight += 1;
        let id = self.calls.add(Live {
            call,
            instance,
            traffic,
            again,
            running: None,
            in_line: None,
            server: 0,
            due: u64::MAX,
            armed: u64::MAX,
            moved: self.hands.moved,
        });
        if let Some(patience) = patience {
            self.push(self.now.saturating_add(nanos(patience)), What::Leaves { id });
        }
        self.obey(id, action, seen)
    }

    /// An answer to an attempt comes back; perhaps nobody waits for it.
    pub(super) fn answer(&mut self, job: Job, answer: Answer) -> Result<(), Stop> {
        let Job { id, attempt } = job;
        let live = self.calls.of(id);
        if live.and_then(|live| live.running).is_none_or(|running| running.attempt != attempt) {
            self.story.totals.wasted += 1;
            return Ok(());
        }
        self.end_attempt(id);
        let seen = self.seen();
        self.tell(id, Event::Ended { attempt, verdict: answer.verdict() }, seen)
    }

    /// A timer rings.
    pub(super) fn ring(&mut self, id: Id) -> Result<(), Stop> {
        let (now, seen) = (self.now, self.seen());
        let Some(live) = self.calls.of(id).filter(|live| live.armed == now) else {
            return Ok(());
        };
        live.armed = u64::MAX;
        if live.due > now {
            self.arm(id);
            return Ok(());
        }
        // Two clocks: the timer's may be ahead of ours.
        let seen = seen.max(live.call.wake_at());
        self.tell(id, Event::Tick, seen)
    }

    /// The caller leaves without an answer.
    pub(super) fn leave(&mut self, id: Id) -> Result<(), Stop> {
        let seen = self.seen();
        let Some(live) = self.calls.of(id) else { return Ok(()) };
        let (n, server) = (live.instance, live.server);
        live.call.abandon(&self.instances[n].house, seen, false);
        self.end_attempt(id);
        self.calls.remove(id);
        self.instances[n].books.calls_in_flight -= 1;
        self.story.totals.left += 1;
        self.check(n, server, None)?;
        self.call_up(n)
    }

    /// Tells a call what happened. Any event may tell any call.
    fn tell(&mut self, id: Id, event: Event, seen: Instant) -> Result<(), Stop> {
        let Some(live) = self.calls.of(id) else { return Ok(()) };
        let action = live.call.on(&self.instances[live.instance].house, event, seen);
        self.obey(id, action, seen)
    }

    /// Tells those of an instance whose turn has come.
    fn call_up(&mut self, n: usize) -> Result<(), Stop> {
        loop {
            let next = self.instances[n].house.woken.borrow_mut().pop();
            let Some((line, place)) = next else { return Ok(()) };
            let Some(id) = self.lines.remove(&(n, line, place)) else { continue };
            let seen = self.seen();
            self.tell(id, Event::Woken, seen)?;
        }
    }

    fn obey(&mut self, id: Id, mut action: Action, seen: Instant) -> Result<(), Stop> {
        loop {
            self.note_wait(id, seen);
            let Some(live) = self.calls.of(id) else { return Ok(()) };
            let n = live.instance;
            match action {
                Action::Start { attempt } => {
                    self.start(id, attempt, seen);
                    action = Action::Wait;
                }
                Action::Cancel { attempt, .. } => {
                    self.end_attempt(id);
                    let Some(live) = self.calls.of(id) else { return Ok(()) };
                    let house = &self.instances[n].house;
                    action = live.call.on(house, Event::Cancelled { attempt }, seen);
                }
                Action::Wait => {
                    let (server, wake_at) = (live.server, live.call.wake_at());
                    live.due = match wake_at {
                        Instant::NEVER => u64::MAX,
                        at => self.now.saturating_add(nanos(at.since(seen))),
                    };
                    if let Some((line, place)) = live.call.queued() {
                        self.lines.insert((n, line, place), id);
                    }
                    self.arm(id);
                    self.check(n, server, None)?;
                    return self.call_up(n);
                }
                Action::Done(finish) => {
                    self.finish(id, finish, seen)?;
                    return self.call_up(n);
                }
            }
        }
    }

    /// Writes down how long a call stood in line for a place, once it does not any more.
    fn note_wait(&mut self, id: Id, seen: Instant) {
        let Some(live) = self.calls.of(id) else { return };
        if matches!(live.call.queued(), Some((Line::Bulkhead, _))) {
            live.in_line.get_or_insert(seen);
        } else if let Some(since) = live.in_line.take()
            // Across a clock that was moved, nobody can say how long it was.
            && live.moved == self.hands.moved
        {
            let waited = &mut self.instances[live.instance].books.waited;
            *waited = seen.since(since).max(*waited);
        }
    }

    /// Sends an attempt.
    fn start(&mut self, id: Id, attempt: u8, seen: Instant) {
        let Some(live) = self.calls.of(id) else { return };
        let Some(pick) = live.call.picked(attempt) else { return };
        let server = usize::from(G::endpoint(pick));
        let instance = &mut self.instances[live.instance];
        let probe = instance.house.machines.borrow().gate.half_open(pick, seen);
        if let Some(half_open) = probe {
            let endpoint = &mut instance.endpoints[server];
            if endpoint.half_open != half_open {
                (endpoint.half_open, endpoint.probes) = (half_open, 0);
            }
            endpoint.probes += 1;
        }
        (live.running, live.server) = (Some(Running { attempt, probe }), server);
        let books = &mut instance.books;
        *(if attempt == 1 { &mut books.first_attempts } else { &mut books.retries }) += 1;
        books.attempts_in_flight += 1;
        self.count(|row| &mut row.attempts, |totals| &mut totals.attempts);
        let job = Job { id, attempt };
        match self.servers[server].arrive(job) {
            Arrived::Starts => self.work(server, job),
            Arrived::Waits => {}
            Arrived::Refused(answer) => {
                self.push(self.now + REFUSAL, What::Answered { job, answer });
            }
        }
        let load = self.servers[server].load();
        if let Some(row) = self.row() {
            row.peak = row.peak.max(load[0].0 + load[1].0);
        }
    }

    /// Nobody waits for the running attempt any longer, if one runs.
    fn end_attempt(&mut self, id: Id) {
        let Some(live) = self.calls.of(id) else { return };
        let Some(Running { probe, .. }) = live.running.take() else { return };
        let instance = &mut self.instances[live.instance];
        instance.books.attempts_in_flight -= 1;
        let endpoint = &mut instance.endpoints[live.server];
        if probe == Some(endpoint.half_open) {
            endpoint.probes -= 1;
        }
    }

    fn finish(&mut self, id: Id, finish: Finish, seen: Instant) -> Result<(), Stop> {
        let Some(live) = self.calls.of(id) else { return Ok(()) };
        let (n, server, traffic, more) = (live.instance, live.server, live.traffic, live.again);
        let (give_up_at, moved) = (live.call.give_up_at(), live.moved);
        self.calls.remove(id);
        self.instances[n].books.calls_in_flight -= 1;
        let stream = &self.scenario.traffic[traffic];
        let good = matches!(finish, Finish::Answer { stopped: Stopped::Succeeded, .. });
        if good {
            self.story.totals.classes[stream.priority.index()].1 += 1;
            self.count(|row| &mut row.good, |totals| &mut totals.good);
        } else if let Finish::Refused(_) = finish {
            self.count(|row| &mut row.refused, |totals| &mut totals.refused);
        } else {
            self.count(|row| &mut row.failed, |totals| &mut totals.failed);
        }
        if let Some(again) = stream.again.filter(|_| !good)
            && more > 0
        {
            let at = self.now.saturating_add(nanos(again.after));
            if at < self.lasts {
                self.push(at, What::ComesAgain { traffic, more: more - 1 });
            }
        }
        // Across a clock that was moved, nobody can say what a deadline meant.
        let ended = (moved == self.hands.moved).then_some((seen, give_up_at));
        self.check(n, server, ended)
    }

    /// Sets the timer for when the driver wants to be woken, unless it rings early enough.
    fn arm(&mut self, id: Id) {
        let Some(live) = self.calls.of(id) else { return };
        if live.due < live.armed {
            live.armed = live.due;
            let due = live.due;
            self.push(due, What::Rings { id });
        }
    }

    /// In the row of this second and in the totals.
    fn count(&mut self, row: fn(&mut Row) -> &mut u64, totals: fn(&mut Totals) -> &mut u64) {
        *totals(&mut self.story.totals) += 1;
        if let Some(this_second) = self.row() {
            *row(this_second) += 1;
        }
    }
}

/// How long a refusal takes: a round trip to a machine nearby.
const REFUSAL: u64 = SECOND / 1_000;
