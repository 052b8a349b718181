//! `HEAD.json`: how far the archive has come. It is written after the segments that it names, so everything it names
//! exists.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    archive::{
        ArchiveError, ArchiveTarget,
        target::{FileVersion, KeptFile, Replaces},
    },
    domain::{Epoch, Position, Time},
    log::{CONTRACT, Contract, KeptDurable, Layout},
};

pub(super) const FILE: &str = "HEAD.json";

/// The stream of audit events: restored first, and always to its end.
pub(super) const AUDIT: &str = "AUDIT";

/// The state of an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArchiveHead {
    format: u32,
    /// The epoch of the log.
    pub epoch: Epoch,
    /// The epochs before it, the latest one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Epoch>,
    /// Where each stream ended when this epoch was first archived. It is empty once the segments have that much, and if
    /// there was no epoch before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) begun_at: BTreeMap<String, Position>,
    /// When the archiver last found each stream archived up to its end, or further than before. An archiver that has caught
    /// up writes a record to the archive within about ten seconds.
    pub at: Time,
    /// The number of streams of the log, without AUDIT.
    pub streams: usize,
    /// The copies of each stream.
    pub replicas: usize,
    /// How far each stream is archived, by its name.
    pub ends: BTreeMap<String, StreamEnd>,
    /// The durables of consumers, as they were.
    pub durables: Vec<KeptDurable>,
    /// The contract level of the version that writes the archive.
    pub contract: Contract,
    /// That version.
    pub version: String,
}

/// The manifest of an epoch that is not the latest one.
pub(super) fn of_epoch(epoch: &Epoch) -> String {
    format!("log/{epoch}/{FILE}")
}

/// How far a stream is archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamEnd {
    /// The first position of the stream.
    pub first: Position,
    /// The last position in a segment; without a segment, the position before `first`.
    pub last: Position,
    /// The checksum in the footer of the last segment.
    pub sha256: Option<String>,
    /// The number of segments.
    pub segments: u64,
}

impl ArchiveHead {
    /// An archive that begins with this epoch.
    pub(super) fn begin(epoch: &Epoch, Layout { streams, replicas }: Layout, at: Time) -> Self {
        Self {
            format: 1,
            epoch: epoch.clone(),
            former: Vec::new(),
            begun_at: BTreeMap::new(),
            at,
            streams,
            replicas,
            ends: BTreeMap::new(),
            durables: Vec::new(),
            contract: CONTRACT,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// The manifests of all epochs, that of `HEAD.json` last.
    pub(super) async fn all(target: &ArchiveTarget) -> Result<Vec<Self>, ArchiveError> {
        let latest = Self::read(target).await?;
        let mut all = Vec::new();
        for epoch in target.list("log").await? {
            let head = Self::find_at(target, &of_epoch(&Epoch(epoch))).await?;
            all.extend(head.map(|(head, _)| head).filter(|head| head.epoch != latest.epoch));
        }
        all.push(latest);
        Ok(all)
    }

    /// The epochs of the log, the latest one last.
    pub(super) fn epochs(self) -> impl Iterator<Item = Epoch> {
        self.former.into_iter().chain([self.epoch])
    }

    /// Removes an epoch that has ended.
    pub(super) async fn remove_epoch(&self, target: &ArchiveTarget) -> Result<(), ArchiveError> {
        let folder = format!("log/{}", self.epoch);
        // The manifest goes last. If this is interrupted, the next run finds it and removes the rest.
        for name in target.list(&folder).await?.iter().filter(|name| *name != FILE) {
            target.remove(&format!("{folder}/{name}")).await?;
        }
        target.remove(&folder).await
    }

    /// Reads the state of an archive; `None` if there is no archive.
    pub(super) async fn find(target: &ArchiveTarget) -> Result<Option<Self>, ArchiveError> {
        Ok(Self::find_at(target, FILE).await?.map(|(head, _)| head))
    }

    pub(super) async fn find_at(
        target: &ArchiveTarget,
        name: &str,
    ) -> Result<Option<(Self, FileVersion)>, ArchiveError> {
        let Some(KeptFile { bytes, version }) = target.get(name).await? else { return Ok(None) };
        let bad = |why: String| ArchiveError::Bad { name: name.into(), why };
        let head: Self =
            serde_json::from_slice(&bytes).map_err(|e| bad(format!("it cannot be read: {e}")))?;
        if head.format != 1 {
            return Err(bad(format!(
                "its format is {}, but this version reads only 1: use a newer version",
                head.format
            )));
        }
        Ok(Some((head, version)))
    }

    /// Reads the state of an archive.
    pub(crate) async fn read(target: &ArchiveTarget) -> Result<Self, ArchiveError> {
        Self::find(target).await?.ok_or_else(|| ArchiveError::None(target.to_string()))
    }

    pub(super) async fn put(
        &self,
        target: &ArchiveTarget,
        name: &str,
        replaces: Replaces,
    ) -> Result<FileVersion, ArchiveError> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| ArchiveError::Bad {
            name: name.into(),
            why: format!("it cannot be written: {e}"),
        })?;
        target.put(name, text, replaces).await
    }

    /// Whether the archive has everything up to these positions.
    pub(super) fn covers(&self, epoch: &Epoch, positions: &BTreeMap<String, Position>) -> bool {
        self.lacking(epoch, positions).is_empty()
    }

    /// The streams of which the archive does not have everything up to these positions.
    pub(super) fn lacking<'a>(
        &self,
        epoch: &Epoch,
        positions: &'a BTreeMap<String, Position>,
    ) -> Vec<&'a str> {
        let has = |stream: &String, at: &Position| {
            self.epoch == *epoch && self.ends.get(stream).is_some_and(|end| end.last >= *at)
        };
        let lacking = positions.iter().filter(|(stream, at)| !has(stream, at));
        lacking.map(|(stream, _)| &**stream).collect()
    }
}

/// When an archive has last kept up with the log, even if `HEAD.json` is that of the epoch before; `None` if there is no
/// archive.
pub(crate) async fn kept_up(
    target: &ArchiveTarget,
    epoch: Option<&Epoch>,
) -> Result<Option<Time>, ArchiveError> {
    let latest = ArchiveHead::find(target).await?;
    let present = match epoch {
        Some(epoch) => ArchiveHead::find_at(target, &of_epoch(epoch)).await?,
        None => None,
    };
    Ok(latest.into_iter().chain(present.map(|(head, _)| head)).map(|head| head.at).max())
}
