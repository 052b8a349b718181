//! The secrets of webhooks, and signatures by Standard Webhooks 1.0.0.

use std::fmt;

use aws_lc_rs::{
    hmac, rand,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use zeroize::Zeroizing;

/// The bytes of a secret, and of the seed of a key pair.
const BYTES: usize = 32;

/// The kinds of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureKind {
    /// HMAC-SHA256, with a secret that both sides know.
    V1,
    /// Ed25519, with a key that only Verbatim has.
    V1a,
}

impl SignatureKind {
    /// The name of the kind, with which a signature begins.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }

    /// The kind with this name.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::V1, Self::V1a].into_iter().find(|kind| kind.word() == word)
    }
}

/// A secret that signs.
pub(crate) struct WebhookSecret {
    kind: SignatureKind,
    bytes: Zeroizing<[u8; BYTES]>,
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecret({})", self.kind.word())
    }
}

impl WebhookSecret {
    /// Generates a new random secret.
    #[expect(clippy::disallowed_methods, reason = "a secret is drawn where it is made")]
    pub(crate) fn draw(kind: SignatureKind) -> Self {
        let mut bytes = Zeroizing::new([0; BYTES]);
        rand::fill(&mut bytes[..]).expect("the system has randomness");
        Self { kind, bytes }
    }

    /// A secret that was generated before.
    pub(crate) fn known(kind: SignatureKind, bytes: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(bytes.try_into().ok()?);
        Some(Self { kind, bytes })
    }

    /// The bytes to store, sealed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..]
    }

    /// The text for the receiver; `None` for a key pair, whose secret never leaves Verbatim.
    pub(crate) fn text(&self) -> Option<Zeroizing<String>> {
        let text = || Zeroizing::new(format!("whsec_{}", *Zeroizing::new(BASE64.encode(&self.bytes[..]))));
        (self.kind == SignatureKind::V1).then(text)
    }

    /// The public key for the receiver; `None` for a shared secret.
    pub(crate) fn public_key(&self) -> Option<String> {
        let public = || format!("whpk_{}", BASE64.encode(self.pair().public_key()));
        (self.kind == SignatureKind::V1a).then(public)
    }

    /// The signature of a request.
    pub(crate) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let head = format!("{id}.{seconds}.");
        let signature = match self.kind {
            SignatureKind::V1 => {
                let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.bytes[..]));
                mac.update(head.as_bytes());
                mac.update(body);
                BASE64.encode(mac.sign())
            }
            SignatureKind::V1a => BASE64.encode(self.pair().sign(&[head.as_bytes(), body].concat())),
        };
        format!("{},{signature}", self.kind.word())
    }

    fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&self.bytes[..]).expect("a seed has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        // The example from Standard Webhooks' own libraries.
        let bytes = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        mac.update(b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}");
        assert_eq!(BASE64.encode(mac.sign()), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");

        let secret = WebhookSecret::known(SignatureKind::V1, &[7; BYTES]).expect("a secret");
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &[7; BYTES]));
        mac.update(b"an-id.17.{}");
        assert_eq!(secret.sign("an-id", 17, b"{}"), format!("v1,{}", BASE64.encode(mac.sign())));
    }

    #[test]
    fn a_shared_secret_is_given_and_of_a_pair_only_the_public_half() {
        let shared = WebhookSecret::draw(SignatureKind::V1);
        let text = shared.text().expect("a text");
        let bytes = BASE64.decode(text.strip_prefix("whsec_").expect("the prefix")).expect("base64");
        assert!(bytes == shared.bytes() && shared.public_key().is_none());
        assert_ne!(bytes, WebhookSecret::draw(SignatureKind::V1).bytes());

        let pair = WebhookSecret::draw(SignatureKind::V1a);
        assert!(pair.text().is_none());
        let public = pair.public_key().expect("a key");
        let public = BASE64.decode(public.strip_prefix("whpk_").expect("the prefix")).expect("base64");
        let signature = pair.sign("an-id", 17, b"{}");
        let signature = BASE64.decode(signature.strip_prefix("v1a,").expect("the kind")).expect("base64");
        let public = UnparsedPublicKey::new(&ED25519, public);
        assert!(public.verify(b"an-id.17.{}", &signature).is_ok());
        assert!(public.verify(b"an-id.17.{ }", &signature).is_err());
    }

    #[test]
    fn nothing_of_a_secret_is_in_its_debug_text() {
        assert_eq!(format!("{:?}", WebhookSecret::draw(SignatureKind::V1)), "WebhookSecret(v1)");
    }
}
