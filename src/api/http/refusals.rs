//! The sets of error statuses that operations document. The error type of an operation names its set.

use poem_openapi::{
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use crate::problems;

/// The statuses that every operation may return. Only operations with a body document 413 and 415.
pub(in crate::api) const ALWAYS: [u16; 5] = [400, 413, 415, 429, 503];

pub(in crate::api) fn register(registry: &mut Registry) {
    <problems::Document as Type>::register(registry);
}

pub(in crate::api) fn meta(own: &[u16]) -> MetaResponses {
    let mut statuses = [&ALWAYS, own].concat();
    statuses.sort_unstable();
    MetaResponses { responses: statuses.into_iter().map(response).collect() }
}

fn response(status: u16) -> MetaResponse {
    let (description, header) = match status {
        400 => ("The request is invalid", None),
        401 => (
            "The request has no valid access token",
            Some((
                "WWW-Authenticate",
                "The scheme to use: `Bearer`, with `error=\"invalid_token\"` if the request has a token",
                String::schema_ref(),
            )),
        ),
        403 => ("The caller may not do this", None),
        404 => ("The resource does not exist, or the caller may not see it", None),
        409 => ("The request conflicts with the current state", None),
        410 => ("The cursor, the link or the legal hold is no longer valid, or the content was erased", None),
        413 => ("The body is too large", None),
        415 => ("The body is not JSON", None),
        429 => (
            "Too many requests. For `rate_limited`, `violated-policies` names the rate limit, and the headers \
             `RateLimit-Policy` and `RateLimit` describe it",
            Some(("Retry-After", "The number of seconds to wait before a retry", u32::schema_ref())),
        ),
        503 => (
            "The server cannot process the request at the moment",
            Some(("Retry-After", "The number of seconds to wait before a retry", u32::schema_ref())),
        ),
        _ => ("The request was refused", None),
    };
    let headers = header.map(|(name, description, schema)| MetaHeader {
        name: name.into(),
        description: Some(description.into()),
        required: true,
        deprecated: false,
        schema,
    });
    MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: problems::CONTENT_TYPE,
            schema: problems::Document::schema_ref(),
        }],
        headers: headers.into_iter().collect(),
    }
}

/// Declares sets of error statuses. Each set includes the statuses in `ALWAYS`.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: $($status:literal)*;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name($crate::problems::Problem);

        impl<E: Into<$crate::problems::Problem>> From<E> for $name {
            fn from(reason: E) -> Self {
                let problem = reason.into();
                debug_assert!(
                    problem.status.is_server_error()
                        || [$($status),*].iter().chain(&$crate::api::http::refusals::ALWAYS)
                            .any(|documented: &u16| *documented == problem.status.as_u16()),
                    "{problem}: this status is not in {}", stringify!($name),
                );
                Self(problem)
            }
        }

        impl From<$name> for poem::Error {
            fn from(refused: $name) -> Self {
                refused.0.into()
            }
        }

        impl poem_openapi::ApiResponse for $name {
            fn meta() -> poem_openapi::registry::MetaResponses {
                $crate::api::http::refusals::meta(&[$($status),*])
            }

            fn register(registry: &mut poem_openapi::registry::Registry) {
                $crate::api::http::refusals::register(registry);
            }
        }
    )+};
}
refusals! {
    /// An operation that needs no token.
    Public: ;
    /// An operation that needs no token and creates a resource. The name may be taken, or the caller may not be allowed
    /// to create one.
    Claimed: 403 409;
    /// An operation that needs a token.
    SignedIn: 401 403;
    /// An operation that needs a token and one more proof of identity.
    Proven: 401 403;
    /// An operation that needs a token and the password of an account, which may have none.
    Confirmed: 401 403 409;
    /// An operation that creates a resource once for each key, unless one user blocks the other.
    Keyed: 401 403 409;
    /// An operation that continues from something that may have ended: a cursor or a legal hold.
    Followed: 401 403 410;
    /// An operation that serves a file to anyone with its link.
    Downloaded: 403 404 410;
    /// An operation on a resource that may not exist.
    Found: 401 403 404;
    /// An operation on a resource that may not exist, under rules that may forbid the operation.
    Ruled: 401 403 404 409;
    /// Like `Ruled`, for an operation whose idempotency key may belong to something that has been erased
    /// since.
    Retried: 401 403 404 409 410;
}
