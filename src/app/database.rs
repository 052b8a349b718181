//! Connects to Postgres, and distinguishes temporary from permanent failures.

use std::{io, time::Duration};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::time::{sleep, timeout};

use crate::{
    app::{AppError, patience::RETRY},
    views,
};

/// A connection that was idle for longer is tested before use, because Postgres may have closed it unnoticed.
const RESTED: Duration = Duration::from_secs(1);
/// How long a request waits for a connection of the pool: a part of the time that a request may take.
const ACQUIRE: Duration = Duration::from_secs(3);
/// The time limit of the first connection.
const CONNECT: Duration = Duration::from_secs(3);
/// The number of consecutive refused logins that count as final: a server that is being set up may open its port
/// a moment before it knows its users.
const REFUSALS: usize = 5;

/// Connects to Postgres, and returns when the first connection is established.
pub async fn database(url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    database_with(url, connections, views::schema()).await
}

/// The same as [`database`], with the views in `schema`.
pub async fn database_with(url: &str, connections: u32, schema: String) -> Result<PgPool, sqlx::Error> {
    // A pool does not report why it has no connection, and retries even a refused login. So a single connection
    // is made first, to learn the reason.
    reached(url).await?;
    pool(connections, schema).connect(url).await
}

/// A pool of connections to a replica, whether the replica answers or not.
pub(super) fn replica(url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    pool(connections, views::schema()).connect_lazy(url)
}

fn pool(connections: u32, schema: String) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        // The pool tests a connection when it is returned. Postgres can have closed only a connection that has
        // been idle since then, so only such a connection is tested again.
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move { Ok(about.idle_for < RESTED || connection.ping().await.is_ok()) })
        })
        .after_connect(move |connection, _| {
            let schema = schema.clone();
            Box::pin(async move {
                let settings = format!(
                    "{} set statement_timeout = '10s'; set lock_timeout = '5s';
                     set idle_in_transaction_session_timeout = '10s'",
                    views::session(&schema)
                );
                sqlx::raw_sql(AssertSqlSafe(settings)).execute(connection).await.map(drop)
            })
        })
}

/// Connects once, to learn why Postgres cannot be used; retries a refused login up to [`REFUSALS`] times.
async fn reached(url: &str) -> Result<(), sqlx::Error> {
    let mut refusals = 0;
    loop {
        let connecting = async { PgConnection::connect(url).await?.close().await };
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {CONNECT:?}"));
        let reached = timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(late().into()));
        match reached {
            Err(e) if is_refusal(&e) && refusals + 1 < REFUSALS => {
                refusals += 1;
                tracing::warn!(error = %e, "Postgres refused the login; retrying");
                sleep(RETRY).await;
            }
            reached => return reached,
        }
    }
}

impl From<sqlx::Error> for AppError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Configuration(why) => Self::DatabaseUrl(why.to_string()),
            refusal if is_refusal(&refusal) => Self::DatabaseRefused(refusal),
            other => Self::Database(other),
        }
    }
}

/// Whether Postgres has refused the user (SQLSTATE class 28) or does not have the database (3D000).
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("28") || code == "3D000")
}
