//! Why missed events cannot be delivered at present.

use crate::{
    log::{Damaged, NotRead, Unavailable},
    shares::NoPlace,
};

/// Why missed events cannot be delivered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Behind {
    /// Too much work of this kind is already in progress.
    #[error("too much of this kind is under way")]
    Crowded(NoPlace),
    /// The views lag behind the log.
    #[error("the views lag behind the log")]
    Lagging,
    /// Missed messages are older than the retention period of their conversation.
    #[error("missed messages are older than the retention of their conversation")]
    Expired,
    /// An event is missing from the log, so the missed events can no longer be delivered.
    #[error(transparent)]
    Damaged(Damaged),
    /// A server does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<NoPlace> for Behind {
    fn from(no_place: NoPlace) -> Self {
        Self::Crowded(no_place)
    }
}

impl From<NotRead> for Behind {
    fn from(e: NotRead) -> Self {
        match e {
            NotRead::Damaged(damaged) => Self::Damaged(damaged),
            NotRead::Unavailable(e) => Self::Unavailable(e),
        }
    }
}

impl From<sqlx::Error> for Behind {
    fn from(e: sqlx::Error) -> Self {
        Self::Unavailable(Unavailable::because(e))
    }
}
