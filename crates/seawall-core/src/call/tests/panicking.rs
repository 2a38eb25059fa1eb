//! What a visit wakes may panic, once the step is done: nothing stays behind.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// A house whose every visit wakes somebody who panics.
struct Panicking<'h, G>(&'h House<G>);

impl<G: Gate> Shared for Panicking<'_, G> {
    type Gate = G;

    fn visit<R>(&self, now: Instant, step: impl FnOnce(Parts<'_, G>) -> R) -> R {
        let _stepped = self.0.visit(now, step);
        panic!("a waker that fails")
    }

    fn draw(&self) -> Draw {
        self.0.draw()
    }

    fn owed_since(&self) -> Option<Instant> {
        self.0.owed_since()
    }
}

/// As a driver that unwinds: the counts of calls, none of which is in flight.
fn unwinds<G: Gate>(house: &House<G>, call: &mut Call<G::Pick>, event: Event, ms: u64) -> Counts {
    let hears = || call.on(&Panicking(house), event, at(ms));
    assert!(catch_unwind(AssertUnwindSafe(hears)).is_err());
    call.abandon(house, at(ms), false);
    let machines = house.machines.borrow();
    let counts = machines.counts;
    assert_eq!((counts.calls.in_flight(), counts.attempts.in_flight()), (0, 0), "{event:?}");
    assert_eq!(machines.bulkhead.as_ref().unwrap().snapshot().running, 0, "{event:?}");
    counts
}

fn narrow(plan: Plan) -> House<Option<CircuitBreaker>> {
    let config = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
    let house = house(Some(CircuitBreaker::new(&config).unwrap()), plan);
    give_places(&house, 1);
    house
}

#[test]
fn an_answer_whose_report_wakes_who_panics_ends_the_call() {
    for max_retries in [0, 3] {
        for verdict in [Verdict::SUCCESS, Verdict::FAILURE] {
            let house = narrow(Plan { retry: retry(max_retries), ..Plan::default() });
            let mut call = Call::new(Ask::default());
            assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
            let calls = unwinds(&house, &mut call, ended(1, verdict), 1).calls;
            let good = u64::from(verdict == Verdict::SUCCESS);
            assert_eq!((calls.succeeded, calls.failed), (good, 1 - good));
            assert!(call.is_over());
        }
    }
}

#[test]
fn a_stream_that_is_judged_as_it_flows_keeps_no_place() {
    let house = narrow(Plan::default());
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    let head = Event::Head { attempt: 1, verdict: Verdict::SUCCESS };
    assert!(matches!(call.on(&house, head, at(10)), Action::Done(_)));
    assert_eq!(unwinds(&house, &mut call, Event::Tick, 2_000).calls.succeeded, 1);
}

#[test]
fn a_probe_that_is_given_up_keeps_no_place() {
    let house = limited(narrow(Plan::default()), 100 * MS);
    drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
    house.owed_since.set(None);
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(62_000)), Action::Start { attempt: 1 });
    assert_eq!(phase(&house), Some(Phase::HalfOpen));
    assert_eq!(call.wake_at(), at(62_100));
    assert_eq!(unwinds(&house, &mut call, Event::Tick, 62_100).calls.ignored, 1);
}
