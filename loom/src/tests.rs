//! One place, calls that want it, and threads that meet at every point.

use std::{
    mem::swap,
    sync::Arc,
    task::{Wake, Waker},
};

use loom::{sync::Notify, thread};
use seawall_core::{
    Action, Ask, Bulkhead, BulkheadConfig, Call, CircuitBreaker, CircuitBreakerConfig, Counts,
    Draw, Event, EventRing, Instant, Parts, Plan, Shared, Verdict,
};

use crate::{
    observe::Teller,
    shell::{Lent, Machines, News, Shell},
};

/// A breaker that opens at the first failure, and one place.
struct House {
    plan: Plan,
    gate: Option<CircuitBreaker>,
    bulkhead: Option<Bulkhead>,
    counts: Counts,
    events: EventRing,
}

impl Machines for House {
    type Gate = Option<CircuitBreaker>;
    type View = ();

    fn parts(&mut self, (): ()) -> Parts<'_, Self::Gate> {
        Parts {
            plan: &self.plan,
            limiter: None,
            gate: &mut self.gate,
            budget: None,
            bulkhead: self.bulkhead.as_mut(),
            timeout: None,
            counts: &mut self.counts,
            events: &mut self.events,
        }
    }
}

/// A policy as a call sees it: its own machines, and a bulkhead that may be another's too.
#[derive(Clone)]
struct Policy {
    own: Arc<Shell<House>>,
    part: Option<Arc<Shell<House>>>,
}

/// As the library locks: its own first, then the part; who is called up is woken once nothing is locked.
impl Shared for Policy {
    type Gate = Option<CircuitBreaker>;

    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, Self::Gate>) -> R) -> R {
        let part = self.part.as_deref();
        self.own.visit_between(
            (),
            now,
            |own| part.map(|part| borrow(own, part)),
            step,
            |own, lent| give_back(own, lent?, now),
        )
    }

    fn draw(&self) -> Draw {
        self.own.draw()
    }
}

/// Puts the bulkhead that is shared in the place of its own.
fn borrow<'p>(own: &mut House, part: &'p Shell<House>) -> Lent<'p, House> {
    let mut lent = part.lend();
    swap(&mut own.bulkhead, &mut lent.machines().bulkhead);
    lent
}

fn give_back<'p>(
    own: &mut House,
    mut lent: Lent<'p, House>,
    now: Instant,
) -> Option<Box<[News<'p>]>> {
    swap(&mut own.bulkhead, &mut lent.machines().bulkhead);
    lent.give_back((), now).map(|news| [news].into())
}

fn shell() -> Arc<Shell<House>> {
    let breaker = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
    let bulkhead = BulkheadConfig { max_concurrent: 1, ..BulkheadConfig::default() };
    let house = House {
        plan: Plan::default(),
        gate: Some(CircuitBreaker::new(&breaker).expect("the settings make sense")),
        bulkhead: Some(Bulkhead::new(&bulkhead).expect("the settings make sense")),
        counts: Counts::default(),
        events: EventRing::new(),
    };
    Arc::new(Shell::new(house, Teller, Some(1)))
}

impl Policy {
    fn new() -> Self {
        Self { own: shell(), part: None }
    }

    /// Two with one bulkhead.
    fn pair() -> [Self; 2] {
        let part = shell();
        [(); 2].map(|()| Self { own: shell(), part: Some(Arc::clone(&part)) })
    }

    /// Where its line is.
    fn line(&self) -> &Shell<House> {
        self.part.as_ref().unwrap_or(&self.own)
    }

    /// A call that has the place.
    fn running(&self) -> Call {
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(self, NOW), Action::Start { attempt: 1 });
        call
    }

    /// A call in the line for it.
    fn waiting(&self) -> Call {
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(self, NOW), Action::Wait);
        call
    }

    /// Waits as a driver does until the call is told something else than to wait.
    fn turn(&self, call: &mut Call) -> Action {
        let woken = Arc::new(Woken(Notify::new()));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            let (line, place) = call.queued().expect("it stands in line");
            if !self.line().park((), line, place, &waker) {
                woken.0.wait();
            }
            match call.on(self, Event::Woken, NOW) {
                Action::Wait => {}
                other => return other,
            }
        }
    }

    /// Goes away as a driver does.
    fn leave(&self, mut call: Call) {
        if let Some((line, place)) = call.queued() {
            self.line().forget((), line, place);
        }
        call.abandon(self, NOW, false);
    }

    fn ends(&self, mut call: Call, verdict: Verdict) {
        let _ = call.on(self, Event::Ended { attempt: 1, verdict }, NOW);
    }

    /// Everybody has come back, and each call ended once.
    fn assert_nothing_is_left(&self, calls: u64) {
        self.own.read(|house| {
            let Counts { calls: all, attempts, .. } = house.counts;
            assert_eq!((all.started, all.in_flight(), attempts.in_flight()), (calls, 0, 0));
        });
        let seen = self.line().read(|house| house.bulkhead.as_ref().map(Bulkhead::snapshot));
        assert!(seen.is_some_and(|seen| (seen.running, seen.queued) == (0, 0)));
    }
}

/// Wakes a thread of the model.
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// No time passes here.
const NOW: Instant = Instant::ORIGIN;

#[test]
fn a_place_that_frees_between_a_look_and_a_sleep_wakes_the_waiter() {
    loom::model(|| {
        let policy = Policy::new();
        let first = policy.running();
        let ends = policy.clone();
        let ending = thread::spawn(move || ends.ends(first, Verdict::SUCCESS));
        let mut call = Call::new(Ask::default());
        let action = match call.begin(&policy, NOW) {
            Action::Wait => policy.turn(&mut call),
            at_once => at_once,
        };
        assert_eq!(action, Action::Start { attempt: 1 });
        policy.ends(call, Verdict::SUCCESS);
        ending.join().expect("it does not panic");
        policy.assert_nothing_is_left(2);
    });
}

#[test]
fn a_turn_whose_owner_leaves_while_it_is_granted_goes_to_the_next() {
    loom::model(|| {
        let policy = Policy::new();
        let (first, second, mut third) = (policy.running(), policy.waiting(), policy.waiting());
        let (ends, leaves) = (policy.clone(), policy.clone());
        let ending = thread::spawn(move || ends.ends(first, Verdict::SUCCESS));
        let leaving = thread::spawn(move || leaves.leave(second));
        assert_eq!(policy.turn(&mut third), Action::Start { attempt: 1 });
        policy.ends(third, Verdict::SUCCESS);
        ending.join().expect("it does not panic");
        leaving.join().expect("it does not panic");
        policy.assert_nothing_is_left(3);
    });
}

#[test]
fn a_call_dropped_while_another_opens_the_breaker_is_counted_once() {
    loom::model(|| {
        let policy = Policy::new();
        let (first, mut second) = (policy.running(), policy.waiting());
        let (fails, comes) = (policy.clone(), policy.clone());
        let failing = thread::spawn(move || fails.ends(first, Verdict::FAILURE));
        let coming = thread::spawn(move || {
            let mut call = Call::new(Ask::default());
            let _ = call.begin(&comes, NOW);
            comes.leave(call);
        });
        // Called up into an open breaker it is refused, not lost.
        assert!(matches!(policy.turn(&mut second), Action::Done(_)));
        failing.join().expect("it does not panic");
        coming.join().expect("it does not panic");
        policy.assert_nothing_is_left(3);
    });
}

#[test]
fn a_waiter_in_a_shared_line_is_called_up_by_the_policy_that_makes_room() {
    loom::model(|| {
        let [one, other] = Policy::pair();
        let (first, ends) = (one.running(), one.clone());
        let ending = thread::spawn(move || ends.ends(first, Verdict::SUCCESS));
        let mut call = Call::new(Ask::default());
        let action = match call.begin(&other, NOW) {
            Action::Wait => other.turn(&mut call),
            at_once => at_once,
        };
        assert_eq!(action, Action::Start { attempt: 1 });
        other.ends(call, Verdict::SUCCESS);
        ending.join().expect("it does not panic");
        one.assert_nothing_is_left(1);
        other.assert_nothing_is_left(1);
    });
}
