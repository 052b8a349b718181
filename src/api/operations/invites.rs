//! Invitation codes, with which people register if registration requires one.

use std::{sync::Arc, time::Duration};

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    access::{self, Access, INVITE_DEFAULT, INVITE_LONGEST, MAX_INVITE_USES},
    api::{
        BodyIfAny, Caller, Created, Cursor, Done, Keyed, Limit, Page, Proven, Reply, Ruled, given,
        http::examples, operations::tag::Tag,
    },
    domain::{LoginId, Time},
    problems::Problem,
};

/// The data of a new invitation code
#[derive(Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct InviteRequest {
    /// How many accounts can be registered with the code, 1 to 10000. The default is 1
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(minimum(value = "1"), maximum(value = "10000")))]
    uses: Option<u32>,
    /// The seconds until the code expires, 60 to 31536000. The default is 604800 (a week)
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(minimum(value = "60"), maximum(value = "31536000")))]
    expires_in: Option<u32>,
}

impl Example for InviteRequest {
    fn example() -> Self {
        Self { uses: Some(25), expires_in: Some(604_800) }
    }
}

/// A new invitation code
#[derive(Serialize, Object)]
#[oai(example)]
struct NewInvite {
    /// The id of the code
    id: LoginId,
    /// The code, for the field `invite` of a registration. Shown only once
    code: String,
    /// How many accounts can be registered with the code
    uses: i32,
    /// When the code expires
    expires_at: Time,
}

impl Example for NewInvite {
    fn example() -> Self {
        Self {
            id: examples::login(),
            code: "vbi_Yk9zcXhnN2hVc2VhZlB2d0tTbGZ2bHRrRkpqTjV5Q0E".into(),
            uses: 25,
            expires_at: examples::time().plus(INVITE_DEFAULT),
        }
    }
}

/// An invitation code, without the code itself
#[derive(Serialize, Object)]
#[oai(example)]
struct Invite {
    /// The id of the code
    id: LoginId,
    /// How many accounts can be registered with the code
    uses: i32,
    /// How many accounts have been registered with the code
    used: i32,
    /// When the code was created
    created_at: Time,
    /// When the code expires
    expires_at: Time,
    /// When the code was revoked
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Time>,
}

impl From<access::InviteCode> for Invite {
    fn from(code: access::InviteCode) -> Self {
        let access::InviteCode { id, uses, used, created_at, expires_at, revoked_at } = code;
        Self { id: LoginId::known(id), uses, used, created_at, expires_at, revoked_at }
    }
}

impl Example for Invite {
    fn example() -> Self {
        let at = examples::time();
        let expires_at = at.plus(INVITE_DEFAULT);
        Self { id: examples::login(), uses: 25, used: 3, created_at: at, expires_at, revoked_at: None }
    }
}

pub(in crate::api) struct Invites {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Accounts")]
impl Invites {
    /// Create an invitation code
    ///
    /// Creates a code with which people can register while the server requires one (`VERBATIM_REGISTRATION=invite`).
    /// Needs the scope `users:write`.
    #[oai(path = "/admin/invites", method = "post", operation_id = "add_invite")]
    async fn add(&self, caller: Caller, body: BodyIfAny<InviteRequest>) -> Result<Created<NewInvite>, Keyed> {
        let InviteRequest { uses, expires_in } = body.0.unwrap_or_default();
        let uses = uses.unwrap_or(1);
        if !(1..=MAX_INVITE_USES).contains(&uses) {
            let detail = format!("must be 1 to {MAX_INVITE_USES}");
            return Err(Problem::invalid("/uses", "out_of_range", detail).into());
        }
        let life = expires_in.map_or(INVITE_DEFAULT, |seconds| Duration::from_secs(seconds.into()));
        if life < Duration::from_secs(60) || life > INVITE_LONGEST {
            let detail = format!("must be 60 to {} seconds", INVITE_LONGEST.as_secs());
            return Err(Problem::invalid("/expires_in", "out_of_range", detail).into());
        }
        let Access { pool, clock, .. } = &*self.access;
        let (made, code) = access::add_invite(pool, clock, caller.by(), uses, life).await?;
        let access::InviteCode { id, uses, expires_at, .. } = made;
        let body = NewInvite { id: LoginId::known(id), code: code.to_string(), uses, expires_at };
        Ok(Created { location: format!("/v1/admin/invites/{id}"), body })
    }

    /// List invitation codes
    ///
    /// Lists the invitation codes without the codes themselves, newest first. Codes that ended more than 30 days ago
    /// may be missing. Needs the scope `users:write`.
    #[oai(path = "/admin/invites", method = "get", operation_id = "list_invites")]
    async fn list(
        &self,
        _caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<LoginId>>>,
    ) -> Result<Reply<Page<Invite>>, Proven> {
        let after = cursor.0.map(|cursor| cursor.0.uuid());
        let found = access::list_invites(&self.access.pool, after, limit.0.and_one()).await?;
        let page = Page::cut(found, limit.0, |last| LoginId::known(last.id));
        Ok(Reply(page.map(Invite::from)))
    }

    /// Revoke an invitation code
    ///
    /// Revokes a code. Accounts that were registered with it stay. Needs the scope `users:write`.
    #[oai(path = "/admin/invites/:id", method = "delete", operation_id = "revoke_invite")]
    async fn revoke(&self, caller: Caller, id: Path<LoginId>) -> Result<Done, Ruled> {
        let Access { pool, clock, .. } = &*self.access;
        access::revoke_invite(pool, clock, caller.by(), id.0.uuid()).await?;
        Ok(Done)
    }
}
