//! What an installation consists of, and that it is made once: the tables of Postgres, and the log that
//! belongs to them. The database knows the epoch of its log, so a log that was lost, or another one, is
//! refused and not made anew.

use std::{sync::LazyLock, time::Duration};

use sqlx::{PgConnection, PgPool, migrate::Migrator};
use tokio::time::Instant;

use crate::{
    accounts,
    admin::Health,
    app::{Addresses, AppError, database, patience::patiently},
    clock::Clock,
    credentials,
    domain::{Epoch, Time},
    log::{Layout, Log, Mended, OpenError, Signal, Unavailable, Wanted},
    supervise::Supervisor,
    views,
};

/// The streams of a new log, unless something else is wanted: one stream could never spread over servers.
pub(crate) const STREAMS: usize = 16;
/// How long streams that are not there are looked for: those of a cluster that has just started may be
/// found a moment later.
const STREAMS_WITHIN: Duration = Duration::from_secs(10);

/// The migrations, inside the binary. What has been applied stands in the schema that it has made, so a
/// dump of the one has the other.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!();
    migrator.create_schema("auth");
    migrator.dangerous_set_table_name("auth._sqlx_migrations");
    // A newer version may have been here before: what it has added is no obstacle to this one.
    migrator.set_ignore_missing(true);
    migrator
});

/// Whether the tables are those of this version.
pub(crate) async fn is_migrated(pool: &PgPool) -> Result<(), AppError> {
    let applied: Vec<i64> =
        match sqlx::query_scalar("select version from auth._sqlx_migrations where success")
            .fetch_all(pool)
            .await
        {
            Ok(applied) => applied,
            Err(e) if is_undefined(&e) => {
                return Err(AppError::Migrate("it has no tables of Verbatim".into()));
            }
            Err(e) => return Err(e.into()),
        };
    match MIGRATIONS.iter().find(|migration| !applied.contains(&migration.version)) {
        Some(missing) => Err(AppError::Migrate(format!("migration {} is missing", missing.version))),
        None => Ok(()),
    }
}

/// Whether a schema or a table is missing.
fn is_undefined(e: &sqlx::Error) -> bool {
    let Some(refused) = e.as_database_error() else { return false };
    refused.code().is_some_and(|code| ["3F000", "42P01"].contains(&&*code))
}

/// Brings the database to this version.
pub async fn migrate(url: &str) -> Result<(), AppError> {
    let pool = database(url, 1).await?;
    let mut connection = pool.acquire().await?.detach();
    sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0; set search_path = public")
        .execute(&mut connection)
        .await?;
    move_record(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await.map_err(|e| AppError::NotMigrated(e.to_string()))?;
    views::create(&mut connection, &views::schema()).await?;
    sqlx::Connection::close(connection).await?;
    pool.close().await;
    Ok(())
}

/// Opens the log of an installation. An installation that never had a log gets one, with so many streams
/// unless something else is wanted.
async fn log(
    pool: &PgPool,
    nats: &str,
    wanted: Wanted,
    streams: usize,
    tasks: &Supervisor,
) -> Result<Log, AppError> {
    match accounts::epoch_of_log(pool).await? {
        Some(epoch) => its_log(nats, wanted, epoch, tasks).await,
        None => {
            let mut turn = pool.acquire().await?.detach();
            accounts::take_turn(&mut turn).await?;
            match accounts::epoch_of_log(pool).await? {
                Some(epoch) => its_log(nats, wanted, epoch, tasks).await,
                None => {
                    let log = Log::make(nats, wanted, streams, tasks).await?;
                    accounts::keep_epoch(pool, log.epoch()).await?;
                    Ok(log)
                }
            }
        }
    }
}

/// The record of what has been applied once stood in `public`, outside the dump of its schema.
async fn move_record(connection: &mut PgConnection) -> sqlx::Result<()> {
    let is_there: bool = sqlx::query_scalar(
        "select to_regclass('public._sqlx_migrations') is not null and to_regclass('auth.account') is not null
                and to_regclass('auth._sqlx_migrations') is null",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !is_there {
        return Ok(());
    }
    sqlx::raw_sql("alter table public._sqlx_migrations set schema auth").execute(&mut *connection).await?;
    // The first one has learnt meanwhile that its schema may be there before it.
    for first in MIGRATIONS.iter().take(1) {
        sqlx::query("update auth._sqlx_migrations set checksum = $2 where version = $1")
            .bind(first.version)
            .bind(&*first.checksum)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// A log that was made, or was there.
pub struct MadeLog {
    /// Its epoch.
    pub epoch: Epoch,
    /// The number of streams, and of copies of each.
    pub layout: Layout,
    /// The corrected settings of streams.
    pub mended: Vec<Mended>,
}

/// Makes the log of an installation, or puts its settings right.
pub async fn make_log(addresses: &Addresses, wanted: Wanted, streams: usize) -> Result<MadeLog, AppError> {
    let pool = database(&addresses.database, 2).await?;
    let log = log(&pool, &addresses.nats, wanted, streams, &Supervisor::new()).await?;
    let mended = log.mend().await?;
    pool.close().await;
    Ok(MadeLog { epoch: log.epoch().clone(), layout: log.layout(), mended })
}

/// Begins a new life of the log, which then belongs to this database and its views.
pub(crate) async fn begin_epoch(addresses: &Addresses) -> Result<Epoch, AppError> {
    let pool = migrated(addresses).await?;
    let epoch = Log::begin_epoch(&addresses.nats).await?;
    join(&pool, &epoch).await?;
    Ok(epoch)
}

/// Makes the streams that the log has lost, empty, in a new life of it.
pub(crate) async fn recreate_log(addresses: &Addresses, wanted: Wanted) -> Result<Epoch, AppError> {
    let pool = migrated(addresses).await?;
    let log = Log::make_what_is_missing(&addresses.nats, wanted, STREAMS, &Supervisor::new()).await?;
    join(&pool, log.epoch()).await?;
    log.mend().await?;
    Ok(log.epoch().clone())
}

async fn migrated(addresses: &Addresses) -> Result<PgPool, AppError> {
    let pool = database(&addresses.database, 2).await?;
    is_migrated(&pool).await?;
    Ok(pool)
}

/// Joins the database and the views in it to a log. Whether the views follow from it, the events at
/// their checkpoints tell, as ever.
async fn join(pool: &PgPool, epoch: &Epoch) -> Result<(), AppError> {
    let mut connection = pool.acquire().await?;
    for schema in views::other_sets(pool).await?.into_iter().chain([views::schema()]) {
        views::change_epoch(&mut connection, &schema, epoch).await?;
    }
    Ok(accounts::keep_epoch(pool, epoch).await?)
}

/// Ends every login that began before a time, and tells the nodes, which cut the sockets. Answers how many
/// have ended.
pub(crate) async fn revoke_logins(addresses: &Addresses, since: Time) -> Result<usize, AppError> {
    let pool = migrated(addresses).await?;
    let now = Clock::system().now();
    let ended = accounts::revoke_begun_before(&pool, since, now).await?;
    let Some(log) = look_at_log(&pool, &addresses.nats, Wanted::default()).await? else {
        return Ok(ended.len());
    };
    let until = now.plus(credentials::ACCESS_LIFE + credentials::LEEWAY);
    for login in &ended {
        log.tell(Signal::Revoked { login: *login, until }).await?;
    }
    log.flush().await?;
    Ok(ended.len())
}

/// Opens the log of an installation and changes nothing; `None` where there has never been one.
pub(crate) async fn look_at_log(pool: &PgPool, nats: &str, wanted: Wanted) -> Result<Option<Log>, AppError> {
    if let Some(epoch) = accounts::epoch_of_log(pool).await? {
        return its_log(nats, wanted, epoch, &Supervisor::new()).await.map(Some);
    }
    match Log::open(nats, wanted, &Supervisor::new()).await {
        Ok(log) => Ok(Some(log)),
        Err(OpenError::NoLog) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

async fn its_log(nats: &str, wanted: Wanted, epoch: Epoch, tasks: &Supervisor) -> Result<Log, AppError> {
    let log = Log::open(nats, wanted, tasks).await?;
    if *log.epoch() == epoch {
        return Ok(log);
    }
    Err(AppError::AnotherLog { its: epoch, found: log.epoch().clone() })
}

/// The same as [`log`], for a process that waits for servers which are not there yet.
pub(super) async fn await_log(
    health: &Health,
    pool: &PgPool,
    nats: &str,
    wanted: Wanted,
    tasks: &Supervisor,
) -> Result<Log, AppError> {
    let give_up = Instant::now() + STREAMS_WITHIN;
    let log = patiently(health, "the log", async || match log(pool, nats, wanted, STREAMS, tasks).await {
        Err(AppError::Open(e @ (OpenError::NoLog | OpenError::Missing(_)))) if Instant::now() < give_up => {
            Err(Unavailable::because(e).into())
        }
        opened => opened,
    })
    .await?;
    patiently(health, "the log", async || Ok(mend(&log).await?)).await?;
    Ok(log)
}

/// Puts the settings of the streams right where this process may; otherwise it is an operator's business.
async fn mend(log: &Log) -> Result<(), OpenError> {
    match log.mend().await {
        Ok(mended) if mended.is_empty() => {}
        Ok(mended) => tracing::warn!(
            settings = mended.iter().map(Mended::to_string).collect::<Vec<_>>().join("; "),
            "settings of streams were wrong and were put right"
        ),
        Err(OpenError::Forbidden(_)) => {
            let wrong = log.to_be_mended().await?;
            let should_be = |Mended { stream, setting, was, is }: &Mended| {
                format!("{stream}: {setting} is {was} and has to be {is}")
            };
            if !wrong.is_empty() {
                tracing::warn!(
                    settings = wrong.iter().map(should_be).collect::<Vec<_>>().join("; "),
                    "could not correct wrong settings of streams with this NATS user: run `verbatim migrate` with \
                     an operator's user in VERBATIM_NATS_OPERATOR_URL"
                );
            }
        }
        Err(e) => return Err(e),
    }
    Ok(())
}
