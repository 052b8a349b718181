//! The members of a conversation and their roles.

use std::sync::Arc;

use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Body, Caller, Created, Cursor, Found, Include, Limit, Listed, Made, MadeOrInvited, MentionsUsers,
        Page, Reached, Reply, Ruled, given_word,
        http::{examples, reasons::not_brought_in},
        operations::tag::Tag,
    },
    commands::{Changed, Commands},
    domain::{AsOf, ClientId, ConversationId, Position, Role, Time, UserId, word},
    reading::{self, Reading, When},
};

/// A member of a conversation
#[derive(Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct Member {
    /// The user
    user_id: UserId,
    /// The role of the user
    role: Role,
    /// When the user joined
    joined_at: Time,
}

impl From<reading::Member> for Member {
    fn from(member: reading::Member) -> Self {
        Self { user_id: member.user, role: member.role, joined_at: member.joined_at }
    }
}

impl MentionsUsers for Member {
    fn mention(&self, found: &mut Vec<UserId>) {
        found.push(self.user_id);
    }
}

impl Example for Member {
    fn example() -> Self {
        Self { user_id: examples::ben(), role: Role::Member, joined_at: examples::time() }
    }
}

/// The membership of a user after a command
#[derive(Serialize, Object)]
#[oai(example)]
struct Membership {
    /// The user
    user_id: UserId,
    /// The role of the user
    role: Role,
    /// The position that the command has reached. Pass it as `min_position` to later reads
    position: Position,
}

impl Membership {
    fn of(user_id: UserId, wanted: Role, changed: &Changed) -> Self {
        let role = changed.conversation.membership(user_id).map_or(wanted, |membership| membership.role);
        Self { user_id, role, position: changed.position }
    }
}

impl Example for Membership {
    fn example() -> Self {
        Self { user_id: examples::ben(), role: Role::Admin, position: examples::position() }
    }
}

/// The user to add
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct NewMember {
    /// The user
    user_id: UserId,
    /// The role of the user; the default is `member`
    #[serde(default, deserialize_with = "given_word")]
    role: Option<Role>,
}

impl Example for NewMember {
    fn example() -> Self {
        Self { user_id: examples::ben(), role: Some(Role::Member) }
    }
}

/// The new role of a member
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct RoleUpdate {
    /// The new role
    #[serde(deserialize_with = "word")]
    role: Role,
}

impl Example for RoleUpdate {
    fn example() -> Self {
        Self { role: Role::Admin }
    }
}

pub(in crate::api) struct Members {
    pub(in crate::api) commands: Arc<Commands>,
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Members")]
impl Members {
    /// List members
    ///
    /// Lists the members of a conversation of the caller in the order of their user ids, now or at an earlier moment
    /// (`as_of`).
    #[oai(path = "/conversations/:id/members", method = "get", operation_id = "list_members")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the request")]
    async fn list(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<UserId>>>,
        /// Waits up to 2 s until the response includes this position. If it does not, the response is 503 `not_yet`
        min_position: Query<Option<Position>>,
        as_of: Query<Option<AsOf>>,
        include: Query<Include>,
    ) -> Result<Listed<Member>, Found> {
        let when = When { min_position: min_position.0, as_of: as_of.0 };
        let (members, standing) =
            self.reading.members(caller.user, id.0, limit.0.part(cursor.0), when).await?;
        let page = Page::cut(members, limit.0, |last| last.user).standing(standing).map(Member::from);
        Ok(Listed(include.0.name(page, &self.reading).await?))
    }

    /// Add a member
    ///
    /// Adds a user to a group. The caller must be an admin or an owner; only an owner can add admins and owners. If
    /// the user is a member already, the response is 200 with the current role, which does not change. A user who has
    /// blocked the caller cannot be added (`blocked`). If the server requires the consent of users who share no
    /// conversation with the caller (`VERBATIM_ADD_STRANGERS`), such a user is invited as a member, and the response
    /// is 202. That response does not keep the `Idempotency-Key`: a retry has no effect while the invitation is open.
    #[oai(path = "/conversations/:id/members", method = "post", operation_id = "add_member")]
    async fn add(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
        body: Body<NewMember>,
    ) -> Result<MadeOrInvited<Membership>, Ruled> {
        let (id, user, role) = (id.0, body.0.user_id, body.0.role.unwrap_or(Role::Member));
        let changed = self.commands.add_member(caller.user, id, user, role, key.0).await;
        let changed = self.commands.or_invite(changed, caller.user, user, Some(id)).await;
        let Some(changed) = changed.map_err(not_brought_in(|_| "/user_id".into()))? else {
            return Ok(MadeOrInvited::Invited);
        };
        let body = Membership::of(user, role, &changed);
        let location = format!("/v1/conversations/{id}/members/{user}");
        let made = if changed.changed { Made::Now(Created { location, body }) } else { Made::Before(body) };
        Ok(MadeOrInvited::Made(made))
    }

    /// Change a role
    ///
    /// Changes the role of a member of a group. The caller must be an owner.
    #[oai(path = "/conversations/:id/members/:user_id", method = "patch", operation_id = "change_role")]
    async fn change_role(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        user_id: Path<UserId>,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
        body: Body<RoleUpdate>,
    ) -> Result<Reply<Membership>, Ruled> {
        let role = body.0.role;
        let changed = self.commands.change_role(caller.user, id.0, user_id.0, role, key.0).await?;
        Ok(Reply(Membership::of(user_id.0, role, &changed)))
    }

    /// Remove a member, or leave
    ///
    /// Removes a member from a group. Admins and owners can remove members; every member can leave. The last owner
    /// cannot leave while the group has other members (`last_owner`). If the user is only invited, the invitation is
    /// withdrawn.
    #[oai(path = "/conversations/:id/members/:user_id", method = "delete", operation_id = "remove_member")]
    async fn remove(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        user_id: Path<UserId>,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
    ) -> Result<Reached, Ruled> {
        let changed = self.commands.remove_member(caller.user, id.0, user_id.0, key.0).await?;
        Ok(Reached(changed.position))
    }
}
