//! The reply to a command: the REST response in the headers and the body of a NATS message.

use std::time::Duration;

use bytes::Bytes;
use poem::{Body, Response, http::HeaderMap};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    problems::{Problem, RequestId},
    responder::commands::KEY,
};

/// The headers of a REST response that a reply also has, with their names in the reply.
pub(super) const HEADERS: &[(&str, &str)] = &[
    ("x-request-id", "Verbatim-Request-Id"),
    ("verbatim-position", "Verbatim-Position"),
    ("ratelimit", "RateLimit"),
    ("ratelimit-policy", "RateLimit-Policy"),
    ("retry-after", "Retry-After"),
];
/// The headers of the status, and of a refusal (ADR-32 of NATS).
pub(super) const STATUS: &str = "Verbatim-Status";
pub(super) const ERROR_CODE: &str = "Nats-Service-Error-Code";
pub(super) const ERROR: &str = "Nats-Service-Error";
/// The time limit for reading the body of a response, which is in memory already.
const BYTES: Duration = Duration::from_secs(5);

pub(super) struct Reply {
    status: String,
    headers: HeaderMap,
    error: Option<String>,
    /// The body of the REST response, or the problem.
    pub(super) body: Bytes,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
}

impl Reply {
    /// The reply that carries a REST response.
    pub(super) async fn of(answer: Response) -> Self {
        let (parts, body) = answer.into_parts();
        let status = parts.status.as_u16().to_string();
        let is_error = parts.status.is_client_error() || parts.status.is_server_error();
        let body = bytes(body).await;
        let body = if is_error { by_field(body) } else { body };
        let code = |body: &Bytes| serde_json::from_slice(body).ok().map(|refusal: Refusal| refusal.code);
        let error = is_error.then(|| code(&body).unwrap_or_else(|| status.clone()));
        Self { status, headers: parts.headers, error, body }
    }

    /// The reply to a command that gets no REST response.
    pub(super) async fn refusal(problem: &Problem) -> Self {
        Self::of(problem.answer(RequestId::current())).await
    }

    /// The headers of the message.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let status = [(STATUS, &*self.status)];
        let code = self.error.iter().map(|_| (ERROR_CODE, &*self.status));
        let error = self.error.iter().map(|error| (ERROR, &**error));
        let same =
            HEADERS.iter().filter_map(|(name, here)| Some((*here, self.headers.get(*name)?.to_str().ok()?)));
        status.into_iter().chain(code).chain(error).chain(same)
    }
}

/// A problem that points to the header of the idempotency key, pointing to the field that a command has instead.
fn by_field(body: Bytes) -> Bytes {
    const HEADER: &str = "/Idempotency-Key";
    let Ok(mut problem) = serde_json::from_slice::<Value>(&body) else { return body };
    let errors = problem.get_mut("errors").and_then(Value::as_array_mut);
    let pointers = errors.into_iter().flatten().filter_map(|error| error.get_mut("pointer"));
    let mut is_changed = false;
    for pointer in pointers.filter(|pointer| **pointer == HEADER) {
        *pointer = format!("/{KEY}").into();
        is_changed = true;
    }
    if is_changed { problem.to_string().into() } else { body }
}

async fn bytes(body: Body) -> Bytes {
    let read = tokio::time::timeout(BYTES, body.into_bytes()).await;
    read.ok().and_then(Result::ok).unwrap_or_default()
}
