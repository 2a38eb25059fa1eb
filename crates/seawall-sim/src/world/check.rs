//! After every event: the machines' figures against the world's books, and the report if they differ.

use core::time::Duration;

use seawall_core::{Instant, Phase, Shared};

use super::{Instance, What, World};
use crate::{
    Broken, Scenario, Stop,
    client::Target,
    invariant::{Facts, broken},
};

/// A line of the journal.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "read by `Debug`, when a broken run is told")]
pub(super) enum Note {
    Event(What),
    Breaker { instance: usize, endpoint: u16, to: Phase },
}

impl<G: Target> World<'_, G> {
    /// Holds the machines of one instance, and a dependency it called, against what the world saw.
    pub(super) fn check(
        &mut self,
        n: usize,
        server: usize,
        ended: Option<(Instant, Instant)>,
    ) -> Result<(), Stop> {
        let facts = self.facts(n, server, ended);
        broken(&facts).map_or(Ok(()), |what| Err(self.stop(what)))
    }

    fn facts(&mut self, n: usize, server: usize, ended: Option<(Instant, Instant)>) -> Facts {
        let Scenario { client, dependencies, .. } = self.scenario;
        let Instance { house, books, endpoints } = &mut self.instances[n];
        let machines = &mut *house.machines.borrow_mut();
        let mut left = None;
        if machines.events.has_news() {
            for event in machines.events.news() {
                let (from, to) = (event.transition.from, event.transition.to);
                let known = &mut endpoints[usize::from(event.endpoint)];
                if from != known.phase {
                    left = left.or(Some((from, known.phase)));
                }
                known.phase = to;
                let endpoint = event.endpoint;
                self.journal.note(self.now, Note::Breaker { instance: n, endpoint, to });
            }
        }
        let probes_max = client.circuit_breaker.as_ref().map_or(0, |b| b.half_open_calls);
        Facts {
            books: *books,
            counts: machines.counts,
            budget: machines.budget.as_ref().map(|budget| budget.snapshot()),
            free_retries: dependencies.len() > 1,
            trickles: client.retry.as_ref().is_some_and(|retry| retry.trickle),
            probes: (endpoints[server].probes, probes_max),
            at_once: client.bulkhead.as_ref().map(|bulkhead| bulkhead.max_concurrent),
            max_wait: client.bulkhead.as_ref().map(|bulkhead| bulkhead.max_wait),
            ended,
            left,
            load: self.servers[server].load(),
        }
    }

    /// Holds what every breaker shows against the last transition it told.
    pub(super) fn check_phases(&mut self, n: usize) -> Result<(), Stop> {
        let seen = self.seen();
        self.instances[n].house.visit(seen, |_| ());
        self.check(n, 0, None)?;
        let Instance { house, endpoints, .. } = &self.instances[n];
        let (mut told, mut untold) = (endpoints.iter(), None);
        house.machines.borrow().gate.phases(seen, |phase| {
            let known = told.next().map(|endpoint| endpoint.phase);
            untold = untold.or(known.filter(|known| *known != phase).map(|known| (phase, known)));
        });
        let Some((phase, known)) = untold else { return Ok(()) };
        Err(self.stop(format!("a breaker is in phase {phase:?}, but told last of {known:?}")))
    }

    fn stop(&self, what: String) -> Stop {
        Stop::Broken(Box::new(Broken {
            what,
            name: self.story.name.clone(),
            seed: self.story.seed,
            at: Duration::from_nanos(self.now),
            last: self.journal.lines(),
        }))
    }
}
