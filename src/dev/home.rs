//! The folder of one server, and the user that runs the server. Postgres refuses to run as root, so root runs
//! both servers as an ordinary user. That user owns the subfolder `data` and must be able to reach it. Everything
//! else in the folder, including logs and passwords, belongs to root, because root could not trust a file that the
//! server's user can change.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use crate::dev::{
    DevError, accounts,
    error::cannot_use,
    folder::{Folder, PRIVATE},
    secret::new_password,
    user::{User, is_reachable, servers_user, we_are_root},
};

/// The place of the folders that the servers' user could not reach at their own paths. Only root can change it.
const REACHABLE: &str = "/var/lib/verbatim-dev";

/// The folder of a server and, if root starts the server, the user to run it as.
#[derive(Debug, Clone)]
pub(super) struct Home {
    /// The folder, which only our own user can change.
    pub(super) folder: Folder,
    pub(super) user: Option<User>,
}

/// The folder that belongs to the server's user.
pub(super) const DATA: &str = "data";
/// The file with the passwords, which outlives a change of the folder's owner.
pub(super) const PASSWORDS: &str = "passwords";
/// The file in which an earlier version kept the password of Postgres.
pub(super) const BEFORE: &str = "password";

impl Home {
    /// Opens the folder `dir`, and creates it if it is missing. If the process runs as root, root becomes the owner of
    /// the folder, and the server runs as the user that owned the folder before, or that owns its data, or else as
    /// `postgres` or `nobody`. If that user cannot reach the folder (below /root, say), `dir` becomes a link to a
    /// folder that the user can reach.
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
            let accounts = accounts::kept(&folder);
            folder.clear_of_strangers()?;
            accounts::keep(&folder, &accounts)?;
            if let Some(kept) = kept.into_iter().flatten().next() {
                folder.write(PASSWORDS, &kept, PRIVATE)?;
            }
        }
        Ok(Self { folder, user: Some(user) })
    }

    /// The folder with the server's data, which the server's user owns. It is created if it is missing.
    pub(super) fn data(&self) -> Result<PathBuf, DevError> {
        self.folder.make(DATA, self.user)
    }
}

/// Refuses a link that was not created by root.
fn only_roots_link(dir: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(dir)?;
    match found.is_symlink() && found.uid() != 0 {
        true => Err(io::Error::other("it is a link that does not belong to root: remove it")),
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

/// Replaces an empty folder by a link to a new folder that the servers' user can reach. Fails if the folder has
/// content, because data that a person has moved to a place without access must stay there.
fn lead_out(dir: &Path) -> io::Result<PathBuf> {
    fs::remove_dir(dir).map_err(|error| {
        io::Error::new(
            error.kind(),
            "the user of the servers cannot reach it, because a parent folder is closed to others",
        )
    })?;
    let path = Path::new(REACHABLE).join(new_password());
    private_folder(&path)?;
    symlink(&path, dir)?;
    Ok(path)
}
