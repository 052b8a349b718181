//! Logins by the tokens of external issuers: exchanged logins, which have tokens of Verbatim, and direct logins, whose
//! issuer's token is used directly.

use std::time::Duration;

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::{
    accounts::{
        external_logouts::{IssuerProof, TokenRefusal, refusal},
        logins::{MAX_LOGINS, NewLogin, insert, make_room},
    },
    domain::{LoginId, Time, UserId},
};

/// How long an ended session is remembered. Its login has the same id for all tokens of the session, so without its row
/// a later token would begin it again.
const SESSION_ENDED: Duration = Duration::from_secs(90 * 86_400);
/// The maximum number of ended sessions of an account that are remembered.
const MOST_ENDED: i64 = 1_000;

/// The result of beginning a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// The login has begun. These logins of the account ended to make room.
    Begun(Vec<LoginId>),
    /// The token does not count.
    Refused(TokenRefusal),
}

/// Begins an exchanged login.
pub(crate) async fn begin(
    pool: &PgPool,
    login: &NewLogin<'_>,
    by: &IssuerProof<'_>,
    now: Time,
) -> Result<Beginning, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    if let Some(refused) = refusal(&mut transaction, login.user, by).await? {
        return Ok(Beginning::Refused(refused));
    }
    insert(&mut transaction, login, now).await?;
    sqlx::query(
        "insert into auth.external_login (login_id, issuer, subject, session) values ($1, $2, $3, $4)",
    )
    .bind(login.id.uuid())
    .bind(by.of.issuer)
    .bind(by.of.subject)
    .bind(by.session)
    .execute(&mut *transaction)
    .await?;
    let displaced = make_room(&mut transaction, login.user, now).await?;
    transaction.commit().await?;
    Ok(Beginning::Begun(displaced))
}

/// Records that an issuer's token is used directly. The login of the token begins, or continues until the token
/// expires. Beyond [`MAX_LOGINS`], the least recently used logins end.
pub(crate) async fn use_directly(
    pool: &PgPool,
    login: LoginId,
    user: UserId,
    by: &IssuerProof<'_>,
    expires_at: Time,
    now: Time,
) -> Result<Beginning, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    if let Some(refused) = refusal(&mut transaction, user, by).await? {
        return Ok(Beginning::Refused(refused));
    }
    forget_expired(&mut transaction, user, now).await?;
    let (is_new, is_over): (bool, bool) = sqlx::query_as(
        "insert into auth.direct_login
             (login_id, account_id, issuer, subject, session, created_at, last_used_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $6, $7)
         on conflict (login_id) do update set
             last_used_at = greatest(direct_login.last_used_at, excluded.last_used_at),
             expires_at = greatest(direct_login.expires_at, excluded.expires_at)
         returning xmax = 0, revoked_at is not null or account_id <> $2",
    )
    .bind(login.uuid())
    .bind(user.uuid())
    .bind(by.of.issuer)
    .bind(by.of.subject)
    .bind(by.session)
    .bind(now.datetime())
    .bind(expires_at.datetime())
    .fetch_one(&mut *transaction)
    .await?;
    let displaced =
        if is_new { make_room_for(&mut transaction, user, login, now).await? } else { Vec::new() };
    transaction.commit().await?;
    Ok(if is_over { Beginning::Refused(TokenRefusal::Over) } else { Beginning::Begun(displaced) })
}

/// Deletes the logins of an account whose last token has expired, except the latest sessions that ended in Verbatim. A
/// login without a session has a single token, so it cannot begin again.
async fn forget_expired(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    now: Time,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from auth.direct_login
         where account_id = $1 and expires_at < $2 and login_id not in (
             select login_id from auth.direct_login
             where account_id = $1 and session is not null and revoked_at > $3
             order by revoked_at desc limit $4
         )",
    )
    .bind(user.uuid())
    .bind(now.datetime() - time::Duration::DAY)
    .bind(now.datetime() - SESSION_ENDED)
    .bind(MOST_ENDED)
    .execute(&mut **transaction)
    .await
    .map(drop)
}

async fn make_room_for(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    login: LoginId,
    now: Time,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let displaced: Vec<Uuid> = sqlx::query_scalar(
        "update auth.direct_login set revoked_at = $3 where login_id in (
             select login_id from auth.direct_login
             where account_id = $1 and login_id <> $2 and revoked_at is null and expires_at > $3
             order by last_used_at desc, login_id desc offset $4
         ) returning login_id",
    )
    .bind(user.uuid())
    .bind(login.uuid())
    .bind(now.datetime())
    .bind(MAX_LOGINS - 1)
    .fetch_all(&mut **transaction)
    .await?;
    Ok(displaced.into_iter().map(LoginId::known).collect())
}
