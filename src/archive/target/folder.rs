//! An archive in a folder: each file is written under a temporary name, synced, and renamed.

use std::{
    fmt,
    fs::Metadata,
    io,
    os::unix::fs::{MetadataExt as _, fchown, lchown},
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access, statvfs};
use tokio::{fs, io::AsyncWriteExt as _};

use super::file::ArchiveError;

/// The suffix of a file that is not complete yet.
const UNFINISHED: &str = ".unfinished";
/// The disk is nearly full when less than one in so many of its blocks is free.
const FREE: u64 = 10;

/// A folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder(pub(super) PathBuf);

/// The user and the group to whom root gives what it has made in an archive: those of its folder, because their archiver has
/// to read it. `None` if it stays with its owner.
fn heirs(made: &Metadata, archive: &Metadata) -> Option<(u32, u32)> {
    (made.uid() == 0 && archive.uid() != 0).then(|| (archive.uid(), archive.gid()))
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dir:{}", self.0.display())
    }
}

impl Folder {
    fn failed(path: &Path) -> impl Fn(io::Error) -> ArchiveError {
        move |error| ArchiveError::File { path: path.display().to_string(), error }
    }

    /// Whether this process may write here. Nothing is written: this only reads permissions. Returns what deserves a
    /// warning.
    pub(super) fn may_write(&self) -> Result<Vec<String>, ArchiveError> {
        let exists = self.0.is_dir();
        let nearest = self.0.ancestors().find(|folder| folder.exists()).unwrap_or(&self.0);
        if !nearest.is_dir() {
            return Err(Self::failed(nearest)(io::ErrorKind::NotADirectory.into()));
        }
        access(nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| Self::failed(nearest)(e.into()))?;
        let mut warnings = Vec::new();
        if !exists {
            warnings.push(format!(
                "{self} does not exist, and the archiver will create it: if a disk belongs there, mount it first"
            ));
        }
        let disk = statvfs(nearest).map_err(|e| Self::failed(nearest)(e.into()))?;
        if disk.f_bavail < disk.f_blocks / FREE {
            let percent = 100 * disk.f_bavail / disk.f_blocks.max(1);
            warnings.push(format!("only {percent} % of the disk of {self} is free: make room"));
        }
        Ok(warnings)
    }

    /// Writes a file. When this returns, the file is on disk.
    pub(super) async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let path = self.0.join(name);
        let folder = path.parent().unwrap_or(&self.0);
        let unfinished = folder.join(format!("{}{UNFINISHED}", crate::clock::name().simple()));
        let write = async {
            let archive = self.create_folders(folder).await?;
            let mut opening = fs::OpenOptions::new();
            let mut file = opening.write(true).create_new(true).mode(0o600).open(&unfinished).await?;
            if let Some((user, group)) = heirs(&file.metadata().await?, &archive) {
                fchown(&file, Some(user), Some(group))?;
            }
            file.write_all(bytes).await?;
            file.sync_all().await?;
            fs::rename(&unfinished, &path).await?;
            // The name is on disk once its folder is synced, and so on up to the folder of the archive.
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

    /// Creates a folder of the archive and those above it. No other user of the machine may read password hashes and texts
    /// of people. Returns what the system says of the folder of the archive.
    async fn create_folders(&self, folder: &Path) -> io::Result<Metadata> {
        let mut folders = fs::DirBuilder::new();
        folders.mode(0o700);
        folders.recursive(true).create(&self.0).await?;
        let archive = fs::metadata(&self.0).await?;
        let mut path = self.0.clone();
        for name in folder.strip_prefix(&self.0).unwrap_or(Path::new("")) {
            path.push(name);
            match folders.recursive(false).create(&path).await {
                Ok(()) => {
                    if let Some((user, group)) = heirs(&fs::symlink_metadata(&path).await?, &archive) {
                        lchown(&path, Some(user), Some(group))?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(archive)
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

    /// The names in a folder; none if the folder does not exist.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        let mut names = self.names(folder).await?;
        names.retain(|name| !name.ends_with(UNFINISHED));
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

    /// Removes what a killed process has left in a folder. No other process may write there meanwhile.
    pub(super) async fn remove_unfinished(&self, folder: &str) -> Result<(), ArchiveError> {
        for name in self.names(folder).await? {
            if name.ends_with(UNFINISHED) {
                self.remove(&format!("{folder}/{name}")).await?;
            }
        }
        Ok(())
    }

    /// Removes a file, or a folder with everything in it.
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
    use std::{
        fs::Permissions,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    };

    use super::*;

    #[tokio::test]
    async fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = Folder(folder.path().to_owned());
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

    /// Only root may give files away, so for other users the owner is who runs this.
    #[tokio::test]
    async fn what_root_writes_belongs_to_the_owner_of_the_archive() {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = folder.path().join("archive");
        std::fs::create_dir(&archive).expect("a folder");
        if std::fs::metadata(&archive).expect("a folder").uid() == 0 {
            lchown(&archive, Some(4_242), Some(4_343)).expect("root may");
        }
        let owner =
            |path: &Path| std::fs::metadata(path).map(|found| (found.uid(), found.gid())).expect("there");
        let target = Folder(archive.clone());
        target.put("HEAD.json", b"{}").await.expect("written");
        target.put("log/epoch/CHAT_0/1-2.vseg.zst", b"records").await.expect("written");
        for path in ["HEAD.json", "log", "log/epoch", "log/epoch/CHAT_0", "log/epoch/CHAT_0/1-2.vseg.zst"] {
            assert_eq!(owner(&archive.join(path)), owner(&archive), "{path}");
        }
    }

    #[test]
    fn whether_an_archive_may_be_written_is_known_without_writing() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| Folder(folder.path().join(path));
        let is_missing = |warnings: &[String]| warnings.iter().any(|why| why.contains("does not exist"));
        assert!(!is_missing(&at("").may_write().expect("writable")));
        assert!(is_missing(&at("a/b").may_write().expect("it can be created")));
        assert!(!at("a").0.exists());
        std::fs::write(at("file").0, "").expect("a file");
        assert!(at("file").may_write().is_err() && at("file/archive").may_write().is_err());
        // Permissions do not bind root.
        let is_root = std::fs::metadata(folder.path()).expect("a folder").uid() == 0;
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o500)).expect("changed");
        assert_eq!(at("a").may_write().is_err(), !is_root);
    }
}
