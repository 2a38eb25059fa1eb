//! A bulkhead under other settings: what runs goes on, who waits is lined up anew.

use super::{
    Bulkhead, BulkheadConfig,
    rules::{EVERY_CLASS, end, lane, unreserved},
};
use crate::{Instant, Invalid, Priority, Reason, invalid::first};

impl Bulkhead {
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
