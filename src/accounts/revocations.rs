//! How logins end: by their owner, by an operator, or because the password of their account was changed.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    accounts::{
        audit::{self, Stamp},
        external_logouts::{LONGEST_TOKEN, refuse_tokens_until},
    },
    clock::Clock,
    domain::{Audited, LoginId, LoginRevoked, RevokedBy, Time, UserId},
};

/// The result of revoking a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// The login ended just now.
    Done,
    /// The login had ended before.
    Already,
    /// This account has no such login.
    Unknown,
}

/// Ends a login of this account, and records that its owner revoked it. A login of another account counts as unknown.
pub(crate) async fn revoke(
    pool: &PgPool,
    user: UserId,
    login: LoginId,
    stamp: Stamp,
) -> Result<Revocation, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let revocation = end(&mut transaction, user, login, stamp.at).await?;
    if revocation == Revocation::Done {
        let revoked = LoginRevoked { logins: vec![login], by: RevokedBy::Owner };
        audit::note(&mut transaction, stamp, Audited::LoginRevoked(user.into(), revoked)).await?;
    }
    transaction.commit().await?;
    Ok(revocation)
}

/// Ends a login of this account because of a logout. A logout is not an audit event: users can log in and out without
/// limit, and the stream of audit events keeps every event forever.
pub(crate) async fn log_out(
    pool: &PgPool,
    user: UserId,
    login: LoginId,
    now: Time,
) -> Result<Revocation, sqlx::Error> {
    end(&mut *pool.acquire().await?, user, login, now).await
}

/// Ends a login with tokens of Verbatim, or one that uses an issuer's token directly. The row of the latter stays,
/// because the deny set forgets the login before its session ends at the issuer.
async fn end(
    connection: &mut PgConnection,
    user: UserId,
    login: LoginId,
    now: Time,
) -> Result<Revocation, sqlx::Error> {
    for (table, id) in [("auth.login", "id"), ("auth.direct_login", "login_id")] {
        let ending = format!(
            "with known as (
                 select {id} as id, revoked_at from {table}
                 where {id} = $1 and account_id = $2 for update
             ), ended as (
                 update {table} set revoked_at = $3
                 from known where {table}.{id} = known.id and known.revoked_at is null
             )
             select revoked_at is null from known"
        );
        let was_alive: Option<bool> = sqlx::query_scalar(AssertSqlSafe(ending))
            .bind(login.uuid())
            .bind(user.uuid())
            .bind(now.datetime())
            .fetch_optional(&mut *connection)
            .await?;
        match was_alive {
            Some(true) => return Ok(Revocation::Done),
            Some(false) => return Ok(Revocation::Already),
            None => {}
        }
    }
    Ok(Revocation::Unknown)
}

/// The logins that were revoked within the last `age`, measured from the earlier of this node's clock and the
/// database's clock. The node's clock alone may be far ahead, and would then leave out logins whose tokens are still
/// valid.
pub(crate) async fn revoked_since(
    pool: &PgPool,
    now: Time,
    age: Duration,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from auth.login where revoked_at > least($1, now()) - make_interval(secs => $2)
         union all
         select login_id from auth.direct_login where revoked_at > least($1, now()) - make_interval(secs => $2)",
    )
    .bind(now.datetime())
    .bind(age.as_secs_f64())
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(LoginId::known).collect())
}

/// The logins of an account that ended within the last `age`.
pub(crate) async fn ended_lately(
    pool: &PgPool,
    user: UserId,
    now: Time,
    age: Duration,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from auth.login where account_id = $1 and revoked_at > $2
         union all
         select login_id from auth.direct_login where account_id = $1 and revoked_at > $2",
    )
    .bind(user.uuid())
    .bind(now.datetime() - age)
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(LoginId::known).collect())
}

/// Ends all logins of all accounts that began before a time, and returns the ended logins. Issuers' tokens from before
/// that time count no more either, whether or not their log-outs are known here.
pub(crate) async fn revoke_begun_before(
    pool: &PgPool,
    time: Time,
    clock: &Clock,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let now = clock.now();
    let mut transaction = pool.begin().await?;
    // These are all logins of an installation.
    sqlx::raw_sql("set local statement_timeout = 0").execute(&mut *transaction).await?;
    // Log-outs come before logins, the order in which a logout of an issuer locks the rows.
    let refused_until = time.min(now);
    if refused_until.plus(LONGEST_TOKEN) > now {
        refuse_tokens_until(&mut transaction, None, refused_until).await?;
    }
    // A session whose last token has expired may have a later one. After a day, the next token begins another login.
    let ended: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "with of_ours as (
             update auth.login set revoked_at = $2
             where created_at < $1 and revoked_at is null and expires_at > $2
             returning account_id, id
         ), direct as (
             update auth.direct_login set revoked_at = $2
             where created_at < $1 and revoked_at is null and expires_at > $2 - interval '1 day'
             returning account_id, login_id
         )
         select * from of_ours union all select * from direct",
    )
    .bind(time.datetime())
    .bind(now.datetime())
    .fetch_all(&mut *transaction)
    .await?;
    let ended = audit::note_revoked(&mut transaction, &ended, RevokedBy::Operator, clock).await?;
    transaction.commit().await?;
    Ok(ended)
}

/// Ends all logins of an account, except `kept` if there is one, and returns them.
pub(super) async fn end_all(
    connection: &mut PgConnection,
    user: UserId,
    kept: Option<LoginId>,
    now: Time,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "with of_ours as (
             update auth.login set revoked_at = $3
             where account_id = $1 and id is distinct from $2 and revoked_at is null and expires_at > $3
             returning id
         ), direct as (
             update auth.direct_login set revoked_at = $3
             where account_id = $1 and login_id is distinct from $2 and revoked_at is null
             returning login_id
         )
         select * from of_ours union all select * from direct",
    )
    .bind(user.uuid())
    .bind(kept.map(LoginId::uuid))
    .bind(now.datetime())
    .fetch_all(connection)
    .await?;
    Ok(ended.into_iter().map(LoginId::known).collect())
}
