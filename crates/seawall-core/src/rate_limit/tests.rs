//! Promises, each against a model that counts naively.

use alloc::{boxed::Box, collections::BTreeSet, vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::{Ratio, Ticket};

mod joining;
mod questions;
mod waiting;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn rate(tokens: u64, nanos: u64) -> Rate {
    Rate::new(tokens, Duration::from_nanos(nanos)).unwrap()
}

fn ns(nanos: u64) -> Option<Duration> {
    Some(Duration::from_nanos(nanos))
}

fn why(refusal: Refusal) -> (Reason, Option<Duration>) {
    assert_eq!(refusal.by, Pattern::RateLimit);
    (refusal.reason, refusal.retry_after)
}

/// A bucket as one exact number: when it will be full, in time whose unit is 1/n of a nanosecond.
struct FullAt(u128);

impl FullAt {
    fn admit(&mut self, capacity: u64, rate: Rate, tokens: u64, now: u64) -> bool {
        let (n, per) = (u128::from(rate.tokens()), rate.per().as_nanos());
        let now = u128::from(now) * n;
        let after = self.0.max(now) + u128::from(tokens) * per;
        let fits = after - now <= u128::from(capacity) * per;
        if fits {
            self.0 = after;
        }
        fits
    }
}

/// Tokens a caller gets in `seconds` who asks for one at every `poll` until refused.
fn greedy(capacity: u64, rate: Rate, poll: u64, seconds: u64) -> u64 {
    let mut bucket = TokenBucket::new(capacity, rate);
    while bucket.admit(1, at(0)).is_ok() {}
    let looks = (1..=seconds * SECOND / poll).map(|look| at(look * poll));
    looks.map(|now| core::iter::from_fn(|| bucket.admit(1, now).ok()).count() as u64).sum()
}

#[test]
fn f60_the_rate_is_kept_however_often_somebody_looks() {
    for (poll, capacity) in [(15, 2), (19, 3), (1, 1), (10, 1), (7, 1_000), (500, 1_000)] {
        let got = greedy(capacity, Rate::per_second(100), poll * MS, 100);
        assert!((9_990..=10_000).contains(&got), "every {poll} ms: {got} instead of 10000");
    }
    assert_eq!(greedy(1, Rate::per_second(100), 15 * MS, 100), 6_666, "full in between");
    assert_eq!(greedy(5, rate(1, 3 * SECOND), 70 * MS, 3_000), 999, "999.99 earned");
}

#[test]
fn f58_a_burst_is_exactly_the_capacity() {
    let mut bucket = TokenBucket::new(1_000, Rate::per_second(100));
    assert_eq!((0..2_000).filter(|_| bucket.admit(1, at(0)).is_ok()).count(), 1_000);
    let after = bucket.admit(1, at(0)).unwrap_err();
    assert_eq!(why(after), (Reason::Limited, ns(10 * MS)));
    assert_eq!(why(bucket.admit(1_001, at(0)).unwrap_err()), (Reason::TooLarge, None));
    assert_eq!(bucket.take_up_to(9, at(25 * MS)), 2);
    assert_eq!(bucket.time_until(1, at(25 * MS)), ns(5 * MS), "the half token stays");
    bucket.refund(5_000);
    assert_eq!(bucket.available(at(25 * MS)), 1_000);
}

#[test]
fn a_leaky_bucket_is_a_meter() {
    let mut bucket = LeakyBucket::new(500, Rate::per_second(50));
    assert!(bucket.admit(500, at(0)).is_ok());
    assert_eq!(why(bucket.admit(2, at(0)).unwrap_err()), (Reason::Limited, ns(40 * MS)));
    assert_eq!((bucket.level(at(30 * MS)), bucket.available(at(30 * MS))), (499, 1));
    bucket.refund(100);
    assert_eq!(bucket.level(at(30 * MS)), 399);
    assert_eq!(bucket.time_until(501, at(0)), None);
    bucket.reconfigure(50, Rate::per_second(50), at(30 * MS));
    assert_eq!(bucket.available(at(30 * MS)), 50);
}

#[test]
fn a_clock_that_steps_back_stands() {
    let mut bucket = TokenBucket::new(2, Rate::per_second(1));
    assert!(bucket.admit(2, at(3_600 * SECOND)).is_ok());
    assert_eq!(why(bucket.admit(1, at(0)).unwrap_err()), (Reason::Limited, ns(3_601 * SECOND)));
    assert!(bucket.admit(1, at(3_601 * SECOND)).is_ok(), "and is not credited twice");
    assert!(bucket.admit(1, at(3_601 * SECOND)).is_err());

    for buckets in [None, Some(10)] {
        let mut window = window(1, 10, buckets);
        assert!(window.admit(1, at(100)).is_ok());
        let wait = why(window.admit(1, at(50)).unwrap_err()).1.unwrap().as_nanos() as u64;
        assert!(window.admit(1, at(50 + wait - 1)).is_err());
        assert!(window.admit(1, at(50 + wait)).is_ok());
    }
}

#[test]
fn zero_refuses_everything_and_names_no_time() {
    let none = Some(Rate::per_second(0));
    let sliding = RateLimitConfig {
        algorithm: Algorithm::SlidingWindow,
        limit: Some(0),
        ..RateLimitConfig::default()
    };
    let mut configs = vec![RateLimitConfig { buckets: Some(3), ..sliding.clone() }, sliding];
    for algorithm in [Algorithm::TokenBucket, Algorithm::LeakyBucket, Algorithm::Shaper] {
        let plain = RateLimitConfig { algorithm, ..RateLimitConfig::default() };
        configs.push(RateLimitConfig { capacity: Some(0), ..plain.clone() });
        configs.push(RateLimitConfig { rate: none, ..plain });
    }
    for config in configs {
        let mut limiter = RateLimiter::new(&config).unwrap();
        for now in [at(0), at(SECOND), Instant::NEVER] {
            let answer = limiter.admit(1, Priority::Critical, Instant::NEVER, now);
            assert_eq!(answer, Admission::No(refused(None, 0)), "{config:?}");
            let seen = limiter.snapshot(now);
            assert_eq!(
                (seen.limit, seen.available, seen.retry_after, seen.reset),
                (0, 0, None, None)
            );
        }
    }
}

#[test]
fn huge_numbers_saturate() {
    let fast = rate(u64::MAX, 1);
    for (capacity, rate) in [(u64::MAX, fast), (u64::MAX, rate(1, u64::MAX)), (1, fast)] {
        let mut bucket = TokenBucket::new(capacity, rate);
        for now in [Instant::ORIGIN, Instant::NEVER] {
            assert!(bucket.admit(capacity, now).is_ok() || rate.tokens() == 1);
            bucket.refund(u64::MAX);
            assert_eq!(bucket.available(now), capacity);
        }
        bucket.reconfigure(u64::MAX, fast, Instant::NEVER);
        assert!(bucket.time_until(u64::MAX, Instant::ORIGIN).is_some());

        let mut shaper = Shaper::new(capacity, rate);
        for now in [Instant::ORIGIN, Instant::NEVER, Instant::NEVER] {
            if let Admission::Wait(ticket) = shaper.admit(u64::MAX, Instant::NEVER, now) {
                assert!(shaper.wake_at().is_some() && shaper.idle_in(now).is_some());
                while shaper.settle(now).is_some() {}
                shaper.abandon(ticket);
            }
        }
        shaper.reconfigure(u64::MAX, fast);
    }
    for (nanos, buckets) in [(1, 1_000), (u64::MAX, 1_000), (u64::MAX, 1)] {
        let mut window = window(u64::MAX, nanos, Some(buckets));
        for now in [Instant::ORIGIN, Instant::NEVER, Instant::ORIGIN] {
            let _ = window.admit(u64::MAX, now);
            window.refund(u64::MAX, now);
            assert!(window.time_until(u64::MAX, now).is_some());
        }
    }
}

fn window(limit: u64, nanos: u64, buckets: Option<u32>) -> SlidingWindowCounter {
    SlidingWindowCounter::build(limit, Duration::from_nanos(nanos), buckets).unwrap()
}

/// The most tokens in any `window`, which begins where one of them was let through.
fn fullest(taken: &[(u64, u64)], window: u64) -> u64 {
    let within = |from: u64| {
        let later = taken.iter().filter(move |(at, _)| *at >= from && at - from < window);
        later.map(|(_, tokens)| tokens).sum::<u64>()
    };
    taken.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
}

#[test]
fn f62_no_burst_at_the_edge_of_a_window() {
    for buckets in [None, Some(10)] {
        let mut window = window(100, 60 * SECOND, buckets);
        assert!(window.admit(100, at(59 * SECOND)).is_ok());
        for second in 59..119 {
            assert!(window.admit(1, at(second * SECOND)).is_err(), "{second} s");
        }
        assert!(window.admit(1, at(126 * SECOND)).is_ok());
    }
}

#[test]
fn buckets_sustain_what_they_promise() {
    for (limit, nanos, buckets) in [(100, 60 * SECOND, 10), (1_000_000, SECOND, 7), (3, 10, 3)] {
        let mut window = window(limit, nanos, Some(buckets));
        let (mut now, mut taken) = (at(0), 0);
        let end = nanos * 1_000;
        while now.as_nanos() < end {
            match window.time_until(limit, now).unwrap() {
                Duration::ZERO => {
                    window.admit(limit, now).unwrap();
                    taken += limit;
                }
                wait => now = now + wait,
            }
        }
        let n = u64::from(buckets);
        assert!(taken >= limit * 1_000 * n / (n + 1), "{taken}");
    }
}

#[test]
fn a_refund_frees_room_unless_it_comes_too_late() {
    for buckets in [None, Some(5)] {
        let mut window = window(3, 10, buckets);
        assert!(window.admit(3, at(0)).is_ok());
        window.refund(2, at(0));
        assert_eq!(window.available(at(0)), 2);
        assert!(window.admit(2, at(30)).is_ok());
        window.refund(1, at(0));
        assert_eq!(window.available(at(30)), 1, "what has left the window frees nothing");
        window.refund(9, at(30));
        assert_eq!(window.available(at(30)), 3);
    }
    let mut window = window(3, 10, None);
    assert!(window.admit(2, at(0)).is_ok() && window.admit(1, at(10)).is_ok());
    window.refund(1, at(0));
    assert_eq!(window.available(at(10)), 2, "it has just left");
}

#[test]
fn shares_of_the_guides_classes() {
    let reserves = [Reserve::Share(Ratio::percent(20)), Reserve::Tokens(3), NONE, NONE, NONE];
    let plain = RateLimitConfig { reserves, ..RateLimitConfig::default() };
    let sliding = RateLimitConfig { algorithm: Algorithm::SlidingWindow, ..plain.clone() };
    for config in [
        RateLimitConfig { capacity: Some(10), ..plain.clone() },
        RateLimitConfig { capacity: Some(10), algorithm: Algorithm::LeakyBucket, ..plain },
        RateLimitConfig { limit: Some(10), ..sliding.clone() },
        RateLimitConfig { limit: Some(10), buckets: Some(10), ..sliding },
    ] {
        let mut limiter = RateLimiter::new(&config).unwrap();
        let mut all = |class| {
            let go = |_: &u32| matches!(limiter.admit(1, class, at(0), at(0)), Admission::Go(_));
            (0..20).filter(go).count()
        };
        let got = [Priority::Background, Priority::Normal, Priority::High, Priority::Critical];
        assert_eq!(got.map(&mut all), [5, 0, 3, 2]);
        let too_large = limiter.admit(6, Priority::Low, at(0), at(0));
        assert_eq!(too_large, Admission::No(refused(None, 1)), "more than this class ever has");
    }
}

const NONE: Reserve = Reserve::Tokens(0);

fn found(config: &RateLimitConfig) -> Vec<&'static str> {
    let mut fields = Vec::new();
    config.check(&mut |invalid| fields.push(invalid.field.trim_start_matches("rate_limit.")));
    assert_eq!(RateLimiter::new(config).is_err(), !fields.is_empty());
    fields
}

#[test]
fn every_wrong_setting_is_told() {
    let full = RateLimitConfig {
        algorithm: Algorithm::TokenBucket,
        capacity: Some(10),
        rate: Some(Rate::per_second(1)),
        limit: Some(100_001),
        window: Some(Duration::ZERO),
        buckets: Some(0),
        reserves: [Reserve::Tokens(10), NONE, NONE, NONE, Reserve::Tokens(1)],
        limit_each_attempt: true,
    };
    let reserves = "reserves";
    for (algorithm, fields) in [
        (Algorithm::TokenBucket, vec!["limit", "window", "buckets", reserves, reserves]),
        (Algorithm::LeakyBucket, vec!["limit", "window", "buckets", reserves, reserves]),
        (Algorithm::Shaper, vec!["limit", "window", "buckets", reserves]),
        (Algorithm::SlidingWindow, vec!["window", "buckets", "capacity", "rate", reserves]),
    ] {
        assert_eq!(found(&RateLimitConfig { algorithm, ..full.clone() }), fields);
        assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
    }
    let sliding =
        RateLimitConfig { algorithm: Algorithm::SlidingWindow, ..RateLimitConfig::default() };
    assert_eq!(found(&sliding), ["limit"]);
    assert_eq!(found(&RateLimitConfig { limit: Some(100_001), ..sliding.clone() }), ["limit"]);
    let bucketed = RateLimitConfig { limit: Some(100_001), buckets: Some(1_001), ..sliding };
    assert_eq!(found(&bucketed), ["buckets"]);
    assert_eq!(found(&RateLimitConfig { buckets: Some(1_000), ..bucketed }), [""; 0]);
    assert_eq!(found(&RateLimitConfig::default()), [""; 0]);
}

#[test]
fn figures_are_those_the_headers_need() {
    let mut limiter = RateLimiter::new(&RateLimitConfig::default()).unwrap();
    assert!(matches!(limiter.admit(990, Priority::Normal, at(0), at(0)), Admission::Go(_)));
    assert!(matches!(limiter.admit(20, Priority::Normal, at(0), at(0)), Admission::No(_)));
    let seen = limiter.snapshot(at(50 * MS));
    assert_eq!((seen.algorithm, seen.allowed, seen.refused), (Algorithm::TokenBucket, 1, 1));
    assert_eq!((seen.limit, seen.available), (1_000, 15));
    assert_eq!((seen.retry_after, seen.reset), (ns(0), ns(9_850 * MS)));
    limiter.refund(990, at(0));
    assert_eq!(limiter.snapshot(at(0)).reset, ns(0));
}

#[test]
fn new_settings_keep_the_balance() {
    let mut bucket = TokenBucket::new(10, Rate::per_second(1));
    assert!(bucket.admit(7, at(0)).is_ok());
    bucket.reconfigure(100, rate(1, 3 * SECOND), at(500 * MS));
    assert_eq!(bucket.time_until(4, at(500 * MS)), ns(1_500 * MS), "three and a half are there");
    bucket.reconfigure(2, Rate::per_second(1), at(500 * MS));
    assert_eq!(bucket.available(at(9 * SECOND)), 2);

    let nanos = Duration::from_nanos;
    for (before, after, wait, then) in [
        (None, None, 5, 5),
        (None, Some(5), 11, 6),
        (Some(5), Some(5), 7, 5),
        (Some(5), None, 10, 6),
    ] {
        let mut counter = window(6, 10, before);
        assert!(counter.admit(2, at(100)).is_ok() && counter.admit(2, at(104)).is_ok());
        counter.reconfigure(3, nanos(10), after, at(105)).unwrap();
        assert_eq!(counter.available(at(105)), 0, "{before:?} {after:?}");
        assert_eq!(counter.time_until(1, at(105)), ns(wait), "{before:?} {after:?}");
        assert!(counter.reconfigure(3, nanos(0), after, at(105)).is_err());
        counter.reconfigure(9, nanos(20), after, at(105)).unwrap();
        assert_eq!(counter.available(at(105)), then, "{before:?} {after:?}");
    }
}

#[test]
fn an_exact_window_that_was_short_for_a_while_remembers_what_went_before() {
    let mut counter = window(4, 100, None);
    assert!(counter.admit(3, at(0)).is_ok());
    counter.reconfigure(4, Duration::from_nanos(10), None, at(50)).unwrap();
    assert_eq!(counter.available(at(50)), 4);
    counter.reconfigure(4, Duration::from_nanos(100), None, at(60)).unwrap();
    assert_eq!(counter.available(at(60)), 1);
}

#[test]
fn what_is_given_back_after_a_change_makes_no_room_that_there_is_not() {
    // (before, after, room for how many of 2 once four of five are given back)
    for (before, after, room) in [
        (None, None, 1),
        (Some(5), Some(5), 1),
        (None, Some(5), 0),
        (Some(5), None, 0),
        (Some(4), Some(5), 0),
    ] {
        let config = |limit, buckets| RateLimitConfig {
            algorithm: Algorithm::SlidingWindow,
            limit: Some(limit),
            window: Some(Duration::from_nanos(100)),
            buckets,
            ..RateLimitConfig::default()
        };
        let mut limiter = RateLimiter::new(&config(5, before)).unwrap();
        let available = |limiter: &RateLimiter, now| limiter.snapshot(at(now)).available;
        let admit = |limiter: &mut RateLimiter, cost, now| {
            assert!(go(&limiter.admit(cost, Priority::Normal, at(now), at(now))));
        };
        admit(&mut limiter, 5, 100);
        limiter.reconfigure(&config(2, after), at(105)).unwrap();
        (0..4).for_each(|_| limiter.refund(1, at(100)));
        assert_eq!(available(&limiter, 105), room, "{before:?} {after:?}");
        limiter.reconfigure(&config(5, after), at(105)).unwrap();
        assert_eq!(available(&limiter, 105), 3 + room, "{before:?} {after:?}, raised again");
        admit(&mut limiter, 1, 106);
        limiter.refund(1, at(106));
        assert_eq!(available(&limiter, 106), 3 + room, "{before:?} {after:?}, as ever");
        assert_eq!(available(&limiter, 300), 5, "{before:?} {after:?}");
    }
}

// ── the shaper ──

fn go(answer: &Admission) -> bool {
    matches!(answer, Admission::Go(_))
}

fn wait(answer: Admission) -> Ticket {
    match answer {
        Admission::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

/// Calls all up whose turn has come, and returns which of `tickets` went.
fn leave(shaper: &mut Shaper, tickets: &mut Vec<Ticket>, now: Instant) -> usize {
    let mut gone = 0;
    while let Some(place) = shaper.settle(now) {
        let at = tickets.iter().position(|ticket| ticket.place() == place).unwrap();
        assert!(go(&shaper.claim(tickets.remove(at), now)));
        gone += 1;
    }
    gone
}

#[test]
fn f63_five_hundred_calls_leave_at_the_rate() {
    for (per_second, gap) in [(50, 20 * MS), (3, SECOND / 3)] {
        let mut shaper = Shaper::new(499, Rate::per_second(per_second));
        assert!(go(&shaper.admit(1, Instant::NEVER, at(0))));
        let mut tickets: Vec<_> =
            (1..500).map(|_| wait(shaper.admit(1, Instant::NEVER, at(0)))).collect();
        let full = shaper.admit(1, Instant::NEVER, at(0));
        let due = SECOND.div_ceil(per_second);
        assert_eq!(full, Admission::No(refused(ns(due), 1)), "the queue is bounded");
        let mut last = at(0);
        for _ in 1..500 {
            let due = shaper.wake_at().unwrap();
            assert_eq!(leave(&mut shaper, &mut tickets, at(due.as_nanos() - 1)), 0);
            assert_eq!(leave(&mut shaper, &mut tickets, due), 1);
            assert!(due.since(last).as_nanos() as u64 >= gap);
            last = due;
        }
        assert_eq!(shaper.wake_at(), None);
        assert_eq!(last, at((499 * SECOND).div_ceil(per_second)), "nothing drifts");
    }
}

#[test]
fn a_late_timer_shortens_the_next_gap() {
    let mut shaper = Shaper::new(9, Rate::per_second(50));
    assert!(go(&shaper.admit(1, Instant::NEVER, at(0))));
    let mut tickets: Vec<_> =
        (0..3).map(|_| wait(shaper.admit(1, Instant::NEVER, at(0)))).collect();
    assert_eq!(leave(&mut shaper, &mut tickets, at(27 * MS)), 1);
    assert_eq!(shaper.wake_at(), Some(at(40 * MS)));
    assert_eq!(leave(&mut shaper, &mut tickets, at(90 * MS)), 2);
    assert!(go(&shaper.admit(1, Instant::NEVER, at(90 * MS))), "idle time earns no more than one");
    let _ticket = wait(shaper.admit(1, Instant::NEVER, at(90 * MS)));
    assert_eq!(shaper.wake_at(), Some(at(110 * MS)));
}

#[test]
fn a_cancelled_waiters_turn_goes_to_the_next() {
    let mut shaper = Shaper::new(9, Rate::per_second(50));
    assert!(go(&shaper.admit(1, Instant::NEVER, at(0))));
    let [first, second, third, fourth] =
        [0; 4].map(|_| wait(shaper.admit(1, Instant::NEVER, at(0))));
    shaper.abandon(second);
    assert_eq!(shaper.settle(at(20 * MS)), Some(first.place()));
    assert_eq!(shaper.settle(at(20 * MS)), Some(third.place()), "it was told a later one");
    assert_eq!((shaper.waits(third.place()), shaper.settle(at(20 * MS))), (false, None));
    let third = wait(shaper.claim(third, at(20 * MS)));
    assert_eq!((shaper.waits(third.place()), shaper.due(&third)), (true, Some(at(40 * MS))));
    shaper.abandon(first);
    assert_eq!(shaper.settle(at(20 * MS)), Some(third.place()), "called up, and gone");
    assert!(go(&shaper.claim(third, at(20 * MS))));
    let fourth = wait(shaper.claim(fourth, at(39 * MS)));
    assert_eq!(shaper.settle(at(40 * MS)), Some(fourth.place()));
    assert!(go(&shaper.claim(fourth, at(40 * MS))));
    assert_eq!(shaper.wake_at(), None);
    assert_eq!((shaper.waiting(), shaper.available()), (0, 9));
}

#[test]
fn a_turn_that_another_has_followed_is_not_given_again() {
    let mut shaper = Shaper::new(9, Rate::per_second(50));
    assert!(go(&shaper.admit(1, Instant::NEVER, at(0))));
    let [first, second, _third] = [0; 3].map(|_| wait(shaper.admit(1, Instant::NEVER, at(0))));
    assert!(shaper.settle(at(20 * MS)).is_some() && shaper.settle(at(40 * MS)).is_some());
    assert!(go(&shaper.claim(second, at(40 * MS))));
    shaper.abandon(first);
    assert_eq!(shaper.wake_at(), Some(at(60 * MS)));
}

#[test]
fn a_turn_too_late_is_refused_on_arrival() {
    let mut shaper = Shaper::new(9, Rate::per_second(50));
    assert!(go(&shaper.admit(3, Instant::NEVER, at(0))));
    let late = shaper.admit(1, at(59 * MS), at(0));
    let hopeless = Refusal::new(Pattern::RateLimit, Reason::Hopeless);
    assert_eq!(late, Admission::No(hopeless.after(Duration::from_millis(1))));
    let _ticket = wait(shaper.admit(1, at(61 * MS), at(MS)));
    assert_eq!(shaper.admit(10, Instant::NEVER, at(0)), Admission::No(refused(None, 1)));
    assert_eq!(shaper.room_in(9, at(0)), ns(60 * MS));
    assert_eq!(shaper.idle_in(at(0)), ns(80 * MS));
}

#[test]
fn new_settings_refuse_the_last_and_the_late_and_tell_them() {
    let config = RateLimitConfig { algorithm: Algorithm::Shaper, ..RateLimitConfig::default() };
    let mut limiter = RateLimiter::new(&config).unwrap();
    let ask =
        |limiter: &mut RateLimiter, give_up| limiter.admit(1, Priority::Normal, at(give_up), at(0));
    assert!(go(&ask(&mut limiter, 0)));
    let [first, late, third, last] =
        [SECOND, 30 * MS, SECOND, SECOND].map(|give_up| wait(ask(&mut limiter, give_up)));
    let slower =
        RateLimitConfig { capacity: Some(3), rate: Some(Rate::per_second(50)), ..config.clone() };
    limiter.reconfigure(&slower, at(0)).unwrap();
    let mut told = [limiter.settle(at(0)).unwrap(), limiter.settle(at(0)).unwrap()];
    told.sort_unstable();
    assert_eq!(told, [late.place(), last.place()]);
    assert_eq!(limiter.settle(at(0)), Some(first.place()), "its turn has moved");
    assert_eq!(limiter.settle(at(0)), None);
    let first = wait(limiter.claim(first, at(0)));
    let refusal = |answer| match answer {
        Admission::No(refusal) => why(refusal).0,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(limiter.claim(late, at(0))), Reason::Hopeless);
    assert_eq!(refusal(limiter.claim(last, at(0))), Reason::Limited);
    assert_eq!(limiter.wake_at(), Some(at(20 * MS)), "the next turn is at the new rate");

    limiter.reconfigure(&RateLimitConfig::default(), at(0)).unwrap();
    assert_eq!(limiter.wake_at(), None);
    let seen = limiter.snapshot(at(0));
    assert_eq!((seen.algorithm, seen.waiting, seen.available), (Algorithm::TokenBucket, 2, 1_000));
    limiter.abandon(third);
    assert_eq!(limiter.settle(at(0)), Some(first.place()), "who waits is told");
    assert_eq!(refusal(limiter.claim(first, at(0))), Reason::Limited);
    let seen = limiter.snapshot(at(0));
    assert_eq!((seen.allowed, seen.refused, seen.abandoned, seen.waiting), (1, 3, 1, 0));
}

#[test]
fn nobody_passes_those_who_have_not_been_called_up_yet() {
    let mut shaper = Shaper::new(9, rate(1, 20));
    assert!(go(&shaper.admit(1, Instant::NEVER, at(0))));
    let first = wait(shaper.admit(1, Instant::NEVER, at(0)));
    let _second = wait(shaper.admit(1, Instant::NEVER, at(90)));
    assert_eq!(shaper.settle(at(90)), Some(first.place()));
}

#[test]
fn tickets_of_old_are_worth_nothing() {
    let mut shaper = Shaper::new(9, rate(1, 20));
    assert!(go(&shaper.admit(1, Instant::NEVER, at(0))));
    let first = wait(shaper.admit(1, Instant::NEVER, at(0)));
    let copy = || Ticket::new(first.generation(), first.place() as u32);
    let (claimed, abandoned) = (copy(), copy());
    shaper.abandon(first);
    let second = wait(shaper.admit(1, Instant::NEVER, at(0)));
    assert_eq!(second.place(), claimed.place());
    assert!(matches!(shaper.claim(claimed, at(20)), Admission::No(_)));
    shaper.abandon(abandoned);
    assert_eq!(shaper.settle(at(20)), Some(second.place()));

    let third = wait(shaper.admit(1, Instant::NEVER, at(20)));
    shaper.reconfigure(0, rate(1, 20));
    shaper.abandon(third);
    assert_eq!(shaper.settle(at(20)), None, "who has gone is not told");
}

#[test]
fn a_turn_granted_at_another_rate_is_not_given_again() {
    let mut shaper = Shaper::new(9, rate(1, 20));
    assert!(go(&shaper.admit(1, Instant::NEVER, at(0))));
    let [first, second, _third] = [0; 3].map(|_| wait(shaper.admit(1, Instant::NEVER, at(0))));
    assert_eq!(shaper.settle(at(20)), Some(first.place()));
    assert_eq!(shaper.settle(at(40)), Some(second.place()));
    // In parts of this rate the turn before would seem to be the one just before the latest.
    shaper.reconfigure(9, rate(2, 60));
    shaper.abandon(second);
    assert_eq!(shaper.wake_at(), Some(at(70)));
}

/// The shaper as a list: each waiter's due time is counted from the front.
#[derive(Clone, Default)]
struct List {
    next: u64,
    waiting: Vec<u64>,
}

/// Every order of arriving, giving up, being called up in vain and time passing, to the fixed point, against the
/// list. A gap of 3, time in steps of 1.
#[test]
fn exhaustive_three_callers_two_places() {
    const GAP: u64 = 3;
    type State = (Shaper, List, Vec<(u64, Ticket)>, Vec<u64>);
    let key = |list: &List, now: u64| {
        let rel = |time: u64| if time == u64::MAX { time } else { time.saturating_sub(now) };
        (rel(list.next), list.waiting.iter().map(|give_up| rel(*give_up)).collect::<Vec<_>>())
    };
    let copy = |tickets: &[(u64, Ticket)]| -> Vec<(u64, Ticket)> {
        let again = |ticket: &Ticket| Ticket::new(ticket.generation(), ticket.place() as u32);
        tickets.iter().map(|(give_up, ticket)| (*give_up, again(ticket))).collect()
    };
    let mut seen = BTreeSet::new();
    let start: State = (Shaper::new(2, rate(1, GAP)), List::default(), vec![], vec![]);
    let mut level: Vec<(u64, Box<State>)> = vec![(10, Box::new(start))];
    while !level.is_empty() {
        let mut deeper = Vec::new();
        for (now, state) in level {
            for step in 0..7 {
                let (mut shaper, mut list) = (state.0.clone(), state.1.clone());
                let (mut tickets, mut went) = (copy(&state.2), state.3.clone());
                let (mut time, mut gives_up) = (now, step == 6);
                match step {
                    0 | 6 => time += 1,
                    1..=3 => {
                        let give_up = if step == 3 { u64::MAX } else { now + step * GAP };
                        let turn = list.next + list.waiting.len() as u64 * GAP;
                        match shaper.admit(1, at(give_up), at(now)) {
                            Admission::Go(_) => {
                                assert!(list.waiting.is_empty() && list.next <= now);
                                list.next = now + GAP;
                                went.push(now);
                            }
                            Admission::Wait(ticket) => {
                                assert!(list.waiting.len() < 2 && turn > now && turn <= give_up);
                                list.waiting.push(give_up);
                                tickets.push((give_up, ticket));
                            }
                            Admission::No(refusal) if list.waiting.len() == 2 => {
                                assert_eq!(why(refusal), (Reason::Limited, ns(list.next - now)));
                            }
                            Admission::No(refusal) => {
                                assert!(turn > give_up);
                                assert_eq!(why(refusal), (Reason::Hopeless, ns(turn - give_up)));
                            }
                        }
                    }
                    _ => {
                        let nth = step as usize - 4;
                        if nth >= tickets.len() {
                            continue;
                        }
                        shaper.abandon(tickets.remove(nth).1);
                        list.waiting.remove(nth);
                    }
                }
                while let Some(place) = shaper.settle(at(time)) {
                    let (give_up, ticket) = tickets.remove(0);
                    assert_eq!(ticket.place(), place, "first come, first served");
                    if list.next > time {
                        assert_ne!(
                            shaper.due(&ticket),
                            Some(at(list.next)),
                            "called up for nothing"
                        );
                        tickets.insert(0, (give_up, wait(shaper.claim(ticket, at(time)))));
                        continue;
                    }
                    if core::mem::take(&mut gives_up) {
                        // Called up, and gone: whoever is next goes at once.
                        shaper.abandon(ticket);
                        list.waiting.remove(0);
                        continue;
                    }
                    assert!(go(&shaper.claim(ticket, at(time))));
                    assert!(time == list.next && time <= give_up, "on time, and not too late");
                    list.next = time + GAP;
                    list.waiting.remove(0);
                    went.push(time);
                }
                assert!(went.windows(2).all(|pair| pair[1] - pair[0] >= GAP), "{went:?}");
                let due = (!list.waiting.is_empty()).then(|| at(list.next));
                assert_eq!(shaper.wake_at(), due);
                let told = tickets.first().and_then(|(_, first)| shaper.due(first));
                assert_eq!(told, due, "the first knows when to look");
                assert_eq!(shaper.available(), 2 - list.waiting.len() as u64);
                if seen.insert(key(&list, time)) {
                    deeper.push((time, Box::new((shaper, list, tickets, went))));
                }
            }
        }
        level = deeper;
    }
    assert_eq!(seen.len(), 74);
}

/// Every sequence of seven asks and pauses at tiny limits: the bucket against its model, windows against a count.
#[test]
fn exhaustive_tiny_limits() {
    for (capacity, n, per) in [(1, 1, 2), (2, 2, 3), (2, 3, 2), (3, 2, 5)] {
        for choice in 0..5u32.pow(7) {
            let (mut bucket, mut model) = (TokenBucket::new(capacity, rate(n, per)), FullAt(0));
            let mut counters = [window(capacity, per, None), window(capacity, per, Some(2))];
            let mut taken = [Vec::new(), Vec::new()];
            let (mut now, mut choices) = (0, choice);
            for _ in 0..7 {
                let step = u64::from(choices % 5);
                choices /= 5;
                if step < 2 {
                    now += step + 1;
                    continue;
                }
                let (tokens, time) = (step - 1, at(now));
                let until = bucket.time_until(tokens, time);
                let fits = model.admit(capacity, rate(n, per), tokens, now);
                assert_eq!(bucket.admit(tokens, time).is_ok(), fits);
                assert_eq!(until == ns(0), fits);
                for (counter, taken) in counters.iter_mut().zip(&mut taken) {
                    if counter.admit(tokens, time).is_ok() {
                        taken.push((now, tokens));
                    }
                    assert!(fullest(taken, per) <= capacity);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_bucket_is_its_exact_model_at_any_polling(
        capacity in 0u64..50, n in 1u64..1_000, per in 1u64..2_000_000,
        steps in prop::collection::vec((0u64..500_000, 0u64..60), 0..200),
    ) {
        let rate = rate(n, per);
        let (mut bucket, mut model, mut now) = (TokenBucket::new(capacity, rate), FullAt(0), 0);
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for (pause, tokens) in steps {
            now += pause;
            let _ = bucket.available(at(now));
            let until = bucket.time_until(tokens, at(now));
            let fits = capacity > 0 && model.admit(capacity, rate, tokens, now);
            match bucket.admit(tokens, at(now)) {
                Ok(()) => { prop_assert!(fits && until == ns(0)); taken.push((now, tokens)); }
                Err(refusal) => {
                    prop_assert!(!fits);
                    let reason = if tokens > capacity && capacity > 0 { Reason::TooLarge } else { Reason::Limited };
                    prop_assert_eq!(why(refusal), (reason, until));
                    prop_assert_eq!(until.is_none(), tokens > capacity || capacity == 0);
                    if let Some(wait) = until {
                        let (mut early, mut then) = (bucket.clone(), bucket.clone());
                        prop_assert!(early.admit(tokens, at(now + wait.as_nanos() as u64 - 1)).is_err());
                        prop_assert!(then.admit(tokens, at(now + wait.as_nanos() as u64)).is_ok());
                    }
                }
            }
        }
        for (first, (from, _)) in taken.iter().enumerate() {
            let mut sum = 0;
            for (to, tokens) in &taken[first..] {
                sum += tokens;
                prop_assert!(u128::from(sum) * u128::from(per)
                    <= u128::from(capacity) * u128::from(per) + u128::from(to - from) * u128::from(n));
            }
        }
    }

    #[test]
    fn part_of_a_grant_is_all_there_is(
        capacity in 0u64..50, n in 0u64..100, take in 0u64..100, pause in 0u64..SECOND,
    ) {
        let mut bucket = TokenBucket::new(capacity, Rate::per_second(n));
        for now in [0, pause, 2 * pause] {
            let there = bucket.available(at(now));
            prop_assert_eq!(bucket.take_up_to(take, at(now)), take.min(there));
            prop_assert_eq!(bucket.available(at(now)), there - take.min(there));
        }
    }

    #[test]
    fn no_window_holds_more_than_the_limit(
        limit in 0u64..20, nanos in 1u64..1_000, buckets in prop::option::of(1u32..12),
        steps in prop::collection::vec((0u64..200, 1u64..8, 0u8..4), 0..150),
    ) {
        let mut counter = window(limit, nanos, buckets);
        let (mut now, mut taken) = (0, Vec::<(u64, u64)>::new());
        for (pause, tokens, kind) in steps {
            now += pause;
            // One in four of those let through never ran: refunded now or later.
            if kind == 0 && !taken.is_empty() {
                let (when, tokens) = taken.remove(tokens as usize % taken.len());
                counter.refund(tokens, at(when));
            }
            let live = taken.iter().filter(|(at, _)| now - at < nanos);
            let used: u64 = live.map(|(_, tokens)| tokens).sum();
            prop_assert!(counter.available(at(now)) <= limit - used);
            let until = counter.time_until(tokens, at(now));
            match counter.admit(tokens, at(now)) {
                Ok(()) => { prop_assert_eq!(until, ns(0)); taken.push((now, tokens)); }
                Err(refusal) => {
                    prop_assert_eq!(why(refusal).1, until);
                    prop_assert_eq!(until.is_none(), tokens > limit);
                    if let Some(wait) = until {
                        let wait = wait.as_nanos() as u64;
                        let n = u64::from(buckets.unwrap_or(u32::MAX));
                        prop_assert!(wait <= nanos + nanos.div_ceil(n));
                        prop_assert!(counter.clone().admit(tokens, at(now + wait - 1)).is_err());
                        prop_assert!(counter.clone().admit(tokens, at(now + wait)).is_ok());
                    }
                }
            }
            prop_assert!(fullest(&taken, nanos) <= limit);
        }
    }

    #[test]
    fn an_exact_window_is_a_list_of_stamps(
        limit in 1u64..20, nanos in 1u64..1_000,
        steps in prop::collection::vec((0u64..300, 1u64..8), 0..150),
    ) {
        let (mut counter, mut now) = (window(limit, nanos, None), 0);
        let mut stamps = Vec::<u64>::new();
        for (pause, tokens) in steps {
            now += pause;
            stamps.retain(|stamp| now - stamp < nanos);
            prop_assert_eq!(counter.available(at(now)), limit - stamps.len() as u64);
            let fits = stamps.len() as u64 + tokens <= limit;
            prop_assert_eq!(counter.admit(tokens, at(now)).is_ok(), fits);
            stamps.extend((0..if fits { tokens } else { 0 }).map(|_| now));
        }
    }

    /// Whatever the others do, the most urgent class fares no worse than alone with its reserve.
    #[test]
    fn class_one_always_finds_its_reserve(
        kind in 0u8..3, reserve in 1u64..10,
        steps in prop::collection::vec((0u64..30, 0usize..5, 1u64..5), 0..200),
    ) {
        let reserves = [Reserve::Tokens(reserve), NONE, NONE, NONE, NONE];
        let plain = RateLimitConfig { reserves, ..RateLimitConfig::default() };
        let (nanos, tick) = (100, Some(rate(1, 10)));
        let config = if kind == 0 {
            RateLimitConfig { capacity: Some(20), rate: tick, ..plain }
        } else {
            RateLimitConfig {
                algorithm: Algorithm::SlidingWindow, limit: Some(20),
                window: Some(Duration::from_nanos(nanos)), buckets: (kind == 1).then_some(4), ..plain
            }
        };
        let alone = match kind {
            0 => RateLimitConfig { capacity: Some(reserve), ..config.clone() },
            _ => RateLimitConfig { limit: Some(reserve), ..config.clone() },
        };
        let alone = RateLimitConfig { reserves: [NONE; 5], ..alone };
        let mut limiter = RateLimiter::new(&config).unwrap();
        let mut alone = RateLimiter::new(&alone).unwrap();
        let mut now = 0;
        for (pause, class, tokens) in steps {
            now += pause;
            let class = Priority::ALL[class];
            // With a copy asked, not the limiter: a class that takes more than its reserve may use it up.
            if class == Priority::Critical {
                if go(&alone.admit(tokens, class, at(0), at(now))) {
                    prop_assert!(go(&limiter.admit(tokens, class, at(0), at(now))));
                }
            } else {
                limiter.admit(tokens, class, at(0), at(now));
            }
        }
    }

    #[test]
    fn shaped_calls_keep_their_distance_and_none_is_lost(
        n in 1u64..50, per in 1u64..1_000, capacity in 1u64..8,
        steps in prop::collection::vec((0u8..4, 0u64..400, 1u64..4), 0..150),
    ) {
        let mut shaper = Shaper::new(capacity, rate(n, per));
        let (mut tickets, mut costs) = (Vec::<Ticket>::new(), Vec::<u64>::new());
        let mut now = 0;
        let mut last: Option<(u64, u64)> = None;
        for (kind, pause, cost) in steps {
            let end = now + pause;
            // Wakes exactly when asked to, on the way.
            loop {
                while let Some(place) = shaper.settle(at(now)) {
                    prop_assert_eq!(tickets[0].place(), place);
                    if let Admission::Wait(ticket) = shaper.claim(tickets.remove(0), at(now)) {
                        prop_assert_eq!(shaper.due(&ticket), shaper.wake_at());
                        tickets.insert(0, ticket);
                        continue;
                    }
                    let cost = costs.remove(0);
                    if let Some((before, cost)) = last { prop_assert!(now - before >= cost * per / n); }
                    last = Some((now, cost));
                }
                match shaper.wake_at() {
                    Some(due) if due <= at(end) => { prop_assert!(due > at(now)); now = due.as_nanos(); }
                    _ => { now = end; break; }
                }
            }
            while let Some(place) = shaper.settle(at(now)) {
                prop_assert_eq!(tickets[0].place(), place);
                if let Admission::Wait(ticket) = shaper.claim(tickets.remove(0), at(now)) {
                    tickets.insert(0, ticket);
                    continue;
                }
                last = Some((now, costs.remove(0)));
            }
            if kind == 0 && !tickets.is_empty() {
                let nth = pause as usize % tickets.len();
                costs.remove(nth);
                shaper.abandon(tickets.remove(nth));
            } else {
                match shaper.admit(cost, Instant::NEVER, at(now)) {
                    Admission::Go(_) => {
                        prop_assert!(tickets.is_empty());
                        if let Some((before, cost)) = last { prop_assert!(now - before >= cost * per / n); }
                        last = Some((now, cost));
                    }
                    Admission::Wait(ticket) => { tickets.push(ticket); costs.push(cost); }
                    Admission::No(_) => prop_assert!(costs.iter().sum::<u64>() + cost > capacity),
                }
            }
            prop_assert_eq!(shaper.waiting() as usize, tickets.len());
            prop_assert_eq!(shaper.available(), capacity - costs.iter().sum::<u64>());
            prop_assert_eq!(shaper.wake_at().is_some(), !tickets.is_empty());
        }
    }
}

#[test]
fn where_there_is_nothing_not_even_what_costs_nothing_passes() {
    let nothing = |algorithm| RateLimitConfig {
        algorithm,
        capacity: (algorithm != Algorithm::SlidingWindow).then_some(0),
        limit: (algorithm == Algorithm::SlidingWindow).then_some(0),
        ..RateLimitConfig::default()
    };
    let counted = RateLimitConfig { buckets: Some(3), ..nothing(Algorithm::SlidingWindow) };
    let all = [
        nothing(Algorithm::TokenBucket),
        nothing(Algorithm::SlidingWindow),
        counted,
        nothing(Algorithm::LeakyBucket),
        nothing(Algorithm::Shaper),
    ];
    for config in all {
        let mut limiter = RateLimiter::new(&config).unwrap();
        for cost in [0, 1] {
            let now = Instant::ORIGIN;
            let answer = limiter.admit(cost, Priority::Critical, Instant::NEVER, now);
            let Admission::No(refusal) = answer else { panic!("{config:?} costs {cost}") };
            assert_eq!((refusal.reason, refusal.retry_after), (Reason::Limited, None));
            assert_eq!(limiter.time_until(cost, Priority::Critical, now), None, "{config:?}");
        }
    }
}
