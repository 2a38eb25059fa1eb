//! Our own refusals and failures as HTTP: the only place where they become an answer.
//!
//! ```text
//!  Own::Refused ─▶ 502
//!                  Proxy-Status: seawall; error=connection_refused; details="…"       (RFC 9209)
//!                  Content-Type: application/problem+json                             (RFC 9457)
//!                  {"type":"urn:seawall:problem:connection_refused","title":…,"status":502,"detail":…}
//! ```
//!
//! `Proxy-Status` is what tells such an answer from an upstream's own with the same status. `Retry-After`
//! goes with every 502, 503 and 504, since these invite a client to come again and it should know when: the
//! moment at which the first breaker admits again, or a second where no machine knows a moment. A 429 has it
//! from its limit, unless nothing ever passes that. The others lie in the request, and waiting mends none of them. Answers to what was not understood close the
//! connection: where the next request begins on it is anyone's guess.

use std::{
    borrow::Cow,
    fmt::Write,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use seawall::core::{Pattern, Refusal};

use crate::{framing::Malformed, headers::Loop, pool::SendError};

/// Why the gateway answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Own {
    /// No route matches. 404.
    NoRoute,
    /// The request is not one to forward. 400 or 501, and the connection closes.
    Malformed(Malformed),
    /// The request's body broke off or made no sense. 400, and the connection closes.
    BrokenRequest,
    /// The request's body did not come before the deadline. 408, and the connection closes.
    SlowRequest,
    /// The request has passed this gateway before. 508.
    Loop,
    /// No endpoint admits the request: breakers are open. 503.
    Unavailable,
    /// There have been more requests than the rate limit allows. 429.
    Limited,
    /// The bulkhead is full. 503.
    Full,
    /// This gateway has as many client connections as it may. 503, and the connection closes.
    Crowded,
    /// The upstream's name did not resolve. 502.
    Dns,
    /// The upstream refused the connection, or no way leads to it. 502.
    Refused,
    /// The connection to the upstream took too long. 504.
    ConnectTimeout,
    /// The upstream dropped the connection before it answered. 502.
    Reset,
    /// The upstream's answer is not HTTP. 502.
    Garbage,
    /// The upstream's answer broke off before it could be passed on. 502.
    Incomplete,
    /// No answer within the attempt's limit or the deadline. 504.
    Timeout,
}

impl Own {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Malformed(malformed) => malformed.status(),
            Self::BrokenRequest => StatusCode::BAD_REQUEST,
            Self::SlowRequest => StatusCode::REQUEST_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::Full | Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Dns | Self::Refused | Self::Reset | Self::Garbage | Self::Incomplete => {
                StatusCode::BAD_GATEWAY
            }
            Self::ConnectTimeout | Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The error type of `Proxy-Status`, from the registry of RFC 9209 2.3.
    #[must_use]
    pub const fn error(self) -> &'static str {
        match self {
            Self::NoRoute => "destination_not_found",
            Self::Malformed(_) | Self::BrokenRequest | Self::SlowRequest => "http_request_error",
            Self::Loop => "proxy_loop_detected",
            Self::Limited => "http_request_denied",
            Self::Unavailable => "destination_unavailable",
            Self::Full | Self::Crowded => "connection_limit_reached",
            Self::Dns => "dns_error",
            Self::Refused => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::Reset => "connection_terminated",
            Self::Garbage => "http_protocol_error",
            Self::Incomplete => "http_response_incomplete",
            Self::Timeout => "http_response_timeout",
        }
    }

    /// What happened, in words that reveal nothing about what lies behind the gateway.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoRoute => "no route matches the request",
            Self::Malformed(malformed) => malformed.words(),
            Self::BrokenRequest => "the request body broke off or is not valid",
            Self::SlowRequest => "the request body did not come in time",
            Self::Loop => "the request has passed this gateway before",
            Self::Limited => "there have been more requests than the limit allows",
            Self::Unavailable => "no endpoint takes requests at the moment",
            Self::Full => "as many requests are in progress as may be",
            Self::Crowded => "as many connections are open as may be",
            Self::Dns => "the upstream's name did not resolve",
            Self::Refused => "the upstream refused the connection",
            Self::ConnectTimeout => "the upstream did not take the connection in time",
            Self::Reset => "the upstream dropped the connection before it answered",
            Self::Garbage => "the upstream's answer is not valid HTTP",
            Self::Incomplete => "the upstream's answer broke off",
            Self::Timeout => "the upstream did not answer in time",
        }
    }

    /// What happened, and why if something refused: what opened the breaker, or why the bulkhead had no place. No
    /// endpoint's name, only how the last calls went.
    #[must_use]
    pub fn because(self, refusal: Option<Refusal>) -> Cow<'static, str> {
        match refusal {
            Some(Refusal { cause: Some(cause), .. }) => {
                format!("{} ({cause})", self.words()).into()
            }
            Some(Refusal { by: Pattern::Bulkhead, reason, .. }) => {
                format!("{} ({})", self.words(), reason.words()).into()
            }
            _ => self.words().into(),
        }
    }

    /// When to come again if nobody knows better: [`RETRY_AFTER_DEFAULT`] for what may pass, 502, 503 and 504.
    /// `None` where waiting does not help, because the request itself is refused, and for a rate limit: it knows.
    #[must_use]
    pub const fn retry_after_default(self) -> Option<Duration> {
        match self {
            Self::NoRoute
            | Self::Malformed(_)
            | Self::BrokenRequest
            | Self::SlowRequest
            | Self::Loop
            | Self::Limited => None,
            Self::Unavailable
            | Self::Full
            | Self::Crowded
            | Self::Dns
            | Self::Refused
            | Self::ConnectTimeout
            | Self::Reset
            | Self::Garbage
            | Self::Incomplete
            | Self::Timeout => Some(RETRY_AFTER_DEFAULT),
        }
    }

    /// The answer to a request with `method`, with [`words`](Self::words) as its detail, and with a
    /// `Retry-After` if there is a time after which to come again.
    #[must_use]
    pub fn respond(self, method: &Method, retry_after: Option<Duration>) -> Response<Full<Bytes>> {
        self.respond_with(method, retry_after, self.words())
    }

    /// The answer with a detail of its own, which the client gets to read: name nothing in it that a
    /// stranger should not know.
    #[must_use]
    pub fn respond_with(
        self,
        method: &Method,
        retry_after: Option<Duration>,
        detail: &str,
    ) -> Response<Full<Bytes>> {
        let (status, error) = (self.status(), self.error());
        let detail = quotable(detail);
        let body = format!(
            r#"{{"type":"urn:seawall:problem:{error}","title":"{}","status":{},"detail":"{detail}"}}"#,
            status.canonical_reason().unwrap_or(error),
            status.as_u16(),
        );
        let length = body.len();
        // A HEAD is told the length of what it does not get.
        let body = if method == Method::HEAD { Bytes::new() } else { Bytes::from(body) };

        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers
            .insert(CONTENT_TYPE, const { HeaderValue::from_static("application/problem+json") });
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        let reason = format!(r#"seawall; error={error}; details="{detail}""#);
        if let Ok(reason) = HeaderValue::try_from(reason) {
            headers.insert(PROXY_STATUS, reason);
        }
        if let Some(wait) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if self.closes() {
            headers.insert(CONNECTION, const { HeaderValue::from_static("close") });
        }
        response
    }

    const fn closes(self) -> bool {
        matches!(self, Self::Malformed(_) | Self::BrokenRequest | Self::SlowRequest | Self::Crowded)
    }
}

impl From<Malformed> for Own {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Loop> for Own {
    fn from(_: Loop) -> Self {
        Self::Loop
    }
}

impl From<SendError> for Own {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Dns => Self::Dns,
            SendError::Refused | SendError::Unreachable => Self::Refused,
            SendError::ConnectTimeout => Self::ConnectTimeout,
            SendError::Full => Self::Full,
            SendError::Unsent | SendError::Reset | SendError::Closed => Self::Reset,
            SendError::Garbage => Self::Garbage,
            SendError::BrokenRequest => Self::BrokenRequest,
        }
    }
}

/// When an upstream asks to be called again: its `Retry-After` in either form, counted from `now`. A date
/// in the past is now. `None` without the field or if it makes no sense.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let at = httpdate::parse_http_date(value).ok()?;
        at.duration_since(now).unwrap_or_default()
    };
    Some(wait)
}

/// Rounded up, so that nobody comes too early, and at least 1, since 0 would say "at once".
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    let begun = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(begun).max(1)
}

/// Fit to stand between quotes in JSON and in a structured field: printable ASCII, `"` and `\` escaped
/// (both languages escape them alike), anything else a `?`.
fn quotable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                let _ = write!(safe, "\\{letter}");
            }
            ' '..='~' => safe.push(letter),
            _ => safe.push('?'),
        }
    }
    safe
}

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// One second, the least that the field can say: that a known moment is missing means that nothing speaks against
/// coming again. An endpoint admits, or a place is free with the next answer; and an upstream that is not well
/// is kept from harm by its breakers, which do know.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use seawall::core::{Cause, Reason};

    use super::*;

    #[tokio::test]
    async fn an_answer_says_what_happened_three_times_over() {
        let answer = Own::Refused.respond(&Method::GET, None);
        assert_eq!(answer.status(), 502);
        assert_eq!(
            answer.headers()["proxy-status"],
            r#"seawall; error=connection_refused; details="the upstream refused the connection""#
        );
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
        assert!(!answer.headers().contains_key(RETRY_AFTER));
        assert!(!answer.headers().contains_key(CONNECTION));
        let length = answer.headers()[CONTENT_LENGTH].clone();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(length, body.len().to_string());
        assert_eq!(
            body,
            concat!(
                r#"{"type":"urn:seawall:problem:connection_refused","title":"Bad Gateway","#,
                r#""status":502,"detail":"the upstream refused the connection"}"#
            )
        );
    }

    #[tokio::test]
    async fn an_answer_says_what_opened_the_breaker() {
        let own = Own::Unavailable;
        let open = Refusal::new(Pattern::Pick, Reason::Open).because(Cause::Failures(5));
        let answer = own.respond_with(&Method::GET, None, &own.because(Some(open)));
        let told = "no endpoint takes requests at the moment (5 failures in a row)";
        assert_eq!(
            answer.headers()["proxy-status"],
            format!(r#"seawall; error=destination_unavailable; details="{told}""#)
        );
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["detail"], told);
        assert_eq!(own.because(None), own.words());
    }

    #[test]
    fn an_answer_says_why_there_was_no_place() {
        for (reason, why) in [
            (Reason::Full, "full"),
            (Reason::Displaced, "displaced by a more urgent call"),
            (Reason::WaitOver, "waited too long"),
            (Reason::Hopeless, "its turn would come too late"),
            (Reason::TooLarge, "asked for more than there ever is"),
            (Reason::TooLate, "cannot end before the deadline"),
        ] {
            let told = Own::Full.because(Some(Refusal::new(Pattern::Bulkhead, reason)));
            assert_eq!(told, format!("as many requests are in progress as may be ({why})"));
        }
        let late = Refusal::new(Pattern::Deadline, Reason::TooLate);
        assert_eq!(Own::Timeout.because(Some(late)), Own::Timeout.words());
    }

    #[tokio::test]
    async fn head_gets_the_length_and_no_body() {
        let get = Own::NoRoute.respond(&Method::GET, None);
        let head = Own::NoRoute.respond(&Method::HEAD, None);
        assert_eq!(head.headers(), get.headers());
        assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
    }

    #[test]
    fn retry_after_is_rounded_up() {
        for (own, hint, field) in [
            (Own::Unavailable, Some(1_001), Some("2")),
            (Own::Unavailable, Some(2_000), Some("2")),
            (Own::Full, Some(1), Some("1")),
            (Own::Full, Some(0), Some("1")),
            (Own::Full, None, None),
            (Own::Timeout, Some(5_500), Some("6")),
        ] {
            let answer = own.respond(&Method::GET, hint.map(Duration::from_millis));
            let found = answer.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!(found, field, "{own:?} {hint:?}");
        }
        let longest = Own::Full.respond(&Method::GET, Some(Duration::MAX));
        assert_eq!(longest.headers()[RETRY_AFTER], u64::MAX.to_string());
    }

    #[test]
    fn what_may_pass_has_a_time_to_come_again_and_what_waiting_does_not_mend_has_none() {
        for own in [
            Own::NoRoute,
            Own::Malformed(Malformed::NoHost),
            Own::Malformed(Malformed::Upgrade),
            Own::BrokenRequest,
            Own::SlowRequest,
            Own::Loop,
            Own::Limited,
            Own::Unavailable,
            Own::Full,
            Own::Crowded,
            Own::Dns,
            Own::Refused,
            Own::ConnectTimeout,
            Own::Reset,
            Own::Garbage,
            Own::Incomplete,
            Own::Timeout,
        ] {
            let may_pass = [502, 503, 504].contains(&own.status().as_u16());
            let wait = own.retry_after_default();
            assert_eq!(wait, may_pass.then_some(Duration::from_secs(1)), "{own:?}");
        }
    }

    #[tokio::test]
    async fn no_detail_can_break_out_of_its_quotes() {
        let answer = Own::Full.respond_with(&Method::GET, None, "a\"b\\c\r\nX: y é");
        let expected = r#"details="a\"b\\c??X: y ?""#;
        let field = answer.headers()["proxy-status"].to_str().unwrap().to_owned();
        assert!(field.ends_with(expected), "{field}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(br#""detail":"a\"b\\c??X: y ?"}"#), "{body:?}");
    }

    #[test]
    fn what_was_not_understood_closes_the_connection() {
        for own in
            [Own::Malformed(Malformed::NoHost), Own::BrokenRequest, Own::SlowRequest, Own::Crowded]
        {
            assert_eq!(own.respond(&Method::GET, None).headers()[CONNECTION], "close");
        }
        assert_eq!(Own::Malformed(Malformed::Upgrade).status(), 501);
    }

    #[test]
    fn both_forms_of_an_upstreams_hint_are_read() {
        // 784111777 s: the example date of RFC 9110, Sun, 06 Nov 1994 08:49:37 GMT.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("301", Some(301)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("Sun, 06 Nov 1994 09:49:37 GMT", Some(3_600)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            let wait = retry_after(&headers, now);
            assert_eq!(wait, seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
