//! One command line: printed, then run from the root of the repository.

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A command line of cargo's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// A variable to set for it alone.
    env: Option<(&'static str, &'static str)>,
    args: Vec<String>,
}

impl Step {
    /// `cargo` with the words of `line`.
    pub(crate) fn cargo(line: &str) -> Self {
        Self { env: None, args: line.split_whitespace().map(str::to_owned).collect() }
    }

    /// The same with more arguments, which may contain spaces.
    pub(crate) fn args(mut self, more: Vec<String>) -> Self {
        self.args.extend(more);
        self
    }

    /// The same under an environment variable.
    pub(crate) const fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env = Some((name, value));
        self
    }

    /// What it prints, if it succeeds.
    pub(crate) fn read(&self) -> Option<String> {
        let output = self.command().stderr(Stdio::inherit()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Prints it, runs it, and tells whether it succeeded.
    fn run(&self) -> bool {
        eprintln!("\n$ {self}");
        match self.command().status() {
            Ok(status) => status.success(),
            Err(error) => {
                eprintln!("cargo could not be started: {error}");
                false
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(&self.args).envs(self.env).current_dir(root());
        command
    }
}

/// As it would be typed in a shell.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, value)) = self.env {
            write!(f, "{name}='{value}' ")?;
        }
        f.write_str("cargo")?;
        for arg in &self.args {
            let plain = !arg.is_empty() && !arg.contains(char::is_whitespace);
            if plain { write!(f, " {arg}")? } else { write!(f, " '{arg}'")? }
        }
        Ok(())
    }
}

/// Runs all steps, whatever their fate, lists those that failed, and tells whether there were none.
pub(crate) fn run_all(steps: &[Step]) -> bool {
    let failed: Vec<&Step> = steps.iter().filter(|step| !step.run()).collect();
    eprintln!("\n{} passed, {} failed", count(steps.len() - failed.len()), failed.len());
    for step in &failed {
        eprintln!("  failed: {step}");
    }
    failed.is_empty()
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where the proofs keep their copies and builds; beside all else that is built, so that git does not see it.
pub(crate) fn scratch() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target).join("xtask")
}

/// The files git tracks or would track, from the root of the repository.
pub(crate) fn tracked() -> io::Result<Vec<PathBuf>> {
    let listing = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let mut git = Command::new("git");
    let output = git.args(["-c", "safe.directory=*"]).args(listing).current_dir(root()).output()?;
    if !output.status.success() {
        return Err(io::Error::other("git does not list the files"));
    }
    let listed = String::from_utf8_lossy(&output.stdout);
    let files = listed.split_terminator('\0').map(PathBuf::from);
    // A file that is gone and not yet committed as gone is still listed.
    Ok(files.filter(|file| root().join(file).is_file()).collect())
}

fn count(steps: usize) -> String {
    if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_prints_as_it_would_be_typed() {
        let step = Step::cargo("run --").args(vec!["two words".to_owned(), String::new()]);
        assert_eq!(step.to_string(), "cargo run -- 'two words' ''");
        let step = Step::cargo("doc --no-deps").env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(step.to_string(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }
}
