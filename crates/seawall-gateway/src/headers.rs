//! What changes in a message's head when it passes the gateway.
//!
//! ```text
//!  request   − fields of the connection   + Via, X-Forwarded-For/-Proto/-Host   target ─▶ /path
//!  answer    − fields of the connection   + Via
//! ```
//!
//! Everything else passes as it came. Two things look odd and are not. The coding of a chunked request
//! goes with the connection's fields and is put back at once: hyper writes no body after GET unless a
//! field announces one. `Trailer` and `TE: trailers` stay, because hyper writes only the trailers that
//! `Trailer` names, and towards a client only if its request said `TE: trailers`.
//!
//! What a client says of those before it is passed on: `X-Forwarded-For` is appended to, `-Proto` and
//! `-Host` are set where absent. ◦ How many hops to trust will be a setting.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
        COOKIE, DATE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

/// The request has passed this very gateway before. To be answered with 508.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "says one thing")]
pub struct Loop;

/// What this gateway leaves on the messages that pass it.
#[derive(Clone, Debug)]
pub struct Passage {
    pseudonym: String,
    via_10: HeaderValue,
    via_11: HeaderValue,
}

impl Passage {
    /// The marks of the gateway numbered `id`, one random number per process: `Via: 1.1 seawall-<id>`.
    /// Two gateways in a row have two ids, so only a true loop is taken for one.
    #[must_use]
    pub fn new(id: u64) -> Self {
        let pseudonym = format!("seawall-{id:016x}");
        let via = |version| {
            HeaderValue::try_from(format!("{version} {pseudonym}"))
                .unwrap_or(const { HeaderValue::from_static("1.1 seawall") })
        };
        Self { via_10: via("1.0"), via_11: via("1.1"), pseudonym }
    }

    /// Turns a client's request, already found sound by [`check`](crate::framing::check), into the one
    /// to send upstream. `client` is the address it came from.
    ///
    /// # Errors
    ///
    /// [`Loop`], with the request untouched.
    pub fn request<B>(&self, request: &mut Request<B>, client: IpAddr) -> Result<(), Loop> {
        if self.was_here(request.headers()) {
            return Err(Loop);
        }
        to_origin_form(request);
        let via = self.via(request.version());
        *request.version_mut() = Version::HTTP_11;

        let headers = request.headers_mut();
        let chunked = headers.contains_key(TRANSFER_ENCODING);
        let trailers = has_word(headers, &TE, "trailers");
        strip(headers);
        headers.remove(EXPECT); // hyper has answered it, or will when the body is first read
        if chunked {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, const { HeaderValue::from_static("chunked") });
        }
        if trailers {
            headers.insert(TE, const { HeaderValue::from_static("trailers") });
            headers.insert(CONNECTION, const { HeaderValue::from_static("te") });
        }
        forwarded(headers, client);
        headers.append(VIA, via);
        Ok(())
    }

    /// Turns an upstream's answer into the one to send to the client.
    pub fn response<B>(&self, response: &mut Response<B>) {
        let via = self.via(response.version());
        *response.version_mut() = Version::HTTP_11;

        let headers = response.headers_mut();
        if headers.contains_key(TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH); // the coding decides; the length may lie (RFC 9112 6.3)
        } else {
            fold_length(headers);
        }
        strip(headers);
        headers.append(VIA, via);
    }

    fn via(&self, version: Version) -> HeaderValue {
        if version == Version::HTTP_10 { self.via_10.clone() } else { self.via_11.clone() }
    }

    fn was_here(&self, headers: &HeaderMap) -> bool {
        headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok()).any(|value| {
            value.split(',').any(|hop| hop.split_whitespace().nth(1) == Some(&self.pseudonym))
        })
    }
}

/// `GET http://host/path` becomes `GET /path` with `Host: host`, which outranks the field
/// (RFC 9112 3.2.2).
fn to_origin_form<B>(request: &mut Request<B>) {
    let Some(host) = request.uri().authority() else { return };
    if let Ok(host) = HeaderValue::from_str(host.as_str()) {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = request.uri().path_and_query().cloned().map(Uri::from).unwrap_or_default();
}

/// Removes the fields that belong to one connection, named in `Connection` or always (RFC 9110 7.6.1).
fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
        for word in named.iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b',')) {
            if let Ok(name) = HeaderName::from_bytes(word.trim_ascii())
                && !is_end_to_end(&name)
            {
                headers.remove(name);
            }
        }
    }
    for name in &OF_THE_CONNECTION {
        headers.remove(name);
    }
}

/// Fields that `Connection` cannot name away: doing so is how a client would hide its address, or have
/// the upstream see another request than the one that was checked.
fn is_end_to_end(name: &HeaderName) -> bool {
    END_TO_END.contains(name) || name.as_str().starts_with("x-forwarded-")
}

fn forwarded(headers: &mut HeaderMap, client: IpAddr) {
    let mut chain = Vec::with_capacity(48);
    for earlier in headers.get_all(X_FORWARDED_FOR) {
        chain.extend_from_slice(earlier.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(client.to_canonical().to_string().as_bytes());
    if let Ok(chain) = HeaderValue::from_maybe_shared(bytes::Bytes::from(chain)) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(const { HeaderValue::from_static("http") });
    if let Some(host) = headers.get(HOST).cloned() {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
}

/// Several equal lengths, which [`answer_is_sound`](crate::framing::answer_is_sound) allows, become one.
fn fold_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return };
    let one = first.as_bytes().split(|&byte| byte == b',').next().unwrap_or_default();
    if lengths.next().is_none() && one.len() == first.len() {
        return;
    }
    if let Ok(one) = HeaderValue::from_bytes(one.trim_ascii()) {
        headers.insert(CONTENT_LENGTH, one);
    }
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// RFC 9110 7.6.1, the two authentication fields of RFC 2616 13.5.1, and what only h2c upgrades use.
const OF_THE_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Framing, routing, identity, representation: fields meant for the one at the end.
const END_TO_END: [HeaderName; 14] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    DATE,
    HeaderName::from_static("forwarded"),
    HOST,
    HeaderName::from_static("idempotency-key"),
    SET_COOKIE,
    HeaderName::from_static("traceparent"),
    TRAILER,
    VIA,
];

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    fn forward(uri: &str, fields: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri).body(()).unwrap();
        *request.headers_mut() = headers(fields);
        Passage::new(7).request(&mut request, CLIENT).unwrap();
        request
    }

    #[test]
    fn the_connections_fields_go_and_the_ends_fields_stay() {
        let sent = forward(
            "/",
            &[
                ("host", "a"),
                ("connection", "close, X-Mine, Host, content-length"),
                ("connection", "X-Forwarded-For, authorization, keep-alive"),
                ("x-mine", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("content-length", "3"),
                ("authorization", "secret"),
                ("te", "gzip"),
                ("expect", "100-continue"),
                ("x-other", "stays"),
            ],
        );
        let mut names: Vec<_> = sent.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "authorization",
                "content-length",
                "host",
                "via",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto",
                "x-other"
            ]
        );
    }

    #[test]
    fn the_clients_address_is_appended_and_the_rest_set_where_absent() {
        let sent = forward(
            "/",
            &[
                ("host", "a"),
                ("x-forwarded-for", "198.51.100.1"),
                ("x-forwarded-for", "198.51.100.2"),
                ("x-forwarded-proto", "https"),
            ],
        );
        assert_eq!(sent.headers()["x-forwarded-for"], "198.51.100.1, 198.51.100.2, 192.0.2.7");
        assert_eq!(sent.headers()["x-forwarded-proto"], "https");
        assert_eq!(sent.headers()["x-forwarded-host"], "a");

        let mut request = Request::new(());
        let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped());
        Passage::new(7).request(&mut request, mapped).unwrap();
        assert_eq!(request.headers()["x-forwarded-for"], "192.0.2.7");
        let mut request = Request::new(());
        Passage::new(7).request(&mut request, IpAddr::V6(Ipv6Addr::LOCALHOST)).unwrap();
        assert_eq!(request.headers()["x-forwarded-for"], "::1");
    }

    #[test]
    fn an_absolute_target_becomes_a_path_and_its_host_wins() {
        let sent = forward("http://b.example:81/x?y=1", &[("host", "a.example")]);
        assert_eq!(sent.uri(), "/x?y=1");
        assert_eq!(sent.headers()["host"], "b.example:81");
        assert_eq!(forward("http://b.example", &[("host", "a")]).uri(), "/");
        assert_eq!(forward("*", &[("host", "a")]).uri(), "*");
    }

    #[test]
    fn a_loop_is_our_own_mark_and_no_other() {
        let ours = Passage::new(7);
        let mut request = Request::new(());
        request.headers_mut().append(VIA, HeaderValue::from_static("1.1 seawall, 1.1 seawall-7"));
        ours.request(&mut request, CLIENT).unwrap();
        Passage::new(8).request(&mut request, CLIENT).unwrap();
        assert_eq!(ours.request(&mut request, CLIENT), Err(Loop));
        assert_eq!(request.headers().get_all(VIA).iter().count(), 3);
    }

    #[test]
    fn te_keeps_its_one_useful_word_and_a_chunked_request_stays_chunked() {
        let sent = forward(
            "/",
            &[("te", "gzip;q=1, Trailers"), ("transfer-encoding", "chunked"), ("trailer", "x-sum")],
        );
        assert_eq!(sent.headers()[TE], "trailers");
        assert_eq!(sent.headers()[CONNECTION], "te");
        assert_eq!(sent.headers()[TRANSFER_ENCODING], "chunked");
        assert_eq!(sent.headers()[TRAILER], "x-sum");
    }

    #[test]
    fn an_answer_keeps_one_length_at_most_and_loses_the_connections_fields() {
        for (fields, length) in [
            (&[("content-length", "5"), ("content-length", "5")][..], Some("5")),
            (&[("content-length", "5 , 5")], Some("5")),
            (&[("content-length", "5")], Some("5")),
            (&[("content-length", "5"), ("transfer-encoding", "chunked")], None),
            (&[("connection", "x-hop, close"), ("x-hop", "1"), ("keep-alive", "9")], None),
        ] {
            let mut response = Response::builder().version(Version::HTTP_10).body(()).unwrap();
            *response.headers_mut() = headers(fields);
            Passage::new(7).response(&mut response);
            let lengths: Vec<_> = response.headers().get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(lengths, length.into_iter().collect::<Vec<_>>(), "{fields:?}");
            assert_eq!(response.headers().len(), 1 + lengths.len(), "{:?}", response.headers());
            assert_eq!(response.headers()[VIA], "1.0 seawall-0000000000000007");
            assert_eq!(response.version(), Version::HTTP_11);
        }
    }
}
