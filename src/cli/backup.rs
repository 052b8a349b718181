//! `backup`: creates, lists, verifies and prunes backups.

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};

use crate::{
    app::{self, Addresses, AppError, RestoreOrder},
    archive::{self, Aim, ArchivePlace, ArchiveTarget, Backup, VerifiedArchive},
    cli::{failed::Failed, process::until_told, servers::Servers},
    clock::Clock,
    dev,
    log::{NatsServers, Wanted},
    projector::{self, Verified, Work},
    views,
};

#[derive(Debug, Args)]
pub(super) struct BackupCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Archives the log up to its current end, and copies the accounts and webhooks.
    Create {
        /// Asks a running archiver to write its next segment now, instead of waiting up to 10 s for it.
        #[arg(long)]
        now: bool,

        #[command(flatten)]
        place: Place,
    },
    /// Lists the backups, oldest first, and names those that cannot be read or lack a file; exit status 1 if there is one.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Reads the whole archive and names every file that is changed, missing or swapped; exit status 1 if there is one.
    Verify {
        /// Also restores the archive into temporary servers, and compares the views with the log there.
        #[arg(long)]
        deep: bool,

        #[command(flatten)]
        place: Place,
    },
    /// Removes old backups, and archived epochs that ended before them. The latest backup and the log stay.
    Prune {
        /// Maximum age of a backup: a number of days with d, as in 35d.
        #[arg(long, value_name = "DAYS", value_parser = days)]
        keep: Duration,

        #[command(flatten)]
        place: Place,
    },
}

/// The archive, and the servers that it belongs to.
#[derive(Debug, Args)]
struct Place {
    /// Place of the archive: `dir:` and the absolute path of a folder, or `s3://bucket/folder`. [default:
    /// VERBATIM_ARCHIVE]
    #[arg(long, value_name = "PLACE")]
    to: Option<ArchivePlace>,

    #[command(flatten)]
    servers: Servers,
}

fn days(text: &str) -> Result<Duration, &'static str> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    days.map(|days| Duration::from_secs(u64::from(days) * 86_400))
        .ok_or("expected a number of days with d, as in 35d")
}

impl Place {
    fn target(&self) -> Result<ArchiveTarget, AppError> {
        let settings = &self.servers.settings;
        Ok(self.to.as_ref().map_or_else(|| settings.archive(), |place| settings.archive_at(place))?)
    }
}

pub(super) async fn backup(BackupCommand { what }: BackupCommand) -> Result<ExitCode, Failed> {
    match what {
        What::Create { now, place } => {
            let addresses = place.servers.addresses()?;
            let (name, backup) =
                app::create_backup(&place.servers.settings, &addresses, &place.target()?, now).await?;
            println!("{name}\n{}", line(&backup));
        }
        What::List { place } => {
            let backups = archive::list(&place.target()?).await.map_err(AppError::from)?;
            for (name, backup) in &backups {
                match backup {
                    Ok(backup) => println!("{}", line(backup)),
                    Err(why) => println!("BAD      {name}: {why}"),
                }
            }
            if backups.is_empty() {
                println!("no backups: create one with `verbatim backup create`");
            }
            if backups.iter().any(|(_, backup)| backup.is_err()) {
                return Ok(ExitCode::FAILURE);
            }
        }
        What::Verify { deep, place } => return verify(&place.target()?, deep).await,
        What::Prune { keep, place } => {
            let removed = archive::prune(&place.target()?, keep, Clock::system().now()).await;
            let removed = removed.map_err(AppError::from)?;
            removed.iter().for_each(|name| println!("removed {name}"));
            println!("{} removed", removed.len());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(backup: &Backup) -> String {
    let positions: Vec<String> =
        backup.positions.iter().map(|(stream, position)| format!("{stream}={position}")).collect();
    format!(
        "{}  epoch {}  accounts in {} files  {}",
        backup.time,
        backup.epoch,
        backup.auth_dump.parts.len(),
        positions.join(" ")
    )
}

async fn verify(target: &ArchiveTarget, is_deep: bool) -> Result<ExitCode, Failed> {
    let VerifiedArchive { segments, records, backups, problems } =
        archive::verify(target).await.map_err(AppError::from)?;
    problems.iter().for_each(|problem| println!("BAD      {problem}"));
    println!("{segments} segments with {records} records and {backups} backups are intact");
    if !problems.is_empty() {
        println!(
            "{} files are damaged: see \"The archive is damaged\" in deploy/DISASTERS.md",
            problems.len()
        );
        return Ok(ExitCode::FAILURE);
    }
    if is_deep {
        let Some(Verified { rows, differences, .. }) = verify_deeply(target).await? else {
            eprintln!("stopped before the views were compared with the log");
            return Ok(ExitCode::FAILURE);
        };
        println!("restored the archive: {differences} of {rows} rows of the views differ from the log");
        if differences > 0 {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Restores an archive into servers in a temporary folder, and compares the views with the log there; `None` if a signal
/// stops it.
async fn verify_deeply(target: &ArchiveTarget) -> Result<Option<Verified>, Failed> {
    let stop = until_told();
    let tools = tokio::task::spawn_blocking(dev::tools)
        .await
        .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
    let folder = dev::TemporaryFolder::create()?;
    let servers = dev::Servers::start(&tools, folder.path()).await?;
    let verified = tokio::select! {
        verified = restored(target, &servers) => verified.map(Some),
        () = stop.cancelled() => Ok(None),
    };
    servers.stop().await;
    verified
}

async fn restored(target: &ArchiveTarget, servers: &dev::Servers) -> Result<Verified, Failed> {
    let nats = match servers.nats.credentials(dev::NatsUser::Operator)? {
        Some(creds) => NatsServers::from(servers.nats.url()).with_credentials(&creds),
        None => servers.nats.url_of(dev::NatsUser::Operator).into(),
    };
    let addresses = Addresses { nats, database: servers.postgres.url().to_owned() };
    let order = RestoreOrder { from: target.clone(), epoch: None, aim: Aim::End, into_empty: true };
    // One server has one copy of each stream, however many the log has.
    let wanted = Wanted { replicas: Some(1), ..Wanted::default() };
    app::restore(app::plan_restore(&addresses, wanted, order).await?, |_| {}).await?;
    let pool = app::database(&addresses.database, 4).await.map_err(AppError::from)?;
    let log = app::look_at_log(&pool, &addresses.nats, wanted).await?.ok_or(crate::log::OpenError::NoLog);
    let log = log.map_err(AppError::from)?;
    let tell = |table, _| println!("DIFFERS  {table}");
    Ok(projector::verify(&log, &pool, &views::schema(), &Work::default(), tell).await?)
}
