//! Where the views live. One Postgres schema holds a whole set of them, and this code makes it, not
//! a migration: whatever is missing comes back, built from the log. A set that was built beside it
//! can take its place.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, postgres::PgConnectOptions};

use crate::views::{ALL, Projection, checkpoints, parked};

/// The version of the set: raised when a projection or its tables change. A version has a schema of
/// its own, so the binaries of two versions work side by side, each with what it understands.
pub(crate) const VERSION: u32 = 1;
/// The key of the advisory lock under which a schema is made or takes another's place.
const LOCK: i64 = 0x5645_5242_5649_4557;
/// The memory in which an index is made of rows that are there.
const INDEX_MEMORY: &str = "128MB";

/// The schema of this version: `view`, of later ones `view_2` and so on. Connections have it as
/// their search path.
pub fn schema() -> String {
    if VERSION == 1 { "view".into() } else { format!("view_{VERSION}") }
}

/// By which Postgres notices within half a minute that a machine is lost which said no goodbye: until then
/// its sessions keep their places and locks. By itself it would notice after two hours.
const OF_A_MACHINE_THAT_MAY_BE_LOST: &str = "set tcp_keepalives_idle = '10s'; set tcp_keepalives_interval = '5s';
     set tcp_keepalives_count = 3; set tcp_user_timeout = '20s'; set client_connection_check_interval = '5s';";

/// The settings of a connection that works with the views of a schema, as SQL.
pub(crate) fn session(schema: &str) -> String {
    // Every query here finds few rows by an index. A young database has no statistics, and a plan
    // that reads a small table whole would be kept when it has grown.
    format!(
        "{OF_A_MACHINE_THAT_MAY_BE_LOST}
         set search_path = {schema}, public;
         set enable_seqscan = off; set enable_bitmapscan = off; set enable_hashjoin = off;
         set enable_mergejoin = off; set jit = off;"
    )
}

/// A connection for the views of a schema that is not one of a pool.
pub(crate) async fn connect(options: &PgConnectOptions, schema: &str) -> sqlx::Result<PgConnection> {
    let mut connection = PgConnection::connect_with(options).await?;
    execute(&mut connection, session(schema)).await?;
    Ok(connection)
}

/// The names of all tables, without their schema.
pub fn tables() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|projection| projection.tables).copied()
}

/// Makes the schema whole: empty ones if it, or any of its tables, is missing or is of another build.
pub(crate) async fn create(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    if is_whole(&mut transaction, schema).await? {
        // Left to itself a transaction would end, and the lock with it, at the next use only.
        return transaction.rollback().await;
    }
    begin(&mut transaction, schema).await?;
    let indexes: String = indexes().collect();
    execute(&mut transaction, format!("set local search_path = {schema}; {indexes}")).await?;
    whole(&mut transaction, schema).await?;
    transaction.commit().await
}

/// Makes an empty set that is not whole yet: it lacks the indexes by which only queries read.
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

/// The indexes that a set lacks at first, each as SQL. They may be made at the same time.
pub fn indexes() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|projection| projection.indexes).copied()
}

/// Makes an index of the set that is the connection's search path, with more memory than statements
/// have as a rule.
pub(crate) async fn make_index(connection: &mut PgConnection, index: &'static str) -> sqlx::Result<()> {
    execute(connection, format!("set maintenance_work_mem = '{INDEX_MEMORY}'; {index}")).await
}

/// Says of a set that it is whole, now that it has all tables and indexes.
pub(crate) async fn whole(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    let made_of: String =
        sqlx::query_scalar("select md5($1)").bind(definition()).fetch_one(&mut *connection).await?;
    execute(connection, format!("comment on schema {schema} is '{made_of}'")).await
}

/// Whether a schema has all tables, as this build makes them.
pub(crate) async fn is_whole(connection: &mut PgConnection, schema: &str) -> sqlx::Result<bool> {
    let names: Vec<&str> = tables().chain([checkpoints::TABLE, parked::TABLE]).collect();
    sqlx::query_scalar(
        "select obj_description(to_regnamespace($1), 'pg_namespace') is not distinct from md5($2)
                and (select count(*) from pg_tables where schemaname = $1 and tablename = any($3)) = $4",
    )
    .bind(schema)
    .bind(definition())
    .bind(&names)
    .bind(names.len() as i64)
    .fetch_one(connection)
    .await
}

/// Tells Postgres what is in tables that have just been filled, and that everybody may see all of it:
/// until then plans are bad, and what an index knows is looked up in the rows all the same.
pub(crate) async fn settle(connection: &mut PgConnection) -> sqlx::Result<()> {
    for table in tables() {
        execute(connection, format!("vacuum (analyze) {table}")).await?;
    }
    Ok(())
}

/// Drops a schema, if it is there.
pub async fn discard(connection: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    execute(connection, format!("drop schema if exists {schema} cascade")).await
}

/// The schemas of other versions of the views. Nobody drops one but an operator: only they know whether
/// its binaries come back.
pub(crate) async fn other_sets(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select nspname::text from pg_namespace where nspname ~ '^view(_[0-9]+)?$' and nspname <> $1 order by 1",
    )
    .bind(schema())
    .fetch_all(pool)
    .await
}

/// Has the projectors of a schema wait until the transaction ends. Each takes its checkpoint first,
/// so none of them has touched a view in what it does next.
pub(crate) async fn hold(transaction: &mut PgConnection, schema: &str) -> sqlx::Result<()> {
    lock(transaction).await?;
    execute(transaction, format!("select from {schema}.checkpoint for update")).await
}

/// Puts a whole set in the place of the live one, which is held and gets the name `old`. No table is
/// locked by this: who reads goes on with what they have begun to read.
pub(crate) async fn replace_all(
    transaction: &mut PgConnection,
    live: &str,
    by: &str,
    old: &str,
) -> sqlx::Result<()> {
    // A projector that waits for its checkpoint finds that it is not there any more, and begins again
    // from the new one.
    let sql = format!(
        "delete from {live}.checkpoint; alter schema {live} rename to {old}; alter schema {by} rename to {live}"
    );
    execute(transaction, sql).await
}

/// Puts the tables of one view in the place of the live ones, which are held and go to the schema `old`.
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

/// All that a whole set consists of.
fn definition() -> String {
    tables_defined() + &indexes().collect::<String>()
}
