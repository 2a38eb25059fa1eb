//! The gateway as a whole: bind, serve, drain.
//!
//! ```text
//!   bind      every address, or an error that names it
//!   run       serve until told to stop
//!   drain     /readyz says 503 ▸ shutdown_delay ▸ no more accepted ▸ in-flight ends ▸ the admin address last
//! ```

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use seawall::{Invalid, Observed, Registry};
use seawall_admin::Admin;
use tokio::sync::oneshot;

use crate::{
    config::Config,
    headers::Passage,
    listen::{Limits, Server},
    pipeline,
    route::Table,
};

/// A gateway whose addresses are bound.
#[derive(Debug)]
#[must_use = "nothing is served before `run`"]
pub struct Gateway {
    inner: Arc<Inner>,
    server: Server,
    admin: Option<Server>,
    shutdown_delay: std::time::Duration,
}

/// What requests share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) registry: Registry,
    pub(crate) passage: Passage,
    table: RwLock<Arc<Table>>,
}

impl Inner {
    /// The routes as they stand: read once per request.
    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gateway {
    /// Builds the machines and binds the addresses. `seed` fixes all random numbers; `None` takes one from the system.
    ///
    /// # Errors
    /// A setting that makes no sense, or an address that cannot be had.
    pub async fn bind(config: &Config, seed: Option<u64>) -> Result<Self, StartError> {
        let registry = Registry::new();
        let (table, upstreams) =
            Table::new(config, &registry, seed).map_err(StartError::Invalid)?;
        for upstream in upstreams {
            registry.show(upstream as Arc<dyn Observed>);
        }
        for limit in table.limits() {
            registry.show(limit as Arc<dyn Observed>);
        }
        let server = listen(config.listen, config.limits).await?;
        let admin = match config.admin {
            Some(address) => Some(listen(address, Limits::default()).await?),
            None => None,
        };
        let passage = Passage::new(std::hash::BuildHasher::hash_one(
            &std::hash::RandomState::new(),
            std::process::id(),
        ));
        let inner = Arc::new(Inner { registry, passage, table: RwLock::new(Arc::new(table)) });
        Ok(Self { inner, server, admin, shutdown_delay: config.shutdown_delay })
    }

    /// The address requests come to.
    ///
    /// # Errors
    /// The system's, which has none in practice.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.server.local_addr()
    }

    /// The admin address, if there is one.
    ///
    /// # Errors
    /// The system's, which has none in practice.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(Server::local_addr).transpose()
    }

    /// Its statistics and events.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// Serves until `stop` resolves, then drains. Dropping the future ends everything at once.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let Self { inner, server, admin, shutdown_delay } = self;
        let registry = inner.registry.clone();
        let stop = async {
            stop.await;
            registry.set_ready(false);
            tokio::time::sleep(shutdown_delay).await;
        };
        let service = move |request, peer| pipeline::answer(inner.clone(), request, peer);
        let Some(admin) = admin else { return server.run(service, stop).await };

        let door = Admin::new(registry.clone());
        let (drained, last) = oneshot::channel::<()>();
        let main = async {
            server.run(service, stop).await;
            drop(drained);
        };
        let beside =
            admin.run(move |request, _peer| std::future::ready(door.answer(&request)), async {
                // Dropped, never sent: the gateway is drained.
                let _ = last.await;
            });
        tokio::join!(main, beside);
    }
}

async fn listen(address: SocketAddr, limits: Limits) -> Result<Server, StartError> {
    Server::bind(address, limits).await.map_err(|source| StartError::Listen { address, source })
}

/// Why a gateway does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting makes no sense.
    Invalid(Invalid),
    /// An address cannot be had.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::Listen { source, .. } => Some(source),
        }
    }
}
