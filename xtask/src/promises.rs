//! `docs/promises.md` as the tools read it: what is promised, and the defects planted against it.
//!
//! ```text
//!   | F1 | the promise | kept | `crate::module::test` … |      a row, one for each of F1 to F110
//!
//!   F1   crate::module::test      must go red when, in the listing below the tables,
//!   in   crates/…/file.rs         in this file
//!   from an expression            that stands there exactly once
//!   to   another of its type      is read as this
//! ```
//!
//! Every kept row has such a defect, and one of its own tests notices it: a promise whose absence nobody
//! notices is a hope.

use std::{collections::BTreeSet, ops::Range};

/// A row of the tables.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    /// Such as `F1`.
    number: String,
    kept: bool,
    /// Tests by their path, the crate first.
    tests: Vec<String>,
}

/// A change that breaks one promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Defect {
    /// The promise it breaks.
    pub(crate) promise: String,
    /// The test that has to notice, the crate first.
    pub(crate) test: String,
    /// From the root of the repository.
    pub(crate) file: String,
    expression: String,
    replacement: String,
}

/// The defects of a page, or everything that is wrong with the page.
pub(crate) fn read(page: &str) -> Result<Vec<Defect>, Vec<String>> {
    let promises: Vec<Promise> = page.lines().filter_map(promise).collect();
    let mut wrong = Vec::new();
    for number in (1..=PROMISES).map(|number| format!("F{number}")) {
        let rows = promises.iter().filter(|promise| promise.number == number).count();
        if rows != 1 {
            wrong.push(format!("{number}: {rows} rows; right: 1"));
        }
    }
    let mut defects = Vec::new();
    for entry in entries(page) {
        match defect(&entry) {
            Some(defect) => defects.push(defect),
            None => wrong.push(format!(
                "{}: right: four lines, a promise and its test, `in`, `from`, `to`",
                entry.first().copied().unwrap_or_default()
            )),
        }
    }
    for promise in promises.iter().filter(|promise| promise.kept) {
        let own: Vec<&Defect> =
            defects.iter().filter(|defect| defect.promise == promise.number).collect();
        if own.is_empty() {
            wrong.push(format!("{}: kept, but no defect is planted", promise.number));
        }
        for defect in own.iter().filter(|defect| !promise.tests.contains(&defect.test)) {
            wrong.push(format!("{}: its row does not name {}", promise.number, defect.test));
        }
    }
    let known: BTreeSet<&str> = promises.iter().map(|promise| promise.number.as_str()).collect();
    for defect in defects.iter().filter(|defect| !known.contains(defect.promise.as_str())) {
        wrong.push(format!("{}: a defect, but no row", defect.promise));
    }
    if wrong.is_empty() { Ok(defects) } else { Err(wrong) }
}

/// The file with each of its defects behind a switch: the number beside it, told to the crate's `planted`.
pub(crate) fn plant(text: &str, defects: &[(usize, &Defect)]) -> Result<String, Vec<String>> {
    let (mut places, mut wrong) = (Vec::new(), Vec::new());
    for (number, defect) in defects {
        match place(text, &defect.expression) {
            Ok(place) => places.push((place, *number, *defect)),
            Err(times) => wrong.push(format!(
                "{}: `{}` stands {times} times in {}; right: once",
                defect.promise, defect.expression, defect.file
            )),
        }
    }
    places.sort_by_key(|(place, ..)| place.start);
    for pair in places.windows(2).filter(|pair| pair[0].0.end > pair[1].0.start) {
        wrong.push(format!("{} and {} lie over each other", pair[0].2.promise, pair[1].2.promise));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let mut planted = text.to_owned();
    for (place, number, Defect { expression, replacement, .. }) in places.into_iter().rev() {
        let either =
            format!("(if crate::planted({number}) {{ {replacement} }} else {{ {expression} }})");
        planted.replace_range(place, &either);
    }
    Ok(planted)
}

fn place(text: &str, expression: &str) -> Result<Range<usize>, usize> {
    let mut places = text.match_indices(expression).map(|(at, found)| at..at + found.len());
    match (places.next(), places.count()) {
        (Some(place), 0) => Ok(place),
        (Some(_), more) => Err(more + 1),
        (None, _) => Err(0),
    }
}

/// A line of a table whose first cell is a number.
fn promise(line: &str) -> Option<Promise> {
    let cells: Vec<&str> =
        line.trim().strip_prefix('|')?.trim_end_matches('|').split('|').map(str::trim).collect();
    let number = cells.first()?.strip_prefix('F')?;
    number.parse::<u32>().ok()?;
    let tests = cells.last()?.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some(Promise { number: format!("F{number}"), kept: cells.contains(&"kept"), tests })
}

/// The entries of the listings marked `planted`, each as its lines.
fn entries(page: &str) -> Vec<Vec<&str>> {
    let mut entries = vec![Vec::new()];
    let mut listed = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(mark) => {
                listed = mark == "planted";
                entries.push(Vec::new());
            }
            None if listed && line.is_empty() => entries.push(Vec::new()),
            None if listed => entries.last_mut().into_iter().for_each(|entry| entry.push(line)),
            None => {}
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries
}

fn defect(entry: &[&str]) -> Option<Defect> {
    let &[head, file, from, to] = entry else { return None };
    let (promise, test) = head.split_once(' ')?;
    let rest = |line: &str, word: &str| Some(line.strip_prefix(word)?.trim().to_owned());
    Some(Defect {
        promise: promise.to_owned(),
        test: test.trim().to_owned(),
        file: rest(file, "in ")?,
        expression: rest(from, "from ")?,
        replacement: rest(to, "to ")?,
    })
}

/// Those of the guide.
const PROMISES: u32 = 110;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::root;

    #[test]
    fn the_page_is_whole_and_its_defects_can_be_planted() {
        let text = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
        let defects = read(&text("docs/promises.md")).unwrap();
        assert!(!defects.is_empty());
        for file in defects.iter().map(|defect| &defect.file).collect::<BTreeSet<_>>() {
            let own = defects.iter().enumerate().filter(|(_, defect)| defect.file == *file);
            plant(&text(file), &own.collect::<Vec<_>>()).unwrap();
        }
    }

    #[test]
    fn everything_wrong_with_a_page_is_told() {
        let mut page: String = (3..=110).map(|n| format!("| F{n} | a | later | |\n")).collect();
        page += "| F1 | a | kept | `a::b` |\n| F2 | a | kept | `a::b` |\n| F3 | a | later | |\n";
        page += "```planted\nF2 a::c\nin d.rs\nfrom e\nto f\n\nF111 a::b\nin d.rs\nfrom e\nto f\n\nF1 a::b\n```\n";
        let expected = [
            "F3: 2 rows; right: 1",
            "F1 a::b: right: four lines, a promise and its test, `in`, `from`, `to`",
            "F1: kept, but no defect is planted",
            "F2: its row does not name a::c",
            "F111: a defect, but no row",
        ];
        assert_eq!(read(&page).unwrap_err(), expected);
    }

    #[test]
    fn an_expression_is_replaced_where_it_stands() {
        let one = sample("F1", "a + b", "a - b");
        let two = sample("F2", "c", "d");
        let planted = plant("x(a + b, c)", &[(1, &one), (2, &two)]).unwrap();
        let expected = "x((if crate::planted(1) { a - b } else { a + b }), \
                        (if crate::planted(2) { d } else { c }))";
        assert_eq!(planted, expected);
    }

    #[test]
    fn an_expression_that_is_not_there_once_names_its_row() {
        let found = plant("a a", &[(1, &sample("F1", "a", "b")), (2, &sample("F2", "c", "d"))]);
        let expected = [
            "F1: `a` stands 2 times in e.rs; right: once",
            "F2: `c` stands 0 times in e.rs; right: once",
        ];
        assert_eq!(found.unwrap_err(), expected);
        let found = plant("a + b", &[(1, &sample("F1", "a +", "")), (2, &sample("F2", "+ b", ""))]);
        assert_eq!(found.unwrap_err(), ["F1 and F2 lie over each other"]);
    }

    fn sample(promise: &str, expression: &str, replacement: &str) -> Defect {
        let [promise, expression, replacement] =
            [promise, expression, replacement].map(str::to_owned);
        Defect { promise, test: "t".to_owned(), file: "e.rs".to_owned(), expression, replacement }
    }
}
