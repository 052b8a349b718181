//! Why an export is refused.

use crate::{
    domain::HoldId,
    feed::Behind,
    limits::Exceeded,
    log::{NotRead, Unavailable},
    shares::NoPlace,
};

/// Why an export is refused, or was cut off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The account has requested too many exports.
    #[error(transparent)]
    RateLimited(#[from] Exceeded),
    /// `since` is later than this node's clock.
    #[error("that time has not come yet")]
    InTheFuture,
    /// There is no such hold.
    #[error("there is no legal hold {0}: check the id")]
    NoHold(HoldId),
    /// The hold was lifted and no longer keeps anything.
    #[error("the legal hold was lifted and no longer keeps anything: place another one")]
    HoldLifted,
    /// There is no such export, or the link is not one of its links.
    #[error("there is no such export")]
    NotFound,
    /// The export has expired, the login or the key that got the link has ended, or this is no longer the same log.
    #[error("the link is no longer valid: get the export again for a new link")]
    Over,
    /// The account is deactivated.
    #[error("the account is suspended: ask the operator")]
    Suspended,
    /// No place is free for a download, or for a query of the views.
    #[error("too many downloads are under way")]
    Crowded(NoPlace),
    /// The views lag behind the positions of the export.
    #[error("the views lag behind the log")]
    Lagging,
    /// The log does not answer, or cannot be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The zip cannot be written.
    #[error("the zip cannot be written: {0}")]
    Zip(#[from] std::io::Error),
    /// The client has stopped reading.
    #[error("the client did not read for too long")]
    NotTaken,
    /// The client takes no more bytes.
    #[error("the client has disconnected")]
    Abandoned,
}

impl From<NoPlace> for ExportError {
    fn from(no_place: NoPlace) -> Self {
        Self::Crowded(no_place)
    }
}

/// A damaged log counts as an outage here: another request would fail as well.
impl From<NotRead> for ExportError {
    fn from(e: NotRead) -> Self {
        Unavailable::from(e).into()
    }
}

impl From<Behind> for ExportError {
    fn from(behind: Behind) -> Self {
        match behind {
            Behind::Crowded(no_place) => Self::Crowded(no_place),
            // An export asks for memberships, and never for missed events.
            Behind::Lagging | Behind::Expired => Self::Lagging,
            Behind::Damaged(damaged) => Unavailable::because(damaged).into(),
            Behind::Unavailable(e) => Self::Unavailable(e),
        }
    }
}
