//! Creating and changing streams. An operator's NATS user may do it; the user of the nodes may not.

use std::fmt;

use async_nats::{
    ServerError,
    jetstream::{
        Context, ErrorCode,
        context::{CreateStreamError, CreateStreamErrorKind},
        stream::Config,
    },
};
use tokio::{select, sync::watch};

use crate::log::errors::{OpenError, refused};

/// A connection that creates streams. Cheap to clone.
#[derive(Clone)]
pub(in crate::log) struct Maker {
    pub(in crate::log) jetstream: Context,
    pub(in crate::log) refusals: Refusals,
}

/// The subject that nats-server has refused last. The server does not answer a request that the user may not make. It
/// reports the refusal separately, and the request alone would wait until its timeout.
#[derive(Clone)]
pub(in crate::log) struct Refusals(watch::Sender<String>);

impl Default for Refusals {
    fn default() -> Self {
        Self(watch::Sender::new(String::new()))
    }
}

impl Refusals {
    /// Notes an error of the server, if it is a refusal.
    pub(in crate::log) fn note(&self, error: &ServerError) {
        let ServerError::Other(said) = error else { return };
        let subject = said.strip_prefix("Permissions Violation for Publish to \"");
        if let Some(subject) = subject.and_then(|rest| rest.strip_suffix('"')) {
            self.0.send_replace(subject.to_owned());
        }
    }

    /// Waits for the answer to a request, or for the report that its subject is refused.
    pub(in crate::log) async fn hear<T, E: fmt::Display>(
        &self,
        subject: &str,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, OpenError> {
        // A refusal of an earlier attempt must not count for this one.
        self.0.send_if_modified(|refused| refused == subject && !std::mem::take(refused).is_empty());
        let mut refusals = self.0.subscribe();
        select! {
            answer = asked => Ok(answer),
            // This cannot fail: `self` holds the sender.
            _ = refusals.wait_for(|refused| refused == subject) => {
                Err(OpenError::Forbidden(subject.to_owned()))
            }
        }
    }
}

impl Maker {
    /// Creates a stream. A stream that exists already is no error: another process may have been faster.
    pub(in crate::log) async fn create(&self, config: Config) -> Result<(), OpenError> {
        let subject = format!("$JS.API.STREAM.CREATE.{}", config.name);
        match self.refusals.hear(&subject, self.jetstream.create_stream(&config)).await? {
            Err(e) if code(e.kind()) == Some(ErrorCode::STREAM_NAME_EXIST) => Ok(()),
            Err(e) => Err(why_not(config, e)),
            Ok(_) => Ok(()),
        }
    }

    /// Changes the settings of a stream.
    pub(in crate::log) async fn update(&self, config: Config) -> Result<(), OpenError> {
        let subject = format!("$JS.API.STREAM.UPDATE.{}", config.name);
        let updated = self.refusals.hear(&subject, self.jetstream.update_stream(&config)).await?;
        updated.map(drop).map_err(|e| why_not(config, e))
    }
}

fn code(kind: CreateStreamErrorKind) -> Option<ErrorCode> {
    match kind {
        CreateStreamErrorKind::JetStream(e) => Some(e.error_code()),
        _ => None,
    }
}

/// A cluster that lacks servers and a server without a cluster refuse copies in words that do not say what to do.
fn why_not(config: Config, error: CreateStreamError) -> OpenError {
    match code(error.kind()) {
        Some(ErrorCode::CLUSTER_NO_PEERS | ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED) => {
            OpenError::NoPlace { stream: config.name, replicas: config.num_replicas, why: error.to_string() }
        }
        _ => refused(error),
    }
}
