//! Emptying the outbox of audit events: one relay at a time, which holds an advisory lock in its Postgres session.

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
/// How often a node tries to take the lock that another node has.
const ASK: Duration = Duration::from_secs(1);
/// Makes Postgres end the listening session if its machine is gone. That session is idle while nothing happens, so no
/// idle timeout fits it.
const PROBED: &str =
    "set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 3; set tcp_keepalives_count = 3";
/// How long an answer from Postgres may take. The session has a statement timeout too; this one also works if the
/// network is gone.
const ANSWER: Duration = Duration::from_secs(10);

/// The turn of a relay. It lasts as long as its Postgres session: the lock belongs to the session, and the relay
/// accesses the outbox only through this session. A lost connection is an error here and is never reopened, so a relay
/// that has lost its turn cannot continue.
pub(crate) struct RelayTurn {
    session: PgConnection,
    wakes: PgListener,
}

/// An event in the outbox.
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
    /// Waits for the turn while another relay has it. It polls the lock instead of blocking on it, because a statement
    /// that waits for hours would keep Postgres from vacuuming.
    pub(crate) async fn take(pool: &PgPool) -> Result<Self, sqlx::Error> {
        // The turn has its own session, because the connections of the pool are for requests.
        let mut session = in_time(PgConnection::connect_with(&pool.connect_options())).await?;
        // Postgres ends the session, and with it the turn, of a relay that is frozen or whose machine is gone. A live
        // relay sends statements more often than that.
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

    /// Waits until a transaction with an event has committed, but not longer than `patience`.
    pub(crate) async fn wait(&mut self, patience: Duration) -> Result<(), sqlx::Error> {
        match timeout(patience, self.wakes.try_recv()).await {
            // An `Ok` also comes if the listener lost its connection, which it reopens at its next use. The caller
            // reads the outbox in either case.
            Ok(heard) => heard.map(drop),
            Err(_) => Ok(()),
        }
    }
}

/// How long the oldest event has been waiting; `None` if none waits.
pub(crate) async fn oldest_waiting(connection: &mut PgConnection) -> sqlx::Result<Option<Duration>> {
    let query = "select extract(epoch from now() - time)::float8 from auth.audit order by seq limit 1";
    let seconds: Option<f64> = sqlx::query_scalar(query).fetch_optional(connection).await?;
    // The time of an event comes from the clock of its node, which may be ahead.
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
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
