//! The running nodes, by the heartbeat row that each node writes. All times come from the clock of Postgres,
//! so clock differences between nodes do not matter. A row outlives its process by a day, and with it the time at which
//! a background task failed.

use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// The age of a heartbeat from which its node no longer counts as running.
const ALIVE_SECONDS: f64 = 10.0;

/// What a process records about itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeNote {
    /// Whether the log answers it.
    pub has_log: bool,
    /// Whether one of its background tasks has failed.
    pub has_failed: bool,
}

/// The numbers of other nodes, by their heartbeats in Postgres.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OtherNodes {
    /// The number of nodes with a recent heartbeat.
    pub alive: i64,
    /// The number of these nodes that recently had an answer from the log.
    pub with_log: i64,
    /// When a background task of any node last failed, within the last day.
    pub failed_at: Option<OffsetDateTime>,
}

/// Records that this node runs. Deletes heartbeats that are more than a day old.
pub(crate) async fn note_node(
    connection: &mut PgConnection,
    id: Uuid,
    NodeNote { has_log, has_failed }: NodeNote,
) -> sqlx::Result<()> {
    sqlx::query(
        "with gone as (delete from auth.node where seen_at < now() - interval '1 day')
         insert into auth.node (id, seen_at, log_seen_at, failed_at)
         values ($1, now(), case when $2 then now() end, case when $3 then now() end)
         on conflict (id) do update
         set seen_at = excluded.seen_at, log_seen_at = coalesce(excluded.log_seen_at, auth.node.log_seen_at),
             failed_at = coalesce(auth.node.failed_at, excluded.failed_at)",
    )
    .bind(id)
    .bind(has_log)
    .bind(has_failed)
    .execute(connection)
    .await
    .map(drop)
}

/// Counts the other running nodes, and among them the nodes with an answer from the log within `lately`. Also finds the
/// last failure of a task, in this node or in another one.
pub(crate) async fn other_nodes(
    connection: &mut PgConnection,
    id: Uuid,
    lately: Duration,
) -> sqlx::Result<OtherNodes> {
    let (alive, with_log, failed_at) = sqlx::query_as(
        "select count(*) filter (where is_other),
                count(*) filter (where is_other and log_seen_at > now() - make_interval(secs => $3)),
                max(failed_at)
         from (select id <> $1 and seen_at > now() - make_interval(secs => $2) as is_other, log_seen_at, failed_at
               from auth.node) as node",
    )
    .bind(id)
    .bind(ALIVE_SECONDS)
    .bind(lately.as_secs_f64())
    .fetch_one(connection)
    .await?;
    Ok(OtherNodes { alive, with_log, failed_at })
}

/// Whether the database has the tables of accounts and logins that this version needs.
pub(crate) async fn is_there(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select bool_and(to_regclass(name) is not null)
         from unnest(array['auth.account', 'auth.login', 'auth.block', 'auth.node', 'auth.budget',
                          'auth.failure', 'auth.invitation', 'auth.audit', 'auth.erasure']) as name",
    )
    .fetch_one(connection)
    .await
}
