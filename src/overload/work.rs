//! The kinds of work that a node can refuse, in one table.

use std::time::Duration;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $quarters:literal;)+) => {
        /// A kind of work that an overloaded node refuses, from the first kind to the last.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum WorkKind { $($(#[doc = $doc])+ $name,)+ }

        impl WorkKind {
            /// Every kind of work, in the order of refusal.
            pub const ALL: [Self; [$($quarters),+].len()] = [$(Self::$name),+];

            /// The name in metrics and log lines.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// The wait from which on the kind is refused. The first kind is refused from `least` on.
            pub(super) fn refused_from(self, least: Duration) -> Duration {
                match self { $(Self::$name => least * $quarters / 4,)+ }
            }
        }
    };
}

kinds! {
    /// Frames `typing`.
    Typing = "typing", 4;
    /// Frames `presence`.
    Presence = "presence", 5;
    /// Receipts, by frame or request.
    Receipts = "receipts", 6;
    /// Searches, and reads with `as_of`.
    Search = "search", 8;
    /// All other reads.
    History = "history", 12;
    /// Catching up, by a socket with a cursor or by a request that follows events.
    Resume = "resume", 16;
    /// New sockets, logins and accounts.
    Connect = "connects", 24;
    /// Everything that changes a conversation.
    Send = "sends", 40;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_table_is_the_order_of_refusals() {
        let waits = WorkKind::ALL.map(|work| work.refused_from(Duration::from_millis(200)));
        assert!(waits.is_sorted_by(|one, next| one < next), "{waits:?}");
        assert!(WorkKind::ALL.is_sorted());
        assert_eq!((waits[0].as_millis(), waits[7].as_millis()), (200, 2_000));
        let words = WorkKind::ALL.map(WorkKind::word);
        assert_eq!(
            words,
            ["typing", "presence", "receipts", "search", "history", "resume", "connects", "sends"]
        );
    }
}
