//! The skeleton of an erased event, as readers get it.

use std::collections::BTreeMap;

use serde_json::{json, value::RawValue};

use crate::domain::{
    ConversationCreated, ConversationId, ConversationUpdated, ErasedEntry, Erasure, Event, Json, Lane,
    MessageSent, Position, Recorded, Time,
};

impl ErasedEntry {
    /// The event that readers get in place of the erased one. A message has no text left, and the views show it as
    /// deleted. An edit has no effect left, and keeps its place in the chain. A roster event loses only its title. A
    /// message of a version that this version could not read stays unread: a fold that has read over it and one that
    /// reads the skeleton have to agree.
    pub fn skeleton(&self, conversation: ConversationId, told_at: Position, at: Time) -> Recorded {
        let said = self.data.as_ref().map_or_else(
            || json!({ "message_id": self.message_id, "erased": true }).to_string(),
            |data| data.as_str().to_owned(),
        );
        let is_known = Event::TYPES.contains(&self.kind.as_str());
        let event = match self.message_id {
            Some(message_id) if is_known && self.is_message() => Some(Event::MessageSent(MessageSent {
                message_id,
                client_id: String::new(),
                text: String::new(),
                reply_to: None,
                reply_to_position: None,
                metadata: None,
                mentions: Vec::new(),
            })),
            _ if self.data.is_some() => Event::read(&self.kind, said.as_bytes())
                .and_then(serde_json::Result::ok)
                .map(Event::with_erased_title),
            _ => None,
        };
        Recorded {
            position: self.position,
            conversation,
            lane: Lane::named(&self.lane).unwrap_or(Lane::Timeline),
            id: self.id,
            actor: self.actor,
            via: None,
            time: self.time,
            word: self.kind.clone(),
            event,
            data: said.into(),
            poison: None,
            erased: Some(Erasure { told_at, at, client_hash: self.client_hash.clone() }.into()),
        }
    }
}

/// The data of a roster event as they stay when its title is erased: without the title, and without the idempotency
/// key, of which only a hash is left. `None` for data without a title. Fields that a newer version added stay.
pub(crate) fn data_without_title(data: &[u8]) -> Option<Json> {
    let mut data: BTreeMap<String, &RawValue> = serde_json::from_slice(data).ok()?;
    data.remove("title")?;
    data.remove("client_id");
    serde_json::to_string(&data).ok()?.parse().ok()
}

impl Event {
    /// Puts an empty title in place of the erased one. No command can set an empty title, so a fold can distinguish an
    /// erased title from an event that does not change the title.
    pub(crate) fn with_erased_title(self) -> Self {
        let title = Some(String::new());
        match self {
            Self::ConversationCreated(created) => {
                Self::ConversationCreated(ConversationCreated { title, ..created })
            }
            Self::ConversationUpdated(updated) => {
                Self::ConversationUpdated(ConversationUpdated { title, ..updated })
            }
            other => other,
        }
    }
}
