//! The cursor of a client: one position for each stream. It is opaque, authenticated, and bound to the user, to the
//! epoch of the log and to the events at those positions. A cursor has no age limit.

use aws_lc_rs::{constant_time, digest, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::{Epoch, Point, Position, UserId};

/// The version of the text. A text of another version cannot be read.
const VERSION: u8 = 2;
/// The length of the epoch's hash, in bytes.
const EPOCH: usize = 8;
/// The length of the hash of the events at the positions, in bytes.
const EVENTS: usize = 8;
/// The length of a user's id, in bytes.
const USER: usize = 16;
/// The number of bytes of the authentication code that are kept.
const TAG: usize = 16;
/// The longest text that is accepted: 256 positions of at most 8 bytes each, and the other parts.
const MAX_TEXT: usize = 4_096;

/// Writes and reads cursors.
pub struct Cursors {
    key: hmac::Key,
    epoch: [u8; EPOCH],
    streams: usize,
}

/// Why a client cannot resume from its cursor. The client then loads the state over REST and starts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// The cursor was not made by this installation, or was made with a key that is no longer used.
    Unreadable,
    /// The cursor was made for another user.
    AnotherUser,
    /// The cursor belongs to another epoch of the log.
    EpochChanged,
    /// The cursor is ahead of the log: the log was restored from a backup.
    FromTheFuture,
    /// The log has other events at the positions of the cursor: it was restored from a backup and has grown since.
    AnotherLog,
    /// The events after the cursor cannot be read completely.
    Incomplete,
    /// Messages after the cursor are older than the retention period of their conversation.
    Retention,
}

impl Reset {
    /// The reason as a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "cursor_unreadable",
            Self::AnotherUser => "cursor_of_another_user",
            Self::EpochChanged => "epoch_changed",
            Self::FromTheFuture => "cursor_from_the_future",
            Self::AnotherLog => "cursor_of_another_log",
            Self::Incomplete => "log_incomplete",
            Self::Retention => "retention",
        }
    }
}

/// The content of a cursor. Only the log can tell whether its events are those for which the cursor was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) positions: Vec<Position>,
    events: [u8; EVENTS],
}

impl Claim {
    /// Whether the cursor was made for these events.
    pub(super) fn is_of(&self, points: &[Point]) -> bool {
        self.events == hash_of(points)
    }
}

/// A hash of the events at the positions. There is one hash for all streams, so that a cursor stays short.
fn hash_of(points: &[Point]) -> [u8; EVENTS] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for point in points {
        hash.update(point.event.uuid().as_bytes());
    }
    short(&hash.finish())
}

fn short<const N: usize>(hash: &digest::Digest) -> [u8; N] {
    let mut short = [0; N];
    short.copy_from_slice(&hash.as_ref()[..N]);
    short
}

impl Cursors {
    /// Cursors for one epoch of the log.
    pub fn new(secret: &[u8; 32], epoch: &Epoch, streams: usize) -> Self {
        let epoch = short(&digest::digest(&digest::SHA256, epoch.0.as_bytes()));
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), epoch, streams }
    }

    /// The cursor of a user who has received all events up to these points.
    pub fn write(&self, user: UserId, points: &[Point]) -> String {
        let mut bytes = Vec::with_capacity(1 + EPOCH + USER + EVENTS + points.len() * 4 + TAG);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.epoch);
        bytes.extend_from_slice(user.uuid().as_bytes());
        bytes.extend_from_slice(&hash_of(points));
        for point in points {
            push_varint(&mut bytes, point.position.0);
        }
        let tag = hmac::sign(&self.key, &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the cursor of a user.
    pub(super) fn read(&self, user: UserId, text: &str) -> Result<Claim, Reset> {
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
        let (events, rest) = rest.split_first_chunk::<EVENTS>().ok_or(Reset::Unreadable)?;
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
        if positions.len() != self.streams {
            return Err(Reset::Unreadable);
        }
        Ok(Claim { positions, events: *events })
    }
}

/// Writes seven bits per byte, lowest first.
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
    use crate::domain::EventId;

    fn user(last: char) -> UserId {
        format!("01930f3c-5a7b-7c3d-8e4f-0123456789a{last}").parse().expect("id")
    }

    fn cursors(epoch: &str, streams: usize) -> Cursors {
        Cursors::new(&[7; 32], &Epoch(epoch.into()), streams)
    }

    fn points(positions: &[u64]) -> Vec<Point> {
        let event = |position: u64| EventId::known(uuid::Uuid::from_u128(position.into()));
        positions.iter().map(|at| Point { position: Position(*at), event: event(*at) }).collect()
    }

    #[test]
    fn a_cursor_is_read_back_and_knows_its_events() {
        for positions in [&[0][..], &[127, 128, Position::MAX.0, 1]] {
            let (cursors, points) = (cursors("one", positions.len()), points(positions));
            let text = cursors.write(user('a'), &points);
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            let claim = cursors.read(user('a'), &text).expect("its own cursor");
            assert_eq!(claim.positions, Point::positions(&points));
            assert!(claim.is_of(&points));
            let mut others = points;
            others[0].event = EventId::known(uuid::Uuid::from_u128(99));
            assert!(!claim.is_of(&others), "another event stands there");
        }
    }

    #[test]
    fn it_is_refused_with_the_reason() {
        let text = cursors("one", 1).write(user('a'), &points(&[300]));
        assert_eq!(cursors("one", 1).read(user('b'), &text), Err(Reset::AnotherUser));
        assert_eq!(cursors("two", 1).read(user('a'), &text), Err(Reset::EpochChanged));
        assert_eq!(cursors("one", 4).read(user('a'), &text), Err(Reset::Unreadable));
        let other_key = Cursors::new(&[8; 32], &Epoch("one".into()), 1);
        assert_eq!(other_key.read(user('a'), &text), Err(Reset::Unreadable));
    }

    #[test]
    fn whatever_is_changed_in_it_is_noticed() {
        let cursors = cursors("one", 2);
        let text = cursors.write(user('a'), &points(&[300, 7]));
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
