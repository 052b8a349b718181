//! The keys that authenticate Verbatim's tokens.

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::AsBigEndian,
    hkdf,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::json;
use thiserror::Error;
use zeroize::Zeroizing;

/// The current Ed25519 key, which signs, and the other keys, whose tokens are accepted too: earlier keys, and the next
/// one during a key rotation.
#[derive(Debug)]
pub struct Keys {
    current: Key,
    others: Vec<Key>,
}

/// The text is not a private Ed25519 key in PEM form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an Ed25519 private key in PKCS#8 PEM form: `openssl genpkey -algorithm ed25519` makes one")]
pub struct BadKey;

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) signs: EncodingKey,
    pub(crate) verifies: DecodingKey,
    public: String,
    root: hkdf::Prk,
}

impl Keys {
    /// Reads PEM texts, as `openssl genpkey -algorithm ed25519` writes them.
    pub fn from_pem(current: &str, previous: Option<&str>) -> Result<Self, BadKey> {
        let others = previous.into_iter().map(Key::from_pem).collect::<Result<_, _>>()?;
        Ok(Self { current: Key::from_pem(current)?, others })
    }

    pub(crate) fn of(current: Key, others: Vec<Key>) -> Self {
        Self { current, others }
    }

    /// The ids of the keys, the current one first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.all().map(|key| &*key.id)
    }

    /// A new key as PEM text (PKCS#8 version 1, which openssl reads too).
    pub fn generate_pem() -> Zeroizing<String> {
        let pair = Ed25519KeyPair::generate().expect("the system has randomness");
        let der = pair.to_pkcs8v1().expect("a key that was just made has a PKCS#8 form");
        let base64 = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der.as_ref()));
        Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", *base64))
    }

    /// The public keys as a JWK set (RFC 7517, RFC 8037).
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .all()
            .map(|key| {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": key.public, "kid": key.id, "use": "sig", "alg": "EdDSA" })
            })
            .collect();
        json!({ "keys": keys })
    }

    /// A key for another purpose, derived from the current private key. The public key and the keys of other
    /// labels do not reveal it.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        self.current.derive(label)
    }

    /// The keys of a label, derived from the current key and then from the others. A proof made with any of them is
    /// genuine.
    pub fn derive_all(&self, label: &str) -> impl Iterator<Item = [u8; 32]> {
        self.all().map(move |key| key.derive(label))
    }

    pub(crate) fn current(&self) -> &Key {
        &self.current
    }

    pub(crate) fn into_current(self) -> Key {
        self.current
    }

    pub(crate) fn named(&self, id: &str) -> Option<&Key> {
        self.all().find(|key| key.id == id)
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.others)
    }
}

impl Key {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let signs = EncodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| BadKey)?;
        let pair = Ed25519KeyPair::from_pkcs8(signs.as_bytes()).map_err(|_| BadKey)?;
        let seed = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| BadKey)?;
        let public = BASE64URL.encode(pair.public_key());
        Ok(Self {
            id: thumbprint(&public),
            signs,
            verifies: DecodingKey::from_ed_der(pair.public_key().as_ref()),
            public,
            root: hkdf::Salt::new(hkdf::HKDF_SHA256, b"verbatim").extract(seed.as_ref()),
        })
    }

    fn derive(&self, label: &str) -> [u8; 32] {
        let mut key = [0; 32];
        self.root
            .expand(&[label.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key))
            .expect("HKDF-SHA256 gives 32 bytes for any label");
        key
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// The thumbprint of RFC 7638: a key id that every reader of the public key computes in the same way.
fn thumbprint(public: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#);
    BASE64URL.encode(digest(&SHA256, members.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example key of RFC 8037, appendix A.
    const EXAMPLE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";

    #[test]
    fn a_key_is_named_as_rfc_8037_says() {
        let keys = Keys::from_pem(EXAMPLE, None).expect("keys");
        assert_eq!(
            keys.jwks(),
            json!({ "keys": [{
                "kty": "OKP",
                "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                "use": "sig",
                "alg": "EdDSA",
            }] })
        );
    }

    #[test]
    fn both_keys_are_published_and_the_current_one_comes_first() {
        let (old, new) = (Keys::generate_pem(), Keys::generate_pem());
        let keys = Keys::from_pem(&new, Some(&old)).expect("keys");
        let old = Keys::from_pem(&old, None).expect("keys");
        let jwks = keys.jwks();
        assert_eq!(jwks["keys"][0]["kid"], keys.current().id.as_str());
        assert_eq!(jwks["keys"][1]["kid"], old.current().id.as_str());
        assert_eq!(keys.derive_all("x").collect::<Vec<_>>(), [keys.derive("x"), old.derive("x")]);
    }

    #[test]
    fn derived_keys_differ_by_label_and_key_and_stay_the_same() {
        let keys = Keys::from_pem(EXAMPLE, None).expect("keys");
        let again = Keys::from_pem(EXAMPLE, None).expect("keys");
        let other = Keys::from_pem(&Keys::generate_pem(), None).expect("keys");
        assert_eq!(keys.derive("refresh"), again.derive("refresh"));
        assert_ne!(keys.derive("refresh"), keys.derive("cursor"));
        assert_ne!(keys.derive("refresh"), other.derive("refresh"));
    }

    #[test]
    fn what_is_no_private_ed25519_key_is_refused() {
        let rsa_like = "-----BEGIN RSA PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END RSA PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        for text in
            ["", "changeme", EXAMPLE.trim_end_matches("\n-----END PRIVATE KEY-----\n"), rsa_like, public]
        {
            assert_eq!(Keys::from_pem(text, None).err(), Some(BadKey), "{text}");
            assert_eq!(Keys::from_pem(EXAMPLE, Some(text)).err(), Some(BadKey), "{text}");
        }
    }

    #[test]
    fn private_keys_are_never_printed() {
        let keys = Keys::from_pem(EXAMPLE, None).expect("keys");
        let shown = "Keys { current: Key(kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k), others: [] }";
        assert_eq!(format!("{keys:?}"), shown);
    }
}
