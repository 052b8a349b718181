//! A line of an export: an event of a conversation.

use serde_json::value::RawValue;

use crate::{
    domain::{Position, Recorded},
    log::{EventData, PublicUrl, structured},
};

/// An event of an export.
pub(super) struct Line {
    pub(super) recorded: Recorded,
    /// The position of the event before it in its conversation; `None` for an event that has no effect.
    pub(super) previous: Option<Position>,
    /// The data that replaces its own data.
    pub(super) instead: Option<Box<RawValue>>,
}

impl Line {
    pub(super) fn new(recorded: Recorded, previous: Option<Position>) -> Self {
        Self { recorded, previous, instead: None }
    }

    /// The bytes of the line.
    pub(super) fn bytes(&self, public_url: Option<&PublicUrl>) -> Vec<u8> {
        let data = self.instead.as_deref().map_or(EventData::Stored, EventData::Instead);
        let mut line = structured(&self.recorded, self.previous, public_url, data);
        // A line break in JSON can only be between tokens, and would end the line here.
        line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        line.push(b'\n');
        line
    }
}
