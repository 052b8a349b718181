//! Backups: a dump of the accounts, and the positions that the archive had reached before the dump. The log comes
//! first: accounts that no event mentions are harmless, and events of accounts that do not exist would not be.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use crate::{
    archive::{
        ArchiveError, ArchiveHead, ArchiveTarget,
        archiver::{archive_until, ends},
        segment,
        tables::{self, AuthDump},
        target::{KeptFile, Replaces},
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
    let positions = ends(log).await?;
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
    let (begun, mut lacking) = (Instant::now(), Vec::new());
    while begun.elapsed() < ARCHIVER_WITHIN {
        if archive_until(log, pool, target, clock, positions).await? {
            return Ok(());
        }
        if is_now {
            log.ask_for_flush().await?;
        }
        sleep(LOOK).await;
        if let Some(head) = ArchiveHead::find(target).await? {
            lacking = head.lacking(log.epoch(), positions);
            if lacking.is_empty() {
                return Ok(());
            }
        }
    }
    Err(ArchiveError::Late(format!(
        "{target} lacks events that the log had {} s ago, of {}: the archiver may be busy with a long log, or see its log \
         lines",
        ARCHIVER_WITHIN.as_secs(),
        lacking.join(", ")
    )))
}

/// The names of the files of all backups, the oldest first.
async fn names(target: &ArchiveTarget) -> Result<Vec<String>, ArchiveError> {
    let files = target.list(FOLDER).await?.into_iter();
    Ok(files.filter(|file| file.ends_with(".json")).map(|file| format!("{FOLDER}/{file}")).collect())
}

/// When a backup was made, by the name of its file.
fn time_of(name: &str) -> Option<Time> {
    name.strip_suffix(".json")?.split_once('/')?.1.parse().ok()
}

/// Reads a file of a backup, or tells why it cannot be read. An error of the operating system concerns this file alone, so
/// other backups can still be used; an error of a bucket concerns all of them.
async fn read(target: &ArchiveTarget, name: &str) -> Result<Result<Option<KeptFile>, String>, ArchiveError> {
    match target.get(name).await {
        Err(ArchiveError::File { error, .. }) if error.raw_os_error().is_some() => {
            Ok(Err(format!("it cannot be read: {error}")))
        }
        file => file.map(Ok),
    }
}

/// Reads a backup, or tells why it cannot be read; `None` if it is gone by now.
async fn find(target: &ArchiveTarget, name: &str) -> Result<Option<Result<Backup, String>>, ArchiveError> {
    let parsed =
        |file: KeptFile| serde_json::from_slice(&file.bytes).map_err(|e| format!("it cannot be read: {e}"));
    Ok(read(target, name).await?.map(|file| file.map(parsed)).unwrap_or_else(|why| Some(Err(why))))
}

/// All backups by the names of their files, the oldest first, or what is wrong with them as far as that shows without
/// reading the accounts.
pub(crate) async fn list(
    target: &ArchiveTarget,
) -> Result<Vec<(String, Result<Backup, String>)>, ArchiveError> {
    let mut listed = all(target).await?;
    for (_, backup) in &mut listed {
        let Ok(Backup { auth_dump, .. }) = backup else { continue };
        let Some((folder, _)) = auth_dump.parts.first().and_then(|part| part.name.rsplit_once('/')) else {
            continue;
        };
        let files = target.list(folder).await?;
        let is_there = |name: &str| files.iter().any(|file| name == format!("{folder}/{file}"));
        if let Some(part) = auth_dump.parts.iter().find(|part| !is_there(&part.name)) {
            *backup = Err(format!("{} is missing", part.name));
        }
    }
    Ok(listed)
}

/// All backups by the names of their files, the oldest first, or why they cannot be read.
pub(super) async fn all(
    target: &ArchiveTarget,
) -> Result<Vec<(String, Result<Backup, String>)>, ArchiveError> {
    let mut all = Vec::new();
    for name in names(target).await? {
        all.extend(find(target, &name).await?.map(|backup| (name, backup)));
    }
    Ok(all)
}

/// The problems of a backup, each by the name of its file.
pub(super) async fn problems(target: &ArchiveTarget, backup: &Backup) -> Result<Vec<String>, ArchiveError> {
    let mut problems = Vec::new();
    for part in &backup.auth_dump.parts {
        match read(target, &part.name).await? {
            Err(why) => problems.push(format!("{}: {why}", part.name)),
            Ok(None) => problems.push(format!("{}: it is missing", part.name)),
            Ok(Some(file)) if segment::sha256(&file.bytes) != part.sha256 => {
                problems.push(format!("{}: its content has changed since it was written", part.name));
            }
            Ok(Some(_)) => {}
        }
    }
    Ok(problems)
}

/// The order of the backups of a log with these epochs, the latest epoch last; `None` for a backup of another log. The
/// clock of the node that made a backup may have been wrong, so the log says which one is later: its positions only grow.
fn order(epochs: &[Epoch], backup: &Backup) -> Option<(usize, u64, Time)> {
    let rank = epochs.iter().position(|epoch| *epoch == backup.epoch)?;
    Some((rank, backup.positions.values().map(|position| position.0).sum(), backup.time))
}

/// The latest good one of these backups for a log with these epochs, and the problems of the later ones.
async fn latest_good<'a>(
    target: &ArchiveTarget,
    all: &'a [(String, Result<Backup, String>)],
    epochs: &[Epoch],
) -> Result<(Option<(&'a String, &'a Backup)>, Vec<String>), ArchiveError> {
    let readable = all.iter().filter_map(|(name, backup)| Some((name, backup.as_ref().ok()?)));
    let mut fitting: Vec<_> =
        readable.filter_map(|(name, backup)| Some((order(epochs, backup)?, name, backup))).collect();
    fitting.sort_by_key(|(order, ..)| *order);
    let mut unusable = Vec::new();
    while let Some((_, name, backup)) = fitting.pop() {
        match problems(target, backup).await?.into_iter().next() {
            None => return Ok((Some((name, backup)), unusable)),
            Some(problem) => unusable.push(problem),
        }
    }
    Ok((None, unusable))
}

/// The latest good backup of a log with these epochs, the latest epoch last, and the problems of the backups that cannot
/// be used. It fits every point of the log: accounts that no event mentions do no harm.
pub(crate) async fn choose(
    target: &ArchiveTarget,
    epochs: &[Epoch],
) -> Result<(Option<Backup>, Vec<String>), ArchiveError> {
    let all = all(target).await?;
    let unreadable = all.iter().filter_map(|(name, backup)| Some((name, backup.as_ref().err()?)));
    let mut unusable: Vec<String> = unreadable.map(|(name, why)| format!("{name}: {why}")).collect();
    let (latest, damaged) = latest_good(target, &all, epochs).await?;
    unusable.extend(damaged);
    Ok((latest.map(|(_, backup)| backup.clone()), unusable))
}

/// Whether a log needs another backup, because the latest one of this epoch is older than `age`. One with a date in the
/// future, from a node whose clock was wrong, does not count. Reads no more files than there are young backups.
pub(crate) async fn is_due(
    target: &ArchiveTarget,
    epoch: &Epoch,
    age: Duration,
    now: Time,
) -> Result<bool, ArchiveError> {
    let is_young = |time: Time| !is_ahead(time, now) && now.since(time) < age;
    for name in names(target).await?.iter().rev().filter(|name| time_of(name).is_some_and(is_young)) {
        if find(target, name).await?.is_some_and(|backup| backup.is_ok_and(|own| own.epoch == *epoch)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_ahead(time: Time, now: Time) -> bool {
    time > now.plus(CLOCKS)
}

/// Removes backups that are older than `keep`, except the one that a restore would choose, or the last one if a restore
/// could use none; the remains of interrupted dumps and removals; and epochs of the log that ended earlier. Returns what
/// was removed.
pub(crate) async fn prune(
    target: &ArchiveTarget,
    keep: Duration,
    now: Time,
) -> Result<Vec<String>, ArchiveError> {
    let mut removed = Vec::new();
    let all = all(target).await?;
    let mut heads = ArchiveHead::all(target).await?;
    let head = heads.pop();
    let epochs: Vec<Epoch> = head.into_iter().flat_map(ArchiveHead::epochs).collect();
    let (latest, _) = latest_good(target, &all, &epochs).await?;
    let latest = latest.map(|(name, _)| name).or(all.last().map(|(name, _)| name));
    for (document, _) in all.iter().filter(|(name, _)| latest != Some(name)) {
        let Some(folder) = document.strip_suffix(".json") else { continue };
        if time_of(document).is_some_and(|time| now.since(time) > keep) {
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
    for former in heads.iter().filter(|head| now.since(head.at) > keep) {
        former.remove_epoch(target).await?;
        removed.push(format!("log/{}", former.epoch));
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{archive::head::FILE as HEAD, log::Layout};

    const EPOCH: &str = "one";
    const HOUR: Duration = Duration::from_secs(3_600);

    async fn backs_up(target: &ArchiveTarget, time: &str) {
        backs_up_at(target, time, 0).await;
    }

    async fn backs_up_at(target: &ArchiveTarget, time: &str, position: u64) {
        let backup = serde_json::json!({
            "time": time, "epoch": EPOCH, "positions": { "CHAT_0": position },
            "auth_dump": { "migration": 1, "parts": [], "sequences": {} },
            "contract": CONTRACT, "version": "1",
        });
        let name = format!("{FOLDER}/{time}.json");
        target.put(&name, backup.to_string(), Replaces::Nothing).await.expect("written");
    }

    #[tokio::test]
    async fn a_backup_that_cannot_be_read_stops_no_other_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = ArchiveTarget::folder(folder.path());
        let now = "2026-01-02T12:00:00.000Z".parse::<Time>().expect("a time");
        let is_due =
            async || is_due(&target, &Epoch(EPOCH.into()), HOUR, now).await.expect("the folder can be read");
        assert!(is_due().await, "there is none");
        backs_up(&target, "2026-01-02T10:59:59.000Z").await;
        backs_up(&target, "2026-01-02T12:02:00.000Z").await;
        assert!(is_due().await, "one is old, and one from the future");
        // No permission binds root, but nobody reads a folder as a file.
        let unreadable = format!("{FOLDER}/2026-01-02T11:58:00.000Z.json");
        std::fs::create_dir(folder.path().join(&unreadable)).expect("a folder");
        assert!(is_due().await);
        backs_up(&target, "2026-01-02T11:30:00.000Z").await;
        assert!(!is_due().await);
        let other = Epoch("two".into());
        assert!(super::is_due(&target, &other, HOUR, now).await.expect("read"), "it is of another epoch");
        let all = all(&target).await.expect("the folder can be read");
        let bad: Vec<_> = all.iter().filter(|(_, backup)| backup.is_err()).map(|(name, _)| name).collect();
        assert_eq!((all.len(), bad), (4, vec![&unreadable]));
    }

    #[tokio::test]
    async fn the_backup_that_a_restore_would_choose_is_kept_although_a_clock_was_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = ArchiveTarget::folder(folder.path());
        let time = |text: &str| text.parse::<Time>().expect("a time");
        let (behind, right, now) =
            ("2026-01-02T10:00:00.000Z", "2026-01-02T11:00:00.000Z", time("2026-01-05T00:00:00.000Z"));
        let epochs = [Epoch(EPOCH.into())];
        let head = ArchiveHead::begin(&epochs[0], Layout { streams: 1, replicas: 1 }, now);
        head.put(&target, HEAD, Replaces::Nothing).await.expect("written");
        backs_up_at(&target, right, 5).await;
        backs_up_at(&target, behind, 9).await;
        let removed = prune(&target, HOUR, now).await.expect("pruned");
        assert_eq!(removed, [format!("{FOLDER}/{right}")]);
        let (chosen, unusable) = choose(&target, &epochs).await.expect("the folder can be read");
        assert_eq!((chosen.expect("one").time, unusable), (time(behind), Vec::new()));
    }
}
