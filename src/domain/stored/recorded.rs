//! An event as the log keeps it. The log reader, the hub, the feed, the projector and the views pass it on in this one
//! form.

use bytes::Bytes;

use crate::domain::{ConversationId, Erasure, Event, EventId, Lane, Point, Position, Time, UserId};

/// An event as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The position in the log.
    pub position: Position,
    /// The conversation.
    pub conversation: ConversationId,
    /// The lane within the conversation.
    pub lane: Lane,
    /// The id of the event.
    pub id: EventId,
    /// The user who caused the event.
    pub actor: UserId,
    /// The service account through which the user acted.
    pub via: Option<UserId>,
    /// The time of the event, for people to read.
    pub time: Time,
    /// The type as clients see it: `message.sent`, or `message.sent.v2` for a version other than the first.
    pub word: String,
    /// The event; `None` if this version cannot read it, because the type, its version or the lane is newer.
    pub event: Option<Event>,
    /// The data as stored.
    pub data: Bytes,
    /// The reason why the event is malformed. A malformed event is void, and its unknown ids are nil.
    pub poison: Option<String>,
    /// The erasure that deleted the content of the event. If there is one, the event is a skeleton.
    pub erased: Option<Box<Erasure>>,
}

/// The idempotency key that an event holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordedKey<'a> {
    /// The key as the client sent it.
    Plain(&'a str),
    /// The event is erased, and only a hash of user, conversation and key is left.
    Erased(&'a str),
}

impl Recorded {
    /// The idempotency key of the actor, or what is left of it, if the command had one.
    pub fn key(&self) -> Option<RecordedKey<'_>> {
        match &self.erased {
            Some(erasure) => erasure.client_hash.as_deref().map(RecordedKey::Erased),
            None => self.event.as_ref().and_then(Event::client_id).map(RecordedKey::Plain),
        }
    }

    /// The position, with the id of the event, which proves the log to which the position belongs.
    pub fn point(&self) -> Point {
        Point { position: self.position, event: self.id }
    }

    /// Whether the subject of the event names a conversation.
    pub fn has_conversation(&self) -> bool {
        !self.conversation.uuid().is_nil()
    }

    /// Whether a conversation begins with this event: the conversation has no earlier events.
    pub fn begins(&self) -> bool {
        matches!(self.event, Some(Event::ConversationCreated(_)))
    }

    /// The event as shown once it is older than the retention of its conversation. A message and an edit are reduced to
    /// the data that an erasure leaves; other events stay as they are.
    #[must_use]
    pub fn without_text(&self) -> Self {
        let message = match &self.event {
            Some(Event::MessageSent(sent)) => sent.message_id,
            Some(Event::MessageEdited(edited)) => edited.message_id,
            _ => return self.clone(),
        };
        let data = serde_json::json!({ "message_id": message, "erased": true }).to_string();
        Self { event: None, data: data.into(), ..self.clone() }
    }

    /// An event without a meaning, for tests of code that only keeps events.
    #[cfg(test)]
    pub(crate) fn meaningless(position: u64, conversation: ConversationId, bytes: usize) -> Self {
        Self {
            position: Position(position),
            conversation,
            lane: Lane::Timeline,
            id: EventId::known(uuid::Uuid::nil()),
            actor: UserId::known(uuid::Uuid::nil()),
            via: None,
            time: Time::of(time::OffsetDateTime::UNIX_EPOCH),
            word: "something.new".into(),
            event: None,
            data: vec![b' '; bytes].into(),
            poison: None,
            erased: None,
        }
    }

    /// An event at a position, for tests of its effects.
    #[cfg(test)]
    pub(crate) fn happened(
        position: u64,
        conversation: ConversationId,
        actor: UserId,
        event: Option<Event>,
    ) -> Self {
        let (lane, word) = event.as_ref().map_or((Lane::Timeline, "something.new"), |e| (e.lane(), e.word()));
        let data = event.as_ref().map_or_else(|| Ok("{}".into()), Event::data).expect("JSON");
        let meaningless = Self::meaningless(position, conversation, 0);
        Self { actor, lane, word: word.into(), event, data: data.into(), ..meaningless }
    }

    /// An event that erases messages at positions of its conversation, for tests of code that forgets erased messages.
    #[cfg(test)]
    pub(crate) fn erasing(position: u64, conversation: ConversationId, positions: &[u64]) -> Self {
        use crate::domain::{ContentErased, ErasedEntry, MessageId};

        let id = uuid::Uuid::from_u128(7);
        let entry = |position: &u64| ErasedEntry {
            position: Position(*position),
            id: EventId::known(id),
            kind: "message.sent".into(),
            lane: "timeline".into(),
            actor: UserId::known(id),
            time: Time::of(time::OffsetDateTime::UNIX_EPOCH),
            message_id: Some(MessageId::known(id)),
            message_position: None,
            client_hash: None,
            counts: true,
            data: None,
        };
        let erased = positions.iter().map(entry).collect();
        let erased = ContentErased { request_id: id, reason: "request".into(), erased };
        Self::happened(position, conversation, UserId::known(id), Some(Event::ContentErased(erased)))
    }
}
