//! Conversations folded at a position. In a storm of reconnects the members of a conversation come
//! with cursors of the same heartbeat, so one fold serves them all, also those who ask while it is made.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

use crate::{
    domain::{ConversationId, Fold, Position},
    log::{Log, NotRead},
};

/// The most members of all conversations that are kept; beyond, all are forgotten.
const MEMBERS: usize = 100_000;

#[derive(Default)]
pub(super) struct Folds(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    folds: HashMap<(ConversationId, Position), Arc<OnceCell<Fold>>>,
    members: usize,
}

impl Folds {
    /// The conversation up to and with a position: what it was then does not change any more.
    pub(super) async fn at(
        &self,
        log: &Log,
        id: ConversationId,
        position: Position,
    ) -> Result<Fold, NotRead> {
        let place = self.kept().place((id, position));
        let fold = place.get_or_try_init(async || {
            let fold = log.fold(id, Some(position)).await?;
            self.kept().members += fold.conversation.members().len();
            Ok(fold)
        });
        fold.await.cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn place(&mut self, of: (ConversationId, Position)) -> Arc<OnceCell<Fold>> {
        if self.members > MEMBERS {
            *self = Self::default();
        }
        self.folds
            .entry(of)
            .or_insert_with(|| {
                self.members += 1;
                Arc::default()
            })
            .clone()
    }
}
