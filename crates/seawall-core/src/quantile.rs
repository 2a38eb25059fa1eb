//! Quantiles of latency: one counter per bucket of time, halved every five seconds.
//!
//! ```text
//!   0 us ........ 64 us ........ 128 us ........ 256 us ............... 67 s
//!   |  64 buckets  |  64 buckets  |  64 buckets  |  … 20 octaves in all |
//!   each bucket:  ended  1 0 2 7 9 4 2 0 …   attempts that took this long
//!                 cut    0 0 0 0 0 0 3 0 …   attempts that were cut at this age
//! ```
//!
//! An attempt that ended adds one to the bucket of its latency. An attempt that was cut tells only that it
//! would have taken longer than its age; leaving it out would make the callee look faster the more of it
//! is cut away. So a quantile is read off the estimate of Kaplan and Meier (1958): going up in time, each
//! bucket multiplies the share `S` still running by `(n - d) / n`, where `d` ended there and `n` had come
//! so far; then those cut there leave `n` without touching `S`. The quantile `q` is where `S` has fallen
//! to `1 - q`, and is unknown if it never does. Cuts have buckets as fine as ends have: rounded up to
//! whole octaves, cuts at 22 ms would hide a callee that takes 30.
//!
//! Ageing divides the *running total* at each bucket by two and hands the remainder up to the next bucket.
//! The shape stays whole to within one sample however thin the counts, where dividing each counter alone
//! would wipe out every bucket that holds one sample. The same step makes room when a counter is full.
//!
//! There is no array for the newest second beside one for the sum of the others: everything ages alike.
//! A sketch in centroids reads as well but sorts and allocates; one that follows a single quantile wanders
//! (a P95 of 228 ms between 192 and 241) and cannot tell how much was cut.

use alloc::boxed::Box;
use core::{fmt, time::Duration};

use crate::{Instant, Ratio, ratio::PPM, time::nanos};

/// How long attempts take, lately: 1 us to 67 s, to within 1 % (below 64 us: to within half a
/// microsecond), in 5.4 KB.
///
/// "Lately" is the last 5 to 10 seconds of a steady load; an older sample counts half as much for every
/// 5 seconds of its age.
///
/// ```
/// use core::time::Duration;
/// use seawall_core::{Instant, Ratio, Sketch};
///
/// let mut sketch = Sketch::new();
/// for ms in 1..=100 {
///     sketch.record(Duration::from_millis(ms), Instant::ORIGIN);
/// }
/// let p95 = sketch.quantile(Ratio::percent(95)).unwrap();
/// assert!(p95.abs_diff(Duration::from_millis(95)) < Duration::from_micros(950));
/// ```
#[derive(Clone)]
pub struct Sketch {
    counts: Box<Counts>,
    /// Sum of `counts.ended`.
    ended: u32,
    /// Sum of `counts.cut`.
    cut: u32,
    /// Time takes nothing once about this few samples are left.
    keep: u32,
    /// Up to here the counts are aged: a whole number of half-lives after the origin.
    aged: Instant,
}

/// At most 65 535 in each, so that all of them together stay below 2^28.
#[derive(Clone)]
struct Counts {
    ended: [u16; BUCKETS],
    cut: [u16; BUCKETS],
}

impl Sketch {
    /// An empty sketch that forgets everything in time.
    #[must_use]
    pub fn new() -> Self {
        Self::keeping(0)
    }

    /// An empty sketch in which time leaves at least about `samples` samples, ended or cut, however old:
    /// a callee asked once a minute is judged by its last calls, not by its last ten seconds.
    #[must_use]
    pub fn keeping(samples: u32) -> Self {
        let counts = Box::new(Counts { ended: [0; BUCKETS], cut: [0; BUCKETS] });
        Self { counts, ended: 0, cut: 0, keep: samples, aged: Instant::ORIGIN }
    }

    /// From now on time leaves at least about `samples`.
    pub(crate) const fn keep(&mut self, samples: u32) {
        self.keep = samples;
    }

    /// An attempt ended after `took`. More than 67 s counts as 67 s.
    // Always in line, as is `AdaptiveTimeout::record`, and for its reason.
    #[inline(always)]
    pub fn record(&mut self, took: Duration, now: Instant) {
        self.age(now);
        let at = bucket(took);
        if self.counts.ended[at] == u16::MAX {
            self.fade(1);
        }
        self.counts.ended[at] += 1;
        self.ended += 1;
    }

    /// An attempt was cut at `age`: it would have taken longer.
    #[inline]
    pub fn censor(&mut self, age: Duration, now: Instant) {
        self.age(now);
        let at = bucket(age);
        if self.counts.cut[at] == u16::MAX {
            self.fade(1);
        }
        self.counts.cut[at] += 1;
        self.cut += 1;
    }

    /// The latency that the share `q` of attempts does not exceed, as of the last sample. `None` when
    /// nothing ended, or too much was cut to tell. Above 100 % is read as 100 %.
    #[must_use]
    pub fn quantile(&self, q: Ratio) -> Option<Duration> {
        let [found] = self.quantiles([q]);
        found
    }

    /// Several quantiles in one pass, each as by [`Sketch::quantile`], in the order asked for.
    #[must_use]
    pub fn quantiles<const N: usize>(&self, wanted: [Ratio; N]) -> [Option<Duration>; N] {
        let mut found = [None; N];
        let targets = wanted.map(|q| PPM.saturating_sub(u64::from(q.ppm())) * PARTS_PER_PPM);
        // Between two cuts the product telescopes: `S` is `share` times `left` of `base`. Hence one
        // division a cut bucket, and none, so no rounding, where nothing was cut. All products stay below
        // 2^60: a share below 2^32, times a count below 2^28.
        let mut share = PPM * PARTS_PER_PPM;
        let mut left = u64::from(self.ended) + u64::from(self.cut);
        let mut base = left;
        for (at, (&ended, &cut)) in self.counts.ended.iter().zip(&self.counts.cut).enumerate() {
            if ended > 0 {
                left -= u64::from(ended);
                for (found, target) in found.iter_mut().zip(targets) {
                    if found.is_none() && share * left <= target * base {
                        *found = Some(midpoint(at));
                    }
                }
            }
            if cut > 0 {
                share = share * left / base;
                left -= u64::from(cut);
                base = left;
            }
        }
        found
    }

    /// How many ended samples the window holds; ageing makes it smaller.
    #[inline]
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.ended as u64
    }

    /// The share of the window that was cut; zero when the window is empty.
    #[inline]
    #[must_use]
    pub const fn censored_share(&self) -> Ratio {
        let all = self.ended as u64 + self.cut as u64;
        match (self.cut as u64 * PPM).checked_div(all) {
            Some(ppm) => Ratio::from_ppm(ppm as u32),
            None => Ratio::ZERO,
        }
    }

    /// One halving for every half-life that ended since the last call.
    #[inline]
    fn age(&mut self, now: Instant) {
        let since = nanos(now.since(self.aged));
        if since >= HALF_LIFE {
            self.age_by(since / HALF_LIFE);
        }
    }

    #[cold]
    fn age_by(&mut self, half_lives: u64) {
        self.aged = Instant::from_nanos(self.aged.as_nanos() + half_lives * HALF_LIFE);
        let enough = match (self.ended + self.cut).checked_div(self.keep) {
            Some(times) => times.checked_ilog2().unwrap_or(0),
            None => HALVINGS_TO_NOTHING,
        };
        self.fade(half_lives.min(u64::from(enough)) as u32);
    }

    /// Halves everything `times` times, in one pass.
    #[cold]
    fn fade(&mut self, times: u32) {
        self.ended = fade(&mut self.counts.ended, times);
        self.cut = fade(&mut self.counts.cut, times);
    }
}

impl Default for Sketch {
    fn default() -> Self {
        Self::new()
    }
}

/// The totals; 2 688 counters would help nobody.
impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sketch")
            .field("ended", &self.ended)
            .field("cut", &self.cut)
            .field("keep", &self.keep)
            .field("aged", &self.aged)
            .finish_non_exhaustive()
    }
}

/// Divides running totals by `2^times`, and returns the new total. Rounding down running totals twice is
/// rounding them down once, so one pass does for any number of halvings.
fn fade(counts: &mut [u16], times: u32) -> u32 {
    let (mut carry, mut total) = (0, 0);
    for count in counts {
        let whole = u32::from(*count) + carry;
        *count = (whole >> times) as u16;
        carry = whole & ((1 << times) - 1);
        total += u32::from(*count);
    }
    total
}

/// Where a latency is counted: below 128 us one bucket a microsecond, above that the seven highest bits.
#[inline]
fn bucket(took: Duration) -> usize {
    let micros = (nanos(took) / 1_000).min(MICROS_MAX);
    let shift = (micros | (2 * STEPS as u64 - 1)).ilog2() - STEPS.ilog2();
    shift as usize * STEPS + (micros >> shift) as usize
}

/// The middle of a bucket.
const fn midpoint(bucket: usize) -> Duration {
    let shift = (bucket / STEPS).saturating_sub(1);
    let low = (bucket - shift * STEPS) as u64;
    Duration::from_nanos(((2 * low + 1) << shift) * 500)
}

/// What a latency beyond the range is read as.
pub(crate) const LARGEST: Duration = midpoint(BUCKETS - 1);

/// Buckets an octave. Half a bucket is at most 1/128 of its value: below the 1 % asked for with the
/// fewest bits.
const STEPS: usize = 64;
/// The 64 single microseconds below 64 us, then 20 octaves up to 2^26 us = 67 s: past the longest default
/// limit, 60 s.
const BUCKETS: usize = 21 * STEPS;
const MICROS_MAX: u64 = (1 << 26) - 1;

/// Nanoseconds in which a sample loses half its weight: a change of regime rules the window after one or
/// two of them, and a thousand samples are in it from 200 a second.
const HALF_LIFE: u64 = 5_000_000_000;
/// Each of the two totals is below 2^27.
const HALVINGS_TO_NOTHING: u32 = 27;

/// Parts of a part per million in which the share still running is held: whole, so that targets are
/// exact, and the finest that keeps a share below 2^32.
const PARTS_PER_PPM: u64 = 1 << 12;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const START: Instant = Instant::from_nanos(3_600 * SECOND);
    const SECOND: u64 = 1_000_000_000;

    fn secs(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn recount(sketch: &Sketch) -> (u64, u64) {
        let sum = |counts: &[u16]| counts.iter().map(|&c| u64::from(c)).sum();
        (sum(&sketch.counts.ended), sum(&sketch.counts.cut))
    }

    /// 1 %, and half a microsecond where buckets are that wide.
    fn close(read: Duration, exact: Duration) -> bool {
        let (read, exact) = (nanos(read), nanos(exact));
        read.abs_diff(exact) * 100 <= exact || exact < 64_000 && read.abs_diff(exact) <= 500
    }

    #[test]
    fn memory_is_as_stated() {
        assert_eq!(BUCKETS, 1_344);
        assert_eq!(size_of::<Counts>(), 5_376);
        assert_eq!(size_of::<Sketch>(), 32);
    }

    #[test]
    fn buckets_join_without_gap_or_overlap() {
        for bucket_at in 0..BUCKETS {
            let middle = nanos(midpoint(bucket_at));
            let half = 500 << (bucket_at / STEPS).saturating_sub(1);
            let at = |nanos| bucket(Duration::from_nanos(nanos));
            assert_eq!(at(middle - half), bucket_at, "lower edge");
            assert_eq!(at(middle + half - 1), bucket_at, "upper edge");
            assert_eq!(at(middle + half), (bucket_at + 1).min(BUCKETS - 1), "next");
        }
    }

    #[test]
    fn what_is_out_of_range_saturates() {
        let mut sketch = Sketch::new();
        sketch.record(Duration::ZERO, START);
        assert_eq!(sketch.quantile(Ratio::ONE), Some(Duration::from_nanos(500)));
        sketch.record(Duration::MAX, Instant::NEVER);
        sketch.record(secs(68), Instant::NEVER);
        sketch.censor(Duration::MAX, Instant::NEVER);
        assert_eq!(sketch.quantile(Ratio::percent(50)), Some(LARGEST));
        assert!(LARGEST.abs_diff(secs(67)) < ms(500));
    }

    #[test]
    fn an_empty_window_knows_nothing() {
        let mut sketch = Sketch::new();
        assert_eq!(sketch.quantile(Ratio::ZERO), None);
        assert_eq!(sketch.censored_share(), Ratio::ZERO);
        sketch.censor(ms(5), START);
        assert_eq!(sketch.quantile(Ratio::ZERO), None);
        assert_eq!((sketch.samples(), sketch.censored_share()), (0, Ratio::ONE));
        let shown = alloc::format!("{sketch:?}");
        assert!(shown.starts_with("Sketch { ended: 0, cut: 1, keep: 0, aged: "), "{shown}");
    }

    #[test]
    fn a_quantile_that_is_not_reached_is_unknown() {
        let mut sketch = Sketch::new();
        (0..90).for_each(|_| sketch.record(ms(10), START));
        (0..10).for_each(|_| sketch.censor(ms(15), START));
        let [median, p90, p91] =
            sketch.quantiles([Ratio::percent(50), Ratio::percent(90), Ratio::percent(91)]);
        assert!(close(median.unwrap(), ms(10)));
        assert_eq!(p90, median, "exactly reached");
        assert_eq!(p91, None);
        assert_eq!(sketch.censored_share(), Ratio::percent(10));
    }

    #[test]
    fn a_sample_halves_every_five_seconds_and_keeps_its_shape() {
        let mut sketch = Sketch::new();
        (1..=1_024).for_each(|i| sketch.record(ms(i), START));
        (0..64).for_each(|_| sketch.censor(secs(9), START));
        for (half_lives, samples) in [(0, 1_024), (1, 512), (3, 128), (7, 8)] {
            let mut later = sketch.clone();
            later.age(START + secs(5 * half_lives) + ms(4_999));
            assert_eq!(later.samples(), samples);
            assert_eq!(recount(&later), (samples, 64 >> half_lives));
            let median = later.quantile(Ratio::percent(50)).unwrap();
            assert!(median.abs_diff(ms(544)) <= ms(5 + (1 << half_lives)), "{median:?}");
        }
    }

    #[test]
    fn however_it_is_reached_a_moment_finds_the_same_counts() {
        let mut often = Sketch::new();
        (1..=999).for_each(|i| often.record(ms(i), START));
        let mut once = often.clone();
        (1..=200).for_each(|tenths| often.age(START + ms(100 * tenths)));
        once.age(START + secs(20));
        assert_eq!(often.counts.ended, once.counts.ended);
        assert_eq!(often.samples(), 999 >> 4);
    }

    #[test]
    fn hours_clear_the_window_and_going_back_changes_nothing() {
        let mut sketch = Sketch::new();
        (0..1_000).for_each(|_| sketch.record(ms(10), START));
        sketch.record(ms(10), Instant::ORIGIN);
        assert_eq!(sketch.samples(), 1_001, "back an hour");
        sketch.record(secs(2), START + secs(4 * 3_600));
        assert_eq!(sketch.samples(), 1, "on four hours");
        assert!(close(sketch.quantile(Ratio::ZERO).unwrap(), secs(2)));
        sketch.record(ms(10), START);
        assert_eq!(sketch.samples(), 2, "and back");
    }

    #[test]
    fn what_is_kept_is_the_latest_samples_however_old() {
        let mut sketch = Sketch::keeping(100);
        let mut now = START;
        for i in 0..10_000 {
            now = now + secs(60);
            sketch.record(if i < 9_000 { ms(10) } else { ms(50) }, now);
            assert!(sketch.samples() >= (i + 1).min(100) && sketch.samples() <= 200);
        }
        assert!(close(sketch.quantile(Ratio::percent(1)).unwrap(), ms(50)));
    }

    #[test]
    fn it_keeps_as_many_as_it_was_told_last() {
        let mut sketch = Sketch::new();
        sketch.keep(100);
        (1..=100).for_each(|n| sketch.record(ms(10), START + secs(60 * n)));
        assert_eq!(sketch.samples(), 100);
        sketch.keep(0);
        sketch.record(ms(10), START + secs(60 * 101));
        assert_eq!(sketch.samples(), 1);
    }

    #[test]
    fn a_full_counter_halves_everything() {
        let mut sketch = Sketch::new();
        for _ in 0..100_000 {
            [10, 20, 30].iter().for_each(|&took| sketch.record(ms(took), START));
            sketch.censor(secs(1), START);
        }
        assert_eq!(recount(&sketch), (sketch.samples(), u64::from(sketch.cut)));
        let shares = [24, 26, 49, 51, 74, 76].map(Ratio::percent);
        let read = sketch.quantiles(shares);
        for (read, exact) in read.into_iter().zip([10, 20, 20, 30, 30]) {
            assert!(close(read.unwrap(), ms(exact)), "{read:?} is not {exact} ms");
        }
        assert_eq!(read[5], None, "a quarter was cut");
        (0..200_000).for_each(|_| sketch.censor(secs(1), START));
        assert_eq!(recount(&sketch), (sketch.samples(), u64::from(sketch.cut)));
        assert!(sketch.censored_share() > Ratio::percent(90));
    }

    /// The share still running after each bucket by another road: whoever is cut hands its weight, in
    /// equal parts, to all who ended or were cut later (Efron 1967).
    fn redistributed(ended: &[usize], cut: &[usize], q: f64, slack: f64) -> Option<usize> {
        let mut events: Vec<(usize, bool)> = Vec::new();
        events.extend(ended.iter().map(|&at| (at, false)));
        events.extend(cut.iter().map(|&at| (at, true)));
        events.sort_unstable();
        let mut weights = alloc::vec![1.0 / events.len() as f64; events.len()];
        let mut running = 1.0;
        for i in 0..events.len() {
            let (at, was_cut) = events[i];
            if was_cut {
                let share = weights[i] / (events.len() - i - 1) as f64;
                weights[i + 1..].iter_mut().for_each(|weight| *weight += share);
            } else {
                running -= weights[i];
                if running <= 1.0 - q + slack {
                    return Some(at);
                }
            }
        }
        None
    }

    proptest! {
        #[test]
        fn every_value_is_read_to_one_per_cent(took in 0..67_108_864_000_u64) {
            let took = Duration::from_nanos(took >> (took % 37));
            let mut sketch = Sketch::new();
            sketch.record(took, START);
            let read = sketch.quantile(Ratio::percent(50)).unwrap();
            prop_assert!(close(read, took), "{took:?} reads {read:?}");
        }

        #[test]
        fn quantiles_are_those_of_the_sorted_samples(
            mut samples in prop::collection::vec((1..67_000_000_u64, 0..26_u32), 1..500),
            ranks in prop::array::uniform3((0..500_u64, 0..3_u64)),
        ) {
            // As many as divide a million, so that a share can lie exactly on a sample, just before or behind it.
            let n = (1..=samples.len()).rev().find(|n| PPM.is_multiple_of(*n as u64)).unwrap();
            let mut sketch = Sketch::new();
            let mut sorted: Vec<_> = samples
                .drain(..n)
                .map(|(micros, shift)| Duration::from_micros(micros >> shift))
                .collect();
            sorted.iter().for_each(|&took| sketch.record(took, START));
            sorted.sort_unstable();
            let ppm = ranks.map(|(rank, beside)| {
                let exact = rank % (n as u64 + 1) * (PPM / n as u64);
                (exact + beside).saturating_sub(1).min(PPM)
            });
            let read = sketch.quantiles(ppm.map(|ppm| Ratio::from_ppm(ppm as u32)));
            for (read, ppm) in read.into_iter().zip(ppm) {
                let (read, rank) = (read.unwrap(), (ppm * n as u64).div_ceil(PPM).max(1));
                let exact = sorted[rank as usize - 1];
                prop_assert!(close(read, exact), "{read:?}, not {exact:?}, at rank {rank}");
            }
            prop_assert_eq!(recount(&sketch), (n as u64, 0));
        }

        #[test]
        fn cut_attempts_count_as_kaplan_and_meier_have_it(
            ended in prop::collection::vec(0..BUCKETS, 0..60),
            cut in prop::collection::vec(0..BUCKETS, 0..60),
            percent in 1..100_u32,
        ) {
            let mut sketch = Sketch::new();
            ended.iter().for_each(|&at| sketch.record(midpoint(at), START));
            cut.iter().for_each(|&at| sketch.censor(midpoint(at), START));
            let read = sketch.quantile(Ratio::percent(percent)).map(bucket);
            let q = f64::from(percent) / 100.0;
            // A share that meets the target exactly is one rounding error from not meeting it.
            let either = [1e-6, -1e-6].map(|slack| redistributed(&ended, &cut, q, slack));
            prop_assert!(either.contains(&read), "{read:?}, model {either:?}");
        }

        #[test]
        fn totals_are_the_sums_of_their_counters(
            steps in prop::collection::vec((any::<bool>(), 0..80_u64, 0..20_000_u64), 1..400),
            keep in 0..50_u32,
        ) {
            let mut sketch = Sketch::keeping(keep);
            let mut now = START;
            for (end, took, pause) in steps {
                now = now + ms(pause);
                if end { sketch.record(secs(took), now) } else { sketch.censor(secs(took), now) }
                prop_assert_eq!(recount(&sketch), (u64::from(sketch.ended), u64::from(sketch.cut)));
                prop_assert!(sketch.ended + sketch.cut >= 1);
            }
        }
    }
}
