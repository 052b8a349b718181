//! The roster of any conversation, for programs that read the log.

use std::sync::Arc;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;

use crate::{
    api::{Caller, Found, Reply, http::examples, operations::tag::Tag},
    domain::{ConversationId, Fold, Kind, Position, Role, UserId},
    problems::Problem,
    reading::{ReadError, Reading},
};

/// A member of the conversation at a position
#[derive(Serialize, Object)]
struct RosterMember {
    /// The user
    user_id: UserId,
    /// The role of the user
    role: Role,
}

/// The roster of a conversation at a position
#[derive(Serialize, Object)]
#[oai(example)]
struct Roster {
    /// The conversation
    conversation_id: ConversationId,
    /// The kind of the conversation
    kind: Kind,
    /// The position of the last event of the lane `roster` at or before the requested position
    position: Position,
    /// All members, in the order of their ids
    members: Vec<RosterMember>,
}

impl Roster {
    fn of(conversation_id: ConversationId, fold: &Fold) -> Self {
        let members = fold.conversation.members();
        let mut members: Vec<_> =
            members.map(|(user_id, membership)| RosterMember { user_id, role: membership.role }).collect();
        members.sort_unstable_by_key(|member| member.user_id);
        Self { conversation_id, kind: fold.conversation.kind(), position: fold.head, members }
    }
}

impl Example for Roster {
    fn example() -> Self {
        Self {
            conversation_id: examples::conversation(),
            kind: Kind::Group,
            position: examples::position(),
            members: vec![RosterMember { user_id: examples::ana(), role: Role::Owner }],
        }
    }
}

pub(in crate::api) struct Rosters {
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Server")]
impl Rosters {
    /// Get a roster at a position
    ///
    /// Returns the members of a conversation at a position. A program that reads the log from NATS needs them, unless
    /// it keeps rosters of its own: an event of the lanes `timeline` and `receipts` counts if its `ce-actor` was a
    /// member at its position, and is void otherwise. The roster at a position never changes. Needs the scope
    /// `admin:consumers`.
    #[oai(path = "/admin/conversations/:id/roster", method = "get", operation_id = "get_roster")]
    async fn get(
        &self,
        _caller: Caller,
        id: Path<ConversationId>,
        /// The position of an event of the conversation. The default is the current roster
        at: Query<Option<Position>>,
    ) -> Result<Reply<Roster>, Found> {
        let fold = self.reading.roster_at(id.0, at.0).await.map_err(|refused| match refused {
            ReadError::NoSuchPoint(point) => Problem::parameter("at", point.code(), point.to_string()),
            other => other.into(),
        })?;
        Ok(Reply(Roster::of(id.0, &fold)))
    }
}
