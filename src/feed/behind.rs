//! Why it cannot be told at present what was missed.

use crate::{
    log::{Damaged, NotRead, Unavailable},
    shares::NoPlace,
};

/// Why it cannot be told now what was missed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Behind {
    /// Too much of this kind is under way.
    #[error("too much of this kind is under way")]
    Crowded(NoPlace),
    /// The views lag behind the log.
    #[error("the views lag behind the log")]
    Lagging,
    /// Something is missing in the log: it cannot be told any more.
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
