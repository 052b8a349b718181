//! The users for whom programs may act.

use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    accounts::TENANT,
    domain::{ExternalId, UserId},
};

/// The account of a user for whom a program may act now: an active person whom a host application or an external issuer
/// added, or any active person if the program may act for `all`. One of the two ids names the user. Every answer takes
/// the same single lookup, so its timing reveals nothing.
pub(crate) async fn acted_for(
    pool: &PgPool,
    id: Option<UserId>,
    external_id: Option<&ExternalId>,
    all: bool,
) -> sqlx::Result<Option<UserId>> {
    let found: Option<Uuid> = sqlx::query_scalar(
        "select id from auth.account
         where id = coalesce($1, (select account_id from auth.external_id where tenant = $2 and external_id = $3))
           and kind = 'user' and deactivated_at is null and (origin in ('provisioned', 'external') or $4)",
    )
    .bind(id.map(UserId::uuid))
    .bind(TENANT)
    .bind(external_id.map(ExternalId::as_str))
    .bind(all)
    .fetch_optional(pool)
    .await?;
    Ok(found.map(UserId::known))
}
