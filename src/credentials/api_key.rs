//! The text of an API key: `vbk_<id>_<secret>_<checksum>`.
//!
//! The id is public and finds the key. The secret has 256 random bits, so it is enough to store a SHA-256 of the key.
//! The checksum is the CRC-32 of everything before its underscore, in base62. With it, secret scanners can recognise a
//! key, and a mistyped key costs no lookup.

use std::fmt;

use aws_lc_rs::{constant_time::verify_slices_are_equal, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use zeroize::Zeroizing;

use super::{nats_name::NatsName, sha256::sha256};

const PREFIX: &str = "vbk_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID: usize = 12;
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
const LENGTH: usize = PREFIX.len() + ID + 1 + SECRET + 1 + CHECKSUM;

/// The public part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyId([u8; ID]);

/// A presented key with a correct checksum.
pub(crate) struct PresentedKey {
    /// The part that finds the key.
    pub(crate) id: KeyId,
    hash: [u8; 32],
}

/// A new key. Its text is shown once: never log it.
pub(crate) struct MadeKey {
    /// The public part.
    pub(crate) id: KeyId,
    /// The hash to store.
    pub(crate) hash: [u8; 32],
    /// The whole key.
    pub(crate) text: Zeroizing<String>,
}

impl KeyId {
    /// An id that was created before, as Postgres returns it.
    pub(crate) fn known(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().map(Self)
    }

    /// The id of the key that represents a NATS name. Nobody knows the text of such a key: nats-server vouches for the
    /// name instead.
    pub(crate) fn of_name(name: &NatsName) -> Self {
        let hash = sha256(format!("nats {name}"));
        let mut id = [0; ID];
        for (digit, byte) in id.iter_mut().zip(hash.chunks_exact(2)) {
            *digit = DIGITS[usize::from(u16::from_be_bytes([byte[0], byte[1]])) % DIGITS.len()];
        }
        Self(id)
    }

    /// Whether this is the id of a key that represents a NATS name, judged by the name of the key.
    pub(crate) fn is_of_a_name(self, key_name: &str) -> bool {
        let name = key_name.strip_prefix("nats ").and_then(NatsName::parse);
        name.is_some_and(|name| Self::of_name(&name) == self)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is made of base62 digits")
    }
}

/// Writes the prefix and the id, with which the key begins.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.as_str())
    }
}

impl PresentedKey {
    /// Whether a bearer text has the prefix of a key.
    pub(crate) fn is_meant_by(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Parses a text; `None` for a text that cannot be a key.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts = text.strip_prefix(PREFIX).filter(|_| text.len() == LENGTH && text.is_ascii())?;
        let (id, rest) = parts.split_at(ID);
        let (secret, rest) = rest.strip_prefix('_')?.split_at(SECRET);
        let is_of = |part: &str, more: &[u8]| {
            part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        let checked = &text[..LENGTH - CHECKSUM - 1];
        let is_right = rest.strip_prefix('_')? == checksum(checked);
        (is_of(id, b"") && is_of(secret, b"-_") && is_right)
            .then(|| Some(Self { id: KeyId::known(id)?, hash: sha256(text) }))
            .flatten()
    }

    /// Whether the key matches this stored hash.
    pub(crate) fn has(&self, hash: &[u8]) -> bool {
        verify_slices_are_equal(&self.hash, hash).is_ok()
    }
}

impl MadeKey {
    /// Generates a new random key.
    #[expect(clippy::disallowed_methods, reason = "a secret is drawn where it is made")]
    pub(crate) fn draw() -> Self {
        let mut secret = Zeroizing::new([0_u8; 32]);
        rand::fill(&mut secret[..]).expect("the system has randomness");
        let mut id = [0; ID];
        for digit in &mut id {
            *digit = loop {
                let mut drawn = [0];
                rand::fill(&mut drawn).expect("the system has randomness");
                // 248 is the greatest multiple of 62 in a byte: with larger bytes, some digits would be more frequent.
                if drawn[0] < 248 {
                    break DIGITS[usize::from(drawn[0] % 62)];
                }
            };
        }
        Self::of(KeyId(id), &secret)
    }

    fn of(id: KeyId, secret: &[u8; 32]) -> Self {
        let mut text = Zeroizing::new(format!("{id}_{}", *Zeroizing::new(BASE64URL.encode(secret))));
        let checksum = checksum(&text);
        text.push('_');
        text.push_str(&checksum);
        Self { id, hash: sha256(&*text), text }
    }
}

/// The CRC-32 of IEEE 802.3 in base62, with leading zeros.
fn checksum(text: &str) -> String {
    let sum = !text.bytes().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    });
    let digits = (0..CHECKSUM as u32).rev().map(|place| sum / 62_u32.pow(place) % 62);
    digits.map(|digit| char::from(DIGITS[digit as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_made_is_read_and_known_by_its_hash() {
        let made = MadeKey::draw();
        assert_eq!(made.text.len(), LENGTH);
        let read = PresentedKey::parse(&made.text).expect("a key");
        assert!(read.id == made.id && read.has(&made.hash));
        assert!(made.text.starts_with(&format!("{}_", made.id)));
        assert!(!read.has(&MadeKey::draw().hash));
    }

    #[test]
    fn the_form_is_fixed() {
        let key = MadeKey::of(KeyId(*b"4fG0aZ9bY1cX"), &[7; 32]);
        let expected = "vbk_4fG0aZ9bY1cX_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc_";
        assert_eq!(key.text.strip_prefix(expected), Some(&*checksum(&expected[..expected.len() - 1])));
        // The check value of CRC-32, 0xCBF43926.
        assert_eq!(checksum("123456789"), "3jZRME");
    }

    #[test]
    fn a_text_that_was_touched_anywhere_is_no_key() {
        let key = MadeKey::draw().text.to_string();
        for at in 0..key.len() {
            let mut touched = key.clone().into_bytes();
            touched[at] = if touched[at] == b'A' { b'B' } else { b'A' };
            assert!(PresentedKey::parse(&String::from_utf8(touched).expect("ASCII")).is_none(), "{at}");
        }
        for text in
            ["", "vbk_", &key[..key.len() - 1], &format!("{key}0"), &format!("vbk_{}", "é".repeat(32))]
        {
            assert!(PresentedKey::parse(text).is_none(), "{text}");
        }
    }
}
