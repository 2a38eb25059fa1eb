//! Windows against lists that keep everything.

use proptest::prelude::*;

use super::*;
use crate::circuit_breaker::ledger::{Ledger, Sum};

fn sum(verdicts: impl Iterator<Item = bool>) -> Sum {
    verdicts.fold(Sum::default(), |sum, bad| Sum {
        bad: sum.bad + u32::from(bad),
        calls: sum.calls + 1,
    })
}

#[test]
fn a_share_is_reached_at_exactly_its_value() {
    for (bad, calls, percent, reached) in [
        (10, 20, 50, true),
        (9, 20, 50, false),
        (20, 20, 100, true),
        (19, 20, 100, false),
        (19, 19, 100, false),
        (u32::MAX, u32::MAX, 100, true),
        (u32::MAX - 1, u32::MAX, 100, false),
    ] {
        let sum = Sum { bad, calls };
        assert_eq!(sum.reaches(Ratio::percent(percent), 20), reached, "{sum:?} {percent}");
    }
    assert_eq!(Sum { bad: 1, calls: 3 }.rate(), Some(Ratio::from_ppm(333_333)));
    assert_eq!(Sum::default().rate(), None);
}

#[test]
fn a_time_window_forgets_between_nine_tenths_of_it_and_all_of_it() {
    let mut window = Ledger::new(Window::Time(10 * SECOND));
    for tenths in 0..10 {
        let mut window = window.clone();
        let said = at(30) + SECOND * tenths / 10;
        window.record(true, said);
        assert_eq!(window.sum(said + SECOND * 9).calls, 1);
        assert_eq!(window.sum(said + SECOND * 10).calls, 0);
    }
    window.record(true, Instant::NEVER);
    window.record(true, at(0));
    assert_eq!(window.sum(at(0)).calls, 2, "a clock that steps back writes into the newest slice");
    let mut edge = Ledger::new(Window::Time(10 * SECOND));
    [30, 31].into_iter().for_each(|said| edge.record(true, at(said)));
    assert_eq!([40, 41].map(|now| edge.sum(at(now)).calls), [1, 0], "a slice begins at its second");
    let mut narrow = Ledger::new(Window::Time(Duration::from_nanos(10)));
    narrow.record(true, Instant::NEVER);
    assert_eq!(narrow.sum(Instant::NEVER).calls, 1);
    assert_eq!(narrow.sum_with(false, Instant::NEVER), Sum { bad: 1, calls: 2 });
}

proptest! {
    #[test]
    fn the_sum_of_a_ring_is_the_recount_of_its_last_calls(
        size in prop_oneof![1u32..5, 60u32..70, Just(1_024)],
        verdicts in prop::collection::vec(any::<bool>(), 0..300),
    ) {
        let mut ring = Ledger::new(Window::Calls(size));
        let mut list = Vec::new();
        for bad in verdicts {
            let foretold = ring.sum_with(bad, at(0));
            ring.record(bad, at(0));
            list.push(bad);
            let last = list.iter().rev().take(size as usize).copied();
            prop_assert_eq!(ring.sum(at(0)), sum(last));
            prop_assert_eq!(ring.sum(at(0)), foretold);
        }
    }

    #[test]
    fn the_sum_of_the_slices_is_the_recount_of_the_times(
        steps in prop::collection::vec((any::<bool>(), prop_oneof![0u64..3_000, 0u64..40_000]), 0..100),
    ) {
        let ms = |n: u64| Instant::ORIGIN + Duration::from_millis(n);
        let mut slices = Ledger::new(Window::Time(10 * SECOND));
        let (mut list, mut clock) = (Vec::new(), 0);
        for (bad, wait) in steps {
            clock += wait;
            let kept = |list: &Vec<(u64, bool)>, now: u64| {
                let young = list.iter().filter(|(then, _)| now / 1_000 - then / 1_000 < 10);
                sum(young.map(|(_, bad)| *bad))
            };
            prop_assert_eq!(slices.sum(ms(clock)), kept(&list, clock), "read without writing");
            let foretold = slices.sum_with(bad, ms(clock));
            slices.record(bad, ms(clock));
            list.push((clock, bad));
            prop_assert_eq!(slices.sum(ms(clock)), kept(&list, clock));
            prop_assert_eq!(slices.sum(ms(clock)), foretold);
        }
    }
}
