//! One address of an upstream, as a URL of which only the authority may be written.

use std::{error::Error, fmt, net::Ipv6Addr};

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// A name, in small letters, or an address; one of IPv6 without its brackets.
    pub host: String,
    /// The port. Default 80.
    pub port: u16,
    /// `host:port`, with brackets around an IPv6 address: the endpoint's name.
    pub authority: String,
}

impl EndpointConfig {
    /// From `http://host` or `http://host:port`.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL.
    pub fn from_url(url: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = url.split_once("://").ok_or(EndpointError::NotHttp)?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(EndpointError::Https);
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(EndpointError::NotHttp);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(EndpointError::Credentials);
        }
        if !matches!(path, "" | "/") {
            return Err(EndpointError::Path);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(EndpointError::Host)?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => number(port).ok_or(EndpointError::Port)?,
            None if port.is_empty() => 80,
            None => return Err(EndpointError::Host),
        };
        if authority.starts_with('[') {
            let host = host.parse::<Ipv6Addr>().map_err(|_| EndpointError::Host)?.to_string();
            return Ok(Self { authority: format!("[{host}]:{port}"), host, port });
        }
        let host = Some(host.to_ascii_lowercase()).filter(|host| is_host(host));
        let host = host.ok_or(EndpointError::Host)?;
        Ok(Self { authority: format!("{host}:{port}"), host, port })
    }
}

/// What is wrong with an endpoint's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// No URL, or one of something else.
    NotHttp,
    /// TLS to upstreams.
    Https,
    /// A user or a password before the host.
    Credentials,
    /// Anything after the authority.
    Path,
    /// A host that is none.
    Host,
    /// A port that is none.
    Port,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "expected a URL such as \"http://10.0.0.1:8080\"",
            Self::Https => "https is not supported yet, expected http://",
            Self::Credentials => {
                "a user or password in a URL is not supported, expected http://host:port"
            }
            Self::Path => "a path is not supported yet, expected http://host:port",
            Self::Host => "expected a host name, an IPv4 address or an IPv6 address in [ ]",
            Self::Port => "expected a port from 1 to 65535",
        })
    }
}

impl Error for EndpointError {}

/// A name or an IPv4 address.
pub(super) fn is_host(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| !label.is_empty() && label.bytes().all(plain);
    host.len() <= HOST_BYTES_MAX && host.split('.').all(label)
}

fn number(port: &str) -> Option<u16> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|port| digits && *port > 0)
}

/// The longest name DNS can carry, as text.
const HOST_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, host, port, authority) in [
            ("http://10.0.0.1:8080", "10.0.0.1", 8080, "10.0.0.1:8080"),
            ("http://Orders.example", "orders.example", 80, "orders.example:80"),
            ("HTTP://a/", "a", 80, "a:80"),
            ("http://[::1]:9", "::1", 9, "[::1]:9"),
            ("http://[0:0::1]", "::1", 80, "[::1]:80"),
        ] {
            let endpoint = EndpointConfig::from_url(url).expect(url);
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port), "{url}");
            assert_eq!(endpoint.authority, authority, "{url}");
        }
    }

    #[test]
    fn each_mistake_in_a_url_is_told_apart() {
        use EndpointError::{Credentials, Host, Https, NotHttp, Path, Port};
        for (url, error) in [
            ("", NotHttp),
            ("10.0.0.1:8080", NotHttp),
            ("ftp://a", NotHttp),
            ("https://a", Https),
            ("http://u:p@a", Credentials),
            ("http://a/b", Path),
            ("http://a?b", Path),
            ("http://a#b", Path),
            ("http://", Host),
            ("http://:80", Host),
            ("http://a b", Host),
            ("http://é", Host),
            ("http://a..b", Host),
            ("http://::1", Port),
            ("http://[::1", Host),
            ("http://[::g]", Host),
            ("http://[::1]x", Host),
            ("http://a:", Port),
            ("http://a:0", Port),
            ("http://a:65536", Port),
            ("http://a:+80", Port),
        ] {
            assert_eq!(EndpointConfig::from_url(url), Err(error), "{url}");
        }
    }
}
