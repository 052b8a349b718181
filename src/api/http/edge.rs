//! The outermost layer. Every request passes through it, whichever endpoint answers.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};
use tokio::time::Instant;
use tracing::Instrument;

use crate::{
    api::http::{asking, document, page::Wait, rate, strangers, strict, translated, unread::Unread, work},
    commands::DEADLINE,
    deadline::within,
    limits::{Exceeded, RateLimits, noted},
    listen::ClientAddress,
    overload::{Overload, Shed},
    problems::{self, Problem, RequestId},
    telemetry::{
        self, OneMore, REQUESTS, TraceParent,
        traces::{self, OpenSpan},
    },
};

/// How long a client waits before it retries a request that timed out.
const AGAIN: Duration = Duration::from_secs(1);
/// The path of sockets. The gateway itself reads the tokens of handshakes and charges them to budgets.
const SOCKET: &str = "/v1/ws";
/// The path of the log-outs of issuers, whose proof is in the body.
pub(in crate::api) const LOGOUT: &str = "/v1/backchannel-logout";

/// Gives every request an id, a span and a deadline, refuses requests that no endpoint should see, and turns
/// every error, even a panic, into a [`Problem`].
pub fn edge<E: Endpoint>(
    inner: E,
    limits: Arc<RateLimits>,
    overload: Overload,
) -> impl Endpoint<Output = Response> {
    Edge { inner, limits, overload, unread: Unread::default() }
}

struct Edge<E> {
    inner: E,
    limits: Arc<RateLimits>,
    overload: Overload,
    unread: Unread,
}

impl<E: Endpoint> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let id = RequestId::of(request.headers());
        let method = traces::method(request.method().as_str());
        let span = tracing::info_span!(
            "request", request_id = %id, method, operation = tracing::field::Empty,
            client = ClientAddress::of(&request).map(tracing::field::display));
        let private = request.uri().path().starts_with(document::BASE);
        let named = trace(request.headers());
        let recorded = traces::of_request(named.as_ref());
        let trace = recorded.as_ref().map(|recorded| recorded.parent_of_more()).or(named);
        let answer = asking::within(self.counted(request, recorded));
        let answer = id.clone().within(telemetry::within(trace, answer));
        let mut response = answer.instrument(span).await;

        let headers = response.headers_mut();
        headers.insert(RequestId::HEADER, id.header());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if private {
            headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        }
        Ok(response)
    }
}

impl<E: Endpoint> Edge<E> {
    async fn counted(&self, request: Request, recorded: Option<Box<OpenSpan>>) -> Response {
        let recorded = recorded.map(|recorded| (recorded, traces::method(request.method().as_str())));
        let (begun, _in_flight) = (Instant::now(), OneMore::of(&REQUESTS.in_flight));
        let is_handshake = request.uri().path() == SOCKET;
        // The future is boxed, so that the layers around it do not each carry its whole size on their stack.
        let (mut answer, noted) = noted::within(Box::pin(self.answer(request))).await;
        let (operation, status) = (asking::operation(), answer.status().as_u16());
        let operation = if is_handshake { "connect" } else { operation };
        let (user, took) = (asking::user(), begun.elapsed());
        REQUESTS.note(operation, status, took);
        if let Some((recorded, method)) = recorded {
            traces::end(recorded.answered(method, operation, status));
        }
        tracing::Span::current().record("operation", operation);
        tracing::debug!(
            status,
            duration_ms = took.as_secs_f64() * 1_000.0,
            user = user.map(tracing::field::display),
            "answered"
        );
        if user.is_some() || answer.status() == StatusCode::TOO_MANY_REQUESTS {
            rate::write(&noted, answer.headers_mut());
        }
        match user {
            Some(user) => self.unread.count(user, answer).await,
            None => answer,
        }
    }

    /// Charges a request without a token, or to a path at which no token counts, to the budget of its address. Any other
    /// request is charged to its address only if it turns out to come from a stranger: many people may share one
    /// address.
    fn admit(&self, request: &Request) -> Result<(), Exceeded> {
        let path = request.uri().path();
        let is_anonymous = !request.headers().contains_key(header::AUTHORIZATION);
        match is_anonymous || path == LOGOUT || !path.starts_with(document::BASE) {
            true => strangers::charge(&self.limits, stranger(request)),
            false => Ok(()),
        }
    }

    /// Charges a request that was answered before its token proved anything. After an outage or a refusal by a limit,
    /// the token may be valid nevertheless.
    fn admit_late(&self, from: Option<ClientAddress>, status: StatusCode) -> Result<(), Exceeded> {
        let may_be_known = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        match asking::user().is_some() || may_be_known {
            true => Ok(()),
            false => strangers::charge(&self.limits, from),
        }
    }

    /// Refuses the request if the node is overloaded and currently sheds this kind of work. This comes before
    /// the token check, because a refusal should cost as little as possible.
    fn bears(&self, request: &Request) -> Result<(), Shed> {
        let uri = request.uri();
        let work = work::of(request.method(), uri.path(), uri.query().unwrap_or_default());
        work.map_or(Ok(()), |work| self.overload.admit(work))
    }

    async fn answer(&self, request: Request) -> Response {
        if let Err(exceeded) = self.admit(&request) {
            return Problem::from(exceeded).into_response();
        }
        if let Err(shed) = self.bears(&request) {
            return Problem::from(shed).into_response();
        }
        if let Some(problem) = refused_at_once(&request) {
            let charged = strangers::charge(&self.limits, stranger(&request));
            return charged.map_or_else(Problem::from, |()| problem).into_response();
        }
        let (from, deadline) = (stranger(&request), deadline(&request));
        let allowed = if request.uri().path() == LOGOUT { "POST" } else { "GET, HEAD" };
        let answering = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        let mut answer = match within(deadline, answering).await {
            Some(Ok(Ok(answer))) => with_problem(answer.into_response()),
            Some(Ok(Err(error))) => translated::of_error(error).into_response(),
            None => {
                tracing::warn!(seconds = deadline.as_secs(), "a request was not answered in time");
                let detail = "The server did not respond in time: send the same request again, with the same idempotency key.";
                Problem::unavailable("unavailable", detail, AGAIN).into_response()
            }
            Some(Err(panic)) => {
                tracing::error!(panic = message(&*panic), "a handler panicked");
                Problem::internal().into_response()
            }
        };
        // The operations of the document name their methods themselves. All other resources but one are only read.
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().entry(header::ALLOW).or_insert(HeaderValue::from_static(allowed));
        }
        match self.admit_late(from, answer.status()) {
            Ok(()) => answer,
            Err(exceeded) => Problem::from(exceeded).into_response(),
        }
    }
}

/// The address that pays for a request if its client turns out to be a stranger.
fn stranger(request: &Request) -> Option<ClientAddress> {
    ClientAddress::of(request).filter(|_| request.uri().path() != SOCKET)
}

/// The time limit for a response. It does not cover the body, so an event stream continues. Only a read can wait for
/// what has not happened yet: erasures rely on the limit of everything that changes a conversation.
fn deadline(request: &Request) -> Duration {
    if request.method() != Method::GET {
        return DEADLINE;
    }
    let mut parameters = request.uri().query().unwrap_or_default().split('&');
    let wait = parameters.find_map(|parameter| parameter.strip_prefix("wait="));
    let wait = wait.and_then(|seconds| seconds.parse().ok()).unwrap_or(0).min(Wait::MAX);
    DEADLINE + Duration::from_secs(wait.into())
}

/// The trace that the client names in `traceparent`, if the header is valid and appears only once.
fn trace(headers: &HeaderMap) -> Option<TraceParent> {
    let mut named = headers.get_all("traceparent").iter();
    let first = named.next()?.to_str().ok()?;
    if named.next().is_some() { None } else { TraceParent::parse(first) }
}

/// The refusal of a request whose head alone makes it unacceptable.
fn refused_at_once(request: &Request) -> Option<Problem> {
    if !strict::METHODS.contains(request.method()) {
        let detail = "The server does not know this method: use a standard method, in upper case.";
        Some(Problem::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", detail))
    } else if is_encoded(request.headers()) {
        let detail = "The body is compressed: send it without `Content-Encoding`.";
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail);
        Some(problem.with(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")))
    } else {
        None
    }
}

/// Whether the body has a content coding other than `identity`, which means no coding.
fn is_encoded(headers: &HeaderMap) -> bool {
    let plain = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"identity");
    let mut lines = headers.get_all(header::CONTENT_ENCODING).iter();
    lines.any(|line| !line.as_bytes().split(|byte| *byte == b',').all(plain))
}

/// Replaces an error response with a problem, because a router below writes errors as plain text.
fn with_problem(response: Response) -> Response {
    let failed = response.status().is_client_error() || response.status().is_server_error();
    match failed && response.content_type() != Some(problems::CONTENT_TYPE) {
        true => translated::of_status(response.status()).into_response(),
        false => response,
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("not a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_to_wait_may_wait_that_much_longer() {
        let seconds = |uri: &'static str| {
            deadline(&Request::builder().uri(poem::http::Uri::from_static(uri)).finish()).as_secs()
        };
        assert_eq!(seconds("/v1/events"), 15);
        assert_eq!(seconds("/v1/events?after=a&wait=60"), 75);
        assert_eq!(seconds("/v1/events?wait=9999"), 75);
        assert_eq!(seconds("/v1/events?wait=soon"), 15);
        let edits = Request::builder().method(Method::PATCH).uri_str("/v1/events?wait=60").finish();
        assert_eq!(deadline(&edits).as_secs(), 15);
    }
}
