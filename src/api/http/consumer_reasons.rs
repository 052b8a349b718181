//! Translates the errors of consumers into problems.

use crate::{
    api::http::reasons::{NOT_CONFIGURED, outage, sentence},
    consumers::ConsumerError,
    log::OpenError,
    problems::Problem,
};

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
            ConsumerError::Database(error) => error.into(),
            ConsumerError::Log(error) => outage(error),
        }
    }
}
