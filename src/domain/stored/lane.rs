//! The lanes of a conversation: the last token of a subject.

use std::fmt;

/// The kinds of events within a conversation, each with a subject of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Changes of members, roles, title and settings. Commands are decided on these events.
    Roster,
    /// Messages, and acts on messages.
    Timeline,
    /// Watermarks of delivery and reading.
    Receipts,
    /// Acts of moderators, host applications, retention and erasure. No decision loads them, so there may be many.
    Control,
    /// Changes of presence, which are not kept forever.
    Presence,
    /// A lane that only a newer version knows.
    Newer(LaneWord),
}

/// A word that names a lane: one to sixteen letters from `a` to `z`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneWord {
    letters: [u8; LaneWord::LIMIT],
    length: u8,
}

impl Lane {
    /// The lanes that are kept forever, and whose events have a place in the order of a conversation.
    pub const DURABLE: [Self; 4] = [Self::Roster, Self::Timeline, Self::Receipts, Self::Control];

    /// The last token of the subjects of this lane.
    pub fn word(&self) -> &str {
        match self {
            Self::Roster => "roster",
            Self::Timeline => "timeline",
            Self::Receipts => "receipts",
            Self::Control => "control",
            Self::Presence => "presence",
            Self::Newer(word) => word.as_str(),
        }
    }

    /// The lane with this last token of its subjects; `None` for a token that can never name a lane.
    pub fn named(word: &str) -> Option<Self> {
        let known = Self::DURABLE.into_iter().chain([Self::Presence]).find(|lane| lane.word() == word);
        known.or_else(|| LaneWord::new(word).map(Self::Newer))
    }

    /// Whether an event counts only if its actor is a member at its position. An event of any other lane always
    /// counts: a lane that this version does not know must be part of the same chain on old and on new nodes.
    pub fn is_for_members(&self) -> bool {
        matches!(self, Self::Timeline | Self::Receipts | Self::Presence)
    }

    /// Whether this version knows what the events of the lane mean.
    pub fn is_read(&self) -> bool {
        !matches!(self, Self::Newer(_))
    }
}

impl LaneWord {
    const LIMIT: usize = 16;

    fn new(word: &str) -> Option<Self> {
        let is_word = (1..=Self::LIMIT).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase());
        is_word.then(|| {
            let mut letters = [0; Self::LIMIT];
            letters[..word.len()].copy_from_slice(word.as_bytes());
            Self { letters, length: word.len().try_into().unwrap_or_default() }
        })
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.letters[..self.length.into()]).unwrap_or_default()
    }
}

impl fmt::Debug for LaneWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_is_read_back_by_its_word() {
        for word in
            ["roster", "timeline", "receipts", "control", "presence", "sealed", "z", "abcdefghijklmnop"]
        {
            let lane = Lane::named(word).expect(word);
            assert_eq!(lane.word(), word);
            assert_eq!(matches!(lane, Lane::Newer(_)), ["sealed", "z", "abcdefghijklmnop"].contains(&word));
        }
        for word in ["", "Roster", "abcdefghijklmnopq", "a1", "a-b", "*", ">", "\u{e4}"] {
            assert_eq!(Lane::named(word), None, "{word}");
        }
    }

    #[test]
    fn an_event_always_counts_unless_its_lane_is_for_members() {
        let for_members = ["roster", "timeline", "receipts", "control", "presence", "sealed"]
            .map(|word| Lane::named(word).expect(word).is_for_members());
        assert_eq!(for_members, [false, true, true, false, true, false]);
    }
}
