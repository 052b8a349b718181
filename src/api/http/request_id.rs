//! The id of a request, which its answer, its problem and its log lines name.

use std::fmt;

use poem::http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The name of a request: in the answer's `x-request-id`, in problems, in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    pub(in crate::api) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// The one of the request that is being answered; outside of one, a new one.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_else(|_| Self::fresh())
    }

    /// Answers a request under this id.
    pub(in crate::api) async fn within<F: Future>(self, answering: F) -> F::Output {
        CURRENT.scope(self, answering).await
    }

    /// The value of the header.
    pub(in crate::api) fn header(self) -> HeaderValue {
        self.0
    }

    /// The id as text: 8 to 64 of `A-Z a-z 0-9 _ -`.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    fn fresh() -> Self {
        let id = clock::name().hyphenated().to_string();
        Self(HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("unknown-request")))
    }

    /// What the client calls its request, if that is short and plain; else a new one.
    pub(in crate::api) fn of(headers: &HeaderMap) -> Self {
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
