//! A conversation as one of its members sees it.

use poem_openapi::{Object, types::Example};
use serde::Serialize;

use crate::{
    api::{http::examples, operations::settings::ConversationSettings},
    commands::Started,
    domain::{self, ConversationId, History, Kind, MessageId, Position, Role, Time, UserId},
    views::{self},
};

/// A conversation as the caller sees it
#[derive(Debug, PartialEq, Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct Conversation {
    /// The id of the conversation
    pub(in crate::api) id: ConversationId,
    /// Direct or group
    kind: Kind,
    /// The title of a group
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// How much of the history new members may read
    history: History,
    /// The other member of a direct conversation
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    /// The role of the caller
    role: Role,
    /// The time at which the conversation was created
    created_at: Time,
    /// The time of the last message, or the time at which the caller joined if that is later
    active_at: Time,
    /// The position of the last event of the conversation
    head: Position,
    /// The position that this answer has reached. Pass it as `min_position` to later reads
    position: Position,
    /// The number of unread messages of other members, deleted ones left out. The server counts up to 1,000
    /// among the latest 10,000 messages
    unread: i64,
    /// The number of unread messages that mention the caller
    mentions: i64,
    /// The position up to which the caller has read
    read: Position,
    /// Whether the devices of the caller should stay silent about this conversation
    muted: bool,
    /// The end of the mute; absent if the mute has no end
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_until: Option<Time>,
    /// Whether the caller has archived the conversation
    archived: bool,
    /// The last message that the caller may read
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<LastMessage>,
}

/// The last message of a conversation
#[derive(Debug, PartialEq, Serialize, Object)]
struct LastMessage {
    /// The id of the message
    id: MessageId,
    /// The position of the message
    position: Position,
    /// The user who sent the message
    sender: UserId,
    /// The current text; empty if the message is deleted
    text: String,
    /// The time at which the message was sent
    sent_at: Time,
    /// The time of the last edit
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<Time>,
    /// The time of the deletion
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Time>,
}

impl Conversation {
    /// What the view says; who may do and see what, as the log says, which is never behind. `None`
    /// for somebody who is not a member.
    pub(in crate::api) fn of(
        view: views::MyConversation,
        roster: &domain::Conversation,
        me: UserId,
    ) -> Option<Self> {
        let (role, visible_from) = (roster.membership(me)?.role, roster.visible_from(me)?);
        let last = view.last_message.filter(|last| last.position > visible_from);
        Some(Self {
            id: view.id,
            kind: view.kind,
            title: roster.title().map(str::to_owned),
            history: roster.history(),
            user_id: view.peer,
            role,
            created_at: view.created_at,
            active_at: view.active_at,
            head: view.head,
            position: view.head,
            unread: view.unread,
            mentions: view.mentions,
            read: view.read,
            muted: false,
            muted_until: None,
            archived: false,
            last_message: last.map(|last| LastMessage {
                id: last.id,
                position: last.position,
                sender: last.sender,
                text: last.text,
                sent_at: last.sent_at,
                edited_at: last.edited_at,
                deleted_at: last.deleted_at,
            }),
        })
    }

    /// One that has just begun, of which the views may not know yet.
    pub(in crate::api) fn begun(started: &Started, me: UserId) -> Self {
        let roster = &started.conversation;
        let others = || roster.members().map(|(user, _)| user).find(|user| *user != me);
        Self {
            id: started.id,
            kind: roster.kind(),
            title: roster.title().map(str::to_owned),
            history: roster.history(),
            user_id: (roster.kind() == Kind::Direct).then(others).flatten(),
            role: roster.membership(me).map_or(Role::Member, |membership| membership.role),
            created_at: started.created_at,
            active_at: started.created_at,
            head: started.position,
            position: started.position,
            unread: 0,
            mentions: 0,
            read: Position::START,
            muted: false,
            muted_until: None,
            archived: false,
            last_message: None,
        }
    }

    /// The same with what I have settled for myself.
    pub(in crate::api) fn settled(self, settings: ConversationSettings) -> Self {
        let ConversationSettings { muted, muted_until, archived } = settings;
        Self { muted, muted_until, archived, ..self }
    }

    /// The same after a command that reached `position`.
    pub(in crate::api) fn at(self, position: Position) -> Self {
        Self { position: self.position.max(position), head: self.head.max(position), ..self }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{Command, Event};
    use examples::{ana, ben};

    fn started(command: Command) -> Started {
        let event = domain::Conversation::default().decide(ana(), command).expect("allowed").expect("event");
        let mut conversation = domain::Conversation::default();
        conversation.evolve(Position(7), &event);
        Started {
            id: examples::conversation(),
            position: Position(7),
            created_at: examples::time(),
            created_by: ana(),
            conversation: conversation.into(),
            existed: false,
        }
    }

    fn view(last: Option<u64>) -> views::MyConversation {
        views::MyConversation {
            id: examples::conversation(),
            kind: Kind::Group,
            title: Some("An old title".into()),
            history: History::Full,
            peer: None,
            role: Role::Member,
            created_at: examples::time(),
            active_at: examples::time(),
            last_message: last.map(|at| views::LastMessage {
                id: examples::message(),
                position: Position(at),
                sender: ben(),
                text: "hello".into(),
                sent_at: examples::time(),
                edited_at: None,
                deleted_at: None,
            }),
            unread: 1,
            mentions: 0,
            read: Position(2),
            head: Position(9),
        }
    }

    #[test]
    fn a_direct_conversation_names_the_other_one_from_both_sides() {
        let started = started(Command::StartDirect { with: ben(), blocked: false });
        assert_eq!(Conversation::begun(&started, ana()).user_id, Some(ben()));
        let body = serde_json::to_value(Conversation::begun(&started, ben())).expect("json");
        let at = examples::time();
        let expected = json!({
            "id": examples::conversation(), "kind": "direct", "history": "full", "user_id": ana(),
            "role": "member", "created_at": at, "active_at": at, "head": 7, "position": 7, "unread": 0,
            "mentions": 0, "read": 0, "muted": false, "archived": false,
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_group_is_told_by_the_roster_where_the_view_is_behind() {
        let begun = started(Command::StartGroup { title: examples::title(), members: vec![] });
        let shown = Conversation::of(view(Some(8)), &begun.conversation, ana()).expect("a member");
        assert_eq!((shown.title.as_deref(), shown.role), (Some(examples::TITLE), Role::Owner));
        assert_eq!((shown.position, shown.unread), (Position(9), 1));
        assert_eq!(shown.at(Position(12)).position, Position(12));
    }

    #[test]
    fn a_view_that_is_behind_shows_nothing_to_a_former_or_later_member() {
        let begun = started(Command::StartGroup { title: examples::title(), members: vec![] });
        assert_eq!(Conversation::of(view(Some(8)), &begun.conversation, ben()), None);
        let mut later = (*begun.conversation).clone();
        for (at, command) in [
            (9, Command::Update { title: None, history: Some(History::SinceJoin) }),
            (10, Command::Add { user: ben(), role: Role::Member }),
        ] {
            let event: Event = later.decide(ana(), command).expect("allowed").expect("event");
            later.evolve(Position(at), &event);
        }
        let shown = Conversation::of(view(Some(8)), &later, ben()).expect("a member");
        assert_eq!(shown.last_message, None);
        assert!(Conversation::of(view(Some(11)), &later, ben()).expect("a member").last_message.is_some());
    }
}
