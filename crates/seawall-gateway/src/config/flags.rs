//! A complete gateway from flags alone: every request to the given endpoints, under the presets.

use std::{error::Error, fmt, net::SocketAddr, time::Duration};

use seawall::config::{Origin, Origins};

use super::{Config, EndpointConfig, EndpointError, preset};
use crate::listen::Limits;

impl Config {
    /// One upstream and one route, both called `default`, for all requests.
    ///
    /// # Errors
    ///
    /// The first flag that makes no sense.
    pub fn proxy(
        to: &[impl AsRef<str>],
        listen: SocketAddr,
        admin: Option<SocketAddr>,
    ) -> Result<Self, FlagError> {
        let mut endpoints: Vec<EndpointConfig> = Vec::new();
        for url in to {
            let url = url.as_ref();
            let endpoint = EndpointConfig::from_url(url)
                .map_err(|error| FlagError::Endpoint { url: url.to_owned(), error })?;
            if endpoints.contains(&endpoint) {
                return Err(FlagError::Twice { url: url.to_owned() });
            }
            endpoints.push(endpoint);
        }
        if endpoints.is_empty() {
            return Err(FlagError::NoEndpoint);
        }
        if admin == Some(listen) && listen.port() != 0 {
            return Err(FlagError::SameAddress { address: listen });
        }
        let mut origins = Origins::default();
        origins.note("listen", Origin::Flag { name: "--listen" });
        if admin.is_some() {
            origins.note("admin.listen", Origin::Flag { name: "--admin" });
        }
        origins.note("upstream.default.endpoints", Origin::Flag { name: "--to" });
        Ok(Self {
            listen,
            admin,
            limits: Limits::default(),
            shutdown_delay: Duration::ZERO,
            upstreams: vec![preset::upstream("default".to_owned(), endpoints)],
            routes: vec![preset::route("default".to_owned(), 0)],
            origins,
        })
    }
}

/// A flag that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlagError {
    /// Nowhere to send requests.
    NoEndpoint,
    /// An endpoint that is none.
    Endpoint {
        /// What was given.
        url: String,
        /// What is wrong with it.
        error: EndpointError,
    },
    /// An endpoint given before.
    Twice {
        /// What was given.
        url: String,
    },
    /// One address for clients and operators.
    SameAddress {
        /// That address.
        address: SocketAddr,
    },
}

impl fmt::Display for FlagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str("no --to, expected such as --to http://10.0.0.1:8080"),
            Self::Endpoint { url, error } => write!(f, "--to {url}: {error}"),
            Self::Twice { url } => write!(f, "--to {url}: this endpoint is given twice"),
            Self::SameAddress { address } => {
                write!(f, "--admin {address}: expected another address than --listen")
            }
        }
    }
}

impl Error for FlagError {}
