//! The content that legal holds keep, and the deletions with a result that is not yet known.
//!
//! Before an action that a hold may forbid, one transaction locks the table of holds against changes, reads it, and
//! records the intended action. So of a hold and a deletion, one always sees the other: either the eraser sees the
//! hold, or the process that placed the hold finds the deletion in `auth.deletion`.

use std::collections::BTreeSet;

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::domain::{ErasureId, HoldId, Position, UserId};

/// Prevents holds from being placed or lifted until the transaction ends.
pub(super) const LOCK: &str = "lock table auth.hold in share mode";

/// A deletion that was requested from nats-server: its stream and its position.
pub(crate) type Deletion = (i32, i64);

/// Records that holds keep everything that is left of an erasure, unless one of them was lifted meanwhile.
pub(crate) async fn keep(pool: &PgPool, erasure: ErasureId, by: &BTreeSet<HoldId>) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::query(LOCK).execute(&mut *transaction).await?;
    sqlx::query(
        "update auth.erasure set held_by = $2 where id = $1 and done_at is null
         and not exists (select from auth.hold where id = any($2) and lifted_at is not null)",
    )
    .bind(erasure.uuid())
    .bind(by.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Copies the identity of an account before it is emptied, if a hold names it, or if there is a hold of conversations,
/// because the account may have sent messages there. The copy is deleted when the erasure is done.
pub(super) async fn keep_account(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
) -> sqlx::Result<()> {
    sqlx::query(LOCK).execute(&mut **transaction).await?;
    sqlx::query(
        "insert into auth.held_account (account_id, kept)
         select id, jsonb_build_object(
             'account', to_jsonb(account) - 'password_hash',
             'external_ids', (select jsonb_agg(to_jsonb(one)) from auth.external_id one where account_id = account.id),
             'external_identities',
                 (select jsonb_agg(to_jsonb(one)) from auth.external_identity one where account_id = account.id),
             'logins', (select jsonb_agg(to_jsonb(one) - 'token_hash' - 'salt')
                        from auth.login one where account_id = account.id))
         from auth.account account
         where id = $1 and erased_at is null
               and exists (select from auth.hold where lifted_at is null and ($1 = any(users) or users = '{}'))
         on conflict do nothing",
    )
    .bind(user.uuid())
    .execute(&mut **transaction)
    .await
    .map(drop)
}

/// The ids, user names and display names of users. For an erased user they are the names before the erasure, if a hold
/// kept them.
pub(crate) async fn known_names(
    pool: &PgPool,
    users: &[UserId],
) -> sqlx::Result<Vec<(UserId, String, String)>> {
    let found: Vec<(Uuid, String, String)> = sqlx::query_as(
        "select account.id, coalesce(kept #>> '{account,username}', username),
                coalesce(kept #>> '{account,display_name}', display_name)
         from auth.account account left join auth.held_account on account_id = account.id
         where account.id = any($1) order by account.id",
    )
    .bind(users.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().map(|(id, name, display_name)| (UserId::known(id), name, display_name)).collect())
}

/// Records that a deletion is about to be requested. `false` if there is an active hold that is not in `known`: it may
/// forbid the deletion.
pub(crate) async fn may_delete(
    pool: &PgPool,
    known: &[HoldId],
    stream: usize,
    position: Position,
) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    sqlx::query(LOCK).execute(&mut *transaction).await?;
    let noted = sqlx::query(
        "insert into auth.deletion (stream, position)
         select $1, $2 where not exists (select from auth.hold where lifted_at is null and id <> all($3))
         on conflict (stream, position) do update set asked_at = now()",
    )
    .bind(number(stream))
    .bind(position.0.cast_signed())
    .bind(known.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(noted.rows_affected() > 0)
}

/// Removes the record of a deletion, because its result is known.
pub(crate) async fn deletion_is_over(pool: &PgPool, stream: usize, position: Position) -> sqlx::Result<()> {
    sqlx::query("delete from auth.deletion where stream = $1 and position = $2")
        .bind(number(stream))
        .bind(position.0.cast_signed())
        .execute(pool)
        .await
        .map(drop)
}

/// The deletions in a stream whose result is not known, and whether each was requested more than 30 seconds ago.
pub(crate) async fn deletions_in(pool: &PgPool, stream: usize) -> sqlx::Result<Vec<(Position, bool)>> {
    let found: Vec<(i64, bool)> = sqlx::query_as(
        "select position, asked_at < now() - interval '30 seconds' from auth.deletion where stream = $1",
    )
    .bind(number(stream))
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().map(|(position, is_old)| (Position(position.cast_unsigned()), is_old)).collect())
}

/// All deletions whose result is not known, or those among `these`.
pub(crate) async fn deletions(pool: &PgPool, these: Option<&[Deletion]>) -> sqlx::Result<Vec<Deletion>> {
    let (streams, positions): (Vec<i32>, Vec<i64>) = these.unwrap_or_default().iter().copied().unzip();
    sqlx::query_as(
        "select stream, position from auth.deletion
         where $1 or (stream, position) in (select * from unnest($2::integer[], $3::bigint[]))",
    )
    .bind(these.is_none())
    .bind(streams)
    .bind(positions)
    .fetch_all(pool)
    .await
}

fn number(stream: usize) -> i32 {
    i32::try_from(stream).unwrap_or(i32::MAX)
}
