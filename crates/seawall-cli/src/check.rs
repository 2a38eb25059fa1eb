//! `seawall check`: every error in a configuration at once, then what follows from it.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::{NO, fail, flags::Check, serve::read};

pub(crate) fn check(Check { file }: &Check) -> ExitCode {
    let config = match read(file) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut told = format!(
        "{}: {} to {}\n",
        file.display(),
        count(config.routes.len(), "route"),
        count(config.upstreams.len(), "upstream"),
    );
    for consequence in config.consequences() {
        told += &format!("  {consequence}\n");
    }
    match io::stdout().write_all(told.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(NO, format_args!("cannot tell what follows: {error}")),
    }
}
