//! A conversation as one of its members sees it.

use poem_openapi::{Object, types::Example};
use serde::Serialize;

use crate::{
    api::{
        MentionsUsers,
        http::examples,
        operations::{members::Member, message::Message, settings::ConversationSettings},
    },
    domain::{ConversationId, History, Kind, MessageId, Position, Role, Time, UserId},
    reading::{self, Mine, Preview},
};

/// A conversation as the caller sees it
#[derive(Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct Conversation {
    /// The id of the conversation
    pub(in crate::api) id: ConversationId,
    /// Direct or group
    kind: Kind,
    /// The title of a group; absent if it was erased
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// How much of the history new members may read
    history: History,
    /// How long messages are kept, in seconds; absent if the conversation has no retention of its own
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_s: Option<u64>,
    /// The other member of a direct conversation
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    /// The role of the caller
    role: Role,
    /// When the conversation was created
    created_at: Time,
    /// When the last message was sent, or when the caller joined if that is later
    active_at: Time,
    /// The position of the last event of the conversation
    head: Position,
    /// The position that this response has reached. Pass it as `min_position` to later reads
    position: Position,
    /// The number of unread messages from other members, without deleted ones. The server counts up to 1,000 among
    /// the latest 10,000 messages
    unread: i64,
    /// The number of unread messages that mention the caller
    mentions: i64,
    /// The position up to which the caller has read
    read: Position,
    /// Whether the devices of the caller should stay silent about this conversation
    muted: bool,
    /// When the mute ends; absent if it has no end
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until: Option<Time>,
    /// Whether the caller has archived the conversation
    archived: bool,
    /// The last message that the caller may read
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<LastMessage>,
    /// The first 10 members in the order of their user ids, as in the list of members. Only in the list of
    /// conversations, with `include=members`
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<Member>>,
    /// The number of all members. Only in the list of conversations, with `include=members`
    #[serde(skip_serializing_if = "Option::is_none")]
    member_count: Option<usize>,
    /// The last 20 messages that the caller may read, newest first. Only in the list of conversations, with
    /// `include=messages`
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Message>>,
}

/// The last message of a conversation
#[derive(Serialize, Object)]
struct LastMessage {
    /// The id of the message
    id: MessageId,
    /// The position of the message
    position: Position,
    /// The user who sent the message
    sender: UserId,
    /// The current text; empty if the message is deleted
    text: String,
    /// When the message was sent
    sent_at: Time,
    /// When the message was last edited
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<Time>,
    /// When the message was deleted
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Time>,
}

impl From<Mine> for Conversation {
    fn from(Mine { conversation, settings }: Mine) -> Self {
        let ConversationSettings { muted, muted_until, archived } = settings.into();
        Self {
            id: conversation.id,
            kind: conversation.kind,
            title: conversation.title,
            history: conversation.history,
            retention_s: conversation.retention,
            user_id: conversation.peer,
            role: conversation.role,
            created_at: conversation.created_at,
            active_at: conversation.active_at,
            head: conversation.head,
            position: conversation.head,
            unread: conversation.unread,
            mentions: conversation.mentions,
            read: conversation.read,
            muted,
            muted_until,
            archived,
            last_message: conversation.last_message.map(LastMessage::from),
            members: None,
            member_count: None,
            messages: None,
        }
    }
}

impl Conversation {
    /// The conversation with its preview.
    pub(in crate::api) fn with(self, preview: Preview) -> Self {
        let (members, member_count) = preview.members.unzip();
        let members = members.map(|members| members.into_iter().map(Member::from).collect());
        let message = |message| Message::of(self.id, message);
        let messages = preview.messages.map(|messages| messages.into_iter().map(message).collect());
        Self { members, member_count, messages, ..self }
    }
}

impl MentionsUsers for Conversation {
    fn mention(&self, found: &mut Vec<UserId>) {
        found.extend(self.user_id);
        found.extend(self.last_message.as_ref().map(|last| last.sender));
        self.members.iter().flatten().for_each(|member| member.mention(found));
        self.messages.iter().flatten().for_each(|message| message.mention(found));
    }
}

impl From<reading::LastMessage> for LastMessage {
    fn from(last: reading::LastMessage) -> Self {
        Self {
            id: last.id,
            position: last.position,
            sender: last.sender,
            text: last.text,
            sent_at: last.sent_at,
            edited_at: last.edited_at,
            deleted_at: last.deleted_at,
        }
    }
}

impl Example for Conversation {
    fn example() -> Self {
        let last_message = LastMessage {
            id: examples::message(),
            position: examples::position(),
            sender: examples::ben(),
            text: examples::TEXT.into(),
            sent_at: examples::time(),
            edited_at: None,
            deleted_at: None,
        };
        Self {
            id: examples::conversation(),
            kind: Kind::Group,
            title: Some(examples::TITLE.into()),
            history: History::Full,
            retention_s: None,
            user_id: None,
            role: Role::Owner,
            created_at: examples::time(),
            active_at: examples::time(),
            head: examples::position(),
            position: examples::position(),
            unread: 1,
            mentions: 0,
            read: Position(1017),
            muted: false,
            muted_until: None,
            archived: false,
            last_message: Some(last_message),
            members: None,
            member_count: None,
            messages: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        commands::Started,
        domain::{self, Command},
    };
    use examples::{ana, ben};

    #[test]
    fn a_direct_conversation_names_the_other_one_from_both_sides() {
        let command = Command::StartDirect { with: ben(), blocked: false };
        let event = domain::Conversation::default().decide(ana(), command).expect("allowed").expect("event");
        let mut conversation = domain::Conversation::default();
        conversation.evolve(Position(7), &event);
        let started = Started {
            id: examples::conversation(),
            position: Position(7),
            created_at: examples::time(),
            created_by: ana(),
            conversation: conversation.into(),
            existed: false,
        };
        let begun = |me| Conversation::from(Mine::begun(&started, me));
        assert_eq!(begun(ana()).user_id, Some(ben()));
        let body = serde_json::to_value(begun(ben())).expect("json");
        let at = examples::time();
        let expected = json!({
            "id": examples::conversation(), "kind": "direct", "history": "full", "user_id": ana(),
            "role": "member", "created_at": at, "active_at": at, "head": 7, "position": 7, "unread": 0,
            "mentions": 0, "read": 0, "muted": false, "archived": false,
        });
        assert_eq!(body, expected);
    }
}
