//! Where the views live. One Postgres schema holds a whole set of them, and this code makes it, not
//! a migration: whatever is missing comes back, built from the log.

use sqlx::{Acquire as _, AssertSqlSafe, PgConnection};

use super::{ALL, checkpoints};

/// The version of the set: raised when a projection or its tables change. A version has a schema of
/// its own, so the binaries of two versions work side by side, each with what it understands.
pub const VERSION: u32 = 1;
/// The key of the advisory lock under which a schema is made.
const LOCK: i64 = 0x5645_5242_5649_4557;

/// The schema of this version: `view`, of later ones `view_2` and so on. Connections have it as
/// their search path.
pub fn schema() -> String {
    if VERSION == 1 { "view".into() } else { format!("view_{VERSION}") }
}

/// The names of all tables, without their schema.
pub fn tables() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|projection| projection.tables).copied()
}

/// Makes the schema whole: empty ones if it, or any of its tables, is missing or is of another build.
pub async fn create(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    let definition = definition();
    let made_of: String =
        sqlx::query_scalar("select md5($1)").bind(&definition).fetch_one(&mut *transaction).await?;
    if is_whole(&mut transaction, schema, &made_of).await? {
        // Left to itself a transaction would end, and the lock with it, at the next use only.
        return transaction.rollback().await;
    }
    let sql = format!(
        "drop schema if exists {schema} cascade; create schema {schema};
         comment on schema {schema} is '{made_of}'; set local search_path = {schema}; {definition}"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn is_whole(connection: &mut PgConnection, schema: &str, made_of: &str) -> sqlx::Result<bool> {
    let names: Vec<&str> = tables().chain([checkpoints::TABLE]).collect();
    sqlx::query_scalar(
        "select obj_description(to_regnamespace($1), 'pg_namespace') is not distinct from $2
                and (select count(*) from pg_tables where schemaname = $1 and tablename = any($3)) = $4",
    )
    .bind(schema)
    .bind(made_of)
    .bind(&names)
    .bind(names.len() as i64)
    .fetch_one(connection)
    .await
}

/// All tables, as SQL without a schema.
fn definition() -> String {
    ALL.iter().map(|projection| projection.definition).chain([checkpoints::DEFINITION]).collect()
}
