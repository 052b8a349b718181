//! The folder of one server, and the user who runs it. Postgres refuses to run as root, so as root both servers
//! run as an ordinary user, who owns the folder `data` in it and must be able to reach that. All beside it, logs and
//! passwords too, is root's: what the server's user could change, root would have to mistrust.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::dev::{
    DevError,
    error::cannot_use,
    folder::{Folder, PRIVATE},
    secret::new_password,
    user::{User, is_reachable, servers_user, we_are_root},
};

/// Where the folders lie that the servers' user could not reach in their own place. Root's alone to change.
const REACHABLE: &str = "/var/lib/verbatim-dev";

/// A server's folder and, if we are root, the user to run it as.
#[derive(Debug, Clone)]
pub(super) struct Home {
    /// Ours alone to change.
    pub(super) folder: Folder,
    pub(super) user: Option<User>,
}

/// The folder that belongs to the server's user.
pub(super) const DATA: &str = "data";
/// Where passwords are kept, which outlive a change of the folder's owner; and where an earlier version kept that
/// of Postgres.
pub(super) const PASSWORDS: &str = "passwords";
pub(super) const BEFORE: &str = "password";

impl Home {
    /// Makes the folder if it is not there. As root, takes it; the server runs as the user who had it, or has its
    /// data, else as `postgres` or `nobody`. In a place that is closed to them (below /root, say), `dir` becomes a
    /// link to a folder that is not.
    pub(super) fn open(dir: &Path) -> Result<Self, DevError> {
        private_folder(dir).map_err(cannot_use(dir))?;
        if !we_are_root() {
            return Ok(Self { folder: Folder::open(dir)?, user: None });
        }
        only_roots_link(dir).map_err(cannot_use(dir))?;
        let folder = Folder::open(dir)?;
        let owner = folder.owner()?;
        let ordinary = |user: &User| user.uid != 0;
        let user = Some(owner).filter(ordinary).or_else(|| folder.owner_of(DATA).filter(ordinary));
        let user = user.or_else(servers_user).ok_or(DevError::NoUser)?;
        let folder = match is_reachable(&folder.path, user) {
            true => folder,
            false => Folder::open(&lead_out(dir).map_err(cannot_use(dir))?)?,
        };
        folder.take()?;
        if owner.uid != 0 {
            let kept = [PASSWORDS, BEFORE].map(|name| folder.read(name).ok().flatten());
            folder.clear_of_strangers()?;
            if let Some(kept) = kept.into_iter().flatten().next() {
                folder.write(PASSWORDS, &kept, PRIVATE)?;
            }
        }
        Ok(Self { folder, user: Some(user) })
    }

    /// The path of the server's data, which it owns.
    pub(super) fn data(&self) -> Result<PathBuf, DevError> {
        self.folder.make(DATA, self.user)
    }
}

/// Refuses a link that somebody else than root has made.
fn only_roots_link(dir: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(dir)?;
    match found.is_symlink() && found.uid() != 0 {
        true => Err(io::Error::other("it is a link that root has not made: remove it")),
        false => Ok(()),
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
