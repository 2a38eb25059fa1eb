//! What a limit is asked without being changed, and bounds exactly met.

use super::*;

fn shaper(capacity: u64) -> RateLimiter {
    RateLimiter::new(&RateLimitConfig {
        algorithm: Algorithm::Shaper,
        capacity: Some(capacity),
        rate: Some(Rate::per_second(50)),
        ..RateLimitConfig::default()
    })
    .unwrap()
}

fn ask(limiter: &mut RateLimiter, now: u64) -> Admission {
    limiter.admit(1, Priority::Normal, Instant::NEVER, at(now))
}

fn queued(limiter: &mut RateLimiter, now: u64) -> Ticket {
    match ask(limiter, now) {
        Admission::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn when_a_call_would_have_its_turn() {
    let mut limiter = shaper(10);
    let wait = |limiter: &RateLimiter, now| limiter.time_until(1, Priority::Normal, at(now));
    assert_eq!(wait(&limiter, 7), ns(0));
    assert!(matches!(ask(&mut limiter, 7), Admission::Go(_)));
    assert_eq!(wait(&limiter, 7), ns(20 * MS));
    let second = queued(&mut limiter, 7);
    assert_eq!(limiter.due(&second), Some(at(7 + 20 * MS)));
    assert_eq!(wait(&limiter, 8), ns(40 * MS - 1));
    assert_eq!(wait(&shaper(0), 7), None);
    assert_eq!(Shaper::new(0, Rate::per_second(50)).idle_in(at(7)), None);
    assert_eq!(Shaper::new(1, Rate::per_second(50)).idle_in(at(7)), ns(0));
}

#[test]
fn whether_anybody_asks_and_who_still_waits() {
    let mut limiter = shaper(10);
    let asked = |limiter: &RateLimiter| (limiter.is_asked(), limiter.waits(0), limiter.waits(1));
    assert!(matches!(ask(&mut limiter, 0), Admission::Go(_)));
    assert_eq!(asked(&limiter), (false, false, false), "who goes does not ask");
    let [first, second] = [(); 2].map(|()| queued(&mut limiter, 0));
    assert_eq!(asked(&limiter), (true, true, true));
    assert_eq!(limiter.settle(at(20 * MS)), Some(first.place()));
    assert_eq!(asked(&limiter), (true, false, true));
    assert_eq!(limiter.settle(at(40 * MS)), Some(second.place()));
    assert_eq!(asked(&limiter), (false, false, false), "they are told, and may look later");
    assert!(matches!(limiter.claim(first, at(50 * MS)), Admission::Go(_)));
    let refused = queued(&mut limiter, 50 * MS);
    let none = RateLimitConfig {
        algorithm: Algorithm::Shaper,
        capacity: Some(0),
        ..RateLimitConfig::default()
    };
    limiter.reconfigure(&none, at(50 * MS)).unwrap();
    assert_eq!(asked(&limiter), (true, false, false), "nobody waits, but one is to be told");
    assert_eq!(limiter.settle(at(50 * MS)), Some(refused.place()));
    assert!(!limiter.is_asked());
}

#[test]
fn the_first_in_line_may_come_at_its_time_before_it_is_called_up() {
    let mut shaper = Shaper::new(10, Rate::per_second(50));
    let waits = |admission| match admission {
        Admission::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    };
    assert!(matches!(shaper.admit(1, Instant::NEVER, at(0)), Admission::Go(_)));
    let [first, second] = [(); 2].map(|()| waits(shaper.admit(1, Instant::NEVER, at(0))));
    let first = waits(shaper.claim(first, at(20 * MS - 1)));
    let second = waits(shaper.claim(second, at(20 * MS)));
    assert_eq!(shaper.due(&second), Some(at(40 * MS)), "as it was told");
    let second = waits(shaper.claim(second, at(40 * MS)));
    assert_eq!(shaper.due(&second), Some(Instant::NEVER), "it will be called up");
    assert!(matches!(shaper.claim(first, at(40 * MS)), Admission::Go(_)), "late, and let go");
    assert_eq!(shaper.wake_at(), Some(at(40 * MS)), "the next turn follows the one it had");
    assert!(matches!(shaper.claim(second, at(40 * MS)), Admission::Go(_)));
    assert_eq!((shaper.waiting(), shaper.settle(at(60 * MS))), (0, None));
}

#[test]
fn a_turn_exactly_when_one_gives_up_is_in_time() {
    let mut shaper = Shaper::new(10, Rate::per_second(50));
    assert!(matches!(shaper.admit(1, at(0), at(0)), Admission::Go(_)));
    let [first, second] = [20, 40].map(|ms| match shaper.admit(1, at(ms * MS), at(0)) {
        Admission::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    });
    shaper.reconfigure(10, Rate::per_second(50));
    assert_eq!(shaper.settle(at(0)), None, "both are still in time");
    // A little slower, and the first comes too late; then the second has its turn, and is early.
    shaper.reconfigure(10, Rate::per_second(49));
    assert_eq!(shaper.settle(at(0)), Some(first.place()));
    assert_eq!(shaper.settle(at(0)), Some(second.place()), "an earlier one");
    assert_eq!((shaper.settle(at(0)), shaper.waits(second.place())), (None, false));
    let Admission::Wait(second) = shaper.claim(second, at(0)) else { panic!("too early") };
    assert_eq!((shaper.settle(at(0)), shaper.waits(second.place())), (None, true));
}

#[test]
fn a_shaper_serves_in_order_and_keeps_nothing_for_any_class() {
    let config = |class: Option<Priority>| {
        let mut reserves = [NONE; 5];
        if let Some(class) = class {
            reserves[class.index()] = Reserve::Tokens(1);
        }
        RateLimitConfig { algorithm: Algorithm::Shaper, reserves, ..RateLimitConfig::default() }
    };
    assert_eq!(found(&config(None)), [""; 0]);
    for class in Priority::ALL {
        assert_eq!(found(&config(Some(class))), ["reserves"], "{class}");
    }
}

#[test]
fn a_table_has_a_number_for_every_place() {
    let most = u64::from(u32::MAX) - 1;
    for (capacity, places) in [(0, 0), (7, 7), (most - 1, most - 1), (u64::MAX, most)] {
        assert_eq!(Shaper::new(capacity, Rate::per_second(50)).capacity(), places);
    }
}

#[test]
fn where_there_is_room_a_clock_that_is_behind_waits_for_nothing() {
    let mut bucket = TokenBucket::new(2, Rate::per_second(1));
    assert!(bucket.admit(1, at(9 * SECOND)).is_ok());
    assert_eq!(bucket.time_until(1, at(0)), ns(0));
    assert_eq!(bucket.time_until(2, at(0)), ns(10 * SECOND));
    let leaky = LeakyBucket::new(2, Rate::per_second(1));
    assert_eq!((leaky.time_until(2, at(0)), leaky.time_until(3, at(0))), (ns(0), None));
    for buckets in [None, Some(10)] {
        let mut window = window(2, 10, buckets);
        assert_eq!(window.limit(), 2);
        assert!(window.admit(1, at(100)).is_ok());
        assert_eq!(window.time_until(1, at(50)), ns(0));
        assert!(window.time_until(2, at(50)) > ns(50));
    }
}

#[test]
fn another_grid_keeps_what_is_used_as_if_of_now() {
    let mut counter = window(4, 100, Some(10));
    assert!(counter.admit(3, at(5)).is_ok());
    for (nanos, buckets, used) in [(200, 10, [3, 3, 0]), (100, 5, [3, 0, 0])] {
        let mut other = counter.clone();
        other.reconfigure(4, Duration::from_nanos(nanos), Some(buckets), at(60)).unwrap();
        let left = [100, 190, 300].map(|now| 4 - other.available(at(now)));
        assert_eq!(left, used, "{nanos} in {buckets}");
    }
    let mut same = counter.clone();
    same.reconfigure(5, Duration::from_nanos(100), Some(10), at(60)).unwrap();
    let left = [100, 120].map(|now| same.available(at(now)));
    assert_eq!(left, [2, 5], "the same grid, another limit: it stays of its time");
}

#[test]
fn an_exact_window_may_hold_a_hundred_thousand() {
    let sliding = |limit| RateLimitConfig {
        algorithm: Algorithm::SlidingWindow,
        limit: Some(limit),
        ..RateLimitConfig::default()
    };
    assert!(RateLimiter::new(&sliding(100_000)).is_ok());
    assert_eq!(RateLimiter::new(&sliding(100_001)).unwrap_err().field, "rate_limit.limit");
}

#[test]
fn a_call_could_go_by_the_moment_when_its_tokens_are_there_and_not_before() {
    let config = RateLimitConfig {
        capacity: Some(1),
        rate: Some(Rate::per_second(1)),
        ..RateLimitConfig::default()
    };
    let mut limiter = RateLimiter::new(&config).unwrap();
    let ready = |limiter: &RateLimiter, by| limiter.ready_by(1, Priority::Normal, at(by), at(7));
    assert_eq!(ready(&limiter, 7), Ok(at(7)));
    assert!(matches!(ask(&mut limiter, 7), Admission::Go(_)));
    assert_eq!(ready(&limiter, SECOND + 7), Ok(at(SECOND + 7)));
    let refusal = ready(&limiter, SECOND + 6).unwrap_err();
    assert_eq!(why(refusal), (Reason::Limited, ns(SECOND)));
}

#[test]
fn it_knows_whether_each_attempt_is_to_pass() {
    for limit_each_attempt in [false, true] {
        let config = RateLimitConfig { limit_each_attempt, ..RateLimitConfig::default() };
        let made = RateLimiter::new(&config).unwrap();
        assert_eq!(made.limits_each_attempt(), limit_each_attempt);
    }
}

#[test]
fn how_long_until_a_call_could_go_through_a_shaper() {
    let mut limiter = shaper(2);
    let until = |limiter: &RateLimiter, cost| limiter.time_until(cost, Priority::Normal, at(7));
    assert_eq!([1, 2, 3].map(|cost| until(&limiter, cost)), [ns(0), ns(0), None]);
    assert!(matches!(ask(&mut limiter, 7), Admission::Go(_)));
    assert_eq!(until(&limiter, 1), ns(20 * MS));
}
