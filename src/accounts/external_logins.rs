//! Logins by the tokens of external issuers: exchanged logins, which have tokens of Verbatim, and direct logins, whose
//! issuer's token is used directly; and how an issuer ends both.
//!
//! A logout may come just before the first use of a token of the same session. Both take the lock of the issuer: a new
//! login takes it shared, a logout takes it exclusively. So a login either begins before the logout, which then ends
//! it, or it finds the record of the logout.

use std::collections::BTreeMap;

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::{
    accounts::{
        audit::{self, By, Stamp},
        external::Subject,
        logins::{MAX_LOGINS, NewLogin, insert, make_room},
    },
    clock::Clock,
    domain::{Audited, LoginId, LoginRevoked, RevokedBy, Time, UserId},
};

/// The token with which a login begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IssuerProof<'a> {
    /// The user of the token.
    pub of: Subject<'a>,
    /// The session at the issuer.
    pub session: Option<&'a str>,
    /// The time at which the issuer created the token.
    pub issued_at: Time,
}

/// The result of beginning a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// The login has begun. These logins of the account ended to make room.
    Begun(Vec<LoginId>),
    /// The account is deactivated.
    Suspended,
    /// The user has logged out at the issuer, or the login was ended in Verbatim.
    Over,
}

/// Begins an exchanged login.
pub(crate) async fn begin(
    pool: &PgPool,
    login: &NewLogin<'_>,
    by: &IssuerProof<'_>,
    now: Time,
) -> Result<Beginning, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    if let Some(refused) = refuses(&mut transaction, login.user, by).await? {
        return Ok(refused);
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
    if let Some(refused) = refuses(&mut transaction, user, by).await? {
        return Ok(refused);
    }
    sqlx::query("delete from auth.direct_login where account_id = $1 and expires_at < $2")
        .bind(user.uuid())
        .bind(now.datetime() - time::Duration::DAY)
        .execute(&mut *transaction)
        .await?;
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
    Ok(if is_over { Beginning::Over } else { Beginning::Begun(displaced) })
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

/// The reason why a login cannot begin, if there is one.
async fn refuses(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    by: &IssuerProof<'_>,
) -> Result<Option<Beginning>, sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock_shared(hashtextextended('verbatim issuer ' || $1, 0))")
        .bind(by.of.issuer)
        .execute(&mut **transaction)
        .await?;
    // Without this lock, a concurrent deactivation could end all logins except this one. Deactivation is checked first,
    // because it also leaves a logout record, which would hide it.
    let is_active: Option<bool> =
        sqlx::query_scalar("select deactivated_at is null from auth.account where id = $1 for no key update")
            .bind(user.uuid())
            .fetch_optional(&mut **transaction)
            .await?;
    if is_active != Some(true) {
        return Ok(Some(Beginning::Suspended));
    }
    let is_over: bool = sqlx::query_scalar(
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
    .await?;
    Ok(is_over.then_some(Beginning::Over))
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
    let mut of_accounts = BTreeMap::<Uuid, Vec<LoginId>>::new();
    for (account, login) in &ended {
        of_accounts.entry(*account).or_default().push(LoginId::known(*login));
    }
    for (account, logins) in of_accounts {
        let revoked = LoginRevoked { logins, by: RevokedBy::Host };
        let stamp = Stamp::now(clock, By::default());
        audit::note(&mut transaction, stamp, Audited::LoginRevoked(account.into(), revoked)).await?;
    }
    transaction.commit().await?;
    Ok(Some(ended.into_iter().map(|(_, login)| LoginId::known(login)).collect()))
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
