//! The folder of one server, and the user who runs it. Postgres refuses to run as root, so as root both servers
//! run as an ordinary user, who must own the folder and be able to reach it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::{DevError, cannot_use, new_password};

/// Where the folders lie that the servers' user could not reach in their own place. Root's alone to change.
const REACHABLE: &str = "/var/lib/verbatim-dev";

/// An ordinary user of this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A server's folder and, if we are root, the user to run it as.
#[derive(Debug, Clone)]
pub(super) struct Home {
    /// Absolute, and free of symbolic links.
    pub(super) path: PathBuf,
    pub(super) user: Option<User>,
}

impl Home {
    /// Makes the folder if it is not there. As root, hands it over to the user who owns it already, else to
    /// `postgres` or `nobody`; in a place that is closed to them (below /root, say), `dir` becomes a link to a
    /// folder that is not.
    pub(super) fn open(dir: &Path) -> Result<Self, DevError> {
        private_folder(dir).map_err(cannot_use(dir))?;
        let path = dir.canonicalize().map_err(cannot_use(dir))?;
        if !we_are_root() {
            return Ok(Self { path, user: None });
        }
        let owner = fs::metadata(&path).map_err(cannot_use(dir))?;
        let user = match owner.uid() {
            0 => servers_user().ok_or(DevError::NoUser)?,
            uid => User { uid, gid: owner.gid() },
        };
        let path = if is_reachable(&path, user) { path } else { lead_out(dir).map_err(cannot_use(dir))? };
        chown(&path, Some(user.uid), Some(user.gid)).map_err(cannot_use(&path))?;
        Ok(Self { path, user: Some(user) })
    }

    /// Hands a file that we have made here over to the server.
    pub(super) fn give(&self, file: &Path) -> Result<(), DevError> {
        match self.user {
            Some(user) => chown(file, Some(user.uid), Some(user.gid)).map_err(cannot_use(file)),
            None => Ok(()),
        }
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o711).create(above)?;
    }
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Replaces the folder by a link to a new one that can be reached. The folder must be empty: data that somebody
/// has moved to a closed place stay as they are.
fn lead_out(dir: &Path) -> io::Result<PathBuf> {
    fs::remove_dir(dir).map_err(|error| {
        io::Error::new(
            error.kind(),
            "the user of the servers cannot reach it, a folder above is closed to others",
        )
    })?;
    let path = Path::new(REACHABLE).join(new_password());
    private_folder(&path)?;
    symlink(&path, dir)?;
    Ok(path)
}

/// `postgres`, else `nobody`: initdb wants a user that has a name.
fn servers_user() -> Option<User> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.strip_prefix(name)?.strip_prefix(':')?.split(':').skip(1);
            Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        })
    };
    find("postgres").or_else(|| find("nobody"))
}

/// Whether `user` may pass through every folder above `path`.
fn is_reachable(path: &Path, user: User) -> bool {
    path.ancestors().skip(1).all(|folder| {
        fs::metadata(folder).is_ok_and(|found| {
            let pass = match found {
                _ if found.uid() == user.uid => 0o100,
                _ if found.gid() == user.gid => 0o010,
                _ => 0o001,
            };
            found.mode() & pass != 0
        })
    })
}

#[allow(unsafe_code)] // The standard library does not tell who we are.
fn we_are_root() -> bool {
    // SAFETY: a plain system call that cannot fail.
    unsafe { libc::geteuid() == 0 }
}
