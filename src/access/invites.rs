//! Creating, listing and revoking invitation codes.

use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

use super::error::AccessError;
use crate::{
    accounts::{By, InviteCode, Stamp, invite_codes},
    clock::Clock,
    credentials::{OneTime, OneTimeText},
};

/// The maximum number of accounts that can be registered with one code.
pub(crate) const MAX_INVITE_USES: u32 = 10_000;
/// The default lifetime of a code.
pub(crate) const INVITE_DEFAULT: Duration = Duration::from_secs(7 * 86_400);
/// The longest lifetime of a code.
pub(crate) const INVITE_LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Creates an invitation code. Its text is shown once, to the caller.
pub(crate) async fn add_invite(
    pool: &PgPool,
    clock: &Clock,
    by: By,
    uses: u32,
    life: Duration,
) -> Result<(InviteCode, OneTimeText), AccessError> {
    let (text, hash) = OneTime::Invite.new_text();
    let stamp = Stamp::now(clock, by);
    let code = InviteCode {
        id: clock.id(|id| id),
        uses: uses.try_into().unwrap_or(i32::MAX),
        used: 0,
        created_at: stamp.at,
        expires_at: stamp.at.plus(life),
        revoked_at: None,
    };
    match invite_codes::add(pool, &code, &hash, stamp).await? {
        true => Ok((code, text)),
        false => Err(AccessError::TooManyInvites),
    }
}

/// The latest codes, from after the code `after`.
pub(crate) async fn list_invites(
    pool: &PgPool,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<InviteCode>, AccessError> {
    Ok(invite_codes::list(pool, after, limit).await?)
}

/// Revokes a code.
pub(crate) async fn revoke_invite(pool: &PgPool, clock: &Clock, by: By, id: Uuid) -> Result<(), AccessError> {
    match invite_codes::revoke(pool, id, Stamp::now(clock, by)).await? {
        true => Ok(()),
        false => Err(AccessError::NotFound),
    }
}
