//! The program under test, as a process.

use std::{
    fs,
    net::SocketAddr,
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use super::within;

/// What a program that has ended left.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end.
pub(crate) async fn ended(args: &[&str]) -> Ended {
    ended_into(args, Stdio::piped()).await
}

/// The same, with its standard output going elsewhere.
pub(crate) async fn ended_into(args: &[&str], out: impl Into<Stdio>) -> Ended {
    let child = command(args).stdout(out).spawn().unwrap();
    let output = within("the program ends", child.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Writes a file where the program runs, and gives its name. Each test takes a name of its own.
pub(crate) fn file(name: &'static str, text: &str) -> &'static str {
    fs::write(std::path::Path::new(DIRECTORY).join(name), text).unwrap();
    name
}

/// A program that runs. Dropped, it is killed.
pub(crate) struct Seawall {
    child: Child,
    err: Option<Lines<BufReader<ChildStderr>>>,
    heard: Vec<String>,
}

impl Seawall {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = command(args).stdout(Stdio::null()).spawn().unwrap();
        let err = child.stderr.take().map(|err| BufReader::new(err).lines());
        Self { child, err, heard: Vec::new() }
    }

    /// The next line it says that contains `wanted`.
    pub(crate) async fn hear(&mut self, wanted: &str) -> String {
        while let Some(line) = self.next_line(wanted).await {
            if line.contains(wanted) {
                return line;
            }
        }
        panic!("ended without saying {wanted:?}: {:#?}", self.heard);
    }

    /// The address in the next line it says about `what`.
    pub(crate) async fn address(&mut self, what: &str) -> SocketAddr {
        let line = self.hear(what).await;
        line.split_once("http://").unwrap().1.parse().unwrap()
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let kill = std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(kill.success());
    }

    /// Stops listening to what it says.
    pub(crate) fn ignore(&mut self) {
        self.err = None;
    }

    /// Its exit code, and every line it said, once it has ended.
    pub(crate) async fn ended(mut self) -> (Option<i32>, Vec<String>) {
        while self.next_line("its end").await.is_some() {}
        let status: ExitStatus = within("the program ends", self.child.wait()).await.unwrap();
        (status.code(), self.heard)
    }

    async fn next_line(&mut self, why: &str) -> Option<String> {
        let line = within(why, self.err.as_mut()?.next_line()).await.unwrap()?;
        self.heard.push(line.clone());
        Some(line)
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command
        .args(args)
        .current_dir(DIRECTORY)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Where the program runs.
const DIRECTORY: &str = env!("CARGO_TARGET_TMPDIR");
