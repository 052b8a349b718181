//! Where a client is: one position for each stream, opaque, authenticated, bound to the user and to
//! the life of the log. It has no age limit.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::{Epoch, Position, UserId};

/// The form of the text; another one is refused.
const VERSION: u8 = 1;
/// Bytes of the authentication code that are kept.
const TAG: usize = 16;

/// Makes cursors and reads them.
pub struct Cursors {
    key: hmac::Key,
    epoch: Epoch,
}

impl Cursors {
    /// Cursors of one life of the log.
    pub fn new(secret: &[u8; 32], epoch: Epoch) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), epoch }
    }

    /// The cursor of a user who has been given everything up to these positions.
    pub fn write(&self, user: UserId, positions: &[Position]) -> String {
        let mut bytes = vec![VERSION];
        for position in positions {
            push_varint(&mut bytes, position.0);
        }
        let tag = self.tag(user, &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn tag(&self, user: UserId, bytes: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(user.uuid().as_bytes());
        context.update(self.epoch.0.as_bytes());
        context.update(bytes);
        context.sign()
    }
}

/// Seven bits a byte, the lowest first.
fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_tells_users_epochs_and_positions_apart_and_nothing_else() {
        let ana: UserId = "01930f3c-5a7b-7c3d-8e4f-0123456789ab".parse().expect("id");
        let ben: UserId = "01930f3c-5a7b-7c3d-8e4f-0123456789ac".parse().expect("id");
        let cursors = |epoch: &str| Cursors::new(&[7; 32], Epoch(epoch.into()));
        let one = cursors("one").write(ana, &[Position(300)]);
        assert_eq!(one, cursors("one").write(ana, &[Position(300)]));
        assert_ne!(one, cursors("two").write(ana, &[Position(300)]));
        assert_ne!(one, cursors("one").write(ben, &[Position(300)]));
        assert_ne!(one, cursors("one").write(ana, &[Position(301)]));
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
}
