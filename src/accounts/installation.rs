//! The row of an installation: the epoch of its log, so that a lost log is not mistaken for one that was
//! never created, and the key of its cursors, so that the cursors outlive a change of the signing key. And the mark of
//! accounts that a restore has copied and that are not those of the log yet.

use aws_lc_rs::rand;
use sqlx::{PgConnection, PgPool};

use crate::domain::Epoch;

/// The key of the advisory lock under which an installation creates its log.
const LOCK: i64 = 0x5645_5242_4c4f_4730;

/// The epoch of the log of this installation; `None` if it has not created a log yet. Changes nothing.
pub(crate) async fn epoch_of_log(pool: &PgPool) -> sqlx::Result<Option<Epoch>> {
    let epoch: Option<Option<String>> =
        sqlx::query_scalar("select epoch from auth.installation").fetch_optional(pool).await?;
    Ok(epoch.flatten().map(Epoch))
}

/// The former epochs of the log of this installation, the oldest first. A database of an earlier version does not know
/// them, and a restore inspects it before it is migrated.
pub(crate) async fn former_epochs(pool: &PgPool) -> sqlx::Result<Vec<Epoch>> {
    let epochs: Vec<String> = sqlx::query_scalar(
        "select former.epoch from auth.installation, jsonb_array_elements_text(to_jsonb(installation) -> 'former_epochs')
                with ordinality as former (epoch, number)
         order by former.number",
    )
    .fetch_all(pool)
    .await?;
    Ok(epochs.into_iter().map(Epoch).collect())
}

/// The epochs that the log of this installation has had, the present one last.
pub(crate) async fn epochs_of_log(pool: &PgPool) -> sqlx::Result<Vec<Epoch>> {
    let former = former_epochs(pool).await?;
    Ok(former.into_iter().chain(epoch_of_log(pool).await?).collect())
}

/// The key that authenticates cursors. The first call creates the key, which is the same for all nodes.
#[expect(clippy::disallowed_methods, reason = "a secret is drawn where it is made")]
pub(crate) async fn cursor_key(pool: &PgPool) -> sqlx::Result<[u8; 32]> {
    let mut made = [0_u8; 32];
    rand::fill(&mut made).expect("the system has randomness");
    sqlx::query("insert into auth.installation (cursor_key) values ($1) on conflict do nothing")
        .bind(&made[..])
        .execute(pool)
        .await?;
    let key: Vec<u8> = sqlx::query_scalar("select cursor_key from auth.installation").fetch_one(pool).await?;
    key.try_into().map_err(|_| sqlx::Error::Decode("a cursor key has 32 bytes".into()))
}

/// Waits until no other process creates the log of this installation. The lock is released with the
/// connection.
pub(crate) async fn take_turn(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_lock($1)").bind(LOCK).execute(connection).await.map(drop)
}

/// Stores the epoch of the log of this installation, and keeps the one before. From then on the accounts belong to that
/// log.
pub(crate) async fn keep_epoch(pool: &PgPool, epoch: &Epoch) -> sqlx::Result<()> {
    cursor_key(pool).await?;
    let mut transaction = pool.begin().await?;
    sqlx::query(
        "update auth.installation
         set former_epochs = case when epoch <> $1 then array_append(former_epochs, epoch) else former_epochs end,
             epoch = $1",
    )
    .bind(&epoch.0)
    .execute(&mut *transaction)
    .await?;
    if are_of_a_restore(&mut transaction).await? {
        sqlx::raw_sql("drop table auth.restoring").execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// Marks the accounts as copied from a backup. They may include accounts that were erased or suspended after it. The mark
/// is a table, because the tables of an older backup have no column for it.
pub(crate) async fn mark_restored(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("create table auth.restoring ()").execute(connection).await.map(drop)
}

/// Whether the accounts have that mark, because a restore was interrupted.
pub(crate) async fn are_of_a_restore(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select to_regclass('auth.restoring') is not null").fetch_one(connection).await
}

/// Whether the log of this installation has ever had the stream AUDIT.
pub(crate) async fn has_audit(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let has: Option<bool> =
        sqlx::query_scalar("select has_audit from auth.installation").fetch_optional(pool).await?;
    Ok(has.unwrap_or(false))
}

/// Records that the log has the stream AUDIT.
pub(crate) async fn keep_audit(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("update auth.installation set has_audit = true").execute(pool).await.map(drop)
}
