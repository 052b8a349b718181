//! What this process knows to be stored. Direct gets are answered by any replica, also by one that
//! lags behind; an answer counts only if the replica has the latest event that is known here.

use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::Position;

/// The latest event of a stream that is known to be stored. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::log) struct Known(Arc<Mutex<Option<Latest>>>);

/// An event that every replica has which does not lag behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::log) struct Latest {
    pub(in crate::log) position: Position,
    pub(in crate::log) subject: String,
}

impl Known {
    /// An event is stored, on the subject.
    pub(in crate::log) fn note(&self, position: Position, subject: impl FnOnce() -> String) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.as_ref().is_none_or(|latest| latest.position < position) {
            *latest = Some(Latest { position, subject: subject() });
        }
    }

    pub(in crate::log) fn latest(&self) -> Option<Latest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_event_is_no_news() {
        let known = Known::default();
        assert_eq!(known.latest(), None);
        known.note(Position(7), || "seven".into());
        known.note(Position(5), || unreachable!("an older one is not looked at"));
        assert_eq!(known.latest(), Some(Latest { position: Position(7), subject: "seven".into() }));
    }
}
