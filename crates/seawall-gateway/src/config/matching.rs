//! Which requests a route is for.
//!
//! ```text
//!   host     "example.com"  that host, on any port     "*.example.com"  every host below it, not itself
//!   path     "/orders"      that path                  "/orders/*"      every path that starts "/orders/"
//!   methods  ["GET"]        any of these
//!   headers  { x = "1" }    one field of that value    { x = "*" }      at least one field, any value
//! ```
//!
//! All that is written must match; nothing written matches every request. The path is compared as it was
//! sent, without its query: what it means is the upstream's business.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use seawall::config::{MainKey, Table, Value};

use super::endpoint::is_host;

/// What a request must be like to take a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMatch {
    host: Option<Pattern>,
    path: Option<Pattern>,
    methods: Vec<Method>,
    /// `None` stands for any value.
    headers: Vec<(HeaderName, Option<HeaderValue>)>,
}

impl RouteMatch {
    /// Whether a request takes the route; `host` as the request names it, `path` without the query.
    #[must_use]
    pub fn matches(&self, method: &Method, host: &str, path: &str, headers: &HeaderMap) -> bool {
        let has = |(name, value): &(HeaderName, Option<HeaderValue>)| match value {
            Some(value) => headers.get_all(name).iter().any(|sent| sent == value),
            None => headers.contains_key(name),
        };
        self.path.as_ref().is_none_or(|pattern| pattern.path(path))
            && self.host.as_ref().is_none_or(|pattern| pattern.host(without_port(host)))
            && (self.methods.is_empty() || self.methods.contains(method))
            && self.headers.iter().all(has)
    }

    /// Whether every request that `other` matches is matched here too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let host = covers(self.host.as_ref(), other.host.as_ref(), Pattern::host);
        let path = covers(self.path.as_ref(), other.path.as_ref(), Pattern::path);
        let allows = |method| self.methods.contains(method);
        let methods = self.methods.is_empty()
            || !other.methods.is_empty() && other.methods.iter().all(allows);
        let asks = |(name, value): &(HeaderName, Option<HeaderValue>)| {
            let same = |(sent, of): &(HeaderName, Option<HeaderValue>)| {
                sent == name && (value.is_none() || of == value)
            };
            other.headers.iter().any(same)
        };
        host && path && methods && self.headers.iter().all(asks)
    }

    /// From the table `match` of a route.
    pub(super) fn read(mut table: Table<'_>) -> Self {
        let mut matches = Self::default();
        table.set("host", |value| host(value).map(Some), &mut matches.host);
        table.set("path", |value| path(value).map(Some), &mut matches.path);
        table.set("methods", methods, &mut matches.methods);
        table.set("headers", headers, &mut matches.headers);
        table.end();
        matches
    }
}

/// `GET, POST *.example.com/orders/* with x-tenant`
impl fmt::Display for RouteMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        if !methods.is_empty() {
            write!(f, "{} ", methods.join(", "))?;
        }
        match &self.host {
            Some(Pattern::Exact(host)) => f.write_str(host)?,
            Some(Pattern::Open(host)) => write!(f, "*{host}")?,
            None => f.write_str("*")?,
        }
        match &self.path {
            Some(Pattern::Exact(path)) => f.write_str(path)?,
            Some(Pattern::Open(path)) => write!(f, "{path}*")?,
            None => f.write_str("/*")?,
        }
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { Ok(()) } else { write!(f, " with {}", names.join(", ")) }
    }
}

/// All of a text, or its fixed end: the tail of a host (`.example.com`), the head of a path (`/orders/`).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Open(String),
}

impl Pattern {
    fn host(&self, host: &str) -> bool {
        match self {
            Self::Exact(own) => own.eq_ignore_ascii_case(host),
            Self::Open(tail) => {
                let head = host.len().checked_sub(tail.len()).filter(|head| *head > 0);
                head.is_some_and(|head| {
                    host.as_bytes()[head..].eq_ignore_ascii_case(tail.as_bytes())
                })
            }
        }
    }

    fn path(&self, path: &str) -> bool {
        match self {
            Self::Exact(own) => own == path,
            Self::Open(head) => path.starts_with(head.as_str()),
        }
    }
}

fn covers(
    own: Option<&Pattern>,
    other: Option<&Pattern>,
    matches: impl Fn(&Pattern, &str) -> bool,
) -> bool {
    match (own, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(Pattern::Exact(text))) => matches(own, text),
        (Some(Pattern::Exact(_)), Some(Pattern::Open(_))) => false,
        (Some(own @ Pattern::Open(fixed)), Some(Pattern::Open(text))) => {
            fixed == text || matches(own, text)
        }
    }
}

/// The host of `host:port`, without the dot that may end it.
fn without_port(authority: &str) -> &str {
    let end = if authority.starts_with('[') {
        authority.find(']').map(|end| end + 1)
    } else {
        authority.find(':')
    };
    let host = &authority[..end.unwrap_or(authority.len())];
    host.strip_suffix('.').unwrap_or(host)
}

fn host(value: &Value<'_>) -> Option<Pattern> {
    let text = value.text()?.to_ascii_lowercase();
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match text.strip_prefix('*') {
        Some(tail) if tail.strip_prefix('.').is_some_and(is_host) => {
            Some(Pattern::Open(tail.to_owned()))
        }
        None if is_host(&text) => Some(Pattern::Exact(text)),
        None if bracketed.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()) => {
            Some(Pattern::Exact(text))
        }
        _ => value.expected("a host such as \"example.com\" or \"*.example.com\", without a port"),
    }
}

fn path(value: &Value<'_>) -> Option<Pattern> {
    let text = value.text()?;
    let (fixed, open) = match text.strip_suffix('*') {
        Some(fixed) => (fixed, true),
        None => (text, false),
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'?' | b'#');
    if !fixed.starts_with('/') || open && !fixed.ends_with('/') || !fixed.bytes().all(plain) {
        return value.expected("a path such as \"/orders\", or \"/orders/*\" for all below it");
    }
    Some(if open { Pattern::Open(fixed.to_owned()) } else { Pattern::Exact(fixed.to_owned()) })
}

fn methods(value: &Value<'_>) -> Option<Vec<Method>> {
    let entries = value.list()?;
    if entries.is_empty() {
        return value.expected("at least one method, or nothing for all");
    }
    let method = |entry: &Value<'_>| {
        let text = entry.text()?;
        let method = Method::from_bytes(text.as_bytes()).ok();
        let method = method.filter(|_| !text.bytes().any(|byte| byte.is_ascii_lowercase()));
        method.or_else(|| entry.expected("a method in capitals such as \"GET\""))
    };
    // Every entry is looked at before the first that is wrong ends the list.
    let methods: Vec<_> = entries.iter().map(method).collect();
    methods.into_iter().collect()
}

fn headers(value: &Value<'_>) -> Option<Vec<(HeaderName, Option<HeaderValue>)>> {
    let header = |(name, value): (&str, Value<'_>)| {
        let Ok(name) = HeaderName::try_from(name) else {
            value.problem(format_args!("\"{name:.40}\" is no name of a header"));
            return None;
        };
        match value.text()? {
            "*" => Some((name, None)),
            text => match HeaderValue::try_from(text) {
                Ok(text) => Some((name, Some(text))),
                Err(_) => value.expected("what a header can carry, or \"*\" for any value"),
            },
        }
    };
    let headers: Vec<_> = value.table()?.fields().into_iter().map(header).collect();
    headers.into_iter().collect()
}

/// The main key of `match`.
pub(super) const MATCH: MainKey =
    MainKey::new("path", "\"/orders/*\"", |value: &Value<'_>| path(value).is_some());

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> RouteMatch {
        seawall::config::read(text, "f", RouteMatch::read).expect(text).0
    }

    fn matches(text: &str, request: (&str, &str, &str, &[(&str, &str)])) -> bool {
        let (method, host, path, fields) = request;
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        of(text).matches(&method.parse().unwrap(), host, path, &headers)
    }

    #[test]
    fn hosts() {
        for (pattern, host, yes) in [
            ("example.com", "example.com", true),
            ("Example.com", "EXAMPLE.com:8443", true),
            ("example.com", "example.com.", true),
            ("example.com", "a.example.com", false),
            ("example.com", "example.co", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "b.A.example.COM:80", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "aexample.com", false),
            ("*.example.com", "é.example.com", true),
            ("*.example.com", "\u{1F600}xample.com", false),
            ("10.0.0.1", "10.0.0.1:80", true),
            ("[::1]", "[::1]:80", true),
            ("[::1]", "[::1]", true),
            ("[::1]", "::1", false),
            ("a", "", false),
        ] {
            let request = ("GET", host, "/", [].as_slice());
            assert_eq!(matches(&format!("host = '{pattern}'"), request), yes, "{pattern} {host}");
        }
    }

    #[test]
    fn paths() {
        for (pattern, path, yes) in [
            ("/orders", "/orders", true),
            ("/orders", "/orders/", false),
            ("/orders", "/Orders", false),
            ("/orders/*", "/orders/1", true),
            ("/orders/*", "/orders/", true),
            ("/orders/*", "/orders", false),
            ("/orders/*", "/ordersx", false),
            ("/*", "/", true),
            ("/*", "*", false),
        ] {
            let request = ("GET", "a", path, [].as_slice());
            assert_eq!(matches(&format!("path = '{pattern}'"), request), yes, "{pattern} {path}");
        }
    }

    #[test]
    fn methods_and_headers_and_all_together() {
        assert!(matches("", ("PURGE", "", "*", &[])));
        assert!(matches("methods = ['GET', 'PUT']", ("PUT", "a", "/", &[])));
        assert!(!matches("methods = ['GET', 'PUT']", ("POST", "a", "/", &[])));
        assert!(matches("headers.x-a = '1'", ("GET", "a", "/", &[("X-A", "0"), ("x-a", "1")])));
        assert!(!matches("headers.x-a = '1'", ("GET", "a", "/", &[("x-a", "10")])));
        assert!(matches("headers.x-a = '*'", ("GET", "a", "/", &[("x-a", "")])));
        assert!(!matches("headers.x-a = '*'", ("GET", "a", "/", &[("x-b", "1")])));
        let all = "host = 'a'\npath = '/b'\nmethods = ['GET']\nheaders = { x = '*' }";
        assert!(matches(all, ("GET", "a:1", "/b", &[("x", "1")])));
        for other in [
            ("PUT", "a", "/b", [("x", "1")]),
            ("GET", "b", "/b", [("x", "1")]),
            ("GET", "a", "/c", [("x", "1")]),
            ("GET", "a", "/b", [("y", "1")]),
        ] {
            let (method, host, path, fields) = &other;
            assert!(!matches(all, (method, host, path, fields)), "{other:?}");
        }
    }

    #[test]
    fn what_covers_what() {
        for (own, other, yes) in [
            ("", "", true),
            ("", "path = '/a'", true),
            ("path = '/a'", "", false),
            ("path = '/a/*'", "path = '/a/b'", true),
            ("path = '/a/*'", "path = '/a/b/*'", true),
            ("path = '/a/*'", "path = '/a/*'", true),
            ("path = '/a/b/*'", "path = '/a/*'", false),
            ("path = '/a'", "path = '/*'", false),
            ("host = '*.b.c'", "host = 'a.b.c'", true),
            ("host = '*.b.c'", "host = '*.a.b.c'", true),
            ("host = '*.b.c'", "host = '*.b.c'", true),
            ("host = '*.b.c'", "host = 'b.c'", false),
            ("methods = ['GET', 'PUT']", "methods = ['GET']", true),
            ("methods = ['GET']", "", false),
            ("headers.x = '*'", "headers = { x = '1', y = '2' }", true),
            ("headers.x = '1'", "headers.x = '*'", false),
            ("headers.x = '1'", "headers.x = '1'", true),
        ] {
            assert_eq!(of(own).covers(&of(other)), yes, "{own} | {other}");
        }
    }

    #[test]
    fn it_prints_in_one_line() {
        let text = "host = '*.b.c'\npath = '/a/*'\nmethods = ['GET', 'PUT']\nheaders = { x = '*', y = '1' }";
        assert_eq!(of(text).to_string(), "GET, PUT *.b.c/a/* with x, y");
        assert_eq!(of("").to_string(), "*/*");
    }
}
