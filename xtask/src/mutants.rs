//! `cargo xtask mutants --file X`: one file broken in every way `cargo mutants` knows, against the tests of its
//! crate.
//!
//! For a piece of work, not for every change: each mutant is built anew. What has been decided is not decided
//! again, so it can be stopped and started. The score is caught / (caught + missed); those that hang and those
//! that do not compile say nothing about the tests and are told apart.

use std::{fs, path::Path};

use crate::step::{Step, run_all, scratch};

/// Whether every mutant was caught.
pub(crate) fn run(file: &Path) -> bool {
    if Step::cargo("mutants --version").read().is_none() {
        eprintln!("not run: there is no cargo-mutants; right: cargo install cargo-mutants");
        return false;
    }
    let Some((package, name)) = parts(file) else {
        eprintln!("{}: right: a file under crates/NAME/src", file.display());
        return false;
    };
    // A folder for each file, since what was decided about another one is no reason to skip this one.
    let output = scratch().join("mutants").join(&name);
    if let Err(error) = fs::create_dir_all(&output) {
        eprintln!("{}: {error}", output.display());
        return false;
    }
    let said = ["--package", &package, "--file", &file.to_string_lossy(), "--output"];
    let step = Step::cargo("mutants --iterate --no-shuffle --minimum-test-timeout 60")
        .args(said.map(str::to_owned).to_vec())
        .args(vec![output.to_string_lossy().into_owned()])
        .args(tests(&package, &name))
        // One in four of the usual cases: what survives so many survives the others too, almost always.
        .env("PROPTEST_CASES", "64");
    run_all(&[step]);
    let [caught, missed, hung, unviable] = tally(&output);
    println!(
        "{}: {caught} of {} caught; {hung} hung, {unviable} did not compile",
        file.display(),
        caught + missed
    );
    caught > 0 && missed == 0
}

/// The package of a file, and a name for the file that can be a folder's.
fn parts(file: &Path) -> Option<(String, String)> {
    let path = file.to_str()?;
    let (package, inside) = path.strip_prefix("crates/")?.split_once("/src/")?;
    Some((package.to_owned(), format!("{package}-{}", inside.replace('/', "-"))))
}

/// Which tests judge it. A machine of the core has its own beside it; elsewhere they stand in `tests/it`, and all
/// are asked.
fn tests(package: &str, name: &str) -> Vec<String> {
    let inside = name.strip_prefix(package).unwrap_or(name).trim_start_matches('-');
    let module = inside.split(['-', '.']).next().unwrap_or_default();
    if package == "seawall-core" && module != "lib" {
        ["--", "--lib", &format!("{module}::")].map(str::to_owned).to_vec()
    } else {
        Vec::new()
    }
}

/// How many were caught, missed, hung and did not compile, in this run and before. `cargo mutants` keeps those of
/// before that it need not try again in one list, so which of them did not compile is kept beside it.
fn tally(output: &Path) -> [usize; 4] {
    let list = |name: &str| lines(&output.join("mutants.out").join(name));
    let known = output.join("unviable.txt");
    let mut unviable = lines(&known);
    unviable.extend(list("unviable.txt"));
    let text: String = unviable.iter().map(|mutant| format!("{mutant}\n")).collect();
    if let Err(error) = fs::write(&known, text) {
        eprintln!("{}: {error}", known.display());
    }
    let tried = [list("caught.txt"), list("previously_caught.txt")].concat();
    let caught = tried.iter().filter(|mutant| !unviable.contains(mutant)).count();
    [caught, list("missed.txt").len(), list("timeout.txt").len(), unviable.len()]
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).map_or(Vec::new(), |text| text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_package_and_a_folder() {
        let expected = Some(("a".to_owned(), "a-b-c.rs".to_owned()));
        assert_eq!(parts(Path::new("crates/a/src/b/c.rs")), expected);
        assert_eq!(parts(Path::new("xtask/src/main.rs")), None);
    }

    #[test]
    fn a_machine_of_the_core_is_judged_by_its_own_tests() {
        let own = tests("seawall-core", "seawall-core-circuit_breaker-ready.rs");
        assert_eq!(own, ["--", "--lib", "circuit_breaker::"]);
        assert_eq!(tests("seawall-core", "seawall-core-draw.rs"), ["--", "--lib", "draw::"]);
        assert_eq!(tests("seawall", "seawall-run.rs"), [""; 0]);
    }
}
