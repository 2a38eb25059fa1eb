//! The bulkhead: never more than the limit at once, no place lost, the queue bounded, every ticket answered.

use seawall_core::{Admission, Bulkhead, BulkheadConfig, Instant, Permit, Priority, Ticket};

use crate::tape::Tape;

/// Runs the story in `data`.
///
/// # Panics
/// If a promise is broken.
pub fn bulkhead(data: &[u8]) {
    let mut tape = Tape::new(data);
    let Some(config) = settings(&mut tape) else { return };
    let Ok(mut bulkhead) = Bulkhead::new(&config) else { return };
    let mut story = Story { config, running: Vec::new(), waiting: Vec::new(), most: 0 };
    let mut now = Instant::ORIGIN;
    while let Some(next) = tape.moment(now) {
        now = next;
        if story.step(&mut tape, &mut bulkhead, now).is_none() {
            break;
        }
        while bulkhead.settle(now).is_some() {}
        story.check(&bulkhead);
    }
    story.ends(bulkhead);
}

struct Story {
    config: BulkheadConfig,
    running: Vec<Permit>,
    waiting: Vec<Ticket>,
    /// The largest limit that those who run may have been admitted under.
    most: u32,
}

impl Story {
    fn step(&mut self, tape: &mut Tape<'_>, bulkhead: &mut Bulkhead, now: Instant) -> Option<()> {
        self.most = self.most.max(self.config.max_concurrent);
        match tape.below(12)? {
            0..=4 => {
                let class = Priority::ALL[usize::from(tape.below(5)?)];
                let give_up_at = now + tape.duration()?;
                let answer = bulkhead.admit(class, give_up_at, now);
                self.take(answer);
            }
            5 | 6 if !self.waiting.is_empty() => {
                let ticket = pick(tape, &mut self.waiting)?;
                let answer = bulkhead.claim(ticket, now);
                self.take(answer);
            }
            7 if !self.waiting.is_empty() => bulkhead.abandon(pick(tape, &mut self.waiting)?),
            8 | 9 if !self.running.is_empty() => {
                let ran = tape.duration()?;
                bulkhead.leave(pick(tape, &mut self.running)?, ran);
            }
            10 if !self.running.is_empty() => bulkhead.withdraw(pick(tape, &mut self.running)?),
            11 => {
                let config = settings(tape)?;
                if bulkhead.reconfigure(&config, now).is_ok() {
                    self.config = config;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn take(&mut self, answer: Admission) {
        match answer {
            Admission::Go(permit) => self.running.push(permit),
            Admission::Wait(ticket) => self.waiting.push(ticket),
            _ => {}
        }
    }

    fn check(&mut self, bulkhead: &Bulkhead) {
        let seen = bulkhead.snapshot();
        let held = self.running.len() as u32;
        // A place is a waiter's from the moment it is granted, before it has looked.
        assert!(seen.running >= held, "{held} run, {} known", seen.running);
        assert!(seen.running - held <= self.waiting.len() as u32, "a place nobody holds");
        assert!(seen.running <= self.most.max(self.config.max_concurrent), "too many at once");
        assert!(seen.queued <= self.config.max_queue, "too many wait");
        assert_eq!(seen.queued, seen.queued_by_class.iter().sum::<u32>());
        if seen.running <= self.config.max_concurrent {
            self.most = self.config.max_concurrent;
        }
    }

    /// Once everybody has gone, nothing is left.
    fn ends(self, mut bulkhead: Bulkhead) {
        self.waiting.into_iter().for_each(|ticket| bulkhead.abandon(ticket));
        self.running.into_iter().for_each(|permit| bulkhead.withdraw(permit));
        let seen = bulkhead.snapshot();
        assert_eq!((seen.running, seen.queued), (0, 0), "something stayed behind");
    }
}

/// One of them, and no longer among them.
fn pick<T>(tape: &mut Tape<'_>, among: &mut Vec<T>) -> Option<T> {
    let at = usize::from(tape.byte()?) % among.len();
    Some(among.swap_remove(at))
}

fn settings(tape: &mut Tape<'_>) -> Option<BulkheadConfig> {
    let mut config = BulkheadConfig {
        max_concurrent: u32::from(tape.below(6)?),
        max_queue: u32::from(tape.below(10)?),
        max_wait: tape.duration()?,
        priority: tape.below(4)? > 0,
        ..BulkheadConfig::default()
    };
    if tape.below(4)? == 0 {
        for reserve in &mut config.reserves {
            *reserve = u32::from(tape.below(3)?);
        }
    }
    Some(config)
}
