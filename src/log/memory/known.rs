//! The latest event that this process knows to be stored. Any replica answers a direct get, even one that lags; its
//! answer counts only if it has this event.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{ConversationId, Position};

/// The latest event of a stream that is known to be stored. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::log) struct Known(Arc<Mutex<Option<Latest>>>);

/// An event that every replica has, unless the replica lags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct Latest {
    pub(in crate::log) position: Position,
    pub(in crate::log) conversation: ConversationId,
}

impl Known {
    /// Notes that an event of a conversation is stored.
    pub(in crate::log) fn note(&self, position: Position, conversation: ConversationId) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.is_none_or(|latest| latest.position < position) {
            *latest = Some(Latest { position, conversation });
        }
    }

    pub(in crate::log) fn latest(&self) -> Option<Latest> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_event_is_no_news() {
        let known = Known::default();
        assert_eq!(known.latest(), None);
        let [seven, five] = [7, 5].map(|n| ConversationId::known(uuid::Uuid::from_u128(n)));
        known.note(Position(7), seven);
        known.note(Position(5), five);
        assert_eq!(known.latest(), Some(Latest { position: Position(7), conversation: seven }));
    }
}
