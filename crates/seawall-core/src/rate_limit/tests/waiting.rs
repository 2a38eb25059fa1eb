//! Waiting for tokens.

use super::*;
use crate::rate_limit::waiting::WAITERS_MAX;

/// Asks and, if it must wait, says when it is to look again.
fn ask(limiter: &mut RateLimiter, cost: u64, class: Priority, now: u64) -> Result<Ticket, Refusal> {
    match limiter.admit_or_wait(cost, class, Instant::NEVER, at_ms(now)) {
        Admission::Wait(ticket) => Ok(ticket),
        Admission::No(refusal) => Err(refusal),
        Admission::Go(_) => panic!("there is nothing to wait for"),
    }
}

fn at_ms(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(millis)
}

fn goes(limiter: &mut RateLimiter, ticket: Ticket, now: u64) -> Result<(), Ticket> {
    match limiter.claim(ticket, at_ms(now)) {
        Admission::Go(_) => Ok(()),
        Admission::Wait(ticket) => Err(ticket),
        Admission::No(refusal) => panic!("{refusal}"),
    }
}

fn due(limiter: &RateLimiter, ticket: &Ticket) -> Option<u64> {
    let due = limiter.due(ticket).expect("it waits");
    (due != Instant::NEVER).then(|| due.since(Instant::ORIGIN).as_millis() as u64)
}

/// Empty at the origin: ten tokens, one more every 100 ms.
fn empty() -> RateLimiter {
    let config = RateLimitConfig {
        capacity: Some(10),
        rate: Some(Rate::per_second(10)),
        ..RateLimitConfig::default()
    };
    emptied(&config)
}

fn emptied(config: &RateLimitConfig) -> RateLimiter {
    let mut limiter = RateLimiter::new(config).unwrap();
    let all = limiter.snapshot(Instant::ORIGIN).limit;
    let taken = limiter.admit(all, Priority::Critical, Instant::ORIGIN, Instant::ORIGIN);
    assert!(matches!(taken, Admission::Go(_)));
    limiter
}

#[test]
fn f59_a_wait_ends_when_the_tokens_are_there_and_nobody_overtakes() {
    let mut limiter = empty();
    let large = ask(&mut limiter, 5, Priority::Normal, 0).unwrap();
    assert_eq!((due(&limiter, &large), limiter.settle(at_ms(0))), (Some(500), None));
    let small = ask(&mut limiter, 1, Priority::Normal, 100).unwrap();
    assert_eq!(due(&limiter, &small), None, "it is called up");
    assert!(limiter.is_asked());
    assert!(!limiter.waits(small.place() + 1), "nobody has that ticket");
    // Whoever does not wait may not take what others wait for.
    let refused = limiter.admit(1, Priority::Normal, at_ms(400), at_ms(400));
    let Admission::No(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.reason, Reason::Limited);
    let large = goes(&mut limiter, large, 499).unwrap_err();
    assert_eq!(due(&limiter, &large), Some(500));
    let place = small.place();
    assert_eq!(goes(&mut limiter, large, 500), Ok(()));
    assert!(limiter.waits(place));
    assert_eq!(limiter.settle(at_ms(500)), Some(place), "it is the first now");
    assert!(!limiter.waits(place), "called up, it does not sleep again before it has looked");
    assert_eq!(limiter.settle(at_ms(500)), None, "each is told once");
    let small = goes(&mut limiter, small, 500).unwrap_err();
    assert_eq!((due(&limiter, &small), limiter.wake_at()), (Some(600), Some(at_ms(600))));
    assert!(limiter.waits(place));
    assert_eq!(goes(&mut limiter, small, 600), Ok(()));
    let seen = limiter.snapshot(at_ms(600));
    assert_eq!((seen.allowed, seen.refused, seen.waiting, seen.available), (3, 1, 0, 0));
    assert!(!limiter.is_asked());
}

#[test]
fn whoever_does_not_wait_is_told_when_the_first_will_have_gone() {
    let mut limiter = empty();
    let _first = ask(&mut limiter, 5, Priority::Normal, 0).unwrap();
    let _second = ask(&mut limiter, 5, Priority::Normal, 0).unwrap();
    let refused = |limiter: &mut RateLimiter, cost, class, now| match limiter.admit(
        cost,
        class,
        at_ms(now),
        at_ms(now),
    ) {
        Admission::No(refusal) => refusal.retry_after.map(|wait| wait.as_millis()),
        other => panic!("{other:?}"),
    };
    // One token is there, and five are the first one's.
    assert_eq!(refused(&mut limiter, 1, Priority::Normal, 100), Some(500));
    assert_eq!(refused(&mut limiter, 1, Priority::Normal, 500), Some(100), "it is called up");
    assert_eq!(refused(&mut limiter, 10, Priority::Normal, 100), Some(900), "there are no more");
    assert_eq!(refused(&mut limiter, 11, Priority::Normal, 100), None, "there never are");
    assert_eq!(refused(&mut limiter, 2, Priority::High, 100), Some(100), "nobody is before it");
    let wait = limiter.time_until(1, Priority::Normal, at_ms(100));
    assert_eq!(wait, Some(Duration::from_millis(500)));
}

#[test]
fn the_more_urgent_goes_first_and_finds_its_reserve() {
    let mut config = RateLimitConfig {
        capacity: Some(10),
        rate: Some(Rate::per_second(10)),
        ..RateLimitConfig::default()
    };
    config.reserves[0] = Reserve::Tokens(4);
    let mut limiter = emptied(&config);
    let low = ask(&mut limiter, 1, Priority::Low, 0).unwrap();
    assert_eq!(due(&limiter, &low), Some(500), "its own, and the four it must leave");
    let urgent = ask(&mut limiter, 2, Priority::Critical, 0).unwrap();
    assert_eq!(due(&limiter, &urgent), Some(200));
    assert_eq!(due(&limiter, &low), None);
    assert_eq!(goes(&mut limiter, urgent, 200), Ok(()));
    assert_eq!(limiter.settle(at_ms(200)), Some(low.place()));
    let low = goes(&mut limiter, low, 200).unwrap_err();
    assert_eq!(due(&limiter, &low), Some(700));
    // One that is more urgent need not stand behind it.
    let urgent = limiter.admit(4, Priority::Critical, at_ms(600), at_ms(600));
    assert!(matches!(urgent, Admission::Go(_)));
    let low = goes(&mut limiter, low, 700).unwrap_err();
    assert_eq!(due(&limiter, &low), Some(1_100));
    assert_eq!(goes(&mut limiter, low, 1_100), Ok(()));
}

#[test]
fn who_gives_up_lets_the_next_one_through() {
    let mut limiter = empty();
    let first = ask(&mut limiter, 10, Priority::Normal, 0).unwrap();
    let second = ask(&mut limiter, 1, Priority::Normal, 0).unwrap();
    let third = ask(&mut limiter, 1, Priority::Normal, 0).unwrap();
    limiter.abandon(second);
    assert_eq!(limiter.settle(at_ms(100)), None, "the first knows its time");
    limiter.abandon(first);
    assert_eq!(limiter.settle(at_ms(100)), Some(third.place()));
    // Called up and gone: the next.
    let fourth = ask(&mut limiter, 1, Priority::Normal, 100).unwrap();
    limiter.abandon(third);
    assert_eq!(limiter.settle(at_ms(100)), Some(fourth.place()));
    assert_eq!(goes(&mut limiter, fourth, 100), Ok(()));
    assert_eq!(limiter.snapshot(at_ms(100)).abandoned, 3);
}

#[test]
fn behind_others_a_wait_ends_at_its_deadline_though_its_own_tokens_are_there() {
    let mut limiter = empty();
    let first = ask(&mut limiter, 10, Priority::Normal, 0).unwrap();
    let small = limiter.admit_or_wait(1, Priority::Normal, at_ms(300), at_ms(0));
    let Admission::Wait(small) = small else { panic!("{small:?}") };
    assert_eq!(limiter.due(&small), Some(at_ms(300)));
    let small = goes(&mut limiter, small, 299).unwrap_err();
    let late = Refusal::new(Pattern::RateLimit, Reason::TooLate).after(Duration::ZERO);
    assert_eq!(limiter.claim(small, at_ms(300)), Admission::No(late));
    assert_eq!((due(&limiter, &first), limiter.snapshot(at_ms(300)).waiting), (Some(1_000), 1));
}

#[test]
fn time_ends_no_wait_of_one_who_is_called_up_or_gone() {
    let mut limiter = empty();
    let first = ask(&mut limiter, 1, Priority::Normal, 0).unwrap();
    assert_eq!(limiter.wake_at(), Some(at_ms(100)));
    assert_eq!(limiter.settle(at_ms(100)), Some(first.place()));
    assert_eq!(limiter.wake_at(), None, "it is to look now");
    let first = goes(&mut limiter, first, 99).unwrap_err();
    assert_eq!(limiter.wake_at(), Some(at_ms(100)));
    limiter.abandon(first);
    assert_eq!((limiter.wake_at(), limiter.is_asked()), (None, false));
}

#[test]
fn tokens_given_back_call_the_first_one_up() {
    let mut limiter = empty();
    let first = ask(&mut limiter, 5, Priority::Normal, 0).unwrap();
    assert_eq!(limiter.settle(at_ms(0)), None);
    limiter.refund(5, Instant::ORIGIN);
    assert_eq!(limiter.settle(at_ms(0)), Some(first.place()));
    assert_eq!(goes(&mut limiter, first, 0), Ok(()));
}

#[test]
fn a_wait_in_vain_is_none() {
    let mut limiter = empty();
    assert_eq!(ask(&mut limiter, 11, Priority::Normal, 0).unwrap_err().reason, Reason::TooLarge);
    let too_late = limiter.admit_or_wait(5, Priority::Normal, at_ms(400), at_ms(0));
    let hopeless = Refusal::new(Pattern::RateLimit, Reason::Hopeless);
    assert_eq!(too_late, Admission::No(hopeless.after(Duration::from_millis(100))));
    let just = limiter.admit_or_wait(5, Priority::Normal, at_ms(500), at_ms(0));
    let Admission::Wait(just) = just else { panic!("{just:?}") };
    // Somebody more urgent takes what it hoped for.
    let urgent = limiter.admit(2, Priority::High, at_ms(200), at_ms(200));
    assert!(matches!(urgent, Admission::Go(_)));
    let late = limiter.claim(just, at_ms(500));
    let refusal = Refusal::new(Pattern::RateLimit, Reason::TooLate);
    assert_eq!(late, Admission::No(refusal.after(Duration::from_millis(200))));
    assert_eq!(limiter.snapshot(at_ms(500)).waiting, 0);
    let mut never = RateLimiter::new(&RateLimitConfig { capacity: Some(0), ..Default::default() });
    let never = never.as_mut().unwrap();
    assert_eq!(ask(never, 1, Priority::Normal, 0).unwrap_err().retry_after, None);
}

#[test]
fn the_line_has_an_end() {
    let mut limiter = empty();
    for _ in 0..WAITERS_MAX {
        let _waits = ask(&mut limiter, 1, Priority::Normal, 0).unwrap();
    }
    assert_eq!(ask(&mut limiter, 1, Priority::Normal, 0).unwrap_err().reason, Reason::Full);
}

#[test]
fn other_settings_call_the_first_one_up() {
    let mut limiter = empty();
    let first = ask(&mut limiter, 5, Priority::Normal, 0).unwrap();
    let second = ask(&mut limiter, 8, Priority::Normal, 0).unwrap();
    assert_eq!(limiter.settle(at_ms(0)), None);
    let faster = RateLimitConfig {
        capacity: Some(6),
        rate: Some(Rate::per_second(50)),
        ..RateLimitConfig::default()
    };
    limiter.reconfigure(&faster, at_ms(0)).unwrap();
    assert_eq!(limiter.settle(at_ms(0)), Some(first.place()));
    let first = goes(&mut limiter, first, 0).unwrap_err();
    assert_eq!(due(&limiter, &first), Some(100));
    assert_eq!(goes(&mut limiter, first, 100), Ok(()));
    assert_eq!(limiter.settle(at_ms(100)), Some(second.place()));
    let Admission::No(refusal) = limiter.claim(second, at_ms(100)) else { panic!("never") };
    assert_eq!(refusal.reason, Reason::TooLarge);
    let third = ask(&mut limiter, 1, Priority::Normal, 100).unwrap();
    let shaper = RateLimitConfig { algorithm: Algorithm::Shaper, ..RateLimitConfig::default() };
    limiter.reconfigure(&shaper, at_ms(100)).unwrap();
    assert_eq!(limiter.settle(at_ms(100)), Some(third.place()));
    let Admission::No(refusal) = limiter.claim(third, at_ms(100)) else { panic!("refused") };
    assert_eq!(refusal.reason, Reason::Limited);
    assert_eq!(limiter.settle(at_ms(100)), None);
    let mut shaped = || limiter.admit(1, Priority::Normal, Instant::NEVER, at_ms(100));
    assert!(matches!(shaped(), Admission::Go(_)));
    let Admission::Wait(next) = shaped() else { panic!("its turn has not come") };
    assert!(limiter.waits(next.place()), "it is not one of those who wait for tokens");
}

#[test]
fn a_window_is_waited_for_too() {
    let config = RateLimitConfig {
        algorithm: Algorithm::SlidingWindow,
        limit: Some(3),
        window: Some(Duration::from_secs(1)),
        ..RateLimitConfig::default()
    };
    let mut limiter = emptied(&config);
    let first = ask(&mut limiter, 2, Priority::Normal, 300).unwrap();
    assert_eq!(due(&limiter, &first), Some(1_000));
    assert_eq!(goes(&mut limiter, first, 1_000), Ok(()));
}

proptest! {
    /// Against what the line promises, whatever happens: in its class nobody overtakes, the first always knows when to
    /// look or has been called up, and who looks then goes.
    #[test]
    fn whoever_is_first_is_never_forgotten(
        steps in prop::collection::vec((0u8..4, 1u64..8, 0usize..5, 0u64..400), 1..80),
    ) {
        let mut limiter = empty();
        let mut line: Vec<(Priority, usize, Ticket)> = Vec::new();
        let (mut now, mut entered) = (0, 0);
        for (verb, cost, class, wait) in steps {
            let class = Priority::ALL[class];
            match verb {
                0 => now += wait,
                1 => if let Admission::Wait(ticket) =
                    limiter.admit_or_wait(cost, class, Instant::NEVER, at_ms(now))
                {
                    entered += 1;
                    line.push((class, entered, ticket));
                },
                2 => {
                    let admitted = limiter.admit(cost, class, at_ms(now), at_ms(now));
                    let behind = line.iter().any(|(other, ..)| *other <= class);
                    prop_assert!(!behind || matches!(admitted, Admission::No(_)));
                }
                _ if line.is_empty() => {}
                _ => limiter.abandon(line.swap_remove(cost as usize % line.len()).2),
            }
            let mut called: Vec<_> = core::iter::from_fn(|| limiter.settle(at_ms(now))).collect();
            // Everybody whose moment has come looks, until nobody is left to.
            loop {
                line.sort_by_key(|(class, entered, _)| (*class, *entered));
                let looks = line.iter().position(|(.., ticket)| {
                    called.contains(&ticket.place())
                        || due(&limiter, ticket).is_some_and(|due| due <= now)
                });
                let Some(looks) = looks else { break };
                let (class, entered, ticket) = line.remove(looks);
                called.retain(|place| *place != ticket.place());
                match limiter.claim(ticket, at_ms(now)) {
                    Admission::Go(_) => prop_assert_eq!(looks, 0, "overtaken"),
                    Admission::Wait(ticket) => line.push((class, entered, ticket)),
                    Admission::No(refusal) => prop_assert!(false, "{}", refusal),
                }
                called.extend(core::iter::from_fn(|| limiter.settle(at_ms(now))));
            }
            if let Some((.., first)) = line.first() {
                let due = due(&limiter, first);
                prop_assert!(due.is_some_and(|due| due > now), "{:?} at {}", due, now);
            }
        }
    }
}

#[test]
fn a_wait_that_has_become_hopeless_ends_before_its_time() {
    let mut limiter = empty();
    let patient = at_ms(700);
    let asked = limiter.admit_or_wait(5, Priority::Normal, patient, at_ms(0));
    let Admission::Wait(ticket) = asked else { panic!("{asked:?}") };
    assert!(matches!(
        limiter.admit(4, Priority::Critical, at_ms(400), at_ms(400)),
        Admission::Go(_)
    ));
    // Its tokens are there at 900 ms now.
    let Admission::No(refusal) = limiter.claim(ticket, at_ms(500)) else { panic!("in vain") };
    assert_eq!(
        (refusal.reason, refusal.retry_after),
        (Reason::TooLate, Some(at_ms(900).since(at_ms(500))))
    );
    assert!(!limiter.is_asked());
}

#[test]
fn who_stands_behind_others_when_its_time_is_over_is_refused_though_tokens_are_there() {
    let mut limiter = empty();
    let first = ask(&mut limiter, 5, Priority::Normal, 0).unwrap();
    let asked = limiter.admit_or_wait(1, Priority::Normal, at_ms(600), at_ms(100));
    let Admission::Wait(second) = asked else { panic!("{asked:?}") };
    let second = goes(&mut limiter, second, 599).unwrap_err();
    let Admission::No(refusal) = limiter.claim(second, at_ms(600)) else { panic!("it is over") };
    assert_eq!(refusal.reason, Reason::TooLate);
    assert_eq!(goes(&mut limiter, first, 600), Ok(()));
}

#[test]
fn nobody_waits_for_a_place_to_wait_for_a_turn_in() {
    let config = RateLimitConfig {
        algorithm: Algorithm::Shaper,
        capacity: Some(1),
        rate: Some(Rate::per_second(10)),
        ..RateLimitConfig::default()
    };
    let mut limiter = emptied(&config);
    let _turn = ask(&mut limiter, 1, Priority::Normal, 0).unwrap();
    let refusal = ask(&mut limiter, 1, Priority::Normal, 0).unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.retry_after),
        (Reason::Limited, Some(at_ms(100).since(at_ms(0))))
    );
    assert_eq!(limiter.snapshot(at_ms(0)).waiting, 1);
}
