//! Connecting to Postgres: which failures time cures and which it does not.

use std::{io, time::Duration};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::time::{sleep, timeout};

use crate::{
    app::{AppError, patience::RETRY},
    views,
};

/// After this time a connection to Postgres may have gone unnoticed.
const RESTED: Duration = Duration::from_secs(1);
/// How long whoever needs a connection waits for one: a share of what a request may take.
const ACQUIRE: Duration = Duration::from_secs(3);
/// How long a first connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// So many refusals of our credentials in a row are believed: a server that is being set up may know its
/// users a moment later than its port.
const REFUSALS: usize = 5;

/// Connects to Postgres. Answers once a connection stands.
pub async fn database(url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    database_with(url, connections, views::schema()).await
}

/// The same for the views of another schema.
pub async fn database_with(url: &str, connections: u32, schema: String) -> Result<PgPool, sqlx::Error> {
    // A pool keeps to itself why it has no connection, and goes on trying what is refused.
    reached(url).await?;
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        // A connection is tried whenever it is given back. That it has gone since is likely only if it
        // has rested.
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
        .connect(url)
        .await
}

/// Connects once, and again if the credentials are refused.
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

/// Whether Postgres has looked at who we are or where we want to go, and said no: class 28, or there is no
/// such database.
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("28") || code == "3D000")
}
