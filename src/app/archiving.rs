//! The archive: the archiver of a process that serves, and backups.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin,
    app::{
        Addresses, AppError, Process,
        installation::open_installation,
        listening::{bind, listen_on},
        same_log,
    },
    archive::{self, ArchiveError, ArchiveTarget, Backup},
    clock::Clock,
    config::{NodeRole, Settings},
    log::Log,
    supervise::Supervisor,
    telemetry::METRICS,
};

/// The interval between backups of the accounts.
const BACKUPS: Duration = Duration::from_secs(3_600);
/// The interval at which the age of the latest backup is checked.
const LOOK: Duration = Duration::from_secs(60);

impl From<ArchiveError> for AppError {
    fn from(error: ArchiveError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Starts the archiver if this process has that role.
pub(super) fn start(
    settings: &Settings,
    log: &Log,
    pool: &PgPool,
    roles: &[NodeRole],
    process: &Process,
) -> Result<(), AppError> {
    if !roles.contains(&NodeRole::Archiver) {
        return Ok(());
    }
    let target = settings.archive()?;
    begin(log.clone(), pool.clone(), target, &process.clock, &process.tasks);
    Ok(())
}

fn begin(log: Log, pool: PgPool, target: ArchiveTarget, clock: &Clock, tasks: &Supervisor) {
    // An archiver that never succeeds in writing is noticed like one that has stopped.
    let now = clock.now().datetime().unix_timestamp();
    METRICS.archive_written.set(now);
    METRICS.archive_accounts.set(now);
    tasks.spawn("archiver", archive::archive(log.clone(), pool.clone(), target.clone(), clock.clone()));
    tasks.spawn("backups", make_backups(log, pool, target, clock.clone()));
}

/// Makes a backup whenever the latest one of this log is an hour old, even if another process made that one. A new epoch
/// gets one at once.
async fn make_backups(log: Log, pool: PgPool, target: ArchiveTarget, clock: Clock) {
    loop {
        let made = async {
            if archive::is_due(&target, log.epoch(), BACKUPS, clock.now()).await? {
                archive::create(&log, &pool, &target, &clock, false).await?;
            }
            METRICS.archive_accounts.set(clock.now().datetime().unix_timestamp());
            Ok::<_, ArchiveError>(())
        };
        if let Err(error) = made.await {
            tracing::warn!(%error, "could not back up the accounts; retrying");
        }
        sleep(LOOK).await;
    }
}

/// Archives the log until the process receives a signal to stop or one of its tasks fails.
pub(crate) async fn archive_alone(
    settings: &Settings,
    addresses: &Addresses,
    process: &Process,
) -> Result<(), AppError> {
    let target = settings.archive()?;
    show_metrics(settings, &process.tasks)?;
    let (pool, log) = open_installation(addresses, settings.layout(), 4).await?;
    begin(log.clone(), pool, target, &process.clock, &process.tasks);
    tokio::select! {
        replaced = same_log::replaced(&log) => Err(replaced),
        () = process.stop.cancelled() => Ok(()),
        task = process.tasks.failure() => Err(same_log::stopped_by(task)),
    }
}

/// Answers operators on the admin listener. A node on the same machine may have the port already, and archiving matters
/// more than the metrics.
fn show_metrics(settings: &Settings, tasks: &Supervisor) -> Result<(), AppError> {
    let listener = match bind(settings.admin_listen) {
        Ok(listener) => listener,
        Err(AppError::Listen(address, error)) => {
            tracing::warn!(
                %address,
                %error,
                "could not open the admin listener, so the metrics of this archiver cannot be read: set \
                 VERBATIM_ADMIN_LISTEN to another address"
            );
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let admin = listener.local_addr().map_err(|e| AppError::Listen(settings.admin_listen, e))?;
    let (connections, never) = (TaskTracker::new(), CancellationToken::new());
    let answering = listen_on(listener, admin::bare_routes(), settings.admin_listener(), never, &connections);
    tasks.spawn("admin", answering);
    tracing::info!(%admin, "answering operators");
    Ok(())
}

/// Makes a backup.
pub(crate) async fn create_backup(
    settings: &Settings,
    addresses: &Addresses,
    target: &ArchiveTarget,
    is_now: bool,
) -> Result<(String, Backup), AppError> {
    let (pool, log) = open_installation(addresses, settings.layout(), 4).await?;
    Ok(archive::create(&log, &pool, target, &Clock::system(), is_now).await?)
}
