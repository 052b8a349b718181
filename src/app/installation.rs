//! The parts of an installation, each created once: the tables of Postgres, and the log that belongs to them.
//! The database keeps the epoch of its log. So if the log is lost, or belongs to another installation, the process
//! refuses it instead of creating a new one.

use std::{sync::LazyLock, time::Duration};

use sqlx::{PgConnection, PgPool, migrate::Migrator};
use tokio::time::Instant;

use crate::{
    accounts,
    admin::Health,
    app::{Addresses, AppError, database, patience::patiently},
    domain::Epoch,
    log::{Layout, Log, Mended, NatsServers, OpenError, Unavailable, Wanted},
    supervise::Supervisor,
    views,
};

/// The default number of streams of a new log. A single stream could never be spread over several servers.
pub(crate) const STREAMS: usize = 16;
/// How long a starting process waits for missing streams: a cluster that has just started may report them a moment
/// later.
const STREAMS_WITHIN: Duration = Duration::from_secs(10);

/// The migrations, embedded in the binary. The record of the applied migrations is in the schema `auth`, which they
/// create, so a dump of the schema includes the record.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!();
    migrator.create_schema("auth");
    migrator.dangerous_set_table_name("auth._sqlx_migrations");
    // A newer version may have run here before. Its additional migrations do no harm to this version.
    migrator.set_ignore_missing(true);
    migrator
});

/// Fails if a migration of this version has not been applied.
pub(crate) async fn is_migrated(pool: &PgPool) -> Result<(), AppError> {
    let applied: Vec<i64> =
        match sqlx::query_scalar("select version from auth._sqlx_migrations where success")
            .fetch_all(pool)
            .await
        {
            Ok(applied) => applied,
            Err(e) if is_undefined(&e) => {
                return Err(AppError::Migrate("it has no Verbatim tables".into()));
            }
            Err(e) => return Err(e.into()),
        };
    match MIGRATIONS.iter().find(|migration| !applied.contains(&migration.version)) {
        Some(missing) => Err(AppError::Migrate(format!("migration {} is missing", missing.version))),
        None => Ok(()),
    }
}

/// Opens the database and the log of an existing installation, for a command that works on both.
pub(crate) async fn open_installation(
    addresses: &Addresses,
    wanted: Wanted,
    connections: u32,
) -> Result<(PgPool, Log), AppError> {
    let pool = database(&addresses.database, connections).await?;
    is_migrated(&pool).await?;
    let log = look_at_log(&pool, &addresses.nats, wanted).await?.ok_or(OpenError::NoLog)?;
    Ok((pool, log))
}

/// Whether Postgres says that a schema (3F000) or a table (42P01) is missing.
fn is_undefined(e: &sqlx::Error) -> bool {
    let Some(refused) = e.as_database_error() else { return false };
    refused.code().is_some_and(|code| ["3F000", "42P01"].contains(&&*code))
}

/// Applies the missing migrations, and creates the views of this version if they are missing.
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

/// Applies the migrations up to `last`, because the tables of a backup were copied when that was the latest one.
pub(super) async fn migrate_to(url: &str, last: i64) -> Result<(), AppError> {
    let pool = database(url, 1).await?;
    let mut connection = pool.acquire().await?.detach();
    sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0; set search_path = public")
        .execute(&mut connection)
        .await?;
    let migrated = MIGRATIONS.run_to(last, &mut connection).await;
    migrated.map_err(|e| AppError::NotMigrated(format!("{e}. Was it backed up by a newer version?")))?;
    sqlx::Connection::close(connection).await?;
    pool.close().await;
    Ok(())
}

/// Opens the log of an installation. An installation that never had a log gets one, with `streams` streams
/// unless `wanted` names another number. The epoch is read again once this process has its turn, because another
/// process may have created the log in the meantime.
async fn log(
    pool: &PgPool,
    nats: &NatsServers,
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

/// Moves the record of the applied migrations from `public`, where an older version kept it, to `auth`. In `public`, a
/// dump of `auth` did not include it.
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
    // The first migration has changed since then: it now allows that its schema already exists. So its
    // checksum has changed too.
    for first in MIGRATIONS.iter().take(1) {
        sqlx::query("update auth._sqlx_migrations set checksum = $2 where version = $1")
            .bind(first.version)
            .bind(&*first.checksum)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// A new or existing log of an installation.
pub struct MadeLog {
    /// The epoch of the log.
    pub epoch: Epoch,
    /// The number of streams, and the number of copies of each.
    pub layout: Layout,
    /// The corrected settings of streams.
    pub mended: Vec<Mended>,
}

/// Creates the log of an installation, or opens it if it exists, and corrects the settings of its streams.
pub async fn make_log(addresses: &Addresses, wanted: Wanted, streams: usize) -> Result<MadeLog, AppError> {
    let pool = database(&addresses.database, 2).await?;
    let log = log(&pool, &addresses.nats, wanted, streams, &Supervisor::new()).await?;
    make_audit(&pool, &log).await?;
    log.make_parked().await?;
    let mended = log.mend().await?;
    pool.close().await;
    Ok(MadeLog { epoch: log.epoch().clone(), layout: log.layout(), mended })
}

/// Begins a new epoch of the log, and binds this database and its views to it.
pub(crate) async fn begin_epoch(addresses: &Addresses) -> Result<Epoch, AppError> {
    let pool = migrated(addresses).await?;
    let known = accounts::epochs_of_log(&pool).await?;
    let epoch = Log::begin_epoch(&addresses.nats, known).await?;
    join(&pool, &epoch).await?;
    Ok(epoch)
}

/// The streams that were recreated.
pub(crate) enum Recreated {
    /// Streams of the log, which has begun a new epoch.
    Log(Epoch),
    /// Only the stream AUDIT.
    Audit,
}

/// Recreates the lost streams of the log, empty, and begins a new epoch. If only the stream AUDIT is lost, the epoch
/// stays, because no cursor names an audit event.
pub(crate) async fn recreate_log(addresses: &Addresses, wanted: Wanted) -> Result<Recreated, AppError> {
    let pool = migrated(addresses).await?;
    // Settings that contradict a complete log do not make it a lost one.
    if let Ok(Some(found)) = look_at_log(&pool, &addresses.nats, Wanted::default()).await {
        if found.last_audit().await?.is_some() {
            return Err(AppError::Refused(
                "no stream of the log is lost, so there is nothing to recreate. To reset every cursor, run \
                 `verbatim log begin-epoch`"
                    .into(),
            ));
        }
        let log = look_at_log(&pool, &addresses.nats, wanted).await?.ok_or(OpenError::NoLog)?;
        log.make_audit().await?;
        accounts::keep_audit(&pool).await?;
        return Ok(Recreated::Audit);
    }
    let known = accounts::epochs_of_log(&pool).await?;
    let streams = if known.is_empty() { Some(STREAMS) } else { streams_of_views(&pool).await? };
    let log = Log::make_what_is_missing(&addresses.nats, wanted, streams, known, &Supervisor::new()).await?;
    join(&pool, log.epoch()).await?;
    log.make_audit().await?;
    accounts::keep_audit(&pool).await?;
    log.make_parked().await?;
    log.mend().await?;
    Ok(Recreated::Log(log.epoch().clone()))
}

/// The number of streams of a lost log: its views have a checkpoint in each stream. `None` if the views do not say it.
async fn streams_of_views(pool: &PgPool) -> sqlx::Result<Option<usize>> {
    let mut connection = pool.acquire().await?;
    let streams = views::points_in(&mut connection, &views::schema()).await?.len();
    Ok(Some(streams).filter(|streams| streams.is_power_of_two()))
}

async fn migrated(addresses: &Addresses) -> Result<PgPool, AppError> {
    let pool = database(&addresses.database, 2).await?;
    is_migrated(&pool).await?;
    Ok(pool)
}

/// Binds the database and its views to the log of `epoch`. As always, the events at the checkpoints of the views
/// decide whether the views follow from that log.
async fn join(pool: &PgPool, epoch: &Epoch) -> Result<(), AppError> {
    let mut connection = pool.acquire().await?;
    for schema in views::other_sets(pool).await?.into_iter().chain([views::schema()]) {
        views::change_epoch(&mut connection, &schema, epoch).await?;
    }
    Ok(accounts::keep_epoch(pool, epoch).await?)
}

/// Opens the log of an installation without changing anything; `None` if the installation never had a log.
pub(crate) async fn look_at_log(
    pool: &PgPool,
    nats: &NatsServers,
    wanted: Wanted,
) -> Result<Option<Log>, AppError> {
    if let Some(epoch) = accounts::epoch_of_log(pool).await? {
        return its_log(nats, wanted, epoch, &Supervisor::new()).await.map(Some);
    }
    match Log::open(nats, wanted, &Supervisor::new()).await {
        Ok(log) => Ok(Some(log)),
        Err(OpenError::NoLog) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

async fn its_log(
    nats: &NatsServers,
    wanted: Wanted,
    epoch: Epoch,
    tasks: &Supervisor,
) -> Result<Log, AppError> {
    let log = Log::open(nats, wanted, tasks).await?;
    if *log.epoch() == epoch {
        return Ok(log);
    }
    Err(AppError::AnotherLog { its: epoch, found: log.epoch().clone() })
}

/// Like [`log`], but waits for missing servers and streams, and corrects the settings of the streams.
pub(super) async fn await_log(
    health: &Health,
    pool: &PgPool,
    nats: &NatsServers,
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
    patiently(health, "the stream AUDIT", async || match make_audit(pool, &log).await {
        Err(AppError::Open(OpenError::Forbidden(_))) => {
            tracing::warn!(
                "could not create the stream AUDIT with this NATS user, so audit events wait in Postgres: run \
                 `verbatim migrate` with an operator's user in VERBATIM_NATS_OPERATOR_URL"
            );
            Ok(())
        }
        made => made,
    })
    .await?;
    patiently(health, "the log", async || Ok(mend(&log).await?)).await?;
    Ok(log)
}

/// Creates the stream AUDIT of a log that never had one, because the log is new or an older version created it. A lost
/// stream is not recreated automatically, because that would hide the loss.
async fn make_audit(pool: &PgPool, log: &Log) -> Result<(), AppError> {
    if accounts::has_audit(pool).await? {
        return Ok(());
    }
    log.make_audit().await?;
    Ok(accounts::keep_audit(pool).await?)
}

/// Corrects the settings of the streams. If the NATS user of this process has no permission to do so, warns of each
/// wrong setting.
async fn mend(log: &Log) -> Result<(), OpenError> {
    match log.mend().await {
        Ok(mended) if mended.is_empty() => {}
        Ok(mended) => tracing::warn!(
            settings = mended.iter().map(Mended::to_string).collect::<Vec<_>>().join("; "),
            "corrected wrong settings of streams"
        ),
        Err(OpenError::Forbidden(_)) => {
            let wrong = log.to_be_mended().await?;
            let should_be = |Mended { stream, setting, was, is }: &Mended| {
                format!("{stream}: {setting} is {was} and must be {is}")
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
