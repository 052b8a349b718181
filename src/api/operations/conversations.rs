//! Conversations as their members see them: starting, listing, changing.

use futures_util::future::try_join_all;
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use sqlx::PgPool;

use crate::{
    accounts,
    api::operations::tag::Tag,
    api::operations::{
        settings::{settings_for, settings_of, unarchived},
        users::must_exist,
    },
    api::{
        Body, Caller, Created, Cursor, Few, Found, Keyed, Limit, Listed, Made, Page, Problem, Reply, Ruled,
        SignedIn, given,
        http::examples,
        operations::{
            settings::ConversationSettings,
            start::{StartConversation, StartDirectConversation, StartGroupConversation},
        },
    },
    clock::Clock,
    commands::Commands,
    commands::{Refused, Started},
    domain::{self, ClientId, ConversationId, History, Kind, MessageId, Position, Role, Time, Title, UserId},
    reading::Reading,
    views::{self, Among},
};

/// A conversation as the caller sees it
#[derive(Debug, PartialEq, Serialize, Object)]
#[oai(example)]
struct Conversation {
    /// The id of the conversation
    id: ConversationId,
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
    fn of(view: views::Conversation, roster: &domain::Conversation, me: UserId) -> Option<Self> {
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
    fn begun(started: &Started, me: UserId) -> Self {
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
    fn settled(self, settings: ConversationSettings) -> Self {
        let ConversationSettings { muted, muted_until, archived } = settings;
        Self { muted, muted_until, archived, ..self }
    }

    /// The same after a command that reached `position`.
    fn at(self, position: Position) -> Self {
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

/// The fields to change; an absent field keeps its value
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct ConversationUpdate {
    /// The new title: one line of at most 256 bytes of UTF-8, kept as typed
    #[serde(default, deserialize_with = "given")]
    title: Option<Title>,
    /// How much of the history new members may read
    #[serde(default, deserialize_with = "given")]
    history: Option<History>,
}

impl Example for ConversationUpdate {
    fn example() -> Self {
        Self { title: Some(examples::title()), history: Some(History::SinceJoin) }
    }
}

pub(in crate::api) struct Conversations {
    pub(in crate::api) pool: PgPool,
    pub(in crate::api) commands: Commands,
    pub(in crate::api) reading: Reading,
    pub(in crate::api) clock: Clock,
}

#[OpenApi(tag = "Tag::Conversations")]
impl Conversations {
    /// Start a conversation
    ///
    /// Two users share at most one direct conversation. If it exists, the answer is 200 with that conversation,
    /// which also leaves the archive of the caller. A block between the two users is refused with `blocked`.
    /// Every request creates another group, unless it repeats an `Idempotency-Key`: the same key gets the group
    /// of the first request as it was created, and the same key with another body gets `idempotency_mismatch`.
    #[oai(path = "/conversations", method = "post", operation_id = "start_conversation")]
    async fn start(
        &self,
        caller: Caller,
        /// The idempotency key: the same at every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
        body: Body<StartConversation>,
    ) -> Result<Made<Conversation>, Keyed> {
        Ok(match body.0 {
            StartConversation::Direct(direct) => self.start_direct(caller.user, direct).await?,
            StartConversation::Group(group) => self.start_group(caller.user, group, key.0).await?,
        })
    }

    /// List my conversations
    ///
    /// The conversation with the latest activity comes first: the last message, or the time at which the caller
    /// joined. The list has either the archived conversations or the others. It takes no `min_position`,
    /// because a position belongs to one conversation.
    #[oai(path = "/conversations", method = "get", operation_id = "list_conversations")]
    async fn list(
        &self,
        caller: Caller,
        /// `true` lists the archived conversations. The default is `false`, which lists the others
        archived: Query<Option<bool>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<(Time, ConversationId)>>>,
    ) -> Result<Listed<Conversation>, SignedIn> {
        let after = cursor.0.map(|cursor| cursor.0);
        let away = accounts::archived(&self.pool, caller.user).await?;
        let among = if archived.0.unwrap_or(false) { Among::These(&away) } else { Among::AllBut(&away) };
        let (found, moment) = views::page(&self.pool, caller.user, among, after, limit.0.and_one()).await?;
        let standing = self.reading.standing(caller.user, None, &moment);
        let Page { items, next_cursor, .. } = Page::cut(found, limit.0, |last| (last.active_at, last.id));
        let ids: Vec<_> = items.iter().map(|view| view.id).collect();
        let settings = settings_of(&self.pool, self.clock.now(), caller.user, &ids).await?;
        let shown = try_join_all(items.into_iter().map(|view| self.shown(caller.user, view))).await?;
        let settled = |shown: Conversation| {
            let settings = settings.get(&shown.id).copied().unwrap_or_default();
            shown.settled(settings)
        };
        let shown = shown.into_iter().flatten().map(settled).collect();
        Ok(Listed(Page::of(shown, next_cursor).standing(standing)))
    }

    /// Get a conversation
    ///
    /// Returns a conversation of the caller.
    #[oai(path = "/conversations/:id", method = "get", operation_id = "get_conversation")]
    async fn get(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        /// Waits up to 2 s until the answer includes this position. If it does not, the answer is 503 `not_yet`
        min_position: Query<Option<Position>>,
    ) -> Result<Reply<Conversation>, Found> {
        let (me, id) = (caller.user, id.0);
        let tracked = self.reading.open(me, id, min_position.0).await?;
        let view = self.reading.once_known(id, &tracked, || views::one(&self.pool, me, id)).await?;
        let shown = Conversation::of(view, &tracked.conversation(), me).ok_or_else(Problem::not_found)?;
        Ok(Reply(shown.settled(settings_for(&self.pool, self.clock.now(), me, id).await?)))
    }

    /// Change a conversation
    ///
    /// Changes the title or the history setting of a group. The caller must be an admin or an owner.
    #[oai(path = "/conversations/:id", method = "patch", operation_id = "update_conversation")]
    async fn update(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        body: Body<ConversationUpdate>,
    ) -> Result<Reply<Conversation>, Ruled> {
        let (me, id, ConversationUpdate { title, history }) = (caller.user, id.0, body.0);
        let changed = self.commands.update(me, id, title, history).await?;
        let tracked = self.reading.open(me, id, None).await?;
        let view = self.reading.once_known(id, &tracked, || views::one(&self.pool, me, id)).await?;
        let now = Conversation::of(view, &changed.conversation, me).ok_or_else(Problem::not_found)?;
        Ok(Reply(now.at(changed.position).settled(settings_for(&self.pool, self.clock.now(), me, id).await?)))
    }
}

impl Conversations {
    async fn start_direct(
        &self,
        me: UserId,
        direct: StartDirectConversation,
    ) -> Result<Made<Conversation>, Problem> {
        let with = direct.user_id;
        must_exist(&self.pool, &[with], |_| "/user_id".into()).await?;
        let started = self.commands.start_direct(me, with).await?;
        if !started.existed {
            return Ok(made(&started, me));
        }
        let view = views::one(&self.pool, me, started.id).await?;
        let known = view.and_then(|view| Conversation::of(view, &started.conversation, me));
        let shown = known.unwrap_or_else(|| Conversation::begun(&started, me));
        Ok(Made::Before(shown.settled(unarchived(&self.pool, self.clock.now(), me, started.id).await?)))
    }

    async fn start_group(
        &self,
        me: UserId,
        group: StartGroupConversation,
        key: Option<ClientId>,
    ) -> Result<Made<Conversation>, Problem> {
        let members = group.members.map(Few::into_vec).unwrap_or_default();
        must_exist(&self.pool, &members, |index| format!("/members/{index}")).await?;
        let started = self.commands.start_group(me, group.title, members, key).await?;
        Ok(made(&started, me))
    }

    /// What the view knows, if it is still mine: the view may not have heard yet that I was put out.
    async fn shown(&self, me: UserId, view: views::Conversation) -> Result<Option<Conversation>, Problem> {
        match self.commands.of_member(me, view.id).await {
            Ok(tracked) => Ok(Conversation::of(view, &tracked.conversation(), me)),
            Err(Refused::Rejected(_)) => Ok(None),
            Err(outage) => Err(outage.into()),
        }
    }
}

fn made(started: &Started, me: UserId) -> Made<Conversation> {
    let location = format!("/v1/conversations/{}", started.id);
    Made::Now(Created { location, body: Conversation::begun(started, me) })
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

    fn view(last: Option<u64>) -> views::Conversation {
        views::Conversation {
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
