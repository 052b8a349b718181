//! The errors of reads.

use crate::{
    commands::{Refused, Unavailable},
    credentials::Proof,
    domain::{Position, Rejection},
    feed::{Behind, PastError, Reset},
    live::{Ended, Full},
    shares::NoPlace,
    views::SearchError,
};

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing here that this user may see.
    #[error("there is nothing here that this user may see")]
    NotFound,
    /// The views lag behind. A retry may succeed.
    #[error("the views have not reached this position yet")]
    NotYet,
    /// `as_of` names no point that this user may see.
    #[error(transparent)]
    NoSuchPoint(#[from] NoSuchPoint),
    /// The log cannot be read up to the point of `as_of`.
    #[error(transparent)]
    Past(#[from] PastError),
    /// The search takes too long.
    #[error("the search looks at too many messages: search for rarer words")]
    TooBroad,
    /// Too many reads of the same kind are under way.
    #[error("too many reads of this kind are under way")]
    Crowded(NoPlace),
    /// A rule or a rate limit refuses the read, or the log does not answer.
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

impl From<NoPlace> for ReadError {
    fn from(no_place: NoPlace) -> Self {
        Self::Crowded(no_place)
    }
}

impl From<SearchError> for ReadError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::TooBroad => Self::TooBroad,
            SearchError::Database(outage) => Self::Database(outage),
        }
    }
}

impl ReadError {
    /// Whether the error means that there is nothing that this user may see.
    fn is_missing(&self) -> bool {
        use Rejection::{NoSuchMember, NotFound};
        matches!(self, Self::NotFound | Self::Refused(Refused::Rejected(NotFound | NoSuchMember)))
    }
}

/// Turns the error that there is nothing to see into `None`, and keeps every other outcome.
pub(super) fn unless_missing<T>(found: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a point of a conversation cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchPoint {
    /// The time is ahead of our clock.
    #[error("the time is in the future: send a time in the past")]
    InTheFuture,
    /// The position is ahead of the log.
    #[error("the log has not reached this position: send a position that you have seen")]
    AheadOfHead,
    /// The point is before the first position that this user may see.
    #[error("you may see this conversation only from position {0} on: send this position or a later one")]
    BeforeYouJoined(Position),
}

impl NoSuchPoint {
    /// The code of the reason, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::InTheFuture => "in_the_future",
            Self::AheadOfHead => "ahead_of_head",
            Self::BeforeYouJoined(_) => "before_you_joined",
        }
    }
}

/// Why a reader of events cannot begin or continue.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Too many requests follow events.
    #[error("too many requests follow events: end another request first")]
    Full(Full),
    /// The login, the key or the account of the reader has ended.
    #[error("the login, the key or the account of the caller has ended")]
    Ended(Ended),
    /// The token or the key of the reader has expired.
    #[error("the token or the key of the caller has expired")]
    Expired(Proof),
    /// The user for whom a program follows the events is no longer active.
    #[error("the caller may not act for this user any more")]
    MayNotActFor,
    /// The server cannot continue from the cursor.
    #[error("cannot continue from this cursor: begin without a cursor")]
    Gone(Reset),
    /// This process has not heard from the log lately.
    #[error("this process does not hear from the log: continue at another one")]
    CutOff,
    /// The missed events cannot be read now.
    #[error(transparent)]
    Behind(#[from] Behind),
}

impl From<Full> for FollowError {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<Reset> for FollowError {
    fn from(reset: Reset) -> Self {
        Self::Gone(reset)
    }
}

impl From<Unavailable> for FollowError {
    fn from(outage: Unavailable) -> Self {
        Self::Behind(outage.into())
    }
}
