//! An open folder, and operations in it. Root works here next to servers that run as another user and could
//! swap files while root works. So files are opened, replaced and removed through the open handle and without
//! following a symbolic link: it does not matter where a path leads later.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, mkdirat, open, openat, renameat, renameat_with, unlinkat,
};

use crate::dev::{DevError, error::cannot_use, user::User};

/// The permissions of a file that only its owner may read.
pub(super) const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
/// The permissions of a file that every user may read.
pub(super) const READABLE: Mode = PRIVATE.union(Mode::RGRP).union(Mode::ROTH);

/// The maximum number of bytes that are read from a file.
const LONGEST: u64 = 64 << 10;

/// An open folder. Clones are cheap.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    /// The path of the folder when it was opened: absolute, and free of symbolic links.
    pub(super) path: PathBuf,
    handle: Arc<File>,
}

impl Folder {
    /// Opens the folder to which `path` leads now.
    pub(super) fn open(path: &Path) -> Result<Self, DevError> {
        let opened = || -> io::Result<Self> {
            let path = path.canonicalize()?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let handle = File::from(open(&path, flags, Mode::empty())?);
            Ok(Self { path, handle: Arc::new(handle) })
        };
        opened().map_err(cannot_use(path))
    }

    /// The user who owns the folder.
    pub(super) fn owner(&self) -> Result<User, DevError> {
        let found = self.handle.metadata().map_err(cannot_use(&self.path))?;
        Ok(User { uid: found.uid(), gid: found.gid() })
    }

    /// Makes root the owner of the folder. Other users may pass through the folder but not list it.
    pub(super) fn take(&self) -> Result<(), DevError> {
        let taken = || -> io::Result<()> {
            fchown(&*self.handle, Some(0), Some(0))?;
            self.handle.set_permissions(Permissions::from_mode(0o711))
        };
        taken().map_err(cannot_use(&self.path))
    }

    /// Replaces a file atomically, with these permissions.
    pub(super) fn write(&self, name: &str, text: &str, mode: Mode) -> Result<(), DevError> {
        self.write_for(None, name, text, mode)
    }

    /// The same as [`write`](Self::write), with `user` as the owner of the file.
    pub(super) fn write_for(
        &self,
        user: Option<User>,
        name: &str,
        text: &str,
        mode: Mode,
    ) -> Result<(), DevError> {
        let new = format!("{name}.new");
        let write = || -> io::Result<()> {
            self.unlink(&new)?;
            let mut file = self.at(&new, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)?;
            file.write_all(text.as_bytes())?;
            if let Some(user) = user {
                fchown(&file, Some(user.uid), Some(user.gid))?;
            }
            Ok(renameat(&*self.handle, &new, &*self.handle, name)?)
        };
        write().map_err(cannot_use(&self.path.join(name)))
    }

    /// The text of a plain file; `None` if there is no file of this name, or only a link, which cannot be trusted.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, DevError> {
        let read = || {
            let mut text = String::new();
            self.plain(name, OFlags::RDONLY)?.take(LONGEST).read_to_string(&mut text)?;
            io::Result::Ok(text)
        };
        match read() {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::LOOP) => {
                Ok(None)
            }
            Err(error) => Err(cannot_use(&self.path.join(name))(error)),
        }
    }

    /// Opens a file for reading and writing, and creates it if it is missing.
    pub(super) fn file(&self, name: &str) -> Result<File, DevError> {
        self.plain(name, OFlags::RDWR | OFlags::CREATE).map_err(cannot_use(&self.path.join(name)))
    }

    /// Opens a file for appending, and creates it if it is missing.
    pub(super) fn log(&self, name: &str) -> Result<File, DevError> {
        self.plain(name, OFlags::RDWR | OFlags::CREATE | OFlags::APPEND)
            .map_err(cannot_use(&self.path.join(name)))
    }

    /// Creates a folder in this folder if it is missing, and makes `user` its owner.
    pub(super) fn make(&self, name: &str, user: Option<User>) -> Result<PathBuf, DevError> {
        let made = || -> io::Result<PathBuf> {
            match mkdirat(&*self.handle, name, Mode::RWXU) {
                Err(error) if error != rustix::io::Errno::EXIST => return Err(error.into()),
                _ => {}
            }
            let folder = self.at(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            if let Some(user) = user {
                fchown(&folder, Some(user.uid), Some(user.gid))?;
            }
            Ok(self.path.join(name))
        };
        made().map_err(cannot_use(&self.path.join(name)))
    }

    /// The owner of a folder in this folder; `None` if there is no folder of this name.
    pub(super) fn owner_of(&self, name: &str) -> Option<User> {
        let found = self.at(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).ok()?.metadata().ok()?;
        Some(User { uid: found.uid(), gid: found.gid() })
    }

    /// Renames a folder in the subfolder `below`, if it exists and the new name is free.
    pub(super) fn rename_below(&self, below: &[&str], from: &str, to: &str) -> Result<(), DevError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let renamed = || -> io::Result<()> {
            let mut folder = self.handle.try_clone()?;
            for name in below {
                folder = File::from(openat(&folder, *name, flags, Mode::empty())?);
            }
            Ok(renameat_with(&folder, from, &folder, to, RenameFlags::NOREPLACE)?)
        };
        match renamed() {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
                Err(cannot_use(&below.iter().fold(self.path.clone(), |path, name| path.join(name)))(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes a file or a link, if it exists.
    pub(super) fn remove(&self, name: &str) -> Result<(), DevError> {
        self.unlink(name).map_err(cannot_use(&self.path.join(name)))
    }

    /// Removes all files and links in the folder that root does not own.
    pub(super) fn clear_of_strangers(&self) -> Result<(), DevError> {
        for entry in fs::read_dir(&self.path).map_err(cannot_use(&self.path))? {
            let entry = entry.map_err(cannot_use(&self.path))?;
            let found = entry.metadata().map_err(cannot_use(&self.path))?;
            if let Some(name) = entry.file_name().to_str()
                && !found.is_dir()
                && found.uid() != 0
            {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        match unlinkat(&*self.handle, name, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Opens a plain file, and refuses a file with a second name: through a hard link, root would read or write a
    /// file elsewhere.
    fn plain(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let file = self.at(name, flags | OFlags::NONBLOCK, PRIVATE)?;
        let found = file.metadata()?;
        match found.is_file() && found.nlink() == 1 {
            true => Ok(file),
            false => Err(io::Error::other("it is not a regular file with a single link: remove it")),
        }
    }

    fn at(&self, name: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&*self.handle, name, flags, mode)?))
    }
}
