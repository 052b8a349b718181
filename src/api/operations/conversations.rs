//! Conversations as their members see them: starting, listing, changing.

use futures_util::future::try_join_all;
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    types::Example,
};
use serde::Deserialize;

use sqlx::PgPool;

use crate::{
    accounts,
    api::{
        Body, Caller, Created, Cursor, Few, Found, Keyed, Limit, Listed, Made, Page, Problem, Reply, Ruled,
        SignedIn, given,
        http::examples,
        operations::{
            conversation::Conversation,
            settings::{settings_for, settings_of, unarchived},
            start::{StartConversation, StartDirectConversation, StartGroupConversation},
            tag::Tag,
            users::must_exist,
        },
    },
    clock::Clock,
    commands::{Commands, Refused, Started},
    domain::{ClientId, ConversationId, History, Position, Time, Title, UserId},
    reading::Reading,
    views::{self, Among},
};

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
    /// which also leaves the archive of the caller. A block between the two users is refused with `blocked`, and so is a group with a member who has blocked
    /// the caller.
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
    async fn shown(&self, me: UserId, view: views::MyConversation) -> Result<Option<Conversation>, Problem> {
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
