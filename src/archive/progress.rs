//! Whether an archive keeps up with its log. That an archiver runs and writes the manifest does not mean so: one stream may
//! be stuck while the others move on.

use std::collections::BTreeMap;

use crate::domain::Position;

/// Positions by the names of the streams.
pub(super) type Positions = BTreeMap<String, Position>;

/// Where the archive and the log stood when the archive kept up for the last time.
pub(super) struct Progress {
    /// How far each stream was archived.
    pub(super) archived: Positions,
    /// Where each stream ended.
    pub(super) logged: Positions,
}

impl Progress {
    /// Whether each stream is archived up to the end that it had then, or at least further than it was. A long log that is
    /// being archived for the first time is also one that moves.
    pub(super) fn keeps_up(&self, archived: &Positions) -> bool {
        let at = |of: &Positions, stream: &String| of.get(stream).copied().unwrap_or_default();
        self.logged.iter().all(|(stream, end)| {
            let now = at(archived, stream);
            now >= *end || now > at(&self.archived, stream)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(chat: u64, audit: u64) -> Positions {
        [("CHAT_0".to_owned(), Position(chat)), ("AUDIT".to_owned(), Position(audit))].into()
    }

    #[test]
    fn a_stream_that_is_stuck_is_seen_although_the_other_one_moves() {
        let progress = Progress { archived: positions(5, 3), logged: positions(9, 3) };
        assert!(!progress.keeps_up(&positions(5, 3)), "nothing has moved");
        assert!(!progress.keeps_up(&positions(5, 8)), "CHAT_0 is stuck");
        assert!(progress.keeps_up(&positions(6, 3)), "it moves, and AUDIT had nothing new");
        let whole = Progress { archived: positions(9, 3), logged: positions(9, 3) };
        assert!(whole.keeps_up(&positions(9, 3)), "all is archived");
        let new = Progress { archived: Positions::new(), logged: positions(0, 1) };
        assert!(!new.keeps_up(&Positions::new()) && new.keeps_up(&positions(0, 1)));
    }
}
