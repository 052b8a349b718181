//! A folder for servers that nobody needs later.

use std::{
    env, fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::dev::{DevError, error::cannot_use, secret::new_password};

/// A folder for temporary servers. It is removed when this value is dropped.
#[derive(Debug)]
pub struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Creates the folder. All users may create folders at this place, and the owner of a folder can read what the
    /// servers store. So nobody can guess its name, and a folder that exists already is refused.
    pub fn create() -> Result<Self, DevError> {
        let path = env::temp_dir().join(format!("verbatim-{}", new_password()));
        // Other users may pass through the folder to the folders of the servers, but not list it.
        fs::DirBuilder::new().mode(0o711).create(&path).map_err(cannot_use(&path))?;
        Ok(Self { path })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // The folder of a server may be a link to a folder that the server's user can reach.
        let servers = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let led_out = servers.filter_map(|server| fs::read_link(server.path()).ok());
        for folder in led_out.chain([self.path.clone()]) {
            if let Err(error) = fs::remove_dir_all(&folder) {
                tracing::warn!(%error, folder = %folder.display(), "could not remove a folder of temporary servers");
            }
        }
    }
}
