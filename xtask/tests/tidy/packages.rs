//! Rules on dependencies, from cargo's metadata: which way they point, and on which terms they come.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A floor uses floors below it; a tool may use any and is used by tests alone.
pub(crate) fn floors(metadata: &Value) -> Vec<String> {
    let floors: BTreeMap<&str, u8> = FLOORS.into_iter().collect();
    let mut found = Vec::new();
    for package in packages(metadata).filter(|package| package["source"].is_null()) {
        let name = text(&package["name"]);
        if TOOLS.contains(&name) {
            continue;
        }
        let Some(floor) = floors.get(name) else {
            found.push(format!("{name}: no floor is known for it; add it to FLOORS"));
            continue;
        };
        let ours = list(&package["dependencies"]).filter(|uses| !uses["path"].is_null());
        for dependency in ours {
            let below = text(&dependency["name"]);
            let test_tool = TOOLS.contains(&below) && dependency["kind"] == "dev";
            if !test_tool && floors.get(below).is_none_or(|below| below >= floor) {
                let right = format!("use floors below {floor}");
                found.push(format!("{name}: uses {below}, which is not below it; {right}"));
            }
        }
    }
    found
}

/// The core stands on nothing.
pub(crate) fn bare_core(metadata: &Value) -> Vec<String> {
    let core = packages(metadata).filter(|package| package["name"] == "seawall-core");
    core.flat_map(|core| list(&core["dependencies"]))
        .filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| {
            let name = text(&dependency["name"]);
            format!("seawall-core: depends on {name}; the core stands on nothing, tests apart")
        })
        .collect()
}

/// Everybody may use what we use, on the terms we offer.
pub(crate) fn licences(metadata: &Value) -> Vec<String> {
    let shipped = shipped(metadata);
    let mut found = Vec::new();
    for package in packages(metadata) {
        let id = format!("{} {}", text(&package["name"]), text(&package["version"]));
        let licence = package["license"].as_str().unwrap_or("none");
        let only_tests = !shipped.contains(text(&package["id"]));
        let fine =
            |name: &str| LICENCES.contains(&name) || only_tests && TEST_LICENCES.contains(&name);
        if !permitted(licence, &fine) {
            let right = LICENCES.join(", ");
            found.push(format!("{id}: its licence is {licence}; right would be one of {right}"));
        }
    }
    found
}

/// Every package cargo knows, ours (without a source) and others'.
fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    list(&metadata["packages"])
}

/// The ids of all packages that are part of what we ship: not those of tests and tools alone.
fn shipped(metadata: &Value) -> BTreeSet<&str> {
    let ours = packages(metadata).filter(|package| package["source"].is_null());
    let mut next: Vec<&str> = ours
        .filter(|package| !TOOLS.contains(&text(&package["name"])))
        .map(|package| text(&package["id"]))
        .collect();
    let mut shipped = BTreeSet::new();
    while let Some(id) = next.pop() {
        if !shipped.insert(id) {
            continue;
        }
        for node in list(&metadata["resolve"]["nodes"]).filter(|node| node["id"] == id) {
            let uses = list(&node["deps"])
                .filter(|dep| list(&dep["dep_kinds"]).any(|kind| kind["kind"] != "dev"));
            next.extend(uses.map(|dep| text(&dep["pkg"])));
        }
    }
    shipped
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Whether a licence expression leaves a choice in which every licence is `fine`. An exception (`WITH`)
/// only adds to what its licence permits.
fn permitted(expression: &str, fine: &impl Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    any_of(&mut words.as_slice(), fine)
}

/// `all_of OR all_of …`
fn any_of(words: &mut &[&str], fine: &impl Fn(&str) -> bool) -> bool {
    let mut permitted = all_of(words, fine);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        permitted |= all_of(words, fine);
    }
    permitted
}

/// `licence AND ( any_of ) AND licence WITH exception …`
fn all_of(words: &mut &[&str], fine: &impl Fn(&str) -> bool) -> bool {
    let mut permitted = true;
    while let [word, rest @ ..] = *words
        && !["OR", ")"].contains(word)
    {
        *words = rest;
        match *word {
            "(" => {
                permitted &= any_of(words, fine);
                *words = words.get(1..).unwrap_or_default();
            }
            "AND" => {}
            "WITH" => *words = rest.get(1..).unwrap_or_default(),
            licence => permitted &= fine(licence),
        }
    }
    permitted
}

/// The floors, as ARCHITECTURE.md draws them.
const FLOORS: [(&str, u8); 7] = [
    ("seawall-core", 0),
    ("seawall", 1),
    ("seawall-tower", 2),
    ("seawall-admin", 2),
    ("seawall-store", 3),
    ("seawall-gateway", 4),
    ("seawall-cli", 5),
];

/// What stands beside the floors.
const TOOLS: [&str; 2] = ["seawall-sim", "xtask"];

/// Licences that ask for no more than their notice.
const LICENCES: [&str; 10] = [
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    "Unicode-3.0",
];

/// Further ones for what is never shipped.
const TEST_LICENCES: [&str; 1] = ["MPL-2.0"];

#[cfg(test)]
mod samples {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_floor_uses_floors_below() {
        let uses =
            |name: &str, kind: Option<&str>| json!({"name": name, "kind": kind, "path": "p"});
        let metadata = json!({"packages": [
            {"name": "seawall", "dependencies": [
                uses("seawall-core", None), uses("seawall-sim", Some("dev")), uses("seawall-gateway", Some("dev")),
                {"name": "tokio", "kind": null}
            ]},
            {"name": "seawall-admin", "dependencies": [uses("seawall-tower", None), uses("seawall-sim", None)]},
            {"name": "seawall-sim", "dependencies": [uses("seawall-cli", None)]},
            {"name": "seawall-new", "dependencies": []},
            {"name": "tokio", "source": "registry", "dependencies": []}
        ]});
        let expected = [
            "seawall: uses seawall-gateway, which is not below it; use floors below 1",
            "seawall-admin: uses seawall-tower, which is not below it; use floors below 2",
            "seawall-admin: uses seawall-sim, which is not below it; use floors below 2",
            "seawall-new: no floor is known for it; add it to FLOORS",
        ];
        assert_eq!(floors(&metadata), expected);
    }

    #[test]
    fn the_core_stands_on_nothing() {
        let metadata = json!({"packages": [{"name": "seawall-core", "dependencies": [
            {"name": "proptest", "kind": "dev"}, {"name": "libm", "kind": null}
        ]}]});
        let expected = "seawall-core: depends on libm; the core stands on nothing, tests apart";
        assert_eq!(bare_core(&metadata), [expected]);
    }

    #[test]
    fn licences_ask_for_no_more_than_their_notice() {
        let package = |id: &str, licence: Option<&str>| json!({"id": id, "name": id, "version": "1.0.0", "license": licence, "source": "registry"});
        let uses = |id: &str, kind: Option<&str>| json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [
                {"id": "seawall", "name": "seawall", "version": "0.1.0", "license": "MIT"},
                package("shipped", Some("MPL-2.0")), package("tested", Some("MPL-2.0")), package("bare", None)
            ],
            "resolve": {"nodes": [{"id": "seawall", "deps": [uses("shipped", None), uses("tested", Some("dev"))]}]}
        });
        let right = format!("right would be one of {}", LICENCES.join(", "));
        let expected = [
            format!("shipped 1.0.0: its licence is MPL-2.0; {right}"),
            format!("bare 1.0.0: its licence is none; {right}"),
        ];
        assert_eq!(licences(&metadata), expected);
    }

    #[test]
    fn a_licence_expression_needs_one_good_choice() {
        let fine = |name: &str| ["MIT", "ISC", "Apache-2.0"].contains(&name);
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
            ("(GPL-3.0 OR MIT) AND ISC", true),
            ("ISC AND (GPL-3.0) OR MIT", true),
            ("GPL-3.0 AND (MIT OR ISC)", false),
            ("GPL-3.0 AND (MIT) OR GPL-2.0", false),
        ] {
            assert_eq!(permitted(expression, &fine), expected, "{expression}");
        }
    }
}
