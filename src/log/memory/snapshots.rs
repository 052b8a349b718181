//! Snapshots of rosters. The log gets them from a function and does not know the views, which store them.

use std::{future::ready, sync::Arc};

use futures_util::future::BoxFuture;

use crate::domain::{ConversationId, Position, Snapshot};

/// A source of snapshots of rosters.
#[derive(Clone)]
pub struct Snapshots(Arc<Find>);

type Find = dyn Fn(ConversationId, Position) -> BoxFuture<'static, Option<Snapshot>> + Send + Sync;

impl Snapshots {
    /// `find` returns the last snapshot of a conversation up to and including a position. It answers soon, if necessary
    /// with `None`: the fold then takes longer and has the same result.
    pub fn by<F>(find: impl Fn(ConversationId, Position) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Snapshot>> + Send + 'static,
    {
        Self(Arc::new(move |id, up_to| Box::pin(find(id, up_to))))
    }

    /// A source that has no snapshots.
    pub(in crate::log) fn none() -> Self {
        Self::by(|_, _| ready(None))
    }

    pub(in crate::log) async fn last(&self, id: ConversationId, up_to: Position) -> Option<Snapshot> {
        (self.0)(id, up_to).await
    }
}
