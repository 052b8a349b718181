//! Requests for erasure after a restore. The restored log ends earlier than the log that the requests know.

use sqlx::PgPool;

use crate::{
    accounts::{
        erasure_request::{ErasurePart, ErasureRequest, ToldErasure},
        erasure_rows::{COLUMNS, Row, bigint, count, with_parts},
    },
    domain::{ErasureId, Position},
};

/// The number of requests on a page.
const PAGE: i64 = 100;

/// The next requests after `after`, in the order of their ids, that know a position behind this one.
pub(crate) async fn beyond(
    pool: &PgPool,
    position: Position,
    after: Option<ErasureId>,
) -> sqlx::Result<Vec<ErasureRequest>> {
    let sql = format!(
        "select {COLUMNS} from auth.erasure
         where ($2::uuid is null or id > $2)
           and exists (select from auth.erasure_conversation
                       where erasure_id = id and (told_at > $1 or $1 < any(positions)))
         order by id limit $3"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(bigint(position))
        .bind(after.map(ErasureId::uuid))
        .bind(PAGE)
        .fetch_all(pool)
        .await?;
    with_parts(pool, rows).await
}

/// Records what the restored log has of a request. If its content was hidden again, all steps after that begin again:
/// the log and the archive may have the content again.
pub(crate) async fn begins_again(
    pool: &PgPool,
    id: ErasureId,
    parts: &[ErasurePart],
    hidden: Option<&ToldErasure>,
) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::query("delete from auth.erasure_conversation where erasure_id = $1")
        .bind(id.uuid())
        .execute(&mut *transaction)
        .await?;
    for part in parts {
        sqlx::query(
            "insert into auth.erasure_conversation (erasure_id, conversation_id, positions, events, told_at)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(id.uuid())
        .bind(part.conversation.uuid())
        .bind(part.positions.iter().map(|at| bigint(*at)).collect::<Vec<_>>())
        .bind(part.events.iter().map(|event| event.uuid()).collect::<Vec<_>>())
        .bind(part.told_at.map(bigint))
        .execute(&mut *transaction)
        .await?;
    }
    if let Some(hidden) = hidden {
        sqlx::query(
            "update auth.erasure
             set hidden_at = now(), messages = $2, edits = $3, views_done_at = null, log_done_at = null,
                 wal_compacted_at = null, archive_done_at = null, done_at = null, held_by = '{}', waits_for = '{}',
                 claimed_until = null, looked_again_at = null
             where id = $1",
        )
        .bind(id.uuid())
        .bind(count(hidden.messages))
        .bind(count(hidden.edits))
        .execute(&mut *transaction)
        .await?;
        sqlx::query("delete from auth.erasure_archive where erasure_id = $1")
            .bind(id.uuid())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}
