//! The conversations of the caller: starting, listing, changing.

use std::sync::Arc;

use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    types::Example,
};
use serde::Deserialize;

use crate::{
    api::{
        Body, Caller, Created, Cursor, Few, Found, Include, Keyed, Limit, Listed, Made, MadeOrInvited, Named,
        Page, Problem, Reply, Ruled, SignedIn, given, given_word,
        http::{
            examples,
            include::{FirstScreen, named},
            or_null::OrNull,
            reasons::not_brought_in,
        },
        operations::{
            conversation::Conversation,
            start::{StartConversation, StartDirectConversation, StartGroupConversation},
            tag::Tag,
        },
    },
    commands::{Commands, Started},
    domain::{ClientId, ConversationId, History, Position, Title, UserId},
    reading::{ListPlace, Mine, Reading},
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
    #[serde(default, deserialize_with = "given_word")]
    history: Option<History>,
    /// How long messages are kept, in seconds: older ones are hidden from everyone and then erased. `null` removes
    /// the setting, so that the default of the server applies. Only owners may change it. `/v1/info` has the limits
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(minimum(value = "1"), maximum(value = "3155760000")))]
    retention_s: Option<OrNull<u64>>,
}

impl Example for ConversationUpdate {
    fn example() -> Self {
        Self { title: Some(examples::title()), history: Some(History::SinceJoin), retention_s: None }
    }
}

pub(in crate::api) struct Conversations {
    pub(in crate::api) commands: Arc<Commands>,
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Conversations")]
impl Conversations {
    /// Start a conversation
    ///
    /// Starts a conversation. Two users share at most one direct conversation: if it exists, the response is 200 with
    /// that conversation, which also leaves the archive of the caller. If one of the two users has blocked the other,
    /// the request is refused with `blocked`, and so is a group with a member who has blocked the caller. If the
    /// server requires the consent of users who share no conversation with the caller (`VERBATIM_ADD_STRANGERS`),
    /// such a user is invited to the direct conversation, and the response is 202. A group with such a member is
    /// refused with `consent_required`: start the group without the user, then add the user. Every request creates
    /// another group, unless it repeats an `Idempotency-Key`: the same key returns the group of the first request as
    /// it was created, and the same key for another group is refused with `idempotency_mismatch`. A direct
    /// conversation takes no key.
    #[oai(path = "/conversations", method = "post", operation_id = "start_conversation")]
    async fn start(
        &self,
        caller: Caller,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
        body: Body<StartConversation>,
    ) -> Result<MadeOrInvited<Conversation>, Keyed> {
        let me = caller.user;
        match body.0 {
            StartConversation::Direct(StartDirectConversation { user_id }) => {
                let started = self.commands.start_direct(me, user_id).await;
                let started = self.commands.or_invite(started, me, user_id, None).await;
                let Some(started) = started.map_err(not_brought_in(|_| "/user_id".into()))? else {
                    return Ok(MadeOrInvited::Invited);
                };
                Ok(MadeOrInvited::Made(match started.existed {
                    true => Made::Before(self.reading.started_again(me, &started).await?.into()),
                    false => made(&started, me),
                }))
            }
            StartConversation::Group(StartGroupConversation { title, members }) => {
                let members = members.map(Few::into_vec).unwrap_or_default();
                let started = self.commands.start_group(me, title, members, key.0).await;
                let started = started.map_err(not_brought_in(|index| format!("/members/{index}")))?;
                Ok(MadeOrInvited::Made(made(&started, me)))
            }
        }
    }

    /// List my conversations
    ///
    /// Lists the conversations of the caller. The conversation with the latest activity comes first: its last
    /// message, or the time at which the caller joined. The list has either the archived conversations or the others.
    /// It takes no `min_position`, because a position belongs to one conversation.
    #[oai(path = "/conversations", method = "get", operation_id = "list_conversations")]
    async fn list(
        &self,
        caller: Caller,
        /// Whether to list the archived conversations instead of the others. The default is `false`
        archived: Query<Option<bool>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<ListPlace>>>,
        include: Query<FirstScreen>,
    ) -> Result<Listed<Conversation>, SignedIn> {
        let (me, include) = (caller.user, include.0);
        include.bears(limit.0)?;
        let (archived, part) = (archived.0.unwrap_or(false), limit.0.part(cursor.0));
        let (found, standing) = self.reading.conversations(me, archived, part).await?;
        let page = Page::cut(found, limit.0, |(place, _)| *place).standing(standing);
        let page = page.filter_map(|(_, mine)| mine.map(Conversation::from));
        let ids: Vec<ConversationId> = page.items.iter().map(|conversation| conversation.id).collect();
        let mut previews = self.reading.previews(me, &ids, include.previews).await?;
        let page = page.map(|conversation| match previews.remove(&conversation.id) {
            Some(preview) => conversation.with(preview),
            None => conversation,
        });
        Ok(Listed(named(include.users, page, &self.reading).await?))
    }

    /// Get a conversation
    ///
    /// Returns a conversation of the caller.
    #[oai(path = "/conversations/:id", method = "get", operation_id = "get_conversation")]
    async fn get(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        /// Waits up to 2 s until the response includes this position. If it does not, the response is 503 `not_yet`
        min_position: Query<Option<Position>>,
        include: Query<Include>,
    ) -> Result<Reply<Named<Conversation>>, Found> {
        let mine = self.reading.conversation(caller.user, id.0, min_position.0).await?;
        Ok(Reply(include.0.name(Conversation::from(mine), &self.reading).await?))
    }

    /// Change a conversation
    ///
    /// Changes the title, the history setting or the retention of a group. The caller must be an admin or an owner; only
    /// an owner may change the retention.
    #[oai(path = "/conversations/:id", method = "patch", operation_id = "update_conversation")]
    async fn update(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
        body: Body<ConversationUpdate>,
    ) -> Result<Reply<Conversation>, Ruled> {
        let (me, id, ConversationUpdate { title, history, retention_s }) = (caller.user, id.0, body.0);
        let retention = retention_s.map(|OrNull(seconds)| seconds);
        let rules = self.commands.retention;
        if retention.flatten().is_some_and(|seconds| !rules.admit(seconds)) {
            let detail = format!("must be {} to {} seconds", rules.least, rules.longest());
            return Err(Problem::invalid("/retention_s", "out_of_range", detail).into());
        }
        let changed = self.commands.update(me, id, title, history, retention, key.0).await?;
        Ok(Reply(self.reading.conversation_after(me, id, &changed).await?.into()))
    }
}

fn made(started: &Started, me: UserId) -> Made<Conversation> {
    let location = format!("/v1/conversations/{}", started.id);
    Made::Now(Created { location, body: Mine::begun(started, me).into() })
}
