//! The stored watermarks of the view.

use sqlx::PgPool;
use tokio::time::timeout;

use crate::{
    commands::deadlines::OWN_EVENT,
    domain::{ConversationId, ReceiptAdvanced, UserId},
    log::Unavailable,
    views::{self, Checkpoint, Progress},
};

/// Asks the view for watermarks. Cheap to clone.
#[derive(Clone)]
pub(super) struct Stored {
    pool: PgPool,
    progress: Progress,
}

impl Stored {
    pub(super) fn new(pool: PgPool, progress: Progress) -> Self {
        Self { pool, progress }
    }

    /// The watermarks in the view, once the view has reached a position, or after [`OWN_EVENT`] at the latest. Receipts
    /// after that position reach this process through the log.
    pub(super) async fn watermarks(
        &self,
        id: ConversationId,
        user: UserId,
        wanted: Checkpoint,
    ) -> Result<ReceiptAdvanced, Unavailable> {
        self.progress.reached(wanted, OWN_EVENT).await.map_err(Unavailable::because)?;
        match timeout(OWN_EVENT, views::watermarks(&self.pool, id, user)).await {
            Ok(stored) => stored.map_err(Unavailable::because),
            Err(_) => Err(Unavailable::because("the views do not answer in time")),
        }
    }
}
