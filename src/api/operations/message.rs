//! A message as one of the members sees it.

use poem_openapi::{Object, types::Example};
use serde::Serialize;

use crate::{
    api::{MentionsUsers, http::examples},
    commands::Sent,
    domain::{ConversationId, Json, MessageId, Position, Time, UserId},
    reading,
};

/// A message
#[derive(Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct Message {
    /// The id of the message
    pub(in crate::api) id: MessageId,
    /// The conversation of the message
    conversation_id: ConversationId,
    /// The position of the message
    position: Position,
    /// The user who sent the message
    sender: UserId,
    /// The idempotency key of the sender; empty if the message is erased
    client_id: String,
    /// The current text, as typed; empty if the message is deleted
    text: String,
    /// When the message was sent
    sent_at: Time,
    /// When the message was last edited
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<Time>,
    /// When the message was deleted. A deleted message has no text, metadata, mentions, reactions or pin
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Time>,
    /// The user who deleted the message
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_by: Option<UserId>,
    /// `true` if the message was erased: its text is no longer stored anywhere. An erased message looks like a
    /// deleted one, but without the idempotency key of its sender
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<bool>,
    /// The message to which this message replies
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<QuotedMessage>,
    /// The metadata that a program added
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Json>,
    /// The members whom the text mentions as `<@user id>`, in the order of their user ids
    mentions: Vec<UserId>,
    /// The reactions, oldest first
    reactions: Vec<ReactionCount>,
    /// Whether the message is pinned
    pinned: bool,
}

/// The message to which another message replies. If the caller may not read it, its sender and text are absent. The
/// response to a send never has them
#[derive(Serialize, Object)]
struct QuotedMessage {
    /// The id of the message
    id: MessageId,
    /// The position of the message
    position: Position,
    /// The user who sent the message
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<UserId>,
    /// The first 200 characters of the text; empty if the message is deleted
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Whether the message is deleted
    deleted: bool,
}

/// The number of identical reactions to a message
#[derive(Serialize, Object)]
struct ReactionCount {
    /// The emoji
    emoji: String,
    /// The number of members with this reaction
    count: i64,
    /// Whether the caller is one of these members
    mine: bool,
}

impl Message {
    /// A message as the views have it.
    pub(in crate::api) fn of(conversation_id: ConversationId, message: reading::Message) -> Self {
        let reply_to = message.reply_to.map(|quoted| QuotedMessage {
            id: quoted.id,
            position: quoted.position,
            sender: quoted.sender,
            text: quoted.text,
            deleted: quoted.deleted,
        });
        let count = |count: reading::ReactionCount| ReactionCount {
            emoji: count.emoji,
            count: count.count,
            mine: count.mine,
        };
        Self {
            id: message.id,
            conversation_id,
            position: message.position,
            sender: message.sender,
            client_id: message.client_id,
            text: message.text,
            sent_at: message.sent_at,
            edited_at: message.edited_at,
            deleted_at: message.deleted_at,
            deleted_by: message.deleted_by,
            erased: (message.deleted_at.is_some() && message.deleted_by.is_none()).then_some(true),
            reply_to,
            metadata: message.metadata,
            mentions: message.mentions,
            reactions: message.reactions.into_iter().map(count).collect(),
            pinned: message.pinned,
        }
    }

    /// A message as it was stored. So every retry gets the same response, even after an edit or a deletion.
    pub(in crate::api) fn sent(conversation_id: ConversationId, sender: UserId, sent: Sent) -> Self {
        let Sent { position, time, message } = sent;
        let quoted = message.reply_to.zip(message.reply_to_position);
        Self {
            id: message.message_id,
            conversation_id,
            position,
            sender,
            client_id: message.client_id,
            text: message.text,
            sent_at: time,
            edited_at: None,
            deleted_at: None,
            deleted_by: None,
            erased: None,
            reply_to: quoted.map(|(id, position)| QuotedMessage {
                id,
                position,
                sender: None,
                text: None,
                deleted: false,
            }),
            metadata: message.metadata,
            mentions: message.mentions,
            reactions: Vec::new(),
            pinned: false,
        }
    }
}

impl MentionsUsers for Message {
    fn mention(&self, found: &mut Vec<UserId>) {
        found.push(self.sender);
        found.extend(self.deleted_by);
        found.extend(self.reply_to.as_ref().and_then(|quoted| quoted.sender));
        found.extend(&self.mentions);
    }
}

impl Example for Message {
    fn example() -> Self {
        Self {
            id: examples::message(),
            conversation_id: examples::conversation(),
            position: examples::position(),
            sender: examples::ana(),
            client_id: examples::KEY.into(),
            text: examples::TEXT.into(),
            sent_at: examples::time(),
            edited_at: Some(examples::time()),
            deleted_at: None,
            deleted_by: None,
            erased: None,
            reply_to: None,
            metadata: None,
            mentions: Vec::new(),
            reactions: vec![ReactionCount { emoji: examples::EMOJI.into(), count: 2, mine: true }],
            pinned: false,
        }
    }
}
