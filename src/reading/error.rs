//! Why something cannot be read.

use crate::{
    commands::{Refused, Unavailable},
    domain::{Position, Rejection},
    feed::PastError,
};

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It does not exist, or not for this user.
    #[error("there is nothing here that this user may see")]
    NotFound,
    /// Worth a retry.
    #[error("the views have not reached this position yet")]
    NotYet,
    /// The point of `as_of` cannot be named.
    #[error(transparent)]
    NoSuchPoint(#[from] NoSuchPoint),
    /// The log cannot be read up to the point of `as_of`.
    #[error(transparent)]
    Past(#[from] PastError),
    /// A rule says no, or the log does not answer.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<Unavailable> for ReadError {
    fn from(outage: Unavailable) -> Self {
        Self::Refused(outage.into())
    }
}

impl ReadError {
    /// Whether there is nothing that this user may see; anything else is an outage.
    fn is_missing(&self) -> bool {
        use Rejection::{NoSuchMember, NoSuchMessage, NotFound};
        matches!(
            self,
            Self::NotFound | Self::Refused(Refused::Rejected(NotFound | NoSuchMember | NoSuchMessage))
        )
    }
}

/// `None` for what does not exist, or not for this user.
pub(super) fn unless_missing<T>(found: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a point of a conversation cannot be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchPoint {
    /// Ahead of our clock.
    #[error("that time has not come yet")]
    InTheFuture,
    /// Ahead of the log.
    #[error("the log has not reached this position: name a position that you have seen")]
    AheadOfHead,
    /// Before the first position that this user may see.
    #[error("you may see this conversation from position {0} on")]
    BeforeYouJoined(Position),
}

impl NoSuchPoint {
    /// The reason as a word.
    pub fn code(self) -> &'static str {
        match self {
            Self::InTheFuture => "in_the_future",
            Self::AheadOfHead => "ahead_of_head",
            Self::BeforeYouJoined(_) => "before_you_joined",
        }
    }
}
