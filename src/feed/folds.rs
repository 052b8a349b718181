//! Conversations folded up to a position. In a storm of reconnects, the members of a conversation arrive with cursors
//! of the same heartbeat. One fold serves all of them, and callers that need it while it is being made wait for it.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::{
    cache::Cache,
    domain::{ConversationId, Fold, Position},
    log::{Log, NotRead},
};

/// The most members of all kept folds together. Each fold counts as one more.
const MEMBERS: usize = 100_000;

/// Folds that were made recently. The past does not change, so a fold never becomes stale.
pub(super) struct Folds(Cache<(ConversationId, Position), Place>);

/// The entry of a fold. It exists from the moment at which the fold begins.
#[derive(Clone, Default)]
struct Place {
    fold: Arc<OnceCell<Fold>>,
    members: usize,
}

impl Default for Folds {
    fn default() -> Self {
        Self(Cache::weighing("folds", MEMBERS, 1, |place: &Place| place.members))
    }
}

impl Folds {
    /// The conversation up to and including a position.
    pub(super) async fn at(
        &self,
        log: &Log,
        id: ConversationId,
        position: Position,
    ) -> Result<Fold, NotRead> {
        let place = self.0.get_or_insert_with((id, position), Place::default);
        let fold = place.fold.get_or_try_init(async || {
            let fold = log.fold(id, Some(position)).await?;
            let members = fold.conversation.members().len();
            self.0.change(&(id, position), |place| place.members = members);
            Ok(fold)
        });
        fold.await.cloned()
    }

    /// Keeps a conversation that the caller has folded up to a position, for the next reader from there.
    pub(super) fn keep(&self, id: ConversationId, position: Position, fold: Fold) {
        let members = fold.conversation.members().len();
        self.0.insert((id, position), Place { fold: Arc::new(OnceCell::new_with(Some(fold))), members });
    }
}
