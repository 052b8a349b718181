//! A refusal, and the one function that writes it as a response.

use std::{borrow::Cow, time::Duration};

use poem::{
    IntoResponse, Response,
    error::ResponseError,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{Object, types::Example};
use serde::Serialize;

use crate::{
    limits::{Exceeded, Policy},
    overload::Shed,
    problems::{codes, request_id::RequestId},
};

/// The content type of a problem.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// A refusal for the client: `code` names the kind of problem, and `detail` says what is wrong and what to do
/// next.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{} {code}: {detail}", .status.as_u16())]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The kind of problem in `snake_case`: the same word as in a frame of the gateway.
    pub(crate) code: &'static str,
    /// The problem and the next step, for the developer of the client.
    pub(crate) detail: Cow<'static, str>,
    /// The invalid fields; empty for other kinds of problems.
    pub(crate) errors: Vec<FieldError>,
    /// The time before a retry; sent in whole seconds, at least one.
    pub(crate) retry_after: Option<Duration>,
    /// The rate limit that the request exceeded, if it exceeded one.
    pub(crate) violated: Option<Policy>,
    /// Additional headers of the response.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// One invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub(crate) struct FieldError {
    /// The location of the error: a JSON pointer (RFC 6901) into the body, or `/` and the name of a parameter
    pub(crate) pointer: String,
    /// The code of the error, for programs: `missing`, `wrong_type`, `invalid`, `out_of_range`, `unknown_field`,
    /// `unknown_parameter`, `repeated_parameter`, `contradictory` and others, which an operation explains if its clients
    /// need them. Later versions add codes
    pub(crate) code: String,
    /// What is wrong and what is expected, for people
    pub(crate) detail: String,
}

impl FieldError {
    /// An error in the field at `pointer`.
    pub(crate) fn new(pointer: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

impl Problem {
    /// A problem with any status; the functions below create the common ones.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self {
            status,
            code,
            detail,
            errors: Vec::new(),
            retry_after: None,
            violated: None,
            headers: Vec::new(),
        }
    }

    /// 400: the field of the body at `pointer` (`/members/3`) cannot be accepted.
    pub(crate) fn invalid(pointer: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError::new(pointer, code, detail)])
    }

    /// 400: these fields of the body cannot be accepted.
    pub(crate) fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let problem = Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_body",
            "The body of the request is invalid: see `errors` for each field and what is expected.",
        );
        Self { errors, ..problem }
    }

    /// 400: the query or header parameter `name` cannot be accepted.
    pub(crate) fn parameter(name: &str, code: &str, detail: impl Into<String>) -> Self {
        let detail = FieldError::new(format!("/{name}"), code, detail);
        let problem = Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_parameter",
            "A parameter of the request is invalid: see `errors` for the parameter and what is expected.",
        );
        Self { errors: vec![detail], ..problem }
    }

    /// 400 with a code of its own: the field of the body at `pointer` cannot be accepted.
    pub(crate) fn unusable(code: &'static str, pointer: String, detail: impl Into<String>) -> Self {
        let wrong = FieldError::new(pointer, code, detail);
        let said = "A field of the body cannot be used: see `errors` for the field and what is expected.";
        Self { errors: vec![wrong], ..Self::new(StatusCode::BAD_REQUEST, code, said) }
    }

    /// 401 with `WWW-Authenticate: Bearer`, as for a request without a token.
    pub(crate) fn unauthorized(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 403: the caller may see the resource, but not do this to it.
    pub(crate) fn forbidden(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 403: the caller may not act for the user. The wording is the same if the user does not exist, so the response
    /// does not reveal a user.
    pub(crate) fn may_not_act_for() -> Self {
        let detail = "You may not act for this user: name an active user who comes from a host application or an external \
                      issuer.";
        Self::forbidden("may_not_act_for", detail)
    }

    /// 404: the resource does not exist, or the caller may not know that it does. The wording is the same in
    /// both cases, so the response does not reveal a hidden resource.
    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is no such resource, or you may not see it: check the id and the access token.",
        )
    }

    /// 405 with `Allow`.
    pub(crate) fn not_allowed(allow: &str) -> Self {
        let detail = format!("The resource does not support this method: use {allow}.");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        match HeaderValue::from_str(allow) {
            Ok(allow) => problem.with(header::ALLOW, allow),
            Err(_) => problem,
        }
    }

    /// 409: the request conflicts with the present state, or with an earlier request with the same key.
    pub(crate) fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 413: the body has more than `limit` bytes.
    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("The body has more than {limit} bytes: send a shorter one.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// 415: the body is not JSON.
    pub(crate) fn not_json() -> Self {
        let detail = "The body is not JSON: send JSON with the header `Content-Type: application/json`.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 429 with `Retry-After`.
    pub(crate) fn too_many(
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
        retry_after: Duration,
    ) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail);
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// 500: the server failed. The reason goes to the log, never to the client.
    pub(crate) fn internal() -> Self {
        let detail = "The server failed: report the `request_id` to the operator.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// 503 with `Retry-After`: the server cannot answer at the moment.
    pub(crate) fn unavailable(
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
        retry_after: Duration,
    ) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// The same problem, for a request with a token that was refused: a client can tell a 401 because of its token from
    /// one without a token (RFC 6750, section 3.1).
    #[must_use]
    pub(crate) fn despite_token(mut self) -> Self {
        for (name, value) in &mut self.headers {
            if *name == header::WWW_AUTHENTICATE {
                *value = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            }
        }
        self
    }

    /// The same problem with one more header.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Problem {
    /// The response to the request with this id. All problems are written here, so all have the same headers,
    /// and no cache stores them.
    pub(crate) fn answer(&self, id: RequestId) -> Response {
        let body = serde_json::to_vec(&Document::of(self, id.as_str())).unwrap_or_default();
        let mut response = Response::builder().status(self.status).content_type(CONTENT_TYPE).body(body);
        let headers = response.headers_mut();
        headers.insert(RequestId::HEADER, id.header());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        response
    }
}

impl From<Exceeded> for Problem {
    fn from(Exceeded { policy, wait }: Exceeded) -> Self {
        let detail = "You sent too many requests: wait for the time in `Retry-After`, then send the same request again.";
        Self { violated: Some(policy), ..Self::too_many("rate_limited", detail, wait) }
    }
}

impl From<Shed> for Problem {
    fn from(_: Shed) -> Self {
        Self::unavailable(Shed::CODE, Shed::DETAIL, Shed::AGAIN)
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn as_response(&self) -> Response {
        self.answer(RequestId::current())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.as_response()
    }
}

/// Why a request was refused (RFC 9457)
#[derive(Serialize, Object)]
#[oai(rename = "Problem", example)]
pub(crate) struct Document {
    /// The kind of problem as a URI reference
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    kind: String,
    /// The kind of problem, for people
    title: String,
    /// The HTTP status
    status: u16,
    /// The code of the problem, for programs
    code: String,
    /// What is wrong and what to do next, for the developer of the client
    detail: String,
    /// The id of the request, as in the header `x-request-id`
    request_id: String,
    /// The invalid fields
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[oai(default, skip_serializing_if_is_empty)]
    errors: Vec<FieldError>,
    /// The rate limits that were exceeded, by their names in the header `RateLimit-Policy`
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    #[oai(rename = "violated-policies", default, skip_serializing_if_is_empty)]
    violated: Vec<String>,
}

/// The kinds of problems that an IETF draft (ratelimit-headers) defines.
const REDUCED_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

impl Document {
    pub(crate) fn of(problem: &Problem, request_id: &str) -> Self {
        debug_assert!(codes::is_known(problem.code), "`{}` is not in the list of codes", problem.code);
        let mut title = problem.code.replace('_', " ");
        title.get_mut(..1).map(str::make_ascii_uppercase);
        Self {
            kind: match (problem.violated, problem.code) {
                (Some(_), _) => QUOTA_EXCEEDED.into(),
                (None, Shed::CODE) => REDUCED_CAPACITY.into(),
                (None, code) => format!("{}/{code}", codes::PATH),
            },
            title,
            status: problem.status.as_u16(),
            code: problem.code.into(),
            detail: problem.detail.clone().into(),
            request_id: request_id.into(),
            errors: problem.errors.clone(),
            violated: problem.violated.iter().map(|policy| policy.word().to_owned()).collect(),
        }
    }
}

impl Example for Document {
    fn example() -> Self {
        Self::of(&Problem::not_found(), EXAMPLE_ID)
    }
}

/// The id of the request in examples.
pub(crate) const EXAMPLE_ID: &str = "01930f3e-2a7b-7c3d-8e4f-0123456789ab";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_is_rounded_up_to_whole_seconds() {
        for (wait, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let problem = Problem::unavailable("not_yet", "Wait.", Duration::from_millis(wait));
            assert_eq!(problem.into_response().header("retry-after"), Some(header));
        }
    }
}
