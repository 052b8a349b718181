//! Backups: a dump of the accounts, and the positions that the archive had reached before the dump. The log comes
//! first: accounts that no event mentions are harmless, and events of accounts that do not exist would not be.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use crate::{
    archive::{
        ArchiveError, ArchiveHead, ArchiveTarget,
        archiver::archive_until,
        tables::{self, AuthDump},
        target::Replaces,
    },
    clock::Clock,
    domain::{Epoch, Position, Time},
    log::{CONTRACT, Contract, Log},
};

const FOLDER: &str = "backup";
/// How long an archiver in another process may take to reach the end that the log had.
const ARCHIVER_WITHIN: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(250);
/// A dump that began this long ago is no longer running.
const DUMPED: Duration = Duration::from_secs(86_400);

/// A backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Backup {
    /// When it was made.
    pub time: Time,
    /// The epoch of the log.
    pub epoch: Epoch,
    /// How far each stream was archived before the accounts were copied.
    pub positions: BTreeMap<String, Position>,
    /// The tables of the accounts and the webhooks.
    pub auth_dump: AuthDump,
    /// The list of the attachments; `None`, because this version stores none.
    pub files_manifest: Option<String>,
    /// The contract levels of the version that made it.
    pub contract: Contract,
    /// That version.
    pub version: String,
}

/// Makes a backup: brings the archive up to the current end of the log, and then copies the accounts.
pub(crate) async fn create(
    log: &Log,
    pool: &PgPool,
    target: &ArchiveTarget,
    clock: &Clock,
    is_now: bool,
) -> Result<(String, Backup), ArchiveError> {
    let mut positions = BTreeMap::new();
    for stream in log.kept_streams() {
        let last = log.ends_of(&stream).await?.last;
        positions.insert(stream, last);
    }
    bring_up(log, pool, target, clock, &positions, is_now).await?;
    let time = clock.now();
    let backup = Backup {
        time,
        epoch: log.epoch().clone(),
        positions,
        auth_dump: tables::dump(pool, target, &format!("{FOLDER}/{time}")).await?,
        files_manifest: None,
        contract: CONTRACT,
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let name = format!("{FOLDER}/{time}.json");
    let text = serde_json::to_vec_pretty(&backup)
        .map_err(|e| ArchiveError::Bad { name: name.clone(), why: e.to_string() })?;
    target.put(&name, text, Replaces::Nothing).await?;
    Ok((name, backup))
}

/// Waits until the archive has these positions, and archives them itself if no other process does.
async fn bring_up(
    log: &Log,
    pool: &PgPool,
    target: &ArchiveTarget,
    clock: &Clock,
    positions: &BTreeMap<String, Position>,
    is_now: bool,
) -> Result<(), ArchiveError> {
    let begun = Instant::now();
    while begun.elapsed() < ARCHIVER_WITHIN {
        if archive_until(log, pool, target, clock, positions).await? {
            return Ok(());
        }
        if is_now {
            log.ask_for_flush().await?;
        }
        sleep(LOOK).await;
        if ArchiveHead::find(target).await?.is_some_and(|head| head.covers(log.epoch(), positions)) {
            return Ok(());
        }
    }
    Err(ArchiveError::Late(format!(
        "another process archives the log to {target}, but has not reached the end that the log had {} s ago: see \
         its log lines",
        ARCHIVER_WITHIN.as_secs()
    )))
}

/// All backups by the names of their files, the oldest first.
pub(super) async fn all(
    target: &ArchiveTarget,
) -> Result<Vec<(String, Result<Backup, String>)>, ArchiveError> {
    let mut all = Vec::new();
    for file in target.list(FOLDER).await?.into_iter().filter(|file| file.ends_with(".json")) {
        let name = format!("{FOLDER}/{file}");
        let Some(text) = target.get(&name).await? else { continue };
        all.push((name, serde_json::from_slice(&text.bytes).map_err(|e| format!("it cannot be read: {e}"))));
    }
    Ok(all)
}

/// The backups that can be read, the oldest first.
pub(crate) async fn list(target: &ArchiveTarget) -> Result<Vec<Backup>, ArchiveError> {
    Ok(all(target).await?.into_iter().filter_map(|(_, backup)| backup.ok()).collect())
}

/// Removes backups that are older than `keep`, except the latest one; the remains of interrupted dumps and removals;
/// and epochs of the log that ended earlier. Returns what was removed.
pub(crate) async fn prune(
    target: &ArchiveTarget,
    keep: Duration,
    now: Time,
) -> Result<Vec<String>, ArchiveError> {
    let mut removed = Vec::new();
    let mut backups = list(target).await?;
    backups.pop();
    for backup in backups.iter().filter(|backup| now.since(backup.time) > keep) {
        // Without its document, the rest of a backup is useless. If this is interrupted, the next run removes the rest.
        target.remove(&format!("{FOLDER}/{}.json", backup.time)).await?;
        target.remove(&format!("{FOLDER}/{}", backup.time)).await?;
        removed.push(format!("{FOLDER}/{}", backup.time));
    }
    // A dump or a removal that was interrupted leaves the rows of accounts without a document.
    let files = target.list(FOLDER).await?;
    let is_whole = |folder: &String| files.contains(&format!("{folder}.json"));
    for folder in files.iter().filter(|file| !file.ends_with(".json") && !is_whole(file)) {
        if folder.parse().is_ok_and(|time: Time| now.since(time) > keep.max(DUMPED)) {
            target.remove(&format!("{FOLDER}/{folder}")).await?;
            removed.push(format!("{FOLDER}/{folder}"));
        }
    }
    let mut epochs = ArchiveHead::all(target).await?;
    epochs.pop();
    for epoch in epochs.iter().filter(|epoch| now.since(epoch.at) > keep) {
        epoch.remove_epoch(target).await?;
        removed.push(format!("log/{}", epoch.epoch));
    }
    Ok(removed)
}
