//! What was seen: as tables for a terminal, as one table for a page, and as JSON for programs.

use std::{fmt, iter::once};

use serde_json::{Value, json};

use crate::{
    measure::{Effort, Figures},
    rows::{Bar, OURS, Row},
};

/// A row that was measured.
#[derive(Debug)]
pub(crate) struct Seen {
    row: &'static Row,
    figures: Vec<(&'static str, Figures)>,
}

/// A bar, and what ours was.
struct Judged {
    bar: Bar,
    was: f64,
}

impl Seen {
    pub(crate) const fn new(row: &'static Row, figures: Vec<(&'static str, Figures)>) -> Self {
        Self { row, figures }
    }

    /// How many bars it has.
    pub(crate) const fn bars(&self) -> usize {
        self.row.bars.len()
    }

    /// How many of them ours missed.
    pub(crate) fn missed(&self) -> usize {
        self.judged().filter(|judged| !judged.passed()).count()
    }

    fn judged(&self) -> impl Iterator<Item = Judged> {
        self.row.bars.iter().map(|bar| {
            let was = match bar {
                Bar::NoAllocation => self.of(OURS, |ours| ours.allocations),
                Bar::Times { other, .. } => self.ratio(OURS, other),
                Bar::Above { base, other, .. } => {
                    let median = |name| self.of(name, |figures| figures.median);
                    (median(OURS) - median(base)) / median(other)
                }
            };
            Judged { bar: *bar, was }
        })
    }

    /// How many times the median of `other` that of `one` is; not a number without one of them.
    fn ratio(&self, one: &str, other: &str) -> f64 {
        self.of(one, |figures| figures.median) / self.of(other, |figures| figures.median)
    }

    /// The same of their best rounds.
    fn best_ratio(&self, one: &str, other: &str) -> f64 {
        self.of(one, |figures| figures.best) / self.of(other, |figures| figures.best)
    }

    fn of(&self, name: &str, figure: impl Fn(&Figures) -> f64) -> f64 {
        let found = self.figures.iter().find(|(contender, _)| *contender == name);
        found.map_or(f64::NAN, |(_, figures)| figure(figures))
    }

    fn markdown(&self) -> String {
        let beside = |(name, figures): &(&str, Figures)| {
            let (median, ratio) = (figures.median, self.ratio(OURS, name));
            format!("{name} {median:.1} ({ratio:.2})")
        };
        let others = self.figures.iter().filter(|(name, _)| *name != OURS).map(beside);
        let missed =
            self.judged().filter(|judged| !judged.passed()).map(|judged| judged.to_string());
        let missed = missed.collect::<Vec<_>>().join("; ");
        let bars = match (self.bars(), &*missed) {
            (0, _) => "none",
            (_, "") => "pass",
            (_, missed) => missed,
        };
        format!(
            "| {} | {:.1} | {} | {} | {bars} |\n",
            self.row.name,
            self.of(OURS, |figures| figures.median),
            each(self.of(OURS, |figures| figures.allocations)),
            others.collect::<Vec<_>>().join(", "),
        )
    }

    fn json(&self) -> Value {
        let contenders = self.figures.iter().map(|(name, figures)| {
            json!({
                "name": name,
                "best_ns": figures.best,
                "median_ns": figures.median,
                "allocations": figures.allocations,
                "rounds": figures.rounds,
                "seawall_to_this": self.ratio(OURS, name),
                "seawall_to_this_best": self.best_ratio(OURS, name),
            })
        });
        let bars = self.judged().map(|judged| match judged.bar {
            Bar::NoAllocation => json!({
                "of": "allocations", "bar": 0, "was": judged.was, "passed": judged.passed(),
            }),
            Bar::Times { other, bar, aim } => json!({
                "of": other, "bar": bar, "aim": aim, "was": judged.was, "passed": judged.passed(),
            }),
            Bar::Above { base, other, bar } => json!({
                "above": base, "of": other, "bar": bar, "was": judged.was,
                "passed": judged.passed(),
            }),
        });
        json!({
            "name": self.row.name,
            "holds": self.row.holds,
            "threads": self.row.threads,
            "contenders": contenders.collect::<Vec<_>>(),
            "bars": bars.collect::<Vec<_>>(),
        })
    }
}

impl Judged {
    fn passed(&self) -> bool {
        match self.bar {
            Bar::NoAllocation => self.was == 0.0,
            Bar::Times { bar, .. } | Bar::Above { bar, .. } => self.was <= bar,
        }
    }
}

/// Everything that was seen, as a table for a page: medians in nanoseconds, and in brackets ours to them.
pub(crate) fn markdown(rows: &[Seen]) -> String {
    let lines = rows.iter().map(Seen::markdown);
    let head = "| row | seawall | allocations | beside it (seawall to it) | bars |\n| --- | --- | --- | --- | --- |\n";
    once(head.to_owned()).chain(lines).collect()
}

/// Everything that was seen.
pub(crate) fn json(rows: &[Seen], effort: Effort) -> Value {
    json!({
        "rounds": effort.rounds,
        "sample_ns": effort.sample.as_nanos() as u64,
        "rows": rows.iter().map(Seen::json).collect::<Vec<_>>(),
    })
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}: {}", self.row.name, self.row.holds)?;
        writeln!(
            f,
            "  {:20}{:>12}{:>12}{:>14}{:>18}{:>10}",
            "", "best ns", "median ns", "allocations", "seawall to it", "at best"
        )?;
        for (name, figures) in &self.figures {
            let Figures { best, median, allocations, rounds: _ } = figures;
            let allocations = each(*allocations);
            let (ratio, at_best) = (self.ratio(OURS, name), self.best_ratio(OURS, name));
            write!(f, "  {name:20}{best:>12.1}{median:>12.1}{allocations:>14}")?;
            writeln!(f, "{ratio:>18.2}{at_best:>10.2}")?;
        }
        let counted = || self.figures.iter().map(|(_, figures)| figures.rounds);
        if let Some((fewest, most)) = counted().min().zip(counted().max())
            && self.row.threads > 1
        {
            writeln!(f, "  threads ran at once in {fewest} to {most} rounds; no others count")?;
        }
        for judged in self.judged() {
            writeln!(f, "  {judged}")?;
        }
        Ok(())
    }
}

/// Of allocations, none is exactly none.
fn each(allocations: f64) -> String {
    if allocations == 0.0 { "0".to_owned() } else { format!("{allocations:.2}") }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "pass" } else { "MISS" };
        let was = self.was;
        match self.bar {
            Bar::NoAllocation if was == 0.0 => write!(f, "{verdict}  no allocation"),
            Bar::NoAllocation => write!(f, "{verdict}  no allocation: {was:.4} a call"),
            Bar::Times { other, bar, aim } => {
                write!(f, "{verdict}  at most {bar} x {other}: {was:.2}")?;
                aim.map_or(Ok(()), |aim| write!(f, "  (aim {aim})"))
            }
            Bar::Above { base, other, bar } => {
                write!(f, "{verdict}  at most {bar} x {other} above {base}: {was:.2}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row = Row {
        name: "a-row",
        holds: "something",
        threads: 2,
        bars: &[
            Bar::NoAllocation,
            Bar::Times { other: "floor", bar: 1.5, aim: Some(1.2) },
            Bar::Times { other: "peer", bar: 0.6, aim: None },
            Bar::Above { base: "floor", other: "peer", bar: 0.25 },
        ],
        contenders: Vec::new,
    };

    fn seen() -> Seen {
        let figures = |best, median, allocations| Figures { best, median, allocations, rounds: 3 };
        Seen::new(
            &ROW,
            vec![
                ("floor", figures(35.0, 40.0, 0.0)),
                (OURS, figures(50.0, 60.0, 0.0)),
                ("peer", figures(70.0, 80.0, 12.0)),
            ],
        )
    }

    #[test]
    fn the_table_says_what_was_seen_and_which_bars_were_missed() {
        let expected = "
a-row: something
                           best ns   median ns   allocations     seawall to it   at best
  floor                       35.0        40.0             0              1.50      1.43
  seawall                     50.0        60.0             0              1.00      1.00
  peer                        70.0        80.0         12.00              0.75      0.71
  threads ran at once in 3 to 3 rounds; no others count
  pass  no allocation
  pass  at most 1.5 x floor: 1.50  (aim 1.2)
  MISS  at most 0.6 x peer: 0.75
  pass  at most 0.25 x peer above floor: 0.25
";
        assert_eq!(seen().to_string(), expected);
        assert_eq!((seen().bars(), seen().missed()), (4, 1));
    }

    #[test]
    fn the_page_says_the_same_in_a_line_for_each_row() {
        let expected = "\
| row | seawall | allocations | beside it (seawall to it) | bars |
| --- | --- | --- | --- | --- |
| a-row | 60.0 | 0 | floor 40.0 (1.50), peer 80.0 (0.75) | MISS  at most 0.6 x peer: 0.75 |
";
        assert_eq!(markdown(&[seen()]), expected);
    }

    #[test]
    fn the_json_says_the_same() {
        let effort = Effort { rounds: 3, sample: std::time::Duration::from_millis(2) };
        let all = json(&[seen()], effort);
        assert_eq!((&all["rounds"], &all["sample_ns"]), (&json!(3), &json!(2_000_000)));
        let row = &all["rows"][0];
        assert_eq!(row["contenders"][2]["seawall_to_this"], json!(0.75));
        assert_eq!(row["bars"][1]["was"], json!(1.5));
        assert_eq!(row["bars"][2]["passed"], json!(false));
        assert_eq!(
            (&row["bars"][3]["above"], &row["bars"][3]["was"]),
            (&json!("floor"), &json!(0.25))
        );
    }

    #[test]
    fn a_contender_that_is_missing_misses_the_bar() {
        let alone = Seen { row: &ROW, figures: vec![seen().figures[1]] };
        assert_eq!(alone.missed(), 3);
    }
}
