//! How Postgres plans the statements of projections.

use sqlx::PgConnection;

/// Has a connection plan each of its statements once. Postgres would do it at every use, which for one
/// that finds few rows costs more than to find them.
pub(crate) async fn plan_once(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("set plan_cache_mode = force_generic_plan").execute(connection).await.map(drop)
}
