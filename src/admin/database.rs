//! Queries Postgres for the facts of the report, over its own connection. The pool may be busy, and a hanging
//! connection can be dropped here without a clean close.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sqlx::{PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    accounts::{self, NodeNote, OtherNodes},
    admin::clocks::postgres_ahead,
    clock::Clock,
    domain::Position,
    hooks, views,
};

/// The time limit of one check, including a new connection if the check needs one.
const ANSWER: Duration = Duration::from_millis(500);
/// How often this process records in Postgres that it runs and whether it reaches the log.
const NOTE: Duration = Duration::from_secs(2);

/// The answers of Postgres in one check.
#[derive(Debug, Clone)]
pub(super) struct DatabaseSeen {
    /// How far the clock of Postgres is ahead of this node's, in seconds.
    pub(super) ahead: f64,
    /// Whether the tables of accounts exist.
    pub(super) has_accounts: bool,
    /// Whether all views of this version exist.
    pub(super) has_views: bool,
    /// The position up to which the views hold each stream.
    pub(super) views: BTreeMap<usize, Position>,
    /// The position of each view in each stream.
    pub(super) each_view: Vec<(String, usize, Position)>,
    /// The number of parked events: events that could not be projected.
    pub(super) parked: i64,
    /// The webhooks; `None` if their tables are missing.
    pub(super) webhooks: Option<hooks::Summary>,
    /// How long the oldest audit event has been waiting for the stream AUDIT; `None` if none waits.
    pub(super) audit_waiting: Option<Duration>,
    /// How long the oldest due erasure has been waiting to be hidden or deleted from the log; `None` if none waits.
    pub(super) erasure_waiting: Option<Duration>,
    /// The other processes that Postgres knows.
    pub(super) others: OtherNodes,
}

/// The connections of the pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolConnections {
    pub(super) open: u32,
    /// Those of the open ones that nobody uses.
    pub(super) idle: u32,
    /// How many may be open.
    pub(super) most: u32,
}

impl PoolConnections {
    pub(super) fn of(pool: &PgPool) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        Self { open: pool.size(), idle, most: pool.options().get_max_connections() }
    }
}

/// Checks Postgres, and keeps a connection between checks.
pub(super) struct Database {
    options: Arc<PgConnectOptions>,
    connection: Option<PgConnection>,
    node: Uuid,
    noted: Option<Instant>,
}

impl Database {
    pub(super) fn of(pool: &PgPool, node: Uuid) -> Self {
        Self { options: pool.connect_options(), connection: None, node, noted: None }
    }

    /// Checks Postgres once; the error says why Postgres could not answer. Records the note for the other processes, at
    /// once if a task has failed, and counts the other processes that reached the log within `lately`.
    pub(super) async fn look(
        &mut self,
        clock: &Clock,
        note: NodeNote,
        lately: Duration,
    ) -> Result<DatabaseSeen, String> {
        let mut connection = self.connection.take();
        let is_due = note.has_failed || self.noted.is_none_or(|noted| noted.elapsed() >= NOTE);
        let looked = timeout(ANSWER, async {
            let connection = match &mut connection {
                Some(connection) => connection,
                none => none.insert(views::connect(&self.options, &views::schema()).await?),
            };
            look(connection, self.node, clock, is_due.then_some(note), lately).await
        });
        match looked.await {
            Ok(Ok(seen)) => {
                if is_due {
                    self.noted = Some(Instant::now());
                }
                self.connection = connection;
                Ok(seen)
            }
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err(format!("no answer within {} ms", ANSWER.as_millis())),
        }
    }
}

async fn look(
    connection: &mut PgConnection,
    node: Uuid,
    clock: &Clock,
    note: Option<NodeNote>,
    lately: Duration,
) -> sqlx::Result<DatabaseSeen> {
    let ahead = postgres_ahead(connection, clock).await?;
    let has_accounts = accounts::is_there(connection).await?;
    let (mut others, mut audit_waiting, mut erasure_waiting) = (OtherNodes::default(), None, None);
    if has_accounts {
        if let Some(note) = note {
            accounts::note_node(connection, node, note).await?;
            accounts::forgetting::forget_old(connection).await?;
        }
        others = accounts::other_nodes(connection, node, lately).await?;
        audit_waiting = accounts::oldest_waiting(connection).await?;
        erasure_waiting = accounts::oldest_erasure(&mut *connection).await?;
    }
    let schema = views::schema();
    let has_views = views::is_whole(connection, &schema).await?;
    let each_view = views::positions_in(connection, &schema).await?;
    let parked = if has_views { views::parked_in(connection, &schema).await? } else { 0 };
    let webhooks = hooks::figures::summary(connection).await?;
    let mut hindmost = BTreeMap::new();
    for (_, stream, at) in &each_view {
        let hindmost = hindmost.entry(*stream).or_insert(*at);
        *hindmost = (*hindmost).min(*at);
    }
    Ok(DatabaseSeen {
        ahead,
        has_accounts,
        has_views,
        views: hindmost,
        each_view,
        parked,
        webhooks,
        audit_waiting,
        erasure_waiting,
        others,
    })
}
