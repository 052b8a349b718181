//! The tables of the accounts and of the webhooks, as files of the archive.
//!
//! They are copied by `COPY` within one snapshot, in the text format of Postgres, which has no version, together with
//! the number of the last migration. A restore creates the tables by the same migrations, copies the rows in and
//! applies the later migrations. So `pg_dump` does not have to be installed, and no version of it has to match the
//! server.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use crate::{
    accounts,
    archive::{ArchiveError, ArchiveTarget, segment, target::Replaces},
};

/// The schemas.
const SCHEMAS: &str = "('auth', 'hooks')";
/// The most bytes of a part before compression; it may exceed this by one row.
const PART: usize = 8 << 20;
/// The most bytes that are read of a part, after decompression.
const MOST_READ: usize = 256 << 20;
const LEVEL: i32 = 3;
/// The line after the rows of a table.
const END: &[u8] = b"\\.\n";

/// The copied tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthDump {
    /// The last migration that the tables have.
    pub migration: i64,
    /// The files, in order.
    pub parts: Vec<Part>,
    /// The last numbers that each sequence has given, by table and column.
    pub sequences: BTreeMap<String, i64>,
}

/// A file with rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Its name.
    pub name: String,
    /// Its checksum.
    pub sha256: String,
}

/// The line before the rows of a table.
#[derive(Debug, Serialize, Deserialize)]
struct Table {
    table: String,
    columns: Vec<String>,
}

/// Why tables were not copied back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TablesError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The database refuses.
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
}

/// The last migration that was applied to a database.
async fn migration_of(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select max(version) from auth._sqlx_migrations where success")
        .fetch_one(connection)
        .await
}

/// Whether a database has accounts. Tables without an account count as lost, and accounts that an interrupted restore has
/// copied are copied again.
pub(crate) async fn has_accounts(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let has_table: bool = sqlx::query_scalar("select to_regclass('auth.account') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if !has_table || accounts::are_of_a_restore(&mut connection).await? {
        return Ok(false);
    }
    sqlx::query_scalar("select exists (select from auth.account)").fetch_one(&mut *connection).await
}

/// Copies the tables into files below a folder of the archive.
pub(super) async fn dump(
    pool: &PgPool,
    target: &ArchiveTarget,
    folder: &str,
) -> Result<AuthDump, ArchiveError> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("set transaction isolation level repeatable read, read only")
        .execute(&mut *transaction)
        .await?;
    wait_for_archive(&mut transaction).await?;
    let migration = migration_of(&mut transaction).await?;
    let mut parts = Parts { target, folder, parts: Vec::new(), text: Vec::new() };
    for table in tables(&mut transaction).await? {
        parts.begin(&table)?;
        let copy = format!("copy {} ({}) to stdout", table.table, table.columns.join(", "));
        let mut rows = transaction.copy_out_raw(&copy).await?;
        while let Some(row) = rows.try_next().await? {
            parts.text.extend_from_slice(&row);
            if parts.text.len() >= PART && row.ends_with(b"\n") {
                parts.text.extend_from_slice(END);
                parts.put().await?;
                parts.begin(&table)?;
            }
        }
        drop(rows);
        parts.text.extend_from_slice(END);
    }
    parts.put().await?;
    let mut last = BTreeMap::new();
    for (name, sequence) in sequences(&mut transaction).await? {
        let number = format!("select case when is_called then last_value else 0 end from {sequence}");
        last.insert(name, sqlx::query_scalar(AssertSqlSafe(number)).fetch_one(&mut *transaction).await?);
    }
    let Parts { parts, .. } = parts;
    transaction.rollback().await?;
    Ok(AuthDump { migration, parts, sequences: last })
}

/// Lets a transaction last as long as the files of the archive take: a bucket may be slow, and is asked again after a
/// minute. While it is asked, the transaction is idle, and nobody reads what Postgres sends.
async fn wait_for_archive(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0;
         set local tcp_user_timeout = 0",
    )
    .execute(transaction)
    .await
    .map(drop)
}

/// The files of a dump on their way.
struct Parts<'a> {
    target: &'a ArchiveTarget,
    folder: &'a str,
    parts: Vec<Part>,
    text: Vec<u8>,
}

impl Parts<'_> {
    fn begin(&mut self, table: &Table) -> Result<(), ArchiveError> {
        let line = serde_json::to_vec(table).map_err(|e| bad(self.folder, e))?;
        self.text.extend_from_slice(&line);
        self.text.push(b'\n');
        Ok(())
    }

    async fn put(&mut self) -> Result<(), ArchiveError> {
        let name = format!("{}/{}.copy.zst", self.folder, self.parts.len() + 1);
        let file = zstd::bulk::compress(&self.text, LEVEL).map_err(|e| bad(&name, e))?;
        let sha256 = segment::sha256(&file);
        self.target.put(&name, file, Replaces::Nothing).await?;
        self.parts.push(Part { name, sha256 });
        self.text.clear();
        Ok(())
    }
}

fn bad(name: &str, why: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Bad { name: name.to_owned(), why: why.to_string() }
}

/// The tables with their columns, each after the tables that it refers to.
async fn tables(connection: &mut PgConnection) -> Result<Vec<Table>, sqlx::Error> {
    let sql = format!(
        "select c.oid::regclass::text,
                array(select quote_ident(attname) from pg_attribute
                      where attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = '' order by attnum),
                array(select distinct confrelid::regclass::text from pg_constraint
                      where conrelid = c.oid and contype = 'f' and confrelid <> c.oid)
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in {SCHEMAS} and c.relkind = 'r' and c.relname <> '_sqlx_migrations' order by 1"
    );
    let rows: Vec<(String, Vec<String>, Vec<String>)> =
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let (mut waiting, mut done, mut tables) = (rows, BTreeSet::new(), Vec::new());
    while !waiting.is_empty() {
        let (ready, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(_, _, needs)| needs.iter().all(|needed| done.contains(needed)));
        if ready.is_empty() {
            return Err(sqlx::Error::Protocol("the tables refer to one another in a circle".into()));
        }
        for (table, columns, _) in ready {
            done.insert(table.clone());
            tables.push(Table { table, columns });
        }
        waiting = later;
    }
    Ok(tables)
}

/// The sequences of columns, with the name of the column.
async fn sequences(connection: &mut PgConnection) -> Result<Vec<(String, String)>, sqlx::Error> {
    let sql = format!(
        "select c.oid::regclass::text || '.' || a.attname,
                pg_get_serial_sequence(c.oid::regclass::text, a.attname)
         from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
         where n.nspname in {SCHEMAS} and c.relkind = 'r' and a.attidentity <> ''"
    );
    sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await
}

/// Copies the tables of a dump into a database that is at the dump's migration, and marks the accounts as restored. All
/// or nothing.
pub(crate) async fn load(
    connection: &mut PgConnection,
    target: &ArchiveTarget,
    dump: &AuthDump,
) -> Result<(), TablesError> {
    let mut transaction = connection.begin().await?;
    wait_for_archive(&mut transaction).await?;
    // A migration may have made rows, and so may a node that has found new tables.
    let all = tables(&mut transaction).await?;
    let names: Vec<&str> = all.iter().map(|table| &*table.table).collect();
    sqlx::raw_sql(AssertSqlSafe(format!("truncate {}", names.join(", ")))).execute(&mut *transaction).await?;
    for part in &dump.parts {
        let file = target.get(&part.name).await?.ok_or_else(|| bad(&part.name, "it is missing"))?;
        if segment::sha256(&file.bytes) != part.sha256 {
            return Err(bad(&part.name, "its content has changed since it was written").into());
        }
        let text = zstd::bulk::decompress(&file.bytes, MOST_READ).map_err(|e| bad(&part.name, e))?;
        let mut text = Bytes::from(text);
        while !text.is_empty() {
            let (table, rows) = next_table(&mut text).ok_or_else(|| bad(&part.name, "it cannot be read"))?;
            // The names come from the archive, and its bytes are the ones that we wrote.
            let copy = format!("copy {} ({}) from stdin", table.table, table.columns.join(", "));
            let mut into = transaction.copy_in_raw(&copy).await?;
            for rows in rows.chunks(1 << 20) {
                into.send(rows).await?;
            }
            into.finish().await?;
        }
    }
    for (name, sequence) in sequences(&mut transaction).await? {
        if let Some(last) = dump.sequences.get(&name).filter(|last| **last > 0) {
            sqlx::query("select setval($1::regclass, $2)")
                .bind(sequence)
                .bind(last)
                .execute(&mut *transaction)
                .await?;
        }
    }
    accounts::mark_restored(&mut transaction).await?;
    Ok(transaction.commit().await?)
}

/// The next table of a part, and its rows.
fn next_table(text: &mut Bytes) -> Option<(Table, Bytes)> {
    let line = text.iter().position(|byte| *byte == b'\n')?;
    let table = serde_json::from_slice(&text.split_to(line + 1)).ok()?;
    let mut end = 0;
    // No row begins like the end line: the format writes a backslash as two.
    while !text[end..].starts_with(END) {
        end += text[end..].iter().position(|byte| *byte == b'\n')? + 1;
    }
    let rows = text.split_to(end);
    let _ = text.split_to(END.len());
    Some((table, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_with_their_rows_up_to_the_line_behind_them() {
        let mut text = Bytes::from_static(
            b"{\"table\":\"a\",\"columns\":[\"x\"]}\n\\\\.\nrow\n\\.\n{\"table\":\"b\",\"columns\":[]}\n\\.\n",
        );
        let (table, rows) = next_table(&mut text).expect("a table");
        assert_eq!((&*table.table, &rows[..]), ("a", &b"\\\\.\nrow\n"[..]));
        let (table, rows) = next_table(&mut text).expect("a table");
        assert_eq!((&*table.table, rows.is_empty(), text.is_empty()), ("b", true, true));
        assert!(next_table(&mut Bytes::from_static(b"{\"table\":\"a\",\"columns\":[]}\nrow\n")).is_none());
    }
}
