//! The dev mode that runs on a data folder, as other processes see it.

use std::path::Path;

use crate::dev::{folder::Folder, servers::ENV};

/// The addresses and credentials of the dev mode that runs on this data folder, as names and values of settings. `None`
/// if none runs there, or if this user may not read them.
pub fn running(data_dir: &Path) -> Option<Vec<(String, String)>> {
    let folder = Folder::open(data_dir).ok()?;
    let process = folder.read("lock").ok()??;
    // The folder outlives its dev mode, and another program may listen on the old addresses.
    let process: u32 = process.trim().parse().ok()?;
    if !Path::new("/proc").join(process.to_string()).exists() {
        return None;
    }
    let env = folder.read(ENV).ok()??;
    let settings = env.lines().filter_map(|line| line.split_once('='));
    Some(settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
