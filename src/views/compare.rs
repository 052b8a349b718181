//! Comparing two sets of views row by row, in Postgres, so that neither set is ever held in memory here.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection};

/// A row that differs between two sets, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The primary key of the row.
    pub key: String,
    /// The row of the first set; `None` if there is none.
    pub one: Option<String>,
    /// The row of the second set; `None` if there is none.
    pub other: Option<String>,
}

/// Reports every row of a table that differs between two schemas. Returns the number of rows in the first schema.
pub async fn compare(
    connection: &mut PgConnection,
    table: &str,
    [one, other]: [&str; 2],
    mut tell: impl FnMut(Difference),
) -> sqlx::Result<i64> {
    let key: Vec<String> = sqlx::query_scalar(
        "select a.attname::text from pg_index i, unnest(i.indkey) with ordinality as k (number, nth), pg_attribute a
         where i.indrelid = $1::regclass and i.indisprimary
               and a.attrelid = i.indrelid and a.attnum = k.number order by k.nth",
    )
    .bind(format!("{one}.{table}"))
    .fetch_all(&mut *connection)
    .await?;
    let names = key.join(", ");
    let pairs: Vec<String> = key.iter().map(|column| format!("'{column}', {column}")).collect();
    let sql = format!(
        "select jsonb_build_object({})::text, to_jsonb(a)::text, to_jsonb(b)::text
         from {one}.{table} a full join {other}.{table} b using ({names})
         where row(a.*) is distinct from row(b.*) order by {names}",
        pairs.join(", ")
    );
    let mut rows = sqlx::query_as::<_, (String, Option<String>, Option<String>)>(AssertSqlSafe(sql))
        .fetch(&mut *connection);
    while let Some((key, one, other)) = rows.try_next().await? {
        tell(Difference { key, one, other });
    }
    drop(rows);
    sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {one}.{table}")))
        .fetch_one(connection)
        .await
}
