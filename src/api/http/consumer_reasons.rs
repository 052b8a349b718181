//! Translates the errors of consumers into problems.

use std::time::Duration;

use crate::{
    api::http::reasons::{AGAIN, sentence},
    consumers::ConsumerError,
    log::OpenError,
    problems::Problem,
};

/// How long a client waits before it retries an operation that an operator has to enable first.
const NOT_CONFIGURED: Duration = Duration::from_secs(300);

impl From<ConsumerError> for Problem {
    fn from(error: ConsumerError) -> Self {
        match error {
            ConsumerError::NotConfigured(_)
            | ConsumerError::NeedsOperator(_)
            // The streams of parked events are missing, and a node may not make them.
            | ConsumerError::Log(OpenError::Forbidden(_)) => {
                Self::unavailable("not_configured", sentence(error), NOT_CONFIGURED)
            }
            ConsumerError::NotFound(_) => Self::not_found(),
            ConsumerError::Filter(bad) => Self::invalid(format!("/{}", bad.field), bad.code, bad.to_string()),
            ConsumerError::Refused(_) => Self::conflict("conflict", sentence(error)),
            ConsumerError::Database(outage) => outage.into(),
            ConsumerError::Log(outage) => {
                tracing::warn!(error = %outage, "a request failed: the log did not answer");
                let again = "The server cannot process the request at the moment: send the same request again.";
                Self::unavailable("unavailable", again, AGAIN)
            }
        }
    }
}
