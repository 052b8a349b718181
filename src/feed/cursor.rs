//! Where a client is: one position for each stream, opaque, authenticated, bound to the user and to
//! the life of the log. It has no age limit.

use aws_lc_rs::{constant_time, digest, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::{Epoch, Position, UserId};

/// The form of the text; another one cannot be read.
const VERSION: u8 = 1;
/// Bytes of the epoch's hash.
const EPOCH: usize = 8;
/// Bytes of a user's id.
const USER: usize = 16;
/// Bytes of the authentication code that are kept.
const TAG: usize = 16;
/// The longest text that is looked at: 256 positions of at most 8 bytes, and all the rest.
const MAX_TEXT: usize = 4_096;

/// Makes cursors and reads them.
pub struct Cursors {
    key: hmac::Key,
    epoch: [u8; EPOCH],
    streams: usize,
}

/// Why a cursor cannot be gone on from: the client loads by REST and begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// It was not made here, or by an older key.
    Unreadable,
    /// It was made for somebody else.
    AnotherUser,
    /// It belongs to another life of the log.
    EpochChanged,
    /// It is ahead of the log: the log was restored from a backup.
    FromTheFuture,
    /// What lies behind it cannot be read completely.
    Incomplete,
}

impl Reset {
    /// The reason as a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "cursor_unreadable",
            Self::AnotherUser => "cursor_of_another_user",
            Self::EpochChanged => "epoch_changed",
            Self::FromTheFuture => "cursor_from_the_future",
            Self::Incomplete => "log_incomplete",
        }
    }
}

impl Cursors {
    /// Cursors of one life of the log.
    pub fn new(secret: &[u8; 32], epoch: &Epoch, streams: usize) -> Self {
        let hash = digest::digest(&digest::SHA256, epoch.0.as_bytes());
        let mut short = [0; EPOCH];
        short.copy_from_slice(&hash.as_ref()[..EPOCH]);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), epoch: short, streams }
    }

    /// The cursor of a user who has been given everything up to these positions.
    pub fn write(&self, user: UserId, positions: &[Position]) -> String {
        let mut bytes = Vec::with_capacity(1 + EPOCH + USER + positions.len() * 4 + TAG);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.epoch);
        bytes.extend_from_slice(user.uuid().as_bytes());
        for position in positions {
            push_varint(&mut bytes, position.0);
        }
        let tag = hmac::sign(&self.key, &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The positions in a cursor of a user.
    pub fn read(&self, user: UserId, text: &str) -> Result<Vec<Position>, Reset> {
        if text.len() > MAX_TEXT {
            return Err(Reset::Unreadable);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Reset::Unreadable)?;
        let (signed, tag) = bytes.split_last_chunk::<TAG>().ok_or(Reset::Unreadable)?;
        let wanted = hmac::sign(&self.key, signed);
        constant_time::verify_slices_are_equal(&wanted.as_ref()[..TAG], tag)
            .map_err(|_| Reset::Unreadable)?;
        let (version, rest) = signed.split_first().ok_or(Reset::Unreadable)?;
        let (epoch, rest) = rest.split_first_chunk::<EPOCH>().ok_or(Reset::Unreadable)?;
        let (of, rest) = rest.split_first_chunk::<USER>().ok_or(Reset::Unreadable)?;
        if *version != VERSION {
            return Err(Reset::Unreadable);
        }
        if of != user.uuid().as_bytes() {
            return Err(Reset::AnotherUser);
        }
        if *epoch != self.epoch {
            return Err(Reset::EpochChanged);
        }
        let positions = varints(rest).ok_or(Reset::Unreadable)?;
        if positions.len() == self.streams { Ok(positions) } else { Err(Reset::Unreadable) }
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

fn varints(bytes: &[u8]) -> Option<Vec<Position>> {
    let mut positions = Vec::new();
    let (mut value, mut shift) = (0_u64, 0);
    for byte in bytes {
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            positions.push(Position(value));
            (value, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(last: char) -> UserId {
        format!("01930f3c-5a7b-7c3d-8e4f-0123456789a{last}").parse().expect("id")
    }

    fn cursors(epoch: &str, streams: usize) -> Cursors {
        Cursors::new(&[7; 32], &Epoch(epoch.into()), streams)
    }

    #[test]
    fn a_cursor_is_read_back() {
        for positions in [vec![Position(0)], vec![Position(127), Position(128), Position::MAX, Position(1)]] {
            let cursors = cursors("one", positions.len());
            let text = cursors.write(user('a'), &positions);
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            assert_eq!(cursors.read(user('a'), &text), Ok(positions));
        }
    }

    #[test]
    fn it_is_refused_with_the_reason() {
        let text = cursors("one", 1).write(user('a'), &[Position(300)]);
        assert_eq!(cursors("one", 1).read(user('b'), &text), Err(Reset::AnotherUser));
        assert_eq!(cursors("two", 1).read(user('a'), &text), Err(Reset::EpochChanged));
        assert_eq!(cursors("one", 4).read(user('a'), &text), Err(Reset::Unreadable));
        let other_key = Cursors::new(&[8; 32], &Epoch("one".into()), 1);
        assert_eq!(other_key.read(user('a'), &text), Err(Reset::Unreadable));
    }

    #[test]
    fn whatever_is_changed_in_it_is_noticed() {
        let cursors = cursors("one", 2);
        let text = cursors.write(user('a'), &[Position(300), Position(7)]);
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(cursors.read(user('a'), &changed), Err(Reset::Unreadable), "{at}");
        }
        for text in ["", "A", &text[1..], &format!("{text}A"), "ü", &"A".repeat(5_000)] {
            assert_eq!(cursors.read(user('a'), text), Err(Reset::Unreadable));
        }
    }
}
