//! What a run gives back: a row per second, totals, and a picture of both in text.

use core::fmt::Write as _;

use seawall_core::Priority;

/// How a scenario went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The scenario's name.
    pub name: String,
    /// The seed that tells this story again.
    pub seed: u64,
    /// A row per second of traffic.
    pub rows: Vec<Row>,
    /// The whole run, to the end of the last call.
    pub totals: Totals,
}

/// One second. A call counts as offered when it comes, and otherwise when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Calls that came, users who came again included.
    pub offered: u64,
    /// Attempts sent.
    pub attempts: u64,
    /// Calls that ended well.
    pub good: u64,
    /// Calls that failed or ran out of time.
    pub failed: u64,
    /// Calls refused before anything was sent.
    pub refused: u64,
    /// Jobs waiting at all dependencies when the second ends.
    pub queue: u64,
    /// The most jobs that waited or worked at one dependency in this second.
    pub peak: u64,
    /// Breakers open when the second ends.
    pub open: u64,
    /// Breakers half-open when the second ends.
    pub half_open: u64,
    /// All breakers.
    pub breakers: u64,
}

/// The whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls that came.
    pub offered: u64,
    /// Attempts sent.
    pub attempts: u64,
    /// Calls that ended well.
    pub good: u64,
    /// Calls that failed or ran out of time.
    pub failed: u64,
    /// Calls refused before anything was sent.
    pub refused: u64,
    /// Calls whose caller left.
    pub left: u64,
    /// Answers to attempts that nobody waited for any more.
    pub wasted: u64,
    /// Calls that came and calls that ended well, by class, the most urgent first.
    pub classes: [(u64, u64); Priority::ALL.len()],
    /// Events of the simulation.
    pub events: u64,
}

impl Story {
    /// Calls that ended well for each one offered in the last `seconds`: a little above 1 where some came before
    /// those; 1 if none was offered.
    #[must_use]
    pub fn goodput_of_last(&self, seconds: usize) -> f64 {
        self.goodput(self.rows.len().saturating_sub(seconds)..self.rows.len())
    }

    /// The same for any seconds of the run.
    #[must_use]
    pub fn goodput(&self, seconds: core::ops::Range<usize>) -> f64 {
        let rows = self.rows.get(seconds).unwrap_or_default();
        let (good, offered) = (sum(rows, |row| row.good), sum(rows, |row| row.offered));
        if offered == 0 { 1.0 } else { good as f64 / offered as f64 }
    }

    /// How many seconds after second `from` the goodput is first, and for `seconds` seconds together, above nine
    /// tenths; `None`: never.
    #[must_use]
    pub fn recovered_after(&self, from: usize, seconds: usize) -> Option<usize> {
        let ends = self.rows.len().saturating_sub(seconds);
        (from..=ends).find(|at| self.goodput(*at..at + seconds) > 0.9).map(|at| at - from)
    }

    /// A bar per second for each figure, and the totals. Plain text, 11 columns and one per second. Where it is more than
    /// a full bar, a digit says how many times that. Of breakers, if there are any: `.` if all are closed, else what most
    /// of the others are, `o` open or `h` half-open.
    #[must_use]
    pub fn chart(&self, scale: Scale) -> String {
        let mut text = String::new();
        let mut calls = |name, of: fn(&Row) -> u64| {
            line(&mut text, name, self.rows.iter().map(|row| bar(of(row), scale.calls)));
        };
        calls("offered", |row| row.offered);
        calls("attempts", |row| row.attempts);
        calls("good", |row| row.good);
        calls("failed", |row| row.failed);
        calls("refused", |row| row.refused);
        line(&mut text, "queue", self.rows.iter().map(|row| bar(row.queue, scale.waiting)));
        if self.rows.iter().any(|row| row.breakers > 0) {
            line(&mut text, "breakers", self.rows.iter().map(phase));
        }
        let totals = &self.totals;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  offered {}, attempts {}, good {}, failed {}, refused {}, answered to nobody {}",
            totals.offered,
            totals.attempts,
            totals.good,
            totals.failed,
            totals.refused,
            totals.wasted
        );
        text
    }
}

/// What a full bar of a [chart](Story::chart) is: the same for all that are to be compared by eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "written out: a bar is full of these two")]
pub struct Scale {
    /// Calls or attempts a second. 0 counts as 1.
    pub calls: u64,
    /// Jobs that wait. 0 counts as 1.
    pub waiting: u64,
}

impl Scale {
    /// The most there is of either in these stories.
    #[must_use]
    pub fn of(stories: &[&Story]) -> Self {
        let rows = || stories.iter().flat_map(|story| &story.rows);
        let calls = rows()
            .flat_map(|row| [row.offered, row.attempts, row.good, row.failed, row.refused])
            .max();
        let waiting = rows().map(|row| row.queue).max();
        Self { calls: calls.unwrap_or(0), waiting: waiting.unwrap_or(0) }
    }
}

fn sum(rows: &[Row], of: fn(&Row) -> u64) -> u64 {
    rows.iter().map(of).sum()
}

fn line(text: &mut String, name: &str, marks: impl Iterator<Item = char>) {
    let marks: String = marks.collect();
    let _ = writeln!(text, "  {name:<9}{marks}");
}

/// Nothing is blank, anything at all is at least the lowest bar, and more than a full one the number of them.
fn bar(n: u64, full: u64) -> char {
    let full = full.max(1);
    if n > full {
        let times = (n + full / 2) / full;
        return char::from_digit(times.min(9) as u32, 10).unwrap_or('9');
    }
    match (n * BARS.len() as u64).div_ceil(full) {
        0 => ' ',
        height => BARS[height as usize - 1],
    }
}

/// What most of the breakers that are not closed do; a dot if all are closed, blank if there is none.
const fn phase(row: &Row) -> char {
    match (row.breakers, row.open, row.half_open) {
        (0, ..) => ' ',
        (_, 0, 0) => '.',
        (_, open, half_open) if open >= half_open => 'o',
        _ => 'h',
    }
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::*;

    fn story(good: &[u64]) -> Story {
        let row = |n: &u64| Row { offered: 100, good: *n, breakers: 1, ..Row::default() };
        let rows = good.iter().map(row).collect();
        Story { name: "a story".into(), seed: 1, rows, totals: Totals::default() }
    }

    #[test]
    fn goodput_and_recovery_are_read_off_the_rows() {
        let story = story(&[100, 0, 0, 95, 20, 95, 97]);
        assert_eq!(story.goodput(0..2), 0.5);
        assert_eq!(story.goodput_of_last(2), 0.96);
        assert_eq!(story.goodput_of_last(100), story.goodput(0..7));
        assert_eq!(story.recovered_after(1, 1), Some(2));
        assert_eq!(story.recovered_after(1, 2), Some(4));
        assert_eq!(story.recovered_after(1, 3), None);
    }

    #[test]
    fn the_picture_shows_what_the_rows_say() {
        let mut story = story(&[100, 1, 0]);
        story.rows[1].open = 1;
        story.rows[2].half_open = 1;
        story.rows[2].queue = 9;
        let scale = Scale::of(&[&story]);
        assert_eq!(scale, Scale { calls: 100, waiting: 9 });
        let chart = story.chart(scale);
        let lines: Vec<&str> = chart.lines().collect();
        assert_eq!(lines[0], "  offered  ███");
        assert_eq!(lines[2], "  good     █▁ ");
        assert_eq!(lines[5], "  queue      █");
        assert_eq!(lines[6], "  breakers .oh");
        assert!(lines[7].starts_with("  offered 0, "));
        story.rows.iter_mut().for_each(|row| row.breakers = 0);
        assert_eq!(story.chart(scale).lines().count(), 7, "no breakers, no line");
    }

    #[test]
    fn stories_are_compared_on_one_scale_and_what_is_beyond_it_is_counted() {
        let (small, large) = (story(&[10, 20]), story(&[0, 640]));
        assert_eq!(Scale::of(&[&small, &large]), Scale { calls: 640, waiting: 0 });
        let scale = Scale { calls: 80, waiting: 0 };
        let good = |story: &Story| story.chart(scale).lines().nth(2).unwrap().to_owned();
        assert_eq!(good(&small), "  good     ▁▂");
        assert_eq!(good(&large), "  good      8");
        for (n, mark) in [(0, ' '), (1, '▁'), (80, '█'), (81, '1'), (120, '2'), (9_999, '9')] {
            assert_eq!(bar(n, 80), mark, "{n}");
        }
    }
}
