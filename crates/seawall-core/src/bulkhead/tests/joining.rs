//! One that takes the place of another: what that one gave means nothing to it, whatever becomes of it.

use super::*;

/// One that was used, with two who run, and three tickets: of one whose turn has come, of one who waits and of one who
/// was refused.
fn used() -> ([Permit; 2], [Ticket; 3]) {
    let mut old = bulkhead(&small(3, 3));
    let [first, second, third] = [(); 3].map(|()| go(&mut old, Normal, at(0)));
    let tickets = [Normal, Normal, Low].map(|class| wait(&mut old, class, at(0)));
    old.reconfigure(&small(3, 2), at(0)).unwrap();
    old.leave(first, SECOND);
    assert_eq!(told(&mut old, at(0)), [2, 0]);
    ([second, third], tickets)
}

#[test]
fn permits_of_another_free_no_place_and_count_nowhere() {
    let (permits, _) = used();
    let mut new = bulkhead(&small(2, 2)).joining(1);
    let own = [(); 2].map(|()| go(&mut new, Normal, at(1)));
    let seen = new.snapshot();
    let [first, second] = permits;
    new.leave(first, SECOND);
    new.withdraw(second);
    new.leave(Permit::new(0, 2), SECOND);
    assert_eq!((new.snapshot(), new.run_time), (seen, 0));
    let _ticket = wait(&mut new, Normal, at(1));
    own.into_iter().for_each(|permit| new.leave(permit, SECOND));
    assert_eq!((new.snapshot().running, new.snapshot().completed), (0, 2), "its own do");
}

#[test]
fn tickets_of_another_are_nobodys_here_though_others_have_their_rows() {
    let (_, tickets) = used();
    let mut new = bulkhead(&small(1, 4)).joining(1);
    let permit = go(&mut new, Normal, at(1));
    let own = [(); 3].map(|()| wait(&mut new, Normal, at(1)));
    for ticket in tickets {
        assert!(own.iter().all(|its| its.place() != ticket.place()), "whose waker it is, is known");
        assert!(!new.waits(ticket.place()));
        assert_eq!(new.due(&ticket), None);
        let copy = Ticket::new(ticket.generation(), ticket.place() as u32);
        assert_eq!(no(new.claim(copy, at(1))), Reason::WaitOver);
        new.abandon(ticket);
    }
    let seen = new.snapshot();
    assert_eq!((seen.running, seen.queued, seen.abandoned, seen.refused), (1, 3, 0, 0));
    assert!(own.iter().all(|ticket| new.waits(ticket.place()) && new.due(ticket) == Some(at(31))));
    let places = own.each_ref().map(Ticket::place);
    new.leave(permit, SECOND);
    assert_eq!(told(&mut new, at(2)), [places[0]]);
    let [first, second, third] = own;
    assert!(matches!(new.claim(second, at(2)), Admission::Wait(_)));
    assert!(matches!(new.claim(first, at(2)), Admission::Go(_)));
    new.abandon(third);
    assert_eq!(told(&mut new, at(31)), [places[1]], "its wait is over");
}

#[test]
fn each_that_comes_is_told_from_all_before_it() {
    let mut places = Vec::new();
    for era in 0..3 {
        let mut bulkhead = bulkhead(&small(1, 4)).joining(era);
        let permit = go(&mut bulkhead, Normal, at(0));
        assert_eq!(permit.epoch(), first_epoch(era));
        places.extend([(); 3].map(|()| wait(&mut bulkhead, Normal, at(0)).place()));
    }
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 9);
}
