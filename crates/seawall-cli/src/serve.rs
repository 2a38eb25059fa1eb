//! `seawall serve`: the gateway from a configuration file.

use std::{fs, path::Path, process::ExitCode};

use seawall_gateway::Config;

use crate::{WRONG, fail, flags::Serve, say, serving};

pub(crate) fn serve(Serve { config }: &Serve) -> ExitCode {
    match read(config) {
        Ok(config) => serving::serve(&config),
        Err(code) => code,
    }
}

/// The configuration in a file; what is wrong with it is said on standard error.
pub(crate) fn read(file: &Path) -> Result<Config, ExitCode> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file)
        .map_err(|error| fail(WRONG, format_args!("cannot read {name}: {error}")))?;
    Config::from_toml(&text, &name).map_err(|problems| {
        say(problems);
        ExitCode::from(WRONG)
    })
}
