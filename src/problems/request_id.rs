//! The id of a request, which is in the response, in the problem and in the log lines of the request.

use std::fmt;

use poem::http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of a request, in the header `x-request-id` of the response, in problems and in log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// The id of the request that is being answered; a new id outside of a request.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_else(|_| Self::fresh())
    }

    /// Runs `answering` with this id as the current one.
    pub(crate) async fn within<F: Future>(self, answering: F) -> F::Output {
        CURRENT.scope(self, answering).await
    }

    /// The value of the header.
    pub(crate) fn header(self) -> HeaderValue {
        self.0
    }

    /// The id as text: 8 to 64 of `A-Z a-z 0-9 _ -`.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    fn fresh() -> Self {
        let id = clock::name().hyphenated().to_string();
        Self(HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("unknown-request")))
    }

    /// The client's own id of the request, if it is short and plain; otherwise a new id.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let plain = |id: &&HeaderValue| {
            let id = id.as_bytes();
            (8..=64).contains(&id.len())
                && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        headers.get(Self::HEADER).filter(plain).map_or_else(Self::fresh, |id| Self(id.clone()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
