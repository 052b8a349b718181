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
        segment,
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
/// How far the clocks of two machines may be apart.
const CLOCKS: Duration = Duration::from_secs(60);
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

/// All backups by the names of their files, the oldest first, or why they cannot be read.
pub(crate) async fn all(
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

/// The problems of a backup, each by the name of its file.
pub(super) async fn problems(target: &ArchiveTarget, backup: &Backup) -> Result<Vec<String>, ArchiveError> {
    let mut problems = Vec::new();
    for part in &backup.auth_dump.parts {
        match target.get(&part.name).await? {
            None => problems.push(format!("{}: it is missing", part.name)),
            Some(file) if segment::sha256(&file.bytes) != part.sha256 => {
                problems.push(format!("{}: its content has changed since it was written", part.name));
            }
            Some(_) => {}
        }
    }
    Ok(problems)
}

/// The latest good backup of a log with these epochs, the latest one last, and the problems of the backups that cannot be
/// used. It fits every point of the log: accounts that no event mentions do no harm. The clock of the node that made a
/// backup may have been wrong, so the log says which one is later: its positions only grow.
pub(crate) async fn choose(
    target: &ArchiveTarget,
    epochs: &[Epoch],
) -> Result<(Option<Backup>, Vec<String>), ArchiveError> {
    let (mut fitting, mut unusable) = (Vec::new(), Vec::new());
    for (name, backup) in all(target).await? {
        match backup {
            Ok(backup) => {
                let rank = epochs.iter().position(|epoch| *epoch == backup.epoch);
                let end: u64 = backup.positions.values().map(|position| position.0).sum();
                fitting.extend(rank.map(|rank| ((rank, end, backup.time), backup)));
            }
            Err(why) => unusable.push(format!("{name}: {why}")),
        }
    }
    fitting.sort_by_key(|(order, _)| *order);
    while let Some((_, backup)) = fitting.pop() {
        match problems(target, &backup).await?.into_iter().next() {
            None => return Ok((Some(backup), unusable)),
            Some(problem) => unusable.push(problem),
        }
    }
    Ok((None, unusable))
}

/// Whether a log needs another backup, because the latest one of this epoch is older than `age`. One with a date in the
/// future, from a node whose clock was wrong, does not count.
pub(crate) async fn is_due(
    target: &ArchiveTarget,
    epoch: &Epoch,
    age: Duration,
    now: Time,
) -> Result<bool, ArchiveError> {
    let all = all(target).await?;
    let mut own = all.iter().filter_map(|(_, backup)| backup.as_ref().ok()).filter(|own| own.epoch == *epoch);
    Ok(!own.any(|backup| !is_ahead(backup.time, now) && now.since(backup.time) < age))
}

fn is_ahead(time: Time, now: Time) -> bool {
    time > now.plus(CLOCKS)
}

/// The name of the latest good backup; if none is good, of the last one. A date in the future is wrong, so it does not
/// make a backup the latest one.
async fn latest<'a>(
    target: &ArchiveTarget,
    all: &'a [(String, Result<Backup, String>)],
    now: Time,
) -> Result<Option<&'a String>, ArchiveError> {
    for (name, backup) in all.iter().rev() {
        if let Ok(backup) = backup
            && !is_ahead(backup.time, now)
            && problems(target, backup).await?.is_empty()
        {
            return Ok(Some(name));
        }
    }
    Ok(all.last().map(|(name, _)| name))
}

/// Removes backups that are older than `keep`, except the latest good one; the remains of interrupted dumps and removals;
/// and epochs of the log that ended earlier. Returns what was removed.
pub(crate) async fn prune(
    target: &ArchiveTarget,
    keep: Duration,
    now: Time,
) -> Result<Vec<String>, ArchiveError> {
    let mut removed = Vec::new();
    let all = all(target).await?;
    let latest = latest(target, &all, now).await?;
    for (document, _) in all.iter().filter(|(name, _)| latest != Some(name)) {
        let Some(folder) = document.strip_suffix(".json") else { continue };
        let time = folder.split_once('/').and_then(|(_, time)| time.parse::<Time>().ok());
        if time.is_some_and(|time| now.since(time) > keep) {
            // Without its document, the rest of a backup is useless. If this is interrupted, a later run removes the rest.
            target.remove(document).await?;
            target.remove(folder).await?;
            removed.push(folder.to_owned());
        }
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
