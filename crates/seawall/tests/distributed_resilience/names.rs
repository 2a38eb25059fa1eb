//! The guide's names: each has its counterpart, and its snippets print what the page says.

#[path = "../../examples/guide.rs"]
#[expect(dead_code, reason = "an example's `main` is for its own program")]
mod guide;

const PAGE: &str = include_str!("../../../../docs/guide.md");
const SNIPPETS: &str = include_str!("../../examples/guide.rs");
const NAMES: &str = include_str!("../../src/guide.rs");

/// The cells of the page's tables, row by row: the guide's, ours, and what differs.
fn rows() -> Vec<[&'static str; 3]> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        [0; 3].map(|_| cells.next().unwrap_or_default())
    })
    .collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The names in a piece of code, without those of its arguments.
fn named(code: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.split(['(', '='])
        .next()
        .unwrap_or_default()
        .split(move |c| !is_name(c))
        .filter(|it| !it.is_empty())
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|it| it == word)
}

#[test]
fn every_name_of_the_guide_has_a_counterpart_that_is_used_or_exported() {
    let rows = rows();
    assert!(rows.len() >= 44, "{}", rows.len());
    for [theirs, ours, _] in rows {
        assert!(quoted(theirs).next().is_some(), "{theirs}");
        for name in quoted(ours).flat_map(named) {
            let found = has_word(SNIPPETS, name) || has_word(NAMES, name);
            assert!(found, "{name}, which stands for {theirs}");
        }
    }
}

#[test]
fn each_name_that_is_exported_is_one_of_the_guides() {
    let exported = NAMES.split_once("\npub use").expect("it exports").1;
    for item in exported.split([',', '{', '}', ';']).map(str::trim).filter(|it| !it.is_empty()) {
        let name = item.rsplit([' ', ':']).next().unwrap_or_default();
        if name.is_empty() || ["crate", "core"].contains(&name) {
            continue;
        }
        assert!(has_word(PAGE, name), "{name} is not on the page");
    }
}

#[test]
fn the_snippets_print_what_the_page_says() {
    let mut told = Vec::new();
    guide::tell(&mut told).expect("every snippet ends well");
    let (_, shown) =
        PAGE.split_once("<!-- output of examples/guide.rs -->\n```text\n").expect("shown");
    let (shown, _) = shown.split_once("```").expect("an end");
    assert_eq!(String::from_utf8_lossy(&told), shown);
}
