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

    /// The watermarks in the view, once the view has reached a position, or after [`OWN_EVENT`] at the latest, and
    /// whether the view has all receipts up to that position. Receipts after it reach this process through the log.
    pub(super) async fn watermarks(
        &self,
        id: ConversationId,
        user: UserId,
        wanted: Checkpoint,
    ) -> Result<(ReceiptAdvanced, bool), Unavailable> {
        let has_reached = self.progress.reached(wanted, OWN_EVENT).await.map_err(Unavailable::because)?;
        let asked = async {
            let stands_still = self.progress.stands_still(id, wanted.position).await?;
            Ok((views::watermarks(&self.pool, id, user).await?, has_reached && !stands_still))
        };
        match timeout(OWN_EVENT, asked).await {
            Ok(stored) => stored.map_err(|e: sqlx::Error| Unavailable::because(e)),
            Err(_) => Err(Unavailable::because("the views do not answer in time")),
        }
    }
}
