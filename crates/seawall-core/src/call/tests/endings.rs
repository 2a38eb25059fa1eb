//! How attempts end that do not simply answer: streams, slow callers, probes, retries that come too late.

use super::*;

/// Half-open: one success closes it, and one more failure opens it again.
fn half_open() -> House<Option<CircuitBreaker>> {
    let config =
        CircuitBreakerConfig { failures: 1, successes: 1, ..CircuitBreakerConfig::default() };
    let house = house(Some(CircuitBreaker::new(&config).unwrap()), Plan::default());
    drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
    house
}

/// A call whose good head has come, ten milliseconds after it began.
fn streaming<G: Gate>(house: &House<G>, now: u64) -> Call<G::Pick> {
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(house, at(now)), Action::Start { attempt: 1 });
    let head = Event::Head { attempt: 1, verdict: Verdict::SUCCESS };
    assert!(matches!(call.on(house, head, at(now + 10)), Action::Done(_)));
    call
}

#[test]
fn a_stream_is_judged_at_its_end_or_once_it_has_flowed_long_enough() {
    let head = |attempt, verdict| Event::Head { attempt, verdict };
    for (late, body, end, failures) in [
        (false, Verdict::FAILURE, 1_000, 1),
        (true, Verdict::FAILURE, 1_500, 0),
        (false, Verdict::SUCCESS, 1_000, 0),
    ] {
        let house = house(breaker(), Plan { deadline: Some(500 * MS), ..Plan::default() });
        house.machines.borrow_mut().bulkhead =
            Some(Bulkhead::new(&BulkheadConfig::default()).unwrap());
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
        assert!(matches!(call.on(&house, head(1, Verdict::SUCCESS), at(10)), Action::Done(_)));
        assert_eq!(call.wake_at(), at(1_010), "a second, although the deadline is shorter");
        if late {
            assert_eq!(call.on(&house, Event::Tick, at(1_010)), Action::Wait);
            assert_eq!(call.wake_at(), Instant::NEVER);
        }
        assert_eq!(house.machines.borrow().bulkhead.as_ref().unwrap().snapshot().running, 1);
        assert_eq!(call.on(&house, ended(1, body), at(end)), Action::Wait);
        let machines = house.machines.borrow();
        assert_eq!(machines.bulkhead.as_ref().unwrap().snapshot().running, 0);
        assert_eq!(machines.gate.as_ref().unwrap().snapshot(at(1_500)).failures, failures);
        assert_eq!(machines.counts.broke_off_late, u64::from(late));
        assert_eq!(machines.counts.calls.in_flight() + machines.counts.attempts.in_flight(), 0);
    }
}

#[test]
fn a_bad_head_is_reported_at_once_and_a_client_that_leaves_says_nothing() {
    let house = house(breaker(), Plan::default());
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    let _ = call.on(&house, Event::Head { attempt: 1, verdict: Verdict::PERMANENT }, at(10));
    assert_eq!(house.machines.borrow().gate.as_ref().unwrap().snapshot(at(10)).failures, 1);
    call.abandon(&house, at(20), false);
    assert_eq!(house.machines.borrow().counts.calls.failed, 1);

    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(30)), Action::Start { attempt: 1 });
    let _ = call.on(&house, Event::Head { attempt: 1, verdict: Verdict::SUCCESS }, at(40));
    call.abandon(&house, at(900), false);
    let machines = house.machines.borrow();
    assert_eq!(machines.gate.as_ref().unwrap().snapshot(at(900)).failures, 1, "unchanged");
    assert_eq!((machines.counts.calls.ignored, machines.counts.calls.in_flight()), (1, 0));
}

#[test]
fn a_probe_whose_reader_pauses_has_succeeded_once_it_flowed_long_enough() {
    let house = half_open();
    let mut probe = streaming(&house, 62_000);
    assert_eq!(phase(&house), Some(Phase::HalfOpen));
    // Nobody polls the probe's body; another call comes after a second.
    drive(&house, Ask::default(), at(63_010), MS, Verdict::IGNORED);
    assert_eq!(phase(&house), Some(Phase::Closed));
    // What becomes of the body says nothing any more.
    assert_eq!(probe.on(&house, ended(1, Verdict::FAILURE), at(500_000)), Action::Wait);
    assert_eq!(phase(&house), Some(Phase::Closed));
    let counts = house.machines.borrow().counts;
    assert_eq!((counts.calls.in_flight(), counts.attempts.in_flight()), (0, 0));
}

#[test]
fn a_probe_that_breaks_off_before_that_is_a_failure() {
    let house = half_open();
    let mut probe = streaming(&house, 62_000);
    assert_eq!(probe.on(&house, ended(1, Verdict::FAILURE), at(62_500)), Action::Wait);
    assert_eq!(phase(&house), Some(Phase::Open));
}

#[test]
fn a_probe_settled_by_time_does_not_give_up_the_place_of_another() {
    let config = CircuitBreakerConfig {
        failures: 1,
        successes: 3,
        half_open_calls: 1,
        ..CircuitBreakerConfig::default()
    };
    let house = house(Some(CircuitBreaker::new(&config).unwrap()), Plan::default());
    drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
    let mut first = streaming(&house, 62_000);
    let mut second = streaming(&house, 63_010);
    assert_eq!(first.on(&house, ended(1, Verdict::SUCCESS), at(63_100)), Action::Wait);
    let mut third = Call::new(Ask::default());
    let Action::Done(Finish::Refused(refusal)) = third.begin(&house, at(63_200)) else {
        panic!("the second probe still has the only place")
    };
    assert_eq!(refusal.reason, Reason::ProbesOut);
    let seen = house.machines.borrow().gate.as_ref().unwrap().snapshot(at(63_200));
    assert_eq!(seen.half_open_successes, 1, "counted once");
    assert_eq!(second.on(&house, ended(1, Verdict::SUCCESS), at(63_300)), Action::Wait);
    assert!(matches!(third.begin(&house, at(63_300)), Action::Start { .. }), "now it is free");
}

#[test]
fn while_the_caller_is_slow_to_send_no_limit_cuts_and_nobody_is_blamed() {
    let plan = Plan { retry: retry(2), deadline: Some(1_000 * MS), ..Plan::default() };
    let house = learned(breaker(), plan);
    let config = TimeoutConfig { attempt: 100 * MS, ..TimeoutConfig::default() };
    house.machines.borrow_mut().timeout.as_mut().unwrap().reconfigure(config).unwrap();
    house.owed_since.set(None);
    for n in 0..5u64 {
        let begun = 1_000 + n * 2_000;
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(begun)), Action::Start { attempt: 1 });
        while call.wake_at() < at(begun + 1_000) {
            let now = call.wake_at();
            assert_eq!(call.on(&house, Event::Tick, now), Action::Wait);
        }
        let cut = call.on(&house, Event::Tick, call.wake_at());
        assert_eq!(cut, Action::Cancel { attempt: 1, limit: Limit::Deadline });
        let _ = call.on(&house, Event::Cancelled { attempt: 1 }, at(begun + 1_000));
    }
    assert_eq!(phase(&house), None);
    let counts = house.machines.borrow().counts;
    assert_eq!((counts.attempts.ignored, counts.timed_out, counts.deadline_passed), (5, 0, 5));
    let limit = house.machines.borrow().timeout.as_ref().unwrap().limit();
    assert!(limit < 16 * MS, "nothing is learned from it: {limit:?}");
}

#[test]
fn the_limit_runs_from_the_callers_last_byte_whenever_it_came() {
    for (fed, cut_at) in [(50, 150), (99, 199), (150, 250)] {
        let house = limited(house(breaker(), Plan::default()), 100 * MS);
        house.owed_since.set(None);
        let mut call = Call::new(Ask::default());
        assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
        if fed > 100 {
            assert_eq!(call.on(&house, Event::Tick, call.wake_at()), Action::Wait);
        }
        house.owed_since.set(Some(at(fed)));
        assert_eq!(call.on(&house, Event::Tick, call.wake_at()), Action::Wait);
        assert_eq!(call.wake_at(), at(cut_at), "fed at {fed}");
        let cut = call.on(&house, Event::Tick, at(cut_at));
        assert_eq!(cut, Action::Cancel { attempt: 1, limit: Limit::Attempt });
        let _ = call.on(&house, Event::Cancelled { attempt: 1 }, at(cut_at));
        assert_eq!(house.machines.borrow().counts.attempts.failed, 1);
    }
}

#[test]
fn the_callers_slowness_is_no_latency_of_the_callee() {
    for learns in [true, false] {
        let house = learned(picker(1), Plan { retry: retry(2), ..Plan::default() });
        for n in 0..300 {
            let begun = 2_000 + n * 20;
            let mut call = Call::new(Ask::default());
            assert_eq!(call.begin(&house, at(begun)), Action::Start { attempt: 1 });
            house.owed_since.set(learns.then(|| at(begun + 990)));
            let _ = call.on(&house, ended(1, Verdict::SUCCESS), at(begun + 1_000));
        }
        let machines = house.machines.borrow();
        let limit = machines.timeout.as_ref().unwrap().limit();
        assert!(limit < 20 * MS, "{limit:?}");
        let latency = machines.gate.snapshot(at(10_000)).next().unwrap().latency;
        assert!(latency <= 10 * MS, "{latency:?}");
    }
}

#[test]
fn an_attempt_cut_soon_after_a_slow_upload_is_no_old_one() {
    let config = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
    let gate = Picker::new(2, Some(&config)).unwrap();
    let house = learned(gate, Plan { retry: retry(2), ..Plan::default() });
    let mut call = Call::new(Ask::default());
    house.owed_since.set(None);
    assert_eq!(call.begin(&house, at(2_000)), Action::Start { attempt: 1 });
    let pick = call.picked(1).unwrap();
    while call.wake_at() < at(4_000) {
        assert_eq!(call.on(&house, Event::Tick, call.wake_at()), Action::Wait);
    }
    // All it needs has come now, and others are answered.
    house.owed_since.set(Some(at(4_000)));
    {
        let mut machines = house.machines.borrow_mut();
        let tried = [Some(1 - pick)];
        let (other, permit) = machines.gate.admit(&tried, at(4_001), || Draw::new(0)).unwrap();
        assert_eq!(other, pick);
        machines.gate.report(other, permit, End::new(Outcome::Success, MS), at(4_002));
        machines.gate.leave(other);
    }
    let mut action = Action::Wait;
    while action == Action::Wait {
        assert!(call.wake_at() < at(4_030), "{:?}", call.wake_at());
        action = call.on(&house, Event::Tick, call.wake_at());
    }
    assert_eq!(action, Action::Cancel { attempt: 1, limit: Limit::Learned });
    assert_eq!(phase(&house), None, "it owed the answer for 15 ms");
}

#[test]
fn an_attempt_that_waits_for_a_thread_is_cut_and_blames_nobody() {
    let config = CircuitBreakerConfig { failures: 1, ..CircuitBreakerConfig::default() };
    let house = learned(Some(CircuitBreaker::new(&config).unwrap()), Plan::default());
    let config = TimeoutConfig { attempt: 100 * MS, ..TimeoutConfig::default() };
    house.machines.borrow_mut().timeout.as_mut().unwrap().reconfigure(config).unwrap();
    house.begun.set(false);
    house.owed_since.set(None);
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(2_000)), Action::Start { attempt: 1 });
    assert_eq!(call.wake_at(), at(2_100));
    let cut = Action::Cancel { attempt: 1, limit: Limit::Attempt };
    assert_eq!(call.on(&house, Event::Tick, at(2_100)), cut);
    assert!(matches!(call.on(&house, Event::Cancelled { attempt: 1 }, at(2_100)), Action::Done(_)));
    let counts = house.machines.borrow().counts;
    assert_eq!((counts.attempts.ignored, counts.attempts.failed, phase(&house)), (1, 0, None));
}

#[test]
fn an_attempt_that_waited_for_a_thread_has_its_limit_from_where_it_began() {
    let plan = Plan { retry: retry(1), ..Plan::default() };
    let house = learned(breaker(), plan);
    let config = TimeoutConfig { attempt: 100 * MS, ..TimeoutConfig::default() };
    house.machines.borrow_mut().timeout.as_mut().unwrap().reconfigure(config).unwrap();
    house.begun.set(false);
    house.owed_since.set(None);
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(2_000)), Action::Start { attempt: 1 });
    assert_eq!(call.on(&house, Event::Tick, call.wake_at()), Action::Wait);
    assert_eq!(call.wake_at(), at(2_100), "the learned limit is put aside");
    house.begun.set(true);
    house.owed_since.set(Some(at(2_060)));
    assert_eq!(call.on(&house, Event::Tick, at(2_100)), Action::Wait);
    assert_eq!(call.wake_at(), at(2_160));
    let cut = Action::Cancel { attempt: 1, limit: Limit::Attempt };
    assert_eq!(call.on(&house, Event::Tick, at(2_160)), cut);
}

#[test]
fn a_place_that_is_kept_is_taken_until_it_is_given_back() {
    let house = limited(house(breaker(), Plan::default()), 100 * MS);
    give_places(&house, 1);
    let running = || house.machines.borrow().bulkhead.as_ref().unwrap().snapshot().running;
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    assert_eq!(call.keep_place(), None, "it runs, and is not cut");
    let _ = call.on(&house, Event::Tick, at(100));
    let place = call.keep_place().unwrap();
    assert!(matches!(call.on(&house, Event::Cancelled { attempt: 1 }, at(100)), Action::Done(_)));
    assert_eq!((running(), house.machines.borrow().counts.attempts.in_flight()), (1, 0));
    house.visit(at(500), |mut parts| parts.give_back(place, 500 * MS));
    assert_eq!(running(), 0);
}

#[test]
fn a_probe_whose_caller_is_slow_gives_its_place_back_and_opens_nothing() {
    let plan = Plan { deadline: Some(15_000 * MS), ..Plan::default() };
    let config = CircuitBreakerConfig {
        failures: 1,
        half_open_calls: 1,
        half_open_for: Some(10_000 * MS),
        ..CircuitBreakerConfig::default()
    };
    let house = limited(house(Some(CircuitBreaker::new(&config).unwrap()), plan), 5_000 * MS);
    drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
    house.owed_since.set(None);
    let mut slow = Call::new(Ask::default());
    assert_eq!(slow.begin(&house, at(62_000)), Action::Start { attempt: 1 });
    while slow.wake_at() < at(77_000) {
        assert_eq!(slow.on(&house, Event::Tick, slow.wake_at()), Action::Wait);
    }
    assert_eq!(phase(&house), Some(Phase::HalfOpen));
    house.owed_since.set(Some(Instant::ORIGIN));
    for _ in 0..3 {
        drive(&house, Ask::default(), at(76_500), MS, Verdict::SUCCESS);
    }
    assert_eq!(phase(&house), Some(Phase::Closed), "others have probed meanwhile");
    let _ = slow.on(&house, ended(1, Verdict::FAILURE), at(76_900));
    assert_eq!(phase(&house), Some(Phase::Closed), "what becomes of it says nothing here");
}

#[test]
fn a_late_end_is_not_judged_although_nobody_looked_before() {
    for (body, broke) in [(Verdict::FAILURE, 1), (Verdict::IGNORED, 0)] {
        let house = house(breaker(), Plan::default());
        for _ in 0..4 {
            drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
        }
        let mut call = streaming(&house, 100);
        assert_eq!(call.on(&house, ended(1, body), at(3_600_000)), Action::Wait);
        let machines = house.machines.borrow();
        assert_eq!(machines.counts.broke_off_late, broke);
        assert_eq!(machines.counts.calls.succeeded, 1);
        let seen = machines.gate.as_ref().unwrap().snapshot(at(3_600_000));
        assert_eq!((seen.phase, seen.failures), (Phase::Closed, 0), "a success ended the row");
    }
}

#[test]
fn two_clocks_that_cross_settle_a_probe_once() {
    let config =
        CircuitBreakerConfig { failures: 1, half_open_calls: 1, ..CircuitBreakerConfig::default() };
    let house = house(Some(CircuitBreaker::new(&config).unwrap()), Plan::default());
    drive(&house, Ask::default(), at(0), MS, Verdict::FAILURE);
    let mut first = streaming(&house, 62_000);
    let good_at = first.wake_at();
    // Another thread read its clock later and came first: the probe is settled and its place given on.
    let mut second = Call::new(Ask::default());
    assert_eq!(second.begin(&house, good_at), Action::Start { attempt: 1 });
    let earlier = Instant::from_nanos(good_at.as_nanos() - 1);
    let _ = first.on(&house, ended(1, Verdict::FAILURE), earlier);
    assert_eq!(phase(&house), Some(Phase::HalfOpen), "it was counted good already");
    let seen = house.machines.borrow().gate.as_ref().unwrap().snapshot(good_at);
    assert_eq!(seen.half_open_successes, 1);
    let mut third = Call::new(Ask::default());
    assert!(matches!(third.begin(&house, good_at), Action::Done(Finish::Refused(_))));
}

#[test]
fn what_cannot_be_repeated_after_the_pause_gives_the_kept_answer_and_the_money_back() {
    let house = house(breaker(), Plan { retry: retry(1), ..Plan::default() });
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
    assert_eq!(call.on(&house, ended(1, Verdict::FAILURE), at(1)), Action::Wait);
    house.repeatable.set(false);
    assert_eq!(
        call.on(&house, Event::Tick, call.wake_at()),
        Action::Done(Finish::Answer { attempt: 1, stopped: Stopped::NotRepeatable })
    );
    assert_eq!(house.machines.borrow().budget.as_ref().unwrap().snapshot().retries, 0);
    assert_eq!(house.machines.borrow().counts.calls.failed, 1);
}

#[test]
fn a_learned_limit_does_not_cut_what_would_open_the_breaker_on_its_own_retry() {
    let house = learned(breaker(), Plan { retry: retry(1), ..Plan::default() });
    for n in 0..4 {
        drive(
            &house,
            Ask { repeat: Repeat::Never, ..Ask::default() },
            at(1_000 + n),
            MS,
            Verdict::FAILURE,
        );
    }
    let (finish, ended) = drive(&house, Ask::default(), at(2_000), 60 * MS, Verdict::SUCCESS);
    assert_eq!(
        (finish, ended),
        (Finish::Answer { attempt: 1, stopped: Stopped::Succeeded }, at(2_060)),
        "the fifth failure would refuse the retry it was cut for"
    );
}

#[test]
fn a_probe_may_take_four_learned_limits() {
    let plan = Plan { retry: retry(2), ..Plan::default() };
    for (took, closes) in [(55, true), (70, false)] {
        let house = learned(picker(2), plan.clone());
        while phase(&house) != Some(Phase::Open) {
            let once = Ask { repeat: Repeat::Never, ..Ask::default() };
            drive(&house, once, at(1_000), MS, Verdict::FAILURE);
        }
        let probes = at(61_000);
        for _ in 0..3 {
            drive(&house, Ask::default(), probes, took * MS, Verdict::SUCCESS);
        }
        let closed = phase(&house) == Some(Phase::Closed);
        assert_eq!(closed, closes, "{took} ms where 10 were learned");
    }
}

#[test]
fn a_full_bulkhead_leaves_no_trace_at_the_endpoint() {
    let house = house(picker(1), Plan::default());
    drive(&house, Ask::default(), at(0), 100 * MS, Verdict::SUCCESS);
    give_places(&house, 0);
    for n in 0..50 {
        let (finish, _) = drive(&house, Ask::default(), at(100 + n * 100), MS, Verdict::SUCCESS);
        assert!(matches!(finish, Finish::Refused(_)), "{finish:?}");
    }
    let seen = house.machines.borrow().gate.snapshot(at(5_100)).next().unwrap();
    assert_eq!((seen.attempts, seen.running), (1, 0));
    assert!(seen.latency < 5 * MS, "it goes on fading: {:?}", seen.latency);
}

#[test]
fn learned_cuts_of_one_moment_do_not_open_a_breaker_together() {
    for (answered, cuts) in [(true, 20), (false, 4)] {
        let house = learned(breaker(), Plan { retry: retry(2), ..Plan::default() });
        house.machines.borrow_mut().budget = None;
        let mut slow: Vec<_> = (0..20).map(|_| Call::new(Ask::default())).collect();
        for call in &mut slow {
            assert_eq!(call.begin(&house, at(2_000)), Action::Start { attempt: 1 });
        }
        if answered {
            drive(&house, Ask::default(), at(2_003), 9 * MS, Verdict::SUCCESS);
        }
        let now = slow[0].wake_at();
        let ticked: Vec<_> =
            slow.iter_mut().map(|call| call.on(&house, Event::Tick, now)).collect();
        let cut = |action: &&Action| matches!(action, Action::Cancel { .. });
        assert_eq!(ticked.iter().filter(cut).count(), cuts, "answered: {answered}");
        for (call, action) in slow.iter_mut().zip(ticked) {
            if let Action::Cancel { attempt, .. } = action {
                assert_eq!(call.on(&house, Event::Cancelled { attempt }, now), Action::Wait);
            }
        }
        assert_eq!(phase(&house), None, "answered: {answered}");
        let failures = house.machines.borrow().gate.as_ref().unwrap().snapshot(now).failures;
        assert_eq!(failures, if answered { 0 } else { 4 });
    }
}

#[test]
fn clients_that_leave_together_do_not_open_the_breaker_of_a_callee_that_answers() {
    for (answered, opens) in [(true, false), (false, true)] {
        let house = learned(breaker(), Plan { deadline: Some(5_000 * MS), ..Plan::default() });
        let mut leaving: Vec<_> = (0..20).map(|_| Call::new(Ask::default())).collect();
        for call in &mut leaving {
            assert_eq!(call.begin(&house, at(2_000)), Action::Start { attempt: 1 });
        }
        if answered {
            drive(&house, Ask::default(), at(2_005), 9 * MS, Verdict::SUCCESS);
        }
        for call in &mut leaving {
            call.abandon(&house, at(2_030), false);
        }
        assert_eq!(phase(&house) == Some(Phase::Open), opens, "answered: {answered}");
    }
}

#[test]
fn a_cut_that_its_retry_proves_wrong_is_counted() {
    let (longer, as_long, shorter) = (1, 0, -1);
    for (beyond, streamed, wrong) in [
        (longer, false, 2),
        (longer, true, 2),
        (as_long, false, 0),
        (as_long, true, 0),
        (shorter, false, 0),
    ] {
        let house = learned(breaker(), Plan { retry: retry(1), ..Plan::default() });
        for n in 0..2 {
            let mut call = Call::new(Ask::default());
            let begun = at(2_000 + n * 1_000);
            assert_eq!(call.begin(&house, begun), Action::Start { attempt: 1 });
            let now = call.wake_at();
            assert!(matches!(call.on(&house, Event::Tick, now), Action::Cancel { .. }));
            assert_eq!(call.on(&house, Event::Cancelled { attempt: 1 }, now), Action::Wait);
            let again = call.wake_at();
            assert_eq!(call.on(&house, Event::Tick, again), Action::Start { attempt: 2 });
            let limit = now.since(begun).as_nanos() as i64;
            let answered = again.as_nanos().saturating_add_signed(limit + beyond);
            let (attempt, verdict) = (2, Verdict::SUCCESS);
            let end = Event::Ended { attempt, verdict };
            let event = if streamed { Event::Head { attempt, verdict } } else { end };
            let _ = call.on(&house, event, Instant::from_nanos(answered));
            call.abandon(&house, Instant::from_nanos(answered), false);
        }
        assert_eq!(house.machines.borrow().counts.false_timeouts, wrong, "{beyond} {streamed}");
    }
}

#[test]
fn a_learned_limit_does_not_ask_the_only_endpoint_twice() {
    for (endpoints, attempts) in [(1, 1), (2, 3), (3, 3)] {
        let house = learned(picker(endpoints), Plan { retry: retry(2), ..Plan::default() });
        let (finish, _) = drive(&house, Ask::default(), at(2_000), 300 * MS, Verdict::SUCCESS);
        assert_eq!(finish, Finish::Answer { attempt: attempts, stopped: Stopped::Succeeded });
    }
}

#[test]
fn a_failure_that_comes_with_the_deadline_is_judged_by_its_age() {
    let head = |verdict| Event::Head { attempt: 1, verdict };
    let whole = |verdict| ended(1, verdict);
    let failure = Verdict::PERMANENT;
    for (end_by, answered, verdict, failures) in [
        (5, 3, failure, 1), // by itself
        (5, 4, failure, 0), // a grain before
        (5, 5, failure, 0),
        (5, 50, failure, 0), // a thread was not to be cut
        (5, 5, Verdict::SUCCESS, 0),
        (999, 999, failure, 0),
        (1_000, 1_000, failure, 1), // late
        (5, 1_000, failure, 1),
    ] {
        for event in [head(verdict), whole(verdict)] {
            let house = house(breaker(), Plan::default());
            let mut call = Call::new(Ask::default());
            call.end_by(at(end_by));
            assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
            assert!(matches!(call.on(&house, event, at(answered)), Action::Done(_)));
            let seen = house.machines.borrow().gate.as_ref().unwrap().snapshot(at(answered));
            assert_eq!(seen.failures, failures, "{event:?} at {answered} of {end_by}");
        }
    }
}

#[test]
fn whoever_makes_a_call_bounds_it_and_never_lengthens_it() {
    for (own, outer, expected) in [(50, 100, 50), (100, 50, 50), (70, 70, 70)] {
        let house = house(breaker(), Plan { deadline: Some(70 * MS), ..Plan::default() });
        let mut call = Call::new(Ask { give_up_at: at(own), ..Ask::default() });
        call.end_by(at(outer));
        assert_eq!(call.begin(&house, at(0)), Action::Start { attempt: 1 });
        assert_eq!(call.wake_at(), at(expected));
        call.abandon(&house, at(1), false);
    }
    let house = house(breaker(), Plan::default());
    let mut late = Call::new(Ask::default());
    late.end_by(at(10));
    let Action::Done(Finish::Refused(refusal)) = late.begin(&house, at(10)) else {
        panic!("it cannot end before it begins")
    };
    assert_eq!((refusal.by, refusal.reason), (Pattern::Deadline, Reason::TooLate));
}

#[test]
fn late_is_what_its_breaker_calls_slow_and_else_what_was_learned() {
    let slow = |after: u64| CircuitBreakerConfig {
        slow_rate: Some(Ratio::percent(100)),
        slow_after: Some(MS * after as u32),
        ..CircuitBreakerConfig::default()
    };
    // A slow limit that no attempt reaches would let a hung callee pass for ever.
    for (after, deadline, late) in [
        (300, None, 300),
        (3_000, None, 3_000),
        (1_999, Some(2_000), 1_999),
        (2_000, Some(2_000), 1_000),
    ] {
        let (config, deadline) = (slow(after), deadline.map(|deadline| MS * deadline));
        for (age, held) in [(late - 1, false), (late, true)] {
            let one = house(CircuitBreaker::new(&config).ok(), plan_until(deadline));
            assert_eq!(given_up_at(&one, 0, age), held, "{age} of {after} until {deadline:?}");
            let several = house(Picker::new(2, Some(&config)).unwrap(), plan_until(deadline));
            assert_eq!(given_up_at(&several, 0, age), held, "one of several");
        }
    }
    let house = learned(CircuitBreaker::new(&slow(1_500)).ok(), Plan::default());
    assert!(!given_up_at(&house, 2_000, 1_499), "learned are 15 ms");
    assert!(given_up_at(&house, 4_000, 1_500));
}

fn plan_until(deadline: Option<Duration>) -> Plan {
    Plan { deadline, ..Plan::default() }
}

/// Whether an attempt that is left without an answer at that age is held against the callee.
fn given_up_at<G: Gate>(house: &House<G>, from: u64, age: u64) -> bool {
    let before = house.machines.borrow().counts.attempts;
    let mut call = Call::new(Ask::default());
    assert_eq!(call.begin(house, at(from)), Action::Start { attempt: 1 });
    call.abandon(house, at(from + age), false);
    let after = house.machines.borrow().counts.attempts;
    assert_eq!(after.failed + after.ignored, before.failed + before.ignored + 1);
    after.failed > before.failed
}
