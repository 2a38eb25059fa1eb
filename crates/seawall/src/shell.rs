//! The shell around machines: a short mutex, and the telling of what changed once it is released.
//!
//! ```text
//!   visit(now, step)   lock ▸ apply elapsed time ▸ one step of one call
//!                      ▸ copy new transitions, if anybody listens ▸ unlock ▸ tell
//! ```
//!
//! Plain `std` mutex: a lock pair costs less than reading the clock, and the critical section is a few
//! dozen instructions. A panic cannot leave it half done, because the machines do not panic and call nobody;
//! so a poisoned lock is simply taken.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use seawall_core::{Draw, Draws, Gate, Instant, Numbered, Parts};

use crate::observe::Teller;

/// Machines that live behind one mutex.
pub trait Machines: Send {
    /// The gate among them.
    type Gate: Gate;
    /// Which of them a visitor sees: the number of a route, or `()`.
    type View: Copy;

    /// The machines of this view.
    fn parts(&mut self, view: Self::View) -> Parts<'_, Self::Gate>;
}

/// Machines behind one mutex.
#[derive(Debug)]
pub struct Shell<M> {
    machines: Mutex<M>,
    teller: Teller,
    seed: u64,
    drawn: AtomicU64,
}

impl<M> Shell<M> {
    /// Puts a mutex around `machines`; what changes in them is told by `teller`. `seed` fixes all random
    /// numbers; `None` takes one from the system.
    pub fn new(machines: M, teller: Teller, seed: Option<u64>) -> Self {
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        Self { machines: Mutex::new(machines), teller, seed, drawn: AtomicU64::new(0) }
    }

    /// One random number.
    #[inline]
    pub fn draw(&self) -> Draw {
        Draws::nth(self.seed, self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// The machines as they stand, to be read.
    pub fn read<R>(&self, reader: impl FnOnce(&M) -> R) -> R {
        reader(&self.lock())
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, M> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Machines> Shell<M> {
    /// One step with exclusive access, after elapsed time has been applied.
    #[inline]
    pub fn visit<R>(
        &self,
        view: M::View,
        now: Instant,
        step: impl FnOnce(Parts<'_, M::Gate>) -> R,
    ) -> R {
        let mut machines = self.lock();
        let mut parts = machines.parts(view);
        parts.advance(now);
        let result = step(parts);
        if machines.parts(view).events.has_news() {
            self.tell(machines, view);
        }
        result
    }

    /// Copies what is new, unlocks, and only then tells it.
    #[cold]
    fn tell(&self, mut machines: MutexGuard<'_, M>, view: M::View) {
        let news = machines.parts(view).events.news();
        let news: Option<Box<[Numbered]>> = self.teller.is_heard().then(|| news.copied().collect());
        drop(machines);
        if let Some(news) = news {
            self.teller.tell(&news);
        }
    }
}
