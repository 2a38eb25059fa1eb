//! `cargo xtask mutants --planted`: every kept promise is broken once, and its test has to notice.
//!
//! ```text
//!   docs/promises.md ─▶ a copy of the tree, each defect behind a switch ─▶ built once
//!     ─▶ each named test:  all switches off ─▶ must pass
//!                          its own one on   ─▶ must fail
//! ```
//!
//! A switch is an environment variable read once by each process, so one build serves all defects: building
//! each of them would take longer than all the tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    binaries::{self, Binary, Ended, run_within},
    promises::{Defect, plant, read},
    step::{Step, root, scratch, tracked},
};

/// Whether every planted defect was noticed.
pub(crate) fn run() -> bool {
    let begun = Instant::now();
    match prove() {
        Ok(rows) => {
            let noticed = |row: &&Row<'_>| matches!(row.verdict, Verdict::Noticed | Verdict::Hung);
            let noticed = rows.iter().filter(noticed).count();
            rows.iter().for_each(|row| println!("{row}"));
            let seconds = begun.elapsed().as_secs();
            println!("\n{noticed} of {} planted defects noticed in {seconds} s", rows.len());
            noticed == rows.len()
        }
        Err(wrong) => {
            wrong.iter().for_each(|line| eprintln!("{PAGE}: {line}"));
            false
        }
    }
}

/// What came of one defect.
struct Row<'d> {
    defect: &'d Defect,
    verdict: Verdict,
    took: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Noticed,
    /// The test passes although the promise is broken.
    Missed,
    /// The test fails, or does not end, although nothing is broken.
    Red,
    /// With the defect the test does not end, which is noticed too; one that it can tell is faster.
    Hung,
    /// No binary has such a test.
    NoTest,
}

impl std::fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = match self.verdict {
            Verdict::Noticed => "noticed",
            Verdict::Missed => "NOT NOTICED",
            Verdict::Red => "RED WITHOUT IT",
            Verdict::Hung => "noticed, hung",
            Verdict::NoTest => "NO SUCH TEST",
        };
        let seconds = self.took.as_secs_f64();
        let Defect { promise, test, .. } = self.defect;
        write!(f, "{promise:5} {verdict:14} {seconds:5.1} s  {test}")
    }
}

fn prove() -> Result<Vec<Row<'static>>, Vec<String>> {
    let page = fs::read_to_string(root().join(PAGE)).map_err(|error| vec![error.to_string()])?;
    // The program ends with this command, and threads need them to its end.
    let defects: &'static [Defect] = read(&page)?.leak();
    let copy = scratch().join("planted");
    let texts = planted_files(defects)?;
    write_tree(&copy, &texts).map_err(|error| vec![format!("cannot be copied: {error}")])?;

    let packages: BTreeSet<String> = defects.iter().map(|defect| split(&defect.test).0).collect();
    let step = Step::cargo("test --locked").env("RUSTFLAGS", "--allow warnings").args(
        ["--manifest-path".to_owned(), copy.join("Cargo.toml").to_string_lossy().into_owned()]
            .into_iter()
            .chain([
                "--target-dir".to_owned(),
                scratch().join("planted-target").to_string_lossy().into_owned(),
            ])
            .chain(packages.into_iter().flat_map(|package| ["--package".to_owned(), package]))
            .collect(),
    );
    let binaries = binaries::build(step).ok_or_else(|| vec!["does not compile".to_owned()])?;
    let homes: BTreeMap<(String, String), &Binary> = binaries
        .iter()
        .flat_map(|binary| {
            binary.tests().into_iter().map(move |test| ((binary.package.clone(), test), binary))
        })
        .collect();
    Ok(judge_all(defects, &homes))
}

/// Judges all of them, as many at once as there are processors.
fn judge_all(
    defects: &'static [Defect],
    homes: &BTreeMap<(String, String), &Binary>,
) -> Vec<Row<'static>> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(defect) = defects.get(at) else { return };
                    let begun = Instant::now();
                    let home = homes.get(&split(&defect.test)).copied();
                    let verdict = home.map_or(Verdict::NoTest, |home| judge(defect, at + 1, home));
                    let row = Row { defect, verdict, took: begun.elapsed() };
                    rows.lock().unwrap_or_else(|held| held.into_inner()).insert(at, row);
                }
            });
        }
    });
    rows.into_inner().unwrap_or_else(|held| held.into_inner()).into_values().collect()
}

fn judge(defect: &Defect, number: usize, home: &Binary) -> Verdict {
    let run = |switch: usize| {
        let mut command = home.command();
        command.args(["--exact", &split(&defect.test).1]);
        // A case that fails is enough; nobody reads the smallest one.
        command.env(SWITCH, switch.to_string()).env("PROPTEST_MAX_SHRINK_ITERS", "0");
        run_within(LIMIT, command, [Stdio::null(), Stdio::null()])
    };
    match run(OFF) {
        Ended::Failed | Ended::Late => Verdict::Red,
        Ended::Passed => match run(number) {
            Ended::Passed => Verdict::Missed,
            Ended::Failed => Verdict::Noticed,
            Ended::Late => Verdict::Hung,
        },
    }
}

/// Package and name of a test, from its path.
fn split(test: &str) -> (String, String) {
    let (package, name) = test.split_once("::").unwrap_or((test, ""));
    (package.replace('_', "-"), name.to_owned())
}

/// The files that differ from those of the tree, with their texts.
fn planted_files(defects: &[Defect]) -> Result<BTreeMap<PathBuf, String>, Vec<String>> {
    let mut texts = BTreeMap::new();
    let mut wrong = Vec::new();
    for file in defects.iter().map(|defect| &defect.file).collect::<BTreeSet<_>>() {
        let own = defects.iter().enumerate().filter(|(_, defect)| defect.file == *file);
        let own: Vec<_> = own.map(|(at, defect)| (at + 1, defect)).collect();
        let text = fs::read_to_string(root().join(file));
        match text.map_err(|error| vec![format!("{file}: {error}")]) {
            Ok(text) => match plant(&text, &own) {
                Ok(planted) => drop(texts.insert(PathBuf::from(file), planted)),
                Err(found) => wrong.extend(found),
            },
            Err(found) => wrong.extend(found),
        }
    }
    let roots: BTreeSet<PathBuf> = texts.keys().filter_map(|file| crate_root(file)).collect();
    for file in roots {
        let text = match texts.get(&file) {
            Some(text) => Ok(text.clone()),
            None => fs::read_to_string(root().join(&file)),
        };
        match text {
            Ok(text) => drop(texts.insert(file, text + SWITCHBOARD)),
            Err(error) => wrong.push(format!("{}: {error}", file.display())),
        }
    }
    if wrong.is_empty() { Ok(texts) } else { Err(wrong) }
}

/// `crates/name/src/lib.rs`, whatever the file in that crate.
fn crate_root(file: &Path) -> Option<PathBuf> {
    let krate: PathBuf = file.components().take(2).collect();
    file.starts_with("crates").then(|| krate.join("src/lib.rs"))
}

/// Makes `copy` the tree with these texts. What is the same already is not written, so that cargo builds
/// anew only what changed.
fn write_tree(copy: &Path, texts: &BTreeMap<PathBuf, String>) -> io::Result<()> {
    let files = tracked()?;
    for file in &files {
        let text = match texts.get(file) {
            Some(text) => text.clone().into_bytes(),
            None => fs::read(root().join(file))?,
        };
        let to = copy.join(file);
        if fs::read(&to).ok().as_ref() != Some(&text) {
            fs::create_dir_all(to.parent().unwrap_or(copy))?;
            fs::write(&to, text)?;
        }
    }
    let kept: BTreeSet<PathBuf> = files.iter().map(|file| copy.join(file)).collect();
    sweep(copy, &kept)
}

/// Removes what an earlier copy has left.
fn sweep(folder: &Path, kept: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sweep(&path, kept)?;
        } else if !kept.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

const PAGE: &str = "docs/promises.md";

/// A hundred times what most named tests take; ten times what the longest does, which a loaded machine makes three.
const LIMIT: Duration = Duration::from_secs(30);

/// The variable that says which defect is on, and what it says when none is.
const SWITCH: &str = "SEAWALL_PLANTED";
const OFF: usize = 0;

/// What the root of a crate with defects gets at its end. The core has no `std` but in this copy.
const SWITCHBOARD: &str = r#"
extern crate std as planted_std;

#[doc(hidden)]
pub fn planted(number: usize) -> bool {
    static ON: planted_std::sync::OnceLock<usize> = planted_std::sync::OnceLock::new();
    let on = || planted_std::env::var("SEAWALL_PLANTED").ok().and_then(|on| on.parse().ok()).unwrap_or(0);
    *ON.get_or_init(on) == number
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_test_names_its_package() {
        assert_eq!(split("seawall_core::a::b"), ("seawall-core".to_owned(), "a::b".to_owned()));
    }

    #[test]
    fn the_switch_stands_in_the_root_of_the_crate() {
        let root = crate_root(Path::new("crates/a/src/b/c.rs"));
        assert_eq!(root.as_deref(), Some(Path::new("crates/a/src/lib.rs")));
        assert_eq!(crate_root(Path::new("xtask/src/main.rs")), None);
        assert!(SWITCHBOARD.contains(SWITCH));
    }
}
