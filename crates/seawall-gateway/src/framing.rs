//! Is this a message we may pass on? Two readers of one message must never disagree on where it ends.
//!
//! ```text
//!  bytes ─▶ hyper: syntax, one reading of the length ─▶ check: host, target, coding ─▶ forwarded
//!             └ 400/431, bare, connection closed          └ 400/501, connection closed
//! ```
//!
//! hyper (1.12) refuses by itself, with a bare 400 and a closed connection: obs-fold, a bare CR, a length
//! that is not plain digits (so every list), lengths that differ, a coding whose last word is not
//! `chunked`, any coding in HTTP/1.0. Two shapes it repairs before we look: a length beside a coding (the
//! length is gone and the connection closes after the answer) and one length said twice (one remains; the
//! [`listen`](crate::listen) module notices and closes the connection). Chunks are decoded while they
//! pass and written anew, so garbage in them ends the body with an error and never reaches the upstream.
//! What is left to ask is below. Nothing is repaired here: what is not plainly right is refused.

use http::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE},
};

/// Why a request is not forwarded. All of these close the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// HTTP/1.1 without a Host field. 400.
    NoHost,
    /// More than one Host field. 400.
    ManyHosts,
    /// A Host, or the authority of an absolute target, that is no `host[:port]`. 400.
    BadHost,
    /// A target that is neither a path, nor an http(s) URL, nor `*` for OPTIONS. 400.
    BadTarget,
    /// More than one Content-Length, or one beside a Transfer-Encoding. 400.
    Lengths,
    /// A transfer coding other than exactly one `chunked`. 501.
    Coding,
    /// CONNECT: this is not a forward proxy. 501.
    Connect,
    /// An upgrade to another protocol. 501.
    Upgrade,
}

impl Malformed {
    /// The status to answer with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NoHost | Self::ManyHosts | Self::BadHost | Self::BadTarget | Self::Lengths => {
                StatusCode::BAD_REQUEST
            }
            Self::Coding | Self::Connect | Self::Upgrade => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// What is wrong, in words for the client.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoHost => "the request has no Host field",
            Self::ManyHosts => "the request has more than one Host field",
            Self::BadHost => "the host is not of the form host[:port]",
            Self::BadTarget => "the request target is neither a path nor an http URL",
            Self::Lengths => "the request states its length more than once",
            Self::Coding => "the only transfer coding understood here is chunked",
            Self::Connect => "CONNECT is not offered: this is a gateway, not a forward proxy",
            Self::Upgrade => "upgrades to other protocols are not supported",
        }
    }
}

/// Whether the request may be forwarded, judged by its head alone.
///
/// An offer to upgrade to `h2c` is let through, and dropped with the other fields of the connection: it
/// is optional for the server, and common clients send it with every first request.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check<B>(request: &Request<B>) -> Result<(), Malformed> {
    if request.method() == Method::CONNECT {
        return Err(Malformed::Connect);
    }
    let headers = request.headers();
    if headers.get_all(UPGRADE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c")) {
        return Err(Malformed::Upgrade);
    }
    check_coding(headers)?;
    check_target(request)?;
    check_host(request)
}

/// Whether an upstream's answer may be passed on: its length is stated once, and it does not switch
/// protocols unasked.
#[must_use]
pub fn answer_is_sound<B>(response: &Response<B>) -> bool {
    let headers = response.headers();
    response.status() != StatusCode::SWITCHING_PROTOCOLS
        && (!headers.contains_key(TRANSFER_ENCODING) || is_chunked(headers))
        && one_length(headers)
}

fn check_coding(headers: &HeaderMap) -> Result<(), Malformed> {
    if headers.contains_key(TRANSFER_ENCODING) {
        if !is_chunked(headers) {
            return Err(Malformed::Coding);
        }
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(Malformed::Lengths);
        }
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(()),
        (Some(length), None) if is_digits(length.as_bytes()) => Ok(()),
        (Some(_), _) => Err(Malformed::Lengths),
    }
}

fn check_target<B>(request: &Request<B>) -> Result<(), Malformed> {
    let uri = request.uri();
    let right = match (uri.scheme_str(), uri.authority()) {
        (None, None) => match uri.path() {
            "*" => request.method() == Method::OPTIONS,
            path => path.starts_with('/'),
        },
        (Some("http" | "https"), Some(_)) => true,
        _ => false,
    };
    if right { Ok(()) } else { Err(Malformed::BadTarget) }
}

fn check_host<B>(request: &Request<B>) -> Result<(), Malformed> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => return Err(Malformed::NoHost),
        (Some(_), Some(_)) => return Err(Malformed::ManyHosts),
        (Some(host), None) if !is_host(host.as_bytes()) => return Err(Malformed::BadHost),
        _ => {}
    }
    match request.uri().authority() {
        Some(authority) if !is_host(authority.as_str().as_bytes()) => Err(Malformed::BadHost),
        _ => Ok(()),
    }
}

/// Exactly one coding, and it is `chunked`.
fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    }
}

/// No length, or the same digits however often (RFC 9110 8.6 lets a recipient fold those into one).
fn one_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii);
    lengths.next().is_none_or(|first| is_digits(first) && lengths.all(|other| other == first))
}

fn is_digits(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

/// The bytes of RFC 3986 `host[:port]`, without user information and without the comma that would make
/// a list of it.
fn is_host(bytes: &[u8]) -> bool {
    const MARKS: &[u8] = b"-._~%!$&'()*+;=:[]";
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || MARKS.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let (method, target) = target.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn what_may_pass_passes_and_the_rest_is_named() {
        const HOST: (&str, &str) = ("host", "a.example:80");
        for (target, headers, verdict) in [
            ("GET /a?b", &[HOST][..], Ok(())),
            ("GET /", &[("host", "[::1]:8080")], Ok(())),
            ("GET http://b.example/a", &[HOST], Ok(())),
            ("OPTIONS *", &[HOST], Ok(())),
            ("POST /", &[HOST, ("transfer-encoding", "Chunked")], Ok(())),
            ("POST /", &[HOST, ("content-length", "5")], Ok(())),
            ("GET /", &[HOST, ("upgrade", "h2c")], Ok(())),
            ("GET /", &[], Err(Malformed::NoHost)),
            ("GET http://b.example/", &[], Err(Malformed::NoHost)),
            ("GET /", &[HOST, HOST], Err(Malformed::ManyHosts)),
            ("GET /", &[("host", "")], Err(Malformed::BadHost)),
            ("GET /", &[("host", "a, b")], Err(Malformed::BadHost)),
            ("GET /", &[("host", "u@a")], Err(Malformed::BadHost)),
            ("GET /", &[("host", "a/b")], Err(Malformed::BadHost)),
            ("GET http://u:p@b.example/", &[HOST], Err(Malformed::BadHost)),
            ("GET *", &[HOST], Err(Malformed::BadTarget)),
            ("GET b.example:80", &[HOST], Err(Malformed::BadTarget)),
            ("GET ftp://b.example/", &[HOST], Err(Malformed::BadTarget)),
            ("CONNECT b.example:443", &[HOST], Err(Malformed::Connect)),
            ("GET /", &[HOST, ("upgrade", "websocket")], Err(Malformed::Upgrade)),
            ("POST /", &[HOST, ("transfer-encoding", "gzip, chunked")], Err(Malformed::Coding)),
            ("POST /", &[HOST, ("transfer-encoding", "chunked, chunked")], Err(Malformed::Coding)),
            (
                "POST /",
                &[HOST, ("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
                Err(Malformed::Coding),
            ),
            (
                "POST /",
                &[HOST, ("transfer-encoding", "chunked"), ("content-length", "5")],
                Err(Malformed::Lengths),
            ),
            (
                "POST /",
                &[HOST, ("content-length", "5"), ("content-length", "5")],
                Err(Malformed::Lengths),
            ),
            ("POST /", &[HOST, ("content-length", "5, 5")], Err(Malformed::Lengths)),
            ("POST /", &[HOST, ("content-length", "+5")], Err(Malformed::Lengths)),
        ] {
            assert_eq!(check(&request(target, headers)), verdict, "{target} {headers:?}");
        }
    }

    #[test]
    fn http_1_0_may_leave_the_host_out() {
        let mut old = request("GET /", &[]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(check(&old), Ok(()));
    }

    #[test]
    fn answers_state_their_length_once() {
        for (status, headers, sound) in [
            (200, &[][..], true),
            (200, &[("content-length", "5"), ("content-length", "5")], true),
            (200, &[("content-length", "5, 5")], true),
            (200, &[("transfer-encoding", "chunked"), ("content-length", "5")], true),
            (200, &[("content-length", "5"), ("content-length", "6")], false),
            (304, &[("content-length", "many")], false),
            (200, &[("transfer-encoding", "gzip, chunked")], false),
            (101, &[], false),
        ] {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            let response = response.body(()).unwrap();
            assert_eq!(answer_is_sound(&response), sound, "{status} {headers:?}");
        }
    }
}
