//! Snapshots of rosters, as the log asks for them: it does not know who keeps them.

use std::{future::ready, sync::Arc};

use futures_util::future::BoxFuture;

use crate::domain::{ConversationId, Position, Snapshot};

/// Where snapshots of rosters are kept.
#[derive(Clone)]
pub struct Snapshots(Arc<Find>);

type Find = dyn Fn(ConversationId, Position) -> BoxFuture<'static, Option<Snapshot>> + Send + Sync;

impl Snapshots {
    /// By `find`, which answers the last snapshot of a conversation up to and with a position. It answers soon,
    /// if need be none: a fold then takes longer, and is the same.
    pub fn by<F>(find: impl Fn(ConversationId, Position) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Snapshot>> + Send + 'static,
    {
        Self(Arc::new(move |id, up_to| Box::pin(find(id, up_to))))
    }

    /// None are kept.
    pub(in crate::log) fn none() -> Self {
        Self::by(|_, _| ready(None))
    }

    pub(in crate::log) async fn last(&self, id: ConversationId, up_to: Position) -> Option<Snapshot> {
        (self.0)(id, up_to).await
    }
}
