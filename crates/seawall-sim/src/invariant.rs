//! What must be true after every event, whatever happened.
//!
//! ```text
//!   the world's own books ──┐
//!   the machines' figures ──┴▸ Facts ──▸ each invariant ──▸ nothing, or what broke
//! ```
//!
//! The world keeps books of its own, of what it was told to start and what it saw end. A machine's figures are
//! never checked against themselves.

use core::{fmt::Write as _, time::Duration};

use seawall_core::{Counts, Instant, Phase, RetryBudgetSnapshot, Tally};

/// One instance and one dependency, as both stand after an event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// The world's books.
    pub(crate) books: Books,
    /// The machines' figures.
    pub(crate) counts: Counts,
    pub(crate) budget: Option<RetryBudgetSnapshot>,
    /// Whether some retries cost nothing.
    pub(crate) free_retries: bool,
    /// Whether time alone earns retries.
    pub(crate) trickles: bool,
    /// Probes that run in the half-open phase of the endpoint in question, and how many may.
    pub(crate) probes: (u32, u32),
    /// Attempts that may run at once.
    pub(crate) at_once: Option<u32>,
    /// How long one may wait for that.
    pub(crate) max_wait: Option<Duration>,
    /// A call that ended: when, and its deadline.
    pub(crate) ended: Option<(Instant, Instant)>,
    /// A transition, and the phase it should have left.
    pub(crate) left: Option<(Phase, Phase)>,
    /// Jobs that work and jobs that wait, and how many of each may.
    pub(crate) load: [(u64, u64); 2],
}

/// What the world saw of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) calls: u64,
    pub(crate) calls_in_flight: u64,
    pub(crate) first_attempts: u64,
    pub(crate) retries: u64,
    pub(crate) attempts_in_flight: u64,
    /// The longest anybody stood in line for a place, before it started, was refused or was cut.
    pub(crate) waited: Duration,
}

/// Says what broke first, if anything did.
pub(crate) fn broken(facts: &Facts) -> Option<String> {
    INVARIANTS.iter().find_map(|holds| holds(facts).err())
}

type Holds = Result<(), String>;

const INVARIANTS: [fn(&Facts) -> Holds; 9] = [
    calls_are_not_lost,
    attempts_are_not_lost,
    budget_accounts,
    retries_are_bounded,
    probes_are_bounded,
    nothing_ends_late,
    phases_follow_each_other,
    places_are_bounded,
    waits_are_bounded,
];

fn calls_are_not_lost(facts: &Facts) -> Holds {
    balanced("calls", &facts.counts.calls, facts.books.calls, facts.books.calls_in_flight)
}

fn attempts_are_not_lost(facts: &Facts) -> Holds {
    let Books { first_attempts, retries, attempts_in_flight, .. } = facts.books;
    balanced("attempts", &facts.counts.attempts, first_attempts + retries, attempts_in_flight)
}

/// Started = succeeded + failed + refused + ignored + in flight, and the first and the last are as the world saw.
fn balanced(what: &str, tally: &Tally, started: u64, in_flight: u64) -> Holds {
    let ended = tally.succeeded + tally.failed + tally.refused + tally.ignored;
    check(tally.started == started && tally.started == ended + in_flight, || {
        format!("{what} were lost: {started} began, {in_flight} run, but the counts are {tally:?}")
    })
}

fn budget_accounts(facts: &Facts) -> Holds {
    let Some(budget) = &facts.budget else { return Ok(()) };
    let Books { first_attempts, retries, calls_in_flight, .. } = facts.books;
    // What is paid for and not sent belongs to a call that still pauses.
    let owed = budget.retries >= retries || facts.free_retries;
    let paid = budget.retries <= retries + calls_in_flight;
    check(budget.first_attempts == first_attempts && owed && paid, || {
        format!("the budget does not account for {:?}: {budget:?}", facts.books)
    })
}

fn retries_are_bounded(facts: &Facts) -> Holds {
    let Some(budget) = facts.budget.filter(|_| !facts.trickles) else { return Ok(()) };
    let Books { first_attempts, retries, .. } = facts.books;
    let charged = if facts.free_retries { budget.retries } else { retries.max(budget.retries) };
    let bound = first_attempts * u64::from(budget.ratio.ppm()) + ALLOWANCE * MILLION;
    check(charged * MILLION <= bound, || {
        let ratio = budget.ratio;
        format!(
            "{charged} retries for {first_attempts} first attempts, above {ratio} and {ALLOWANCE}"
        )
    })
}

fn probes_are_bounded(facts: &Facts) -> Holds {
    let (running, at_most) = facts.probes;
    check(running <= at_most, || format!("{running} probes run at once, at most {at_most} may"))
}

fn nothing_ends_late(facts: &Facts) -> Holds {
    let Some((at, give_up_at)) = facts.ended else { return Ok(()) };
    check(at <= give_up_at, || {
        format!("a call ended {:?} after its deadline", at.since(give_up_at))
    })
}

fn phases_follow_each_other(facts: &Facts) -> Holds {
    let Some((from, was)) = facts.left else { return Ok(()) };
    check(from == was, || format!("a breaker left phase {from:?}, but was in {was:?}"))
}

fn places_are_bounded(facts: &Facts) -> Holds {
    let mut over = String::new();
    let attempts = facts.at_once.map(|max| (facts.books.attempts_in_flight, u64::from(max)));
    let [work, wait] = facts.load.map(Some);
    for (what, load) in [("attempts run", attempts), ("jobs work", work), ("jobs wait", wait)] {
        if let Some((now, max)) = load.filter(|(now, max)| now > max) {
            // Writing to a string cannot fail.
            let _ = write!(over, "{now} {what} where {max} may; ");
        }
    }
    check(over.is_empty(), || over.trim_end_matches("; ").to_owned())
}

/// Whatever its class, whoever waits is served or refused in time.
fn waits_are_bounded(facts: &Facts) -> Holds {
    let Some(max) = facts.max_wait else { return Ok(()) };
    let waited = facts.books.waited;
    check(waited <= max, || format!("somebody waited {waited:?} for a place, at most {max:?}"))
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Holds {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// The retries a budget grants before anything was earned.
const ALLOWANCE: u64 = 3;
/// A ratio's unit.
const MILLION: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use seawall_core::{Ratio, RetryBudget};

    use super::*;

    /// An instance that sent 30 first attempts and 6 retries, one of which still runs.
    fn sound() -> Facts {
        let mut budget = RetryBudget::new(Ratio::percent(10), false);
        for _ in 0..30 {
            budget.deposit(Instant::ORIGIN);
        }
        for _ in 0..6 {
            assert!(budget.charge(Instant::ORIGIN));
        }
        let mut counts = Counts::default();
        (counts.calls.started, counts.calls.succeeded, counts.calls.refused) = (32, 29, 2);
        (counts.attempts.started, counts.attempts.succeeded, counts.attempts.failed) = (36, 29, 6);
        let books = Books {
            calls: 32,
            calls_in_flight: 1,
            first_attempts: 30,
            retries: 6,
            attempts_in_flight: 1,
            waited: Duration::from_secs(1),
        };
        let budget = Some(budget.snapshot());
        let late = Instant::from_nanos(9);
        Facts {
            books,
            counts,
            budget,
            free_retries: false,
            trickles: false,
            probes: (3, 3),
            at_once: Some(1),
            max_wait: Some(Duration::from_secs(1)),
            ended: Some((late, late)),
            left: Some((Phase::Open, Phase::Open)),
            load: [(2, 2), (5, 5)],
        }
    }

    #[test]
    fn each_defect_is_named() {
        type Defect = fn(&mut Facts);
        let defects: [(Defect, &str); 14] = [
            (|f| f.counts.calls.refused = 1, "calls were lost"),
            (|f| f.books.calls_in_flight = 2, "calls were lost"),
            (|f| f.counts.calls.succeeded = 33, "calls were lost"),
            (|f| f.counts.attempts.started = 35, "attempts were lost"),
            (|f| f.counts.attempts.ignored = 1, "attempts were lost"),
            (|f| f.budget = Some(RetryBudget::new(Ratio::ONE, false).snapshot()), "not account"),
            (|f| f.budget.as_mut().unwrap().retries = 8, "does not account"),
            (|f| f.budget.as_mut().unwrap().ratio = Ratio::percent(9), "6 retries for 30"),
            (|f| f.probes.0 = 4, "4 probes run at once, at most 3 may"),
            (|f| f.ended.as_mut().unwrap().1 = Instant::ORIGIN, "9ns after its deadline"),
            (|f| f.left.as_mut().unwrap().1 = Phase::Closed, "left phase Open, but was in Closed"),
            (|f| f.at_once = Some(0), "1 attempts run where 0 may"),
            (|f| f.load[1].0 = 6, "6 jobs wait where 5 may"),
            (|f| f.books.waited *= 2, "waited 2s for a place, at most 1s"),
        ];
        assert_eq!(broken(&sound()), None);
        for (spoil, expected) in defects {
            let mut facts = sound();
            spoil(&mut facts);
            let found = broken(&facts).unwrap_or_default();
            assert!(found.contains(expected), "{expected:?} is not in {found:?}");
        }
    }
}
