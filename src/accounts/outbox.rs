//! Emptying the outbox of audit events: one relay at a time, whose turn is a session of Postgres.

use std::{io, time::Duration};

use sqlx::{
    Connection as _, FromRow, PgConnection, PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::{
    accounts::audit::CHANNEL,
    domain::{AuditEvent, EventId, Time, UserId},
};

/// The advisory lock of the relay: "audit" in ASCII.
const LOCK: i64 = 0x61_75_64_69_74;
/// How often a node asks for the turn that another one has.
const ASK: Duration = Duration::from_secs(1);
/// Postgres ends the session that only listens if its machine is gone: such a session is idle for as long as nothing
/// happens, so no time limit fits it.
const PROBED: &str =
    "set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 3; set tcp_keepalives_count = 3";
/// How long an answer of Postgres may take. The session has a time limit for statements too; this one holds if the
/// network is gone.
const ANSWER: Duration = Duration::from_secs(10);

/// The turn of a relay. It lasts as long as its session of Postgres: the lock belongs to the session, and all that the
/// relay does to the outbox is done in this very session. A connection that is lost is an error here and is never made
/// anew, so a relay that has lost its turn cannot go on.
pub(crate) struct RelayTurn {
    session: PgConnection,
    wakes: PgListener,
}

/// An event that waits in the outbox.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The number of its row.
    pub seq: i64,
    /// The event.
    pub event: AuditEvent,
}

#[derive(FromRow)]
struct Row {
    seq: i64,
    id: Uuid,
    word: String,
    subject: String,
    time: OffsetDateTime,
    actor: Option<Uuid>,
    via: Option<Uuid>,
    data: String,
}

impl RelayTurn {
    /// Waits for the turn while another relay has it. The lock is asked for again and again, and not waited for: a
    /// statement that waits for hours would keep Postgres from cleaning up.
    pub(crate) async fn take(pool: &PgPool) -> Result<Self, sqlx::Error> {
        // A session of its own: the connections of the pool are for requests.
        let mut session = in_time(PgConnection::connect_with(&pool.connect_options())).await?;
        // Postgres ends the session, and with it the turn, of a relay that is frozen or whose machine is gone: a relay
        // that lives asks more often than that.
        let settings = "set statement_timeout = '5s'; set idle_session_timeout = '15s'";
        in_time(sqlx::raw_sql(settings).execute(&mut session)).await?;
        let take = "select pg_try_advisory_lock($1)";
        while !in_time(sqlx::query_scalar(take).bind(LOCK).fetch_one(&mut session)).await? {
            sleep(ASK).await;
        }
        let own = PgPoolOptions::new().max_connections(1).after_connect(|connection, _| {
            Box::pin(async move { sqlx::raw_sql(PROBED).execute(connection).await.map(drop) })
        });
        let own = own.connect_lazy_with((*pool.connect_options()).clone());
        let mut wakes = in_time(PgListener::connect_with(&own)).await?;
        in_time(wakes.listen(CHANNEL)).await?;
        Ok(Self { session, wakes })
    }

    /// The oldest events.
    pub(crate) async fn oldest(&mut self, most: i64) -> Result<Vec<Waiting>, sqlx::Error> {
        let query = sqlx::query_as(
            "select seq, id, word, subject, time, actor, via, data::text as data from auth.audit
             order by seq limit $1",
        )
        .bind(most);
        let rows: Vec<Row> = in_time(query.fetch_all(&mut self.session)).await?;
        rows.into_iter().map(waiting).collect()
    }

    /// Fails if the turn is over.
    pub(crate) async fn lasts(&mut self) -> Result<(), sqlx::Error> {
        in_time(sqlx::query("select 1").execute(&mut self.session)).await.map(drop)
    }

    /// Removes events that the stream has.
    pub(crate) async fn remove(&mut self, stored: &[i64]) -> Result<(), sqlx::Error> {
        let query = sqlx::query("delete from auth.audit where seq = any($1)").bind(stored);
        in_time(query.execute(&mut self.session)).await.map(drop)
    }

    /// Waits until a transaction with an event has committed, and at most for `patience`.
    pub(crate) async fn wait(&mut self, patience: Duration) -> Result<(), sqlx::Error> {
        match timeout(patience, self.wakes.try_recv()).await {
            // The listener has lost its connection, and connects again at its next use: the caller looks meanwhile.
            Ok(heard) => heard.map(drop),
            Err(_) => Ok(()),
        }
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {ANSWER:?}"));
    timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(late().into()))
}

fn waiting(row: Row) -> Result<Waiting, sqlx::Error> {
    let event = AuditEvent {
        id: EventId::known(row.id),
        time: Time::of(row.time),
        word: row.word,
        subject: row.subject,
        actor: row.actor.map(UserId::known),
        via: row.via.map(UserId::known),
        data: row.data.parse().map_err(|e: serde_json::Error| sqlx::Error::Decode(e.into()))?,
    };
    Ok(Waiting { seq: row.seq, event })
}
