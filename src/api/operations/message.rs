//! A message as one of the members sees it.

use poem_openapi::{Object, types::Example};
use serde::Serialize;

use crate::{
    api::http::examples,
    commands::Sent,
    domain::{ConversationId, Json, MessageId, Position, Time, UserId},
    views,
};

/// A message
#[derive(Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct Message {
    /// Its id
    pub(in crate::api) id: MessageId,
    /// Where it was said
    conversation_id: ConversationId,
    /// Where it stands
    position: Position,
    /// Who sent it
    sender: UserId,
    /// The sender's idempotency key
    client_id: String,
    /// As typed; empty once it is deleted
    text: String,
    /// When
    sent_at: Time,
    /// When it was last edited
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<Time>,
    /// When it was deleted: then its text, metadata, mentions, reactions and pin are gone
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Time>,
    /// Who deleted it
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_by: Option<UserId>,
    /// The message that it answers
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<QuotedMessage>,
    /// What programs added
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Json>,
    /// The members whom its text names as `<@user id>`, by id
    mentions: Vec<UserId>,
    /// Its reactions, the first one first
    reactions: Vec<ReactionCount>,
    /// Whether it is pinned
    pinned: bool,
}

/// The message that another one answers; of one that I may not see there is only its place
#[derive(Serialize, Object)]
struct QuotedMessage {
    /// Its id
    id: MessageId,
    /// Where it stands
    position: Position,
    /// Who sent it
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<UserId>,
    /// How it begins, up to 200 characters; empty once it is deleted
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Whether it has been deleted
    deleted: bool,
}

/// How often a message has a reaction
#[derive(Serialize, Object)]
struct ReactionCount {
    /// Which reaction
    emoji: String,
    /// From how many members
    count: i64,
    /// Whether mine is among them
    mine: bool,
}

impl Message {
    /// What the views say.
    pub(in crate::api) fn of(conversation_id: ConversationId, message: views::Message) -> Self {
        let reply_to = message.reply_to.map(|quoted| QuotedMessage {
            id: quoted.id,
            position: quoted.position,
            sender: quoted.sender,
            text: quoted.text,
            deleted: quoted.deleted,
        });
        let count = |count: views::ReactionCount| ReactionCount {
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
            reply_to,
            metadata: message.metadata,
            mentions: message.mentions,
            reactions: message.reactions.into_iter().map(count).collect(),
            pinned: message.pinned,
        }
    }

    /// What has just been stored: the same at every retry, whatever became of it since.
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
            reply_to: None,
            metadata: None,
            mentions: Vec::new(),
            reactions: vec![ReactionCount { emoji: examples::EMOJI.into(), count: 2, mine: true }],
            pinned: false,
        }
    }
}
