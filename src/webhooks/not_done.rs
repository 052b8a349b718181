//! Why a request about a webhook failed.

use crate::{
    hooks::{
        HookError,
        endpoints::MAX_ENDPOINTS,
        replays::{MAX_REPLAYS, NotReplayed},
    },
    log::Unavailable,
    outbound::BadTarget,
    webhooks::endpoint::{BadEndpoint, Unusable, and_http},
};

/// An end of a range of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Where it begins.
    From,
    /// Where it ends.
    Until,
}

/// Why the request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebhookError {
    /// There is no master key.
    #[error("webhooks need a key that encrypts their secrets: set VERBATIM_MASTER_KEY_FILE")]
    NotConfigured,
    /// The stored secret or headers were sealed by another key.
    #[error(
        "the secret or the headers of this webhook were encrypted with another key than the one in VERBATIM_MASTER_KEY_FILE: rotate the secret, and then set the headers again"
    )]
    Sealed,
    /// The settings no longer allow the stored URL.
    #[error(
        "the URL of this webhook is no longer allowed: {}{}. Change the URL, or the settings of the nodes",
        .0, and_http(.0)
    )]
    Disallowed(BadTarget),
    /// A setting cannot be used.
    #[error(transparent)]
    Bad(#[from] BadEndpoint),
    /// The host has no address that we may call.
    #[error(
        "the host has no address to which events may be sent: check its name, or allow its private network with VERBATIM_WEBHOOK_ALLOW"
    )]
    Address,
    /// A position without a conversation names no event, because the log has several streams.
    #[error("a position belongs to one stream: send a conversation_id, too, or a position for each stream")]
    NoStream(Bound),
    /// There is no such stream.
    #[error("the log has {1} streams: number them from 0")]
    NoSuchStream(Bound, usize),
    /// This node is already running as many tests as it may.
    #[error("too many webhooks are being tested: try again in a moment")]
    Busy,
    /// There is no such endpoint, or it has no such delivery.
    #[error("there is no webhook or delivery with this id")]
    NotFound,
    /// The installation has as many endpoints as it may have.
    #[error("there are {} webhooks, which is the maximum: remove one first", MAX_ENDPOINTS)]
    TooMany,
    /// The endpoint has as many replays in progress as it may have.
    #[error(
        "the webhook has {} replays in progress, which is the maximum: wait until one has ended",
        MAX_REPLAYS
    )]
    TooManyReplays,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] Unavailable),
}

impl From<Unusable> for WebhookError {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::NoKey => Self::NotConfigured,
            Unusable::Sealed => Self::Sealed,
            Unusable::Url(bad) => Self::Disallowed(bad),
        }
    }
}

impl From<HookError> for WebhookError {
    fn from(error: HookError) -> Self {
        match error {
            HookError::NotFound => Self::NotFound,
            HookError::TooMany => Self::TooMany,
            HookError::Database(outage) => Self::Database(outage),
        }
    }
}

impl From<NotReplayed> for WebhookError {
    fn from(error: NotReplayed) -> Self {
        match error {
            NotReplayed::TooMany => Self::TooManyReplays,
            NotReplayed::Hook(error) => error.into(),
        }
    }
}
