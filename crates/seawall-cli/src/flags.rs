//! Every command and flag, in one table: clap makes the parser, the help and the errors from it.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::demo;

/// Failure engineering for services: survive what your dependencies do.
#[derive(Debug, Parser)]
#[command(name = "seawall", version, arg_required_else_help = true)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch a failing service being survived: real backends, real sockets, nothing to set up
    Demo(Demo),
    /// A gateway from flags alone, with safe defaults
    Proxy(Proxy),
    /// The gateway from a configuration file
    Serve(Serve),
    /// Check a configuration file: every error with its place, then what follows from the file
    Check(Check),
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Seconds per side, 19 to 3600: the run takes about twice as long
    #[arg(long, default_value_t = demo::SECONDS, value_parser = clap::value_parser!(u32).range(i64::from(demo::MIN_SECONDS)..=3_600))]
    pub(crate) seconds: u32,
    /// Fixes arrivals and service times [default: by the clock; printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Also writes the result as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Proxy {
    /// Where requests go, as http://host:port; again for every further endpoint
    #[arg(long, required = true, value_name = "URL")]
    pub(crate) to: Vec<String>,
    /// The address requests come to
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// An address for probes, statistics and metrics [default: none]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The configuration (TOML)
    pub(crate) file: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_table_is_sound() {
        Flags::command().debug_assert();
    }

    #[test]
    fn the_help_tells_how_long_a_run_can_be() {
        let mut flags = Flags::command();
        let help = flags.find_subcommand_mut("demo").unwrap().render_help().to_string();
        assert!(help.contains(&format!("{} to 3600", demo::MIN_SECONDS)), "{help}");
    }
}
