//! The key that encrypts stored secrets that must be readable again: signing a webhook needs its secret.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;
use zeroize::Zeroizing;

/// A key of AES-256-GCM. Each sealed text has a random nonce of its own.
pub(crate) struct MasterKey(RandomizedNonceKey);

/// The text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected 32 random bytes in base64, as `openssl rand -base64 32` prints them")]
pub(crate) struct BadMasterKey;

/// A sealed text that cannot be opened: it was sealed under another key or for another purpose, or it is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a stored secret was encrypted with another key: set VERBATIM_MASTER_KEY_FILE to the file with that key"
)]
pub(crate) struct NotOpened;

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// Reads a key from the text of its file.
    pub(crate) fn parse(text: &str) -> Result<Self, BadMasterKey> {
        let bytes = Zeroizing::new(BASE64.decode(text.trim()).map_err(|_| BadMasterKey)?);
        if bytes.len() != AES_256_GCM.key_len() {
            return Err(BadMasterKey);
        }
        RandomizedNonceKey::new(&AES_256_GCM, &bytes).map(Self).map_err(|_| BadMasterKey)
    }

    /// Seals a text for one purpose. The result is the nonce, followed by the encrypted text with its tag.
    pub(crate) fn seal(&self, purpose: &str, text: &[u8]) -> Vec<u8> {
        let mut sealed = text.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut sealed)
            .expect("a short text can be sealed");
        [&nonce.as_ref()[..], &sealed[..]].concat()
    }

    /// Opens a text that was sealed for this purpose.
    pub(crate) fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(NotOpened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotOpened)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(purpose.as_bytes());
        let length = self.0.open_in_place(nonce, aad, &mut text).map_err(|_| NotOpened)?.len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey::parse(&format!("{}\n", BASE64.encode([byte; 32]))).expect("a key")
    }

    #[test]
    fn only_the_same_key_opens_a_text_and_only_for_its_purpose() {
        let sealed = key(1).seal("a", b"secret");
        assert_eq!(key(1).open("a", &sealed).as_ref().map(|text| &text[..]), Ok(&b"secret"[..]));
        assert_ne!(sealed, key(1).seal("a", b"secret"), "each has a nonce of its own");
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(key(2).open("a", &sealed), Err(NotOpened));
        assert_eq!(key(1).open("b", &sealed), Err(NotOpened));
        for at in 0..sealed.len() {
            let mut touched = sealed.clone();
            touched[at] ^= 1;
            assert_eq!(key(1).open("a", &touched), Err(NotOpened), "{at}");
            assert_eq!(key(1).open("a", &sealed[..at]), Err(NotOpened), "{at}");
        }
    }

    #[test]
    fn a_key_has_32_bytes() {
        for text in ["", "AAAA", &BASE64.encode([0; 31]), &BASE64.encode([0; 33]), "not base64!"] {
            assert_eq!(MasterKey::parse(text).err(), Some(BadMasterKey), "{text}");
        }
    }
}
