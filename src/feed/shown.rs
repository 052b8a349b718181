//! One event of what was missed.

use crate::{domain::Position, log::Recorded};

/// An event that the user may see.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The event.
    pub recorded: Recorded,
    /// The position before it in the chain of its conversation.
    pub previous: Position,
}
