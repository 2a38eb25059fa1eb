//! `seawall proxy`: a gateway from flags alone.

use std::process::ExitCode;

use seawall_gateway::Config;

use crate::{WRONG, fail, flags::Proxy, serving};

pub(crate) fn proxy(Proxy { to, listen, admin }: &Proxy) -> ExitCode {
    match Config::proxy(to, *listen, *admin) {
        Ok(config) => serving::serve(&config),
        Err(error) => fail(WRONG, error),
    }
}
