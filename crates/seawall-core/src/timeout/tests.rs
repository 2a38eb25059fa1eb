//! Timelines of what is learned, and what it must never do.

use alloc::{string::ToString, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::Draws;

const START: Instant = Instant::from_nanos(3_600_000_000_000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn close(limit: Duration, to: Duration, percent: u32) -> bool {
    limit.abs_diff(to) <= to * percent / 100
}

/// A timeout under load: a call every 5 ms, cut at the limit if it would run longer.
struct Load {
    timeout: AdaptiveTimeout,
    now: Instant,
    calls: u32,
    cuts: u32,
}

impl Load {
    fn on(config: TimeoutConfig) -> Self {
        let timeout = AdaptiveTimeout::new(config).unwrap();
        Self { timeout, now: START, calls: 0, cuts: 0 }
    }

    /// Learned from ten seconds of 10 ms.
    fn learned() -> Self {
        let mut load = Self::on(TimeoutConfig::default());
        load.run(secs(10), || ms(10));
        assert!(close(load.timeout.limit(), ms(15), 1));
        load
    }

    fn call(&mut self, would_take: Duration) {
        self.now = self.now + ms(5);
        self.calls += 1;
        let limit = self.timeout.limit();
        if would_take > limit {
            self.cuts += 1;
            self.timeout.censor(limit, self.now);
        } else {
            self.timeout.record(would_take, self.now);
        }
    }

    fn run(&mut self, how_long: Duration, mut latency: impl FnMut() -> Duration) {
        let until = self.now + how_long;
        while self.now < until {
            self.call(latency());
        }
    }
}

/// Log-normal, with its median and the standard deviation of its logarithm.
fn log_normal(draws: &mut Draws, median: Duration, sigma: f64) -> Duration {
    let uniform = |draws: &mut Draws| draws.draw().below(1 << 32) as f64 / 2_f64.powi(32);
    let normal = (0..12).map(|_| uniform(draws)).sum::<f64>() - 6.0;
    median.mul_f64((sigma * normal).exp())
}

#[test]
fn it_learns_at_the_hundredth_sample() {
    let mut timeout = AdaptiveTimeout::new(TimeoutConfig::default()).unwrap();
    (0..99).for_each(|_| timeout.record(ms(10), START));
    (0..4).for_each(|_| timeout.censor(secs(60), START));
    assert_eq!((timeout.learned(), timeout.limit()), (None, secs(60)));
    timeout.record(ms(10), START);
    assert!(close(timeout.learned().unwrap(), ms(15), 1), "{timeout:?}");
    assert_eq!(timeout.learned(), Some(timeout.limit()));
}

#[test]
fn what_is_not_adaptive_learns_nothing_but_still_measures() {
    let config = TimeoutConfig { adaptive: false, ..TimeoutConfig::default() };
    let mut timeout = AdaptiveTimeout::new(config).unwrap();
    (0..1_000).for_each(|_| timeout.record(ms(10), Instant::NEVER));
    assert_eq!((timeout.learned(), timeout.limit()), (None, secs(60)));
    let latencies = timeout.snapshot();
    assert_eq!((latencies.samples, latencies.adaptive), (1_000, false));
    assert!(close(latencies.p999.unwrap(), ms(10), 1));
}

#[test]
fn a_first_value_has_to_be_known() {
    let mut load = Load::on(TimeoutConfig::default());
    (0..20).for_each(|_| load.timeout.censor(secs(1), START));
    (0..100).for_each(|_| load.timeout.record(ms(10), START));
    assert_eq!(load.timeout.learned(), None, "one in six was cut");
    load.run(secs(20), || ms(10));
    assert!(close(load.timeout.learned().unwrap(), ms(15), 1));
}

#[test]
fn another_warm_up_counts_what_was_seen_already() {
    for (warm_up, more) in [(10, 1), (50, 1), (51, 1), (60, 10), (200, 150)] {
        let mut timeout = AdaptiveTimeout::new(TimeoutConfig::default()).unwrap();
        (0..50).for_each(|_| timeout.record(ms(10), START));
        let other = TimeoutConfig { warm_up, ..TimeoutConfig::default() };
        timeout.reconfigure(other.clone()).unwrap();
        (1..more).for_each(|_| timeout.record(ms(10), START));
        assert_eq!(timeout.learned(), None, "{warm_up}");
        timeout.record(ms(10), START);
        let learned = timeout.learned();
        assert!(learned.is_some(), "{warm_up}");
        timeout.reconfigure(TimeoutConfig { warm_up: 1_000, ..other }).unwrap();
        assert_eq!(timeout.learned(), learned, "what is learned waits for nothing");
        (0..200).for_each(|_| timeout.record(ms(40), START + secs(60)));
        timeout.record(ms(40), START + secs(62));
        assert!(timeout.learned() > learned, "and is learned anew");
    }
}

#[test]
fn as_many_samples_are_kept_as_the_warm_up_of_now_wants() {
    let mut timeout = AdaptiveTimeout::new(TimeoutConfig::default()).unwrap();
    timeout.reconfigure(TimeoutConfig { warm_up: 300, ..TimeoutConfig::default() }).unwrap();
    (1..=300).for_each(|i| timeout.record(ms(10), START + secs(60 * i)));
    assert_eq!(timeout.snapshot().samples, 300);
    assert!(timeout.learned().is_some());
}

#[test]
fn an_answer_is_one_since_every_moment_before_it() {
    let mut timeout = AdaptiveTimeout::new(TimeoutConfig::default()).unwrap();
    assert!(!timeout.has_answered_since(Instant::ORIGIN));
    timeout.record(ms(10), START + ms(7));
    timeout.censor(ms(10), START + ms(9));
    let since = [6, 7, 8].map(|then| timeout.has_answered_since(START + ms(then)));
    assert_eq!(since, [true, false, false]);
}

#[test]
fn a_slow_warm_up_learns_from_all_its_samples() {
    let mut timeout = AdaptiveTimeout::new(TimeoutConfig::default()).unwrap();
    for i in 1..=100 {
        timeout.record(ms(i), START + secs(60 * i));
    }
    assert_eq!(timeout.snapshot().samples, 100);
    assert!(close(timeout.limit(), ms(95) * 3 / 2, 1));
}

#[test]
fn floor_and_cap_hold() {
    let mut load = Load::on(TimeoutConfig::default());
    load.run(secs(1), || Duration::from_micros(400));
    assert_eq!(load.timeout.limit(), ms(10));
    let mut load = Load::on(TimeoutConfig { attempt: secs(2), ..TimeoutConfig::default() });
    load.run(secs(1), || ms(1_900));
    assert_eq!(load.timeout.learned(), Some(secs(2)));
}

#[test]
fn what_the_sketch_cannot_tell_apart_is_out_of_reach() {
    let mut load = Load::on(TimeoutConfig { attempt: secs(600), ..TimeoutConfig::default() });
    load.run(secs(10), || secs(90));
    assert_eq!(load.timeout.limit(), secs(600));
}

#[test]
fn it_moves_at_most_once_a_second_and_only_beyond_five_per_cent() {
    let mut load = Load::learned();
    let before = load.timeout.limit();
    load.run(secs(30), || Duration::from_micros(10_300));
    assert_eq!(load.timeout.limit(), before);
    let mut moves = Vec::new();
    for _ in 0..30 * 200 {
        let limit = load.timeout.limit();
        load.call(ms(14));
        if load.timeout.limit() != limit {
            moves.push((load.now, load.timeout.limit()));
        }
    }
    assert!(close(load.timeout.limit(), ms(21), 5), "{:?}", load.timeout);
    assert!(!moves.is_empty());
    assert!(moves.is_sorted_by(|(a, low), (b, high)| b.since(*a) >= secs(1) && low < high));
}

#[test]
fn it_rises_by_half_in_each_second() {
    let mut load = Load::learned();
    let mut limit = load.timeout.limit();
    (0..5_000).for_each(|_| load.timeout.record(ms(100), load.now));
    assert_eq!(load.timeout.limit(), limit, "a second has not passed");
    for _ in 0..5 {
        load.now = load.now + secs(1);
        load.timeout.record(ms(100), load.now);
        limit += limit / 2;
        assert_eq!(load.timeout.limit(), limit);
    }
    load.timeout.record(ms(100), load.now + secs(1));
    assert!(close(load.timeout.limit(), ms(150), 1), "no further than it should be");
}

#[test]
fn it_falls_by_a_tenth_a_second_and_not_while_held() {
    let mut load = Load::on(TimeoutConfig::default());
    load.run(secs(10), || ms(100));
    load.timeout.hold(true);
    load.run(secs(60), || ms(20));
    assert!(close(load.timeout.limit(), ms(150), 1), "held");
    load.timeout.hold(false);
    load.run(ms(1_000), || ms(20));
    assert!(close(load.timeout.limit(), ms(135), 1), "{:?}", load.timeout);
    load.run(secs(60), || ms(20));
    assert!(close(load.timeout.limit(), ms(30), 5));
}

#[test]
fn a_hang_never_lowers_the_limit() {
    for held in [false, true] {
        let mut load = Load::learned();
        load.timeout.hold(held);
        let mut limit = load.timeout.limit();
        for _ in 0..120 * 200 {
            load.call(Duration::MAX);
            assert!(load.timeout.limit() >= limit);
            limit = load.timeout.limit();
        }
        assert_eq!(limit, secs(60), "towards the cap");
    }
}

#[test]
fn it_does_not_fall_while_more_than_one_in_twenty_is_cut() {
    for (cuts, falls) in [(110, true), (111, false)] {
        let mut timeout = AdaptiveTimeout::new(TimeoutConfig::default()).unwrap();
        (0..100).for_each(|_| timeout.record(ms(100), START));
        // Cut so young that the quantile stays known, and is far below what it was.
        (0..cuts).for_each(|_| timeout.censor(ms(1), START));
        (0..1_989).for_each(|_| timeout.record(ms(20), START));
        let before = timeout.limit();
        timeout.record(ms(20), START + secs(1));
        assert_eq!(timeout.limit() < before, falls, "{cuts} of {}", 2_090 + cuts);
    }
}

#[test]
fn a_callee_three_times_slower_is_followed_within_three_windows() {
    let mut load = Load::learned();
    load.run(secs(15), || ms(30));
    assert!(close(load.timeout.limit(), ms(45), 6), "{:?}", load.timeout);
    load.cuts = 0;
    load.run(secs(30), || ms(30));
    assert_eq!(load.cuts, 0);

    for seed in 0..10 {
        let mut draws = Draws::seeded(seed);
        let mut load = Load::on(TimeoutConfig::default());
        load.run(secs(20), || log_normal(&mut draws, ms(20), 0.5));
        let before = load.timeout.limit();
        load.run(secs(15), || log_normal(&mut draws, ms(60), 0.5));
        let after = load.timeout.limit();
        assert!(close(after, before * 3, 25), "seed {seed}: {before:?}, then {after:?}");
        (load.calls, load.cuts) = (0, 0);
        load.run(secs(15), || log_normal(&mut draws, ms(60), 0.5));
        assert!(load.cuts * 20 <= load.calls, "{} of {} cut", load.cuts, load.calls);
    }
}

#[test]
fn a_healthy_load_is_cut_rarely_and_its_limit_stays() {
    for seed in 0..10 {
        let mut draws = Draws::seeded(seed);
        let mut load = Load::on(TimeoutConfig::default());
        load.run(secs(10), || log_normal(&mut draws, ms(20), 0.5));
        for second in 10..120 {
            load.run(secs(1), || log_normal(&mut draws, ms(20), 0.5));
            // The P95 of a normal distribution is 1.645 deviations up.
            let exact = ms(20).mul_f64((0.5_f64 * 1.645).exp() * 1.5);
            let limit = load.timeout.limit();
            assert!(close(limit, exact, 20), "seed {seed}, second {second}: {limit:?}");
        }
        assert!(load.cuts * 20 <= load.calls, "{} of {} cut", load.cuts, load.calls);
    }
}

#[test]
fn other_settings_bring_what_was_learned_within_their_bounds() {
    let learned = |change: fn(&mut TimeoutConfig)| {
        let mut load = Load::learned();
        let mut config = TimeoutConfig::default();
        change(&mut config);
        load.timeout.reconfigure(config).unwrap();
        (load.timeout.learned(), load.timeout.limit())
    };
    let before = Load::learned().timeout.limit();
    assert_eq!(learned(|_| ()), (Some(before), before), "the same settings");
    assert_eq!(learned(|config| config.floor = ms(40)), (Some(ms(40)), ms(40)));
    let lower = |config: &mut TimeoutConfig| {
        (config.floor, config.attempt) = (ms(1), ms(12));
    };
    assert_eq!(learned(lower), (Some(ms(12)), ms(12)));
    assert_eq!(learned(|config| config.adaptive = false), (None, secs(60)));
    let mut load = Load::learned();
    let wrong = TimeoutConfig { warm_up: 0, ..TimeoutConfig::default() };
    assert_eq!(load.timeout.reconfigure(wrong).unwrap_err().field, "timeout.warm_up");
    assert_eq!(load.timeout.learned(), Some(before), "nothing has changed");
    // Learned anew at once, though the second since the last time is not over.
    load.call(ms(10));
    let factor = TimeoutConfig { factor: Ratio::percent(120), ..TimeoutConfig::default() };
    load.timeout.reconfigure(factor).unwrap();
    load.call(ms(10));
    assert!(close(load.timeout.limit(), before * 9 / 10, 1), "{:?}", load.timeout);
}

#[test]
fn hours_forward_and_back_leave_the_limit_standing() {
    let mut load = Load::learned();
    let limit = load.timeout.limit();
    load.timeout.record(ms(10), START + secs(8 * 3_600));
    assert_eq!(load.timeout.limit(), limit);
    load.timeout.record(ms(10), Instant::ORIGIN);
    load.timeout.censor(ms(10), Instant::NEVER);
    assert_eq!(load.timeout.limit(), limit);
}

#[test]
fn memory_is_as_stated() {
    assert!(size_of::<AdaptiveTimeout>() + 5_376 <= 5_600);
}

#[test]
fn nonsense_settings_are_named() {
    let nothing = TimeoutConfig {
        connect: Duration::ZERO,
        read: Duration::ZERO,
        attempt: Duration::ZERO,
        adaptive: true,
        quantile: Ratio::ONE,
        factor: Ratio::from_ppm(999_999),
        warm_up: 0,
        floor: Duration::ZERO,
    };
    let mut fields = Vec::new();
    nothing.check(&mut |invalid| fields.push(invalid.field));
    let all = ["connect", "read", "attempt", "floor", "quantile", "factor", "warm_up"];
    assert_eq!(fields, all.map(|field| "timeout.".to_string() + field));
    let mut fields_of_one = Vec::new();
    TimeoutConfig { attempt: Duration::ZERO, ..TimeoutConfig::default() }
        .check(&mut |invalid| fields_of_one.push(invalid.field));
    assert_eq!(fields_of_one, ["timeout.attempt"], "once, not twice");
    assert_eq!(AdaptiveTimeout::new(nothing).unwrap_err().field, "timeout.connect");

    let of = |change: fn(&mut TimeoutConfig)| {
        let mut config = TimeoutConfig::default();
        change(&mut config);
        AdaptiveTimeout::new(config).map_or_else(|invalid| invalid.to_string(), |_| "fine".into())
    };
    assert_eq!(of(|_| ()), "fine");
    assert_eq!(of(|config| config.quantile = Ratio::percent(50)), "fine");
    assert_eq!(of(|config| config.factor = Ratio::percent(10_000)), "fine");
    assert_eq!(of(|config| config.floor = config.attempt), "fine");
    assert_eq!(
        of(|config| config.factor = Ratio::percent(10_001)),
        "timeout.factor is 100.01, expected 1 to 100",
    );
    assert_eq!(
        of(|config| config.quantile = Ratio::percent(49)),
        "timeout.quantile is 49%, expected at least 50%, below 100%",
    );
    assert_eq!(
        of(|config| config.floor = secs(61)),
        "timeout.floor is 61s, expected at most attempt, which is 60s",
    );
    let short = "timeout.floor is 10ms, expected at most attempt, which is 5ms, \
                 below the default floor of 10ms: lower both";
    assert_eq!(of(|config| config.attempt = ms(5)), short);
    let at_the_floor = |config: &mut TimeoutConfig| {
        (config.attempt, config.floor) = (ms(10), ms(20));
    };
    assert_eq!(of(at_the_floor), "timeout.floor is 20ms, expected at most attempt, which is 10ms");
    let plain = TimeoutConfig { attempt: ms(5), adaptive: false, ..TimeoutConfig::default() };
    assert_eq!(AdaptiveTimeout::new(plain).unwrap().limit(), ms(5));
}

proptest! {
    #[test]
    fn whatever_comes_the_limit_keeps_its_bounds_and_its_pace(
        steps in prop::collection::vec((any::<bool>(), 0..100_000_u64, 0..3_000_u64), 1..300),
        warm_up in 1..20_u32,
        floor in 1..500_u64,
    ) {
        let config = TimeoutConfig { warm_up, floor: ms(floor), ..TimeoutConfig::default() };
        let mut timeout = AdaptiveTimeout::new(config).unwrap();
        let (mut now, mut moved) = (START, None::<Instant>);
        for (ended, took, pause) in steps {
            now = now + ms(pause);
            let before = timeout.learned();
            if ended { timeout.record(ms(took), now) } else { timeout.censor(ms(took), now) }
            let after = timeout.learned();
            prop_assert!(after.is_none_or(|limit| (ms(floor)..=secs(60)).contains(&limit)));
            if after == before {
                continue;
            }
            prop_assert!(moved.is_none_or(|at| now.since(at) >= LEARN_EVERY));
            moved = Some(now);
            if let (Some(before), Some(after)) = (before, after) {
                prop_assert!(after <= before + before / 2 && after >= before - before / 10);
                prop_assert!(before.abs_diff(after) > before / 20);
            }
        }
    }
}
