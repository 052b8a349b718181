//! Why an erasure is refused.

use crate::log::{NotRead, Unavailable};

/// Why an erasure is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErasureError {
    /// There is no such request.
    #[error("there is no such erasure")]
    NotFound,
    /// There is neither a message nor a title at one of the requested positions. The value is its index in the request.
    #[error("there is no message or title at this position of the conversation: check the position")]
    NoMessage(usize),
    /// There is no such account, or it is already erased. The value is the field of the request that names it.
    #[error("there is no user account with this id, or it is erased already")]
    NoAccount(&'static str),
    /// The log still admits readers that would mistake an erasure for damage.
    #[error(
        "the log still admits readers that do not support erasures: run `verbatim migrate` with an operator's NATS user"
    )]
    OldReaders,
    /// The log does not answer, or cannot be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A damaged log counts as an outage here, because any other request would fail as well.
impl From<NotRead> for ErasureError {
    fn from(e: NotRead) -> Self {
        Unavailable::from(e).into()
    }
}
