//! The moment of a read, and the part of a list or of the history that it asks for.

use crate::{
    domain::{AsOf, Position},
    feed::LookBack,
    views::Direction,
};

/// The moment for which a client asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct When {
    /// The position that the views must have reached.
    pub min_position: Option<Position>,
    /// An earlier point, for a look back.
    pub as_of: Option<AsOf>,
}

impl When {
    /// The present, once the views have reached `min_position`.
    pub fn now(min_position: Option<Position>) -> Self {
        Self { min_position, as_of: None }
    }
}

/// The part of a list for which a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListPart<C> {
    /// The last row of the part before; `None` for the first part.
    pub after: Option<C>,
    /// The most rows.
    pub limit: i64,
}

/// The part of a history for which a client asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Asked {
    /// Up to this many messages in one direction.
    From(Direction, i64),
    /// Messages on both sides of a position. If there are fewer on one side, more come from the other. One more message
    /// at or before the position shows that the list continues.
    Around {
        /// The position.
        position: Position,
        /// Up to this many messages at or before the position.
        older: i64,
        /// Up to this many messages after the position.
        newer: i64,
    },
}

/// The moment of a list. It is empty for a list that events do not continue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The list has all events of its conversation up to this position, and no later one.
    pub position: Option<Position>,
    /// The cursor from which events continue the list.
    pub cursor: Option<String>,
    /// The first position of a history whose earlier messages are older than the retention of the conversation.
    pub floor: Option<Position>,
}

impl Standing {
    /// The standing of a look back: the list ends at the point, and no event continues it.
    pub(super) fn past(past: &LookBack) -> Self {
        Self { position: Some(past.position()), cursor: None, floor: None }
    }
}
