//! What a bulkhead remembers of one key, where one machine serves many: its settings and figures are those of all.

use alloc::boxed::Box;
use core::mem::{replace, swap};

use super::{Bulkhead, queue::Queue};

/// What a [`Bulkhead`] remembers of one of many. 40 bytes; while somebody waits, 160 for the queue and 64 for each who
/// ever waited at once.
///
/// The default is of no machine, and takes the place of one where there is none.
#[derive(Clone, Debug, Default)]
pub struct BulkheadMemory {
    active: [u32; 5],
    /// Up to where it no longer matters.
    completed: u32,
    run_time: u64,
    /// None, if nobody has a ticket.
    queue: Option<Box<Queue>>,
}

impl Bulkhead {
    /// What it remembers, without its settings and figures.
    #[must_use]
    pub fn into_memory(self) -> BulkheadMemory {
        BulkheadMemory {
            active: self.active,
            completed: self.remembered(),
            run_time: self.run_time,
            queue: self.queue.is_held().then(|| Box::new(self.queue)),
        }
    }

    /// Puts down what it remembers and takes up `memory`. Both are of machines with the same settings. Figures stay:
    /// they are of all whose memories it had. So does the latest instant, since all go by one clock.
    pub fn exchange(&mut self, memory: &mut BulkheadMemory) {
        swap(&mut self.active, &mut memory.active);
        let completed = replace(&mut memory.completed, self.remembered());
        self.forgotten = self.completed.saturating_sub(completed.into());
        swap(&mut self.run_time, &mut memory.run_time);
        self.running = self.active.iter().sum();
        if self.queue.is_held() || memory.queue.is_some() {
            let queue = memory.queue.get_or_insert_with(|| Box::new(Queue::new()));
            swap(&mut self.queue, &mut **queue);
            if !queue.is_held() {
                memory.queue = None;
            }
        }
    }

    fn remembered(&self) -> u32 {
        u32::try_from(self.completed - self.forgotten).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::{iter, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::{Admission, BulkheadConfig, Instant, Permit, Priority, Ticket};

    fn machine() -> Bulkhead {
        let config = BulkheadConfig {
            max_concurrent: 2,
            max_queue: 3,
            max_wait: Duration::from_secs(1),
            ..BulkheadConfig::default()
        };
        Bulkhead::new(&config).unwrap()
    }

    proptest! {
        #[test]
        fn two_keys_in_one_machine_are_answered_as_by_two_machines(
            steps in prop::collection::vec((0usize..2, 0u8..5, 0u64..300), 1..200),
        ) {
            let mut one = machine();
            let mut memories = [(); 2].map(|()| machine().into_memory());
            let mut two = [(); 2].map(|()| machine());
            let mut places: [Vec<(Permit, Permit)>; 2] = Default::default();
            let mut tickets: [Vec<(Ticket, Ticket)>; 2] = Default::default();
            let mut now = Instant::ORIGIN;
            for (key, step, millis) in steps {
                now = now + Duration::from_millis(millis);
                let whole = &mut two[key];
                one.exchange(&mut memories[key]);
                let asked = match step {
                    0 | 1 => {
                        let class = [Priority::High, Priority::Low][usize::from(step)];
                        Some((one.admit(class, Instant::NEVER, now), whole.admit(class, Instant::NEVER, now)))
                    }
                    2 if !tickets[key].is_empty() => {
                        let (mine, its) = tickets[key].remove(0);
                        Some((one.claim(mine, now), whole.claim(its, now)))
                    }
                    3 if !tickets[key].is_empty() => {
                        let (mine, its) = tickets[key].remove(0);
                        one.abandon(mine);
                        whole.abandon(its);
                        None
                    }
                    _ if !places[key].is_empty() => {
                        let (mine, its) = places[key].remove(0);
                        one.leave(mine, Duration::from_secs(3));
                        whole.leave(its, Duration::from_secs(3));
                        None
                    }
                    _ => None,
                };
                match asked {
                    Some((Admission::Go(mine), Admission::Go(its))) => places[key].push((mine, its)),
                    Some((Admission::Wait(mine), Admission::Wait(its))) => tickets[key].push((mine, its)),
                    Some((mine, its)) => prop_assert_eq!(mine, its),
                    None => {}
                }
                // Places are numbered anew in a new queue.
                let told = iter::from_fn(|| one.settle(now)).count();
                prop_assert_eq!(told, iter::from_fn(|| whole.settle(now)).count());
                prop_assert_eq!(one.snapshot().running, whole.snapshot().running);
                prop_assert_eq!(one.snapshot().queued, whole.snapshot().queued);
                one.exchange(&mut memories[key]);
                let waits = tickets[key].is_empty();
                prop_assert_eq!(memories[key].queue.is_none(), waits, "a queue is kept while it is used");
            }
            let [mine, first, second] = [&one, &two[0], &two[1]].map(|seen| seen.snapshot());
            prop_assert_eq!(mine.refused, first.refused + second.refused);
            prop_assert_eq!(mine.completed, first.completed + second.completed);
        }
    }

    #[test]
    fn who_runs_and_who_waits_is_remembered_when_a_machine_becomes_a_memory() {
        let now = Instant::ORIGIN;
        let [mut used, mut other] = [(); 2].map(|()| machine());
        let ask = |machine: &mut Bulkhead| machine.admit(Priority::Normal, Instant::NEVER, now);
        let Admission::Go(place) = ask(&mut used) else { panic!("it is empty") };
        assert!(matches!(ask(&mut used), Admission::Go(_)));
        let Admission::Wait(ticket) = ask(&mut used) else { panic!("it is full") };
        other.exchange(&mut used.into_memory());
        assert_eq!((other.snapshot().running, other.snapshot().queued), (2, 1));
        other.leave(place, Duration::from_secs(1));
        assert_eq!(other.settle(now), Some(ticket.place()));
        assert!(matches!(other.claim(ticket, now), Admission::Go(_)));
    }

    #[test]
    fn it_is_as_small_as_it_says() {
        assert_eq!(size_of::<BulkheadMemory>(), 40);
    }
}
