//! What was written: each table read onto its preset, with references still as text.

mod route;
mod upstream;

use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive, time::Duration};

use seawall::config::{MainKey, Table, Value};

use route::routes;
use upstream::{UPSTREAM, upstream};

use super::{RouteConfig, UpstreamConfig, preset};
use crate::listen::Limits;

/// A whole file.
#[derive(Debug)]
pub(super) struct Raw<'r> {
    pub(super) listen: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    pub(super) limits: Limits,
    pub(super) shutdown_delay: Duration,
    pub(super) upstreams: Vec<UpstreamConfig>,
    pub(super) routes: Vec<RawRoute<'r>>,
}

/// A route that does not know its upstream yet.
#[derive(Debug)]
pub(super) struct RawRoute<'r> {
    /// All but its upstream.
    pub(super) config: RouteConfig,
    /// Where its name is written.
    pub(super) name: Option<Value<'r>>,
    /// The name of its upstream.
    pub(super) upstream: Option<Value<'r>>,
}

impl<'r> Raw<'r> {
    pub(super) fn read(mut root: Table<'r>) -> Self {
        let mut listen = preset::LISTEN;
        root.set("listen", address, &mut listen);
        let admin = root.take("admin").and_then(|value| admin(&value, listen));
        let mut limits = Limits::default();
        let mut shutdown_delay = Duration::ZERO;
        let connections = |value: &Value<'_>| number(value, 1..=CONNECTIONS_MAX);
        let head_bytes = |value: &Value<'_>| {
            let size = value.size()?;
            let right = "\"8KiB\" to \"1MiB\"";
            within(value, size, &HEAD_BYTES, right)
        };
        root.set("max_connections", connections, &mut limits.connections_max);
        root.set("header_timeout", some_time, &mut limits.head_max);
        root.set("max_header_bytes", head_bytes, &mut limits.head_bytes_max);
        root.set("max_headers", |value| number(value, HEADERS), &mut limits.fields_max);
        root.set("drain_timeout", Value::duration, &mut limits.drain);
        root.set("shutdown_delay", Value::duration, &mut shutdown_delay);
        let upstreams = root.named("upstream", Some(&UPSTREAM));
        let upstreams: Vec<_> =
            upstreams.into_iter().map(|(name, table)| upstream(name, table)).collect();
        let routes = root.take("route").map(|value| routes(&value, &upstreams)).unwrap_or_default();
        if routes.is_empty() && root.peek("route").is_none_or(|value| value.is_list()) {
            root.missing("no [[route]]: every request would be answered with 404");
        }
        root.end();
        Self { listen, admin, limits, shutdown_delay, upstreams, routes }
    }
}

fn admin(value: &Value<'_>, listen: SocketAddr) -> Option<SocketAddr> {
    let mut table = value.table_with(&ADMIN)?;
    let written = table.take("listen");
    if written.is_none() {
        table.missing("admin.listen is missing, such as listen = \"127.0.0.1:9090\"");
    }
    table.later(&["token_env"]);
    table.end();
    let written = written?;
    let admin = address(&written)?;
    if admin == listen && admin.port() != 0 {
        return written.expected("another address than listen");
    }
    Some(admin)
}

fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let address = value.text()?.parse().ok();
    address.or_else(|| value.expected("an address with a port such as \"127.0.0.1:8080\""))
}

/// A time that is not zero.
fn some_time(value: &Value<'_>) -> Option<Duration> {
    let time = value.duration()?;
    if time.is_zero() { value.expected("more than 0s") } else { Some(time) }
}

pub(super) fn number(value: &Value<'_>, range: RangeInclusive<usize>) -> Option<usize> {
    let right = format_args!("{} to {}", range.start(), range.end());
    within(value, usize::try_from(value.count()?).ok()?, &range, right)
}

fn within<T: PartialOrd>(
    value: &Value<'_>,
    read: T,
    range: &RangeInclusive<T>,
    right: impl Display,
) -> Option<T> {
    if range.contains(&read) { Some(read) } else { value.expected(right) }
}

const ADMIN: MainKey =
    MainKey::new("listen", "\"127.0.0.1:9090\"", |value: &Value<'_>| address(value).is_some());

/// As many as a kernel gives descriptors to a process at most by default.
const CONNECTIONS_MAX: usize = 1 << 20;

/// From what browsers send with their cookies to what no server takes.
const HEAD_BYTES: RangeInclusive<usize> = 8 << 10..=1 << 20;

/// More fields than this are an attack, and each costs memory before the request is known.
const HEADERS: RangeInclusive<usize> = 1..=1_000;
