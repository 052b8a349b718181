//! The block list of an account.

use sqlx::PgPool;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Time, UserId};

/// The maximum number of users on the block list of an account.
pub(crate) const MAX_BLOCKS: i64 = 1_000;

/// A user on the block list of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// The blocked user.
    pub user: UserId,
    /// The time of the block.
    pub created_at: Time,
}

/// Why a user was not blocked.
#[derive(Debug, Error)]
pub(crate) enum BlockError {
    /// No account has the id of the user to block.
    #[error("there is no such user")]
    NoSuchUser,
    /// The block list already has [`MAX_BLOCKS`] users.
    #[error("at most {MAX_BLOCKS} users can be blocked: unblock another user first")]
    TooMany,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Blocks a user. Blocking the same user again changes nothing. The caller must notify all nodes.
pub(crate) async fn block(pool: &PgPool, account: UserId, user: UserId, now: Time) -> Result<(), BlockError> {
    let mut transaction = pool.begin().await?;
    // The lock on the account makes its blocks happen one after the other. Without the lock, two concurrent
    // transactions would not count each other's row, and the list could exceed the limit.
    sqlx::query("select 1 from auth.account where id = $1 for no key update")
        .bind(account.uuid())
        .execute(&mut *transaction)
        .await?;
    let blocked = sqlx::query(
        "insert into auth.block (account_id, blocked_id, created_at) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(account.uuid())
    .bind(user.uuid())
    .bind(now.datetime())
    .execute(&mut *transaction)
    .await;
    match blocked {
        Err(sqlx::Error::Database(e)) if e.is_foreign_key_violation() => return Err(BlockError::NoSuchUser),
        blocked => blocked?,
    };
    let all: i64 = sqlx::query_scalar("select count(*) from auth.block where account_id = $1")
        .bind(account.uuid())
        .fetch_one(&mut *transaction)
        .await?;
    if all > MAX_BLOCKS {
        return Err(BlockError::TooMany);
    }
    Ok(transaction.commit().await?)
}

/// Unblocks a user; without a block nothing changes. The caller must notify all nodes.
pub(crate) async fn unblock(pool: &PgPool, account: UserId, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query("delete from auth.block where account_id = $1 and blocked_id = $2")
        .bind(account.uuid())
        .bind(user.uuid())
        .execute(pool)
        .await?;
    Ok(())
}

/// The block list of an account, latest first, from after the block that `after` names.
pub(crate) async fn blocks(
    pool: &PgPool,
    account: UserId,
    after: Option<(Time, UserId)>,
    limit: i64,
) -> Result<Vec<Block>, sqlx::Error> {
    let (time, user) = after.map(|(time, user)| (time.datetime(), user.uuid())).unzip();
    let rows: Vec<(Uuid, OffsetDateTime)> = sqlx::query_as(
        "select blocked_id, created_at from auth.block
         where account_id = $1 and ($2::timestamptz is null or (created_at, blocked_id) < ($2, $3))
         order by created_at desc, blocked_id desc limit $4",
    )
    .bind(account.uuid())
    .bind(time)
    .bind(user)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let block = |(user, at)| Block { user: UserId::known(user), created_at: Time::of(at) };
    Ok(rows.into_iter().map(block).collect())
}

/// The block lists of these accounts, as pairs of an account and a blocked user.
pub(crate) async fn blocked_by(
    pool: &PgPool,
    accounts: &[UserId],
) -> Result<Vec<(UserId, UserId)>, sqlx::Error> {
    let rows: Vec<(Uuid, Uuid)> =
        sqlx::query_as("select account_id, blocked_id from auth.block where account_id = any($1)")
            .bind(accounts.iter().map(|account| account.uuid()).collect::<Vec<_>>())
            .fetch_all(pool)
            .await?;
    Ok(rows.into_iter().map(|(account, user)| (UserId::known(account), UserId::known(user))).collect())
}
