//! The server of Postgres from which requests read the views: the replica, if there is one.

use sqlx::PgPool;

use crate::{
    app::{AppError, database},
    config::Settings,
    supervise::Supervisor,
    views::{Progress, ReadViews},
};

/// The connections to the replica, if a setting names one. A node also starts while its replica is unreachable.
pub(super) fn replica(settings: &Settings) -> Result<Option<PgPool>, AppError> {
    let Some(url) = settings.database.replica_url()? else { return Ok(None) };
    let replica = database::replica(&url, settings.database.database_connections);
    replica.map(Some).map_err(|e| AppError::ReplicaUrl(e.to_string()))
}

/// The server from which requests read the views.
pub(super) fn read_views(
    primary: &PgPool,
    progress: &Progress,
    replica: Option<PgPool>,
    tasks: &Supervisor,
) -> ReadViews {
    let views = ReadViews::on_primary(primary.clone(), progress.clone());
    let Some(replica) = replica else { return views };
    let views = views.with_replica(replica);
    tasks.spawn("replica", views.clone().keep_comparing());
    views
}
