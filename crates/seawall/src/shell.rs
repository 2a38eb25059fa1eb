//! The shell around machines: a short mutex, and the telling of what changed once it is released.
//!
//! ```text
//!   visit(now, step)   lock ▸ apply elapsed time ▸ one step of one call ▸ see whose turn has come
//!                      ▸ copy new transitions, if anybody listens ▸ unlock ▸ wake and tell
//! ```
//!
//! Plain `std` mutex: a lock pair costs less than reading the clock, and the critical section is a few
//! dozen instructions. A panic cannot leave it half done, because the machines do not panic and call nobody;
//! so a poisoned lock is simply taken.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    task::Waker,
    thread,
};

use seawall_core::{Draw, Draws, Gate, Instant, Line, Numbered, Parts};

use crate::{
    observe::Teller,
    sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError},
};

/// Machines that live behind one mutex.
pub trait Machines: Send {
    /// The gate among them.
    type Gate: Gate;
    /// Which of them a visitor sees: the number of a route, or `()`.
    type View: Copy + Eq + Hash + Send + fmt::Debug;

    /// The machines of this view.
    fn parts(&mut self, view: Self::View) -> Parts<'_, Self::Gate>;

    /// Whose machines these are, where views are of different keys; asked when there is something to tell.
    fn whose(&self, _view: Self::View) -> Option<Whose> {
        None
    }
}

/// Writes a key, where nothing is locked: its code may come back.
pub type Whose = Box<dyn FnOnce() -> Arc<str>>;

/// Machines behind one mutex.
#[derive(Debug)]
pub struct Shell<M: Machines> {
    inside: Mutex<Inside<M>>,
    teller: Teller,
    seed: u64,
    drawn: AtomicU64,
}

#[derive(Debug)]
struct Inside<M: Machines> {
    machines: M,
    /// Whom to wake when a turn has come, by view, line and place in it.
    wakers: HashMap<(M::View, Line, usize), Waker>,
}

impl<M: Machines> Shell<M> {
    /// Puts a mutex around `machines`; what changes in them is told by `teller`. `seed` fixes all random
    /// numbers; `None` takes one from the system.
    pub fn new(machines: M, teller: Teller, seed: Option<u64>) -> Self {
        let seed = seed.unwrap_or_else(random_seed);
        let inside = Mutex::new(Inside { machines, wakers: HashMap::new() });
        Self { inside, teller, seed, drawn: AtomicU64::new(0) }
    }

    /// Who tells what happens here.
    #[must_use]
    pub const fn teller(&self) -> &Teller {
        &self.teller
    }

    /// One random number.
    #[inline]
    pub fn draw(&self) -> Draw {
        Draws::nth(self.seed, self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// The machines as they stand, to be read.
    pub fn read<R>(&self, reader: impl FnOnce(&M) -> R) -> R {
        reader(&self.lock().machines)
    }

    /// The machines as they stand, to be arranged in a way that no call notices. What elapsed time changes is not
    /// applied, and nobody is told.
    #[inline]
    pub fn with<R>(&self, step: impl FnOnce(&mut M) -> R) -> R {
        step(&mut self.lock().machines)
    }

    /// Wakes all who wait in a line: each looks for itself whether it still has to.
    pub fn wake_all(&self) {
        let wakers = mem::take(&mut self.lock().wakers);
        pass_on(wake(wakers.into_values()));
    }

    /// One step with exclusive access, after elapsed time has been applied.
    #[inline]
    pub fn visit<R>(
        &self,
        view: M::View,
        now: Instant,
        step: impl FnOnce(Parts<'_, M::Gate>) -> R,
    ) -> R {
        self.visit_between(view, now, |_| (), step, |_, ()| None)
    }

    /// As [`visit`](Self::visit), with something to do to the machines before the step, and to undo after it, when other
    /// shells may have news too. One place for all steps: a step that two places call is in line in neither.
    #[inline]
    pub(crate) fn visit_between<'n, R, L>(
        &self,
        view: M::View,
        now: Instant,
        before: impl FnOnce(&mut M) -> L,
        step: impl FnOnce(Parts<'_, M::Gate>) -> R,
        after: impl FnOnce(&mut M, L) -> Option<Box<[News<'n>]>>,
    ) -> R {
        let mut inside = self.lock();
        let lent = before(&mut inside.machines);
        let mut parts = inside.machines.parts(view);
        parts.advance(now);
        let result = step(parts);
        let others = after(&mut inside.machines, lent);
        let parts = inside.machines.parts(view);
        if parts.is_asked() || parts.events.has_news() || others.is_some() {
            self.finish(inside, view, now, others);
        }
        result
    }

    /// A change of the machines themselves, with exclusive access, after elapsed time has been applied. Wakes all who
    /// wait in a line.
    pub fn change<R>(&self, view: M::View, now: Instant, change: impl FnOnce(&mut M) -> R) -> R {
        let mut inside = self.lock();
        inside.machines.parts(view).advance(now);
        let result = change(&mut inside.machines);
        let mut news = self.news(&mut inside, view, now);
        news.called.extend(mem::take(&mut inside.wakers).into_values());
        drop(inside);
        spread([news]);
        result
    }

    /// Keeps the waker of one who waits in a line. `true` if its turn has come, or will not: then nobody would call
    /// it up any more.
    pub fn park(&self, view: M::View, line: Line, place: usize, waker: &Waker) -> bool {
        // A waker is foreign code: to clone it may do anything, and so may to drop it.
        let waker = waker.clone();
        let mut inside = self.lock();
        if !inside.machines.parts(view).waits(line, place) {
            return true;
        }
        let before = inside.wakers.insert((view, line, place), waker);
        drop(inside);
        // With it may go a whole task.
        drop(before);
        false
    }

    /// Forgets the waker of one who waits no longer. To be told before it leaves the line: after that its place may be
    /// another's.
    pub fn forget(&self, view: M::View, line: Line, place: usize) {
        let forgotten = self.lock().wakers.remove(&(view, line, place));
        drop(forgotten);
    }

    /// Locks the machines for a step that is another shell's as well.
    pub(crate) fn lend(&self) -> Lent<'_, M> {
        Lent { shell: self, inside: self.lock() }
    }

    /// Calls up who is left, copies what is new, unlocks, and only then wakes and tells.
    #[cold]
    fn finish(
        &self,
        mut inside: MutexGuard<'_, Inside<M>>,
        view: M::View,
        now: Instant,
        others: Option<Box<[News<'_>]>>,
    ) {
        let news = self.news(&mut inside, view, now);
        drop(inside);
        // Whoever is refused while others wait mostly has nothing to tell them.
        if others.is_some() || !news.called.is_empty() || news.told.is_some() {
            spread([news].into_iter().chain(others.into_iter().flatten()));
        }
    }

    fn news(&self, inside: &mut Inside<M>, view: M::View, now: Instant) -> News<'_> {
        let called = call_up(inside, view, now);
        let events = inside.machines.parts(view).events;
        let told: Option<Box<[Numbered]>> = (events.has_news())
            .then(|| events.news())
            .filter(|_| self.teller.is_heard())
            .map(|news| news.copied().collect());
        let whose = told.as_ref().and_then(|_| inside.machines.whose(view));
        News { called, told, whose, teller: &self.teller }
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Inside<M>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Machines locked for a step that is another shell's as well.
pub(crate) struct Lent<'s, M: Machines> {
    shell: &'s Shell<M>,
    inside: MutexGuard<'s, Inside<M>>,
}

impl<'s, M: Machines> Lent<'s, M> {
    pub(crate) fn machines(&mut self) -> &mut M {
        &mut self.inside.machines
    }

    /// Ends the step here and unlocks. What there is to tell is for when the other shell is unlocked too.
    pub(crate) fn give_back(mut self, view: M::View, now: Instant) -> Option<News<'s>> {
        let parts = self.machines().parts(view);
        let asked = parts.is_asked() || parts.events.has_news();
        asked.then(|| self.shell.news(&mut self.inside, view, now))
    }
}

/// Whom to wake and what to tell once nothing is locked.
#[must_use = "somebody sleeps until it is spread"]
pub(crate) struct News<'s> {
    called: Vec<Waker>,
    told: Option<Box<[Numbered]>>,
    whose: Option<Whose>,
    teller: &'s Teller,
}

/// Wakes and tells: all of them, though one panics.
fn spread<'s>(news: impl IntoIterator<Item = News<'s>>) {
    let mut panicked = None;
    for News { called, told, whose, teller } in news {
        panicked = panicked.or(wake(called));
        if let Some(told) = told {
            // Who listens has a waker too.
            let told = caught(|| teller.tell(&told, whose.map(|write| write()).as_ref()));
            panicked = panicked.or(told);
        }
    }
    pass_on(panicked);
}

/// Wakes them all: the others would sleep for ever, and it is not their fault. The first panic.
fn wake(wakers: impl IntoIterator<Item = Waker>) -> Option<Panic> {
    let woken = |waker: Waker| caught(|| waker.wake());
    wakers.into_iter().filter_map(woken).reduce(|first, _| first)
}

fn caught(foreign: impl FnOnce()) -> Option<Panic> {
    catch_unwind(AssertUnwindSafe(foreign)).err()
}

/// Whoever woke gets it, once nobody sleeps any more; unless it unwinds already: a second panic would end the process.
fn pass_on(panicked: Option<Panic>) {
    if let Some(panic) = panicked
        && !thread::panicking()
    {
        resume_unwind(panic);
    }
}

type Panic = Box<dyn Any + Send>;

/// The wakers of all whose turn has come.
#[cold]
fn call_up<M: Machines>(inside: &mut Inside<M>, view: M::View, now: Instant) -> Vec<Waker> {
    let Inside { machines, wakers } = inside;
    let mut parts = machines.parts(view);
    let mut called = Vec::new();
    while let Some((line, place)) = parts.settle(now) {
        called.extend(wakers.remove(&(view, line, place)));
    }
    called
}

/// A seed from the system, another one each time.
#[must_use]
pub fn random_seed() -> u64 {
    RandomState::new().hash_one(0)
}
