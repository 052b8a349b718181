//! The system user that runs the servers.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// An ordinary user of this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The user `postgres`, or else `nobody`: initdb needs a user that has a name.
pub(super) fn servers_user() -> Option<User> {
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
pub(super) fn is_reachable(path: &Path, user: User) -> bool {
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

#[allow(unsafe_code)] // The standard library does not expose the user id of the process.
pub(super) fn we_are_root() -> bool {
    // SAFETY: a plain system call that cannot fail.
    unsafe { libc::geteuid() == 0 }
}
