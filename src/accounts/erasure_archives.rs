//! The archives in use, and the requests for erasure whose content each of them no longer has. A receipt waits for the
//! archives.

use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::domain::{ErasureId, Time};

/// The archives that may still have content of a request. An archive that has not been written to for a day is not
/// waited for.
const LACKING: &str = "select from auth.archive where seen_at > now() - interval '1 day' and not exists
    (select from auth.erasure_archive as gone where gone.erasure_id = erasure.id and gone.archive_id = archive.id)";

/// Records that an archive is in use: its process calls this continually. An archive that was not waited for is behind.
pub(crate) async fn note_archive(pool: &PgPool, archive: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "insert into auth.archive as known (id, seen_at) values ($1, now())
         on conflict (id) do update
             set seen_at = now(), is_behind = known.is_behind or known.seen_at <= now() - interval '1 day'
             where known.seen_at < now() - interval '1 minute'",
    )
    .bind(archive)
    .execute(pool)
    .await
    .map(drop)
}

/// Whether an archive may have content of requests for which no archive is waited for. An archive without an archiver,
/// which only backups write to, is never waited for.
pub(crate) async fn is_behind(pool: &PgPool, archive: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select coalesce((select is_behind or seen_at <= now() - interval '1 day' from auth.archive where id = $1), true)",
    )
    .bind(archive)
    .fetch_one(pool)
    .await
}

/// Records that an archive has content of no request any more, except of those for which it is waited for.
pub(crate) async fn is_no_longer_behind(pool: &PgPool, archive: Uuid) -> sqlx::Result<()> {
    sqlx::query("update auth.archive set is_behind = false where id = $1")
        .bind(archive)
        .execute(pool)
        .await
        .map(drop)
}

/// Records that an archive no longer has content of these requests.
pub(crate) async fn are_out_of(
    pool: &PgPool,
    archive: Uuid,
    requests: &[ErasureId],
    at: Time,
) -> sqlx::Result<()> {
    let requests: Vec<Uuid> = requests.iter().map(|id| id.uuid()).collect();
    let mut transaction = pool.begin().await?;
    sqlx::query(
        "insert into auth.erasure_archive (erasure_id, archive_id)
         select id, $2 from auth.erasure where id = any($1) on conflict do nothing",
    )
    .bind(&requests)
    .bind(archive)
    .execute(&mut *transaction)
    .await?;
    let sql = format!(
        "update auth.erasure set archive_done_at = $2
         where id = any($1) and archive_done_at is null and not exists ({LACKING})"
    );
    sqlx::query(AssertSqlSafe(sql)).bind(&requests).bind(at.datetime()).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Whether none of the archives that are waited for has content of a request.
pub(crate) async fn is_out_of_all(pool: &PgPool, request: ErasureId) -> sqlx::Result<bool> {
    let sql = format!("select not exists ({LACKING}) from auth.erasure where id = $1");
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(request.uuid()).fetch_one(pool).await
}
