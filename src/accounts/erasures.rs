//! Requests for erasure: their subjects and their progress. The log says which content is erased.

use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

pub(crate) use super::erasure_request::{ErasurePart, ErasureRequest, ToldErasure};
use crate::{
    accounts::{
        audit::{self, Stamp},
        erasure_rows::{COLUMNS, Row, bigint, count, with_parts},
        kept::LOCK,
    },
    domain::{Audited, ErasureAsked, ErasureDone, ErasureId, ErasurePositions, Time, UserId},
};

/// The maximum number of requests that are processed at once.
const AT_ONCE: i64 = 100;

/// Stores a request, and returns its id. An account has at most one pending request. A second one is merged into it,
/// with the earlier of the two times and the larger of the two scopes.
pub(crate) async fn add(pool: &PgPool, erasure: &ErasureRequest, stamp: Stamp) -> sqlx::Result<ErasureId> {
    let mut transaction = pool.begin().await?;
    let id: Uuid = sqlx::query_scalar(
        "insert into auth.erasure as known (id, reason, actor, requested_at, starts_at, messages, scope, account_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (account_id) where account_id is not null and done_at is null
             do update set starts_at = least(known.starts_at, excluded.starts_at),
                           actor = case when known.actor = known.account_id then excluded.actor else known.actor end,
                           reason = case when known.actor = known.account_id then excluded.reason else known.reason end,
                           scope = case when known.account_erased_at is null
                                        then greatest(known.scope, excluded.scope) else known.scope end
         returning id",
    )
    .bind(erasure.id.uuid())
    .bind(&erasure.reason)
    .bind(erasure.actor.uuid())
    .bind(erasure.requested_at.datetime())
    .bind(erasure.starts_at.datetime())
    .bind(count(erasure.messages))
    .bind(erasure.scope.word())
    .bind(erasure.account.map(UserId::uuid))
    .fetch_one(&mut *transaction)
    .await?;
    for part in &erasure.parts {
        sqlx::query(
            "insert into auth.erasure_conversation (erasure_id, conversation_id, positions, events)
             values ($1, $2, $3, $4)",
        )
        .bind(erasure.id.uuid())
        .bind(part.conversation.uuid())
        .bind(part.positions.iter().map(|at| bigint(*at)).collect::<Vec<_>>())
        .bind(part.events.iter().map(|event| event.uuid()).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    }
    let asked = ErasureAsked {
        reason: erasure.reason.clone(),
        messages: erasure.messages,
        titles: erasure.titles(),
        scope: erasure.scope.word().into(),
        account_id: erasure.account,
        starts_at: erasure.starts_at,
    };
    audit::note(&mut transaction, stamp, Audited::ErasureAsked(id.into(), asked)).await?;
    transaction.commit().await?;
    Ok(ErasureId::known(id))
}

/// The pending request for an account.
pub(crate) async fn of_account(pool: &PgPool, account: UserId) -> sqlx::Result<Option<ErasureRequest>> {
    let sql = format!("select {COLUMNS} from auth.erasure where account_id = $1 and done_at is null");
    let row: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(account.uuid()).fetch_all(pool).await?;
    Ok(with_parts(pool, row).await?.pop())
}

/// One request.
pub(crate) async fn find(pool: &PgPool, id: ErasureId) -> sqlx::Result<Option<ErasureRequest>> {
    let sql = format!("select {COLUMNS} from auth.erasure where id = $1");
    let row: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id.uuid()).fetch_all(pool).await?;
    Ok(with_parts(pool, row).await?.pop())
}

/// The latest requests, the latest first.
pub(crate) async fn list(pool: &PgPool, limit: i64) -> sqlx::Result<Vec<ErasureRequest>> {
    let sql = format!("select {COLUMNS} from auth.erasure order by requested_at desc, id desc limit $1");
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(limit).fetch_all(pool).await?;
    with_parts(pool, rows).await
}

/// The requests whose content is hidden and not known to be gone, except those of which holds keep everything that is
/// left.
pub(crate) async fn hidden(pool: &PgPool) -> sqlx::Result<Vec<ErasureRequest>> {
    let sql = format!(
        "select {COLUMNS} from auth.erasure where done_at is null and hidden_at is not null and held_by = '{{}}'
         order by log_done_at is not null, hidden_at limit $1"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(AT_ONCE).fetch_all(pool).await?;
    with_parts(pool, rows).await
}

/// The requests whose content the log no longer has and an archive may still have, the oldest first. An archive that is
/// not behind has nothing of the requests that no longer wait for an archive; of one that is, those come first.
pub(crate) async fn not_out_of(
    pool: &PgPool,
    archive: Uuid,
    is_behind: bool,
) -> sqlx::Result<Vec<ErasureRequest>> {
    let which = if is_behind { "true" } else { "archive_done_at is null" };
    let sql = format!(
        "select {COLUMNS} from auth.erasure
         where log_done_at is not null and {which}
           and not exists (select from auth.erasure_archive where erasure_id = id and archive_id = $1)
         order by archive_done_at is null, log_done_at limit $2"
    );
    let rows: Vec<Row> =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(archive).bind(AT_ONCE).fetch_all(pool).await?;
    with_parts(pool, rows).await
}

/// The requests whose hidden content may be only partly gone from the log, the oldest first, and after them those of
/// which holds keep everything that is left.
pub(crate) async fn partly_gone(pool: &PgPool) -> sqlx::Result<Vec<ErasureRequest>> {
    let sql = format!(
        "select {COLUMNS} from auth.erasure
         where hidden_at is not null and log_done_at is null and done_at is null
         order by held_by <> '{{}}', hidden_at limit $1"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(10 * AT_ONCE).fetch_all(pool).await?;
    with_parts(pool, rows).await
}

/// Whether a request is due that is not hidden, or whose views have not followed. Every node asks this twice a second.
pub(crate) async fn are_to_hide(pool: &PgPool, now: Time) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from auth.erasure
                        where done_at is null and starts_at <= $1 and (hidden_at is null or views_done_at is null))",
    )
    .bind(now.datetime())
    .fetch_one(pool)
    .await
}

/// Claims a due request that no other process is hiding, until `until`.
pub(crate) async fn claim_due(pool: &PgPool, now: Time, until: Time) -> sqlx::Result<Option<ErasureRequest>> {
    claim(pool, "done_at is null and hidden_at is null and starts_at <= $1", now, until).await
}

/// Claims a request that was hidden at least `settled` ago and whose views have not been checked.
pub(crate) async fn claim_hidden(
    pool: &PgPool,
    now: Time,
    until: Time,
    settled: Duration,
) -> sqlx::Result<Option<ErasureRequest>> {
    let which = format!("done_at is null and views_done_at is null and {}", hidden_since(settled));
    claim(pool, &which, now, until).await
}

/// Claims a request that is done, was hidden at least `late` ago, and was not looked at since.
pub(crate) async fn claim_done(
    pool: &PgPool,
    now: Time,
    until: Time,
    late: Duration,
) -> sqlx::Result<Option<ErasureRequest>> {
    let which = format!("done_at is not null and looked_again_at is null and {}", hidden_since(late));
    claim(pool, &which, now, until).await
}

/// Another node may have hidden a request, so both times come from the database.
fn hidden_since(at_least: Duration) -> String {
    format!("hidden_at <= now() - interval '{} milliseconds'", at_least.as_millis())
}

/// Requests that were never claimed come first, then the one that was released first. So a request that fails again
/// and again takes its turn and no more.
async fn claim(pool: &PgPool, which: &str, now: Time, until: Time) -> sqlx::Result<Option<ErasureRequest>> {
    let sql = format!(
        "update auth.erasure set claimed_until = $2
         where id = (select id from auth.erasure
                     where {which} and (claimed_until is null or claimed_until <= $1)
                     order by claimed_until nulls first, starts_at limit 1 for update skip locked)
         returning {COLUMNS}"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(now.datetime())
        .bind(until.datetime())
        .fetch_all(pool)
        .await?;
    Ok(with_parts(pool, rows).await?.pop())
}

/// Releases a claim early, so that the request can be claimed again at `at`.
pub(crate) async fn release(pool: &PgPool, id: ErasureId, at: Time) -> sqlx::Result<()> {
    sqlx::query("update auth.erasure set claimed_until = $2 where id = $1")
        .bind(id.uuid())
        .bind(at.datetime())
        .execute(pool)
        .await
        .map(drop)
}

/// Records what the log now says about a request. If the counts have changed, the holds may not keep everything, so
/// `held_by` is cleared.
pub(crate) async fn told(pool: &PgPool, id: ErasureId, told: &ToldErasure) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    for (conversation, position) in &told.told_at {
        sqlx::query(
            "update auth.erasure_conversation set told_at = greatest(told_at, $3)
             where erasure_id = $1 and conversation_id = $2",
        )
        .bind(id.uuid())
        .bind(conversation.uuid())
        .bind(bigint(*position))
        .execute(&mut *transaction)
        .await?;
    }
    sqlx::query(
        "update auth.erasure
         set hidden_at = coalesce(hidden_at, now()), messages = $2, edits = $3, claimed_until = null,
             held_by = case when messages = $2 and edits = $3 then held_by else '{}' end
         where id = $1",
    )
    .bind(id.uuid())
    .bind(count(told.messages))
    .bind(count(told.edits))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Records that the views have applied the erasure.
pub(crate) async fn views_are_done(pool: &PgPool, id: ErasureId, at: Time) -> sqlx::Result<()> {
    sqlx::query(
        "update auth.erasure set views_done_at = coalesce(views_done_at, $2), claimed_until = null where id = $1",
    )
    .bind(id.uuid())
    .bind(at.datetime())
    .execute(pool)
    .await
    .map(drop)
}

/// Records that a request that is done was looked at once more.
pub(crate) async fn is_looked_at(pool: &PgPool, id: ErasureId, at: Time) -> sqlx::Result<()> {
    sqlx::query("update auth.erasure set looked_again_at = $2 where id = $1")
        .bind(id.uuid())
        .bind(at.datetime())
        .execute(pool)
        .await
        .map(drop)
}

/// Records that the log no longer has content at the positions, with the audit events that name them.
pub(crate) async fn log_is_done(
    pool: &PgPool,
    id: ErasureId,
    at: Time,
    gone: Vec<(Stamp, ErasurePositions)>,
) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    let changed =
        sqlx::query("update auth.erasure set log_done_at = $2 where id = $1 and log_done_at is null")
            .bind(id.uuid())
            .bind(at.datetime())
            .execute(&mut *transaction)
            .await?;
    if changed.rows_affected() > 0 {
        let told = |(stamp, gone)| (stamp, Audited::ErasurePositions(id.uuid().into(), gone));
        audit::note_all(&mut transaction, &gone.into_iter().map(told).collect::<Vec<_>>()).await?;
    }
    transaction.commit().await
}

/// No Raft log has anything of a request any more.
pub(crate) async fn wal_is_compacted(pool: &PgPool, id: ErasureId, at: Time) -> sqlx::Result<()> {
    sqlx::query("update auth.erasure set wal_compacted_at = coalesce(wal_compacted_at, $2) where id = $1")
        .bind(id.uuid())
        .bind(at.datetime())
        .execute(pool)
        .await
        .map(drop)
}

/// Records the names of the copies for which a request waits.
pub(crate) async fn waits_for(
    pool: &PgPool,
    id: ErasureId,
    copies: impl Iterator<Item = &String>,
) -> sqlx::Result<()> {
    sqlx::query("update auth.erasure set waits_for = $2 where id = $1")
        .bind(id.uuid())
        .bind(copies.collect::<Vec<_>>())
        .execute(pool)
        .await
        .map(drop)
}

/// Marks a request as done: every position has been read again. Only the first call has an effect. It deletes the copy
/// of the account's identity that a hold kept. If a hold on the account was placed meanwhile, nothing changes.
pub(crate) async fn is_done(pool: &PgPool, erasure: &ErasureRequest, stamp: Stamp) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::query(LOCK).execute(&mut *transaction).await?;
    let changed = sqlx::query(
        "update auth.erasure set done_at = $2 where id = $1 and done_at is null
         and not exists (select from auth.hold where lifted_at is null and account_id = any(users))",
    )
    .bind(erasure.id.uuid())
    .bind(stamp.at.datetime())
    .execute(&mut *transaction)
    .await?;
    if changed.rows_affected() > 0 {
        let done = ErasureDone { messages: erasure.messages, edits: erasure.edits, titles: erasure.titles() };
        audit::note(&mut transaction, stamp, Audited::ErasureDone(erasure.id.uuid().into(), done)).await?;
        sqlx::query("delete from auth.held_account where account_id = $1")
            .bind(erasure.account.map(UserId::uuid))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}
