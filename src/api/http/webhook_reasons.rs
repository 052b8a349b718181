//! Translates the errors of webhooks into problems.

use crate::{
    api::http::reasons::{LATER, NOT_CONFIGURED, sentence},
    problems::Problem,
    webhooks::{BadEndpoint, Bound, WebhookError},
};

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::NotConfigured => {
                Self::unavailable("not_configured", sentence(error), NOT_CONFIGURED)
            }
            WebhookError::Sealed | WebhookError::Disallowed(_) => Self::conflict("conflict", sentence(error)),
            WebhookError::Address => Self::unusable("bad_address", "/url".to_owned(), error.to_string()),
            WebhookError::NoStream(bound) => Self::invalid(pointer(bound), "no_stream", error.to_string()),
            WebhookError::NoSuchStream(bound, _) => {
                Self::invalid(pointer(bound), "no_such_stream", error.to_string())
            }
            WebhookError::Busy => Self::unavailable("at_capacity", sentence(error), LATER),
            WebhookError::Bad(bad) => bad.into(),
            WebhookError::NotFound => Self::not_found(),
            WebhookError::TooMany => Self::conflict("too_many_webhooks", sentence(error)),
            WebhookError::TooManyReplays => Self::conflict("too_many_replays", sentence(error)),
            WebhookError::Database(outage) => outage.into(),
            WebhookError::Log(outage) => outage.into(),
        }
    }
}

fn pointer(bound: Bound) -> &'static str {
    match bound {
        Bound::From => "/from",
        Bound::Until => "/until",
    }
}

impl From<BadEndpoint> for Problem {
    fn from(bad: BadEndpoint) -> Self {
        let detail = bad.to_string();
        let (pointer, code) = match &bad {
            BadEndpoint::Url(_) => return Self::unusable("bad_address", "/url".to_owned(), detail),
            BadEndpoint::NoTypes => ("/types".to_owned(), "too_few"),
            BadEndpoint::Type(at) => (format!("/types/{at}"), "unknown_type"),
            BadEndpoint::Lane(at) => (format!("/lanes/{at}"), "unknown_lane"),
            BadEndpoint::Header(_) => ("/headers".to_owned(), "bad_header"),
            BadEndpoint::Concurrency => ("/concurrency".to_owned(), "out_of_range"),
            BadEndpoint::Description => ("/description".to_owned(), "too_long"),
        };
        Self::invalid(pointer, code, detail)
    }
}
