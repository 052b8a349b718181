//! How Postgres plans the statements of projections.

use sqlx::PgConnection;

/// Makes a connection plan each of its statements only once. Otherwise Postgres would plan a statement at every use,
/// which costs more than finding a few rows.
pub(crate) async fn plan_once(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("set plan_cache_mode = force_generic_plan").execute(connection).await.map(drop)
}
