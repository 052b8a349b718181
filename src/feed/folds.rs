//! Conversations folded at a position. In a storm of reconnects the members of a conversation come
//! with cursors of the same heartbeat, so one fold serves them all.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

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
    folds: HashMap<(ConversationId, Position), Fold>,
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
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).folds.get(&(id, position)).cloned();
        if let Some(fold) = known {
            return Ok(fold);
        }
        let fold = log.fold(id, Some(position)).await?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.members += 1 + fold.conversation.members().len();
        if kept.members > MEMBERS {
            *kept = Kept { members: 1 + fold.conversation.members().len(), ..Kept::default() };
        }
        kept.folds.insert((id, position), fold.clone());
        Ok(fold)
    }
}
