//! Where an archive is: a folder, or a bucket of object storage. A file there is written whole or not at all.
//! Afterwards it stays as it is, except `HEAD.json`, and segments that erasures have rewritten.
//!
//! One process at a time writes, by the claim that nats-server keeps. In a bucket, a write can also reach the server
//! long after its process was frozen or has given up. So a write there says what it may replace, and the server refuses
//! it if another process has written in the meantime. We rely on a bucket that keeps what it has acknowledged, and
//! shows it at once to reads and lists.

mod bucket;
mod file;
mod folder;
mod keys;
mod place;
mod refusal;

use std::{fmt, path::Path, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use uuid::Uuid;

pub(super) use self::file::{FileVersion, KeptFile, Replaces};
use self::{
    bucket::Bucket,
    folder::Folder,
    place::{BadArchive, BucketPlace},
};
pub(crate) use self::{bucket::BucketAccess, file::ArchiveError, keys::BucketKeys, place::ArchivePlace};

/// A place for an archive, ready for use.
#[derive(Debug, Clone)]
pub(crate) enum ArchiveTarget {
    /// A folder.
    Folder(Folder),
    /// Objects of a bucket with a common prefix.
    Bucket(Arc<Bucket>),
}

impl fmt::Display for ArchiveTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl ArchiveTarget {
    /// A folder.
    pub(crate) fn folder(path: &Path) -> Self {
        Self::Folder(Folder(path.to_owned()))
    }

    /// A place in a bucket.
    pub(crate) fn bucket(place: &BucketPlace, access: BucketAccess) -> Result<Self, BadArchive> {
        Bucket::new(place, access).map(|bucket| Self::Bucket(bucket.into()))
    }

    /// A name by which all processes know the same place.
    pub(super) fn id(&self) -> Uuid {
        let name = match self {
            Self::Folder(folder) => folder.to_string(),
            Self::Bucket(bucket) => bucket.address(),
        };
        let hash = digest(&SHA256, name.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_ref()[..16]);
        Uuid::from_bytes(bytes)
    }

    /// Whether this process may write here, as far as that shows without writing: the permissions of a folder. Returns
    /// what deserves a warning.
    pub(crate) fn may_write(&self) -> Result<Vec<String>, ArchiveError> {
        match self {
            Self::Folder(folder) => folder.may_write(),
            Self::Bucket(_) => Ok(Vec::new()),
        }
    }

    /// Writes a file. When this returns, the file survives a power failure of a machine.
    pub(super) async fn put(
        &self,
        name: &str,
        bytes: impl Into<Bytes>,
        replaces: Replaces,
    ) -> Result<FileVersion, ArchiveError> {
        let bytes = bytes.into();
        match self {
            Self::Folder(folder) => folder.put(name, &bytes).await.map(|()| FileVersion(None)),
            Self::Bucket(bucket) => bucket.put(name, bytes, &replaces).await,
        }
    }

    /// Reads a file; `None` if it is not there.
    pub(super) async fn get(&self, name: &str) -> Result<Option<KeptFile>, ArchiveError> {
        match self {
            Self::Folder(folder) => {
                let file = folder.get(name).await?;
                Ok(file.map(|bytes| KeptFile { bytes: bytes.into(), version: FileVersion(None) }))
            }
            Self::Bucket(bucket) => bucket.get(name).await,
        }
    }

    /// The names in a folder, in order; none if the folder does not exist.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        let mut names = match self {
            Self::Folder(target) => target.list(folder).await?,
            Self::Bucket(bucket) => bucket.list(folder).await?,
        };
        names.sort_unstable();
        Ok(names)
    }

    /// Removes what a killed process has left in a folder. No other process may write there meanwhile.
    pub(super) async fn remove_unfinished(&self, folder: &str) -> Result<(), ArchiveError> {
        match self {
            Self::Folder(target) => target.remove_unfinished(folder).await,
            // A bucket shows an object only once all of it has arrived.
            Self::Bucket(_) => Ok(()),
        }
    }

    /// Removes a file, or a folder with everything in it.
    pub(super) async fn remove(&self, name: &str) -> Result<(), ArchiveError> {
        match self {
            Self::Folder(folder) => folder.remove(name).await,
            Self::Bucket(bucket) => bucket.remove(name).await,
        }
    }

    /// Whether this place keeps older versions of its files, from which nothing can be erased. Keys that may not ask
    /// for it get `false`.
    pub(crate) async fn keeps_versions(&self) -> bool {
        match self {
            Self::Folder(_) => false,
            Self::Bucket(bucket) => bucket.keeps_versions().await,
        }
    }
}
