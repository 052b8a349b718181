//! Messages as the views have them, as of a position that the log has passed.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::timeout;

use crate::{
    domain::{ConversationId, FoundMessage, MessageId, Position, UserId},
    log::Unavailable,
    views::{self, Checkpoint, Progress},
};

/// How long a command waits for views that lag.
const VIEWS_BEHIND: Duration = Duration::from_secs(2);
/// How long one look-up may take.
const LOOK: Duration = Duration::from_secs(3);

/// Messages as the views have them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Messages {
    pool: PgPool,
    progress: Progress,
}

impl Messages {
    /// Looks messages up in the views of a database.
    pub(super) fn new(pool: PgPool, progress: Progress) -> Self {
        Self { pool, progress }
    }

    /// A message in the views, once the views have reached a position that the log has passed.
    pub(super) async fn found(
        &self,
        stream: usize,
        id: ConversationId,
        message: MessageId,
        by: UserId,
        retention: Option<u64>,
        position: Position,
    ) -> Result<Option<FoundMessage>, Unavailable> {
        let find = || views::found(&self.pool, stream, id, message, by, retention);
        let look = async || match timeout(LOOK, find()).await {
            Ok(found) => found.map_err(Unavailable::because),
            Err(_) => Err(Unavailable::because("the views do not answer in time")),
        };
        let (at, found) = look().await?;
        if at >= position {
            return Ok(found);
        }
        let reached = self.progress.reached(Checkpoint { stream, position }, VIEWS_BEHIND).await;
        if !reached.map_err(Unavailable::because)? {
            return Err(Unavailable::because("the views lag behind the log"));
        }
        match look().await? {
            (at, found) if at >= position => Ok(found),
            _ => Err(Unavailable::because(
                "the views of the conversation stand still before an unreadable event",
            )),
        }
    }
}
