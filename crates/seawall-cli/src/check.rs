//! `seawall check`: every error in a configuration at once, then what follows from it.

use std::process::ExitCode;

use crate::{flags::Check, serve::read};

pub(crate) fn check(Check { file }: &Check) -> ExitCode {
    let config = match read(file) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    println!(
        "{}: {} to {}",
        file.display(),
        count(config.routes.len(), "route"),
        count(config.upstreams.len(), "upstream"),
    );
    for consequence in config.consequences() {
        println!("  {consequence}");
    }
    ExitCode::SUCCESS
}
