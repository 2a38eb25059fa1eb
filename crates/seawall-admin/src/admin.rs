//! The door: a request in, a page out, at once.
//!
//! ```text
//!   from another site's page? 403 ▸ no such page? 404 ▸ neither GET nor HEAD? 405 ▸ the page
//! ```
//!
//! Liveness asks nothing but whether this process answers. A probe that looked at upstreams would have every
//! instance restarted when a dependency fails, which is when they are needed. Readiness is what the registry
//! was told ([`Registry::set_ready`]), for the same reason.
//!
//! There is no future to wait for: pages are made from one snapshot, in memory.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;
use seawall::{Registry, Snapshot};
use tower_service::Service;

use crate::exposition::exposition;

/// The admin pages of a registry. Cheap to clone; clones are the same door.
///
/// ```
/// use seawall::Registry;
/// use seawall_admin::Admin;
///
/// let admin = Admin::new(Registry::global().clone());
/// let request = http::Request::get("/readyz").body(())?;
/// assert_eq!(admin.answer(&request).status(), 200);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    registry: Registry,
}

impl Admin {
    /// The pages of this registry.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// The answer to one request, whose body does not matter.
    #[must_use]
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let page = self.page(request.method(), request.uri(), request.headers());
        page.into_response(*request.method() == Method::HEAD)
    }

    fn page(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Page {
        if headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site") {
            return Page::text(StatusCode::FORBIDDEN, "not for pages of other sites\n");
        }
        let Some((_, topic, _)) = TOPICS.iter().find(|(path, ..)| *path == uri.path()) else {
            return Page::text(StatusCode::NOT_FOUND, "no such page; / lists them\n");
        };
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Page::text(StatusCode::METHOD_NOT_ALLOWED, "this page can only be read\n");
        }
        match topic {
            Topic::Contents => Page::text(StatusCode::OK, contents()),
            Topic::Live => probe(uri, "process", true),
            Topic::Ready => probe(uri, "serving", self.registry.is_ready()),
            Topic::Stats => stats(&self.registry.snapshot()),
            Topic::Metrics => {
                let snapshot = self.registry.snapshot();
                Page { status: StatusCode::OK, kind: METRICS, body: exposition(&snapshot).into() }
            }
        }
    }
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

/// What a path is about.
enum Topic {
    Contents,
    Live,
    Ready,
    Stats,
    Metrics,
}

struct Page {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
}

impl Page {
    fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, kind: TEXT, body: body.into() }
    }

    fn into_response(self, head_only: bool) -> Response<Full<Bytes>> {
        let length = HeaderValue::from(self.body.len());
        let body = if head_only { Bytes::new() } else { self.body };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(CONTENT_LENGTH, length);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// Machines read the status; with `?verbose` people read which check said so, as Kubernetes prints it.
fn probe(uri: &Uri, check: &str, ok: bool) -> Page {
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut asked = uri.query().unwrap_or_default().split('&');
    let verbose = asked.any(|pair| pair.split('=').next() == Some("verbose"));
    Page::text(
        status,
        match (verbose, ok) {
            (false, true) => "ok\n".to_owned(),
            (false, false) => "failed\n".to_owned(),
            (true, true) => format!("[+]{check} ok\n"),
            (true, false) => format!("[-]{check} failed\n"),
        },
    )
}

fn stats(snapshot: &Snapshot) -> Page {
    match serde_json::to_vec_pretty(snapshot) {
        Ok(mut json) => {
            json.push(b'\n');
            Page { status: StatusCode::OK, kind: JSON, body: json.into() }
        }
        Err(error) => Page::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn contents() -> String {
    TOPICS.iter().map(|(path, _, about)| format!("{path:10}{about}\n")).collect()
}

const TOPICS: [(&str, Topic, &str); 6] = [
    ("/", Topic::Contents, "this list"),
    ("/livez", Topic::Live, "200 while the process answers; ?verbose names the check"),
    ("/readyz", Topic::Ready, "503 while it takes no new work; ?verbose names the check"),
    ("/healthz", Topic::Live, "the old name of /livez"),
    ("/stats", Topic::Stats, "the statistics of everything, as JSON"),
    ("/metrics", Topic::Metrics, "the same for Prometheus"),
];

/// Browsers say with it where a request comes from, and no page can forge it. Other clients leave it out.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
