//! Who is in a conversation and as what.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Below, Body, Caller, Created, Cursor, Found, Limit, Listed, Made, Page, Reached, Reply, Ruled,
        Standing, Tag, given, http::examples,
    },
    commands::Changed,
    domain::{AsOf, ConversationId, Position, Role, Time, UserId},
    views,
};

/// Somebody in a conversation
#[derive(Serialize, Object)]
#[oai(example)]
struct Member {
    /// Who
    user_id: UserId,
    /// As what
    role: Role,
    /// Since when
    joined_at: Time,
}

impl Example for Member {
    fn example() -> Self {
        Self { user_id: examples::ben(), role: Role::Member, joined_at: examples::time() }
    }
}

/// Somebody's place after a command
#[derive(Serialize, Object)]
#[oai(example)]
struct Membership {
    /// Who
    user_id: UserId,
    /// As what
    role: Role,
    /// The position that was reached, for the `min_position` of reads
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

/// Whom to bring in
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct NewMember {
    /// Who
    user_id: UserId,
    /// As what; `member`, if absent
    #[serde(default, deserialize_with = "given")]
    role: Option<Role>,
}

impl Example for NewMember {
    fn example() -> Self {
        Self { user_id: examples::ben(), role: Some(Role::Member) }
    }
}

/// Another role
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct RoleUpdate {
    /// Which
    role: Role,
}

impl Example for RoleUpdate {
    fn example() -> Self {
        Self { role: Role::Admin }
    }
}

pub(in crate::api) struct Members(pub(in crate::api) Below);

#[OpenApi(tag = "Tag::Members")]
impl Members {
    /// List the members
    ///
    /// Everybody in a conversation of mine, by user id: now, or as it was (`as_of`).
    #[oai(path = "/conversations/:id/members", method = "get", operation_id = "list_members")]
    async fn list(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<UserId>>>,
        /// Wait up to 2 s until the views have reached this position
        min_position: Query<Option<Position>>,
        as_of: Query<Option<AsOf>>,
    ) -> Result<Listed<Member>, Found> {
        let (me, id, limit, after) = (caller.user, id.0, limit.0, cursor.0.map(|end| end.0));
        let page = match as_of.0 {
            None => self.0.members(me, id, limit, after, min_position.0).await?,
            Some(as_of) => {
                let tracked = self.0.open(me, id, min_position.0).await?;
                let past = self.0.past(id, tracked.conversation().visible_from(me), as_of).await?;
                let standing = Standing { position: Some(past.position()), cursor: None };
                let members = past.members(after, limit.and_one());
                Page::cut(members, limit, |last| last.user).standing(standing)
            }
        };
        Ok(Listed(page.map(|member| Member {
            user_id: member.user,
            role: member.role,
            joined_at: member.joined_at,
        })))
    }

    /// Add a member
    ///
    /// Admins and owners bring somebody into a group; only owners bring in admins and owners. Whoever
    /// is in it already stays what they are: the answer is 200 with their present role.
    #[oai(path = "/conversations/:id/members", method = "post", operation_id = "add_member")]
    async fn add(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        body: Body<NewMember>,
    ) -> Result<Made<Membership>, Ruled> {
        let (id, user, role) = (id.0, body.0.user_id, body.0.role.unwrap_or(Role::Member));
        self.0.open(caller.user, id, None).await?;
        self.0.must_exist(&[user], |_| "/user_id".into()).await?;
        let changed = self.0.commands.add_member(caller.user, id, user, role).await?;
        let body = Membership::of(user, role, &changed);
        let location = format!("/v1/conversations/{id}/members/{user}");
        Ok(if changed.changed { Made::Now(Created { location, body }) } else { Made::Before(body) })
    }

    /// Change a role
    ///
    /// Owners give roles to members of a group.
    #[oai(path = "/conversations/:id/members/:user_id", method = "patch", operation_id = "change_role")]
    async fn change_role(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        user_id: Path<UserId>,
        body: Body<RoleUpdate>,
    ) -> Result<Reply<Membership>, Ruled> {
        let role = body.0.role;
        let changed = self.0.commands.change_role(caller.user, id.0, user_id.0, role).await?;
        Ok(Reply(Membership::of(user_id.0, role, &changed)))
    }

    /// Remove a member, or leave
    ///
    /// Admins and owners put somebody out of a group; everybody may leave it. The last owner stays
    /// while others do: `last_owner`.
    #[oai(path = "/conversations/:id/members/:user_id", method = "delete", operation_id = "remove_member")]
    async fn remove(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        user_id: Path<UserId>,
    ) -> Result<Reached, Ruled> {
        let changed = self.0.commands.remove_member(caller.user, id.0, user_id.0).await?;
        Ok(Reached(changed.position))
    }
}

impl Below {
    /// A page of the members of a conversation, for one of them.
    pub(in crate::api) async fn members(
        &self,
        me: UserId,
        id: ConversationId,
        limit: Limit,
        after: Option<UserId>,
        min_position: Option<Position>,
    ) -> Result<Page<views::Member>, crate::api::Problem> {
        let tracked = self.open(me, id, min_position).await?;
        let read = || async {
            let (members, moment) = views::members(&self.pool, id, after, limit.and_one()).await?;
            let standing = self.standing(me, Some(id), &moment);
            Ok((after.is_some() || !members.is_empty()).then_some((members, standing)))
        };
        let (members, standing) = self.once_known(id, &tracked, read).await?;
        Ok(Page::cut(members, limit, |last| last.user).standing(standing))
    }
}
