//! Where an archive is. A file there is written whole or not at all. Afterwards it stays as it is, except `HEAD.json`, and
//! segments that erasures have rewritten.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::{fs, io::AsyncWriteExt as _};
use uuid::Uuid;

use crate::log::{Damaged, OpenError, Unavailable};

/// The end of the name of a file that is not whole yet.
const UNFINISHED: &str = ".unfinished";

/// A place for an archive: `dir:/var/backups/verbatim`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveTarget(PathBuf);

/// A text names no place for an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadArchive {
    /// It names no folder.
    #[error(
        "this is no place for an archive: write `dir:` and the absolute path of a folder, as in dir:/backups/verbatim"
    )]
    NoFolder,
    /// Object storage cannot be written to.
    #[error(
        "this version cannot write to object storage by itself: name a folder (`dir:/backups/verbatim`), and copy or mount \
         it, for instance with rclone"
    )]
    ObjectStorage,
}

/// Why something with an archive failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// A file cannot be read or written.
    #[error("the archive: {path}: {error}")]
    File {
        /// The file.
        path: String,
        /// The error of the system.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("the archive: {name}: {why}")]
    Bad {
        /// The file.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no archive.
    #[error("there is no archive at {0}: it has no HEAD.json. Start an archiver first (`verbatim archive`)")]
    None(ArchiveTarget),
    /// The stream has a hole that nothing explains.
    #[error("{0}, and nothing explains it: see \"A message was deleted\" in deploy/DISASTERS.md")]
    Hole(#[from] Damaged),
    /// Another process writes the archive, and has not come as far in time.
    #[error("{0}")]
    Late(String),
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The log does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Another process has taken the archive over.
    #[error("another archiver has taken the archive over")]
    Lost,
    /// The database does not answer.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

impl FromStr for ArchiveTarget {
    type Err = BadArchive;
    fn from_str(text: &str) -> Result<Self, BadArchive> {
        if text.starts_with("s3:") {
            return Err(BadArchive::ObjectStorage);
        }
        match text.strip_prefix("dir:").map(PathBuf::from) {
            Some(path) if path.is_absolute() => Ok(Self(path)),
            _ => Err(BadArchive::NoFolder),
        }
    }
}

impl fmt::Display for ArchiveTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dir:{}", self.0.display())
    }
}

impl ArchiveTarget {
    /// A folder.
    pub fn folder(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A name by which processes know the same place.
    pub(super) fn id(&self) -> Uuid {
        let hash = digest(&SHA256, self.to_string().as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_ref()[..16]);
        Uuid::from_bytes(bytes)
    }

    fn failed(path: &Path) -> impl Fn(io::Error) -> ArchiveError {
        move |error| ArchiveError::File { path: path.display().to_string(), error }
    }

    /// Writes a file. When this returns, the file is on disk.
    pub(super) async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let path = self.0.join(name);
        let folder = path.parent().unwrap_or(&self.0);
        let unfinished = folder.join(format!("{}{UNFINISHED}", crate::clock::name().simple()));
        let write = async {
            // Hashes of passwords and texts of people are nobody else's business on the machine.
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).await?;
            let mut opening = fs::OpenOptions::new();
            let mut file = opening.write(true).create_new(true).mode(0o600).open(&unfinished).await?;
            file.write_all(bytes).await?;
            file.sync_all().await?;
            fs::rename(&unfinished, &path).await?;
            // The name is on disk when its folder is, and so on up to the folder of the archive.
            for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.0)) {
                fs::File::open(folder).await?.sync_all().await?;
            }
            Ok(())
        };
        let written = write.await;
        if written.is_err() {
            let _ = fs::remove_file(&unfinished).await;
        }
        written.map_err(Self::failed(&path))
    }

    /// Reads a file; `None` if it is not there.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let path = self.0.join(name);
        match fs::read(&path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Self::failed(&path)(error)),
        }
    }

    /// The names in a folder, in order; none if the folder is not there.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        let mut names = self.names(folder).await?;
        names.retain(|name| !name.ends_with(UNFINISHED));
        names.sort_unstable();
        Ok(names)
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        let path = self.0.join(folder);
        let failed = Self::failed(&path);
        let mut entries = match fs::read_dir(&path).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(&failed)? {
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Removes what somebody who was killed has left in a folder. Nobody else may write there meanwhile.
    pub(super) async fn remove_unfinished(&self, folder: &str) -> Result<(), ArchiveError> {
        for name in self.names(folder).await? {
            if name.ends_with(UNFINISHED) {
                self.remove(&format!("{folder}/{name}")).await?;
            }
        }
        Ok(())
    }

    /// Removes a file or a folder with all in it.
    pub(super) async fn remove(&self, name: &str) -> Result<(), ArchiveError> {
        let path = self.0.join(name);
        let removed = match fs::metadata(&path).await {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path).await,
            Ok(_) => fs::remove_file(&path).await,
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Self::failed(&path)(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_place_and_all_else_is_refused() {
        let target: ArchiveTarget = "dir:/var/backups".parse().expect("a folder");
        assert_eq!(target.to_string(), "dir:/var/backups");
        for wrong in ["", "dir:", "dir:backups", "/var/backups", "ftp://somewhere"] {
            assert_eq!(wrong.parse::<ArchiveTarget>(), Err(BadArchive::NoFolder), "{wrong}");
        }
        assert_eq!("s3://bucket/folder".parse::<ArchiveTarget>(), Err(BadArchive::ObjectStorage));
    }

    #[tokio::test]
    async fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = ArchiveTarget::folder(folder.path());
        target.put("a/b/c", b"text").await.expect("written");
        target.put("a/b/c", b"other").await.expect("replaced");
        assert_eq!(target.get("a/b/c").await.expect("read"), Some(b"other".to_vec()));
        std::fs::write(folder.path().join("a/b/half.unfinished"), b"te").expect("written");
        assert_eq!(target.list("a/b").await.expect("a folder"), ["c"]);
        target.remove_unfinished("a/b").await.expect("removed");
        assert!(!folder.path().join("a/b/half.unfinished").exists());
        assert_eq!(target.get("a/x").await.expect("nothing"), None);
        target.remove("a").await.expect("removed");
        assert_eq!(target.list("a/b").await.expect("nothing"), [""; 0]);
    }
}
