//! The schema of the views. One Postgres schema holds a whole set of views. Code creates the schema, not a migration: a
//! missing table comes back, built from the log. A set that was built beside the live one can take its place.

use std::sync::LazyLock;

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres,
    postgres::{PgArguments, PgConnectOptions},
    query::QueryScalar,
};

use crate::{
    domain::Point,
    views::{ALL, Projection, bigint, checkpoints, parked},
};

/// The version of the set, raised when a projection or its tables differ from those of the last release. Each version
/// has a schema of its own, so the binaries of two releases work side by side. Two builds with one version and different
/// definitions would drop each other's views.
pub(crate) const VERSION: u32 = 1;
/// The key of the advisory lock for creating and replacing a schema.
const LOCK: i64 = 0x5645_5242_5649_4557;
/// The memory for creating an index of existing rows.
const INDEX_MEMORY: &str = "128MB";

/// The schema of this version: `view`, of later ones `view_2` and so on. Connections have it as
/// their search path.
pub fn schema() -> String {
    if VERSION == 1 { "view".into() } else { format!("view_{VERSION}") }
}

/// Settings by which Postgres notices within half a minute that a client's machine has vanished without closing its
/// connections. Until then the client's sessions keep their connections and locks. By default Postgres would notice
/// after two hours.
const OF_A_MACHINE_THAT_MAY_BE_LOST: &str = "set tcp_keepalives_idle = '10s'; set tcp_keepalives_interval = '5s';
     set tcp_keepalives_count = 3; set tcp_user_timeout = '20s'; set client_connection_check_interval = '5s';";

/// The settings of a connection that works with the views of a schema, as SQL.
pub(crate) fn session(schema: &str) -> String {
    // Every query here finds few rows by an index. A young database has no statistics, and a plan that reads a small
    // table whole would be kept after the table has grown.
    format!(
        "{OF_A_MACHINE_THAT_MAY_BE_LOST}
         set search_path = {schema}, public;
         set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off;
         set enable_mergejoin = off; set jit = off;"
    )
}

/// A connection outside of any pool for the views of a schema.
pub(crate) async fn connect(options: &PgConnectOptions, schema: &str) -> sqlx::Result<PgConnection> {
    let mut connection = PgConnection::connect_with(options).await?;
    execute(&mut connection, session(schema)).await?;
    Ok(connection)
}

/// The names of all tables, without their schema.
pub fn tables() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|projection| projection.tables).copied()
}

/// Creates the schema with empty tables, if the schema or one of its tables is missing or was made by another build.
pub(crate) async fn create(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    if is_whole(&mut transaction, schema).await? {
        // An explicit rollback: a dropped transaction would end, with its lock, only at the next use of the connection.
        return transaction.rollback().await;
    }
    begin(&mut transaction, schema).await?;
    let indexes: String = indexes().collect();
    execute(&mut transaction, format!("set local search_path = {schema}; {indexes}")).await?;
    whole(&mut transaction, schema).await?;
    transaction.commit().await
}

/// Creates an empty set that is not complete yet: it lacks the query-only indexes.
pub(crate) async fn begin(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    let tables = tables_defined();
    let sql = format!(
        "drop schema if exists {schema} cascade; create schema {schema};
         set local search_path = {schema}; {tables}"
    );
    execute(&mut transaction, sql).await?;
    transaction.commit().await
}

/// The query-only indexes that a set lacks at first, each as SQL. They may be created concurrently.
pub fn indexes() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|projection| projection.indexes).copied()
}

/// Creates an index in the connection's search path, with more memory than other statements have.
pub(crate) async fn make_index(connection: &mut PgConnection, index: &'static str) -> sqlx::Result<()> {
    execute(connection, format!("set maintenance_work_mem = '{INDEX_MEMORY}'; {index}")).await
}

/// Marks a set as complete, once it has all tables and indexes.
pub(crate) async fn whole(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let made_of: String =
        sqlx::query_scalar("select md5($1)").bind(&*DEFINITION).fetch_one(&mut *connection).await?;
    execute(connection, format!("comment on schema {schema} is '{made_of}'")).await
}

/// Whether the schema `$1` has the definition `$2` and all tables `$3`, as SQL. Every projector asks this all the time, so
/// it only looks up names.
const IS_WHOLE: &str =
    "obj_description(to_regnamespace($1), 'pg_namespace') is not distinct from md5($2)
     and (select bool_and(to_regclass(quote_ident($1) || '.' || name) is not null) from unnest($3::text[]) name)";

/// A query that begins with the parameters of [`IS_WHOLE`].
fn asks_for_whole(sql: String, schema: &str) -> QueryScalar<'_, Postgres, bool, PgArguments> {
    let names: Vec<&str> = tables().chain([checkpoints::TABLE, parked::TABLE]).collect();
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(schema).bind(&*DEFINITION).bind(names)
}

/// Whether a schema is complete: it has all tables as this build makes them.
pub(crate) async fn is_whole(connection: &mut PgConnection, schema: &str) -> sqlx::Result<bool> {
    asks_for_whole(format!("select {IS_WHOLE}"), schema).fetch_one(connection).await
}

/// Whether a schema is complete and the checkpoints of a stream are all where its projector believes them to be. An idle
/// projector asks nothing else, so this is one round trip.
pub(crate) async fn stands(
    connection: &mut PgConnection,
    schema: &str,
    stream: usize,
    at: Point,
) -> sqlx::Result<bool> {
    let sql = format!(
        "select ({IS_WHOLE})
                and (select count(*) from checkpoint where stream = $4 and position = $5 and event = $6) = $7"
    );
    let stands = asks_for_whole(sql, schema)
        .bind(stream as i32)
        .bind(bigint(at.position))
        .bind(at.event.uuid())
        .bind(ALL.len() as i64)
        .fetch_one(connection)
        .await;
    match stands {
        // Postgres does not plan a query of a table that is gone.
        Err(e) if checkpoints::is_not_there(&e) => Ok(false),
        stands => stands,
    }
}

/// Collects statistics of tables that have just been filled, and marks their rows as visible to all transactions.
/// Without this, plans are bad, and index-only scans still read the rows.
pub(crate) async fn settle(connection: &mut PgConnection) -> sqlx::Result<()> {
    for table in tables() {
        execute(connection, format!("vacuum (analyze) {table}")).await?;
    }
    Ok(())
}

/// Drops a schema, if it exists.
pub async fn discard(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    execute(connection, format!("drop schema if exists {schema} cascade")).await
}

/// The schemas of other versions of the views. Only an operator drops one, because only an operator knows whether the
/// binaries of that version come back.
pub(crate) async fn other_sets(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select nspname::text from pg_namespace where nspname ~ '^view(_[0-9]+)?$' and nspname <> $1 order by 1",
    )
    .bind(schema())
    .fetch_all(pool)
    .await
}

/// Holds the projectors of a schema until the transaction ends. A projector moves its checkpoint first, so a projector
/// that is held has not touched a view in its transaction.
pub(crate) async fn hold(transaction: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    lock(transaction).await?;
    execute(transaction, format!("select from {schema}.checkpoint for update")).await
}

/// Replaces the live set by another one. The live set is held, and gets the name `old`. This locks no table: a running
/// query continues to read the old tables.
pub(crate) async fn replace_all(
    transaction: &mut PgConnection,
    live: &str,
    by: &str,
    old: &str,
) -> sqlx::Result<()> {
    // A projector that waits for its checkpoint finds the checkpoint gone, and begins again from the new one.
    let sql = format!(
        "delete from {live}.checkpoint; alter schema {live} rename to {old}; alter schema {by} rename to {live}"
    );
    execute(transaction, sql).await
}

/// Replaces the tables of one live view by others. The live tables are held, and move to the schema `old`.
pub(crate) async fn replace_one(
    transaction: &mut PgConnection,
    projection: &Projection,
    [live, by, old]: [&str; 3],
) -> sqlx::Result<()> {
    execute(transaction, format!("create schema {old}")).await?;
    for table in projection.tables {
        let sql = format!(
            "alter table {live}.{table} set schema {old}; alter table {by}.{table} set schema {live}"
        );
        execute(transaction, sql).await?;
    }
    Ok(())
}

async fn lock(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(transaction).await.map(drop)
}

async fn execute(connection: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

/// All tables, as SQL without a schema.
fn tables_defined() -> String {
    let own = [checkpoints::DEFINITION, parked::DEFINITION];
    ALL.iter().map(|projection| projection.definition).chain(own).collect()
}

/// The SQL of a complete set.
static DEFINITION: LazyLock<String> = LazyLock::new(|| tables_defined() + &indexes().collect::<String>());

#[cfg(test)]
mod tests {
    use super::*;

    /// The version, and the FNV-1a hash of its definition. Rows that an `apply` writes differently do not change it.
    const MADE: (u32, u64) = (1, 0x04e3_4c11_b3e0_29a0);

    #[test]
    fn nobody_changes_the_definition_without_a_thought_for_its_version() {
        let hashed = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let made = (VERSION, DEFINITION.bytes().fold(0xcbf2_9ce4_8422_2325, hashed));
        assert_eq!(
            made, MADE,
            "the tables or indexes of the views have changed: raise VERSION if a release has the old number, then \
             write {made:#x?} to MADE"
        );
    }
}
