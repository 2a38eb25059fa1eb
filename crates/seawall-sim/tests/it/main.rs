//! The stories, told with many seeds. The invariants are checked after every event of each of them.

use core::{ops::Range, time::Duration};

use seawall_core::{CircuitBreakerConfig, Invalid, Priority, Ratio, RetryConfig};
use seawall_sim::{
    Again, Client, Clock, ClockStep, Dependency, Fault, Latency, Scale, Scenario, Script, Stop,
    Story, Traffic,
    scenarios::{self, Protection},
};

const SEEDS: Range<u64> = 0..20;
const SECOND: Duration = Duration::from_secs(1);

/// Every story of the scenario; a broken invariant tells itself.
fn stories(scenario: &Scenario) -> Vec<Story> {
    scenario.replay_all(SEEDS).unwrap_or_else(|stop| panic!("{stop}"))
}

fn all(stories: &[Story], what: &str, holds: impl Fn(&Story) -> bool) {
    for story in stories {
        let told = || format!("{}.replay({})\n{}", story.name, story.seed, chart(story));
        assert!(holds(story), "{what}: {}", told());
    }
}

fn chart(story: &Story) -> String {
    story.chart(Scale::of(&[story]))
}

/// Attempts sent in these seconds.
fn attempts(story: &Story, seconds: Range<usize>) -> u64 {
    story.rows[seconds].iter().map(|row| row.attempts).sum()
}

#[test]
fn without_a_budget_the_storm_outlives_its_cause() {
    let stories = stories(&scenarios::retry_storm(Protection::Nothing));
    all(&stories, "well before the fault", |story| story.goodput(0..10) > 0.9);
    all(&stories, "still down", |story| story.goodput_of_last(10) < 0.5);
}

#[test]
fn with_the_defaults_a_service_is_well_within_seconds_of_its_dependency() {
    let stories = stories(&scenarios::retry_storm(Protection::Defaults));
    all(&stories, "well at the end", |story| story.goodput_of_last(10) > 0.95);
    all(&stories, "well soon", |story| {
        story.recovered_after(20, 5).is_some_and(|after| after <= 7)
    });
}

#[test]
fn a_budget_alone_prevents_the_storm() {
    let stories = stories(&scenarios::retry_storm(Protection::Budget));
    all(&stories, "well at the end", |story| story.goodput_of_last(10) > 0.95);
    all(&stories, "a tenth, and three per instance", |story| {
        story.totals.attempts <= story.totals.offered * 11 / 10 + 15
    });
}

#[test]
fn the_plain_defaults_recover_one_open_period_of_a_minute_later() {
    let mut scenario = scenarios::retry_storm(Protection::Defaults);
    scenario.client.circuit_breaker = Some(CircuitBreakerConfig::default());
    scenario.lasts = 100 * SECOND;
    let stories = stories(&scenario);
    all(&stories, "closed for a minute", |story| story.goodput(30..60) < 0.05);
    all(&stories, "well at the end", |story| story.goodput_of_last(10) > 0.95);
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_seed_another() {
    for scenario in [
        scenarios::retry_storm(Protection::Defaults),
        scenarios::one_of_three(Fault::Hang),
        scenarios::moved_clock(ClockStep::Stand),
    ] {
        let told = scenario.replay(3).unwrap();
        assert_eq!(scenario.replay(3).unwrap(), told);
        assert_eq!(chart(&scenario.replay(3).unwrap()), chart(&told));
        assert_ne!(scenario.replay(4).unwrap().rows, told.rows);
    }
}

#[test]
fn slowness_does_not_outlast_its_cause() {
    let stories = stories(&scenarios::slow_dependency());
    all(&stories, "well at the end", |story| story.goodput_of_last(10) > 0.95);
    all(&stories, "well soon", |story| {
        story.recovered_after(20, 3).is_some_and(|after| after <= 7)
    });
    all(&stories, "let alone while slow", |story| {
        attempts(story, 12..20) < attempts(story, 0..8) / 4
    });
}

#[test]
fn a_breaker_follows_a_dependency_that_comes_and_goes() {
    let stories = stories(&scenarios::flapping());
    all(&stories, "opened", |story| story.rows[5..25].iter().any(|row| row.open > 0));
    all(&stories, "closed again", |story| {
        story.rows[30..].iter().all(|row| row.open + row.half_open == 0)
    });
    all(&stories, "well at the end", |story| story.goodput_of_last(10) > 0.95);
}

#[test]
fn a_herd_that_scatters_is_served_and_one_in_step_is_not() {
    let share = |story: &Story| story.totals.good as f64 / story.totals.offered as f64;
    all(&stories(&scenarios::thundering_herd(0)), "in step", |story| share(story) < 0.6);
    all(&stories(&scenarios::thundering_herd(50)), "scattered", |story| share(story) > 0.9);
}

#[test]
fn half_open_breakers_do_not_bury_a_dependency_under_its_backlog() {
    let with = stories(&scenarios::half_open(true));
    let without = stories(&scenarios::half_open(false));
    all(&with, "few ask whether it is back", |story| {
        attempts(story, 7..15) < attempts(story, 0..5) / 2
    });
    all(&with, "a short backlog", |story| story.rows[14].queue < 1_000);
    all(&without, "a long backlog", |story| story.rows[14].queue > 1_500);
    all(&with, "well soon", |story| story.goodput(18..23) > 0.9);
    all(&without, "not well so soon", |story| story.goodput(15..19) < 0.1);
}

#[test]
fn a_bad_endpoint_of_three_costs_next_to_nothing() {
    for fault in [Fault::Slow(50), Fault::Errors(Ratio::ONE), Fault::Hang, Fault::Refuse] {
        let stories = stories(&scenarios::one_of_three(fault));
        all(&stories, "served throughout", |story| {
            story.totals.good * 1_000 >= story.totals.offered * 999
        });
        all(&stories, "closed again", |story| story.rows[34].open + story.rows[34].half_open == 0);
        // Its breaker opens, or the picker avoids it before five in a row have been held against it.
        all(&stories, "left alone", |story| {
            let offered: u64 = story.rows[10..20].iter().map(|row| row.offered).sum();
            attempts(story, 10..20) * 100 <= offered * 108
        });
    }
}

#[test]
fn a_clock_that_does_not_show_the_time_breaks_nothing() {
    let hour = 3_600 * SECOND;
    for step in [
        ClockStep::Stand,
        ClockStep::Back(2 * SECOND),
        ClockStep::Back(hour),
        ClockStep::Ahead(2 * SECOND),
        ClockStep::Ahead(hour),
    ] {
        let stories = stories(&scenarios::moved_clock(step));
        all(&stories, "served", |story| story.goodput(0..30) > 0.95);
        all(&stories, "well at the end", |story| story.goodput_of_last(10) > 0.95);
    }
}

#[test]
fn callers_of_every_kind_are_accounted_for() {
    let stream =
        |priority, patience| Traffic { rate: 20, priority, patience, ..Traffic::default() };
    let again = Some(Again { times: 2, after: SECOND });
    let bare = Client { retry: None, deadline: None, timeout: None, ..Client::default() };
    let scenario = Scenario {
        name: "one that hangs for ever".into(),
        lasts: 10 * SECOND,
        client: Client { circuit_breaker: None, bulkhead: None, ..bare },
        dependencies: vec![Dependency {
            latency: Latency::Constant(SECOND / 100),
            script: Script::default()
                .at(2 * SECOND, Fault::Errors(Ratio::ONE))
                .at(3 * SECOND, Fault::Recover)
                .at(8 * SECOND, Fault::Hang),
            ..Dependency::default()
        }],
        traffic: vec![
            stream(Priority::Critical, None),
            Traffic { again, even: true, ..stream(Priority::Background, Some(SECOND)) },
        ],
        clock: Clock::default(),
    };
    let stories = stories(&scenario);
    all(&stories, "all that came have ended", |story| {
        let totals = &story.totals;
        totals.good + totals.failed + totals.refused + totals.left == totals.offered
    });
    all(&stories, "those who hang leave, or are left", |story| story.totals.left > 50);
    all(&stories, "users whose call failed came again", |story| {
        let [(critical, _), .., (background, good)] = story.totals.classes;
        background > 200 && critical < background + 60 && good > 100
    });
}

#[test]
fn a_setting_that_makes_no_sense_is_told_and_nothing_runs() {
    let mut scenario = scenarios::flapping();
    scenario.client.retry = Some(RetryConfig { max_retries: 101, ..RetryConfig::default() });
    let stop = scenario.replay(1).unwrap_err();
    assert_eq!(stop.to_string(), "retry.max_retries is 101, expected 0 to 100");
    scenario = scenarios::flapping();
    scenario.client.instances = 0;
    let invalid = Invalid::new("client.instances", 0, "at least 1");
    assert_eq!(scenario.replay(1), Err(Stop::Invalid(invalid)));
    scenario.client.instances = 1;
    scenario.dependencies.clear();
    assert!(matches!(scenario.replay(1), Err(Stop::Invalid(_))));
}

#[test]
fn under_overload_every_class_is_served_or_refused_in_time_and_the_urgent_ones_fare_better() {
    // That nobody waits longer than two seconds is an invariant.
    let stories = stories(&scenarios::priority_overload());
    all(&stories, "the dependency is used", |story| story.totals.good > 5_500);
    all(&stories, "more urgent, more served", |story| {
        let shares = story.totals.classes.map(|(offered, good)| good * 100 / offered);
        shares.windows(2).all(|pair| pair[0] >= pair[1])
    });
    all(&stories, "everybody gets something", |story| {
        story.totals.classes.iter().all(|(_, good)| *good > 20)
    });
    all(&stories, "the most urgent are hardly refused", |story| {
        let (offered, good) = story.totals.classes[0];
        good * 100 >= offered * 80
    });
}
