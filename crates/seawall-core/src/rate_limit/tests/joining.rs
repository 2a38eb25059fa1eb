//! One that takes the place of another: its tickets, and what was taken from it, mean nothing.

use super::*;

fn limiter(algorithm: Algorithm) -> RateLimiter {
    RateLimiter::new(&RateLimitConfig {
        algorithm,
        capacity: Some(6),
        rate: Some(Rate::per_second(1)),
        ..RateLimitConfig::default()
    })
    .unwrap()
}

/// Takes all there is at once, and waits for more.
fn waiting<const N: usize>(limiter: &mut RateLimiter, now: u64) -> [Ticket; N] {
    [(); N].map(|()| {
        loop {
            match limiter.admit_or_wait(1, Priority::Normal, Instant::NEVER, at(now)) {
                Admission::Go(_) => {}
                Admission::Wait(ticket) => break ticket,
                Admission::No(refusal) => panic!("{refusal}"),
            }
        }
    })
}

#[test]
fn tickets_of_another_are_nobodys_here() {
    for old_kind in [Algorithm::Shaper, Algorithm::TokenBucket] {
        for new_kind in [Algorithm::Shaper, Algorithm::TokenBucket] {
            let mut old = limiter(old_kind);
            let tickets = waiting::<1>(&mut old, 0);
            let mut new = limiter(new_kind).joining(1, at(1));
            let own = waiting::<1>(&mut new, 2);
            let before = new.snapshot(at(3));
            for ticket in tickets {
                assert_ne!(ticket.place(), own[0].place(), "whose waker it is, is known");
                assert!(!new.waits(ticket.place()), "{old_kind:?} {new_kind:?}");
                assert_eq!(new.due(&ticket), None);
                new.abandon(ticket);
            }
            assert_eq!(new.snapshot(at(3)), before);
            for ticket in own {
                assert!(new.waits(ticket.place()) && new.due(&ticket).is_some());
                let later = at(10_000 * MS);
                let told = core::iter::from_fn(|| new.settle(later)).collect::<Vec<_>>();
                assert!(told.contains(&ticket.place()));
                assert!(!new.waits(ticket.place()), "it has been called up");
                assert!(matches!(new.claim(ticket, later), Admission::Go(_)));
            }
        }
    }
}

#[test]
fn each_that_comes_numbers_its_places_from_elsewhere_on() {
    for algorithm in [Algorithm::Shaper, Algorithm::TokenBucket] {
        let mut tickets = Vec::new();
        for era in [0, 1, 2, u32::MAX] {
            let mut limiter = limiter(algorithm).joining(era, at(0));
            for ticket in waiting::<2>(&mut limiter, 0) {
                assert!(limiter.due(&ticket).is_some());
                tickets.push(ticket);
            }
        }
        let places: BTreeSet<_> = tickets.iter().map(Ticket::place).collect();
        assert_eq!(places.len(), 8, "{algorithm:?}");
    }
}

#[test]
fn what_was_taken_from_another_is_not_given_back() {
    let mut new = limiter(Algorithm::TokenBucket).joining(1, at(5));
    assert!(matches!(new.admit(6, Priority::Normal, at(6), at(6)), Admission::Go(_)));
    for taken_at in [0, 5] {
        new.refund(1, at(taken_at));
        assert_eq!(new.snapshot(at(6)).available, 0);
    }
    new.refund(1, at(6));
    assert_eq!(new.snapshot(at(6)).available, 1);
}
