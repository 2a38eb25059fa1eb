//! The world: one heap of events in order of time, and what each of them does.
//!
//! ```text
//!   heap (time, number) ──pop──▸ happen ──▸ drive a call ──▸ push what follows
//!                                  │             │
//!                                journal      invariants, books, rows
//! ```
//!
//! Events of one moment happen in the order in which they were pushed, so nothing depends on how a heap breaks ties.
//! A call is told of by its id, which a call that comes later in the same place does not share: an answer nobody
//! waits for finds nobody.

mod calls;
mod check;
mod drive;
mod due;

use std::collections::{BinaryHeap, HashMap};

use calls::Calls;
use check::Note;
use due::Due;
use seawall_core::{Draws, Gate, Instant, Invalid, Line, Phase};

use crate::{
    Scenario, Stop, Story, Totals,
    client::{House, Target},
    clock::Hands,
    dependency::{Answer, Server},
    invariant::Books,
    journal::Journal,
    latency::nanos,
    story::Row,
};

/// A scenario under way.
pub(crate) struct World<'s, G: Gate> {
    scenario: &'s Scenario,
    now: u64,
    lasts: u64,
    heap: BinaryHeap<Due>,
    pushed: u64,
    hands: Hands,
    arrivals: Draws,
    work: Draws,
    instances: Vec<Instance<G>>,
    servers: Vec<Server<Job>>,
    calls: Calls<G::Pick>,
    /// Who has which place in which line of which instance.
    lines: HashMap<(usize, Line, usize), Id>,
    story: Story,
    journal: Journal<Note>,
}

/// One instance of the client.
struct Instance<G> {
    house: House<G>,
    books: Books,
    endpoints: Vec<Endpoint>,
}

/// What the world knows of an instance's view of one dependency.
#[derive(Clone, Copy)]
struct Endpoint {
    /// The phase its breaker was last said to enter.
    phase: Phase,
    /// The half-open phase the probes belong to.
    half_open: u64,
    probes: u32,
}

/// One attempt of one call.
#[derive(Clone, Copy, Debug)]
struct Job {
    id: Id,
    attempt: u8,
}

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    place: u32,
    /// Tells it from the calls that had the place before.
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// The next caller of a stream.
    Comes { traffic: usize },
    /// A user whose call failed, who may come so many times more.
    ComesAgain { traffic: usize, more: u8 },
    /// A caller's patience ends.
    Leaves { id: Id },
    /// A driver's timer rings.
    Rings { id: Id },
    /// A worker is done.
    Done { server: usize, job: Job, answer: Answer },
    /// An answer that took no worker.
    Answered { job: Job, answer: Answer },
    /// A dependency's script.
    Fault { server: usize, step: usize },
    /// The clock's script.
    Clock { step: usize },
    /// A second of the story is over.
    Second,
}

impl<'s, G: Target> World<'s, G> {
    pub(crate) fn new(scenario: &'s Scenario, seed: u64) -> Result<Self, Invalid> {
        let Scenario { client, dependencies, .. } = scenario;
        if client.instances == 0 {
            return Err(Invalid::new("client.instances", 0, "at least 1"));
        }
        let fresh = Endpoint { phase: Phase::Closed, half_open: 0, probes: 0 };
        let instance = |n: u32| {
            Ok(Instance {
                house: client.build(dependencies.len(), fork(seed, FORKS + u64::from(n)))?,
                books: Books::default(),
                endpoints: vec![fresh; dependencies.len()],
            })
        };
        let lasts = nanos(scenario.lasts);
        let story = Story {
            name: scenario.name.clone(),
            seed,
            rows: vec![Row::default(); (lasts / SECOND) as usize],
            totals: Totals::default(),
        };
        let mut world = Self {
            scenario,
            now: 0,
            lasts,
            heap: BinaryHeap::new(),
            pushed: 0,
            hands: Hands::new(),
            arrivals: Draws::seeded(fork(seed, 1)),
            work: Draws::seeded(fork(seed, 2)),
            instances: (0..client.instances).map(instance).collect::<Result<_, Invalid>>()?,
            servers: dependencies.iter().map(Server::new).collect(),
            calls: Calls::default(),
            lines: HashMap::new(),
            story,
            journal: Journal::new(),
        };
        world.write_script();
        Ok(world)
    }

    /// To the end of the last call.
    pub(crate) fn run(mut self) -> Result<Story, Stop> {
        while self.step()? {}
        // What still hangs has no limit, and nothing will ever answer it.
        while let Some(id) = self.calls.any() {
            self.leave(id)?;
        }
        Ok(self.story)
    }

    /// The next event; whether there was one.
    fn step(&mut self) -> Result<bool, Stop> {
        let Some(Due { at, what, .. }) = self.heap.pop() else { return Ok(false) };
        self.now = at;
        self.story.totals.events += 1;
        self.journal.note(at, Note::Event(what));
        self.happen(what)?;
        Ok(true)
    }

    /// Everything that will happen whatever the calls do.
    fn write_script(&mut self) {
        let scenario = self.scenario;
        for (server, dependency) in scenario.dependencies.iter().enumerate() {
            for (step, (at, _)) in dependency.script.steps.iter().enumerate() {
                self.push(nanos(*at), What::Fault { server, step });
            }
        }
        for (step, (at, _)) in scenario.clock.steps.iter().enumerate() {
            self.push(nanos(*at), What::Clock { step });
        }
        for traffic in 0..scenario.traffic.len() {
            self.expect_next(traffic);
        }
        if !self.story.rows.is_empty() {
            self.push(SECOND, What::Second);
        }
    }

    fn happen(&mut self, what: What) -> Result<(), Stop> {
        match what {
            What::Comes { traffic } => {
                self.expect_next(traffic);
                let again = self.scenario.traffic[traffic].again.map_or(0, |again| again.times);
                self.begin(traffic, again)
            }
            What::ComesAgain { traffic, more } => self.begin(traffic, more),
            What::Leaves { id } => self.leave(id),
            What::Rings { id } => self.ring(id),
            What::Done { server, job, answer } => {
                let told = self.servers[server].done(job, answer);
                self.work_on(server);
                told.map_or(Ok(()), |(job, answer)| self.answer(job, answer))
            }
            What::Answered { job, answer } => self.answer(job, answer),
            What::Fault { server, step } => {
                let (_, fault) = self.scenario.dependencies[server].script.steps[step];
                let told = self.servers[server].befall(fault);
                self.work_on(server);
                told.into_iter().try_for_each(|(job, answer)| self.answer(job, answer))
            }
            What::Clock { step } => {
                self.hands.befall(self.scenario.clock.steps[step].1, self.now);
                Ok(())
            }
            What::Second => {
                self.end_second();
                (0..self.instances.len()).try_for_each(|n| self.check_phases(n))
            }
        }
    }

    fn push(&mut self, at: u64, what: What) {
        self.pushed += 1;
        self.heap.push(Due { at, number: self.pushed, what });
    }

    fn expect_next(&mut self, traffic: usize) {
        let next = self.scenario.traffic[traffic].next(self.now, &mut self.arrivals);
        if let Some(at) = next.filter(|at| *at < self.lasts) {
            self.push(at, What::Comes { traffic });
        }
    }

    /// Starts what may start at a dependency.
    fn work_on(&mut self, server: usize) {
        while let Some(job) = self.servers[server].next() {
            self.work(server, job);
        }
    }

    fn work(&mut self, server: usize, job: Job) {
        let (took, answer) = self.servers[server].work(self.work.draw());
        self.push(self.now.saturating_add(took), What::Done { server, job, answer });
    }

    fn seen(&self) -> Instant {
        self.hands.show(self.now)
    }

    fn row(&mut self) -> Option<&mut Row> {
        self.story.rows.get_mut((self.now / SECOND) as usize)
    }

    fn end_second(&mut self) {
        let seen = self.seen();
        let queue = self.servers.iter().map(|server| server.load()[1].0).sum();
        let (mut open, mut half_open, mut breakers) = (0, 0, 0);
        for instance in &self.instances {
            instance.house.machines.borrow().gate.phases(seen, |phase| {
                breakers += 1;
                open += u64::from(matches!(phase, Phase::Open | Phase::ForcedOpen));
                half_open += u64::from(phase == Phase::HalfOpen);
            });
        }
        let over = (self.now / SECOND) as usize - 1;
        self.story.rows[over] = Row { queue, open, half_open, breakers, ..self.story.rows[over] };
        if over + 1 < self.story.rows.len() {
            self.push(self.now + SECOND, What::Second);
        }
    }
}

/// A seed of its own for each use of chance: how long a job takes must not change who comes next.
const fn fork(seed: u64, n: u64) -> u64 {
    Draws::nth(seed, n).below(u64::MAX)
}

/// Forks below this number are the world's, those above the instances'.
const FORKS: u64 = 16;
/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use seawall_core::{CircuitBreaker, Shared};

    use super::*;
    use crate::scenarios;

    #[test]
    fn what_broke_is_told_with_the_line_that_repeats_it() {
        let scenario = scenarios::flapping();
        let spoiled = || {
            let mut world = World::<Option<CircuitBreaker>>::new(&scenario, 7).unwrap();
            assert!((0..3_000).all(|_| world.step() == Ok(true)));
            // From now on the world has seen one retry more than any machine granted.
            world.instances.iter_mut().for_each(|instance| instance.books.retries += 1);
            world.run().unwrap_err()
        };
        let stop = spoiled();
        let Stop::Broken(broken) = &stop else { panic!("{stop}") };
        assert!(broken.what.starts_with("attempts were lost"), "{}", broken.what);
        assert_eq!((broken.last.len(), broken.seed), (50, 7));
        assert!(stop.to_string().ends_with("\nagain: scenarios::flapping().replay(7)"), "{stop}");
        assert_eq!(spoiled(), stop, "the same again, to the last byte");
    }

    #[test]
    fn each_instance_and_each_seed_has_chance_of_its_own() {
        let scenario = scenarios::flapping();
        let mut drawn = Vec::new();
        for seed in 0..10 {
            let world = World::<Option<CircuitBreaker>>::new(&scenario, seed).unwrap();
            drawn
                .extend(world.instances.iter().map(|instance| instance.house.draw().below(SECOND)));
        }
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 30);
    }

    #[test]
    fn events_of_one_moment_happen_in_the_order_of_their_push() {
        let scenario = scenarios::flapping();
        let mut world = World::<Option<CircuitBreaker>>::new(&scenario, 1).unwrap();
        (world.heap, world.pushed) = (BinaryHeap::new(), 0);
        for (at, step) in [(5, 0), (4, 1), (5, 2), (4, 3), (5, 4)] {
            world.push(at, What::Clock { step });
        }
        let order: Vec<(u64, u64)> =
            std::iter::from_fn(|| world.heap.pop()).map(|due| (due.at, due.number)).collect();
        assert_eq!(order, [(4, 2), (4, 4), (5, 1), (5, 3), (5, 5)]);
    }
}
