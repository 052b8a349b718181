//! Deactivating the account of a user, and reactivating it. A deactivated account keeps its place in conversations; it
//! has no logins and cannot begin any.

use std::time::Duration;

use sqlx::{PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::{
        TENANT,
        audit::{self, Stamp},
        external_logouts::refuse_tokens_until,
    },
    credentials::{HOST_LIFE, LEEWAY},
    domain::{AccountRestored, AccountSuspended, Audited, ExternalId, LoginId, Time, UserId},
};

/// How long a login that has ended may still have a valid access token.
const ENDED_LATELY: Duration = HOST_LIFE.saturating_add(LEEWAY.saturating_mul(2));

/// The account of a user, by one of its ids.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WhichAccount<'a> {
    /// The id in Verbatim.
    Id(UserId),
    /// The id that the host application gave.
    External(&'a ExternalId),
}

/// Deactivates an account and ends all its logins. Returns all logins that ended lately, because an earlier request
/// may have failed after the database and before the nodes were told. `None` if there is no such user.
pub(crate) async fn deactivate(
    pool: &PgPool,
    which: WhichAccount<'_>,
    stamp: Stamp,
) -> sqlx::Result<Option<(UserId, Vec<LoginId>)>> {
    let mut transaction = pool.begin().await?;
    // A new login takes a lock on the same row first. So it is either found here, or finds the account deactivated.
    let Some((account, is_active)) = locked(&mut transaction, which).await? else { return Ok(None) };
    if is_active {
        sqlx::query("update auth.account set deactivated_at = $2 where id = $1")
            .bind(account.uuid())
            .bind(stamp.at.datetime())
            .execute(&mut *transaction)
            .await?;
        // Tokens that issuers created until now cannot begin a login, even after the account is reactivated. Later
        // tokens of the same sessions at the issuers can.
        refuse_tokens_until(&mut transaction, Some(account), stamp.at).await?;
        sqlx::query("update auth.login set revoked_at = $2 where account_id = $1 and revoked_at is null")
            .bind(account.uuid())
            .bind(stamp.at.datetime())
            .execute(&mut *transaction)
            .await?;
        let suspended = Audited::AccountSuspended(account.into(), AccountSuspended {});
        audit::note(&mut transaction, stamp, suspended).await?;
    }
    let ended: Vec<Uuid> =
        sqlx::query_scalar("select id from auth.login where account_id = $1 and revoked_at > $2")
            .bind(account.uuid())
            .bind(stamp.at.datetime() - ENDED_LATELY)
            .fetch_all(&mut *transaction)
            .await?;
    transaction.commit().await?;
    Ok(Some((account, ended.into_iter().map(LoginId::known).collect())))
}

/// Lets an account act again. `None` if there is no such user, or if the account is erased.
pub(crate) async fn reactivate(
    pool: &PgPool,
    which: WhichAccount<'_>,
    stamp: Stamp,
) -> sqlx::Result<Option<UserId>> {
    let mut transaction = pool.begin().await?;
    let Some((account, is_active)) = locked(&mut transaction, which).await? else { return Ok(None) };
    if !is_active {
        let restored =
            sqlx::query("update auth.account set deactivated_at = null where id = $1 and erased_at is null")
                .bind(account.uuid())
                .execute(&mut *transaction)
                .await?;
        if restored.rows_affected() == 0 {
            return Ok(None);
        }
        let restored = Audited::AccountRestored(account.into(), AccountRestored {});
        audit::note(&mut transaction, stamp, restored).await?;
        transaction.commit().await?;
    }
    Ok(Some(account))
}

/// The id of an account and whether it is active. Both stay locked until the end of the transaction. Programs are left
/// out: their keys are revoked instead.
async fn locked(
    transaction: &mut Transaction<'_, Postgres>,
    which: WhichAccount<'_>,
) -> sqlx::Result<Option<(UserId, bool)>> {
    let query = match which {
        WhichAccount::Id(id) => sqlx::query_as(
            "select id, deactivated_at is null from auth.account where id = $1 and kind = 'user' for no key update",
        )
        .bind(id.uuid()),
        WhichAccount::External(id) => sqlx::query_as(
            "select id, deactivated_at is null from auth.external_id join auth.account on id = account_id
             where tenant = $1 and external_id = $2 for no key update of account",
        )
        .bind(TENANT)
        .bind(id.as_str()),
    };
    let found: Option<(Uuid, bool)> = query.fetch_optional(&mut **transaction).await?;
    Ok(found.map(|(id, is_active)| (UserId::known(id), is_active)))
}

/// When an account was deactivated and erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AccountEnds {
    /// When it was deactivated; `None` if it is active.
    pub deactivated_at: Option<Time>,
    /// When it was erased.
    pub erased_at: Option<Time>,
}

/// When an account was deactivated and erased, if it was.
pub(crate) async fn ends_of(pool: &PgPool, account: UserId) -> sqlx::Result<AccountEnds> {
    let row: Option<(Option<OffsetDateTime>, Option<OffsetDateTime>)> =
        sqlx::query_as("select deactivated_at, erased_at from auth.account where id = $1")
            .bind(account.uuid())
            .fetch_optional(pool)
            .await?;
    let (deactivated_at, erased_at) = row.unwrap_or_default();
    Ok(AccountEnds { deactivated_at: deactivated_at.map(Time::of), erased_at: erased_at.map(Time::of) })
}

/// The accounts that were deactivated within the last `age` and are still deactivated. The age is measured as for
/// revoked logins.
pub(crate) async fn suspended_since(
    pool: &PgPool,
    now: Time,
    age: Duration,
) -> Result<Vec<UserId>, sqlx::Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from auth.account where deactivated_at > least($1, now()) - make_interval(secs => $2)",
    )
    .bind(now.datetime())
    .bind(age.as_secs_f64())
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(UserId::known).collect())
}
