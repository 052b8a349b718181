//! Log-outs at external issuers, and the tokens that count no more because of them.
//!
//! A logout may come just before the first use of a token of the same session. Both take the lock of the issuer: a new
//! login takes it shared, a logout takes it exclusively. So a login either begins before the logout, which then ends
//! it, or it finds the record of the logout.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::{
    accounts::audit,
    clock::Clock,
    domain::{LoginId, RevokedBy, Time, UserId},
};

/// Longer than the lifetime of an issuer's token, including the tolerance for its times.
pub(super) const LONGEST_TOKEN: Duration = Duration::from_secs(8 * 86_400);

/// A user, by the name that an issuer gives the user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// The name of the user at the issuer.
    pub subject: &'a str,
}

/// The token of an issuer that proves its user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IssuerProof<'a> {
    /// The user of the token.
    pub of: Subject<'a>,
    /// The session at the issuer.
    pub session: Option<&'a str>,
    /// The time at which the issuer created the token.
    pub issued_at: Time,
}

/// Why the valid token of an issuer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    /// The account is deactivated.
    Suspended,
    /// The user has logged out at the issuer, or the login was ended in Verbatim.
    Over,
}

/// Why a token does not count for an account, if it does not. Until the transaction ends, the answer stays true.
pub(super) async fn refusal(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    by: &IssuerProof<'_>,
) -> Result<Option<TokenRefusal>, sqlx::Error> {
    hold_off_logouts(transaction, by.of.issuer).await?;
    // Without this lock, a concurrent deactivation could end all logins except this one. Deactivation is checked first,
    // because it also leaves a logout record, which would hide it.
    let is_active: Option<bool> =
        sqlx::query_scalar("select deactivated_at is null from auth.account where id = $1 for no key update")
            .bind(user.uuid())
            .fetch_optional(&mut **transaction)
            .await?;
    if is_active != Some(true) {
        return Ok(Some(TokenRefusal::Suspended));
    }
    Ok(is_over(transaction, by).await?.then_some(TokenRefusal::Over))
}

/// Makes the log-outs of an issuer wait until the transaction ends.
pub(super) async fn hold_off_logouts(
    transaction: &mut Transaction<'_, Postgres>,
    issuer: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock_shared(hashtextextended('verbatim issuer ' || $1, 0))")
        .bind(issuer)
        .execute(&mut **transaction)
        .await
        .map(drop)
}

/// Whether the session of a token has ended, or all earlier tokens of its user were refused since.
pub(super) async fn is_over(
    transaction: &mut Transaction<'_, Postgres>,
    by: &IssuerProof<'_>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (
             select from auth.external_logout
             where issuer = $1 and ((kind = 'sid' and value = $2) or (kind = 'sub' and value = $3 and at >= $4))
         )",
    )
    .bind(by.of.issuer)
    .bind(by.session)
    .bind(by.of.subject)
    .bind(by.issued_at.datetime())
    .fetch_one(&mut **transaction)
    .await
}

/// Refuses the tokens that issuers created until a time for an account, or for all accounts. Later tokens of the same
/// sessions count.
pub(super) async fn refuse_tokens_until(
    connection: &mut PgConnection,
    account: Option<UserId>,
    at: Time,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into auth.external_logout as known (issuer, kind, value, at, until)
         select issuer, 'sub', subject, $2, $3 from auth.external_identity
         where $1::uuid is null or account_id = $1
         on conflict (issuer, kind, value)
             do update set at = greatest(known.at, excluded.at), until = greatest(known.until, excluded.until)",
    )
    .bind(account.map(UserId::uuid))
    .bind(at.datetime())
    .bind(at.plus(LONGEST_TOKEN).datetime())
    .execute(connection)
    .await
    .map(drop)
}

/// A logout at an issuer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Logout<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// The session that ends.
    pub session: Option<&'a str>,
    /// The user, all of whose sessions end.
    pub subject: Option<&'a str>,
    /// The id of the logout token.
    pub id: &'a str,
    /// The time of the logout at the issuer.
    pub at: Time,
    /// The time until which the logout must be remembered.
    pub until: Time,
}

/// Ends the logins that a logout token names, and returns them. `None` if the same token was already used.
pub(crate) async fn log_out(
    pool: &PgPool,
    logout: &Logout<'_>,
    clock: &Clock,
) -> Result<Option<Vec<LoginId>>, sqlx::Error> {
    let now = clock.now();
    let mut transaction = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('verbatim issuer ' || $1, 0))")
        .bind(logout.issuer)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("delete from auth.external_logout where until < $1")
        .bind(now.datetime())
        .execute(&mut *transaction)
        .await?;
    if !remember(&mut transaction, logout, "jti", logout.id).await? {
        return Ok(None);
    }
    for (kind, value) in [("sid", logout.session), ("sub", logout.subject)] {
        if let Some(value) = value {
            remember(&mut transaction, logout, kind, value).await?;
        }
    }
    let ended: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "with of_ours as (
             update auth.login set revoked_at = $4
             from auth.external_login e
             where e.login_id = login.id and login.revoked_at is null
               and e.issuer = $1 and (e.session = $2 or e.subject = $3)
             returning login.account_id, login.id
         ), direct as (
             update auth.direct_login set revoked_at = $4
             where revoked_at is null and issuer = $1 and (session = $2 or subject = $3)
             returning account_id, login_id
         )
         select * from of_ours union all select * from direct",
    )
    .bind(logout.issuer)
    .bind(logout.session)
    .bind(logout.subject)
    .bind(now.datetime())
    .fetch_all(&mut *transaction)
    .await?;
    let ended = audit::note_revoked(&mut transaction, &ended, RevokedBy::Host, clock).await?;
    transaction.commit().await?;
    Ok(Some(ended))
}

/// Remembers a logout. `false` if it is already remembered; its time becomes the later of the two.
async fn remember(
    transaction: &mut Transaction<'_, Postgres>,
    logout: &Logout<'_>,
    kind: &str,
    value: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "insert into auth.external_logout as known (issuer, kind, value, at, until) values ($1, $2, $3, $4, $5)
         on conflict (issuer, kind, value)
             do update set at = greatest(known.at, excluded.at), until = greatest(known.until, excluded.until)
         returning xmax = 0",
    )
    .bind(logout.issuer)
    .bind(kind)
    .bind(value)
    .bind(logout.at.datetime())
    .bind(logout.until.datetime())
    .fetch_one(&mut **transaction)
    .await
}
