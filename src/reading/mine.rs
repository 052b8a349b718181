//! A conversation as one of its members sees it.

use crate::{
    accounts::ConversationSettings,
    commands::{Changed, Started},
    domain::{Conversation, Kind, Position, Role, Time, UserId},
    views::{LastMessage, MyConversation},
};

/// A conversation with the settings of the member who sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mine {
    /// The conversation. Its head is the position that this answer has reached.
    pub conversation: MyConversation,
    /// The private settings of the member.
    pub settings: ConversationSettings,
}

impl Mine {
    /// A conversation that has just begun, without the views, which may not know it yet. No member has
    /// changed settings for the conversation yet, so it has the default settings.
    pub fn begun(started: &Started, me: UserId) -> Self {
        Self { conversation: begun(started, me), settings: ConversationSettings::default() }
    }

    /// The conversation after a command: its head is at least the position of the change, which the views may not have
    /// reached yet.
    pub(super) fn after(self, me: UserId, Changed { position, conversation: roster, .. }: &Changed) -> Self {
        let Self { conversation: now, settings } = self;
        let conversation = MyConversation {
            title: roster.title().map(str::to_owned),
            history: roster.history(),
            retention: roster.retention(),
            role: roster.membership(me).map_or(now.role, |membership| membership.role),
            head: now.head.max(*position),
            ..now
        };
        Self { conversation, settings }
    }
}

/// The conversation as the views have it, with the title, role and settings of the roster, and without a last message
/// that the member may not see. The views may lag behind, so only the roster decides that, together with `oldest`, the
/// time from which on the conversation keeps messages. `None` for a user who is not a member.
pub(super) fn seen(
    view: MyConversation,
    roster: &Conversation,
    me: UserId,
    oldest: Option<Time>,
) -> Option<MyConversation> {
    let (role, visible_from) = (roster.membership(me)?.role, roster.visible_from(me)?);
    let title = roster.title().map(str::to_owned);
    let is_seen = |last: &LastMessage| {
        last.position > visible_from && oldest.is_none_or(|oldest| last.sent_at >= oldest)
    };
    let last_message = view.last_message.filter(is_seen);
    let (history, retention) = (roster.history(), roster.retention());
    Some(MyConversation { title, history, retention, role, last_message, ..view })
}

/// The conversation as it was when it began.
pub(super) fn begun(started: &Started, me: UserId) -> MyConversation {
    let roster = &started.conversation;
    let others = || roster.members().map(|(user, _)| user).find(|user| *user != me);
    MyConversation {
        id: started.id,
        kind: roster.kind(),
        title: roster.title().map(str::to_owned),
        history: roster.history(),
        retention: roster.retention(),
        peer: (roster.kind() == Kind::Direct).then(others).flatten(),
        role: roster.membership(me).map_or(Role::Member, |membership| membership.role),
        created_at: started.created_at,
        active_at: started.created_at,
        last_message: None,
        unread: 0,
        mentions: 0,
        read: Position::START,
        head: started.position,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Command, Event, History, Title};

    fn user(last: u8) -> UserId {
        format!("01930f3c-5a7b-7c3d-8e4f-0123456789a{last}").parse().expect("id")
    }

    fn time() -> Time {
        "2026-11-24T14:00:00Z".parse().expect("time")
    }

    fn group() -> Arc<Conversation> {
        let title = Title::try_from("Supper".to_owned()).expect("title");
        let command = Command::StartGroup { title, members: vec![] };
        let event = Conversation::default().decide(user(1), command).expect("allowed").expect("event");
        let mut conversation = Conversation::default();
        conversation.evolve(Position(7), &event);
        conversation.into()
    }

    fn view(last: u64) -> MyConversation {
        let id = "01930f3c-5a7b-7c3d-8e4f-0123456789c0";
        let last_message = LastMessage {
            id: id.parse().expect("id"),
            position: Position(last),
            sender: user(2),
            text: "hello".into(),
            sent_at: time(),
            edited_at: None,
            deleted_at: None,
        };
        MyConversation {
            id: id.parse().expect("id"),
            kind: Kind::Group,
            title: Some("An old title".into()),
            history: History::Full,
            retention: None,
            peer: None,
            role: Role::Member,
            created_at: time(),
            active_at: time(),
            last_message: Some(last_message),
            unread: 1,
            mentions: 0,
            read: Position(2),
            head: Position(9),
        }
    }

    #[test]
    fn a_group_is_told_by_the_roster_where_the_view_is_behind() {
        let seen = seen(view(8), &group(), user(1), None).expect("a member");
        assert_eq!((seen.title.as_deref(), seen.role), (Some("Supper"), Role::Owner));
        assert_eq!((seen.head, seen.unread), (Position(9), 1));
        let mine = Mine { conversation: seen, settings: ConversationSettings::default() };
        let after = |position| {
            let changed = Changed { position: Position(position), conversation: group(), changed: true };
            mine.clone().after(user(1), &changed)
        };
        assert_eq!(after(12).conversation.head, Position(12));
        assert_eq!(after(8), mine);
    }

    #[test]
    fn a_view_that_is_behind_shows_nothing_to_a_former_or_later_member() {
        let begun = group();
        assert_eq!(seen(view(8), &begun, user(2), None), None);
        let mut later = (*begun).clone();
        for (at, command) in [
            (
                9,
                Command::Update {
                    title: None,
                    history: Some(History::SinceJoin),
                    retention: None,
                    client_id: None,
                },
            ),
            (10, Command::Add { user: user(2), role: Role::Member, client_id: None }),
        ] {
            let event: Event = later.decide(user(1), command).expect("allowed").expect("event");
            later.evolve(Position(at), &event);
        }
        assert_eq!(seen(view(8), &later, user(2), None).expect("a member").last_message, None);
        assert!(seen(view(11), &later, user(2), None).expect("a member").last_message.is_some());
        let oldest = Some(time().plus(std::time::Duration::from_millis(1)));
        assert_eq!(seen(view(11), &later, user(2), oldest).expect("a member").last_message, None, "expired");
    }
}
