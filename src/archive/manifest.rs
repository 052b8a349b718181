//! The manifest that an archiver writes, and its place.
//!
//! A new epoch is archived from its beginning, which takes a while for a long log. Until then a restore needs the epoch
//! before it. So `HEAD.json` stays the manifest of that epoch, and the manifest of the new one is beside its segments.
//!
//! An archive belongs to one log. The lease that keeps a second archiver away is in the NATS of that log, so an archiver
//! of another log, started with a wrong setting, can only see by the epochs that the archive is not its own.

use crate::{
    archive::{
        ArchiveError, ArchiveTarget,
        head::{ArchiveHead, FILE, of_epoch},
        segment,
        target::Replaces,
    },
    domain::{Epoch, Time},
    log::Log,
};

/// The manifest of a log.
pub(super) struct Manifest {
    pub(super) head: ArchiveHead,
    /// Whether it is `HEAD.json`.
    is_latest: bool,
    /// What the next write may replace.
    replaces: Replaces,
}

/// How far an archive has come, in words. Fails for the archive of another log.
pub(crate) async fn describe(target: &ArchiveTarget, log: Option<&Log>) -> Result<String, ArchiveError> {
    let Some(latest) = ArchiveHead::find(target).await? else {
        return match folder_with_segments(target).await? {
            Some(folder) => Err(ArchiveError::NoManifest { place: target.to_string(), folder }),
            None => Ok(format!("{target} is empty")),
        };
    };
    let told = format!("{target} has epoch {}, as of {}", latest.epoch, latest.at);
    match log {
        Some(log) if latest.epoch != *log.epoch() => {
            is_of(log, &latest.epoch, target)?;
            Ok(format!(
                "{told}. The present epoch of the log, {}, is not archived completely yet",
                log.epoch()
            ))
        }
        _ => Ok(told),
    }
}

/// The first folder with segments; `None` in an empty archive.
async fn folder_with_segments(target: &ArchiveTarget) -> Result<Option<String>, ArchiveError> {
    for epoch in target.list("log").await? {
        for stream in target.list(&format!("log/{epoch}")).await? {
            let folder = format!("log/{epoch}/{stream}");
            if stream != FILE && has_segments(target, &folder).await? {
                return Ok(Some(folder));
            }
        }
    }
    Ok(None)
}

async fn has_segments(target: &ArchiveTarget, folder: &str) -> Result<bool, ArchiveError> {
    Ok(target.list(folder).await?.iter().any(|file| segment::positions(file).is_some()))
}

/// Fails if a log did not begin from this epoch of an archive.
fn is_of(log: &Log, epoch: &Epoch, target: &ArchiveTarget) -> Result<(), ArchiveError> {
    if log.former_epochs().contains(epoch) {
        return Ok(());
    }
    let (place, found, own) = (target.to_string(), epoch.clone(), log.epoch().clone());
    Err(ArchiveError::Foreign { place, found, own })
}

impl Manifest {
    /// The manifest of a log in an archive. A new one is not written yet.
    pub(super) async fn of_log(target: &ArchiveTarget, log: &Log, at: Time) -> Result<Self, ArchiveError> {
        let layout = log.layout();
        let kept = |mut head: ArchiveHead| {
            (head.replicas, head.former) = (layout.replicas, log.former_epochs().to_vec());
            head
        };
        let latest = match ArchiveHead::find_at(target, FILE).await? {
            Some((head, version)) if head.epoch == *log.epoch() => {
                return Ok(Self { head: kept(head), is_latest: true, replaces: Replaces::Version(version) });
            }
            other => other.map(|(head, _)| head.epoch),
        };
        if let Some((head, version)) = ArchiveHead::find_at(target, &of_epoch(log.epoch())).await? {
            return Ok(Self { head: kept(head), is_latest: false, replaces: Replaces::Version(version) });
        }
        if let Some(latest) = &latest {
            is_of(log, latest, target)?;
        }
        let mut head = kept(ArchiveHead::begin(log.epoch(), layout, at));
        for stream in log.kept_streams() {
            // Without a manifest, no segment would count as archived, and all of them would be removed.
            let folder = format!("log/{}/{stream}", log.epoch());
            if has_segments(target, &folder).await? {
                return Err(ArchiveError::NoManifest { place: target.to_string(), folder });
            }
            if latest.is_some() {
                head.begun_at.insert(stream.clone(), log.ends_of(&stream).await?.last);
            }
        }
        Ok(Self { head, is_latest: latest.is_none(), replaces: Replaces::Nothing })
    }

    /// Writes the manifest in place of the previous one. Once it has what the log had when its epoch began, it becomes
    /// `HEAD.json`, and the one that was there moves to the folder of its own segments.
    pub(super) async fn write(&mut self, target: &ArchiveTarget) -> Result<(), ArchiveError> {
        let aside = of_epoch(&self.head.epoch);
        let latest = ArchiveHead::find_at(target, FILE).await?;
        let written = match (self.is_latest, latest) {
            (true, Some((other, _))) if other.epoch != self.head.epoch => {
                // Another archiver has made its own manifest the latest one. A folder would let us overwrite it.
                self.head.put(target, &aside, Replaces::Anything).await?;
                return Err(ArchiveError::Lost);
            }
            (true, _) => self.head.put(target, FILE, self.replaces.clone()).await?,
            (false, _) if !self.head.covers(&self.head.epoch, &self.head.begun_at) => {
                self.head.put(target, &aside, self.replaces.clone()).await?
            }
            (false, latest) => {
                let mut replaces = Replaces::Nothing;
                if let Some((other, version)) = latest {
                    other.put(target, &of_epoch(&other.epoch), Replaces::Anything).await?;
                    replaces = Replaces::Version(version);
                }
                self.head.begun_at.clear();
                let written = self.head.put(target, FILE, replaces).await?;
                self.is_latest = true;
                target.remove(&aside).await?;
                written
            }
        };
        self.replaces = Replaces::Version(written);
        Ok(())
    }
}
