//! The life of a request.
//!
//! ```text
//!   sound? ▸ headers, loop? ▸ route ▸ rate limit ▸
//!      ┌ deadline ▸ retry ▸ pick ▸ breaker ▸ bulkhead ▸ attempt limit ┐ ▸ answer
//!      └──────────── the engine, once per attempt: pool ──────────────┘
//! ```
//!
//! What the engine holds for a call (the place in the bulkhead, the endpoint's judgement) lives on in the
//! answer's body until its last byte.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, request};
use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};
use seawall::{
    Held,
    core::{Ask, Finish, Instant, Pattern, Reason, Refusal, Repeat, Stopped},
};

use crate::{
    body::{BodyError, Guarded, Watch},
    framing,
    gateway::Inner,
    limit::{EachAttempt, Standing, TooMany},
    listen::Peer,
    pool::{Leased, SendError},
    replay::{Live, Replay, Upload},
    respond::Own,
    route::{Answer, Route},
    upstream::RouteCall,
};

/// A body of ours, or an upstream's under guard.
pub(crate) type AnswerBody = Either<Guarded<Leased<Replay<Live>>, Watching>, Full<Bytes>>;

/// An upstream's answer, under guard.
type Passed = Response<Guarded<Leased<Replay<Live>>, Watching>>;

/// Answers a request, whatever happens.
pub(crate) async fn answer(
    gateway: Arc<Inner>,
    request: Request<Incoming>,
    peer: Peer,
) -> Response<AnswerBody> {
    let method = request.method().clone();
    match forward(&gateway, request, peer).await {
        Ok(answer) => answer.map(Either::Left),
        Err(Refused { own, refusal, retry_after, standing }) => {
            let mut answer = own.respond_with(&method, retry_after, &own.because(refusal));
            if let Some(standing) = standing {
                standing.write(answer.headers_mut());
            }
            answer.map(Either::Right)
        }
    }
}

/// An answer of our own: what it says, and when asking again makes sense.
struct Refused {
    own: Own,
    /// Whose no it was, if nothing was attempted.
    refusal: Option<Refusal>,
    retry_after: Option<Duration>,
    /// Where the request stands with the rate limit, if there is one.
    standing: Option<Standing>,
}

impl Refused {
    /// With the time the machines know, or the default where they know none: what no time helps has neither.
    fn new(own: Own, known: Option<Duration>) -> Self {
        let retry_after = own.retry_after_default().map(|default| known.unwrap_or(default));
        Self { own, refusal: None, retry_after, standing: None }
    }
}

/// The limit knows a time to come again, or that none helps.
impl From<TooMany> for Refused {
    fn from(TooMany { standing, retry_after }: TooMany) -> Self {
        Self { own: Own::Limited, refusal: None, retry_after, standing: Some(standing) }
    }
}

impl<O: Into<Own>> From<O> for Refused {
    fn from(own: O) -> Self {
        Self::new(own.into(), None)
    }
}

async fn forward(
    gateway: &Inner,
    mut request: Request<Incoming>,
    peer: Peer,
) -> Result<Passed, Refused> {
    framing::check(&request)?;
    gateway.passage.request(&mut request, peer.addr.ip())?;
    let (head, body) = request.into_parts();
    let table = gateway.table();
    let route = table.find(&head).ok_or(Own::NoRoute)?.clone();
    drop(table);
    // Before anything is kept or counted for the request: who asks too often costs this and no more.
    let (limit, client) = (route.limit.as_ref(), peer.addr.ip());
    let standing = limit.map(|limit| limit.admit(&head.headers, client)).transpose()?;
    let each = limit.and_then(|limit| limit.each_attempt(&head.headers, client));
    let answer = call(gateway, route, each.clone(), head, body).await;
    // Its retries may have taken from what was left.
    let standing = each.map_or(standing, |each| Some(each.standing()));
    match answer {
        Ok(mut answer) => {
            if let Some(standing) = standing {
                standing.write(answer.headers_mut());
            }
            Ok(answer)
        }
        Err(refused) => Err(Refused { standing, ..refused }),
    }
}

/// The call on a route: as many attempts as it takes.
async fn call(
    gateway: &Inner,
    route: Arc<Route>,
    each_attempt: Option<Arc<EachAttempt>>,
    head: request::Parts,
    body: Incoming,
) -> Result<Passed, Refused> {
    let clock = gateway.registry.clock();
    // A client that says nothing for as long as an upstream may not say anything is given up.
    let upload = if body.is_end_stream() {
        Upload::empty()
    } else {
        let live = Box::pin(Guarded::new(body, Some(route.config.timeout.read), ()));
        Upload::new(live, route.config.replay_buffer, clock.clone())
    };
    let upload = Arc::new(upload);
    let priority = route.config.priority.of(&head.headers);
    let ask = Ask { repeat: repeat(&head), priority, ..Ask::default() };
    let shared = RouteCall { route: route.clone(), upload: Arc::downgrade(&upload), each_attempt };
    let operation =
        |attempt: seawall::Attempt<u16>| send(route.clone(), &head, &upload, attempt.pick);
    let (ending, held) = seawall::run_held(shared, ask, route.classify(), operation).await;

    match (ending.answer, ending.finish) {
        (Some(Ok(mut answer)), _) => {
            gateway.passage.response(&mut answer);
            let read = Some(route.config.timeout.read);
            Ok(answer.map(|body| Guarded::new(body, read, Watching(Some(held)))))
        }
        (Some(Err(SendError::BrokenRequest)), _) if upload.fell_silent() => {
            Err(Own::SlowRequest.into())
        }
        (Some(Err(error)), Finish::Answer { stopped, .. }) => {
            Err(told(error.into(), stopped, &route, clock.now()))
        }
        // The upstream had not been given what it is to answer.
        (_, Finish::TimedOut { .. }) if upload.fed_since().is_none() => {
            Err(Own::SlowRequest.into())
        }
        (_, Finish::TimedOut { stopped, .. }) => {
            Err(told(Own::Timeout, stopped, &route, clock.now()))
        }
        (_, Finish::Refused(refusal)) => Err(refused(refusal)),
        (None, Finish::Answer { .. }) => Err(Own::Incomplete.into()),
    }
}

/// One attempt: the request once more, to the endpoint that was picked.
fn send(
    route: Arc<Route>,
    head: &request::Parts,
    upload: &Upload<Live>,
    endpoint: Option<u16>,
) -> impl Future<Output = Result<Answer, SendError>> + Send + use<> {
    let request = upload.attempt().map(|body| Request::from_parts(head.clone(), body));
    async move {
        let pool = endpoint.and_then(|endpoint| route.upstream.pool(endpoint));
        match (pool, request) {
            (Some(pool), Some(request)) => pool.send(request, route.config.timeout.connect).await,
            (None, _) => Err(SendError::Unreachable),
            (_, None) => Err(SendError::BrokenRequest),
        }
    }
}

/// Safe methods and those defined to be repeatable (RFC 9110 9.2.2), and whatever carries a key by which its
/// receiver knows it again. Anything else only if it certainly never arrived.
fn repeat(head: &request::Parts) -> Repeat {
    let idempotent = matches!(
        head.method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    if idempotent || head.headers.contains_key(IDEMPOTENCY_KEY) {
        Repeat::Always
    } else {
        Repeat::IfUnreached
    }
}

/// Why there is no answer. To come again makes sense when what stopped the retries admits one, or else when an
/// endpoint does.
fn told(own: Own, stopped: Stopped, route: &Route, now: Instant) -> Refused {
    let known = match stopped {
        Stopped::Refused(refusal) => refusal.retry_after,
        _ => None,
    };
    Refused::new(own, known.or_else(|| route.upstream.ready_in(now)))
}

/// Why there was no attempt.
fn refused(refusal: Refusal) -> Refused {
    let own = match refusal.by {
        Pattern::Bulkhead => Own::Full,
        Pattern::Deadline => Own::Timeout,
        _ => Own::Unavailable,
    };
    let refused = Refused { refusal: Some(refusal), ..Refused::new(own, refusal.retry_after) };
    match refusal.reason {
        // It ends when an operator says so, and nobody knows when.
        Reason::ForcedOpen | Reason::TooLarge => Refused { retry_after: None, ..refused },
        _ => refused,
    }
}

/// Tells the engine how the answer's body went.
#[derive(Debug)]
pub(crate) struct Watching(Option<Held<RouteCall>>);

impl Watch for Watching {
    fn ended(&mut self) {
        if let Some(held) = self.0.take() {
            held.complete();
        }
    }

    fn broke(&mut self, _why: &BodyError) {
        if let Some(held) = self.0.take() {
            held.broke_off();
        }
    }

    fn left(&mut self) {
        self.0 = None;
    }

    fn flows(&mut self) {
        if let Some(held) = &mut self.0 {
            held.flows();
        }
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(held) = &mut self.0 {
            held.poll_flowing(cx);
        }
        Poll::Pending
    }
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_time_or_a_second_and_none_where_no_time_helps() {
        let wait = Duration::from_secs(7);
        for (refusal, own, retry_after) in [
            (Refusal::new(Pattern::Pick, Reason::Open).after(wait), Own::Unavailable, Some(wait)),
            (Refusal::new(Pattern::Pick, Reason::ForcedOpen), Own::Unavailable, None),
            (Refusal::new(Pattern::Bulkhead, Reason::Full), Own::Full, Some(SECOND)),
            (Refusal::new(Pattern::Bulkhead, Reason::TooLarge), Own::Full, None),
            (Refusal::new(Pattern::Deadline, Reason::TooLate), Own::Timeout, Some(SECOND)),
        ] {
            let refused = refused(refusal);
            assert_eq!((refused.own, refused.retry_after), (own, retry_after), "{refusal}");
            assert_eq!(refused.refusal, Some(refusal), "and why");
        }
    }

    #[test]
    fn a_broken_request_is_not_asked_for_again_whatever_is_known() {
        assert_eq!(Refused::new(Own::BrokenRequest, Some(SECOND)).retry_after, None);
        assert_eq!(Refused::from(Own::NoRoute).retry_after, None);
        assert_eq!(Refused::from(Own::Incomplete).retry_after, Some(SECOND));
    }

    const SECOND: Duration = Duration::from_secs(1);
}
