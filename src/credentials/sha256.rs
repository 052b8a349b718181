//! The hash by which a secret with enough random bits is stored or looked up.

use aws_lc_rs::digest::{SHA256, digest};

pub(super) fn sha256(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes.as_ref()).as_ref());
    hash
}
