//! The rules, as questions: who may start, whose turn it is, who may wait, who has no hope. None changes anything.

use core::time::Duration;

use super::{Bulkhead, BulkheadConfig, DECAY_SHIFT, queue::Waiter};
use crate::{Instant, Priority};

impl Bulkhead {
    /// Whose turn it is, of those who may start.
    pub(super) fn next(&self) -> Option<(u32, Priority)> {
        if self.running >= self.config.max_concurrent {
            return None;
        }
        let long = self.config.max_wait / 2;
        let heads = (0..5).filter_map(|lane| self.queue.head(lane));
        heads
            .filter(|(_, waiter)| self.may_start(waiter.class))
            .map(|(place, waiter)| {
                let aged = self.latest.since(waiter.entered) >= long;
                // The aged before all others, by age; the others, and those of one age, by class.
                ((!aged, if aged { waiter.entered } else { Instant::NEVER }, waiter.class), place)
            })
            .min()
            .map(|((.., class), place)| (place, class))
    }

    /// Whether there is a place for `class`, beside what others have reserved and not used.
    pub(super) fn may_start(&self, class: Priority) -> bool {
        let rows = self.config.reserves.iter().zip(&self.active).enumerate();
        let others = rows.filter(|&(other, _)| other != class.index());
        let unused: u32 =
            others.map(|(_, (reserve, active))| reserve.saturating_sub(*active)).sum();
        self.config.max_concurrent.saturating_sub(self.running) > unused
    }

    /// Whether there never is a place for `class`: others have reserved all there are.
    pub(super) fn is_shut_out(&self, class: Priority) -> bool {
        let own = self.config.reserves[class.index()];
        self.config.max_concurrent - self.config.reserves.iter().sum::<u32>() + own == 0
    }

    /// Whether one more of `class` may wait, beside the place that each class keeps.
    pub(super) fn has_room(&self, class: Priority) -> bool {
        let keeps = self.config.priority && self.config.max_queue >= EVERY_CLASS;
        let rows = self.queue.waiting().iter().enumerate();
        let absent =
            rows.filter(|&(other, &waiting)| other != class.index() && waiting == 0).count();
        self.queue.len() + if keeps { absent as u32 } else { 0 } < self.config.max_queue
    }

    /// The last in the last lane, from `first` on, in which more than `kept` wait.
    pub(super) fn youngest_of_the_least_urgent(&self, first: usize, kept: u32) -> Option<u32> {
        if !self.config.priority {
            return (first == 0).then(|| self.queue.tail(0)).flatten().map(|(place, _)| place);
        }
        let lane = (first..5).rev().find(|&lane| self.queue.waiting()[lane] > kept)?;
        self.queue.tail(lane).map(|(place, _)| place)
    }

    /// How long those who go before a newcomer of `class` will take, by what calls have taken lately.
    pub(super) fn expected_wait(&self, class: Priority) -> Duration {
        if self.completed - self.forgotten < WARM_UP {
            return Duration::ZERO;
        }
        let run_time = self.run_time >> DECAY_SHIFT;
        let takes = |ahead: u32, places: u32| {
            run_time.saturating_mul(u64::from(ahead)) / u64::from(places.max(1))
        };
        let nanos = if self.config.priority {
            // Its class, and any of those next before it, have no more places than the others leave them.
            let (mut ahead, mut places) = (0, unreserved(&self.config));
            let classes = self.queue.waiting().iter().zip(&self.config.reserves);
            let some = classes.take(class.index() + 1).rev().map(|(waiting, reserve)| {
                (ahead, places) = (ahead + waiting, places + reserve);
                takes(ahead, places)
            });
            some.max().unwrap_or_default()
        } else {
            takes(self.queue.len(), self.config.max_concurrent)
        };
        Duration::from_nanos(nanos)
    }
}

/// Where waiters of `class` stand.
pub(super) const fn lane(config: &BulkheadConfig, class: Priority) -> usize {
    if config.priority { class.index() } else { 0 }
}

/// When the wait is over.
pub(super) fn end(config: &BulkheadConfig, waiter: &Waiter) -> Instant {
    waiter.give_up_at.min(waiter.entered + config.max_wait)
}

/// Places that nobody has reserved.
pub(super) fn unreserved(config: &BulkheadConfig) -> u32 {
    config.max_concurrent - config.reserves.iter().sum::<u32>()
}

/// With as many places to wait in, each class keeps one.
pub(super) const EVERY_CLASS: u32 = 5;
/// Completions before the time calls take is believed: at a decay of an eighth, all but 7 % of it is seen.
const WARM_UP: u64 = 20;
